/* What the race programs share. They are plain programs, because ThreadSanitizer and Criterion do
 * not go together; each is bounded by counts, not by time, and exits 0 or aborts with a message. */
#ifndef TESTS_RACE_RACE_H
#define TESTS_RACE_RACE_H

#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline pthread_t start(void *(*run)(void *), void *argument) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, run, argument) == 0);
    return thread;
}

static inline void join(pthread_t thread) {
    CHECK(pthread_join(thread, NULL) == 0);
}

static inline void *zeroed(size_t alignment, size_t length) {
    void *memory = aligned_alloc(alignment, length);
    CHECK(memory != NULL);
    memset(memory, 0, length);
    return memory;
}

/* A message: who, which, and bytes that follow from both. At least 8 bytes long. */
static inline int32_t message_length(int32_t producer, int32_t number, int32_t length_max) {
    uint32_t random = (uint32_t)(producer * 7919 + number) * 2654435761u;
    return 8 + (int32_t)(random >> 8) % (length_max - 7);
}

static inline void message_fill(uint8_t *bytes, int32_t producer, int32_t number, int32_t length) {
    memcpy(bytes, &producer, 4);
    memcpy(bytes + 4, &number, 4);
    for (int32_t i = 8; i < length; i++) {
        bytes[i] = (uint8_t)(producer + number + i);
    }
}

/* Check the bytes and that each producer's messages come in order. */
static inline void message_check(const uint8_t *bytes, int32_t length, int32_t *next,
                                 int32_t producer_count) {
    int32_t producer, number;
    memcpy(&producer, bytes, 4);
    memcpy(&number, bytes + 4, 4);
    CHECK(producer >= 0 && producer < producer_count);
    CHECK(number == next[producer]);
    for (int32_t i = 8; i < length; i++) {
        CHECK(bytes[i] == (uint8_t)(producer + number + i));
    }
    next[producer]++;
}

#endif
