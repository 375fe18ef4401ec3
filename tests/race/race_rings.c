/* Several producers and one consumer on ring_mpsc, and one producer on ring_spsc: every message
 * arrives once, whole, and in its producer's order; aborted claims never arrive. */
#include "race.h"

#include "shm/ring_mpsc.h"
#include "shm/ring_spsc.h"

#define PRODUCER_COUNT 3
#define MESSAGE_COUNT 40000
#define CAPACITY 8192
#define LENGTH_MAX (CAPACITY / 8)

struct producer {
    struct ring_mpsc *ring;
    struct ring_spsc *spsc;
    int32_t id;
};

static void produce_one(const struct producer *producer, int32_t number) {
    uint8_t message[LENGTH_MAX];
    int32_t length = message_length(producer->id, number, LENGTH_MAX / 4);
    enum ring_status status = RING_FULL;
    while (status == RING_FULL) {
        if (producer->spsc != NULL) {
            message_fill(message, producer->id, number, length);
            status = ring_spsc_write(producer->spsc, 1, message, length);
        } else if (number % 3 == 0) {
            message_fill(message, producer->id, number, length);
            status = ring_mpsc_write(producer->ring, 1, message, length);
        } else {
            uint8_t *payload;
            status = ring_mpsc_try_claim(producer->ring, 1, length, &payload);
            if (status == RING_OK && number % 3 == 1) {
                message_fill(payload, producer->id, number, length);
                ring_mpsc_commit(producer->ring, payload);
            } else if (status == RING_OK) {
                ring_mpsc_abort(producer->ring, payload);
                status = ring_mpsc_try_claim(producer->ring, 1, length, &payload);
                if (status == RING_OK) {
                    message_fill(payload, producer->id, number, length);
                    ring_mpsc_commit(producer->ring, payload);
                }
            }
        }
        if (status == RING_FULL) {
            (void)sched_yield();
        }
    }
    CHECK(status == RING_OK);
}

static void *produce(void *argument) {
    const struct producer *producer = argument;
    for (int32_t number = 0; number < MESSAGE_COUNT; number++) {
        produce_one(producer, number);
    }
    return NULL;
}

static void consume(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    CHECK(type == 1);
    message_check(payload, length, context, PRODUCER_COUNT);
}

static enum ring_action consume_controlled(void *context, int32_t type, const uint8_t *payload,
                                           int32_t length) {
    consume(context, type, payload, length);
    return length % 5 == 0 ? RING_COMMIT : RING_CONTINUE;
}

static void run_mpsc(void) {
    uint8_t *memory = zeroed(64, CAPACITY + RING_TRAILER_LENGTH);
    struct ring_mpsc ring;
    CHECK(ring_mpsc_init(&ring, memory, CAPACITY + RING_TRAILER_LENGTH) == 0);
    struct producer producers[PRODUCER_COUNT];
    pthread_t threads[PRODUCER_COUNT];
    for (int32_t i = 0; i < PRODUCER_COUNT; i++) {
        producers[i] = (struct producer){.ring = &ring, .id = i};
        threads[i] = start(produce, &producers[i]);
    }
    int32_t next[PRODUCER_COUNT] = {0};
    int32_t received = 0;
    for (int turn = 0; received < PRODUCER_COUNT * MESSAGE_COUNT; turn++) {
        int count = turn % 2 == 0 ? ring_mpsc_read(&ring, consume, next, 10)
                                  : ring_mpsc_controlled_read(&ring, consume_controlled, next, 100);
        received += count;
        if (count == 0) {
            (void)sched_yield();
        }
    }
    for (int32_t i = 0; i < PRODUCER_COUNT; i++) {
        join(threads[i]);
        CHECK(next[i] == MESSAGE_COUNT);
    }
    (void)ring_mpsc_read(&ring, consume, next, 10); /* a last padding record */
    for (int32_t i = 0; i < CAPACITY; i++) {
        CHECK(memory[i] == 0);
    }
    free(memory);
}

static void run_spsc(void) {
    uint8_t *memory = zeroed(64, CAPACITY + RING_TRAILER_LENGTH);
    struct ring_spsc ring;
    CHECK(ring_spsc_init(&ring, memory, CAPACITY + RING_TRAILER_LENGTH) == 0);
    struct producer producer = {.spsc = &ring};
    pthread_t thread = start(produce, &producer);
    int32_t next[1] = {0};
    while (next[0] < MESSAGE_COUNT) {
        if (ring_spsc_read(&ring, consume, next, 50) == 0) {
            (void)sched_yield();
        }
    }
    join(thread);
    free(memory);
}

int main(void) {
    run_mpsc();
    run_spsc();
    return 0;
}
