/* floor_memory [PART...]: floors of shared memory; all parts without an argument.
 *     rtt          a cache line handed to another core and back
 *     lines        the same, but each hand-over is a line that was not used before, as in a log
 *     copy         1 KiB pieces through a buffer that does not fit the first cache
 *     ring:LENGTH  messages of that length behind a header of 32 bytes through a ring from one core
 *                  to another, published in batches
 *     log:LENGTH   the same, but each message is published when it is there, as a log has it */
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

/* Two logs of one line per message. The lines are zero in memory, as a driver leaves them. */
struct logs {
    uint8_t *ping;
    uint8_t *pong;
};

static int64_t *line_of(uint8_t *log, int64_t index) {
    return (int64_t *)(void *)(log + index * CACHE_LINE_LENGTH);
}

static void *answer_lines(void *argument) {
    const struct logs *logs = argument;
    bench_pin(1);
    for (int64_t i = 0; i < ROUND_TRIPS + WARM_UP; i++) {
        while (__atomic_load_n(line_of(logs->ping, i), __ATOMIC_ACQUIRE) == 0) {
        }
        __atomic_store_n(line_of(logs->pong, i), 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

static uint8_t *fresh_log(void) {
    size_t length = (size_t)(ROUND_TRIPS + WARM_UP) * CACHE_LINE_LENGTH;
    uint8_t *log = aligned_alloc(CACHE_LINE_LENGTH, length);
    if (log == NULL) {
        bench_fail("no memory");
    }
    memset(log, 0, length);
    return log;
}

static void measure_lines(void) {
    struct logs logs = {fresh_log(), fresh_log()};
    struct bench_samples samples;
    pthread_t thread;
    bench_samples_init(&samples, ROUND_TRIPS / BATCH);
    if (pthread_create(&thread, NULL, answer_lines, &logs) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    int64_t start_ns = 0;
    for (int64_t i = 0; i < ROUND_TRIPS + WARM_UP; i++) {
        if (i % BATCH == 0) {
            start_ns = bench_now_ns();
        }
        __atomic_store_n(line_of(logs.ping, i), 1, __ATOMIC_RELEASE);
        while (__atomic_load_n(line_of(logs.pong, i), __ATOMIC_ACQUIRE) == 0) {
        }
        if (i >= WARM_UP && i % BATCH == BATCH - 1) {
            bench_samples_add(&samples, (bench_now_ns() - start_ns) / BATCH);
        }
    }
    (void)pthread_join(thread, NULL);
    bench_print_latency("floor_ipc_lines_rtt", &samples, "floor_ipc_rtt");
    bench_samples_close(&samples);
    free(logs.ping);
    free(logs.pong);
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

static void pause_consumer(void) {
    for (int i = 0; i < PAUSES; i++) {
        cpu_relax();
    }
}

static void *consume(void *argument) {
    struct ring *ring = argument;
    int64_t head = 0;
    bench_pin(1);
    while (!__atomic_load_n(&ring->is_done, __ATOMIC_ACQUIRE)) {
        int64_t tail = __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
        if (head == tail) {
            pause_consumer();
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

static int32_t *length_at(const struct ring *ring, int64_t position) {
    return (int32_t *)(void *)(ring->bytes + (position & (RING_LENGTH - 1)));
}

static void *consume_log(void *argument) {
    struct ring *ring = argument;
    int64_t head = 0;
    bench_pin(1);
    while (!__atomic_load_n(&ring->is_done, __ATOMIC_ACQUIRE)) {
        int count = 0;
        for (int32_t length; count < RING_BATCH; count++, head += length) {
            length = __atomic_load_n(length_at(ring, head), __ATOMIC_ACQUIRE);
            if (length == 0) {
                break;
            }
        }
        if (count == 0) {
            pause_consumer();
        } else {
            __atomic_store_n(&ring->head, head, __ATOMIC_RELEASE);
        }
    }
    return NULL;
}

/* Instead of a driver that cleans, the length of the next record is zeroed. Records that the ring's
 * end would divide go on behind it, where there is room for one. */
static inline int64_t produce_log_records(struct ring *ring, int32_t length) {
    static const uint8_t message[MESSAGE_MAX];
    int64_t tail = 0;
    int64_t limit = RING_WINDOW;
    int64_t start_ns = bench_now_ns();
    while (bench_now_ns() - start_ns < RING_NS) {
        for (int i = 0; i < RING_BATCH; i++) {
            while (tail + 2 * length > limit) {
                limit = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) + RING_WINDOW;
            }
            uint8_t *record = ring->bytes + (tail & (RING_LENGTH - 1));
            *length_at(ring, tail + length) = 0;
            memcpy(record + HEADER_LENGTH, message, (size_t)(length - HEADER_LENGTH));
            __atomic_store_n((int32_t *)(void *)record, length, __ATOMIC_RELEASE);
            tail += length;
        }
    }
    return tail / length;
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

static int64_t produce_log(struct ring *ring) {
    switch (ring->record_length) {
    case 32 + HEADER_LENGTH:
        return produce_log_records(ring, 32 + HEADER_LENGTH);
    case 1024 + HEADER_LENGTH:
        return produce_log_records(ring, 1024 + HEADER_LENGTH);
    default:
        return produce_log_records(ring, (int32_t)ring->record_length);
    }
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

static void measure_ring(int message_length, bool is_log) {
    char name[64];
    char floor[64];
    struct ring ring = {.record_length = message_length + HEADER_LENGTH};
    pthread_t thread;
    ring.bytes = calloc(1, RING_LENGTH + MESSAGE_MAX + HEADER_LENGTH);
    if (ring.bytes == NULL ||
        pthread_create(&thread, NULL, is_log ? consume_log : consume, &ring) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    int64_t start_ns = bench_now_ns();
    int64_t count = is_log ? produce_log(&ring) : produce(&ring);
    double rate = (double)count * 1e9 / (double)(bench_now_ns() - start_ns);
    __atomic_store_n(&ring.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    (void)snprintf(floor, sizeof floor, "floor_ring_%d", message_length);
    (void)snprintf(name, sizeof name, "floor_log_%d", message_length);
    bench_print(is_log ? name : floor, rate, "msg/s", is_log ? floor : "-");
    free(ring.bytes);
}

/* What stands behind `name`; 0: it is something else, or too much. */
static int length_of(const char *part, const char *name) {
    size_t length = strlen(name);
    int value = strncmp(part, name, length) == 0 ? atoi(part + length) : 0;
    return value <= MESSAGE_MAX ? value : 0;
}

static void measure(const char *part) {
    if (strcmp(part, "rtt") == 0) {
        measure_hand_over();
    } else if (strcmp(part, "copy") == 0) {
        measure_copy();
    } else if (strcmp(part, "lines") == 0) {
        measure_lines();
    } else if (length_of(part, "ring:") > 0) {
        measure_ring(length_of(part, "ring:"), false);
    } else if (length_of(part, "log:") > 0) {
        measure_ring(length_of(part, "log:"), true);
    } else {
        errno = EINVAL;
        bench_fail(part);
    }
}

int main(int argc, char **argv) {
    static char *const all[] = {"rtt",       "lines",  "copy",    "ring:32",
                                "ring:1024", "log:32", "log:1024"};
    char *const *parts = argc > 1 ? argv + 1 : all;
    int count = argc > 1 ? argc - 1 : (int)(sizeof all / sizeof all[0]);
    for (int i = 0; i < count; i++) {
        measure(parts[i]);
    }
    return 0;
}
