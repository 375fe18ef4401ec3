/* The catalog. The file is a header, records back to back at multiples of 64 bytes, and zeroes up
 * to its capacity. Fields inside a record change in place; records are never moved but by
 * catalog_replace.
 *
 * catalog_add writes the next id and all of the record but its header, then, when that is durable,
 * the header. A crash before it burns an id, which is legal (gaps are), and leaves a length of zero
 * where the records end; one that loses the first and not the second would leave half a record, or
 * a next id that is in use, and such a catalog is refused at open (4.3 rule 7).
 *
 * After a write or a sync that failed the file is suspect: nobody knows what it holds, and a later
 * sync does not write what an earlier one has lost. Then all of the image is written again before
 * anything else counts as done. So it is at open, for the last user may have ended that way.
 *
 * Everything read from the file is checked in catalog_open, once; later code decodes records from
 * the image in memory and asserts that they decode.
 */
#include "archived/catalog.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/log_buffer.h"

#define ENTRIES_CAPACITY_INITIAL 64
#define DESCRIPTOR_OFFSET ARCHIVE_CATALOG_RECORD_RECORDING_ID_OFFSET

/* The part of a record that mutations change: header and block, without the texts. */
#define RECORD_FIXED_LENGTH ARCHIVE_CATALOG_RECORD_BLOCK_LENGTH

static int64_t record_length(const uint8_t *record) {
    return CATALOG_RECORD_HEADER_LENGTH +
           (int64_t)get_i32(record + ARCHIVE_CATALOG_RECORD_LENGTH_OFFSET);
}

static int fail(struct tern_error *error, int result, const char *what,
                const struct catalog *catalog) {
    assert(result < 0);
    return error_set_errno(error, -result, "%s %.120s", what, catalog->path);
}

static int sync_file(struct catalog *catalog) {
    if (catalog->sync_level == 0) {
        return 0;
    }
    const struct store *store = catalog->store;
    int result = store->sync(store->context, catalog->file, catalog->sync_level > 1);
    catalog->is_suspect |= result != 0;
    return result;
}

static int write_range(struct catalog *catalog, int64_t offset, int64_t length) {
    assert(offset >= 0);
    assert(offset + length <= catalog->data_capacity);
    const struct store *store = catalog->store;
    int result =
        store->pwrite(store->context, catalog->file, catalog->data + offset, length, offset);
    catalog->is_suspect |= result != 0;
    return result;
}

/* Write `length` bytes of `data` as a new file of `capacity` bytes and put it in the place of the
 * old one. When the exchange itself is done but may not survive, this is an error, too. */
static int swap_file(struct catalog *catalog, const uint8_t *data, int64_t length,
                     int64_t capacity) {
    const struct store *store = catalog->store;
    char path[CATALOG_PATH_MAX + 16];
    (void)snprintf(path, sizeof path, "%s.updated", catalog->path);
    int file;
    int result =
        store->open(store->context, path, STORE_WRITE | STORE_CREATE | STORE_TRUNCATE, &file);
    if (result != 0) {
        return result;
    }
    result = store->truncate(store->context, file, capacity);
    if (result == 0) {
        result = store->pwrite(store->context, file, data, length, 0);
    }
    if (result == 0) {
        result = store->sync(store->context, file, true);
    }
    if (result == 0) {
        result = store->rename(store->context, path, catalog->path);
    }
    if (result != 0) {
        (void)store->close(store->context, file);
        (void)store->unlink(store->context, path);
        return result;
    }
    (void)store->close(store->context, catalog->file);
    catalog->file = file;
    catalog->capacity = capacity;
    catalog->is_suspect = false;
    catalog->soiled_end = 0;
    /* Without this a power failure may bring the old file back, whole. */
    result =
        catalog->sync_level > 0 ? store->sync_directory(store->context, catalog->directory) : 0;
    catalog->is_name_suspect = result != 0;
    return result;
}

int catalog_repair(struct catalog *catalog) {
    if (catalog->is_name_suspect) {
        return swap_file(catalog, catalog->data, catalog->length, catalog->capacity);
    }
    if (!catalog->is_suspect) {
        return 0;
    }
    /* With the header of an addition that failed, so that nothing of it counts. */
    bool is_soiled = catalog->soiled_end > catalog->length;
    int64_t end = catalog->length + (is_soiled ? CATALOG_RECORD_HEADER_LENGTH : 0);
    int result = write_range(catalog, 0, end);
    result = result == 0 ? sync_file(catalog) : result;
    catalog->is_suspect = result != 0;
    return result;
}

/* Make room in memory for `length` bytes, zeroed behind the used part. */
static int reserve_data(struct catalog *catalog, int64_t length) {
    if (length <= catalog->data_capacity) {
        return 0;
    }
    int64_t capacity = max_i64(length, catalog->data_capacity + catalog->data_capacity / 2);
    uint8_t *data = realloc(catalog->data, (size_t)capacity);
    if (data == NULL) {
        return -ENOMEM;
    }
    memset(data + catalog->data_capacity, 0, (size_t)(capacity - catalog->data_capacity));
    catalog->data = data;
    catalog->data_capacity = capacity;
    return 0;
}

static int reserve_entries(struct catalog *catalog) {
    if (catalog->count < catalog->entries_capacity) {
        return 0;
    }
    int capacity =
        catalog->entries_capacity == 0 ? ENTRIES_CAPACITY_INITIAL : 2 * catalog->entries_capacity;
    struct catalog_entry *entries = realloc(catalog->entries, (size_t)capacity * sizeof *entries);
    if (entries == NULL) {
        return -ENOMEM;
    }
    catalog->entries = entries;
    catalog->entries_capacity = capacity;
    return 0;
}

/* ---- open -------------------------------------------------------------------------------------
 */

static void encode_header(struct catalog *catalog, int32_t version) {
    const struct archive_catalog_header header = {
        .version = version,
        .length = CATALOG_HEADER_LENGTH,
        .next_recording_id = catalog->next_recording_id,
        .alignment = CATALOG_ALIGNMENT,
    };
    int32_t written = archive_catalog_header_encode(&header, catalog->data, CATALOG_HEADER_LENGTH);
    assert(written == CATALOG_HEADER_LENGTH);
    (void)written;
}

static int create_file(struct catalog *catalog, struct tern_error *error) {
    int result = reserve_data(catalog, CATALOG_HEADER_LENGTH);
    if (result != 0) {
        return fail(error, result, "create", catalog);
    }
    catalog->length = CATALOG_HEADER_LENGTH;
    encode_header(catalog, ARCHIVE_FILE_VERSION);
    const struct store *store = catalog->store;
    /* The header before the length: a crash leaves an empty file or one that can be opened. */
    result = write_range(catalog, 0, CATALOG_HEADER_LENGTH);
    if (result == 0) {
        result = store->truncate(store->context, catalog->file, catalog->capacity);
    }
    if (result == 0) {
        result = sync_file(catalog);
    }
    if (result == 0 && catalog->sync_level > 0) {
        result = store->sync_directory(store->context, catalog->directory);
    }
    return result == 0 ? 0 : fail(error, result, "create", catalog);
}

static int check_header(struct catalog *catalog, struct tern_error *error) {
    struct archive_catalog_header header;
    if (archive_catalog_header_decode(&header, catalog->data, CATALOG_HEADER_LENGTH) != 0) {
        return error_set(error, -EBADMSG, "%s: no catalog header", catalog->path);
    }
    if (header.version >> 16 != ARCHIVE_FILE_VERSION_MAJOR) {
        return error_set(error, TERN_ERROR_VERSION,
                         "%.120s has version %d.%d.%d, this archive reads 3.x.x", catalog->path,
                         header.version >> 16, (header.version >> 8) & 0xFF, header.version & 0xFF);
    }
    if (header.length != CATALOG_HEADER_LENGTH || header.alignment != CATALOG_ALIGNMENT ||
        header.next_recording_id < 0) {
        return error_set(error, -EBADMSG,
                         "%.120s: header length %d, alignment %d, next recording id %" PRId64,
                         catalog->path, header.length, header.alignment, header.next_recording_id);
    }
    catalog->next_recording_id = header.next_recording_id;
    return 0;
}

/* Whether the numbers of a record can be those of a recording. */
static bool record_is_sound(const struct archive_catalog_record *record) {
    bool has_start = record->start_position >= 0 && record->start_position % 32 == 0;
    return has_start && log_term_length_is_valid(record->term_buffer_length) &&
           is_power_of_two(record->segment_file_length) &&
           record->segment_file_length >= record->term_buffer_length &&
           log_mtu_is_valid(record->mtu_length);
}

static bool stop_is_sound(const struct archive_catalog_record *record) {
    return record->stop_position == ARCHIVE_NULL ||
           (record->stop_position >= record->start_position && record->stop_position % 32 == 0);
}

/* Nothing but zeroes from `offset` to the end of the image. */
static bool is_zero_behind(const struct catalog *catalog, int64_t offset, int64_t file_length) {
    for (int64_t i = offset; i < file_length; i++) {
        if (catalog->data[i] != 0) {
            return false;
        }
    }
    return true;
}

/* Length of the record at `offset`; 0: the records end there; negative: damaged. */
static int64_t decode_at(struct archive_catalog_record *record, const struct catalog *catalog,
                         int64_t offset, int64_t file_length) {
    if (offset + RECORD_FIXED_LENGTH > file_length || get_i32(catalog->data + offset) <= 0) {
        return 0;
    }
    int64_t length = align_i64(record_length(catalog->data + offset), CATALOG_ALIGNMENT);
    bool is_readable =
        offset + length <= file_length &&
        archive_catalog_record_decode(record, catalog->data + offset, (int32_t)length) == 0;
    return is_readable ? length : -EBADMSG;
}

/* Index the record at catalog->length. 1: done; 0: no further record; negative: damaged. */
static int index_record(struct catalog *catalog, int64_t file_length, int64_t *last_id) {
    int64_t offset = catalog->length;
    struct archive_catalog_record record;
    int64_t length = decode_at(&record, catalog, offset, file_length);
    if (length <= 0 || record.recording_id <= *last_id) {
        return length == 0 ? 0 : -EBADMSG;
    }
    if (record.state == ARCHIVE_RECORDING_STATE_VALID && !record_is_sound(&record)) {
        catalog->quarantined_count++;
    } else if (record.state == ARCHIVE_RECORDING_STATE_VALID) {
        int result = reserve_entries(catalog);
        if (result != 0) {
            return result;
        }
        if (!stop_is_sound(&record)) {
            /* Its segments say where it ends, as when it was not closed. */
            put_i64(catalog->data + offset + ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET,
                    ARCHIVE_NULL);
            catalog->lost_stop_count++;
        }
        catalog->entries[catalog->count++] = (struct catalog_entry){record.recording_id, offset};
    }
    *last_id = record.recording_id;
    catalog->length = offset + length;
    return 1;
}

/* A record that cannot be read is the torn end of the last write when nothing stands behind it; it
 * was never acknowledged, so it is removed. */
static int cut_torn_record(struct catalog *catalog, int64_t file_length, struct tern_error *error) {
    int64_t offset = catalog->length;
    int64_t claimed = align_i64(record_length(catalog->data + offset), CATALOG_ALIGNMENT);
    if (offset + claimed < file_length && !is_zero_behind(catalog, offset + claimed, file_length)) {
        return error_set(error, -EBADMSG, "%.120s: damaged record at offset %" PRId64,
                         catalog->path, offset);
    }
    catalog->cut_length = file_length - offset;
    if (catalog->is_read_only) {
        return 0;
    }
    memset(catalog->data + offset, 0, (size_t)(file_length - offset));
    int result = write_range(catalog, offset, file_length - offset);
    return result == 0 ? 0 : fail(error, result, "repair", catalog);
}

/* What stands behind the last record is of an addition that broke off before its header was
 * written, and goes. Records there mean that one before them has lost its length. */
static int clear_behind(struct catalog *catalog, int64_t file_length, int64_t last_id,
                        struct tern_error *error) {
    if (is_zero_behind(catalog, catalog->length, file_length)) {
        return 0;
    }
    for (int64_t at = catalog->length; at < file_length; at += CATALOG_ALIGNMENT) {
        struct archive_catalog_record record;
        if (decode_at(&record, catalog, at, file_length) > 0 && record.recording_id > last_id &&
            record_is_sound(&record)) {
            return error_set(error, -EBADMSG, "%.120s: damaged record at offset %" PRId64,
                             catalog->path, catalog->length);
        }
    }
    if (catalog->is_read_only) {
        return 0;
    }
    memset(catalog->data + catalog->length, 0, (size_t)(file_length - catalog->length));
    int result = write_range(catalog, catalog->length, file_length - catalog->length);
    return result == 0 ? 0 : fail(error, result, "repair", catalog);
}

static int index_records(struct catalog *catalog, int64_t file_length, struct tern_error *error) {
    int64_t last_id = -1;
    int result;
    catalog->length = CATALOG_HEADER_LENGTH;
    do {
        result = index_record(catalog, file_length, &last_id);
    } while (result == 1);
    if (result == -EBADMSG || result == 0) {
        result = result == 0 ? clear_behind(catalog, file_length, last_id, error)
                             : cut_torn_record(catalog, file_length, error);
        if (result != 0) {
            return result;
        }
    }
    if (result != 0) {
        return fail(error, result, "read", catalog);
    }
    if (catalog->next_recording_id == 0) {
        catalog->next_recording_id = last_id + 1;
    }
    if (catalog->next_recording_id <= last_id) {
        return error_set(error, -EBADMSG,
                         "%.120s: next recording id %" PRId64 " is not above the last id %" PRId64,
                         catalog->path, catalog->next_recording_id, last_id);
    }
    return 0;
}

/* A file that is shorter than a header is what a creation left that broke off inside its first
 * write, when it is the beginning of a new one; no recording was ever in it. Anything else is
 * damage. */
static int finish_creation(struct catalog *catalog, int64_t file_length, struct tern_error *error) {
    uint8_t found[CATALOG_HEADER_LENGTH];
    const struct store *store = catalog->store;
    int64_t count = store->pread(store->context, catalog->file, found, file_length, 0);
    int result = count == file_length ? reserve_data(catalog, CATALOG_HEADER_LENGTH)
                 : count < 0          ? (int)count
                                      : -EIO;
    if (result != 0) {
        return fail(error, result, "read", catalog);
    }
    encode_header(catalog, ARCHIVE_FILE_VERSION);
    if (memcmp(found, catalog->data, (size_t)file_length) != 0) {
        return error_set(error, -EBADMSG, "%.120s: %" PRId64 " bytes that begin no catalog",
                         catalog->path, file_length);
    }
    return create_file(catalog, error);
}

static int read_file(struct catalog *catalog, int64_t file_length, struct tern_error *error) {
    const struct store *store = catalog->store;
    if (file_length < CATALOG_HEADER_LENGTH && !catalog->is_read_only) {
        return finish_creation(catalog, file_length, error);
    }
    if (file_length < CATALOG_HEADER_LENGTH || file_length > CATALOG_CAPACITY_MAX) {
        return error_set(error, -EBADMSG, "%.120s: length %" PRId64 " is not between 32 and 2^31-1",
                         catalog->path, file_length);
    }
    int result = reserve_data(catalog, file_length);
    if (result != 0) {
        return fail(error, result, "read", catalog);
    }
    int64_t count = store->pread(store->context, catalog->file, catalog->data, file_length, 0);
    if (count != file_length) {
        return fail(error, count < 0 ? (int)count : -EIO, "read", catalog);
    }
    if (is_zero_behind(catalog, 0, file_length) && !catalog->is_read_only) {
        return create_file(catalog, error); /* a power failure took the header of a new file */
    }
    result = check_header(catalog, error);
    if (result == 0) {
        result = index_records(catalog, file_length, error);
    }
    if (result == 0 && file_length < catalog->capacity && !catalog->is_read_only) {
        result = store->truncate(store->context, catalog->file, catalog->capacity);
        if (result != 0) {
            return fail(error, result, "extend", catalog);
        }
    }
    catalog->capacity = max_i64(catalog->capacity, file_length);
    if (result == 0 && catalog->sync_level > 0 && !catalog->is_read_only) {
        catalog->is_suspect = true;
        result = catalog_repair(catalog);
        if (result == 0) {
            result = store->sync_directory(store->context, catalog->directory);
        }
        result = result == 0 ? 0 : fail(error, result, "write", catalog);
    }
    return result;
}

int catalog_open(struct catalog *catalog, const struct catalog_params *params,
                 struct tern_error *error) {
    *catalog = (struct catalog){
        .store = params->store,
        .checksum = params->checksum,
        .sync_level = params->sync_level,
        .is_read_only = params->is_read_only,
        .file = -1,
        .capacity = params->capacity,
    };
    int length = snprintf(catalog->path, sizeof catalog->path, "%s/%s", params->directory,
                          CATALOG_FILE_NAME);
    if (length >= CATALOG_PATH_MAX) {
        return error_set(error, -ENAMETOOLONG, "directory name is too long");
    }
    (void)snprintf(catalog->directory, sizeof catalog->directory, "%s", params->directory);
    const struct store *store = catalog->store;
    unsigned flags = params->is_read_only ? STORE_READ : STORE_WRITE | STORE_CREATE;
    int result = store->open(store->context, catalog->path, flags, &catalog->file);
    if (result != 0) {
        return fail(error, result, "open", catalog);
    }
    int64_t file_length = store->length(store->context, catalog->file);
    if (file_length < 0) {
        result = fail(error, (int)file_length, "open", catalog);
    } else if (file_length == 0 && !catalog->is_read_only) {
        result = create_file(catalog, error);
    } else {
        result = read_file(catalog, file_length, error);
    }
    if (result != 0) {
        catalog_close(catalog);
    }
    return result;
}

void catalog_close(struct catalog *catalog) {
    if (catalog->store != NULL && catalog->file >= 0) {
        if (!catalog->is_read_only) {
            (void)catalog_repair(catalog);
            (void)catalog->store->sync(catalog->store->context, catalog->file, true);
        }
        (void)catalog->store->close(catalog->store->context, catalog->file);
    }
    free(catalog->data);
    free(catalog->entries);
    *catalog = (struct catalog){.file = -1};
}

/* ---- lookups ----------------------------------------------------------------------------------
 */

int catalog_lower_bound(const struct catalog *catalog, int64_t recording_id) {
    int low = 0;
    int high = catalog->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (catalog->entries[middle].recording_id < recording_id) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Index of the entry, or -1. */
static int find(const struct catalog *catalog, int64_t recording_id) {
    int index = catalog_lower_bound(catalog, recording_id);
    bool is_found = index < catalog->count && catalog->entries[index].recording_id == recording_id;
    return is_found ? index : -1;
}

bool catalog_contains(const struct catalog *catalog, int64_t recording_id) {
    return find(catalog, recording_id) >= 0;
}

void catalog_get_at(const struct catalog *catalog, int index,
                    struct archive_catalog_record *record) {
    assert(index >= 0 && index < catalog->count);
    const uint8_t *bytes = catalog->data + catalog->entries[index].offset;
    int result = archive_catalog_record_decode(record, bytes, (int32_t)record_length(bytes));
    assert(result == 0);
    (void)result;
}

bool catalog_get(const struct catalog *catalog, int64_t recording_id,
                 struct archive_catalog_record *record) {
    int index = find(catalog, recording_id);
    if (index < 0) {
        return false;
    }
    catalog_get_at(catalog, index, record);
    return true;
}

void catalog_for_each(const struct catalog *catalog, catalog_visitor visit, void *context) {
    int64_t offset = CATALOG_HEADER_LENGTH;
    while (offset < catalog->length) {
        const uint8_t *bytes = catalog->data + offset;
        struct archive_catalog_record record;
        int result = archive_catalog_record_decode(&record, bytes, (int32_t)record_length(bytes));
        assert(result == 0); /* checked when it was indexed */
        (void)result;
        visit(context, &record);
        offset += align_i64(record_length(bytes), CATALOG_ALIGNMENT);
    }
}

int32_t catalog_descriptor(const struct catalog *catalog, int index, int64_t control_session_id,
                           int64_t correlation_id, uint8_t *buffer) {
    assert(index >= 0 && index < catalog->count);
    const uint8_t *record = catalog->data + catalog->entries[index].offset;
    int32_t body_length = (int32_t)(record_length(record) - DESCRIPTOR_OFFSET);
    int32_t length = ARCHIVE_RECORDING_DESCRIPTOR_RECORDING_ID_OFFSET + body_length;
    if (buffer == NULL) {
        return length;
    }
    put_u16(buffer, ARCHIVE_RECORDING_DESCRIPTOR_BLOCK_LENGTH);
    put_u16(buffer + 2, ARCHIVE_TEMPLATE_RECORDING_DESCRIPTOR);
    put_u16(buffer + 4, ARCHIVE_SCHEMA_ID);
    put_u16(buffer + 6, ARCHIVE_SCHEMA_VERSION);
    put_i64(buffer + ARCHIVE_RECORDING_DESCRIPTOR_CONTROL_SESSION_ID_OFFSET, control_session_id);
    put_i64(buffer + ARCHIVE_RECORDING_DESCRIPTOR_CORRELATION_ID_OFFSET, correlation_id);
    memcpy(buffer + ARCHIVE_RECORDING_DESCRIPTOR_RECORDING_ID_OFFSET, record + DESCRIPTOR_OFFSET,
           (size_t)body_length);
    return length;
}

/* ---- mutations --------------------------------------------------------------------------------
 */

static void refresh_checksum(const struct catalog *catalog, uint8_t *record) {
    int32_t value = checksum_compute(catalog->checksum, record + CATALOG_RECORD_HEADER_LENGTH,
                                     record_length(record) - CATALOG_RECORD_HEADER_LENGTH);
    put_i32(record + ARCHIVE_CATALOG_RECORD_CHECKSUM_OFFSET, value);
}

/* Whole length of the record once written, 0 when it is too long for any catalog. */
static int64_t aligned_length_of(const struct archive_catalog_record *record) {
    int64_t length = RECORD_FIXED_LENGTH + 3 * (int64_t)sizeof(uint32_t) +
                     record->stripped_channel.length + record->original_channel.length +
                     record->source_identity.length;
    return align_i64(length, CATALOG_ALIGNMENT);
}

/* Encode a record into `length` bytes, with everything that the catalog decides. */
static void encode_record(const struct catalog *catalog,
                          const struct archive_catalog_record *record, uint8_t *bytes,
                          int64_t length) {
    struct archive_catalog_record final = *record;
    final.length = (int32_t)(length - CATALOG_RECORD_HEADER_LENGTH);
    final.state = ARCHIVE_RECORDING_STATE_VALID;
    final.checksum = 0;
    memset(bytes, 0, (size_t)length);
    int32_t written = archive_catalog_record_encode(&final, bytes, (int32_t)length);
    assert(written > 0);
    (void)written;
    refresh_checksum(catalog, bytes);
}

/* The file's length for `length` used bytes, growing by half (4.3 rule 6). 0: not possible. */
static int64_t capacity_for(const struct catalog *catalog, int64_t length) {
    int64_t capacity = catalog->capacity;
    if (length > CATALOG_CAPACITY_MAX) {
        return 0;
    }
    while (capacity < length) {
        capacity = min_i64(CATALOG_CAPACITY_MAX, capacity + capacity / 2);
    }
    return capacity;
}

static int grow_file(struct catalog *catalog, int64_t length) {
    int64_t capacity = capacity_for(catalog, length);
    if (capacity == 0) {
        return -ENOSPC;
    }
    if (capacity == catalog->capacity) {
        return 0;
    }
    const struct store *store = catalog->store;
    int result = store->truncate(store->context, catalog->file, capacity);
    if (result == 0) {
        catalog->capacity = capacity;
    }
    return result;
}

/* Write the next id and a record whose header is zero yet; then the header. */
static int write_added(struct catalog *catalog, int64_t offset,
                       const struct archive_catalog_record *record) {
    int64_t length = aligned_length_of(record);
    uint8_t header[CATALOG_RECORD_HEADER_LENGTH];
    encode_record(catalog, record, catalog->data + offset, length);
    memcpy(header, catalog->data + offset, sizeof header);
    memset(catalog->data + offset, 0, sizeof header);
    int64_t end = max_i64(offset + length, catalog->soiled_end);
    int result = write_range(catalog, 0, CATALOG_HEADER_LENGTH);
    catalog->soiled_end = end;
    result = result == 0 ? write_range(catalog, offset, end - offset) : result;
    result = result == 0 ? sync_file(catalog) : result;
    memcpy(catalog->data + offset, header, sizeof header);
    result = result == 0 ? write_range(catalog, offset, (int64_t)sizeof header) : result;
    return result == 0 ? sync_file(catalog) : result;
}

int catalog_add(struct catalog *catalog, const struct archive_catalog_record *record,
                int64_t *recording_id, struct tern_error *error) {
    int64_t length = aligned_length_of(record);
    int64_t offset = catalog->length;
    int result = catalog_repair(catalog);
    result = result == 0 ? grow_file(catalog, offset + length) : result;
    result = result == 0 ? reserve_data(catalog, offset + length) : result;
    result = result == 0 ? reserve_entries(catalog) : result;
    if (result != 0) {
        return fail(error, result, "add a recording to", catalog);
    }
    struct archive_catalog_record added = *record;
    added.recording_id = catalog->next_recording_id++;
    put_i64(catalog->data + ARCHIVE_CATALOG_HEADER_NEXT_RECORDING_ID_OFFSET,
            catalog->next_recording_id);
    result = write_added(catalog, offset, &added);
    if (result != 0) {
        /* Nothing of a record that was refused may stay; the next one takes its place. */
        memset(catalog->data + offset, 0, (size_t)length);
        (void)catalog_repair(catalog);
        return fail(error, result, "add a recording to", catalog);
    }
    catalog->entries[catalog->count++] = (struct catalog_entry){added.recording_id, offset};
    catalog->length = offset + length;
    catalog->soiled_end = 0;
    *recording_id = added.recording_id;
    return 0;
}

static uint8_t *bytes_of(struct catalog *catalog, int64_t recording_id) {
    int index = find(catalog, recording_id);
    assert(index >= 0);
    return catalog->data + catalog->entries[index].offset;
}

static int write_record(struct catalog *catalog, const uint8_t *record) {
    if (catalog->is_suspect || catalog->is_name_suspect) {
        return catalog_repair(catalog); /* the record with the rest */
    }
    int result = write_range(catalog, record - catalog->data, RECORD_FIXED_LENGTH);
    return result == 0 ? sync_file(catalog) : result;
}

/* Write the changed fixed part of a record. When that fails all is as `before`: who asked is told
 * that nothing happened, so nothing may have happened. */
static int commit(struct catalog *catalog, uint8_t *record, const uint8_t *before,
                  struct tern_error *error) {
    refresh_checksum(catalog, record);
    int result = write_record(catalog, record);
    if (result != 0) {
        memcpy(record, before, RECORD_FIXED_LENGTH);
        (void)write_record(catalog, record);
        return fail(error, result, "update", catalog);
    }
    return 0;
}

int catalog_recording_stopped(struct catalog *catalog, int64_t recording_id, int64_t position,
                              int64_t timestamp_ms, struct tern_error *error) {
    uint8_t before[RECORD_FIXED_LENGTH];
    uint8_t *record = bytes_of(catalog, recording_id);
    memcpy(before, record, sizeof before);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_TIMESTAMP_OFFSET, timestamp_ms);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, position);
    return commit(catalog, record, before, error);
}

/* Change one 64-bit field. */
static int set_field(struct catalog *catalog, int64_t recording_id, int32_t offset, int64_t value,
                     struct tern_error *error) {
    uint8_t before[RECORD_FIXED_LENGTH];
    uint8_t *record = bytes_of(catalog, recording_id);
    memcpy(before, record, sizeof before);
    put_i64(record + offset, value);
    return commit(catalog, record, before, error);
}

int catalog_set_stop_position(struct catalog *catalog, int64_t recording_id, int64_t position,
                              struct tern_error *error) {
    return set_field(catalog, recording_id, ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, position,
                     error);
}

int catalog_set_start_position(struct catalog *catalog, int64_t recording_id, int64_t position,
                               struct tern_error *error) {
    return set_field(catalog, recording_id, ARCHIVE_CATALOG_RECORD_START_POSITION_OFFSET, position,
                     error);
}

int catalog_extend(struct catalog *catalog, const struct catalog_extension *extension,
                   struct tern_error *error) {
    uint8_t before[RECORD_FIXED_LENGTH];
    uint8_t *record = bytes_of(catalog, extension->recording_id);
    memcpy(before, record, sizeof before);
    put_i64(record + ARCHIVE_CATALOG_RECORD_CONTROL_SESSION_ID_OFFSET,
            extension->control_session_id);
    put_i64(record + ARCHIVE_CATALOG_RECORD_CORRELATION_ID_OFFSET, extension->correlation_id);
    put_i32(record + ARCHIVE_CATALOG_RECORD_SESSION_ID_OFFSET, extension->session_id);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_TIMESTAMP_OFFSET, ARCHIVE_NULL);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, ARCHIVE_NULL);
    return commit(catalog, record, before, error);
}

int catalog_remove(struct catalog *catalog, int64_t recording_id, int32_t state,
                   struct tern_error *error) {
    assert(state != ARCHIVE_RECORDING_STATE_VALID);
    int index = find(catalog, recording_id);
    assert(index >= 0);
    uint8_t *record = catalog->data + catalog->entries[index].offset;
    put_i32(record + ARCHIVE_CATALOG_RECORD_STATE_OFFSET, state);
    int result = write_record(catalog, record);
    if (result != 0) {
        put_i32(record + ARCHIVE_CATALOG_RECORD_STATE_OFFSET, ARCHIVE_RECORDING_STATE_VALID);
        (void)write_record(catalog, record);
        return fail(error, result, "update", catalog);
    }
    memmove(&catalog->entries[index], &catalog->entries[index + 1],
            (size_t)(catalog->count - index - 1) * sizeof catalog->entries[0]);
    catalog->count--;
    return 0;
}

/* ---- replace ----------------------------------------------------------------------------------
 */

/* The image with the record at `offset` changed; later records move by `growth`. */
static uint8_t *image_with(const struct catalog *catalog, int64_t offset, int64_t growth,
                           const struct archive_catalog_record *record) {
    int64_t old_length = record_length(catalog->data + offset);
    uint8_t *data = calloc(1, (size_t)(catalog->length + growth));
    if (data == NULL) {
        return NULL;
    }
    memcpy(data, catalog->data, (size_t)offset);
    memcpy(data + offset + old_length + growth, catalog->data + offset + old_length,
           (size_t)(catalog->length - offset - old_length));
    encode_record(catalog, record, data + offset, old_length + growth);
    return data;
}

int catalog_replace(struct catalog *catalog, int64_t recording_id,
                    const struct archive_catalog_record *record, struct tern_error *error) {
    int index = find(catalog, recording_id);
    assert(index >= 0);
    int64_t offset = catalog->entries[index].offset;
    struct archive_catalog_record old;
    catalog_get_at(catalog, index, &old);
    struct archive_catalog_record replaced = *record;
    replaced.recording_id = recording_id;
    replaced.control_session_id = old.control_session_id;
    replaced.correlation_id = old.correlation_id;
    int64_t growth = max_i64(0, aligned_length_of(record) - record_length(catalog->data + offset));
    int64_t capacity = capacity_for(catalog, catalog->length + growth);
    if (capacity == 0) {
        return fail(error, -ENOSPC, "update", catalog);
    }
    uint8_t *data = image_with(catalog, offset, growth, &replaced);
    if (data == NULL) {
        return fail(error, -ENOMEM, "update", catalog);
    }
    int result = swap_file(catalog, data, catalog->length + growth, capacity);
    if (result != 0) {
        free(data);
        (void)catalog_repair(catalog);
        return fail(error, result, "update", catalog);
    }
    free(catalog->data);
    catalog->data = data;
    catalog->length += growth;
    catalog->data_capacity = catalog->length;
    for (int i = index + 1; i < catalog->count; i++) {
        catalog->entries[i].offset += growth;
    }
    return 0;
}
