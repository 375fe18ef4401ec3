/* Log buffer files: creation, validated mapping, rotation (shared-memory.md 4, 5.7, 5.11).
 *
 * A log is three terms that are written in turn and a metadata page at the end of the file. Every
 * process that opens one copies the geometry out of the metadata, checks it against the length of
 * the file, and from then on uses the copy: the metadata stays writable for every client.
 */
#include "shm/log_buffer.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/compiler.h"

int64_t log_buffer_file_length(int32_t term_length, int32_t page_size) {
    return align_i64((int64_t)term_length * LOG_PARTITION_COUNT + LOG_METADATA_LENGTH, page_size);
}

bool log_term_length_is_valid(int64_t term_length) {
    return is_power_of_two(term_length) && term_length >= LOG_TERM_LENGTH_MIN &&
           term_length <= LOG_TERM_LENGTH_MAX;
}

bool log_page_size_is_valid(int64_t page_size) {
    return is_power_of_two(page_size) && page_size >= LOG_PAGE_SIZE_MIN &&
           page_size <= LOG_PAGE_SIZE_MAX;
}

bool log_mtu_is_valid(int64_t mtu_length) {
    return mtu_length > LOG_FRAME_HEADER_LENGTH && mtu_length <= LOG_MTU_LENGTH_MAX &&
           mtu_length % LOG_FRAME_ALIGNMENT == 0;
}

int64_t log_fragmented_length(int64_t length, int32_t payload_max) {
    int64_t full_count = length / payload_max;
    int64_t rest = length % payload_max;
    int64_t last = rest > 0 ? align_i64(rest + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) : 0;
    return full_count * (payload_max + LOG_FRAME_HEADER_LENGTH) + last;
}

/* Tails of the start position, and of the two terms before it as if they had been used: rotation
 * expects the term id of the previous lap in the partition that it moves to. */
static void init_tails(struct log_metadata *metadata, const struct log_buffer_params *params) {
    int32_t count = log_term_count(params->active_term_id, params->initial_term_id);
    int32_t active = log_partition_index(count);
    store_plain_i64(&metadata->raw_tails[active],
                    log_raw_tail(params->active_term_id, params->term_offset));
    for (int32_t i = 1; i < LOG_PARTITION_COUNT; i++) {
        int32_t term_id = wrapping_add_i32(params->active_term_id, i - LOG_PARTITION_COUNT);
        int32_t index = (active + i) % LOG_PARTITION_COUNT;
        store_plain_i64(&metadata->raw_tails[index], log_raw_tail(term_id, 0));
    }
    store_release_i32(&metadata->active_term_count, count);
}

static void init_default_header(struct log_metadata *metadata,
                                const struct log_buffer_params *params) {
    struct frame_header header = {
        .flags = FRAME_FLAG_UNFRAGMENTED,
        .type = FRAME_TYPE_DATA,
        .session_id = params->session_id,
        .stream_id = params->stream_id,
        .term_id = params->initial_term_id,
    };
    memcpy(metadata->default_header, &header, sizeof header);
}

static void set_geometry(struct log_buffer *log) {
    for (int i = 0; i < LOG_PARTITION_COUNT; i++) {
        log->terms[i] = log->file.address + (int64_t)i * log->term_length;
    }
    log->position_bits = trailing_zero_bits(log->term_length);
    log->initial_term_id = log->metadata->initial_term_id;
    log->mtu_length = log->metadata->mtu_length;
}

int log_buffer_allocate(struct log_buffer *log, const char *path, int32_t term_length,
                        const struct log_buffer_storage *storage, struct tern_error *error) {
    assert(log_term_length_is_valid(term_length));
    assert(log_page_size_is_valid(storage->page_size));
    *log = (struct log_buffer){0};
    int64_t length = log_buffer_file_length(term_length, storage->page_size);
    int result = mapped_file_create(&log->file, path, length, storage->sparse, error);
    if (result < 0) {
        return result;
    }
    struct log_metadata *metadata =
        (struct log_metadata *)(void *)(log->file.address + length - LOG_METADATA_LENGTH);
    metadata->term_length = term_length;
    metadata->page_size = storage->page_size;
    metadata->sparse = storage->sparse;
    log->metadata = metadata;
    log->term_length = term_length;
    return 0;
}

void log_buffer_format(struct log_buffer *log, const struct log_buffer_params *params) {
    struct log_metadata *metadata = log->metadata;
    assert(log_mtu_is_valid(params->mtu_length));
    assert(params->term_offset >= 0 && params->term_offset <= log->term_length);
    assert(params->term_offset % LOG_FRAME_ALIGNMENT == 0);
    assert(log_term_count(params->active_term_id, params->initial_term_id) >= 0);
    if (params->type != LOG_TYPE_IMAGE) {
        init_tails(metadata, params); /* an image has no producer and is read by positions */
    }
    init_default_header(metadata, params);
    store_release_i64(&metadata->end_of_stream_position, LOG_EOS_UNKNOWN);
    metadata->correlation_id = params->correlation_id;
    metadata->initial_term_id = params->initial_term_id;
    metadata->default_header_length = LOG_FRAME_HEADER_LENGTH;
    metadata->mtu_length = params->mtu_length;
    metadata->log_type = (uint8_t)params->type;
    set_geometry(log);
}

int log_buffer_create(struct log_buffer *log, const struct log_buffer_params *params,
                      struct tern_error *error) {
    const struct log_buffer_storage storage = {params->page_size, params->sparse};
    int result = log_buffer_allocate(log, params->path, params->term_length, &storage, error);
    if (result == 0) {
        log_buffer_format(log, params);
    }
    return result;
}

static int validate(struct log_buffer *log, const char *path, struct tern_error *error) {
    int64_t length = log->file.length;
    if (length < (int64_t)LOG_TERM_LENGTH_MIN * LOG_PARTITION_COUNT + LOG_METADATA_LENGTH ||
        length % LOG_PAGE_SIZE_MIN != 0) {
        return error_set(error, TERN_ERROR_PROTOCOL, "%s has %lld bytes: no log buffer", path,
                         (long long)length);
    }
    log->metadata =
        (struct log_metadata *)(void *)(log->file.address + length - LOG_METADATA_LENGTH);
    int32_t term_length = load_plain_i32(&log->metadata->term_length);
    int32_t page_size = load_plain_i32(&log->metadata->page_size);
    int32_t mtu_length = load_plain_i32(&log->metadata->mtu_length);
    if (!log_term_length_is_valid(term_length) || !log_page_size_is_valid(page_size) ||
        log_buffer_file_length(term_length, page_size) != length) {
        return error_set(error, TERN_ERROR_PROTOCOL,
                         "%s has %lld bytes, which term length %d and page size %d do not make",
                         path, (long long)length, term_length, page_size);
    }
    if (!log_mtu_is_valid(mtu_length)) {
        return error_set(error, TERN_ERROR_PROTOCOL, "%s has the invalid MTU %d", path, mtu_length);
    }
    log->term_length = term_length;
    set_geometry(log);
    log->mtu_length = mtu_length;
    return 0;
}

int log_buffer_open(struct log_buffer *log, const char *path, struct tern_error *error) {
    *log = (struct log_buffer){0};
    int result = mapped_file_open(&log->file, path, false, error);
    if (result < 0) {
        return result;
    }
    result = validate(log, path, error);
    if (result < 0) {
        log_buffer_close(log);
    }
    return result;
}

void log_buffer_close(struct log_buffer *log) {
    mapped_file_close(&log->file);
    *log = (struct log_buffer){0};
}

int64_t log_producer_position(const struct log_buffer *log) {
    const struct log_metadata *metadata = log->metadata;
    int32_t count = load_acquire_i32(&metadata->active_term_count);
    int64_t raw_tail = load_acquire_i64(&metadata->raw_tails[log_partition_index(count)]);
    return log_position(log_raw_tail_term_id(raw_tail),
                        log_raw_tail_offset(raw_tail, log->term_length), log->position_bits,
                        log->initial_term_id);
}

bool log_rotate(struct log_metadata *metadata, int32_t term_count, int32_t term_id) {
    int32_t next_count = wrapping_add_i32(term_count, 1);
    int32_t next_term_id = wrapping_add_i32(term_id, 1);
    int32_t expected_term_id = wrapping_sub_i32(next_term_id, LOG_PARTITION_COUNT);
    int64_t *tail = &metadata->raw_tails[log_partition_index(next_count)];
    int64_t raw_tail;
    do {
        raw_tail = load_acquire_i64(tail);
        if (log_raw_tail_term_id(raw_tail) != expected_term_id) {
            break; /* somebody else moved it */
        }
    } while (!compare_and_set_i64(tail, raw_tail, log_raw_tail(next_term_id, 0)));
    return compare_and_set_i32(&metadata->active_term_count, term_count, next_count);
}
