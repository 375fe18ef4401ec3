/* Floors of shared memory: a cache line handed to another core and back, and copying 1 KiB pieces
 * through a buffer that does not fit the first cache. */
#include <pthread.h>
#include <stdalign.h>
#include <stdatomic.h>
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

int main(void) {
    measure_hand_over();
    measure_copy();
    return 0;
}
