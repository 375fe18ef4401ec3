/* Log lines: composed on the stack and written by one write(2), which keeps lines of many writers
 * whole up to PIPE_BUF. A line that cannot be written is lost: there is nowhere to report it. */
#include "daemon/logger.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_LENGTH_MAX 1024

const char *const logger_level_names[] = {"error", "warning", "notice", "info", "debug", NULL};

enum logger_level logger_level_of(int index) {
    assert(index >= 0 && index <= LOGGER_DEBUG - LOGGER_ERROR);
    return (enum logger_level)(LOGGER_ERROR + index);
}

void logger_init(struct logger *logger, const char *name, const struct clock *clock,
                 char *const *environment) {
    static const char variable[] = "JOURNAL_STREAM=";
    *logger = (struct logger){
        .fd = STDERR_FILENO, .level_max = LOGGER_INFO, .name = name, .clock = clock};
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, variable, sizeof variable - 1) == 0) {
            logger->has_priority = true;
        }
    }
}

static size_t write_head(const struct logger *logger, enum logger_level level, char *line) {
    if (logger->has_priority) {
        return (size_t)snprintf(line, LINE_LENGTH_MAX, "<%d>", (int)level);
    }
    int64_t epoch_ms = clock_epoch_ms(logger->clock);
    time_t seconds = (time_t)(epoch_ms / MS_PER_S);
    struct tm utc;
    char when[32];
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    return (size_t)snprintf(line, LINE_LENGTH_MAX, "%s.%03dZ %.32s %s: ", when,
                            (int)(epoch_ms % MS_PER_S), logger->name,
                            logger_level_names[level - LOGGER_ERROR]);
}

void logger_write(const struct logger *logger, enum logger_level level, const char *format, ...) {
    if (level > logger->level_max) {
        return;
    }
    char line[LINE_LENGTH_MAX + 1];
    size_t head = write_head(logger, level, line);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line + head, LINE_LENGTH_MAX - head, format, arguments);
    va_end(arguments);
    size_t end = head + (length < 0 ? 0 : (size_t)length);
    end = end < LINE_LENGTH_MAX - 1 ? end : LINE_LENGTH_MAX - 1;
    for (size_t i = head; i < end; i++) {
        if ((unsigned char)line[i] < ' ') {
            line[i] = ' '; /* one line per event, whatever a peer put into its name */
        }
    }
    line[end++] = '\n';
    ssize_t written = write(logger->fd, line, end);
    (void)written;
}
