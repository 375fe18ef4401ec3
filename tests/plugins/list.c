/* list: a list of 64-bit integers that clients append to and read. Deterministic, with its whole
 * state in its snapshot: the service that the tests of replication, timers, service messages and
 * recovery are written against.
 *
 * A request is 32 bytes, four little-endian i64: operation, request id, x, y. The answer is eight:
 * operation, request id, length and hash of the list, messages, timers fired, service messages,
 * cluster time; for DUMP values follow.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/service.h>

#define SEND_ATTEMPTS_MAX 10000
#define DUMP_COUNT_MAX 4096
#define SNAPSHOT_WORDS_MAX 128
#define TIMER_MARK (INT64_C(1) << 62)
#define SERVICE_MARK (INT64_C(1) << 61)
#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

enum operation {
    OPERATION_APPEND = 1,
    OPERATION_READ = 2,
    OPERATION_SET_TIMER = 3,
    OPERATION_CANCEL_TIMER = 4,
    OPERATION_SEND = 5,
    OPERATION_COUNT = 6,
    OPERATION_CLOSE = 7,
    OPERATION_DUMP = 8,
    ANSWER_TIMER = 100,
    ANSWER_SERVICE_MESSAGE = 101,
};

struct request {
    int64_t operation;
    int64_t request_id;
    int64_t x;
    int64_t y;
};

struct owner {
    int64_t timer_id;
    int64_t session_id;
};

struct list {
    struct tern_service_host *host;
    const struct tern_service_operations *operations;
    int64_t *values;
    int64_t length;
    int64_t capacity;
    uint64_t hash;
    int64_t message_count;
    int64_t timers_fired;
    int64_t service_message_count;
    struct owner *owners; /* ascending timer id */
    int64_t owner_count;
    int64_t owner_capacity;
};

static void *grow(void *array, int64_t *capacity, int64_t needed, size_t element_length) {
    if (needed <= *capacity) {
        return array;
    }
    int64_t bigger = *capacity == 0 ? 64 : *capacity * 2;
    void *moved = realloc(array, (size_t)bigger * element_length);
    if (moved == NULL) {
        abort(); /* a replica that forgets must not go on */
    }
    *capacity = bigger;
    return moved;
}

static void append(struct list *list, int64_t value) {
    list->values = grow(list->values, &list->capacity, list->length + 1, sizeof *list->values);
    list->values[list->length++] = value;
    for (int shift = 0; shift < 64; shift += 8) {
        list->hash = (list->hash ^ (((uint64_t)value >> shift) & 0xFF)) * HASH_PRIME;
    }
}

/* Index of the first owner whose timer id is not below. */
static int64_t owner_index(const struct list *list, int64_t timer_id) {
    int64_t index = 0;
    while (index < list->owner_count && list->owners[index].timer_id < timer_id) {
        index++;
    }
    return index;
}

static void set_owner(struct list *list, int64_t timer_id, int64_t session_id) {
    int64_t index = owner_index(list, timer_id);
    if (index == list->owner_count || list->owners[index].timer_id != timer_id) {
        list->owners =
            grow(list->owners, &list->owner_capacity, list->owner_count + 1, sizeof *list->owners);
        memmove(&list->owners[index + 1], &list->owners[index],
                (size_t)(list->owner_count - index) * sizeof *list->owners);
        list->owner_count++;
    }
    list->owners[index] = (struct owner){timer_id, session_id};
}

/* True with the session that owned the timer, which is forgotten. */
static bool take_owner(struct list *list, int64_t timer_id, int64_t *session_id) {
    int64_t index = owner_index(list, timer_id);
    if (index == list->owner_count || list->owners[index].timer_id != timer_id) {
        return false;
    }
    *session_id = list->owners[index].session_id;
    list->owner_count--;
    memmove(&list->owners[index], &list->owners[index + 1],
            (size_t)(list->owner_count - index) * sizeof *list->owners);
    return true;
}

static void answer(struct list *list, int64_t session_id, int64_t operation, int64_t request_id,
                   const int64_t *values, int64_t value_count) {
    int64_t words[8 + DUMP_COUNT_MAX] = {
        operation,
        request_id,
        list->length,
        (int64_t)list->hash,
        list->message_count,
        list->timers_fired,
        list->service_message_count,
        list->operations->cluster_time(list->host),
    };
    if (value_count > 0) {
        memcpy(words + 8, values, (size_t)value_count * sizeof *values);
    }
    (void)tern_service_send(list->host, list->operations, session_id, words,
                            (int32_t)((8 + value_count) * (int64_t)sizeof words[0]),
                            SEND_ATTEMPTS_MAX);
}

/* The same request must have the same effect on every member, so wait for room in the control
 * stream instead of giving up. */
static void send_to_cluster(struct list *list, int64_t session_id, const struct request *request) {
    for (int64_t index = 0; index < request->x; index++) {
        const int64_t words[4] = {OPERATION_SEND, request->request_id, index, session_id};
        while (list->operations->offer_to_cluster(list->host, words, sizeof words) ==
               TERN_PUBLICATION_BACK_PRESSURED) {
            list->operations->idle(list->host, 0);
        }
    }
}

static void set_timer(struct list *list, int64_t session_id, const struct request *request) {
    int64_t deadline = list->operations->cluster_time(list->host) + request->y;
    set_owner(list, request->x, session_id);
    while (list->operations->schedule_timer(list->host, request->x, deadline) ==
           TERN_PUBLICATION_BACK_PRESSURED) {
        list->operations->idle(list->host, 0);
    }
}

static void cancel_timer(struct list *list, const struct request *request) {
    int64_t session_id;
    (void)take_owner(list, request->x, &session_id);
    while (list->operations->cancel_timer(list->host, request->x) ==
           TERN_PUBLICATION_BACK_PRESSURED) {
        list->operations->idle(list->host, 0);
    }
}

static void dump(struct list *list, int64_t session_id, const struct request *request) {
    int64_t from = request->x < 0 || request->x > list->length ? list->length : request->x;
    int64_t count = list->length - from;
    count = request->y < count ? request->y : count;
    count = count < 0 ? 0 : count > DUMP_COUNT_MAX ? DUMP_COUNT_MAX : count;
    answer(list, session_id, OPERATION_DUMP, request->request_id,
           count > 0 ? list->values + from : NULL, count);
}

static void on_request(struct list *list, int64_t session_id, const struct request *request) {
    switch (request->operation) {
    case OPERATION_APPEND:
        append(list, request->x);
        break;
    case OPERATION_SET_TIMER:
        set_timer(list, session_id, request);
        break;
    case OPERATION_CANCEL_TIMER:
        cancel_timer(list, request);
        break;
    case OPERATION_SEND:
        send_to_cluster(list, session_id, request);
        break;
    case OPERATION_CLOSE:
        while (list->operations->close_session(list->host, session_id) ==
               TERN_PUBLICATION_BACK_PRESSURED) {
            list->operations->idle(list->host, 0);
        }
        return;
    case OPERATION_DUMP:
        dump(list, session_id, request);
        return;
    default: /* READ, COUNT and unknown ones change nothing */
        break;
    }
    answer(list, session_id, request->operation, request->request_id, NULL, 0);
}

static void on_service_message(struct list *list, const struct request *request) {
    /* The words are: operation, request id, index, session id. */
    int64_t index = request->x;
    int64_t session_id = request->y;
    list->service_message_count++;
    append(list, (request->request_id ^ (int64_t)((uint64_t)index << 32)) | SERVICE_MARK);
    answer(list, session_id, ANSWER_SERVICE_MESSAGE, request->request_id, NULL, 0);
}

static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    struct list *list = service;
    struct request request;
    (void)timestamp;
    list->message_count++;
    if (length < (int32_t)sizeof request) {
        return;
    }
    memcpy(&request, buffer, sizeof request);
    if (session == NULL) {
        on_service_message(list, &request);
    } else {
        on_request(list, session->session_id, &request);
    }
}

static void on_timer_event(void *service, int64_t timer_id, int64_t timestamp) {
    struct list *list = service;
    int64_t session_id;
    (void)timestamp;
    list->timers_fired++;
    append(list, timer_id | TIMER_MARK);
    if (take_owner(list, timer_id, &session_id)) {
        answer(list, session_id, ANSWER_TIMER, timer_id, NULL, 0);
    }
}

static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    (void)argument;
    (void)error;
    struct list *list = calloc(1, sizeof *list);
    if (list != NULL) {
        list->host = host;
        list->operations = operations;
        list->hash = HASH_START;
    }
    return list;
}

static void destroy(void *service) {
    struct list *list = service;
    free(list->values);
    free(list->owners);
    free(list);
}

static int write_words(struct list *list, struct tern_service_snapshot *snapshot,
                       const int64_t *words, int64_t count) {
    int result = 0;
    for (int64_t i = 0; result == 0 && i < count; i += SNAPSHOT_WORDS_MAX) {
        int64_t part = count - i < SNAPSHOT_WORDS_MAX ? count - i : SNAPSHOT_WORDS_MAX;
        result = list->operations->snapshot_write(snapshot, words + i,
                                                  (int32_t)(part * (int64_t)sizeof *words));
    }
    return result;
}

static int on_take_snapshot(void *service, struct tern_service_snapshot *snapshot,
                            struct tern_error *error) {
    struct list *list = service;
    const int64_t head[5] = {list->message_count, list->timers_fired, list->service_message_count,
                             list->length, list->owner_count};
    int64_t count = 5 + list->length + 2 * list->owner_count;
    int64_t *words = malloc((size_t)count * sizeof *words);
    int result = -ENOMEM;
    if (words != NULL) {
        memcpy(words, head, sizeof head);
        if (list->length > 0) {
            memcpy(words + 5, list->values, (size_t)list->length * sizeof *words);
        }
        if (list->owner_count > 0) {
            memcpy(words + 5 + list->length, list->owners,
                   (size_t)list->owner_count * sizeof *list->owners);
        }
        result = write_words(list, snapshot, words, count);
        free(words);
    }
    if (result != 0) {
        error->code = result;
        (void)snprintf(error->text, sizeof error->text, "no memory for the list's snapshot");
    }
    return result;
}

/* A word of the snapshot, which is a sequence of words cut into messages. */
struct reader {
    struct list *list;
    struct tern_service_snapshot *snapshot;
    const uint8_t *message;
    int32_t length;
};

static bool next_word(struct reader *reader, int64_t *word) {
    if (reader->length < (int32_t)sizeof *word) {
        const void *message;
        if (reader->list->operations->snapshot_read(reader->snapshot, &message, &reader->length) ==
                0 ||
            reader->length < (int32_t)sizeof *word) {
            return false;
        }
        reader->message = message;
    }
    memcpy(word, reader->message, sizeof *word);
    reader->message += sizeof *word;
    reader->length -= (int32_t)sizeof *word;
    return true;
}

static bool load(struct list *list, struct tern_service_snapshot *snapshot) {
    struct reader reader = {list, snapshot, NULL, 0};
    int64_t head[5];
    for (int i = 0; i < 5; i++) {
        if (!next_word(&reader, &head[i])) {
            return i == 0; /* an empty snapshot is an empty list */
        }
    }
    list->message_count = head[0];
    list->timers_fired = head[1];
    list->service_message_count = head[2];
    for (int64_t i = 0; i < head[3]; i++) {
        int64_t value;
        if (!next_word(&reader, &value)) {
            return false;
        }
        append(list, value);
    }
    for (int64_t i = 0; i < head[4]; i++) {
        int64_t timer_id;
        int64_t session_id;
        if (!next_word(&reader, &timer_id) || !next_word(&reader, &session_id)) {
            return false;
        }
        set_owner(list, timer_id, session_id);
    }
    return true;
}

static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    if (snapshot != NULL && !load(service, snapshot)) {
        error->code = -EBADMSG;
        (void)snprintf(error->text, sizeof error->text, "the list's snapshot is too short");
        return error->code;
    }
    return 0;
}

TERN_API const struct tern_service_plugin tern_service_plugin = {
    .abi_version = TERN_SERVICE_ABI_VERSION,
    .size = sizeof(struct tern_service_plugin),
    .name = "list",
    .version = "1",
    .create = create,
    .destroy = destroy,
    .on_start = on_start,
    .on_session_message = on_session_message,
    .on_timer_event = on_timer_event,
    .on_take_snapshot = on_take_snapshot,
};
