/* cnc.dat: the command-and-control file of a driver (shared-memory.md 2.1, 2.2, 1.5).
 *
 * The driver creates it, every client and tool maps it. struct cnc is a view: pointers into one
 * mapping plus the lengths that were validated when it was opened, so users never check again.
 *
 * The heartbeat in the file stays young for the whole driver timeout after its driver was killed: a
 * successor would have to wait, and clients would attach to what nobody serves. The recorded
 * process id does not help where containers share a directory. So our driver holds a lock on the
 * file, which the kernel ends with the process, and says so by a mark in the padding behind the
 * sections. Where there is no mark (another make of driver, or sections that fill the last page)
 * the heartbeat alone counts.
 */
#ifndef TERN_SHM_CNC_H
#define TERN_SHM_CNC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/mapped_file.h"
#include "shm/counters.h"
#include "shm/ring_mpsc.h"

#define CNC_FILE_NAME "cnc.dat"
#define CNC_LAYOUT_VERSION 512             /* 0.2.0 */
#define CNC_CONTROL_PROTOCOL_VERSION 65536 /* 1.0.0, system counter 43 */
#define CNC_SOFTWARE_VERSION 78850         /* 1.52.2, system counter 34 */
#define CNC_HEADER_LENGTH 128

struct cnc_header {
    int32_t version;
    int32_t to_driver_length;
    int32_t to_clients_length;
    int32_t counters_metadata_length;
    int32_t counters_values_length;
    int32_t error_log_length;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t page_size;
};

struct cnc_params {
    int32_t to_driver_length;
    int32_t to_clients_length;
    int32_t counters_values_length; /* metadata is four times this */
    int32_t error_log_length;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t page_size;
};

struct cnc {
    struct mapped_file file;
    int descriptor; /* of the file, while it is mapped: holds the driver's lock, asks for it */
    struct cnc_header *header;
    uint8_t *to_driver;  /* ring_mpsc over header->to_driver_length bytes */
    uint8_t *to_clients; /* broadcast */
    uint8_t *counters_metadata;
    uint8_t *counters_values;
    uint8_t *error_log;
    /* lengths copied and validated at open */
    int32_t to_driver_length;
    int32_t to_clients_length;
    int32_t counters_metadata_length;
    int32_t counters_values_length;
    int32_t error_log_length;
};

/* align(128 + sections, page size), or -EINVAL when a section length is not of its form (ring and
 * broadcast: power of two plus trailer; values: multiple of 128; error log: multiple of 8), the
 * page size is no power of two of 4 KiB to 1 GiB, or the sum is above 2^31-1. */
int64_t cnc_file_length(const struct cnc_params *params);

/* Driver: create `path`, lock it, write every field but the version. */
int cnc_create(struct cnc *cnc, const char *path, const struct cnc_params *params,
               struct tern_error *error);
/* Driver: store the version (release) and sync; from now on clients may attach. */
void cnc_publish(struct cnc *cnc);

/* Map an existing file. -EAGAIN while it is missing, shorter than its sections or its version is 0
 * (a driver is starting): try again; TERN_ERROR_VERSION for another major version;
 * TERN_ERROR_PROTOCOL for section lengths that no driver writes. Nothing but the version is known
 * to be initialised: a client also waits for a heartbeat other than 0 (2.2). */
int cnc_open(struct cnc *cnc, const char *path, bool read_only, struct tern_error *error);
void cnc_close(struct cnc *cnc);

/* Consumer heartbeat of the to-driver ring: epoch ms, -1 after a clean shutdown, 0 before start. */
int64_t cnc_driver_heartbeat_ms(const struct cnc *cnc);

/* The driver that made the file has gone, whatever the heartbeat says: the file has the mark of the
 * lock, and nobody holds it. Asking neither takes nor drops the lock. */
bool cnc_is_abandoned(const struct cnc *cnc);

/* Another file than the one mapped here is at `path` now. No file there proves nothing: some
 * drivers remove their directory late or early. */
bool cnc_is_replaced(const struct cnc *cnc, const char *path);

/* The "active driver" test of 1.5 for one look: 1 active, 0 not active (also: no file, another
 * major version, garbage, an abandoned file), -EAGAIN while the version is still 0. */
int cnc_is_driver_active(const char *directory, int64_t now_epoch_ms, int64_t driver_timeout_ms);

/* "$AERON_DIR", else /dev/shm/aeron-<user> (1.1). Text is truncated to size. For mains and client
 * contexts, before any agent runs: it reads the environment. */
void cnc_default_directory(char *directory, int32_t size);

#endif
