/* Processors and start functions of a driver's threads. */
#include <criterion/criterion.h>

#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/affinity.h"
#include "driverd/driver_plugin.h"
#include "driverd/thread_setup.h"
#include "lib/driver_fixture.h"

static struct driver_conf defaults(void) {
    static struct driver_conf conf;
    driver_conf_defaults(&conf);
    return conf;
}

/* The only processor that the test goes on with. */
static int keep_one_processor(void) {
    int cpu = -1;
    struct tern_error error = {0};
    cr_assert_eq(affinity_resolve(0, true, &cpu, &error), 0, "%s", error.text);
    cr_assert_eq(affinity_pin(cpu, &error), 0, "%s", error.text);
    return cpu;
}

Test(thread_setup, processors_are_those_that_are_named) {
    struct driver_conf conf = defaults();
    struct driver_cpus cpus;
    struct tern_error error = {0};
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 0);
    cr_assert(cpus.conductor == -1 && cpus.sender == -1 && cpus.receiver == -1);
    cr_assert_eq(cpus.helper, -1);
    int cpu = keep_one_processor();
    conf.sender_cpu = cpu;
    conf.helper_cpu = cpu;
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 0);
    cr_assert(cpus.conductor == -1 && cpus.sender == cpu && cpus.helper == cpu);
    conf.receiver_cpu = cpu + 1;
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "may not be used"), "%s", error.text);
}

Test(thread_setup, a_cpuset_gives_each_thread_a_processor_or_none) {
    struct driver_conf conf = defaults();
    struct driver_cpus cpus;
    struct tern_error error = {0};
    int count = affinity_count();
    int first, second;
    conf.cpuset_affinity = true;
    cr_assert_eq(affinity_resolve(0, true, &first, &error), 0);
    conf.threading = DRIVER_THREADING_SHARED_NETWORK;
    if (count >= 2) {
        cr_assert_eq(affinity_resolve(1, true, &second, &error), 0);
        cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 0);
        cr_assert(cpus.conductor == first && cpus.sender == second && cpus.receiver == -1);
        conf.sender_cpu = first; /* by name */
        cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 0);
        cr_assert(cpus.conductor == second && cpus.sender == first);
        conf.sender_cpu = -1;
    }
    first = keep_one_processor();
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 1);
    cr_assert_not_null(strstr(error.text, "2 threads, but the cpuset has 1"), "%s", error.text);
    cr_assert(cpus.conductor == -1 && cpus.sender == -1);
    conf.cpuset_warnings_as_errors = true;
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), -EINVAL);
    conf.threading = DRIVER_THREADING_SHARED;
    cr_assert_eq(driver_cpus_choose(&conf, &cpus, &error), 0);
    cr_assert(cpus.conductor == first && cpus.helper == -1);
}

Test(thread_setup, libraries_and_functions_that_are_not_there_are_refused) {
    struct driver_conf conf = defaults();
    driver_start_function function;
    struct tern_error error = {0};
    cr_assert_eq(driver_libraries_load(&conf, &error), 0);
    cr_assert_eq(driver_start_function_find(&conf, &function, &error), 0);
    cr_assert_null(function);
    (void)snprintf(conf.agent_on_start_function, sizeof conf.agent_on_start_function, "note_start");
    cr_assert_eq(driver_start_function_find(&conf, &function, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "note_start"), "%s", error.text);
    (void)snprintf(conf.dynamic_libraries, sizeof conf.dynamic_libraries, START_HOOK ",/none.so");
    cr_assert_eq(driver_libraries_load(&conf, &error), -EINVAL);
    cr_assert_not_null(strstr(error.text, "/none.so"), "%s", error.text);
}

static const char *noted(void) {
    const char *(*function)(void);
    void *symbol = dlsym(RTLD_DEFAULT, "noted_starts");
    cr_assert_not_null(symbol);
    memcpy(&function, &symbol, sizeof symbol);
    return function();
}

Test(thread_setup, each_thread_calls_the_function_first) {
    static const char *const roles[] = {"<conductor>", "<sender>",         "<receiver>",
                                        "<resolver>",  "<resolver-again>", "<aeron-md-nra>"};
    struct driver_fixture f;
    struct agent_runner_params params = {0};
    struct tern_error error = {0};
    const bool is_over = false;
    driver_fixture_init(&f);
    f.io.clock = clock_system();
    f.conf.threading = DRIVER_THREADING_DEDICATED;
    (void)snprintf(f.conf.helper_idle.name, sizeof f.conf.helper_idle.name, "backoff");
    (void)snprintf(f.conf.dynamic_libraries, sizeof f.conf.dynamic_libraries, START_HOOK);
    (void)snprintf(f.conf.agent_on_start_function, sizeof f.conf.agent_on_start_function,
                   "note_start");
    driver_fixture_open(&f);
    cr_assert(driver_main_agent(f.driver, &params, &error) == 0, "%s", error.text);
    cr_assert(driver_start(f.driver, &error) == 0, "%s", error.text);
    agent_run(&params, &is_over);
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++) {
        while (strstr(noted(), roles[i]) == NULL) {
            (void)usleep(1000);
        }
    }
    driver_fixture_close(&f);
}
