/* Helpers of the benchmark programs. They measure, they do not judge: ratios and tables are made
 * by scripts/bench, which runs floors and subjects in the same minute. */
#include "bench/bench.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int64_t bench_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void bench_pin(int index) {
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)(index % (count < 1 ? 1 : (int)count)), &cpus);
    (void)sched_setaffinity(0, sizeof cpus, &cpus); /* not allowed: unpinned is measured */
}

void bench_samples_init(struct bench_samples *samples, size_t capacity) {
    *samples = (struct bench_samples){.values_ns = calloc(capacity, sizeof(int64_t)),
                                      .capacity = capacity};
    if (samples->values_ns == NULL) {
        bench_fail("no memory for samples");
    }
}

void bench_samples_add(struct bench_samples *samples, int64_t value_ns) {
    if (samples->count < samples->capacity) {
        samples->values_ns[samples->count++] = value_ns;
    }
}

void bench_samples_close(struct bench_samples *samples) {
    free(samples->values_ns);
    *samples = (struct bench_samples){0};
}

static int compare(const void *a, const void *b) {
    int64_t left = *(const int64_t *)a;
    int64_t right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

void bench_print_latency(const char *name, struct bench_samples *samples, const char *floor) {
    static const struct {
        const char *suffix;
        size_t per_mille;
    } percentiles[] = {{"p50", 500}, {"p99", 990}};
    if (samples->count == 0) {
        bench_fail("no samples");
    }
    qsort(samples->values_ns, samples->count, sizeof(int64_t), compare);
    for (size_t i = 0; i < 2; i++) {
        char row[128];
        char floor_row[128];
        size_t index = samples->count * percentiles[i].per_mille / 1000;
        (void)snprintf(row, sizeof row, "%s_%s", name, percentiles[i].suffix);
        (void)snprintf(floor_row, sizeof floor_row, "%s_%s", floor, percentiles[i].suffix);
        bench_print(row, (double)samples->values_ns[index] / 1000.0, "us",
                    strcmp(floor, "-") == 0 ? "-" : floor_row);
    }
}

void bench_print(const char *name, double value, const char *unit, const char *floor) {
    printf("%s\t%.3f\t%s\t%s\n", name, value, unit, floor);
    fflush(stdout);
}

void bench_fail(const char *what) {
    fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}
