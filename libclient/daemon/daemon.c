/* The frame of every daemon's main (see daemon.h).
 *
 * The main thread runs the agent that open() put into daemon->runner, wrapped so that the
 * service manager's watchdog is fed from the duty cycle itself: a cycle that hangs stops feeding.
 * The process ends by a signal, by daemon_stop, or by a failing open; close() is called in all
 * three cases.
 */
#include "daemon/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "daemon/affinity.h"
#include "daemon/signals.h"

/* Values below any character that getopt returns. */
enum command { COMMAND_RUN, COMMAND_CHECK, COMMAND_PRINT };

struct command_line {
    enum command command;
    const char *config_path;
};

void die(enum exit_code exit_code, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", program_invocation_short_name);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit((int)exit_code);
}

static void print_help(const struct option_table *table, FILE *out) {
    fprintf(out,
            "%s: %s\n\n"
            "usage: %s [--config FILE]\n\n"
            "  --config FILE           read the configuration; without it defaults and\n"
            "                          environment alone count\n"
            "  --check-config          print every mistake in file and environment; exit code 78\n"
            "                          if there is one\n"
            "  --print-config          print the effective values and where each comes from\n"
            "  --print-sample-config   print a commented .conf with all options\n"
            "  --print-man             print the man page %s.conf(5)\n"
            "  --version, --help\n",
            table->daemon, table->summary, table->daemon, table->daemon);
}

/* What can be answered without a configuration ends the process here. */
static void parse_command_line(const struct option_table *table, int argc, char **argv,
                               struct command_line *line) {
    static const struct option long_options[] = {
        {"config", required_argument, NULL, 'c'},
        {"check-config", no_argument, NULL, COMMAND_CHECK},
        {"print-config", no_argument, NULL, COMMAND_PRINT},
        {"print-sample-config", no_argument, NULL, 's'},
        {"print-man", no_argument, NULL, 'm'},
        {"version", no_argument, NULL, 'v'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int choice;
    while ((choice = getopt_long(argc, argv, "c:hv", long_options, NULL)) != -1) {
        switch (choice) {
        case 'c':
            line->config_path = optarg;
            break;
        case COMMAND_CHECK:
        case COMMAND_PRINT:
            line->command = (enum command)choice;
            break;
        case 's':
            options_print_sample(table, stdout);
            exit(EXIT_CODE_OK);
        case 'm':
            options_print_man(table, stdout);
            exit(EXIT_CODE_OK);
        case 'v':
            printf("%s (tern) %s\n", table->daemon, TERN_VERSION);
            exit(EXIT_CODE_OK);
        case 'h':
            print_help(table, stdout);
            exit(EXIT_CODE_OK);
        default:
            exit(EXIT_CODE_USAGE); /* getopt has said why */
        }
    }
    if (optind < argc) {
        die(EXIT_CODE_USAGE, "unexpected argument \"%s\"; see --help", argv[optind]);
    }
}

/* The commands that only look at the configuration end the process here, as do errors in it. */
static void load_configuration(const struct daemon_program *program,
                               const struct command_line *line, struct options *options) {
    int errors = options_load(options, program->table, program->conf, line->config_path, environ);
    if (errors > 0) {
        fputs(options->errors, stderr);
        die(EXIT_CODE_CONFIG, "%d mistake%s in the configuration", errors, errors == 1 ? "" : "s");
    }
    if (line->command == COMMAND_CHECK) {
        printf("the configuration is valid\n");
        exit(EXIT_CODE_OK);
    }
    if (line->command == COMMAND_PRINT) {
        options_print(options, stdout);
        exit(EXIT_CODE_OK);
    }
}

static int do_work(void *context, int64_t now_ns) {
    struct daemon *daemon = context;
    const struct agent *agent = &daemon->runner.agent;
    int work = agent->do_work(agent->context, now_ns);
    bool (*is_alive)(void *, int64_t) = daemon->program->is_alive;
    if (is_alive == NULL || is_alive(daemon->program->context, now_ns)) {
        notifier_watchdog(&daemon->notifier, now_ns);
    }
    return work;
}

static void wait_for_agent(void *context, int64_t timeout_ns) {
    const struct daemon *daemon = context;
    daemon->runner.agent.wait(daemon->runner.agent.context, timeout_ns);
}

static void run(struct daemon *daemon) {
    struct tern_error error;
    if (affinity_pin(daemon->runner.cpu, &error) != 0) {
        daemon_stop(daemon, EXIT_CODE_OS, "%s", error.text);
        return;
    }
    struct agent_runner_params params = daemon->runner;
    assert(params.agent.do_work != NULL);
    params.agent.context = daemon;
    params.agent.do_work = do_work;
    params.agent.wait = daemon->runner.agent.wait == NULL ? NULL : wait_for_agent;
    agent_run(&params, signals_running());
}

static void log_end(struct daemon *daemon) {
    int number = signals_received();
    notifier_send(&daemon->notifier, "STOPPING=1");
    if (number != 0) {
        logger_info(&daemon->logger, "stopping: %s", number == SIGTERM ? "SIGTERM" : "SIGINT");
    }
}

int daemon_main(const struct daemon_program *program, int argc, char **argv) {
    struct command_line line = {.command = COMMAND_RUN};
    struct options options;
    struct tern_error error = {0};
    parse_command_line(program->table, argc, argv, &line);
    load_configuration(program, &line, &options);
    struct daemon daemon = {.program = program, .options = &options, .io = io_system()};
    daemon.runner.cpu = -1;
    daemon.runner.clock = daemon.io.clock;
    logger_init(&daemon.logger, program->table->daemon, daemon.io.clock, environ);
    notifier_open(&daemon.notifier, environ);
    int result = signals_install(&error);
    if (result == 0) {
        result = program->open(program->context, &daemon, &error);
    }
    if (result < 0 && signals_received() == 0) {
        enum exit_code fallback = exit_code_of(result);
        daemon_stop(&daemon, daemon.exit_code == EXIT_CODE_OK ? fallback : daemon.exit_code, "%s",
                    error.text);
    } else if (result == 0) {
        run(&daemon);
    }
    log_end(&daemon);
    program->close(program->context);
    notifier_close(&daemon.notifier);
    return (int)daemon.exit_code;
}

void daemon_ready(struct daemon *daemon, const char *format, ...) {
    if (daemon->is_ready) {
        return;
    }
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    daemon->is_ready = true;
    logger_notice(&daemon->logger, "ready: %s", text);
    notifier_send(&daemon->notifier, "READY=1\nSTATUS=%s", text);
}

void daemon_status(struct daemon *daemon, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    notifier_send(&daemon->notifier, "STATUS=%s", text);
}

void daemon_waiting(struct daemon *daemon, const char *what) {
    if (what == daemon->waiting_for) {
        return;
    }
    daemon->waiting_for = what;
    if (what != NULL) {
        logger_info(&daemon->logger, "waiting for the %s", what);
        daemon_status(daemon, "waiting for the %s", what);
    }
}

void daemon_stop(struct daemon *daemon, enum exit_code exit_code, const char *format, ...) {
    if (!__atomic_load_n(signals_running(), __ATOMIC_ACQUIRE)) {
        return;
    }
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    daemon->exit_code = exit_code;
    logger_write(&daemon->logger, exit_code == EXIT_CODE_OK ? LOGGER_INFO : LOGGER_ERROR,
                 "stopping: %s", text);
    signals_stop();
}
