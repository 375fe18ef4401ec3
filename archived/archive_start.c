/* The start: driver, files with recovery, counters, control streams.
 *
 * Until the last step nobody can reach the server, and the mark file says "activating". The steps
 * that ask the driver are asynchronous; recovery of recordings that were active when the last run
 * ended is not: nothing may be served before it is done.
 */
#include "archived/archive_start.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>

#include "archived/recovery.h"
#include "archived/request.h"
#include "client/seams.h"
#include "shm/counter_types.h"

/* Looking for a driver maps its files: not in every cycle of an archive that waits for one. */
#define DRIVER_RETRY_NS (100 * NS_PER_MS)

static void set_state(struct archive_server *server, enum archive_server_state state) {
    assert(state == server->state + 1);
    server->state = state;
    server->start_index = 0;
}

/* ---- driver
 * ----------------------------------------------------------------------------------------- */

static void on_client_error(void *context, int code, const char *text) {
    archive_server_error(context, code, "%s", text);
}

static int make_context(struct archive_server *server, struct tern_error *error) {
    server->context = tern_context_create(error);
    if (server->context == NULL) {
        return error->code;
    }
    tern_context *context = server->context;
    tern_context_set_use_invoker(context, true);
    tern_context_set_driver_timeout_ms(context, server->conf->driver_timeout_ns / NS_PER_MS);
    tern_context_set_clock(context, server->io.clock);
    tern_context_set_random(context, server->io.random);
    tern_context_set_error_handler(context, on_client_error, server);
    int result = tern_context_set_client_name(context, "archived", error);
    return result == 0 ? tern_context_set_directory(context, server->conf->aeron_dir, error)
                       : result;
}

static int start_driver(struct archive_server *server, struct tern_error *error) {
    int result = server->context == NULL ? make_context(server, error) : 0;
    if (result != 0) {
        return result;
    }
    if (server->now_ns < server->driver_deadline_ns) {
        return 0;
    }
    server->driver_deadline_ns = server->now_ns + DRIVER_RETRY_NS;
    server->client = tern_client_try_connect(server->context, error);
    if (server->client == NULL) {
        return error->code == -EAGAIN ? 0 : error->code;
    }
    server->archive_id = server->conf->archive_id != ARCHIVE_NULL ? server->conf->archive_id
                                                                  : tern_client_id(server->client);
    /* The first id is random, so that ids of an earlier run mean nothing in this one. */
    server->next_session_id = random_i32(server->io.random) & INT32_MAX;
    set_state(server, ARCHIVE_STATE_FILES);
    return 1;
}

/* ---- files
 * ------------------------------------------------------------------------------------------ */

struct wipe {
    const struct archive_server *server;
    int result;
};

static int wipe_name(void *arg, const char *name) {
    struct wipe *wipe = arg;
    const struct store *store = wipe->server->io.store;
    int64_t recording_id;
    int64_t base;
    bool deleted;
    if (strcmp(name, CATALOG_FILE_NAME) == 0 ||
        segment_name_parse(name, &recording_id, &base, &deleted)) {
        char path[SEGMENT_PATH_MAX + 256];
        (void)snprintf(path, sizeof path, "%s/%.255s", wipe->server->conf->dir, name);
        return store->unlink(store->context, path);
    }
    return 0;
}

static int make_directories(struct archive_server *server, struct tern_error *error) {
    const struct store *store = server->io.store;
    const char *const directories[] = {server->conf->dir, archive_conf_mark_dir(server->conf)};
    for (size_t i = 0; i < ARRAY_COUNT(directories); i++) {
        if (strlen(directories[i]) > SEGMENT_PATH_MAX - 64) {
            return error_set(error, -ENAMETOOLONG, "directory name is too long: %.100s...",
                             directories[i]);
        }
        int result = store->make_directory(store->context, directories[i]);
        if (result != 0) {
            return error_set_errno(error, -result, "make directory %.160s", directories[i]);
        }
    }
    return 0;
}

static int open_mark(struct archive_server *server, struct tern_error *error) {
    const struct archive_conf *conf = server->conf;
    const struct archive_mark_params params = {
        .store = server->io.store,
        .directory = conf->dir,
        .mark_directory = archive_conf_mark_dir(conf),
        .error_log_length = conf->error_log_length,
        .page_size = SEGMENT_PAGE_LENGTH,
        .now_epoch_ms = server->now_epoch_ms,
        .pid = server->params.pid,
        .archive_id = server->archive_id,
        .control_stream_id = conf->control_stream_id,
        .local_control_stream_id = conf->local_control_stream_id,
        .events_stream_id = conf->events_stream_id,
        .control_channel = conf->control_channel_enabled ? conf->control_channel : "",
        .local_control_channel = conf->local_control_channel,
        .events_channel = conf->events_enabled ? conf->events_channel : "",
        .aeron_directory = conf->aeron_dir,
    };
    int result = archive_mark_open(&server->mark, &params, error);
    if (result == 0) {
        tern_client_succeed(server->client, &server->mark.file);
    }
    return result;
}

static int open_catalog(struct archive_server *server, struct tern_error *error) {
    const struct archive_conf *conf = server->conf;
    const struct catalog_params params = {.store = server->io.store,
                                          .directory = conf->dir,
                                          .checksum = &server->record_checksum,
                                          .capacity = conf->catalog_capacity,
                                          .sync_level = conf->catalog_sync_level};
    int result = catalog_open(&server->catalog, &params, error);
    if (result == 0 && server->catalog.cut_length > 0) {
        archive_server_error(server, -EBADMSG, "removed a torn record from the end of the catalog");
    }
    if (result == 0 && server->catalog.quarantined_count > 0) {
        archive_server_error(server, -EBADMSG,
                             "left %d recordings alone whose geometry cannot be true",
                             server->catalog.quarantined_count);
    }
    if (result == 0 && server->catalog.lost_stop_count > 0) {
        archive_server_error(server, -EBADMSG,
                             "%d recordings have no true stop position: their files tell it",
                             server->catalog.lost_stop_count);
    }
    return result;
}

static int start_files(struct archive_server *server, struct tern_error *error) {
    int result = make_directories(server, error);
    if (result == 0) {
        result = open_mark(server, error);
    }
    if (result == 0 && server->conf->dir_delete_on_start) {
        struct wipe wipe = {server, 0};
        result =
            server->io.store->list(server->io.store->context, server->conf->dir, wipe_name, &wipe);
        if (result != 0) {
            return error_set_errno(error, -result, "wipe %.160s", server->conf->dir);
        }
    }
    if (result == 0) {
        result = open_catalog(server, error);
    }
    if (result == 0) {
        result = recovery_run(server, error);
    }
    if (result != 0) {
        return result;
    }
    set_state(server, ARCHIVE_STATE_COUNTERS);
    return 1;
}

/* ---- counters
 * --------------------------------------------------------------------------------------- */

static int find_own_kind(void *context, const struct tern_counter_info *info) {
    const struct archive_server *server = context;
    return info->type_id == COUNTER_TYPE_ARCHIVE_ERRORS && get_i64(info->key) == server->archive_id;
}

/* After a crash the driver keeps the dead client's counters until its liveness time-out; the mark
 * file, which we own now, proves whose they are. */
static bool has_own_leftovers(const struct archive_server *server) {
    return server->mark.has_crashed && server->mark.crashed_archive_id == server->archive_id;
}

static tern_async *begin_counter(struct archive_server *server, int index,
                                 struct tern_error *error) {
    static const struct {
        int32_t type_id;
        const char *label;
    } kinds[ARCHIVE_COUNTER_COUNT] = {
        [ARCHIVE_COUNTER_ERRORS] = {COUNTER_TYPE_ARCHIVE_ERRORS, "Archive Errors"},
        [ARCHIVE_COUNTER_CONTROL_SESSIONS] = {COUNTER_TYPE_ARCHIVE_CONTROL_SESSIONS,
                                              "Archive Control Sessions"},
        [ARCHIVE_COUNTER_MAX_CYCLE_TIME] = {COUNTER_TYPE_ARCHIVE_MAX_CYCLE_TIME, NULL},
        [ARCHIVE_COUNTER_CYCLE_TIME_EXCEEDED] = {COUNTER_TYPE_ARCHIVE_CYCLE_TIME_EXCEEDED, NULL},
        [ARCHIVE_COUNTER_MAX_WRITE_TIME] = {COUNTER_TYPE_ARCHIVE_RECORDER_MAX_WRITE_TIME,
                                            "archive-recorder max write time in ns"},
        [ARCHIVE_COUNTER_WRITE_BYTES] = {COUNTER_TYPE_ARCHIVE_RECORDER_WRITE_BYTES,
                                         "archive-recorder total write bytes"},
        [ARCHIVE_COUNTER_WRITE_TIME] = {COUNTER_TYPE_ARCHIVE_RECORDER_WRITE_TIME,
                                        "archive-recorder total write time in ns"},
        [ARCHIVE_COUNTER_MAX_READ_TIME] = {COUNTER_TYPE_ARCHIVE_REPLAYER_MAX_READ_TIME,
                                           "archive-replayer max read time in ns"},
        [ARCHIVE_COUNTER_READ_BYTES] = {COUNTER_TYPE_ARCHIVE_REPLAYER_READ_BYTES,
                                        "archive-replayer total read bytes"},
        [ARCHIVE_COUNTER_READ_TIME] = {COUNTER_TYPE_ARCHIVE_REPLAYER_READ_TIME,
                                       "archive-replayer total read time in ns"},
        [ARCHIVE_COUNTER_RECORDING_SESSIONS] = {COUNTER_TYPE_ARCHIVE_RECORDING_SESSIONS,
                                                "Archive Recording Sessions"},
        [ARCHIVE_COUNTER_REPLAY_SESSIONS] = {COUNTER_TYPE_ARCHIVE_REPLAY_SESSIONS,
                                             "Archive Replay Sessions"},
    };
    char label[TERN_COUNTER_LABEL_MAX + 1];
    const char *mode = server->conf->threading == ARCHIVE_THREADING_INVOKER ? "INVOKER" : "SHARED";
    char threshold[32];
    (void)snprintf(threshold, sizeof threshold, "%" PRId64 "ns", server->conf->cycle_threshold_ns);
    int32_t length;
    if (index == ARCHIVE_COUNTER_CYCLE_TIME_EXCEEDED) {
        length = archive_server_label(
            server, label, (int32_t)sizeof label,
            "archive-conductor work cycle time exceeded count: threshold=%s %s", threshold, mode);
    } else if (index == ARCHIVE_COUNTER_MAX_CYCLE_TIME) {
        length = archive_server_label(server, label, (int32_t)sizeof label,
                                      "archive-conductor max cycle time in ns: %s", mode);
    } else {
        length =
            archive_server_label(server, label, (int32_t)sizeof label, "%s", kinds[index].label);
    }
    if (index == ARCHIVE_COUNTER_ERRORS) {
        length += snprintf(label + length, sizeof label - (size_t)length,
                           " version=" TERN_VERSION " commit=");
    }
    uint8_t key[8];
    put_i64(key, server->archive_id);
    const struct tern_counter_params params = {.type_id = kinds[index].type_id,
                                               .key = key,
                                               .key_length = (int32_t)sizeof key,
                                               .label = label,
                                               .label_length = length};
    return tern_client_async_add_counter(server->client, &params, error);
}

/* The result of asking the driver: 1 there, 0 wait, negative failed. */
static int settle(struct archive_server *server, int result) {
    if (result != 0) {
        server->start_async = NULL;
    }
    return result < 0 && archive_server_is_temporary(result) ? 0 : result;
}

static int start_counters(struct archive_server *server, struct tern_error *error) {
    if (server->start_async == NULL) {
        if (server->start_index == 0 && !has_own_leftovers(server) &&
            tern_counters_for_each(tern_client_counters(server->client), find_own_kind, server) !=
                0) {
            return error_set(error, -EBUSY,
                             "another archive with id %" PRId64 " runs on this media driver",
                             server->archive_id);
        }
        server->start_async = begin_counter(server, server->start_index, error);
        return server->start_async == NULL ? settle(server, error->code) : 1;
    }
    int result =
        settle(server, tern_async_poll_counter(server->start_async,
                                               &server->counters[server->start_index], error));
    if (result == 1 && ++server->start_index == ARCHIVE_COUNTER_COUNT) {
        set_state(server, ARCHIVE_STATE_STREAMS);
    }
    return result;
}

/* ---- streams
 * ---------------------------------------------------------------------------------------- */

enum start_stream { STREAM_EVENTS, STREAM_CONTROL, STREAM_LOCAL_CONTROL, STREAM_COUNT };

static int add_subscription(struct archive_server *server, const char *channel, int32_t stream_id,
                            tern_subscription **subscription, struct tern_error *error) {
    if (server->start_async == NULL) {
        struct uri_builder builder;
        if (uri_builder_init(&builder, channel) != 0 ||
            uri_builder_set(&builder, "sparse",
                            server->conf->control_term_sparse ? "true" : "false") != 0) {
            return error_set(error, -ENAMETOOLONG, "control channel is too long");
        }
        const struct tern_subscription_params params = {.channel = builder.text,
                                                        .stream_id = stream_id};
        server->start_async = tern_client_async_add_subscription(server->client, &params, error);
        return server->start_async == NULL ? settle(server, error->code) : 0;
    }
    int result =
        settle(server, tern_async_poll_subscription(server->start_async, subscription, error));
    return result < 0 ? error_prefix(error, "control channel %.100s", channel) : result;
}

static int add_events(struct archive_server *server, struct tern_error *error) {
    if (server->start_async == NULL) {
        server->start_async = tern_client_async_add_exclusive_publication(
            server->client, server->conf->events_channel, server->conf->events_stream_id, error);
        return server->start_async == NULL ? settle(server, error->code) : 0;
    }
    int result = settle(
        server, tern_async_poll_exclusive_publication(server->start_async, &server->events, error));
    return result < 0 ? error_prefix(error, "recording events channel") : result;
}

static int start_stream(struct archive_server *server, struct tern_error *error) {
    const struct archive_conf *conf = server->conf;
    switch ((enum start_stream)server->start_index) {
    case STREAM_EVENTS:
        return conf->events_enabled ? add_events(server, error) : 1;
    case STREAM_CONTROL:
        return conf->control_channel_enabled
                   ? add_subscription(server, conf->control_channel, conf->control_stream_id,
                                      &server->control_subscription, error)
                   : 1;
    case STREAM_LOCAL_CONTROL:
        return add_subscription(server, conf->local_control_channel, conf->local_control_stream_id,
                                &server->local_subscription, error);
    case STREAM_COUNT:
        break;
    }
    return -EINVAL;
}

static int start_streams(struct archive_server *server, struct tern_error *error) {
    int result = start_stream(server, error);
    if (result != 1 || ++server->start_index < STREAM_COUNT) {
        return result;
    }
    server->control_assembler = tern_fragment_assembler_create(archive_request_on_message, server);
    server->local_assembler = tern_fragment_assembler_create(archive_request_on_message, server);
    if (server->control_assembler == NULL || server->local_assembler == NULL) {
        return error_set(error, -ENOMEM, "no memory for the control streams");
    }
    archive_mark_ready(&server->mark, server->now_epoch_ms);
    server->mark_deadline_ns = server->now_ns + ARCHIVE_MARK_INTERVAL_NS;
    set_state(server, ARCHIVE_STATE_RUNNING);
    return 1;
}

int archive_start_step(struct archive_server *server, struct tern_error *error) {
    switch (server->state) {
    case ARCHIVE_STATE_DRIVER:
        return start_driver(server, error);
    case ARCHIVE_STATE_FILES:
        return start_files(server, error);
    case ARCHIVE_STATE_COUNTERS:
        return start_counters(server, error);
    case ARCHIVE_STATE_STREAMS:
        return start_streams(server, error);
    case ARCHIVE_STATE_RUNNING:
    case ARCHIVE_STATE_FAILED:
        break;
    }
    return 0;
}

void archive_start_cancel(struct archive_server *server) {
    tern_async_cancel(server->start_async);
    server->start_async = NULL;
}
