/* The event log of a driver while somebody looks at it: trace.dat in the driver directory, a page
 * of header and a ring with many producers (ring_mpsc.h).
 *
 * The reader makes the file to switch tracing on and deletes it to switch it off; the driver looks
 * for it once per second. Not an interface of Aeron: only ternctl reads it. Events that find the
 * ring full are counted and lost, as a driver does not wait for who watches it.
 */
#ifndef TERN_SHM_TRACE_FILE_H
#define TERN_SHM_TRACE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "base/mapped_file.h"
#include "shm/ring_mpsc.h"

#define TRACE_FILE_NAME "trace.dat"
#define TRACE_FILE_VERSION 1
#define TRACE_HEADER_LENGTH 4096
#define TRACE_RING_CAPACITY (1024 * 1024)
#define TRACE_FRAME_BYTES_MAX 128 /* of each: what frames of control have, but for a long text */
#define TRACE_COMMAND_BYTES_MAX 2048
/* A reader that was silent for longer is dead: the driver deletes the file. */
#define TRACE_READER_TIMEOUT_MS 10000

enum trace_kind {
    TRACE_FRAME_SENT = 1,
    TRACE_FRAME_RECEIVED,
    TRACE_COMMAND,
    TRACE_RESPONSE,
};

struct trace_header {
    int32_t version;     /* release by the reader, when all is there */
    int32_t kinds;       /* wanted: bits of 1 << trace_kind */
    int32_t is_attached; /* by the driver */
    int32_t is_ended;    /* by the reader, before it deletes the file: another may follow soon */
    int64_t reader_heartbeat_ms;
    int64_t dropped_count;
    int64_t base_ns; /* by the driver: its clock, and the epoch clock at that moment */
    int64_t base_epoch_ms;
    uint8_t pad2[TRACE_HEADER_LENGTH - 48];
};

/* Before the bytes of an event. */
struct trace_event {
    int64_t time_ns;     /* of the driver's clock, at the start of the duty cycle */
    int32_t type;        /* of command or response */
    int32_t length;      /* of all; the record may have less */
    uint8_t address[16]; /* the peer of a frame, in network order */
    uint16_t port;
    uint8_t address_type; /* 0 none, 1 IPv4, 2 IPv6 */
    uint8_t pad[5];
};

_Static_assert(sizeof(struct trace_header) == TRACE_HEADER_LENGTH, "trace header");
_Static_assert(offsetof(struct trace_header, base_epoch_ms) == 40, "trace header");
_Static_assert(sizeof(struct trace_event) == 40, "trace event");

struct trace_file {
    struct mapped_file file;
    struct trace_header *header;
    struct ring_mpsc ring;
    int32_t kinds; /* copied at open */
};

/* Reader: make the file and say what is wanted; -EEXIST when another reader is there. */
int trace_file_create(struct trace_file *trace, const char *path, int32_t kinds, int64_t epoch_ms,
                      struct tern_error *error);
/* A ring of this process only, for a driver that reads it itself. */
int trace_file_create_private(struct trace_file *trace, int32_t kinds, struct tern_error *error);
/* Driver: map it, with all its blocks allocated. -EAGAIN while the reader is still at it. */
int trace_file_open(struct trace_file *trace, const char *path, struct tern_error *error);
void trace_file_close(struct trace_file *trace);
/* Reader: switch off. */
void trace_file_end(struct trace_file *trace, const char *path);

static inline bool trace_file_wants(const struct trace_file *trace, enum trace_kind kind) {
    return (trace->kinds & (1 << kind)) != 0;
}
/* Driver, any thread: at most `captured` bytes of the data are kept. */
void trace_file_write(struct trace_file *trace, enum trace_kind kind,
                      const struct trace_event *event, const void *data, int32_t captured);

/* Reader. `data` has what was kept, `length` bytes. Returns how many events. */
typedef void (*trace_handler)(void *context, enum trace_kind kind, const struct trace_event *event,
                              const uint8_t *data, int32_t length);
int trace_file_read(struct trace_file *trace, trace_handler handler, void *context);

#endif
