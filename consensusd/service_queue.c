/* The ring of service_queue.h. A record is its length and the message, padded to 8 bytes, and never
 * wraps: a negative length fills the rest of the ring. The header's timestamp holds the position
 * behind the message in the log, NOT_APPENDED until it has one, as the snapshot wants it.
 */
#include "consensusd/service_queue.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/module_snapshot.h"
#include "wire/cluster_codec.h"

#define CAPACITY_INITIAL (1 << 20)
#define RECORD_HEADER_LENGTH 8
#define RECORD_ALIGNMENT 8
#define NOT_APPENDED INT64_MAX

static uint8_t *at(const struct service_queue *queue, int64_t offset) {
    return queue->bytes + (offset & (queue->capacity - 1));
}

static int64_t record_length(int32_t length) {
    return align_i64(RECORD_HEADER_LENGTH + (int64_t)length, RECORD_ALIGNMENT);
}

/* Past the filling at the end of the ring, if that comes next. */
static int64_t skip_filling(const struct service_queue *queue, int64_t offset) {
    int32_t length = offset == queue->tail ? 0 : get_i32(at(queue, offset));
    return length < 0 ? offset - length : offset;
}

static int64_t next_record(const struct service_queue *queue, int64_t offset) {
    return offset + record_length(get_i32(at(queue, offset)));
}

static uint8_t *message_at(const struct service_queue *queue, int64_t offset) {
    return at(queue, offset) + RECORD_HEADER_LENGTH;
}

static int64_t id_of(const uint8_t *message) {
    return cluster_session_message_header_get_cluster_session_id(message);
}

static int64_t position_of(const uint8_t *message) {
    return cluster_session_message_header_get_timestamp(message);
}

static void set_position(uint8_t *message, int64_t position) {
    cluster_session_message_header_set_timestamp(message, position);
}

/* -- room -- */

/* Move everything to the front of a ring of twice the size. */
static int grow(struct service_queue *queue) {
    if (queue->capacity * 2 > queue->capacity_max) {
        return -ENOSPC;
    }
    uint8_t *bigger = malloc((size_t)queue->capacity * 2);
    if (bigger == NULL) {
        return -ENOMEM;
    }
    int64_t end = 0;
    int64_t cursor = -1;
    int64_t offset = skip_filling(queue, queue->head);
    while (offset < queue->tail) {
        if (offset >= queue->cursor && cursor < 0) {
            cursor = end;
        }
        int64_t next = next_record(queue, offset);
        memcpy(bigger + end, at(queue, offset), (size_t)(next - offset));
        end += next - offset;
        offset = skip_filling(queue, next);
    }
    free(queue->bytes);
    queue->bytes = bigger;
    queue->capacity *= 2;
    queue->head = 0;
    queue->cursor = cursor < 0 ? end : cursor;
    queue->tail = end;
    return 0;
}

/* Where a record of this length is put, or -1. */
static int64_t find_room(struct service_queue *queue, int64_t needed) {
    int64_t rest = queue->capacity - (queue->tail & (queue->capacity - 1));
    int64_t filling = needed > rest ? rest : 0;
    if (queue->tail + filling + needed - queue->head > queue->capacity) {
        return -1;
    }
    if (filling > 0) {
        put_i32(at(queue, queue->tail), (int32_t)-filling);
        bool is_at_end = queue->cursor == queue->tail;
        queue->tail += filling;
        queue->cursor = is_at_end ? queue->tail : queue->cursor;
        queue->head = queue->count == 0 ? queue->tail : queue->head;
    }
    return queue->tail;
}

static int push(struct service_queue *queue, const uint8_t *message, int32_t length, int64_t id) {
    int64_t offset;
    while ((offset = find_room(queue, record_length(length))) < 0) {
        int result = grow(queue);
        if (result != 0) {
            return result;
        }
    }
    put_i32(at(queue, offset), length);
    uint8_t *copy = message_at(queue, offset);
    memcpy(copy, message, (size_t)length);
    cluster_session_message_header_set_cluster_session_id(copy, id);
    set_position(copy, NOT_APPENDED);
    queue->tail = offset + record_length(length);
    queue->count++;
    return 0;
}

static void pop(struct service_queue *queue) {
    assert(queue->count > 0);
    queue->head = skip_filling(queue, next_record(queue, skip_filling(queue, queue->head)));
    queue->cursor = max_i64(queue->cursor, queue->head);
    queue->count--;
    if (queue->count == 0) {
        queue->head = queue->cursor = queue->tail = 0; /* the same few pages again */
    }
}

/* -- life -- */

int service_queue_init(struct service_queue *queue, int32_t service_id, struct tern_error *error) {
    *queue = (struct service_queue){
        .next_id = service_session_id_base(service_id) + 1,
        .log_id = service_session_id_base(service_id),
        .bytes = malloc(CAPACITY_INITIAL),
        .capacity = CAPACITY_INITIAL,
        .capacity_max = SERVICE_QUEUE_LENGTH_MAX,
    };
    return queue->bytes == NULL ? error_set(error, -ENOMEM, "no memory for service messages") : 0;
}

void service_queue_close(struct service_queue *queue) {
    free(queue->bytes);
    *queue = (struct service_queue){0};
}

int service_queue_offer(struct service_queue *queue, const uint8_t *message, int32_t length) {
    assert(length >= CLUSTER_SESSION_MESSAGE_HEADER_LENGTH_MIN);
    int result = 0;
    if (queue->next_id > queue->log_id) {
        result = push(queue, message, length, queue->next_id);
    }
    queue->next_id += result == 0;
    return result;
}

int service_queue_restore(struct service_queue *queue, const uint8_t *message, int32_t length) {
    return push(queue, message, length, id_of(message));
}

/* -- leader -- */

const uint8_t *service_queue_peek(struct service_queue *queue, int32_t *length) {
    queue->cursor = skip_filling(queue, queue->cursor);
    if (queue->cursor == queue->tail) {
        return NULL;
    }
    *length = get_i32(at(queue, queue->cursor));
    return message_at(queue, queue->cursor);
}

void service_queue_advance(struct service_queue *queue, int64_t position) {
    assert(queue->cursor < queue->tail);
    set_position(message_at(queue, queue->cursor), position);
    queue->cursor = next_record(queue, queue->cursor);
}

static const uint8_t *oldest(const struct service_queue *queue) {
    return queue->count == 0 ? NULL : message_at(queue, skip_filling(queue, queue->head));
}

void service_queue_on_commit(struct service_queue *queue, int64_t position) {
    for (const uint8_t *message = oldest(queue);
         message != NULL && position_of(message) <= position; message = oldest(queue)) {
        queue->log_id = id_of(message);
        pop(queue);
    }
}

/* -- all members -- */

void service_queue_on_log(struct service_queue *queue, int64_t id) {
    queue->log_id = max_i64(queue->log_id, id);
    for (const uint8_t *message = oldest(queue); message != NULL && id_of(message) <= id;
         message = oldest(queue)) {
        pop(queue);
    }
}

void service_queue_roll_back(struct service_queue *queue, int64_t position) {
    int64_t offset = -1;
    int32_t length;
    service_queue_on_commit(queue, position);
    while (service_queue_each(queue, &offset, &length) != NULL) {
        set_position(message_at(queue, offset), NOT_APPENDED);
    }
    queue->cursor = queue->head;
}

const uint8_t *service_queue_each(const struct service_queue *queue, int64_t *offset,
                                  int32_t *length) {
    *offset = skip_filling(queue, *offset < 0 ? queue->head : next_record(queue, *offset));
    if (*offset == queue->tail) {
        return NULL;
    }
    *length = get_i32(at(queue, *offset));
    return message_at(queue, *offset);
}
