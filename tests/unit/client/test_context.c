#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "client/settings.h"

Test(context, reads_the_environment_and_names_what_does_not_parse) {
    static const struct {
        const char *name;
        const char *value;
        bool is_valid;
    } cases[] = {
        {"AERON_DRIVER_TIMEOUT", "2500", true},
        {"AERON_DRIVER_TIMEOUT", "10s", false},
        {"AERON_DRIVER_TIMEOUT", "0", false},
        {"AERON_CLIENT_NAME", "worker", true},
        {"AERON_CLIENT_IDLE_SLEEP_DURATION", "7ms", true},
        {"AERON_CLIENT_IDLE_SLEEP_DURATION", "soon", false},
        {"AERON_CLIENT_RESOURCE_LINGER_DURATION", "1s", true},
        {"AERON_CLIENT_RESOURCE_LINGER_DURATION", "1parsec", false},
        {"AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY", "true", true},
        {"AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY", "yes", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tern_error error = {0};
        setenv(cases[i].name, cases[i].value, 1);
        tern_context *context = tern_context_create(&error);
        unsetenv(cases[i].name);
        cr_assert_eq(context != NULL, cases[i].is_valid, "%s=%s", cases[i].name, cases[i].value);
        if (context == NULL) {
            cr_assert_neq(strstr(error.text, cases[i].name), NULL, "%s", error.text);
            cr_assert_neq(strstr(error.text, cases[i].value), NULL, "%s", error.text);
        }
        tern_context_destroy(context);
    }
    setenv("AERON_DIR", "/dev/shm/elsewhere", 1);
    setenv("AERON_DRIVER_TIMEOUT", "2500", 1);
    setenv("AERON_CLIENT_IDLE_SLEEP_DURATION", "7ms", 1);
    setenv("AERON_CLIENT_RESOURCE_LINGER_DURATION", "1s", 1);
    setenv("AERON_CLIENT_PRE_TOUCH_MAPPED_MEMORY", "true", 1);
    tern_context *context = tern_context_create(NULL);
    cr_assert_str_eq(tern_context_directory(context), "/dev/shm/elsewhere");
    cr_assert_eq(tern_context_driver_timeout_ms(context), 2500);
    cr_assert_eq(context->idle.park_max_ns, 7 * NS_PER_MS);
    cr_assert_eq(context->resource_linger_ns, NS_PER_S);
    cr_assert(context->is_pre_touching);
    cr_assert(tern_context_pre_touch(context));
    cr_assert_eq(tern_context_resource_linger_ns(context), NS_PER_S);
    cr_assert_eq(tern_context_keepalive_interval_ns(context), 500 * NS_PER_MS);
    cr_assert_eq(tern_context_set_client_name(context, "ada", NULL), 0);
    cr_assert_str_eq(tern_context_client_name(context), "ada");
    cr_assert(!tern_context_use_invoker(context));
    tern_context_set_use_invoker(context, true);
    cr_assert(tern_context_use_invoker(context));
    tern_context_destroy(context);
}

Test(context, refuses_values_that_do_not_fit) {
    struct tern_error error = {0};
    char text[5000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    tern_context *context = tern_context_create(NULL);
    cr_assert_lt(tern_context_set_directory(context, text, &error), 0);
    cr_assert_lt(tern_context_set_directory(context, "", &error), 0);
    cr_assert_lt(tern_context_set_directory(context, NULL, NULL), 0);
    text[101] = '\0';
    cr_assert_lt(tern_context_set_client_name(context, text, &error), 0);
    text[100] = '\0';
    cr_assert_eq(tern_context_set_client_name(context, text, &error), 0);
    cr_assert_lt(tern_context_set_idle_strategy(context, "napping", NULL, &error), 0);
    cr_assert_neq(strstr(error.text, "napping"), NULL);
    cr_assert_eq(tern_context_set_idle_strategy(context, "backoff", NULL, &error), 0);
    tern_context_destroy(context);
    tern_context_destroy(NULL);
}
