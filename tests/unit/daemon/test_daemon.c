/* daemon_main in a forked child for each case: command line, exit codes, what is logged. */
#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"

enum behaviour {
    RUN_UNTIL_SIGTERM,
    WAIT_UNTIL_SIGTERM,
    FAIL_OPEN,
    FAIL_OPEN_WITH_CODE,
    STOP_ITSELF
};

struct sample_conf {
    int32_t behaviour;
};

static const struct option_row rows[] = {{.key = "behaviour",
                                          .env = "TEST_BEHAVIOUR",
                                          OPTION_STORE(struct sample_conf, behaviour),
                                          .type = OPTION_I32,
                                          .default_text = "0",
                                          .min = 0,
                                          .max = STOP_ITSELF,
                                          .doc = "Behaviour."}};

static const struct option_table table = {.daemon = "sampled",
                                          .summary = "A sample.",
                                          .rows = rows,
                                          .count = 1,
                                          .conf_size = sizeof(struct sample_conf)};

struct sample {
    struct sample_conf conf;
    struct daemon *daemon;
    int cycles;
};

static int work(void *context, int64_t now_ns) {
    struct sample *sample = context;
    sample->cycles++;
    cr_assert_gt(now_ns, 0);
    if (sample->conf.behaviour == WAIT_UNTIL_SIGTERM) {
        daemon_waiting(sample->daemon, sample->cycles == 1 ? "driver" : "archive");
    } else {
        daemon_ready(sample->daemon, "serving");
    }
    if (sample->conf.behaviour == STOP_ITSELF) {
        daemon_stop(sample->daemon, EXIT_CODE_UNAVAILABLE, "the driver died");
        daemon_stop(sample->daemon, EXIT_CODE_OS, "a second reason");
    } else if (sample->cycles == 3) {
        raise(SIGTERM);
    }
    return 1;
}

static int open_sample(void *context, struct daemon *daemon, struct tern_error *error) {
    struct sample *sample = context;
    sample->daemon = daemon;
    daemon->runner.agent = (struct agent){.name = "sample", .context = sample, .do_work = work};
    switch (sample->conf.behaviour) {
    case FAIL_OPEN:
        return error_set(error, -EADDRINUSE, "port 80 is in use");
    case FAIL_OPEN_WITH_CODE:
        daemon->exit_code = EXIT_CODE_CONFIG;
        return error_set(error, -ENOENT, "no plugin");
    default:
        return 0;
    }
}

static void close_sample(void *context) {
    (void)context;
    fputs("closed\n", stderr);
}

/* The exit code; what the child wrote to stdout and stderr is in `output`. */
static int run(char *argument, const char *behaviour, char *output, size_t size) {
    int ends[2];
    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(setenv("TEST_BEHAVIOUR", behaviour, 1), 0);
    pid_t child = fork();
    if (child == 0) {
        struct sample sample = {0};
        const struct daemon_program program = {.table = &table,
                                               .conf = &sample.conf,
                                               .context = &sample,
                                               .open = open_sample,
                                               .close = close_sample};
        char *argv[] = {"sampled", argument, NULL};
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        int code = daemon_main(&program, argument == NULL ? 1 : 2, argv);
        fflush(stdout);
        _exit(code);
    }
    close(ends[1]);
    size_t used = 0;
    ssize_t length;
    while ((length = read(ends[0], output + used, size - 1 - used)) > 0) {
        used += (size_t)length;
    }
    output[used] = '\0';
    close(ends[0]);
    int status;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_assert(WIFEXITED(status), "status %x: %s", status, output);
    return WEXITSTATUS(status);
}

Test(daemon, answers_the_command_line_and_ends_with_documented_exit_codes) {
    static const struct {
        char *argument;
        const char *behaviour;
        int code;
        const char *texts[3];
    } cases[] = {
        {"--version", "0", 0, {"sampled (tern) " TERN_VERSION "\n"}},
        {"--help", "0", 0, {"usage: sampled [--config FILE]"}},
        {"--nonsense", "0", EXIT_CODE_USAGE, {"--nonsense"}},
        {"stray", "0", EXIT_CODE_USAGE, {"unexpected argument \"stray\""}},
        {"--config=/nonexistent", "0", EXIT_CODE_CONFIG, {"/nonexistent: cannot be opened"}},
        {"--check-config",
         "9",
         EXIT_CODE_CONFIG,
         {"TEST_BEHAVIOUR (option behaviour) = \"9\" is out of range; allowed: 0..4",
          "1 mistake in the configuration"}},
        {"--check-config", "1", 0, {"the configuration is valid\n"}},
        {"--print-config", "1", 0, {"behaviour = 1; # environment TEST_BEHAVIOUR\n"}},
        {"--print-sample-config", "0", 0, {"#behaviour = 0;\n"}},
        {"--print-man", "0", 0, {".TH sampled.CONF 5"}},
        {NULL, "0", 0, {"ready: serving\n", "stopping: SIGTERM\n", "closed\n"}},
        {NULL, "1", 0, {"waiting for the driver\n", "waiting for the archive\n", "closed\n"}},
        {NULL, "2", EXIT_CODE_TEMPORARY, {"error: stopping: port 80 is in use\n", "closed\n"}},
        {NULL, "3", EXIT_CODE_CONFIG, {"error: stopping: no plugin\n", "closed\n"}},
        {NULL, "4", EXIT_CODE_UNAVAILABLE, {"error: stopping: the driver died\n", "closed\n"}},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        char output[16384];
        int code = run(cases[i].argument, cases[i].behaviour, output, sizeof output);
        cr_assert_eq(code, cases[i].code, "case %zu: code %d: %s", i, code, output);
        for (size_t j = 0; j < ARRAY_COUNT(cases[i].texts); j++) {
            const char *text = cases[i].texts[j];
            cr_assert(text == NULL || strstr(output, text) != NULL, "case %zu: no \"%s\" in\n%s", i,
                      text, output);
        }
        cr_assert_eq(strstr(output, "second reason"), NULL);
        const char *told = strstr(output, "waiting for the archive");
        cr_assert(told == NULL || strstr(told + 1, "waiting") == NULL, "said twice: %s", output);
    }
}

Test(daemon, errors_map_to_exit_codes_that_tell_what_to_do) {
    static const int cases[][2] = {{TERN_ERROR_DRIVER_TIMEOUT, EXIT_CODE_UNAVAILABLE},
                                   {-ENOSPC, EXIT_CODE_IO},
                                   {-EIO, EXIT_CODE_IO},
                                   {-EADDRINUSE, EXIT_CODE_TEMPORARY},
                                   {-EINVAL, EXIT_CODE_CONFIG},
                                   {-ENOMEM, EXIT_CODE_OS}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        cr_assert_eq((int)exit_code_of(cases[i][0]), cases[i][1], "case %zu", i);
    }
}
