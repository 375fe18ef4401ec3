/* What every daemon's main does the same way: command line, configuration, logging, notification,
 * signals, the loop of the main thread, exit codes.
 *
 *     int main(int argc, char **argv) {
 *         struct driver_conf conf;
 *         struct driver driver = {0};
 *         const struct daemon_program program = {
 *             .table = &driver_option_table, .conf = &conf, .context = &driver,
 *             .open = open_driver, .close = close_driver};
 *         return daemon_main(&program, argc, argv);
 *     }
 *
 * Options of the command line: --config FILE, --check-config, --print-config,
 * --print-sample-config, --print-man, --version, --help.
 */
#ifndef TERN_DAEMON_DAEMON_H
#define TERN_DAEMON_DAEMON_H

#include "base/agent.h"
#include "base/io.h"
#include "daemon/exit_code.h"
#include "daemon/logger.h"
#include "daemon/notify.h"
#include "daemon/options.h"

struct daemon_program;

/* Lives in daemon_main; lent to the program's functions. Used by the main thread only, but for
 * the logger. */
struct daemon {
    const struct daemon_program *program;
    const struct options *options;
    struct logger logger;
    struct notifier notifier;
    struct io io; /* the operating system's */
    /* What the main thread runs after open(), which fills agent, idle and cpu. The clock is set. */
    struct agent_runner_params runner;
    bool is_ready;
    enum exit_code exit_code;
    const char *waiting_for; /* what it was last said to wait for */
};

struct daemon_program {
    const struct option_table *table;
    void *conf; /* table->conf_size bytes, filled before open */
    void *context;
    /* Open files, start threads, fill daemon->runner. Negative: the error's text is logged and the
     * exit code is daemon->exit_code if set, else exit_code_of(error). */
    int (*open)(void *context, struct daemon *daemon, struct tern_error *error);
    /* Called once in any case after open; idempotent on a zeroed context. */
    void (*close)(void *context);
    /* Optional: false when some other thread's duty cycle hangs; then the watchdog is not fed. */
    bool (*is_alive)(void *context, int64_t now_ns);
};

/* Returns the exit code for main to return. */
int daemon_main(const struct daemon_program *program, int argc, char **argv);

/* The daemon serves now: READY=1 and one log line, at the first call only. */
void daemon_ready(struct daemon *daemon, const char *format, ...) PRINTF_LIKE(2, 3);
/* STATUS= for `systemctl status`; not logged. */
void daemon_status(struct daemon *daemon, const char *format, ...) PRINTF_LIKE(2, 3);

/* Each cycle of a daemon that may have to wait: says once (log line and status) that it waits "for
 * the <what>", a static string; NULL: for nothing. */
void daemon_waiting(struct daemon *daemon, const char *what);

/* End the main loop with this exit code; the reason is logged. The first call counts. */
void daemon_stop(struct daemon *daemon, enum exit_code exit_code, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* For main functions only: print "name: text" and exit. */
_Noreturn void die(enum exit_code exit_code, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
