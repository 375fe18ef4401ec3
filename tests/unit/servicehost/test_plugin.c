#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "servicehost/plugin.h"

static void path_of(char *path, size_t size, const char *name) {
    (void)snprintf(path, size, "%s/%s.so", PLUGIN_DIR, name);
}

Test(plugin, loads_each_example_service) {
    static const char *const names[] = {"auction", "echo", "list"};
    for (size_t i = 0; i < 3; i++) {
        struct plugin plugin;
        struct tern_error error = {0};
        char path[512];
        path_of(path, sizeof path, names[i]);
        cr_assert_eq(plugin_open(&plugin, path, &error), 0, "%s", error.text);
        cr_assert_str_eq(plugin.table.name, names[i]);
        plugin_close(&plugin);
        plugin_close(&plugin);
    }
}

Test(plugin, says_what_is_wrong_with_a_bad_one) {
    static const struct {
        const char *name;
        const char *text; /* is part of the error */
    } cases[] = {
        {"does_not_exist", "does_not_exist"},
        {"bad_no_symbol", "does not export the symbol tern_service_plugin"},
        {"bad_abi", "version 99, this servicehost has version 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct plugin plugin;
        struct tern_error error = {0};
        char path[512];
        path_of(path, sizeof path, cases[i].name);
        cr_assert_lt(plugin_open(&plugin, path, &error), 0);
        cr_assert(strstr(error.text, cases[i].text) != NULL, "%s: %s", cases[i].name, error.text);
    }
}

static void *create(struct tern_service_host *host,
                    const struct tern_service_operations *operations, const char *argument,
                    struct tern_error *error) {
    (void)operations;
    (void)argument;
    (void)error;
    return host;
}

static void destroy(void *service) {
    (void)service;
}

static void on_session_message(void *service, const struct tern_service_session *session,
                               int64_t timestamp, const uint8_t *buffer, int32_t length) {
    (void)service;
    (void)session;
    (void)timestamp;
    (void)buffer;
    (void)length;
}

Test(plugin, checks_size_and_the_callbacks_that_every_service_has) {
    struct tern_service_plugin table = {
        .abi_version = TERN_SERVICE_ABI_VERSION,
        .size = sizeof table,
        .name = "x",
        .create = create,
        .destroy = destroy,
        .on_session_message = on_session_message,
    };
    struct plugin plugin = {0};
    struct tern_error error = {0};
    cr_assert_eq(plugin_adopt(&plugin, &table, &error), 0);
    table.size = 16;
    cr_assert_eq(plugin_adopt(&plugin, &table, &error), TERN_ERROR_VERSION);
    cr_assert(strstr(error.text, "16 bytes") != NULL, "%s", error.text);
    table.size = sizeof table + 64;
    cr_assert_eq(plugin_adopt(&plugin, &table, &error), 0, "a newer plugin is welcome");
    table.on_session_message = NULL;
    cr_assert_eq(plugin_adopt(&plugin, &table, &error), -EINVAL);
}
