/* See history.h. */
#include "sim/history.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"

#define MIX_PRIME UINT64_C(0x9E3779B97F4A7C15)

void history_init(struct history *history, bool is_tracing) {
    memset(history, 0, sizeof *history);
    history->is_tracing = is_tracing;
}

void history_mix(struct history *history, uint64_t word) {
    uint64_t mixed = (history->hash ^ word) * MIX_PRIME;
    history->hash = mixed ^ (mixed >> 29);
    history->event_count++;
}

void history_mix_bytes(struct history *history, const void *bytes, uint32_t length) {
    const uint8_t *cursor = bytes;
    uint64_t word = 0;
    for (; length >= sizeof word; length -= (uint32_t)sizeof word, cursor += sizeof word) {
        memcpy(&word, cursor, sizeof word);
        uint64_t mixed = (history->hash ^ word) * MIX_PRIME;
        history->hash = mixed ^ (mixed >> 29);
    }
    word = length;
    memcpy(&word, cursor, length);
    history_mix(history, word);
}

/* Errors name files, and the private directory has another name in every run. */
static void hide_directory(char *line) {
    static const char prefix[] = "/tern-sim-";
    char *at = line;
    while ((at = strstr(at, prefix)) != NULL) {
        for (at += sizeof prefix - 1; *at != '\0' && *at != '/'; at++) {
            *at = 'X';
        }
    }
}

void history_line(struct history *history, const char *format, ...) {
    char *line = history->lines[history->line_count++ % HISTORY_LINES];
    int used = snprintf(line, HISTORY_LINE_LENGTH, "%4lld.%06lld ",
                        (long long)(history->now_ns / NS_PER_S),
                        (long long)(history->now_ns % NS_PER_S / NS_PER_US));
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line + used, (size_t)(HISTORY_LINE_LENGTH - used), format, arguments);
    va_end(arguments);
    hide_directory(line);
    history_mix_bytes(history, line, (uint32_t)strlen(line));
    if (history->is_tracing) {
        puts(line);
    }
}

void history_print_last(const struct history *history, int count) {
    int64_t first = max_i64(0, history->line_count - min_i32(count, HISTORY_LINES));
    for (int64_t i = first; i < history->line_count; i++) {
        (void)fprintf(stderr, "%s\n", history->lines[i % HISTORY_LINES]);
    }
}
