/* What the benchmark programs share: a clock, samples, and the line that scripts/bench reads:
 *
 *     NAME <tab> VALUE <tab> UNIT <tab> FLOOR
 *
 * FLOOR is the name of the row to compare with, "-" for a floor itself.
 */
#ifndef TERN_BENCH_H
#define TERN_BENCH_H

#include <stddef.h>
#include <stdint.h>

int64_t bench_now_ns(void);

/* Pin the calling thread; with one processor only, all threads share it. */
void bench_pin(int index);

/* Cache line: what two threads write lies this far apart. */
#define BENCH_LINE_LENGTH 64

struct bench_samples {
    int64_t *values_ns;
    size_t count;
    size_t capacity;
};

void bench_samples_init(struct bench_samples *samples, size_t capacity);
void bench_samples_add(struct bench_samples *samples, int64_t value_ns);
void bench_samples_close(struct bench_samples *samples);

/* Two rows, NAME_p50 and NAME_p99, in microseconds. Sorts the samples. */
void bench_print_latency(const char *name, struct bench_samples *samples, const char *floor);
void bench_print(const char *name, double value, const char *unit, const char *floor);

/* For programs that cannot go on. */
_Noreturn void bench_fail(const char *what);

#endif
