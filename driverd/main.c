/* driverd: the media driver as a daemon. Configuration, logging and signals are daemon.h's; this
 * file says what to open, what the main thread runs, and when the driver ends by itself. */
#include "driverd/driver.h"

#include <errno.h>
#include <stdio.h>

#include "daemon/daemon.h"

struct program {
    struct driver_conf conf;
    struct driver *driver;
    struct daemon *daemon;
    struct agent agent;
};

static int do_work(void *context, int64_t now_ns) {
    struct program *program = context;
    int work = program->agent.do_work(program->agent.context, now_ns);
    if (driver_is_terminated(program->driver)) {
        daemon_stop(program->daemon, EXIT_CODE_OK, "a client asked for it (TERMINATE_DRIVER)");
    }
    return work;
}

static void wait(void *context, int64_t timeout_ns) {
    struct program *program = context;
    program->agent.wait(program->agent.context, timeout_ns);
}

/* Conductor's thread. Each distinct error once; the error log has the counts. */
static void on_new_error(void *context, const struct tern_error *error) {
    const struct program *program = context;
    logger_warning(&program->daemon->logger, "%s", error->text);
}

static int open_program(void *context, struct daemon *daemon, struct tern_error *error) {
    struct program *program = context;
    program->daemon = daemon;
    daemon->logger.level_max = logger_level_of(program->conf.log_level);
    if (program->conf.print_configuration) {
        options_print(daemon->options, stdout);
        (void)fflush(stdout);
    }
    int result = driver_open(&program->driver, &program->conf, &daemon->io, error);
    if (result == -EBUSY) {
        daemon->exit_code = EXIT_CODE_TEMPORARY; /* the other driver may go */
    }
    if (result == 0) {
        program->driver->context.on_new_error = on_new_error;
        program->driver->context.on_new_error_context = program;
    }
    result = result < 0 ? result : driver_main_agent(program->driver, &daemon->runner, error);
    result = result < 0 ? result : driver_start(program->driver, error);
    if (result < 0) {
        return result;
    }
    program->agent = daemon->runner.agent;
    daemon->runner.agent = (struct agent){.name = program->agent.name,
                                          .context = program,
                                          .do_work = do_work,
                                          .wait = program->agent.wait == NULL ? NULL : wait};
    daemon_ready(daemon, "%s, threading %s", program->conf.directory,
                 driver_threading_name(program->conf.threading));
    return 0;
}

static bool is_alive(void *context, int64_t now_ns) {
    const struct program *program = context;
    return driver_is_alive(program->driver, now_ns);
}

static void close_program(void *context) {
    struct program *program = context;
    driver_close(program->driver);
    program->driver = NULL;
}

int main(int argc, char **argv) {
    struct program program = {0};
    const struct daemon_program frame = {
        .table = &driver_option_table,
        .conf = &program.conf,
        .context = &program,
        .open = open_program,
        .close = close_program,
        .is_alive = is_alive,
    };
    return daemon_main(&frame, argc, argv);
}
