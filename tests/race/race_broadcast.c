/* A transmitter that waits for nobody and receivers that are lapped: what a receiver gets is whole
 * and newer than what it got before, and it finds the last message. */
#include "race.h"

#include "base/atomic.h"
#include "shm/broadcast.h"

#define RECEIVER_COUNT 2
#define MESSAGE_COUNT 300000
#define CAPACITY 4096
#define LENGTH_MAX (CAPACITY / 8)

struct receiver {
    const uint8_t *memory;
    int64_t received;
    int64_t lapped;
};

static void *receive(void *argument) {
    struct receiver *self = argument;
    struct broadcast_receiver receiver;
    CHECK(broadcast_receiver_init(&receiver, self->memory, CAPACITY + BROADCAST_TRAILER_LENGTH) ==
          0);
    int32_t last = 0;
    while (last < MESSAGE_COUNT) {
        uint8_t message[LENGTH_MAX];
        int32_t type, length;
        int result = broadcast_receive(&receiver, &type, message, sizeof message, &length);
        if (result == 1) {
            CHECK(type > last);
            CHECK(length == message_length(1, type, LENGTH_MAX));
            int32_t next[2] = {0, type};
            message_check(message, length, next, 2);
            last = type;
            self->received++;
        } else if (result == 0) {
            (void)sched_yield();
        }
    }
    self->lapped = receiver.lapped_count;
    return NULL;
}

int main(void) {
    uint8_t *memory = zeroed(64, CAPACITY + BROADCAST_TRAILER_LENGTH);
    struct broadcast_transmitter transmitter;
    CHECK(broadcast_transmitter_init(&transmitter, memory, CAPACITY + BROADCAST_TRAILER_LENGTH) ==
          0);
    struct receiver receivers[RECEIVER_COUNT];
    pthread_t threads[RECEIVER_COUNT];
    for (int i = 0; i < RECEIVER_COUNT; i++) {
        receivers[i] = (struct receiver){.memory = memory};
        threads[i] = start(receive, &receivers[i]);
    }
    for (int32_t number = 1; number <= MESSAGE_COUNT; number++) {
        uint8_t message[LENGTH_MAX];
        int32_t length = message_length(1, number, LENGTH_MAX);
        message_fill(message, 1, number, length);
        CHECK(broadcast_transmit(&transmitter, number, message, length) == 0);
        if (number % (number < MESSAGE_COUNT / 2 ? 64 : 4) == 0) {
            (void)sched_yield();
        }
    }
    for (int i = 0; i < RECEIVER_COUNT; i++) {
        join(threads[i]);
        (void)printf("receiver %d: %lld received, %lld laps\n", i, (long long)receivers[i].received,
                     (long long)receivers[i].lapped);
    }
    free(memory);
    return 0;
}
