/* A host for service plugins in tests: it loads a built plugin, records what the service asks for,
 * and keeps snapshots in memory. Time, role and back pressure are set by the test. It stands in for
 * servicehost, whose private types it defines itself: do not link both. */
#ifndef TERN_TESTS_LIB_FAKE_HOST_H
#define TERN_TESTS_LIB_FAKE_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/service.h>

#define FAKE_LOG_TEXT_MAX 256
#define FAKE_SESSIONS_MAX 16

struct fake_message {
    uint8_t *bytes;
    int32_t length;
    int64_t session_id; /* receiver of an answer; 0 elsewhere */
};

struct fake_messages {
    struct fake_message *items;
    int64_t count;
    int64_t capacity;
};

/* A snapshot: what was written, and how far it was read. */
struct tern_service_snapshot {
    struct fake_messages messages;
    int64_t cursor;
    int64_t refused_from; /* number of the first write that gives -ENOMEM, from 1; 0: none */
};

struct fake_timer {
    int64_t timer_id;
    int64_t deadline; /* INT64_MIN: cancelled */
};

struct tern_service_host {
    struct tern_service_operations operations;
    int64_t time;
    enum tern_cluster_role role;
    int refusals; /* answers, timers, closes that are back-pressured before one is taken */
    int idle_count;
    struct fake_messages answers;
    struct fake_messages cluster_messages; /* offered to the cluster */
    struct fake_timer last_timer;
    int timer_call_count;
    struct tern_service_session sessions[FAKE_SESSIONS_MAX]; /* that sent something, by id */
    int session_count;
    int64_t closed_session_id;
    int log_line_count;
    char log_text[FAKE_LOG_TEXT_MAX]; /* the last line */
};

struct fake_service {
    void *library;
    const struct tern_service_plugin *plugin;
    struct tern_service_host host;
    void *service;
};

/* Load PLUGIN_DIR/NAME.so, create an instance, start it with the snapshot (may be NULL). Aborts
 * when the plugin cannot be loaded; returns what on_start returned. */
int fake_service_open(struct fake_service *fake, const char *name,
                      struct tern_service_snapshot *snapshot, struct tern_error *error);
/* As above with an argument for the plugin. False: it does not take that, says the error. */
bool fake_service_try_open(struct fake_service *fake, const char *name, const char *argument,
                           struct tern_error *error);
void fake_service_close(struct fake_service *fake);

/* Deliver a message of a session, or with session id 0 of a service. */
void fake_service_send(struct fake_service *fake, int64_t session_id, const void *bytes,
                       int32_t length);
/* The last answer; aborts when there is none or its length is less. */
void fake_service_last_answer(const struct fake_service *fake, int64_t *session_id, void *bytes,
                              int32_t length);

/* Ask the service for a snapshot into an empty struct. */
int fake_service_take_snapshot(struct fake_service *fake, struct tern_service_snapshot *snapshot,
                               struct tern_error *error);
void fake_snapshot_close(struct tern_service_snapshot *snapshot);
/* Keep the first `count` messages only. */
void fake_snapshot_cut(struct tern_service_snapshot *snapshot, int64_t count);
bool fake_snapshot_equals(const struct tern_service_snapshot *a,
                          const struct tern_service_snapshot *b);

#endif
