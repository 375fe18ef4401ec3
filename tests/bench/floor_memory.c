/* floor_memory [PART...]: floors of shared memory; all parts without an argument.
 *     rtt          a cache line handed to another core and back
 *     copy         1 KiB pieces through a buffer that does not fit the first cache
 *     ring:LENGTH  messages of that length behind a header of 32 bytes through a ring from one core
 *                  to another */
#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "bench/bench.h"

#define ROUND_TRIPS 200000
#define WARM_UP 20000
/* One reading of the clock costs as much as a hand-over: time a batch. */
#define BATCH 16
#define COPY_BUFFER_LENGTH (256 * 1024)
#define COPY_LENGTH 1024
#define COPY_NS INT64_C(500000000)
#define RING_LENGTH (1 << 22)
#define RING_WINDOW (RING_LENGTH / 2)
#define RING_BATCH 128
#define PAUSES 50
#define RING_NS INT64_C(500000000)
#define HEADER_LENGTH 32
#define MESSAGE_MAX 8192

struct lines {
    alignas(CACHE_LINE_LENGTH) int64_t ping;
    alignas(CACHE_LINE_LENGTH) int64_t pong;
};

static void *answer(void *argument) {
    struct lines *lines = argument;
    bench_pin(1);
    for (int64_t i = 1; i <= ROUND_TRIPS + WARM_UP; i++) {
        while (__atomic_load_n(&lines->ping, __ATOMIC_ACQUIRE) != i) {
        }
        __atomic_store_n(&lines->pong, i, __ATOMIC_RELEASE);
    }
    return NULL;
}

static void measure_hand_over(void) {
    struct lines lines = {0};
    struct bench_samples samples;
    pthread_t thread;
    bench_samples_init(&samples, ROUND_TRIPS / BATCH);
    if (pthread_create(&thread, NULL, answer, &lines) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    int64_t start_ns = 0;
    for (int64_t i = 1; i <= ROUND_TRIPS + WARM_UP; i++) {
        if (i % BATCH == 1) {
            start_ns = bench_now_ns();
        }
        __atomic_store_n(&lines.ping, i, __ATOMIC_RELEASE);
        while (__atomic_load_n(&lines.pong, __ATOMIC_ACQUIRE) != i) {
        }
        if (i > WARM_UP && i % BATCH == 0) {
            bench_samples_add(&samples, (bench_now_ns() - start_ns) / BATCH);
        }
    }
    (void)pthread_join(thread, NULL);
    bench_print_latency("floor_ipc_rtt", &samples, "-");
    bench_samples_close(&samples);
}

static void measure_copy(void) {
    static char source[COPY_BUFFER_LENGTH];
    static char target[COPY_BUFFER_LENGTH];
    int64_t bytes = 0;
    int64_t start_ns = bench_now_ns();
    int64_t now_ns = start_ns;
    memset(source, 1, sizeof source);
    while (now_ns - start_ns < COPY_NS) {
        for (size_t offset = 0; offset < COPY_BUFFER_LENGTH; offset += COPY_LENGTH) {
            memcpy(target + offset, source + offset, COPY_LENGTH);
            atomic_signal_fence(memory_order_seq_cst); /* keep every copy */
        }
        bytes += COPY_BUFFER_LENGTH;
        now_ns = bench_now_ns();
    }
    bench_print("floor_memcpy", (double)bytes * 1e3 / (double)(now_ns - start_ns), "MB/s", "-");
}

/* The least that a log of messages needs: the producer copies messages and publishes the end of a
 * batch, the consumer looks at each length and publishes how far it came. A consumer that caught up
 * pauses, for it works fastest in batches, too. */
struct ring {
    alignas(CACHE_LINE_LENGTH) int64_t tail;
    alignas(CACHE_LINE_LENGTH) int64_t head;
    alignas(CACHE_LINE_LENGTH) bool is_done;
    int64_t record_length;
    uint8_t *bytes;
};

static void *consume(void *argument) {
    struct ring *ring = argument;
    int64_t head = 0;
    bench_pin(1);
    while (!__atomic_load_n(&ring->is_done, __ATOMIC_ACQUIRE)) {
        int64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (head == tail) {
            for (int i = 0; i < PAUSES; i++) {
                cpu_relax();
            }
            continue;
        }
        while (head < tail) {
            int32_t length;
            memcpy(&length, ring->bytes + (head & (RING_LENGTH - 1)), sizeof length);
            head += length;
        }
        __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
    }
    return NULL;
}

/* Inline, so that a length that the caller knows makes a copy without a call. */
static inline int64_t produce_records(struct ring *ring, int32_t length) {
    static const uint8_t message[MESSAGE_MAX];
    int64_t tail = 0;
    int64_t limit = RING_WINDOW;
    int64_t start_ns = bench_now_ns();
    while (bench_now_ns() - start_ns < RING_NS) {
        for (int i = 0; i < RING_BATCH; i++) {
            while (tail + length > limit) {
                limit = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) + RING_WINDOW;
            }
            uint8_t *record = ring->bytes + (tail & (RING_LENGTH - 1));
            memcpy(record, &length, sizeof length);
            memcpy(record + HEADER_LENGTH, message, (size_t)(length - HEADER_LENGTH));
            tail += length;
        }
        __atomic_store_n(&ring->tail, tail, __ATOMIC_RELEASE);
    }
    return tail / length;
}

static int64_t produce(struct ring *ring) {
    switch (ring->record_length) {
    case 32 + HEADER_LENGTH:
        return produce_records(ring, 32 + HEADER_LENGTH);
    case 100 + HEADER_LENGTH:
        return produce_records(ring, 100 + HEADER_LENGTH);
    default:
        return produce_records(ring, (int32_t)ring->record_length);
    }
}

static void measure_ring(int message_length) {
    char name[64];
    struct ring ring = {.record_length = message_length + HEADER_LENGTH};
    pthread_t thread;
    ring.bytes = calloc(1, RING_LENGTH + MESSAGE_MAX + HEADER_LENGTH);
    if (ring.bytes == NULL || pthread_create(&thread, NULL, consume, &ring) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    int64_t start_ns = bench_now_ns();
    int64_t count = produce(&ring);
    double rate = (double)count * 1e9 / (double)(bench_now_ns() - start_ns);
    __atomic_store_n(&ring.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    (void)snprintf(name, sizeof name, "floor_ring_%d", message_length);
    bench_print(name, rate, "msg/s", "-");
    free(ring.bytes);
}

static void measure(const char *part) {
    if (strcmp(part, "rtt") == 0) {
        measure_hand_over();
    } else if (strcmp(part, "copy") == 0) {
        measure_copy();
    } else if (strncmp(part, "ring:", 5) == 0 && atoi(part + 5) > 0 &&
               atoi(part + 5) <= MESSAGE_MAX) {
        measure_ring(atoi(part + 5));
    } else {
        errno = EINVAL;
        bench_fail(part);
    }
}

int main(int argc, char **argv) {
    static char *const all[] = {"rtt", "copy", "ring:32", "ring:1024"};
    char *const *parts = argc > 1 ? argv + 1 : all;
    int count = argc > 1 ? argc - 1 : (int)(sizeof all / sizeof all[0]);
    for (int i = 0; i < count; i++) {
        measure(parts[i]);
    }
    return 0;
}
