/* The log agent. Requests are served in the order in which they came; deletions go to a list, of
 * which only a few are done per cycle, so that a request never waits for a crowd of them.
 *
 * A name that cannot be removed stays in the list for a while and is counted each time it fails
 * (6.6). The agent answers nobody and logs nothing itself: what is to be logged is posted to the
 * conductor.
 */
#include "driverd/log_agent.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/driver_context.h"

#define RETRY_INTERVAL_NS NS_PER_S
#define TOUCH_CHUNK_LENGTH (2 * 1024 * 1024) /* about 1 ms of page faults */
#define RING_CAPACITY 32768
/* Requests without a result: half of what a ring holds, a record being a header of 8 bytes and a
 * pointer. */
#define MAKING_MAX (RING_CAPACITY / 16 / 2)

enum request { REQUEST_MAKE = 1, REQUEST_DELETE, RESULT_MADE };

int log_agent_init(struct log_agent *agent, struct driver_context *context,
                   struct tern_error *error) {
    const size_t length = RING_CAPACITY + RING_TRAILER_LENGTH;
    const struct net *net = context->io.net;
    *agent = (struct log_agent){.context = context, .memory = calloc(2, length)};
    if (agent->memory == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make the log agent's queues");
    }
    int result = ring_spsc_init(&agent->requests, agent->memory, (int64_t)length);
    assert(result == 0);
    result = ring_spsc_init(&agent->results, agent->memory + length, (int64_t)length);
    assert(result == 0);
    return net->poller_open(net->context, &agent->poller, error);
}

static void append(struct log_file_queue *queue, struct log_file *file) {
    file->next = NULL;
    if (queue->first == NULL) {
        queue->first = file;
    } else {
        queue->last->next = file;
    }
    queue->last = file;
}

static struct log_file *take(struct log_file_queue *queue) {
    struct log_file *file = queue->first;
    queue->first = file->next;
    return file;
}

static struct log_file *file_of(const uint8_t *payload, int32_t length) {
    struct log_file *file;
    assert(length == sizeof file);
    memcpy(&file, payload, sizeof file);
    return file;
}

static void delete_for_good(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    const struct log_agent *agent = context;
    struct log_file *file = file_of(payload, length);
    (void)type;
    (void)log_file_delete(file, agent->context);
    free(file);
}

static void delete_queue(const struct log_agent *agent, struct log_file_queue *queue) {
    while (queue->first != NULL) {
        struct log_file *file = take(queue);
        (void)log_file_delete(file, agent->context);
        free(file);
    }
}

void log_agent_close(struct log_agent *agent) {
    if (agent->context == NULL) {
        return;
    }
    const struct net *net = agent->context->io.net;
    if (agent->memory != NULL) {
        while (ring_spsc_read(&agent->results, delete_for_good, agent, INT32_MAX) > 0) {
        }
        while (ring_spsc_read(&agent->requests, delete_for_good, agent, INT32_MAX) > 0) {
        }
    }
    delete_queue(agent, &agent->waiting);
    delete_queue(agent, &agent->discarded);
    delete_queue(agent, &agent->failed);
    if (agent->poller != NULL) {
        net->poller_close(net->context, agent->poller);
    }
    free(agent->memory);
    *agent = (struct log_agent){0};
}

/* -- the agent's side -- */

/* A sparse log is answered for at once; its pages get their memory afterwards, ahead of who writes
 * them. */
static void start_touching(struct log_agent *agent, struct log_file *file) {
    struct log_file **link = &agent->touching;
    if (file->result < 0 || !agent->context->conf->pre_touch || !file->spec.is_sparse) {
        return;
    }
    while (*link != NULL) {
        link = &(*link)->next_touching;
    }
    file->is_touching = true;
    *link = file;
}

static void stop_touching(struct log_agent *agent, struct log_file *file) {
    struct log_file **link = &agent->touching;
    if (!file->is_touching) {
        return;
    }
    while (*link != file) {
        link = &(*link)->next_touching;
    }
    *link = file->next_touching;
    file->is_touching = false;
}

/* What finds no memory stays as it is: who writes there will say so. */
int log_agent_touch(struct log_agent *agent) {
    struct log_file *file = agent->touching;
    if (file == NULL) {
        return 0;
    }
    const struct mapped_file *mapped = &file->log.file;
    int64_t length = min_i64(TOUCH_CHUNK_LENGTH, mapped->length - file->touched_bytes);
    int result = mapped_file_populate(mapped, file->touched_bytes, length);
    file->touched_bytes += length;
    if (result < 0 || file->touched_bytes == mapped->length) {
        stop_touching(agent, file);
    }
    if (result < 0) {
        struct tern_error error;
        (void)error_set_errno(&error, -result, "cannot pre-touch log buffers");
        driver_context_post_error(agent->context, &error);
    }
    return 1;
}

static bool put(struct ring_spsc *ring, enum request type, struct log_file *file) {
    return ring_spsc_write(ring, (int32_t)type, &file, sizeof file) == RING_OK;
}

static void on_request(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct log_agent *agent = context;
    const struct net *net = agent->context->io.net;
    struct log_file *file = file_of(payload, length);
    if (type == REQUEST_DELETE) {
        stop_touching(agent, file);
        append(&agent->discarded, file);
        return;
    }
    assert(type == REQUEST_MAKE);
    log_file_make(file, agent->context);
    start_touching(agent, file);
    bool was_put = put(&agent->results, RESULT_MADE, file);
    assert(was_put); /* MAKING_MAX sees to the room */
    (void)was_put;
    net->wake(net->context, agent->context->conductor_poller);
}

int log_agent_serve(struct log_agent *agent) {
    return ring_spsc_read(&agent->requests, on_request, agent, 1);
}

/* The name could not be removed: try again later, and count. */
static void put_back(struct log_agent *agent, struct log_file *file, int errno_value,
                     int64_t now_ns) {
    struct tern_error error;
    error_set_errno(&error, errno_value, "cannot delete %s", file->path);
    driver_context_post_error(agent->context, &error);
    context_count(agent->context, SYSTEM_COUNTER_FREE_FAILS, 1);
    file->retry_time_ns = now_ns + RETRY_INTERVAL_NS;
    append(&agent->failed, file);
}

int log_agent_delete(struct log_agent *agent, int64_t now_ns) {
    int limit = agent->context->conf->resource_free_limit;
    int count = 0;
    while (agent->failed.first != NULL && agent->failed.first->retry_time_ns <= now_ns) {
        append(&agent->discarded, take(&agent->failed));
    }
    while (count < limit && agent->discarded.first != NULL) {
        struct log_file *file = take(&agent->discarded);
        int result = log_file_delete(file, agent->context);
        if (result < 0) {
            put_back(agent, file, -result, now_ns);
        } else {
            free(file);
        }
        count++;
    }
    return count;
}

int log_agent_do_work(struct log_agent *agent, int64_t now_ns) {
    int work = log_agent_serve(agent);
    work += log_agent_delete(agent, now_ns);
    return work > 0 ? work : log_agent_touch(agent);
}

/* -- the conductor's side -- */

static bool submit(struct log_agent *agent, enum request type, struct log_file *file) {
    const struct net *net = agent->context->io.net;
    if (!put(&agent->requests, type, file)) {
        return false;
    }
    net->wake(net->context, agent->poller);
    return true;
}

bool log_agent_request(struct log_agent *agent, struct log_file *file) {
    if (agent->making_count == MAKING_MAX || !submit(agent, REQUEST_MAKE, file)) {
        context_count(agent->context, SYSTEM_COUNTER_RESOURCE_PROXY_FAILS, 1);
        return false;
    }
    agent->making_count++;
    return true;
}

void log_agent_discard(struct log_agent *agent, struct log_file *file) {
    if (file == NULL) {
        return;
    }
    if (!submit(agent, REQUEST_DELETE, file)) {
        append(&agent->waiting, file);
    }
}

/* What found the ring full goes as soon as there is room. */
static void submit_waiting(struct log_agent *agent) {
    while (agent->waiting.first != NULL) {
        struct log_file *file = agent->waiting.first;
        struct log_file *next = file->next; /* the file is gone once it was submitted */
        if (!submit(agent, REQUEST_DELETE, file)) {
            break;
        }
        agent->waiting.first = next;
    }
}

static void on_result(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct log_file **file = context;
    assert(type == RESULT_MADE);
    (void)type;
    *file = file_of(payload, length);
}

struct log_file *log_agent_poll(struct log_agent *agent) {
    struct log_file *file = NULL;
    if (agent->waiting.first != NULL) {
        submit_waiting(agent);
    }
    if (agent->making_count > 0) {
        agent->making_count -= ring_spsc_read(&agent->results, on_result, &file, 1);
    }
    return file;
}
