#include <criterion/criterion.h>

#include <string.h>

#include "servicehost/service_conf.h"
#include "lib/option_names.h"

Test(service_conf, table_is_sound) {
    struct tern_error error = {0};
    cr_assert_eq(option_table_check(&service_option_table, &error), 0, "%s", error.text);
}

Test(service_conf, environment_alone_is_enough) {
    struct service_conf conf;
    struct options options;
    char *const environment[] = {(char *)"TERN_SERVICE_PLUGIN=/x/echo.so",
                                 (char *)"AERON_DIR=/dev/shm/a", (char *)"AERON_CLUSTER_DIR=/c",
                                 (char *)"AERON_CLUSTER_SERVICE_ID=3", NULL};
    cr_assert_eq(options_load(&options, &service_option_table, &conf, NULL, environment), 0, "%s",
                 options.errors);
    cr_assert_str_eq(conf.plugin, "/x/echo.so");
    cr_assert_str_eq(conf.aeron_dir, "/dev/shm/a");
    cr_assert_eq(conf.service_id, 3);
    cr_assert_eq(conf.snapshot_stream_id, 106);
}

Test(service_conf, refuses_what_cannot_work) {
    static const struct {
        const char *variable;
        const char *text;
    } cases[] = {
        {"AERON_CLUSTER_SERVICE_ID=10", "0..9"},
        {"AERON_CLUSTER_CONTROL_CHANNEL=aeron:tcp", "neither 'udp' nor 'ipc'"},
        {"AERON_CLUSTER_IDLE_STRATEGY=nap", "unknown idle strategy"},
        {"AERON_CLUSTER_SERVICE_DELEGATING_ERROR_HANDLER=x", "delegating_error_handler"},
        {"TERN_SERVICE_PLUGIN=", "plugin"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct service_conf conf;
        struct options options;
        char *const environment[] = {(char *)cases[i].variable, (char *)"TERN_SERVICE_PLUGIN=/p",
                                     NULL};
        cr_assert_geq(options_load(&options, &service_option_table, &conf, NULL, environment), 1,
                      "%s", cases[i].variable);
        cr_assert(strstr(options.errors, cases[i].text) != NULL, "%s: %s", cases[i].variable,
                  options.errors);
    }
}

Test(service_conf, every_option_of_the_original_is_used_or_refused) {
    static const char *const names[] = {
        "AERON_CLUSTER_ID",
        "AERON_CLUSTER_SNAPSHOT_STREAM_ID",
        "AERON_CLUSTER_SERVICE_ID",
        "AERON_CLUSTER_SERVICE_NAME",
        "AERON_CLUSTER_SERVICE_CLASS_NAME",
        "AERON_CLUSTER_SERVICE_RESPONDER",
        "AERON_CLUSTER_SERVICE_ERROR_BUFFER_LENGTH",
        "AERON_CLUSTER_SERVICE_CYCLE_THRESHOLD",
        "AERON_CLUSTER_SERVICE_SNAPSHOT_THRESHOLD",
        "AERON_CLUSTER_SERVICE_DELEGATING_ERROR_HANDLER",
    };
    expect_option_names(&service_option_table, names, sizeof names / sizeof names[0]);
}
