#include <criterion/criterion.h>

#include <string.h>

#include "base/agent.h"
#include "base/atomic.h"
#include "base/error.h"
#include "base/net.h"

Test(idle_strategy, names_and_arguments_are_those_of_aeron) {
    static const struct {
        const char *name;
        const char *arguments;
        int kind; /* -1: refused */
    } cases[] = {
        {"backoff", NULL, IDLE_BACKOFF},
        {"backoff", "10-20-1us-1ms", IDLE_BACKOFF},
        {"backoff", "10-20-1us", -1},
        {"backoff", "10-20-1us-1ms-4", -1},
        {"backoff", "10-20-2ms-1ms", -1},
        {"backoff", "a-20-1us-1ms", -1},
        {"sleeping", "5ms", IDLE_SLEEP},
        {"sleep-ns", NULL, IDLE_SLEEP},
        {"sleep-ns", "x", -1},
        {"yield", NULL, IDLE_YIELD},
        {"spin", NULL, IDLE_SPIN},
        {"noop", NULL, IDLE_NOOP},
        {"nap", NULL, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct idle_strategy idle;
        struct tern_error error = {0};
        int result = idle_strategy_parse(&idle, cases[i].name, cases[i].arguments, &error);
        cr_assert_eq(result == 0, cases[i].kind >= 0, "case %zu: %s", i, error.text);
        if (result == 0) {
            cr_assert_eq((int)idle.kind, cases[i].kind);
        } else {
            cr_assert_gt(strlen(error.text), 0);
        }
    }
}

static void remember_timeout(void *context, int64_t timeout_ns) {
    *(int64_t *)context = timeout_ns;
}

Test(idle_strategy, backoff_parks_longer_each_time_and_resets_on_work) {
    struct idle_strategy idle;
    int64_t parked_ns = 0;
    struct agent agent = {"a", &parked_ns, NULL, remember_timeout};
    cr_assert_eq(idle_strategy_parse(&idle, "backoff", "1-1-1us-4us", NULL), 0);
    static const int64_t expected_ns[] = {0, 0, 1000, 2000, 4000, 4000};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof expected_ns / sizeof expected_ns[0]; i++) {
            idle_strategy_idle(&idle, &agent, 0);
            cr_assert_eq(parked_ns, expected_ns[i], "idle call %zu", i);
        }
        parked_ns = 0;
        idle_strategy_idle(&idle, &agent, 1);
    }
}

Test(idle_strategy, without_arguments_an_idle_agent_wakes_no_more_than_it_must) {
    struct idle_strategy idle;
    int64_t parked_ns = 0;
    struct agent agent = {"a", &parked_ns, NULL, remember_timeout};
    cr_assert_eq(idle_strategy_parse(&idle, "backoff", "", NULL), 0);
    for (int i = 0; i < 100; i++) {
        idle_strategy_idle(&idle, &agent, 0);
    }
    cr_assert_eq(parked_ns, 4000000);
    cr_assert_eq(idle_strategy_parse(&idle, "sleeping", NULL, NULL), 0);
    idle_strategy_idle(&idle, &agent, 0);
    cr_assert_eq(parked_ns, 1000000);
}

static int count_down(void *context, int64_t now_ns) {
    (void)now_ns;
    return get_and_add_i64(context, -1) > 0 ? 1 : 0;
}

Test(agent_runner, runs_until_stopped) {
    int64_t remaining = 1000;
    struct agent_runner *runner;
    struct agent_runner_params params = {
        .agent = {"count", &remaining, count_down, NULL}, .clock = clock_system(), .cpu = -1};
    cr_assert_eq(idle_strategy_parse(&params.idle, "yield", NULL, NULL), 0);
    cr_assert_eq(agent_runner_start(&runner, &params, NULL), 0);
    while (load_acquire_i64(&remaining) > 0) {
        params.idle.yields = 0;
    }
    agent_runner_stop(runner);
    int64_t after = load_acquire_i64(&remaining);
    cr_assert_eq(load_acquire_i64(&remaining), after);
    agent_runner_stop(NULL);
}

struct sleeper {
    const struct net *net;
    struct net_poller *poller;
    int64_t cycles;
};

static int count_cycle(void *context, int64_t now_ns) {
    struct sleeper *sleeper = context;
    (void)now_ns;
    (void)get_and_add_i64(&sleeper->cycles, 1);
    return 0;
}

static void sleep_long(void *context, int64_t timeout_ns) {
    const struct sleeper *sleeper = context;
    sleeper->net->wait(NULL, &sleeper->poller, 1, timeout_ns);
}

static void wake_up(void *context) {
    const struct sleeper *sleeper = context;
    sleeper->net->wake(NULL, sleeper->poller);
}

/* It would sleep for an hour. */
Test(agent_runner, a_waiting_agent_is_woken_for_its_end) {
    struct sleeper sleeper = {.net = net_system()};
    struct agent_runner *runner;
    cr_assert_eq(sleeper.net->poller_open(NULL, &sleeper.poller, NULL), 0);
    struct agent_runner_params params = {.agent = {"sleeper", &sleeper, count_cycle, sleep_long},
                                         .clock = clock_system(),
                                         .cpu = -1,
                                         .wake = wake_up};
    cr_assert_eq(idle_strategy_parse(&params.idle, "sleeping", "3600s", NULL), 0);
    cr_assert_eq(agent_runner_start(&runner, &params, NULL), 0);
    while (load_acquire_i64(&sleeper.cycles) == 0) {
        params.idle.yields = 0;
    }
    agent_runner_stop(runner);
    sleeper.net->poller_close(NULL, sleeper.poller);
}

Test(error, text_is_composed_prefixed_and_cut) {
    struct tern_error error;
    cr_assert_eq(error_set(&error, -5, "value %d", 7), -5);
    cr_assert_str_eq(error.text, "value 7");
    cr_assert_eq(error_prefix(&error, "file %s", "x"), -5);
    cr_assert_str_eq(error.text, "file x: value 7");
    cr_assert_eq(error_set_errno(&error, 2, "cannot open y"), -2);
    cr_assert(strncmp(error.text, "cannot open y: No such file", 27) == 0, "%s", error.text);
    for (int i = 0; i < 100; i++) {
        (void)error_prefix(&error, "layer %d", i);
    }
    cr_assert_eq(strlen(error.text), TERN_ERROR_TEXT_MAX - 1);
    cr_assert_eq(error_set(NULL, -9, "nobody"), -9);
    for (int code = -5000; code <= 0; code++) {
        cr_assert_not_null(tern_error_name(code));
    }
    cr_assert_str_eq(tern_error_name(-2003), "unknown publication");
}
