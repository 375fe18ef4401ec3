/* archived: the archive daemon. Everything is in archive_server; this file gives it a process. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "archived/archive_server.h"
#include "daemon/daemon.h"

#define PATIENCE_NS (500 * NS_PER_MS)

struct program {
    struct archive_conf conf;
    struct archive_server server;
    struct daemon *daemon;
    bool is_ready;
    bool has_told;
    const char *waiting_for;
    int64_t waiting_since_ns;
};

static void write_log(void *context, bool is_error, const char *text) {
    struct program *program = context;
    if (is_error) {
        logger_error(&program->daemon->logger, "%s", text);
    } else {
        logger_info(&program->daemon->logger, "%s", text);
    }
}

/* Tell when the server is ready, and what it waits for when that takes long. */
static void say_state(struct program *program, int64_t now_ns) {
    struct daemon *daemon = program->daemon;
    const char *waiting_for = archive_server_waiting_for(&program->server);
    if (archive_server_is_ready(&program->server)) {
        program->is_ready = true;
        daemon_ready(daemon, "serving archive %s on %s, file sync level %d", program->conf.dir,
                     program->conf.control_channel_enabled ? program->conf.control_channel
                                                           : program->conf.local_control_channel,
                     program->conf.file_sync_level);
    } else if (waiting_for != program->waiting_for) {
        program->waiting_for = waiting_for;
        program->waiting_since_ns = now_ns;
        program->has_told = false;
    } else if (!program->has_told && now_ns - program->waiting_since_ns > PATIENCE_NS) {
        program->has_told = true;
        daemon_status(daemon, "waiting for %s in %s", waiting_for, program->conf.aeron_dir);
        logger_notice(&daemon->logger, "waiting for %s in %s", waiting_for,
                      program->conf.aeron_dir);
    }
}

static int do_work(void *context, int64_t now_ns) {
    struct program *program = context;
    int work = archive_server_do_work(&program->server, now_ns);
    if (work < 0) {
        const struct tern_error *failure = archive_server_failure(&program->server);
        enum exit_code code = program->is_ready ? EXIT_CODE_UNAVAILABLE : exit_code_of(work);
        daemon_stop(program->daemon, code, "%s", failure->text);
        return 0;
    }
    if (!program->is_ready) {
        say_state(program, now_ns);
    }
    return work;
}

static int open_program(void *context, struct daemon *daemon, struct tern_error *error) {
    struct program *program = context;
    program->daemon = daemon;
    if (program->conf.print_configuration) {
        options_print(daemon->options, stdout);
        (void)fflush(stdout);
    }
    const struct archive_server_params params = {
        .conf = &program->conf,
        .io = daemon->io,
        .pid = getpid(),
        .log = write_log,
        .log_context = program,
    };
    int result = archive_server_init(&program->server, &params, error);
    if (result == 0) {
        daemon->runner.agent =
            (struct agent){.name = "archived", .context = program, .do_work = do_work};
        daemon->runner.idle = archive_conf_idle(&program->conf);
        daemon->runner.cpu = -1;
    }
    return result;
}

static void close_program(void *context) {
    struct program *program = context;
    archive_server_close(&program->server);
}

int main(int argc, char **argv) {
    struct program program = {.waiting_for = ""};
    const struct daemon_program daemon_program = {
        .table = &archive_option_table,
        .conf = &program.conf,
        .context = &program,
        .open = open_program,
        .close = close_program,
    };
    return daemon_main(&daemon_program, argc, argv);
}
