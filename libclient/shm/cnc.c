/* cnc.dat: layout, creation by the driver, validated attachment by everybody else
 * (shared-memory.md 2.1, 2.2, 1.5).
 *
 * The version is the gate: the driver stores it last (release), and who maps the file looks at it
 * first (acquire) and at nothing else while it is 0. Lengths are copied out of the file once,
 * checked, and used from the copy, because the file stays writable for every client.
 *
 * The lock is one of the open file description, not of the process: many drivers can live in one
 * process, and closing another descriptor of the file does not drop it.
 */
#include "shm/cnc.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "shm/broadcast.h"

#define PAGE_SIZE_MIN 4096
#define PAGE_SIZE_MAX 1073741824
#define SECTION_CAPACITY_MIN 64
#define METADATA_RATIO (COUNTER_METADATA_LENGTH / COUNTER_VALUE_LENGTH)
#define DIRECTORY_LENGTH_MAX 4096

/* In the last eight bytes of a file whose driver holds a lock on it: "TernLock". */
#define LOCK_MARK INT64_C(0x6B636F4C6E726554)

/* Layout on disk; the fields end at 52, the header at 128. */
_Static_assert(offsetof(struct cnc_header, client_liveness_timeout_ns) == 24, "liveness");
_Static_assert(offsetof(struct cnc_header, start_timestamp_ms) == 32, "start");
_Static_assert(offsetof(struct cnc_header, pid) == 40, "pid");
_Static_assert(offsetof(struct cnc_header, page_size) == 48, "page size");
_Static_assert(sizeof(struct cnc_header) <= CNC_HEADER_LENGTH, "header");

static bool is_power_of_two_plus(int32_t length, int32_t trailer_length) {
    int64_t capacity = (int64_t)length - trailer_length;
    return capacity >= SECTION_CAPACITY_MIN && is_power_of_two(capacity);
}

static bool lengths_are_valid(const struct cnc *cnc) {
    int64_t values = cnc->counters_values_length;
    return is_power_of_two_plus(cnc->to_driver_length, RING_TRAILER_LENGTH) &&
           is_power_of_two_plus(cnc->to_clients_length, BROADCAST_TRAILER_LENGTH) &&
           values >= COUNTER_VALUE_LENGTH && values % COUNTER_VALUE_LENGTH == 0 &&
           cnc->counters_metadata_length >= values * METADATA_RATIO &&
           cnc->counters_metadata_length % 8 == 0 && cnc->error_log_length > 0 &&
           cnc->error_log_length % 8 == 0;
}

static int64_t sections_end(const struct cnc *cnc) {
    return (int64_t)CNC_HEADER_LENGTH + cnc->to_driver_length + cnc->to_clients_length +
           cnc->counters_metadata_length + cnc->counters_values_length + cnc->error_log_length;
}

/* The lengths of params as a driver's cnc has them; false when they make no valid file. */
static bool set_lengths(struct cnc *cnc, const struct cnc_params *params) {
    int64_t metadata_length = (int64_t)params->counters_values_length * METADATA_RATIO;
    if (metadata_length > INT32_MAX) {
        return false;
    }
    cnc->to_driver_length = params->to_driver_length;
    cnc->to_clients_length = params->to_clients_length;
    cnc->counters_metadata_length = (int32_t)metadata_length;
    cnc->counters_values_length = params->counters_values_length;
    cnc->error_log_length = params->error_log_length;
    return lengths_are_valid(cnc);
}

/* Point at the sections; the lengths are set and fit the mapping. */
static void set_sections(struct cnc *cnc) {
    cnc->header = (struct cnc_header *)(void *)cnc->file.address;
    cnc->to_driver = cnc->file.address + CNC_HEADER_LENGTH;
    cnc->to_clients = cnc->to_driver + cnc->to_driver_length;
    cnc->counters_metadata = cnc->to_clients + cnc->to_clients_length;
    cnc->counters_values = cnc->counters_metadata + cnc->counters_metadata_length;
    cnc->error_log = cnc->counters_values + cnc->counters_values_length;
}

int64_t cnc_file_length(const struct cnc_params *params) {
    struct cnc cnc = {0};
    if (!set_lengths(&cnc, params) || !is_power_of_two(params->page_size) ||
        params->page_size < PAGE_SIZE_MIN || params->page_size > PAGE_SIZE_MAX) {
        return -EINVAL;
    }
    int64_t length = align_i64(sections_end(&cnc), params->page_size);
    return length <= INT32_MAX ? length : -EINVAL;
}

/* The place of the mark; NULL when the sections leave no room for it. */
static int64_t *lock_mark(const struct cnc *cnc) {
    int64_t offset = cnc->file.length - (int64_t)sizeof(int64_t);
    bool has_room = sections_end(cnc) <= offset && offset % (int64_t)sizeof(int64_t) == 0;
    return has_room ? (int64_t *)(void *)(cnc->file.address + offset) : NULL;
}

/* The file was made a moment ago and has no name that anybody waits for yet. */
static int take_lock(struct cnc *cnc, const char *path, struct tern_error *error) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    cnc->descriptor = open(path, O_RDWR | O_CLOEXEC);
    if (cnc->descriptor < 0 || fcntl(cnc->descriptor, F_OFD_SETLK, &lock) != 0) {
        return error_set_errno(error, errno, "cannot lock %s", path);
    }
    if (lock_mark(cnc) != NULL) {
        /* Pairs with the load in cnc_is_abandoned: who sees the mark finds the lock taken. */
        store_release_i64(lock_mark(cnc), LOCK_MARK);
    }
    return 0;
}

int cnc_create(struct cnc *cnc, const char *path, const struct cnc_params *params,
               struct tern_error *error) {
    *cnc = (struct cnc){0};
    int64_t length = cnc_file_length(params);
    if (length < 0) {
        return error_set(error, -EINVAL,
                         "section lengths for %s are invalid or sum up to more than 2^31-1", path);
    }
    int result = mapped_file_create(&cnc->file, path, length, false, error);
    if (result < 0) {
        return result;
    }
    bool is_valid = set_lengths(cnc, params);
    assert(is_valid);
    (void)is_valid;
    set_sections(cnc);
    result = take_lock(cnc, path, error);
    if (result < 0) {
        cnc_close(cnc);
        (void)unlink(path);
        return result;
    }
    cnc->header->to_driver_length = cnc->to_driver_length;
    cnc->header->to_clients_length = cnc->to_clients_length;
    cnc->header->counters_metadata_length = cnc->counters_metadata_length;
    cnc->header->counters_values_length = cnc->counters_values_length;
    cnc->header->error_log_length = cnc->error_log_length;
    cnc->header->client_liveness_timeout_ns = params->client_liveness_timeout_ns;
    cnc->header->start_timestamp_ms = params->start_timestamp_ms;
    cnc->header->pid = params->pid;
    cnc->header->page_size = params->page_size;
    return 0;
}

void cnc_publish(struct cnc *cnc) {
    store_release_i32(&cnc->header->version, CNC_LAYOUT_VERSION);
    /* The file lives in memory; a failed sync costs nothing that a reboot would not. */
    (void)mapped_file_sync(&cnc->file);
}

static int validate(struct cnc *cnc, const char *path, struct tern_error *error) {
    const struct cnc_header *header = (const struct cnc_header *)(const void *)cnc->file.address;
    if (cnc->file.length < CNC_HEADER_LENGTH) {
        return error_set(error, -EAGAIN, "%s is still too short", path);
    }
    /* Pairs with the release store in cnc_publish: the other fields are readable behind it. */
    int32_t version = load_acquire_i32(&header->version);
    if (version == 0) {
        return error_set(error, -EAGAIN, "%s has no version yet: its driver is starting", path);
    }
    if (version >> 16 != CNC_LAYOUT_VERSION >> 16) {
        return error_set(error, TERN_ERROR_VERSION, "%s has layout version %d.%d.%d, not %d.x",
                         path, version >> 16, (version >> 8) & 0xFF, version & 0xFF,
                         CNC_LAYOUT_VERSION >> 16);
    }
    cnc->to_driver_length = load_plain_i32(&header->to_driver_length);
    cnc->to_clients_length = load_plain_i32(&header->to_clients_length);
    cnc->counters_metadata_length = load_plain_i32(&header->counters_metadata_length);
    cnc->counters_values_length = load_plain_i32(&header->counters_values_length);
    cnc->error_log_length = load_plain_i32(&header->error_log_length);
    if (!lengths_are_valid(cnc)) {
        return error_set(
            error, TERN_ERROR_PROTOCOL, "%s has invalid section lengths %d %d %d %d %d", path,
            cnc->to_driver_length, cnc->to_clients_length, cnc->counters_metadata_length,
            cnc->counters_values_length, cnc->error_log_length);
    }
    if (sections_end(cnc) > cnc->file.length) {
        return error_set(error, -EAGAIN, "%s has %lld bytes, its sections need %lld", path,
                         (long long)cnc->file.length, (long long)sections_end(cnc));
    }
    return 0;
}

/* Map the file as it is, -errno. */
static int map_file(struct cnc *cnc, const char *path, bool read_only, struct tern_error *error) {
    *cnc = (struct cnc){0};
    cnc->descriptor = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (cnc->descriptor < 0) {
        return error_set_errno(error, errno, "cannot open %s", path);
    }
    int result = mapped_file_map(&cnc->file, cnc->descriptor, path, read_only, error);
    if (result < 0) {
        (void)close(cnc->descriptor);
    }
    return result;
}

int cnc_open(struct cnc *cnc, const char *path, bool read_only, struct tern_error *error) {
    int result = map_file(cnc, path, read_only, error);
    if (result == -ENOENT || result == -ENODATA) {
        return error_set(error, -EAGAIN, "%s does not exist or is empty", path);
    }
    if (result < 0) {
        return result;
    }
    result = validate(cnc, path, error);
    if (result < 0) {
        cnc_close(cnc);
        return result;
    }
    set_sections(cnc);
    return 0;
}

void cnc_close(struct cnc *cnc) {
    if (cnc->file.address != NULL && cnc->descriptor >= 0) {
        (void)close(cnc->descriptor);
    }
    mapped_file_close(&cnc->file);
    *cnc = (struct cnc){0};
}

bool cnc_is_abandoned(const struct cnc *cnc) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int64_t *mark = lock_mark(cnc);
    if (mark == NULL || load_acquire_i64(mark) != LOCK_MARK) {
        return false;
    }
    return fcntl(cnc->descriptor, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
}

bool cnc_is_replaced(const struct cnc *cnc, const char *path) {
    struct stat own;
    struct stat now;
    return fstat(cnc->descriptor, &own) == 0 && stat(path, &now) == 0 &&
           (own.st_ino != now.st_ino || own.st_dev != now.st_dev);
}

int64_t cnc_driver_heartbeat_ms(const struct cnc *cnc) {
    struct ring_mpsc ring;
    int result = ring_mpsc_init(&ring, cnc->to_driver, cnc->to_driver_length);
    assert(result == 0);
    (void)result;
    return ring_mpsc_consumer_heartbeat(&ring);
}

int cnc_is_driver_active(const char *directory, int64_t now_epoch_ms, int64_t driver_timeout_ms) {
    char path[DIRECTORY_LENGTH_MAX + sizeof CNC_FILE_NAME + 1];
    int length = snprintf(path, sizeof path, "%s/%s", directory, CNC_FILE_NAME);
    if (length < 0 || length >= (int)sizeof path) {
        return 0;
    }
    struct cnc cnc;
    if (map_file(&cnc, path, true, NULL) < 0) {
        return 0;
    }
    int result = validate(&cnc, path, NULL);
    if (result == 0) {
        set_sections(&cnc);
        /* -1 after a clean shutdown and 0 before the first heartbeat are both very old. */
        int64_t heartbeat_ms = cnc_driver_heartbeat_ms(&cnc);
        bool is_young = heartbeat_ms > 0 && now_epoch_ms - heartbeat_ms <= driver_timeout_ms;
        result = is_young && !cnc_is_abandoned(&cnc) ? 1 : 0;
    } else if (result != -EAGAIN || cnc_is_abandoned(&cnc)) {
        result = 0;
    }
    cnc_close(&cnc);
    return result;
}

static const char *user_name(void) {
    const char *name = getenv("USER");
    if (name != NULL && name[0] != '\0') {
        return name;
    }
    const struct passwd *entry = getpwuid(getuid());
    return entry != NULL ? entry->pw_name : "default";
}

void cnc_default_directory(char *directory, int32_t size) {
    assert(size > 0);
    const char *configured = getenv("AERON_DIR");
    if (configured != NULL && configured[0] != '\0') {
        (void)snprintf(directory, (size_t)size, "%s", configured);
    } else {
        (void)snprintf(directory, (size_t)size, "/dev/shm/aeron-%s", user_name());
    }
}
