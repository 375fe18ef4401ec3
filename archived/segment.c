/* Segment files. A recording is a row of files of equal length that hold exact copies of the log's
 * frames; the name of a file is the position of its first byte. Files are sparse and have their
 * full length from the start, so the end of the data is where the frame headers end.
 *
 * Recovery (segment_find_end) believes nothing: every header must be the one that belongs at its
 * position, so that garbage or leftovers end the recording instead of being replayed. The last
 * frame may have been torn by a kill or a power failure in the middle of a write. Writes reach the
 * file page by page, so a frame whose later pages hold nothing but zeroes is taken for torn, unless
 * the writer's marker says that it was written completely. In frames longer than a page, which are
 * not the last, this cannot be told; their writer sees to it that they are whole (segment_hold).
 *
 * With checksums of the writer nothing is assumed of pages: of what may not have been synced, which
 * any part of can be missing, every frame is verified, and the first one that does not match ends
 * the recording. What is further from the end was durable; a frame there that does not match is
 * damage of another kind, which is not recovery's to cut off.
 */
#include "archived/segment.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/log_buffer.h"

#define MARKER_VALUE INT64_C(0x656c6f68576e7265) /* "ernWhole", where a reserved value stands */

int64_t segment_base_of(const struct segment_geometry *geometry, int64_t position) {
    assert(position >= 0);
    int64_t term_base =
        geometry->start_position - (geometry->start_position & (geometry->term_length - 1));
    return term_base + ((position - term_base) & ~((int64_t)geometry->segment_length - 1));
}

void segment_path(const struct segment_place *place, int64_t recording_id, int64_t base,
                  char path[SEGMENT_PATH_MAX]) {
    int length = snprintf(path, SEGMENT_PATH_MAX, "%s/%" PRId64 "-%" PRId64 ".rec",
                          place->directory, recording_id, base);
    assert(length > 0 && length < SEGMENT_PATH_MAX);
}

/* Plain decimal digits, at most 19 of them, not beyond an int64. */
static bool parse_digits(const char **cursor, int64_t *value) {
    const char *p = *cursor;
    int64_t result = 0;
    while (*p >= '0' && *p <= '9') {
        if (__builtin_mul_overflow(result, 10, &result) ||
            __builtin_add_overflow(result, *p - '0', &result)) {
            return false;
        }
        p++;
    }
    if (p == *cursor) {
        return false;
    }
    *cursor = p;
    *value = result;
    return true;
}

bool segment_name_parse(const char *name, int64_t *recording_id, int64_t *base, bool *deleted) {
    const char *cursor = name;
    int64_t id;
    int64_t position;
    if (!parse_digits(&cursor, &id) || *cursor++ != '-' || !parse_digits(&cursor, &position)) {
        return false;
    }
    bool is_deleted = strcmp(cursor, ".rec.del") == 0 || strcmp(cursor, ".del") == 0;
    if (!is_deleted && strcmp(cursor, ".rec") != 0) {
        return false;
    }
    *recording_id = id;
    *base = position;
    *deleted = is_deleted;
    return true;
}

static struct frame_header marker_of(const struct segment_geometry *geometry, int64_t position) {
    int32_t bits = trailing_zero_bits(geometry->term_length);
    return (struct frame_header){
        .frame_length = 0,
        .term_offset = log_term_offset_of(position, geometry->term_length),
        .stream_id = geometry->stream_id,
        .term_id = log_term_id_of(position, bits, geometry->initial_term_id),
        .reserved_value = MARKER_VALUE,
    };
}

int segment_write_marker(const struct segment_place *place, const struct segment_geometry *geometry,
                         int file, int64_t position) {
    const struct frame_header marker = marker_of(geometry, position);
    return place->store->pwrite(place->store->context, file, &marker, (int64_t)sizeof marker,
                                position - segment_base_of(geometry, position));
}

bool segment_holds_headers(const struct segment_place *place, const struct checksum *checksum,
                           int32_t mtu_length) {
    return place->sync_level > 0 && !checksum_is_enabled(checksum) &&
           mtu_length > SEGMENT_PAGE_LENGTH;
}

void segment_hold_header(struct segment_hold *hold, const uint8_t *block, int64_t offset) {
    static_assert(sizeof hold->header == LOG_FRAME_HEADER_LENGTH, "a header and no more");
    assert(hold->offset < 0);
    memcpy(hold->header, block, sizeof hold->header);
    hold->offset = offset;
}

int segment_release_header(const struct segment_place *place, int file, struct segment_hold *hold) {
    if (hold->offset < 0) {
        return 0;
    }
    const struct store *store = place->store;
    int result = store->sync(store->context, file, place->sync_level > 1);
    if (result == 0) {
        result = store->pwrite(store->context, file, hold->header, (int64_t)sizeof hold->header,
                               hold->offset);
    }
    hold->offset = result == 0 ? -1 : hold->offset;
    return result;
}

static int sync_file(const struct segment_place *place, int file) {
    return place->sync_level == 0 ? 0 : place->store->sync(place->store->context, file, true);
}

/* Nothing but zeroes from `end` on. */
static int zero_from(const struct segment_place *place, const struct segment_geometry *geometry,
                     int file, int64_t end) {
    const struct store *store = place->store;
    int result = store->truncate(store->context, file, end);
    if (result == 0) {
        result = store->truncate(store->context, file, geometry->segment_length);
    }
    return result == 0 ? sync_file(place, file) : result;
}

/* End the data at the position. All before it is whole, and a marker says so before anything of
 * what stands behind goes: a loss of power may keep some of these steps and not others, and must
 * neither make the last frame look torn nor leave the beginning of one that was cleared. */
static int clear_behind(const struct segment_place *place, const struct segment_geometry *geometry,
                        int file, int64_t position) {
    int64_t end = position - segment_base_of(geometry, position) + LOG_FRAME_HEADER_LENGTH;
    int result = segment_write_marker(place, geometry, file, position);
    if (result == 0) {
        result = sync_file(place, file);
    }
    return result == 0 ? zero_from(place, geometry, file, end) : result;
}

int segment_open_write(const struct segment_place *place, const struct segment_geometry *geometry,
                       int64_t position, bool is_new, int *file) {
    const struct store *store = place->store;
    int64_t base = segment_base_of(geometry, position);
    char path[SEGMENT_PATH_MAX];
    segment_path(place, geometry->recording_id, base, path);
    unsigned flags = STORE_WRITE | STORE_CREATE | (is_new ? STORE_EXCLUSIVE : 0u);
    int opened;
    int result = store->open(store->context, path, flags, &opened);
    if (result != 0) {
        return result;
    }
    result = is_new ? store->truncate(store->context, opened, geometry->segment_length)
                    : clear_behind(place, geometry, opened, position);
    if (result == 0 && place->syncs_directory) {
        result = store->sync_directory(store->context, place->directory);
    }
    if (result != 0) {
        (void)store->close(store->context, opened);
        return result;
    }
    *file = opened;
    return 0;
}

int segment_cut(const struct segment_place *place, const struct segment_geometry *geometry,
                int64_t position) {
    const struct store *store = place->store;
    int64_t base = segment_base_of(geometry, position);
    char path[SEGMENT_PATH_MAX];
    segment_path(place, geometry->recording_id, base, path);
    int file;
    int result = store->open(store->context, path, STORE_WRITE, &file);
    if (result != 0) {
        return result;
    }
    result = zero_from(place, geometry, file, position - base);
    (void)store->close(store->context, file);
    return result;
}

struct highest_search {
    int64_t recording_id;
    int64_t highest_base;
};

static int visit_name(void *arg, const char *name) {
    struct highest_search *search = arg;
    int64_t recording_id;
    int64_t base;
    bool deleted;
    if (segment_name_parse(name, &recording_id, &base, &deleted) && !deleted &&
        recording_id == search->recording_id) {
        search->highest_base = max_i64(search->highest_base, base);
    }
    return 0;
}

int segment_highest_base(const struct segment_place *place, int64_t recording_id,
                         int64_t *highest_base) {
    struct highest_search search = {recording_id, -1};
    int result = place->store->list(place->store->context, place->directory, visit_name, &search);
    if (result == 0) {
        *highest_base = search.highest_base;
    }
    return result;
}

/* The files from the one with base `highest` down to the one that holds `position`, which stays. */
static int remove_down(const struct segment_place *place, const struct segment_geometry *geometry,
                       int64_t highest, int64_t position) {
    const struct store *store = place->store;
    int64_t last_base = segment_base_of(geometry, position);
    int result = 0;
    bool is_changed = false;
    for (int64_t base = highest; result == 0 && base > last_base;
         base -= geometry->segment_length) {
        char path[SEGMENT_PATH_MAX];
        segment_path(place, geometry->recording_id, base, path);
        result = store->unlink(store->context, path);
        is_changed = is_changed || result == 0;
        result = result == -ENOENT ? 0 : result;
    }
    if (result == 0 && is_changed && place->sync_level > 0) {
        result = store->sync_directory(store->context, place->directory);
    }
    return result;
}

int segment_remove_above(const struct segment_place *place, const struct segment_geometry *geometry,
                         int64_t position) {
    int64_t highest;
    int result = segment_highest_base(place, geometry->recording_id, &highest);
    return result == 0 ? remove_down(place, geometry, highest, position) : result;
}

/* Is this the header of a frame that can stand at `position`, with room for all of it? */
static bool header_fits(const struct segment_geometry *geometry, const struct frame_header *header,
                        int64_t position) {
    int32_t term_offset = log_term_offset_of(position, geometry->term_length);
    int32_t position_bits = trailing_zero_bits(geometry->term_length);
    bool is_known_type =
        header->type == FRAME_TYPE_PAD ||
        (header->type == FRAME_TYPE_DATA && header->frame_length <= LOG_MTU_LENGTH_MAX);
    return is_known_type && header->frame_length >= LOG_FRAME_HEADER_LENGTH &&
           header->frame_length <= geometry->term_length - term_offset &&
           header->term_offset == term_offset &&
           header->term_id == log_term_id_of(position, position_bits, geometry->initial_term_id) &&
           header->stream_id == geometry->stream_id;
}

static int open_read(const struct segment_place *place, int64_t recording_id, int64_t base,
                     int *file) {
    char path[SEGMENT_PATH_MAX];
    segment_path(place, recording_id, base, path);
    return place->store->open(place->store->context, path, STORE_READ, file);
}

int segment_has_frame_at(const struct segment_place *place, const struct segment_geometry *geometry,
                         int64_t position) {
    const struct store *store = place->store;
    int64_t base = segment_base_of(geometry, position);
    int file;
    int result = open_read(place, geometry->recording_id, base, &file);
    if (result != 0) {
        return result;
    }
    struct frame_header header;
    int64_t count =
        store->pread(store->context, file, &header, (int64_t)sizeof header, position - base);
    (void)store->close(store->context, file);
    if (count < 0) {
        return (int)count;
    }
    return count == (int64_t)sizeof header && header_fits(geometry, &header, position) ? 1 : 0;
}

/* The last frame of one file. */
struct last_frame {
    int64_t offset; /* in the file; -1: there is none */
    int32_t length; /* aligned */
    uint16_t type;
};

/* Walk the frames of the file with this base from `offset`; *end receives the offset behind the
 * last one. Reads in chunks of the scan's buffer. */
static int walk_file(const struct segment_scan *scan, int file, int64_t base, int64_t offset,
                     struct last_frame *last) {
    const struct store *store = scan->place->store;
    *last = (struct last_frame){.offset = -1};
    for (;;) {
        int64_t wanted = min_i64(scan->buffer_length, scan->geometry->segment_length - offset);
        int64_t count =
            wanted <= 0 ? 0 : store->pread(store->context, file, scan->buffer, wanted, offset);
        if (count < 0) {
            return (int)count;
        }
        int64_t at = 0;
        while (at + LOG_FRAME_HEADER_LENGTH <= count) {
            struct frame_header header;
            memcpy(&header, scan->buffer + at, sizeof header);
            if (!header_fits(scan->geometry, &header, base + offset + at)) {
                return 0;
            }
            int32_t length = log_aligned_frame_length(header.frame_length);
            *last = (struct last_frame){offset + at, length, header.type};
            at += length;
        }
        if (at == 0) {
            return 0; /* the end of the file */
        }
        offset += at;
    }
}

static bool has_word_set(const uint8_t *data, int64_t length) {
    for (int64_t i = 0; i + 8 <= length; i += 8) {
        if (get_i64(data + i) != 0) {
            return true;
        }
    }
    return false;
}

bool segment_end_is_doubtful(const uint8_t *block, int32_t length, int64_t file_offset,
                             int32_t mtu_length) {
    int64_t end = file_offset + length;
    int64_t first = max_i64(file_offset, end - align_i64(mtu_length, LOG_FRAME_ALIGNMENT));
    /* From the last page backwards. A page in which a frame begins has a header in it, so a page of
     * zeroes is the inside of one frame, and none before the last frame matters. */
    int64_t page = (end - 1) & ~(int64_t)(SEGMENT_PAGE_LENGTH - 1);
    for (; page > first; page -= SEGMENT_PAGE_LENGTH) {
        int64_t page_length = min_i64(SEGMENT_PAGE_LENGTH, end - page);
        if (!has_word_set(block + (page - file_offset), page_length)) {
            return true;
        }
    }
    return false;
}

/* 1: the writer's marker stands at the position; 0: no. */
static int has_marker(const struct segment_scan *scan, int64_t position) {
    const struct segment_place *place = scan->place;
    int64_t base = segment_base_of(scan->geometry, position);
    const struct frame_header wanted = marker_of(scan->geometry, position);
    struct frame_header found;
    int file;
    if (open_read(place, scan->geometry->recording_id, base, &file) != 0) {
        return 0;
    }
    int64_t count = place->store->pread(place->store->context, file, &found, (int64_t)sizeof found,
                                        position - base);
    (void)place->store->close(place->store->context, file);
    return count == (int64_t)sizeof found && memcmp(&found, &wanted, sizeof found) == 0;
}

static int64_t unsynced_length(const struct segment_scan *scan) {
    return SEGMENT_UNSYNCED_BLOCKS_MAX * scan->buffer_length;
}

/* 1: the last frame is whole as far as can be told; 0: torn; -errno. Padding has no body. */
static int is_frame_whole(const struct segment_scan *scan, int file, int64_t base,
                          const struct last_frame *last) {
    const struct store *store = scan->place->store;
    int64_t end = last->offset + last->length;
    bool is_in_one_page = last->offset / SEGMENT_PAGE_LENGTH == (end - 1) / SEGMENT_PAGE_LENGTH;
    if (is_in_one_page || last->type == FRAME_TYPE_PAD) {
        return 1;
    }
    assert(last->length <= scan->buffer_length);
    int64_t count = store->pread(store->context, file, scan->buffer, last->length, last->offset);
    if (count < 0) {
        return (int)count;
    }
    if (count < last->length) {
        return 0;
    }
    struct frame_header header;
    memcpy(&header, scan->buffer, sizeof header);
    if (checksum_is_enabled(scan->checksum) &&
        header.session_id == checksum_compute(scan->checksum,
                                              scan->buffer + LOG_FRAME_HEADER_LENGTH,
                                              last->length - LOG_FRAME_HEADER_LENGTH)) {
        return 1;
    }
    int64_t page = (last->offset / SEGMENT_PAGE_LENGTH + 1) * SEGMENT_PAGE_LENGTH;
    for (; page < end; page += SEGMENT_PAGE_LENGTH) {
        int64_t length = min_i64(SEGMENT_PAGE_LENGTH, end - page);
        if (!has_word_set(scan->buffer + (page - last->offset), length)) {
            return has_marker(scan, base + end);
        }
    }
    return 1;
}

/* Whether the frame in the buffer is what its writer meant: checksummed, or written when there were
 * no checksums, with the session id in its place. */
static bool frame_matches(const struct segment_scan *scan, const uint8_t *frame, int32_t length) {
    struct frame_header header;
    memcpy(&header, frame, sizeof header);
    return header.type == FRAME_TYPE_PAD || header.session_id == scan->session_id ||
           header.session_id == checksum_compute(scan->checksum, frame + LOG_FRAME_HEADER_LENGTH,
                                                 length - LOG_FRAME_HEADER_LENGTH);
}

/* How far the frames from `offset` to `end`, whose headers are right, are what was written. */
static int verify_frames(const struct segment_scan *scan, int file, int64_t offset, int64_t end,
                         int64_t *verified) {
    const struct store *store = scan->place->store;
    int64_t first_doubtful = end - unsynced_length(scan);
    while (offset < end) {
        int64_t wanted = min_i64(scan->buffer_length, end - offset);
        int64_t count = store->pread(store->context, file, scan->buffer, wanted, offset);
        if (count < 0) {
            return (int)count;
        }
        int64_t at = 0;
        while (at + LOG_FRAME_HEADER_LENGTH <= count) {
            const uint8_t *frame = scan->buffer + at;
            int32_t length = log_aligned_frame_length(get_i32(frame));
            bool is_data = get_u16(frame + offsetof(struct frame_header, type)) == FRAME_TYPE_DATA;
            bool is_doubtful = is_data && offset + at >= first_doubtful;
            if (is_doubtful && at + length > count) {
                break; /* it begins the next chunk */
            }
            if (is_doubtful && !frame_matches(scan, frame, length)) {
                *verified = offset + at;
                return 0;
            }
            at += length;
        }
        if (at == 0) {
            break; /* the file is too short for the frame */
        }
        offset += at;
    }
    *verified = min_i64(offset, end);
    return 0;
}

/* Checksums for the `count` bytes of frames in the buffer that stand at `offset`. The length of the
 * whole frames among them, or -EBADMSG when there is none. */
static int64_t put_checksums(const struct segment_scan *scan, int64_t base, int64_t offset,
                             int64_t count) {
    int64_t at = 0;
    while (at + LOG_FRAME_HEADER_LENGTH <= count) {
        uint8_t *frame = scan->buffer + at;
        struct frame_header header;
        memcpy(&header, frame, sizeof header);
        if (!header_fits(scan->geometry, &header, base + offset + at)) {
            return -EBADMSG;
        }
        int32_t length = log_aligned_frame_length(header.frame_length);
        bool is_data = header.type == FRAME_TYPE_DATA;
        if (is_data && at + length > count) {
            break; /* it begins the next chunk */
        }
        if (is_data) {
            put_i32(frame + offsetof(struct frame_header, session_id),
                    checksum_compute(scan->checksum, frame + LOG_FRAME_HEADER_LENGTH,
                                     length - LOG_FRAME_HEADER_LENGTH));
        }
        at += length;
    }
    return at == 0 ? -EBADMSG : at;
}

/* Frames of the file from `offset`, where one begins, to `end`. */
static int add_checksums(const struct segment_scan *scan, int file, int64_t base, int64_t offset,
                         int64_t end) {
    const struct store *store = scan->place->store;
    while (offset < end) {
        int64_t wanted = min_i64(scan->buffer_length, end - offset);
        int64_t count = store->pread(store->context, file, scan->buffer, wanted, offset);
        if (count <= 0) {
            return count < 0 ? (int)count : -EBADMSG;
        }
        int64_t length = put_checksums(scan, base, offset, count);
        if (length < 0) {
            return (int)length;
        }
        int result = store->pwrite(store->context, file, scan->buffer, min_i64(length, count),
                                   offset); /* as it was but for those words */
        if (result != 0) {
            return result;
        }
        offset += length;
    }
    return sync_file(scan->place, file);
}

int segment_add_checksums(const struct segment_scan *scan, int64_t position) {
    const struct segment_geometry *geometry = scan->geometry;
    const struct store *store = scan->place->store;
    if (position == geometry->start_position) {
        return 0;
    }
    int64_t base = segment_base_of(geometry, position - 1);
    int64_t first = max_i64(0, geometry->start_position - base);
    /* From the beginning of a term, where a frame begins. */
    int64_t doubtful = max_i64(0, position - base - unsynced_length(scan));
    int64_t offset = max_i64(first, doubtful & ~((int64_t)geometry->term_length - 1));
    char path[SEGMENT_PATH_MAX];
    int file;
    segment_path(scan->place, geometry->recording_id, base, path);
    int result = store->open(store->context, path, STORE_WRITE, &file);
    if (result != 0) {
        return result == -ENOENT ? 0 : result; /* detached */
    }
    result = add_checksums(scan, file, base, offset, position - base);
    (void)store->close(store->context, file);
    return result;
}

/* What is read need not be on disk. Its writer may have been killed before it synced, or ended
 * because a sync failed, and what that has lost no later one writes. It must be there before the
 * end is written down and relied on, so what may lack a sync is written again. */
static int write_again(const struct segment_scan *scan, int file, int64_t end) {
    const struct store *store = scan->place->store;
    int64_t offset = max_i64(0, end - unsynced_length(scan));
    while (offset < end) {
        int64_t length = min_i64(scan->buffer_length, end - offset);
        int64_t count = store->pread(store->context, file, scan->buffer, length, offset);
        if (count <= 0) {
            return (int)count; /* behind the file there is a hole, which no frame needs */
        }
        int result = store->pwrite(store->context, file, scan->buffer, count, offset);
        if (result != 0) {
            return result;
        }
        offset += count;
    }
    return sync_file(scan->place, file);
}

/* Drop what stands at and behind `offset`. */
static int cut_file(const struct segment_scan *scan, int64_t base, int64_t offset) {
    const struct segment_place *place = scan->place;
    const struct store *store = place->store;
    char path[SEGMENT_PATH_MAX];
    segment_path(place, scan->geometry->recording_id, base, path);
    int file;
    int result = store->open(store->context, path, STORE_WRITE, &file);
    if (result != 0) {
        return result;
    }
    result = place->sync_level == 0 ? 0 : write_again(scan, file, offset);
    if (result == 0) {
        result = clear_behind(place, scan->geometry, file, base + offset);
    }
    (void)store->close(store->context, file);
    return result;
}

/* The end of the data in one file, as an offset in it. 0 or -errno; -ENOENT when there is no file.
 */
static int find_end_in_file(const struct segment_scan *scan, int64_t base, int64_t first,
                            int64_t *end_offset, int64_t *torn_length) {
    const struct store *store = scan->place->store;
    int file;
    int result = open_read(scan->place, scan->geometry->recording_id, base, &file);
    if (result != 0) {
        return result;
    }
    struct last_frame last;
    result = walk_file(scan, file, base, first, &last);
    int64_t end = last.offset < 0 ? first : last.offset + last.length;
    int64_t whole_end = end;
    if (result == 0 && checksum_is_enabled(scan->checksum)) {
        result = verify_frames(scan, file, first, end, &whole_end);
    }
    if (result == 0 && whole_end == end && last.offset >= 0) {
        int is_whole = is_frame_whole(scan, file, base, &last);
        result = is_whole < 0 ? is_whole : 0;
        whole_end = is_whole == 0 ? last.offset : end;
    }
    (void)store->close(store->context, file);
    if (result != 0) {
        return result;
    }
    *end_offset = whole_end;
    *torn_length = end - whole_end;
    return whole_end < end ? cut_file(scan, base, whole_end) : 0;
}

/* Give the end its marker, so that the next recovery finds it again. */
static int mark_end(const struct segment_scan *scan, int64_t position) {
    const struct segment_place *place = scan->place;
    const struct store *store = place->store;
    char path[SEGMENT_PATH_MAX];
    int file;
    segment_path(place, scan->geometry->recording_id, segment_base_of(scan->geometry, position),
                 path);
    int result = store->open(store->context, path, STORE_WRITE, &file);
    if (result != 0) {
        return result == -ENOENT ? 0 : result; /* the data ends with the file before */
    }
    result = segment_write_marker(place, scan->geometry, file, position);
    result = result == 0 ? sync_file(place, file) : result;
    (void)store->close(store->context, file);
    return result;
}

/* The end is going to be written down and relied on. */
static int make_durable(const struct segment_scan *scan, int64_t position,
                        struct tern_error *error) {
    const struct segment_place *place = scan->place;
    const struct store *store = place->store;
    if (place->sync_level == 0 || position == scan->geometry->start_position) {
        return 0;
    }
    char path[SEGMENT_PATH_MAX];
    int file;
    int64_t base = segment_base_of(scan->geometry, position - 1);
    segment_path(place, scan->geometry->recording_id, base, path);
    int result = store->open(store->context, path, STORE_WRITE, &file);
    if (result == 0) {
        result = write_again(scan, file, position - base);
        (void)store->close(store->context, file);
    }
    if (result == 0) {
        result = mark_end(scan, position);
    }
    if (result == 0) {
        result = store->sync_directory(store->context, place->directory);
    }
    return result == 0 ? 0 : error_set_errno(error, -result, "sync segment %.160s", path);
}

int segment_find_end(const struct segment_scan *scan, struct segment_end *end,
                     struct tern_error *error) {
    const struct segment_geometry *geometry = scan->geometry;
    assert(scan->buffer_length >= LOG_FRAME_HEADER_LENGTH);
    int result;
    *end = (struct segment_end){.position = geometry->start_position};
    int64_t first_base = segment_base_of(geometry, geometry->start_position);
    for (int64_t base = scan->highest_base; base >= first_base; base -= geometry->segment_length) {
        int64_t first = base == first_base ? geometry->start_position - base : 0;
        int64_t offset;
        int64_t torn_length;
        result = find_end_in_file(scan, base, first, &offset, &torn_length);
        if (result == -ENOENT) {
            continue; /* a gap in the row: nothing behind it can be reached by a replay */
        }
        if (result != 0) {
            return error_set_errno(error, -result, "read segment %" PRId64 "-%" PRId64 ".rec",
                                   geometry->recording_id, base);
        }
        *end = (struct segment_end){base + offset, torn_length};
        if (offset > first || torn_length != 0) {
            break;
        }
        /* The file is empty: it was made ahead of its first frame. The file before it must then
         * be full; when it is not, the recording ends in there. */
    }
    result = remove_down(scan->place, geometry, scan->highest_base, end->position);
    if (result != 0) {
        return error_set_errno(error, -result, "remove segments of recording %" PRId64 " above it",
                               geometry->recording_id);
    }
    return make_durable(scan, end->position, error);
}
