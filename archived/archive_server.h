/* The archive server: one agent that answers control requests, records streams and replays them.
 *
 *   archive_server_init -> archive_server_do_work ... -> archive_server_close
 *
 * do_work first brings the server up (driver, mark file, catalog and recovery, counters, control
 * streams), one step per call, then serves. It never blocks but for file access, allocates in the
 * control plane only, and reaches the outside through struct io and the client it is given to make.
 * No static state: several servers can live in one process.
 *
 *   control streams -> request -> { control_session, listing, recording_subscription, recording,
 *                                   replay, replication, deletion } -> responses and signals
 *
 * Everything below this header belongs to the one thread that runs do_work.
 */
#ifndef TERN_ARCHIVED_ARCHIVE_SERVER_H
#define TERN_ARCHIVED_ARCHIVE_SERVER_H

#include <tern/client.h>

#include "archived/archive_conf.h"
#include "archived/archive_mark.h"
#include "archived/catalog.h"
#include "archived/session_list.h"
#include "archived/segment.h"
#include "base/hash_map.h"
#include "base/io.h"

#define ARCHIVE_SERVER_PROTOCOL_VERSION 68608 /* 1.12.0 */
#define ARCHIVE_SERVER_PROTOCOL_MAJOR 1
#define ARCHIVE_CONTROL_FRAGMENT_LIMIT 10
#define ARCHIVE_RESEND_INTERVAL_NS (200 * NS_PER_MS)
#define ARCHIVE_MARK_INTERVAL_NS NS_PER_S
#define ARCHIVE_REPLAY_TOKENS_MAX 1024
#define ARCHIVE_MESSAGE_LENGTH_MAX 16384 /* of one response */

struct control_session;
struct recording;
struct archive_events;

enum archive_server_state {
    ARCHIVE_STATE_DRIVER,   /* wait for a living driver */
    ARCHIVE_STATE_FILES,    /* mark file, catalog, recovery */
    ARCHIVE_STATE_COUNTERS, /* the counters of 5.17 */
    ARCHIVE_STATE_STREAMS,  /* control subscriptions, events publication */
    ARCHIVE_STATE_RUNNING,
    ARCHIVE_STATE_FAILED, /* see archive_server_failure */
};

/* Indices into archive_server.counters. */
enum archive_counter {
    ARCHIVE_COUNTER_ERRORS,
    ARCHIVE_COUNTER_CONTROL_SESSIONS,
    ARCHIVE_COUNTER_MAX_CYCLE_TIME,
    ARCHIVE_COUNTER_CYCLE_TIME_EXCEEDED,
    ARCHIVE_COUNTER_MAX_WRITE_TIME,
    ARCHIVE_COUNTER_WRITE_BYTES,
    ARCHIVE_COUNTER_WRITE_TIME,
    ARCHIVE_COUNTER_MAX_READ_TIME,
    ARCHIVE_COUNTER_READ_BYTES,
    ARCHIVE_COUNTER_READ_TIME,
    ARCHIVE_COUNTER_RECORDING_SESSIONS,
    ARCHIVE_COUNTER_REPLAY_SESSIONS,
    ARCHIVE_COUNTER_COUNT,
};

struct replay_token {
    int64_t token;
    int64_t control_session_id;
    int64_t recording_id;
    int64_t deadline_ns;
};

struct archive_server_params {
    const struct archive_conf *conf; /* borrowed */
    struct io io;
    int64_t pid;
    /* Optional: told once per distinct error, and of what happens at start. */
    void (*log)(void *context, bool is_error, const char *text);
    void *log_context;
};

struct archive_server {
    struct archive_server_params params;
    const struct archive_conf *conf;
    struct io io;
    enum archive_server_state state;
    struct tern_error failure;

    tern_context *context;
    tern_client *client;
    int64_t archive_id;
    struct archive_mark mark;
    struct catalog catalog;
    struct checksum record_checksum;
    struct checksum replay_checksum;
    struct segment_place segments;
    uint8_t *io_buffer; /* conf->io_length_max: replay reads, checksums, recovery */
    uint8_t message[ARCHIVE_MESSAGE_LENGTH_MAX];

    tern_async *start_async; /* of the state's step */
    int start_index;
    tern_counter *counters[ARCHIVE_COUNTER_COUNT];
    tern_subscription *control_subscription; /* NULL when disabled */
    tern_subscription *local_subscription;
    tern_fragment_assembler *control_assembler;
    tern_fragment_assembler *local_assembler;
    tern_subscription *polled_subscription; /* whose fragment is being handled */
    tern_exclusive_publication *events;     /* NULL when disabled */

    int64_t now_ns;
    int64_t now_epoch_ms;
    int64_t driver_deadline_ns; /* of the next look for a driver */
    int64_t mark_deadline_ns;
    int64_t last_cycle_ns;

    int64_t next_session_id; /* control sessions and replications */
    int64_t next_replay_id;
    struct hash_map sessions_by_id;
    struct session_list sessions;
    struct session_list subscriptions; /* struct recording_subscription */
    struct hash_map recordings_by_id;  /* active ones */
    struct session_list recordings;
    struct session_list replays;
    struct session_list deletions;
    struct session_list replications;
    struct replay_token tokens[ARCHIVE_REPLAY_TOKENS_MAX];
    int token_count;
};

/* Nothing is opened yet. 0 or -ENOMEM. */
int archive_server_init(struct archive_server *server, const struct archive_server_params *params,
                        struct tern_error *error);

/* One duty cycle; returns the work done, or a negative code once the server cannot go on (the same
 * again at every later call): TERN_ERROR_CLOSED and the like when the driver has gone, others when
 * the start failed. */
int archive_server_do_work(struct archive_server *server, int64_t now_ns);

/* Why do_work returned a negative code. */
const struct tern_error *archive_server_failure(const struct archive_server *server);

bool archive_server_is_ready(const struct archive_server *server);

/* What the start waits for; "" when ready. */
const char *archive_server_waiting_for(const struct archive_server *server);

/* End everything in order: recordings get their stop positions (unless the driver died), the mark
 * file is signed off. Idempotent. */
void archive_server_close(struct archive_server *server);

/* ---- for the parts of the server
 * ----------------------------------------------------------------- */

/* Count and log an error; the log has each distinct text once. */
void archive_server_error(struct archive_server *server, int code, const char *format, ...)
    PRINTF_LIKE(3, 4);
void archive_server_log(struct archive_server *server, const char *format, ...) PRINTF_LIKE(2, 3);

struct control_session *archive_server_session(const struct archive_server *server,
                                               int64_t control_session_id);
struct recording *archive_server_recording(const struct archive_server *server,
                                           int64_t recording_id);

/* " - archiveId=<id>", the end of every counter's label. Returns the label's length. */
int32_t archive_server_label(const struct archive_server *server, char *label, int32_t size,
                             const char *format, ...) PRINTF_LIKE(4, 5);

/* What is known of a recording's geometry, from its record. */
struct segment_geometry archive_server_geometry(const struct archive_catalog_record *record);

/* Whether `code` of a driver request means "the same again in the next cycle". */
bool archive_server_is_temporary(int code);

static inline void archive_server_count(struct archive_server *server, enum archive_counter which,
                                        int64_t delta) {
    (void)tern_counter_add(server->counters[which], delta);
}

#endif
