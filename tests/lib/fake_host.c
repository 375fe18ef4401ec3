/* The operations of a host, as a test sees them. Every call that a real host may refuse is refused
 * as often as the test said, so that services show whether they wait through back pressure. */
#include "lib/fake_host.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SESSION_RESPONSE_STREAM_ID 102

static void messages_add(struct fake_messages *messages, int64_t session_id, const void *bytes,
                         int32_t length) {
    if (messages->count == messages->capacity) {
        messages->capacity = messages->capacity == 0 ? 16 : messages->capacity * 2;
        messages->items =
            realloc(messages->items, (size_t)messages->capacity * sizeof *messages->items);
        assert(messages->items != NULL);
    }
    struct fake_message *message = &messages->items[messages->count++];
    *message = (struct fake_message){malloc((size_t)length + 1), length, session_id};
    assert(message->bytes != NULL);
    if (length > 0) {
        memcpy(message->bytes, bytes, (size_t)length);
    }
}

static void messages_close(struct fake_messages *messages) {
    for (int64_t i = 0; i < messages->count; i++) {
        free(messages->items[i].bytes);
    }
    free(messages->items);
    *messages = (struct fake_messages){0};
}

static bool is_refused(struct tern_service_host *host) {
    if (host->refusals == 0) {
        return false;
    }
    host->refusals--;
    return true;
}

static int64_t offer(struct tern_service_host *host, int64_t session_id, const void *buffer,
                     int32_t length) {
    if (is_refused(host)) {
        return TERN_PUBLICATION_BACK_PRESSURED;
    }
    messages_add(&host->answers, session_id, buffer, length);
    return TERN_SERVICE_MOCKED_OFFER;
}

static int close_session(struct tern_service_host *host, int64_t session_id) {
    if (is_refused(host)) {
        return TERN_PUBLICATION_BACK_PRESSURED;
    }
    host->closed_session_id = session_id;
    return 0;
}

static int64_t cluster_time(struct tern_service_host *host) {
    return host->time;
}

static enum tern_cluster_time_unit cluster_time_unit(struct tern_service_host *host) {
    (void)host;
    return TERN_CLUSTER_TIME_MILLIS;
}

static int64_t log_position(struct tern_service_host *host) {
    return host->time * 32;
}

static enum tern_cluster_role role(struct tern_service_host *host) {
    return host->role;
}

static int32_t member_id(struct tern_service_host *host) {
    (void)host;
    return 0;
}

static int set_timer(struct tern_service_host *host, int64_t timer_id, int64_t deadline) {
    if (is_refused(host)) {
        return TERN_PUBLICATION_BACK_PRESSURED;
    }
    host->last_timer = (struct fake_timer){timer_id, deadline};
    host->timer_call_count++;
    return 0;
}

static int cancel_timer(struct tern_service_host *host, int64_t timer_id) {
    return set_timer(host, timer_id, INT64_MIN);
}

static int64_t offer_to_cluster(struct tern_service_host *host, const void *buffer,
                                int32_t length) {
    if (is_refused(host)) {
        return TERN_PUBLICATION_BACK_PRESSURED;
    }
    messages_add(&host->cluster_messages, 0, buffer, length);
    return TERN_SERVICE_MOCKED_OFFER;
}

static void idle(struct tern_service_host *host, int work_count) {
    (void)work_count;
    host->idle_count++;
}

static const struct tern_service_session *next_session(struct tern_service_host *host,
                                                       int64_t after_session_id) {
    for (int i = 0; i < host->session_count; i++) {
        if (host->sessions[i].session_id > after_session_id) {
            return &host->sessions[i];
        }
    }
    return NULL;
}

static const struct tern_service_session *find_or_add_session(struct tern_service_host *host,
                                                              int64_t session_id) {
    int index = 0;
    while (index < host->session_count && host->sessions[index].session_id < session_id) {
        index++;
    }
    if (index == host->session_count || host->sessions[index].session_id != session_id) {
        assert(host->session_count < FAKE_SESSIONS_MAX);
        memmove(&host->sessions[index + 1], &host->sessions[index],
                (size_t)(host->session_count++ - index) * sizeof host->sessions[0]);
        host->sessions[index] = (struct tern_service_session){
            .session_id = session_id,
            .response_stream_id = SESSION_RESPONSE_STREAM_ID,
            .response_channel = "aeron:udp?endpoint=localhost:1",
        };
    }
    return &host->sessions[index];
}

static int snapshot_write(struct tern_service_snapshot *snapshot, const void *buffer,
                          int32_t length) {
    if (snapshot->refused_from > 0 && snapshot->messages.count + 1 >= snapshot->refused_from) {
        return -ENOMEM;
    }
    messages_add(&snapshot->messages, 0, buffer, length);
    return 0;
}

static int snapshot_read(struct tern_service_snapshot *snapshot, const void **buffer,
                         int32_t *length) {
    if (snapshot->cursor == snapshot->messages.count) {
        return 0;
    }
    const struct fake_message *message = &snapshot->messages.items[snapshot->cursor++];
    *buffer = message->bytes;
    *length = message->length;
    return 1;
}

static void write_log(struct tern_service_host *host, enum tern_service_log_level level,
                      const char *text) {
    (void)level;
    host->log_line_count++;
    (void)snprintf(host->log_text, sizeof host->log_text, "%s", text);
}

static const struct tern_service_operations operations = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_operations),
    .offer = offer,
    .close_session = close_session,
    .cluster_time = cluster_time,
    .cluster_time_unit = cluster_time_unit,
    .log_position = log_position,
    .role = role,
    .member_id = member_id,
    .schedule_timer = set_timer,
    .cancel_timer = cancel_timer,
    .offer_to_cluster = offer_to_cluster,
    .idle = idle,
    .next_session = next_session,
    .snapshot_write = snapshot_write,
    .snapshot_read = snapshot_read,
    .log = write_log,
};

bool fake_service_try_open(struct fake_service *fake, const char *name, const char *argument,
                           struct tern_error *error) {
    char path[4096];
    *fake = (struct fake_service){.host = {.operations = operations, .time = 1000}};
    (void)snprintf(path, sizeof path, "%s/%s.so", PLUGIN_DIR, name);
    fake->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (fake->library == NULL) {
        fprintf(stderr, "%s\n", dlerror());
        abort();
    }
    fake->plugin = dlsym(fake->library, TERN_SERVICE_PLUGIN_SYMBOL);
    assert(fake->plugin != NULL);
    fake->service = fake->plugin->create(&fake->host, &fake->host.operations, argument, error);
    return fake->service != NULL;
}

int fake_service_open(struct fake_service *fake, const char *name,
                      struct tern_service_snapshot *snapshot, struct tern_error *error) {
    bool is_open = fake_service_try_open(fake, name, "", error);
    assert(is_open);
    (void)is_open;
    return fake->plugin->on_start == NULL ? 0
                                          : fake->plugin->on_start(fake->service, snapshot, error);
}

void fake_service_close(struct fake_service *fake) {
    if (fake->service != NULL) {
        fake->plugin->destroy(fake->service);
    }
    messages_close(&fake->host.answers);
    messages_close(&fake->host.cluster_messages);
    (void)dlclose(fake->library);
    *fake = (struct fake_service){0};
}

void fake_service_send(struct fake_service *fake, int64_t session_id, const void *bytes,
                       int32_t length) {
    const struct tern_service_session *session =
        session_id == 0 ? NULL : find_or_add_session(&fake->host, session_id);
    fake->plugin->on_session_message(fake->service, session, fake->host.time, bytes, length);
}

void fake_service_last_answer(const struct fake_service *fake, int64_t *session_id, void *bytes,
                              int32_t length) {
    assert(fake->host.answers.count > 0);
    const struct fake_message *answer = &fake->host.answers.items[fake->host.answers.count - 1];
    assert(answer->length >= length);
    memcpy(bytes, answer->bytes, (size_t)length);
    if (session_id != NULL) {
        *session_id = answer->session_id;
    }
}

int fake_service_take_snapshot(struct fake_service *fake, struct tern_service_snapshot *snapshot,
                               struct tern_error *error) {
    return fake->plugin->on_take_snapshot == NULL
               ? 0
               : fake->plugin->on_take_snapshot(fake->service, snapshot, error);
}

void fake_snapshot_close(struct tern_service_snapshot *snapshot) {
    messages_close(&snapshot->messages);
    *snapshot = (struct tern_service_snapshot){0};
}

void fake_snapshot_cut(struct tern_service_snapshot *snapshot, int64_t count) {
    while (snapshot->messages.count > count) {
        free(snapshot->messages.items[--snapshot->messages.count].bytes);
    }
}

bool fake_snapshot_equals(const struct tern_service_snapshot *a,
                          const struct tern_service_snapshot *b) {
    if (a->messages.count != b->messages.count) {
        return false;
    }
    for (int64_t i = 0; i < a->messages.count; i++) {
        const struct fake_message *left = &a->messages.items[i];
        const struct fake_message *right = &b->messages.items[i];
        if (left->length != right->length ||
            memcmp(left->bytes, right->bytes, (size_t)left->length) != 0) {
            return false;
        }
    }
    return true;
}
