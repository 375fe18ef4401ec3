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
 * Everything read from the file is checked when it is opened (catalog_open.c), once; later code
 * decodes records from the image in memory and asserts that they decode.
 */
#include "archived/catalog_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENTRIES_CAPACITY_INITIAL 64
#define DESCRIPTOR_OFFSET ARCHIVE_CATALOG_RECORD_RECORDING_ID_OFFSET

int catalog_fail(struct tern_error *error, int result, const char *what,
                 const struct catalog *catalog) {
    assert(result < 0);
    return error_set_errno(error, -result, "%s %.120s", what, catalog->path);
}

int catalog_sync_file(struct catalog *catalog) {
    if (catalog->sync_level == 0) {
        return 0;
    }
    const struct store *store = catalog->store;
    int result = store->sync(store->context, catalog->file, catalog->sync_level > 1);
    catalog->is_suspect |= result != 0;
    return result;
}

int catalog_write_range(struct catalog *catalog, int64_t offset, int64_t length) {
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
    int result = catalog_write_range(catalog, 0, end);
    result = result == 0 ? catalog_sync_file(catalog) : result;
    catalog->is_suspect = result != 0;
    return result;
}

/* Make room in memory for `length` bytes, zeroed behind the used part. */
int catalog_reserve_data(struct catalog *catalog, int64_t length) {
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

int catalog_reserve_entries(struct catalog *catalog) {
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
    int result =
        archive_catalog_record_decode(record, bytes, (int32_t)catalog_record_length(bytes));
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

static int32_t checksum_of(const struct checksum *checksum, const uint8_t *record) {
    return checksum_compute(checksum, record + CATALOG_RECORD_HEADER_LENGTH,
                            get_i32(record + ARCHIVE_CATALOG_RECORD_LENGTH_OFFSET));
}

static bool has_checksum(const struct checksum *checksum, const uint8_t *record) {
    return checksum_is_enabled(checksum) &&
           get_i32(record + ARCHIVE_CATALOG_RECORD_CHECKSUM_OFFSET) ==
               checksum_of(checksum, record);
}

enum checksum_kind catalog_frame_checksum(const struct catalog *catalog, int64_t recording_id) {
    int index = find(catalog, recording_id);
    assert(index >= 0);
    const uint8_t *record = catalog->data + catalog->entries[index].offset;
    if (has_checksum(catalog->checksum, record)) {
        return catalog->checksum->kind;
    }
    for (int kind = CHECKSUM_CRC32; kind <= CHECKSUM_CRC32C; kind++) {
        struct checksum other;
        checksum_init(&other, (enum checksum_kind)kind);
        if (has_checksum(&other, record)) {
            return (enum checksum_kind)kind;
        }
    }
    return CHECKSUM_NONE;
}

void catalog_for_each(const struct catalog *catalog, catalog_visitor visit, void *context) {
    int64_t offset = CATALOG_HEADER_LENGTH;
    while (offset < catalog->length) {
        const uint8_t *bytes = catalog->data + offset;
        struct archive_catalog_record record;
        int result =
            archive_catalog_record_decode(&record, bytes, (int32_t)catalog_record_length(bytes));
        assert(result == 0); /* checked when it was indexed */
        (void)result;
        visit(context, &record);
        offset += align_i64(catalog_record_length(bytes), CATALOG_ALIGNMENT);
    }
}

int32_t catalog_descriptor(const struct catalog *catalog, int index, int64_t control_session_id,
                           int64_t correlation_id, uint8_t *buffer) {
    assert(index >= 0 && index < catalog->count);
    const uint8_t *record = catalog->data + catalog->entries[index].offset;
    int32_t body_length = (int32_t)(catalog_record_length(record) - DESCRIPTOR_OFFSET);
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

/* A record of other frames than this run writes keeps none, so that it is known for one. */
static void set_checksum(const struct catalog *catalog, uint8_t *record, bool is_checked) {
    put_i32(record + ARCHIVE_CATALOG_RECORD_CHECKSUM_OFFSET,
            is_checked ? checksum_of(catalog->checksum, record) : 0);
}

/* Whole length of the record once written, 0 when it is too long for any catalog. */
static int64_t aligned_length_of(const struct archive_catalog_record *record) {
    int64_t length = CATALOG_RECORD_FIXED_LENGTH + 3 * (int64_t)sizeof(uint32_t) +
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
    set_checksum(catalog, bytes, true);
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
    int result = catalog_write_range(catalog, 0, CATALOG_HEADER_LENGTH);
    catalog->soiled_end = end;
    result = result == 0 ? catalog_write_range(catalog, offset, end - offset) : result;
    result = result == 0 ? catalog_sync_file(catalog) : result;
    memcpy(catalog->data + offset, header, sizeof header);
    result = result == 0 ? catalog_write_range(catalog, offset, (int64_t)sizeof header) : result;
    return result == 0 ? catalog_sync_file(catalog) : result;
}

int catalog_add(struct catalog *catalog, const struct archive_catalog_record *record,
                int64_t *recording_id, struct tern_error *error) {
    int64_t length = aligned_length_of(record);
    int64_t offset = catalog->length;
    int result = catalog_repair(catalog);
    result = result == 0 ? grow_file(catalog, offset + length) : result;
    result = result == 0 ? catalog_reserve_data(catalog, offset + length) : result;
    result = result == 0 ? catalog_reserve_entries(catalog) : result;
    if (result != 0) {
        return catalog_fail(error, result, "add a recording to", catalog);
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
        return catalog_fail(error, result, "add a recording to", catalog);
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
    int result = catalog_write_range(catalog, record - catalog->data, CATALOG_RECORD_FIXED_LENGTH);
    return result == 0 ? catalog_sync_file(catalog) : result;
}

/* A change of a record that has begun. */
struct change {
    uint8_t before[CATALOG_RECORD_FIXED_LENGTH];
    bool is_checked; /* the record has, and keeps, the checksum of this run's algorithm */
};

static void begin_change(const struct catalog *catalog, const uint8_t *record,
                         struct change *change) {
    memcpy(change->before, record, CATALOG_RECORD_FIXED_LENGTH);
    change->is_checked = has_checksum(catalog->checksum, record);
}

/* Write the changed fixed part of a record. When that fails all is as before: who asked is told
 * that nothing happened, so nothing may have happened. */
static int commit(struct catalog *catalog, uint8_t *record, const struct change *change,
                  struct tern_error *error) {
    set_checksum(catalog, record, change->is_checked);
    int result = write_record(catalog, record);
    if (result != 0) {
        memcpy(record, change->before, CATALOG_RECORD_FIXED_LENGTH);
        (void)write_record(catalog, record);
        return catalog_fail(error, result, "update", catalog);
    }
    return 0;
}

int catalog_recording_stopped(struct catalog *catalog, int64_t recording_id, int64_t position,
                              int64_t timestamp_ms, struct tern_error *error) {
    struct change change;
    uint8_t *record = bytes_of(catalog, recording_id);
    begin_change(catalog, record, &change);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_TIMESTAMP_OFFSET, timestamp_ms);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, position);
    return commit(catalog, record, &change, error);
}

/* Change one 64-bit field. */
static int set_field(struct catalog *catalog, int64_t recording_id, int32_t offset, int64_t value,
                     struct tern_error *error) {
    struct change change;
    uint8_t *record = bytes_of(catalog, recording_id);
    begin_change(catalog, record, &change);
    put_i64(record + offset, value);
    return commit(catalog, record, &change, error);
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
    struct change change;
    uint8_t *record = bytes_of(catalog, extension->recording_id);
    begin_change(catalog, record, &change);
    put_i64(record + ARCHIVE_CATALOG_RECORD_CONTROL_SESSION_ID_OFFSET,
            extension->control_session_id);
    put_i64(record + ARCHIVE_CATALOG_RECORD_CORRELATION_ID_OFFSET, extension->correlation_id);
    put_i32(record + ARCHIVE_CATALOG_RECORD_SESSION_ID_OFFSET, extension->session_id);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_TIMESTAMP_OFFSET, ARCHIVE_NULL);
    put_i64(record + ARCHIVE_CATALOG_RECORD_STOP_POSITION_OFFSET, ARCHIVE_NULL);
    change.is_checked = true; /* all that follows is of this run */
    return commit(catalog, record, &change, error);
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
        return catalog_fail(error, result, "update", catalog);
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
    int64_t old_length = catalog_record_length(catalog->data + offset);
    uint8_t *data = calloc(1, (size_t)(catalog->length + growth));
    if (data == NULL) {
        return NULL;
    }
    memcpy(data, catalog->data, (size_t)offset);
    memcpy(data + offset + old_length + growth, catalog->data + offset + old_length,
           (size_t)(catalog->length - offset - old_length));
    encode_record(catalog, record, data + offset, old_length + growth);
    set_checksum(catalog, data + offset, has_checksum(catalog->checksum, catalog->data + offset));
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
    int64_t growth =
        max_i64(0, aligned_length_of(record) - catalog_record_length(catalog->data + offset));
    int64_t capacity = capacity_for(catalog, catalog->length + growth);
    if (capacity == 0) {
        return catalog_fail(error, -ENOSPC, "update", catalog);
    }
    uint8_t *data = image_with(catalog, offset, growth, &replaced);
    if (data == NULL) {
        return catalog_fail(error, -ENOMEM, "update", catalog);
    }
    int result = swap_file(catalog, data, catalog->length + growth, capacity);
    if (result != 0) {
        free(data);
        (void)catalog_repair(catalog);
        return catalog_fail(error, result, "update", catalog);
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
