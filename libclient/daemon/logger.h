/* One line per event on stderr.
 *
 * Under systemd (JOURNAL_STREAM is set) a line is "<6>text", which the journal files under that
 * priority; else "2026-11-20T19:08:00.123Z driverd info: text". A line is one write, so that the
 * lines of several threads and processes do not mix. Control characters in the text are replaced.
 * Not for the data path: composing a line costs a microsecond and the write may block.
 */
#ifndef TERN_DAEMON_LOGGER_H
#define TERN_DAEMON_LOGGER_H

#include <stdbool.h>

#include "base/clock.h"
#include "base/compiler.h"

/* Values are the priorities of syslog. */
enum logger_level {
    LOGGER_ERROR = 3,
    LOGGER_WARNING = 4,
    LOGGER_NOTICE = 5,
    LOGGER_INFO = 6,
    LOGGER_DEBUG = 7,
};

/* Plain data; owned by main, lent to who may log. Any thread. */
struct logger {
    int fd;
    enum logger_level level_max; /* lines above it are dropped */
    bool has_priority;
    const char *name;
    const struct clock *clock;
};

void logger_init(struct logger *logger, const char *name, const struct clock *clock,
                 char *const *environment);

void logger_write(const struct logger *logger, enum logger_level level, const char *format, ...)
    PRINTF_LIKE(3, 4);

#define logger_error(logger, ...) logger_write(logger, LOGGER_ERROR, __VA_ARGS__)
#define logger_warning(logger, ...) logger_write(logger, LOGGER_WARNING, __VA_ARGS__)
#define logger_notice(logger, ...) logger_write(logger, LOGGER_NOTICE, __VA_ARGS__)
#define logger_info(logger, ...) logger_write(logger, LOGGER_INFO, __VA_ARGS__)
#define logger_debug(logger, ...) logger_write(logger, LOGGER_DEBUG, __VA_ARGS__)

/* Names for an enum row of an option table, and the level of an index: error, warning, notice,
 * info, debug. */
extern const char *const logger_level_names[];
enum logger_level logger_level_of(int index);

/* The row of the log level, the same in every daemon: `member` is an int. */
#define LOGGER_LEVEL_OPTION(type_, member)                                                         \
    {                                                                                              \
        .key = "log_level", .env = "TERN_LOG_LEVEL", OPTION_STORE(type_, member),                  \
        .type = OPTION_ENUM, .default_text = "info", .names = logger_level_names,                  \
        .doc = "Lines of this and of more severe levels are logged."                               \
    }

#endif
