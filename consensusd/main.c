/* consensusd: the consensus module of one cluster node. The work is in consensus.c; this file
 * connects it to the frame of all daemons. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "consensusd/consensus.h"
#include "consensusd/resignation.h"
#include "daemon/daemon.h"

#define HAND_OVER_PAUSE_NS NS_PER_MS

struct program {
    struct consensus_conf conf;
    struct consensus consensus;
    struct daemon *daemon;
    bool is_open;
};

static void log_line(void *context, enum consensus_log_level level, const char *text) {
    struct program *program = context;
    logger_write(&program->daemon->logger, (enum logger_level)level, "%s", text);
}

static enum exit_code exit_code_for(enum consensus_exit status) {
    switch (status) {
    case CONSENSUS_EXIT_ORDERLY:
        return EXIT_CODE_OK;
    case CONSENSUS_EXIT_UNAVAILABLE:
        return EXIT_CODE_UNAVAILABLE;
    case CONSENSUS_EXIT_STORAGE:
        return EXIT_CODE_IO;
    case CONSENSUS_EXIT_REFUSED:
        return EXIT_CODE_CONFIG;
    }
    return EXIT_CODE_UNAVAILABLE;
}

static int do_work(void *context, int64_t now_ns) {
    struct program *program = context;
    struct consensus *consensus = &program->consensus;
    int work = consensus_do_work(consensus, now_ns);
    if (consensus->is_done) {
        daemon_stop(program->daemon, exit_code_for(consensus->exit_status), "%s",
                    consensus->exit_error.code == 0 ? "the cluster was shut down"
                                                    : consensus->exit_error.text);
        return work;
    }
    const char *waiting_for = consensus_waiting_for(consensus);
    daemon_waiting(program->daemon, waiting_for);
    if (waiting_for == NULL) {
        daemon_ready(program->daemon, "member %d of %d", consensus->conf->member_id,
                     consensus->members.count);
    }
    return work;
}

static int open_consensus(void *context, struct daemon *daemon, struct tern_error *error) {
    struct program *program = context;
    const struct consensus_params params = {
        .conf = &program->conf,
        .io = daemon->io,
        .log = log_line,
        .log_context = program,
    };
    program->daemon = daemon;
    program->is_open = true;
    int result = consensus_init(&program->consensus, &params, error);
    if (result != 0) {
        daemon->exit_code = result == -EBUSY ? EXIT_CODE_TEMPORARY : EXIT_CODE_IO;
        return result;
    }
    daemon->runner.agent = (struct agent){"consensusd", program, do_work, NULL};
    daemon->runner.cpu = -1;
    return idle_strategy_parse(&daemon->runner.idle, program->conf.idle_strategy, NULL, error);
}

/* The signal has ended the loop that runs the agent. */
static void hand_over(struct program *program) {
    const struct timespec pause = {0, HAND_OVER_PAUSE_NS};
    if (!resignation_begin(&program->consensus)) {
        return;
    }
    const struct clock *clock = program->daemon->io.clock;
    while (resignation_step(&program->consensus, clock_now_ns(clock))) {
        (void)nanosleep(&pause, NULL);
    }
}

static void close_consensus(void *context) {
    struct program *program = context;
    if (program->is_open) {
        hand_over(program);
        consensus_close(&program->consensus);
        program->is_open = false;
    }
}

int main(int argc, char **argv) {
    struct program *program = calloc(1, sizeof *program); /* too big for some stacks */
    if (program == NULL) {
        die(EXIT_CODE_OS, "no memory");
    }
    const struct daemon_program daemon = {
        .table = &consensus_option_table,
        .conf = &program->conf,
        .context = program,
        .open = open_consensus,
        .close = close_consensus,
    };
    int exit_code = daemon_main(&daemon, argc, argv);
    free(program);
    return exit_code;
}
