/* Watching the driver and keeping the client alive (shared-memory.md 3.7, step 3).
 *
 * A driver that stops says so by a heartbeat of -1. One that dies lets its heartbeat grow old; ours
 * drops its lock, too, which is seen at once. One that is restarted makes a new cnc.dat,
 * seen by its inode, while the old mapping would look merely silent until the time-out.
 */
#include "client/keepalive.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "shm/counter_types.h"

#define PATH_LENGTH_MAX (CLIENT_DIRECTORY_MAX + 16)

static bool is_cnc_replaced(const struct tern_client *client) {
    char path[PATH_LENGTH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", client->settings.directory, CNC_FILE_NAME);
    return cnc_is_replaced(&client->cnc, path);
}

static bool is_own_heartbeat(const struct tern_client *client, int32_t id) {
    const struct counters_reader *counters = &client->counters.reader;
    return counters_reader_state(counters, id) == COUNTER_STATE_ALLOCATED &&
           counters_reader_type_id(counters, id) == COUNTER_TYPE_CLIENT_HEARTBEAT &&
           counters_reader_registration_id(counters, id) == client->id;
}

/* 3.7, 3.2: who this client is, for people who look at the counters. */
static void append_label(const struct tern_client *client, int32_t id) {
    /* The mapping is writable; only the reader's view of it is const. */
    struct counter_metadata *metadata =
        (struct counter_metadata *)(uintptr_t)&client->counters.reader.metadata[id];
    char text[COUNTER_LABEL_LENGTH_MAX + 1];
    int added = snprintf(text, sizeof text, " name=%s version=%s commit=tern",
                         client->settings.client_name, TERN_VERSION);
    int32_t length = load_acquire_i32(&metadata->label_length);
    if (added <= 0 || length < 0 || length > COUNTER_LABEL_LENGTH_MAX) {
        return;
    }
    int32_t room = min_i32(added, COUNTER_LABEL_LENGTH_MAX - length);
    memcpy(metadata->label + length, text, (size_t)room);
    store_release_i32(&metadata->label_length, length + room);
}

void client_keepalive_bind(struct tern_client *client, int32_t counter_id) {
    if (client->heartbeat_counter_id == COUNTER_NULL_ID && is_own_heartbeat(client, counter_id)) {
        client->heartbeat_counter_id = counter_id;
        append_label(client, counter_id);
    }
}

static void keep_alive(struct tern_client *client, int64_t epoch_ms) {
    if (client->heartbeat_counter_id == COUNTER_NULL_ID) {
        /* Its announcement may have been lost, or there was no add command yet. */
        client_keepalive_bind(client,
                              counters_reader_find(&client->counters.reader,
                                                   COUNTER_TYPE_CLIENT_HEARTBEAT, client->id));
        if (client->heartbeat_counter_id == COUNTER_NULL_ID) {
            return;
        }
    } else if (!is_own_heartbeat(client, client->heartbeat_counter_id)) {
        client_terminate(client, TERN_ERROR_DRIVER_TIMEOUT,
                         "unexpected close of the heartbeat counter");
        return;
    }
    int64_t *address =
        counters_reader_address(&client->counters.reader, client->heartbeat_counter_id);
    store_release_i64(address, epoch_ms);
}

int client_keepalive(struct tern_client *client, int64_t now_ns) {
    if (now_ns < client->keepalive_deadline_ns) {
        return 0;
    }
    client->keepalive_deadline_ns = now_ns + client->settings.keepalive_interval_ns;
    int64_t epoch_ms = clock_epoch_ms(client->settings.clock);
    int64_t heartbeat_ms = cnc_driver_heartbeat_ms(&client->cnc);
    int64_t age_ms =
        heartbeat_look(&client->driver_heartbeat, heartbeat_ms, now_ns, epoch_ms) / NS_PER_MS;
    if (heartbeat_ms == -1) {
        client_terminate(client, TERN_ERROR_DRIVER_TIMEOUT, "the driver has been shut down");
    } else if (age_ms > client->settings.driver_timeout_ms) {
        char text[128];
        (void)snprintf(text, sizeof text,
                       "the driver's heartbeat is %" PRId64 " ms old; the limit is %" PRId64 " ms",
                       age_ms, client->settings.driver_timeout_ms);
        client_terminate(client, TERN_ERROR_DRIVER_TIMEOUT, text);
    } else if (is_cnc_replaced(client)) {
        client_terminate(client, TERN_ERROR_DRIVER_TIMEOUT, "the driver has been restarted");
    } else if (cnc_is_abandoned(&client->cnc)) {
        client_terminate(client, TERN_ERROR_DRIVER_TIMEOUT, "the driver has died");
    } else {
        keep_alive(client, epoch_ms);
    }
    return 1;
}
