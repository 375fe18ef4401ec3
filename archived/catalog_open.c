/* Opening the catalog's file: a new one is made, one that a crash left half made is finished, and
 * all that is in it is checked (see catalog.c). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "archived/catalog_internal.h"
#include "shm/log_buffer.h"

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
    int result = catalog_reserve_data(catalog, CATALOG_HEADER_LENGTH);
    if (result != 0) {
        return catalog_fail(error, result, "create", catalog);
    }
    catalog->length = CATALOG_HEADER_LENGTH;
    encode_header(catalog, ARCHIVE_FILE_VERSION);
    const struct store *store = catalog->store;
    /* The header before the length: a crash leaves an empty file or one that can be opened. */
    result = catalog_write_range(catalog, 0, CATALOG_HEADER_LENGTH);
    if (result == 0) {
        result = store->truncate(store->context, catalog->file, catalog->capacity);
    }
    if (result == 0) {
        result = catalog_sync_file(catalog);
    }
    if (result == 0 && catalog->sync_level > 0) {
        result = store->sync_directory(store->context, catalog->directory);
    }
    return result == 0 ? 0 : catalog_fail(error, result, "create", catalog);
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
    if (offset + CATALOG_RECORD_FIXED_LENGTH > file_length ||
        get_i32(catalog->data + offset) <= 0) {
        return 0;
    }
    int64_t length = align_i64(catalog_record_length(catalog->data + offset), CATALOG_ALIGNMENT);
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
        int result = catalog_reserve_entries(catalog);
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
    int64_t claimed = align_i64(catalog_record_length(catalog->data + offset), CATALOG_ALIGNMENT);
    if (offset + claimed < file_length && !is_zero_behind(catalog, offset + claimed, file_length)) {
        return error_set(error, -EBADMSG, "%.120s: damaged record at offset %" PRId64,
                         catalog->path, offset);
    }
    catalog->cut_length = file_length - offset;
    if (catalog->is_read_only) {
        return 0;
    }
    memset(catalog->data + offset, 0, (size_t)(file_length - offset));
    int result = catalog_write_range(catalog, offset, file_length - offset);
    return result == 0 ? 0 : catalog_fail(error, result, "repair", catalog);
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
    int result = catalog_write_range(catalog, catalog->length, file_length - catalog->length);
    return result == 0 ? 0 : catalog_fail(error, result, "repair", catalog);
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
        return catalog_fail(error, result, "read", catalog);
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
    int result = count == file_length ? catalog_reserve_data(catalog, CATALOG_HEADER_LENGTH)
                 : count < 0          ? (int)count
                                      : -EIO;
    if (result != 0) {
        return catalog_fail(error, result, "read", catalog);
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
    int result = catalog_reserve_data(catalog, file_length);
    if (result != 0) {
        return catalog_fail(error, result, "read", catalog);
    }
    int64_t count = store->pread(store->context, catalog->file, catalog->data, file_length, 0);
    if (count != file_length) {
        return catalog_fail(error, count < 0 ? (int)count : -EIO, "read", catalog);
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
            return catalog_fail(error, result, "extend", catalog);
        }
    }
    catalog->capacity = max_i64(catalog->capacity, file_length);
    if (result == 0 && catalog->sync_level > 0 && !catalog->is_read_only) {
        catalog->is_suspect = true;
        result = catalog_repair(catalog);
        if (result == 0) {
            result = store->sync_directory(store->context, catalog->directory);
        }
        result = result == 0 ? 0 : catalog_fail(error, result, "write", catalog);
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
        return catalog_fail(error, result, "open", catalog);
    }
    int64_t file_length = store->length(store->context, catalog->file);
    if (file_length < 0) {
        result = catalog_fail(error, (int)file_length, "open", catalog);
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
