/* What happened in a run: every event goes into one hash, which two runs of a seed must share, and
 * the last ones are kept as text for the report of a failure. */
#ifndef TERN_SIM_HISTORY_H
#define TERN_SIM_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

#define HISTORY_LINES 200
#define HISTORY_LINE_LENGTH 240

struct history {
    uint64_t hash;
    uint64_t event_count;
    bool is_tracing; /* print each line as it comes */
    int64_t now_ns;  /* of the lines */
    char lines[HISTORY_LINES][HISTORY_LINE_LENGTH];
    int64_t line_count;
};

void history_init(struct history *history, bool is_tracing);
/* An event that is only hashed. */
void history_mix(struct history *history, uint64_t word);
void history_mix_bytes(struct history *history, const void *bytes, uint32_t length);
/* An event that is told. */
void history_line(struct history *history, const char *format, ...) PRINTF_LIKE(2, 3);
/* The last lines, to standard error. */
void history_print_last(const struct history *history, int count);

#endif
