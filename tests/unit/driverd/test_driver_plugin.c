/* Plug-ins of a driver: what is found, what is refused and how, and that each kind is asked and
 * obeyed by a driver that is stepped by hand. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/options.h"
#include "driverd/driver_plugin.h"
#include "driverd/plugin_transport.h"
#include "lib/driver_fixture.h"

#define SET(member_, ...) ((void)snprintf(member_, sizeof member_, __VA_ARGS__))

static int find(const char *name, enum tern_driver_plugin_kind kind, const char *libraries,
                struct tern_error *error) {
    const struct tern_driver_plugin_head *head = NULL;
    int result = driver_plugin_find(name, kind, libraries, &head, error);
    cr_assert_eq(result == 0, head != NULL);
    return result;
}

Test(driver_plugin, plugins_are_found_by_library_or_in_the_listed_libraries) {
    static const enum tern_driver_plugin_kind kind = TERN_DRIVER_PLUGIN_TERMINATION;
    static const char libraries[] = PLUGINS "/driver_idle.so," PLUGINS "/driver_termination.so";
    struct tern_error error = {0};
    cr_assert_eq(find(PLUGINS "/driver_termination.so:by_password", kind, "", &error), 0, "%s",
                 error.text);
    cr_assert_eq(find("by_password", kind, libraries, &error), 0, "%s", error.text);
    cr_assert_eq(find("napping", TERN_DRIVER_PLUGIN_IDLE, libraries, &error), 0, "%s", error.text);
}

Test(driver_plugin, what_is_no_plugin_is_refused_with_what_it_is) {
    static const struct {
        const char *name;
        const char *libraries;
        const char *text;
    } cases[] = {
        {"/none.so:by_password", "", "/none.so"},
        {PLUGINS "/driver_termination.so:absent", "", "has no symbol 'absent'"},
        {"by_password", "", "driver_dynamic_libraries (which is empty)"},
        {"by_password", PLUGINS "/driver_idle.so",
         "'by_password' is none of deny, allow, nor a symbol"},
        {"by_password", "/none.so", "/none.so"},
        {PLUGINS "/driver_idle.so:napping", "", "is an idle strategy, wanted is a termination"},
        {PLUGINS "/bad_driver.so:of_tomorrow", "", "has plug-in ABI version 2, this driver has"},
        {PLUGINS "/bad_driver.so:without_functions", "", "has no function is_allowed"},
        {PLUGINS "/bad_driver.so:too_short", "", "bytes, a termination validator of ABI"},
        {PLUGINS "/bad_driver.so:something_else", "", "is no plug-in"},
        {"printf", PLUGINS "/driver_idle.so", "is no plug-in"}, /* of a library below it */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tern_error error = {0};
        cr_assert_eq(
            find(cases[i].name, TERN_DRIVER_PLUGIN_TERMINATION, cases[i].libraries, &error),
            -EINVAL, "%zu", i);
        cr_assert_not_null(strstr(error.text, cases[i].text), "%zu: %s", i, error.text);
    }
}

Test(driver_plugin, options_that_name_none_are_refused_where_they_stand) {
    static char *const variables[] = {
        "AERON_DRIVER_TERMINATION_VALIDATOR=perhaps",
        "AERON_DRIVER_TERMINATION_VALIDATOR=" PLUGINS "/driver_idle.so:napping",
        "AERON_CONDUCTOR_IDLE_STRATEGY=" PLUGINS "/driver_idle.so:dozing",
        "AERON_SENDER_IDLE_STRATEGY=/none.so:napping",
        "AERON_RECEIVER_IDLE_STRATEGY=nap",
        "AERON_SHAREDNETWORK_IDLE_STRATEGY=nap",
        "AERON_DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY=nap",
        "AERON_UNICAST_FLOWCONTROL_SUPPLIER=/none.so:slowest",
        "AERON_MULTICAST_FLOWCONTROL_SUPPLIER=" PLUGINS "/driver_idle.so:napping",
        "AERON_MULTICAST_FLOW_CONTROL_STRATEGY=com.example.Mine",
        "AERON_CONGESTIONCONTROL_SUPPLIER=" PLUGINS "/driver_congestion.so:careless",
        "AERON_NAME_RESOLVER_SUPPLIER=yellow_pages",
        "AERON_UDP_CHANNEL_INCOMING_INTERCEPTORS=loss," PLUGINS "/driver_idle.so:napping",
        "AERON_RECEIVECHANNELENDPOINT_SUPPLIER=com.example.Mine",
        "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA=dpdk",
        "AERON_CONDUCTOR_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA=dpdk",
        "AERON_DRIVER_DYNAMIC_LIBRARIES=/none.so",
        "AERON_AGENT_ON_START_FUNCTION=nowhere_to_be_found",
    };
    static struct driver_conf conf;
    static struct options options;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        char *environment[] = {variables[i], NULL};
        char name[64];
        (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(variables[i], "="), variables[i]);
        cr_assert_eq(options_load(&options, &driver_option_table, &conf, NULL, environment), 1,
                     "%s: %s", variables[i], options.errors);
        cr_assert_not_null(strstr(options.errors, name), "%s", options.errors);
    }
}

static bool can_terminate(struct driver_fixture *f, const char *token) {
    struct command command = {.type = COMMAND_TERMINATE_DRIVER, .text = driver_fixture_text(token)};
    (void)driver_fixture_send(f, &command);
    (void)driver_fixture_step(f, FIXTURE_STEP_NS);
    return driver_is_terminated(f->driver);
}

Test(driver_plugin, a_validator_decides_by_the_token) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    SET(f.conf.termination, PLUGINS "/driver_termination.so:by_password");
    driver_fixture_open(&f);
    cr_assert_eq(driver_fixture_count_counters(&f, COUNTER_TYPE_DRIVER_PLUGIN), 1);
    cr_assert(!can_terminate(&f, ""));
    cr_assert(!can_terminate(&f, "open sesam"));
    cr_assert(!can_terminate(&f, "open sesame!"));
    cr_assert(can_terminate(&f, "open sesame"));
    driver_fixture_close(&f);
}

Test(driver_plugin, one_that_refuses_to_be_made_keeps_the_driver_from_starting) {
    struct driver_fixture f;
    struct tern_error error = {0};
    driver_fixture_init(&f);
    SET(f.conf.termination, PLUGINS "/bad_driver.so:that_refuses");
    cr_assert_lt(driver_open(&f.driver, &f.conf, &f.io, &error), 0);
    cr_assert_not_null(strstr(error.text, "driver_termination_validator"), "%s", error.text);
    cr_assert_not_null(strstr(error.text, "that_refuses"), "%s", error.text);
    SET(f.conf.termination, PLUGINS "/bad_driver.so:that_has_errno");
    cr_assert_eq(driver_open(&f.driver, &f.conf, &f.io, &error), -EPERM);
    cr_assert_not_null(strstr(error.text, "not today"), "%s", error.text);
    SET(f.conf.termination, "deny");
    SET(f.conf.transport, PLUGINS "/bad_driver.so:transport_that_refuses");
    cr_assert_eq(driver_open(&f.driver, &f.conf, &f.io, &error), -EPERM);
    cr_assert_not_null(strstr(error.text, "not today"), "%s", error.text);
    SET(f.conf.transport, "default");
    driver_fixture_open(&f);
    cr_assert_eq(driver_fixture_count_counters(&f, COUNTER_TYPE_DRIVER_PLUGIN), 0);
    driver_fixture_close(&f);
}

Test(driver_plugin, a_transport_that_gives_no_socket_is_an_error_whatever_it_says) {
    const struct tern_driver_plugin_head *head;
    const struct net_socket_params params = {.bind.base.sa_family = AF_INET};
    struct plugin_transport transport;
    union net_address bound;
    struct tern_error error = {0};
    int socket;
    cr_assert_eq(driver_plugin_find(PLUGINS "/bad_driver.so:transport_without_sockets",
                                    TERN_DRIVER_PLUGIN_TRANSPORT, "", &head, &error),
                 0, "%s", error.text);
    cr_assert_eq(plugin_transport_open(&transport, (const void *)head, net_system(), &error), 0);
    const struct net *net = &transport.layer.table;
    cr_assert_eq(net->open(net->context, &params, &socket, &bound, &error), -EPERM);
    cr_assert_str_eq(error.text, "transport transport_without_sockets: not today");
    cr_assert_lt(net->connect(net->context, 1, &bound, &error), 0);
    plugin_transport_close(&transport);
}

/* Lines "AGENT CYCLES WORKING" of a report, by agent. */
struct report {
    char text[1024];
};

static void read_report(struct report *report, const char *path) {
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t length = fread(report->text, 1, sizeof report->text - 1, file);
    report->text[length] = '\0';
    (void)fclose(file);
}

static void find_agent(const struct report *report, const char *agent, long *cycles,
                       long *working) {
    const char *line = strstr(report->text, agent);
    cr_assert_not_null(line, "%s: %s", agent, report->text);
    cr_assert_eq(sscanf(line + strlen(agent), " %ld %ld", cycles, working), 2, "%s", line);
}

static void set_idle(struct driver_idle_conf *idle, const char *path) {
    SET(idle->name, "napping");
    SET(idle->arguments, "%s", path);
}

Test(driver_plugin, each_thread_idles_by_its_own_instance) {
    static const char *const agents[] = {"driverd ",   "sender ",   "receiver ",
                                         "log-agent ", "resolver ", "resolver-again "};
    struct driver_fixture f;
    struct agent_runner_params params = {0};
    struct tern_error error = {0};
    char path[128];
    driver_fixture_init(&f);
    (void)snprintf(path, sizeof path, "/tmp/tern-napping-%d", (int)getpid());
    f.io.clock = clock_system();
    f.conf.threading = DRIVER_THREADING_DEDICATED;
    SET(f.conf.dynamic_libraries, PLUGINS "/driver_idle.so");
    set_idle(&f.conf.conductor_idle, path);
    set_idle(&f.conf.sender_idle, path);
    set_idle(&f.conf.receiver_idle, path);
    set_idle(&f.conf.helper_idle, path);
    driver_fixture_open(&f);
    cr_assert(driver_main_agent(f.driver, &params, &error) == 0, "%s", error.text);
    cr_assert(driver_start(f.driver, &error) == 0, "%s", error.text);
    for (int i = 0; i < 1000; i++) {
        idle_strategy_idle(&params.idle, &params.agent, i < 10 ? 1 : 0);
    }
    cr_assert_eq(driver_fixture_count_counters(&f, COUNTER_TYPE_DRIVER_PLUGIN), 4);
    driver_fixture_close(&f);
    struct report report;
    long cycles, working;
    read_report(&report, path);
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++) {
        find_agent(&report, agents[i], &cycles, &working);
        cr_assert(cycles > 0 || i > 2, "%s", agents[i]);
    }
    find_agent(&report, "driverd ", &cycles, &working);
    cr_assert(cycles == 1000 && working == 10, "%ld %ld", cycles, working);
    (void)unlink(path);
}
