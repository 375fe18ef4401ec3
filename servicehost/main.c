/* servicehost: runs one replicated service. The work is in service_host.c; this file connects it to
 * the frame of all daemons. */
#include <errno.h>

#include "daemon/daemon.h"
#include "servicehost/service_host.h"

struct program {
    struct service_conf conf;
    struct tern_service_host host;
    struct daemon *daemon;
    bool is_open;
};

static void log_line(void *context, enum tern_service_log_level level, const char *text) {
    struct program *program = context;
    logger_write(&program->daemon->logger, (enum logger_level)level, "%s", text);
}

static enum exit_code exit_code_for(enum service_host_exit exit_status) {
    switch (exit_status) {
    case SERVICE_HOST_EXIT_ORDERLY:
        return EXIT_CODE_OK;
    case SERVICE_HOST_EXIT_UNAVAILABLE:
        return EXIT_CODE_UNAVAILABLE;
    case SERVICE_HOST_EXIT_FAILED:
        return EXIT_CODE_TEMPORARY;
    }
    return EXIT_CODE_TEMPORARY;
}

static int do_work(void *context, int64_t now_ns) {
    struct program *program = context;
    struct tern_service_host *host = &program->host;
    int work = service_host_do_work(host, now_ns);
    if (host->is_done) {
        daemon_stop(program->daemon, exit_code_for(host->exit_status), "%s",
                    host->exit_error.code == 0 ? "the cluster was shut down"
                                               : host->exit_error.text);
        return work;
    }
    const char *waiting_for = service_host_waiting_for(host);
    daemon_waiting(program->daemon, waiting_for);
    if (waiting_for == NULL) {
        daemon_ready(program->daemon, "service %s %s", host->plugin.table.name,
                     host->plugin.table.version == NULL ? "" : host->plugin.table.version);
    }
    return work;
}

static int open_host(void *context, struct daemon *daemon, struct tern_error *error) {
    struct program *program = context;
    const struct service_host_params params = {
        .conf = &program->conf,
        .io = daemon->io,
        .log = log_line,
        .log_context = program,
    };
    program->daemon = daemon;
    program->is_open = true;
    int result = service_host_init(&program->host, &params, error);
    if (result != 0) {
        daemon->exit_code = result == -EBUSY ? EXIT_CODE_TEMPORARY : EXIT_CODE_CONFIG;
        return result;
    }
    daemon->runner.agent = (struct agent){"servicehost", program, do_work, NULL};
    daemon->runner.cpu = -1;
    return idle_strategy_parse(&daemon->runner.idle, program->conf.idle_strategy, NULL, error);
}

static void close_host(void *context) {
    struct program *program = context;
    if (program->is_open) {
        service_host_close(&program->host);
        program->is_open = false;
    }
}

int main(int argc, char **argv) {
    struct program program = {0};
    const struct daemon_program daemon = {
        .table = &service_option_table,
        .conf = &program.conf,
        .context = &program,
        .open = open_host,
        .close = close_host,
    };
    return daemon_main(&daemon, argc, argv);
}
