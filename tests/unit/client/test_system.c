#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tern/client.h>

static int load(const char *text, struct tern_error *error) {
    return tern_properties_load(text, (int32_t)strlen(text), error);
}

Test(system, sets_the_environment_from_properties) {
    struct tern_error error = {0};
    setenv("AERON_MTU_LENGTH", "1", 1);
    cr_assert_eq(load("# a comment\n"
                      "! another\n"
                      "\n"
                      "aeron.dir=/dev/shm/some where\r\n"
                      "  aeron.mtu.length =  8k \n"
                      "AERON_CLIENT_NAME=a=b\n"
                      "aeron.empty=",
                      &error),
                 4, "%s", error.text);
    cr_assert_str_eq(getenv("AERON_DIR"), "/dev/shm/some where");
    cr_assert_str_eq(getenv("AERON_MTU_LENGTH"), "8k");
    cr_assert_str_eq(getenv("AERON_CLIENT_NAME"), "a=b");
    cr_assert_str_eq(getenv("AERON_EMPTY"), "");
    tern_context *context = tern_context_create(&error);
    cr_assert_str_eq(tern_context_directory(context), "/dev/shm/some where");
    cr_assert_str_eq(tern_context_client_name(context), "a=b");
    tern_context_destroy(context);
    cr_assert_eq(load("", NULL), 0);
}

Test(system, sets_nothing_when_a_line_is_wrong) {
    static const char *const wrong[] = {"aeron.dir", "=value", "aeron dir=x", "aeron-dir=x"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct tern_error error = {0};
        char text[128];
        (void)snprintf(text, sizeof text, "aeron.fine=1\n%s\n", wrong[i]);
        cr_assert_eq(load(text, &error), -EINVAL, "%s", wrong[i]);
        cr_assert_neq(strstr(error.text, "line 2"), NULL, "%s", error.text);
        cr_assert_neq(strstr(error.text, wrong[i]), NULL, "%s", error.text);
        cr_assert_eq(getenv("AERON_FINE"), NULL);
    }
    cr_assert_eq(tern_properties_load("a\0b=c", 5, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load("", -1, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load("", TERN_PROPERTIES_LENGTH_MAX + 1, NULL), -EINVAL);
    char *line = malloc(TERN_PROPERTIES_LENGTH_MAX);
    memset(line, 'a', TERN_PROPERTIES_LENGTH_MAX);
    line[1] = '=';
    cr_assert_eq(tern_properties_load(line, TERN_PROPERTIES_LENGTH_MAX, NULL), -EINVAL);
    cr_assert_eq(tern_properties_load(line, 4096, NULL), 1);
    free(line);
}

Test(system, reads_properties_from_a_file) {
    struct tern_error error = {0};
    char path[] = "/tmp/tern-properties-XXXXXX";
    int descriptor = mkstemp(path);
    cr_assert_geq(descriptor, 0);
    cr_assert_eq(write(descriptor, "aeron.a=1\naeron.b=2\n", 20), 20);
    cr_assert_eq(tern_properties_load_file(path, &error), 2, "%s", error.text);
    cr_assert_str_eq(getenv("AERON_A"), "1");
    cr_assert_str_eq(getenv("AERON_B"), "2");
    cr_assert_eq(ftruncate(descriptor, TERN_PROPERTIES_LENGTH_MAX + 1), 0);
    cr_assert_eq(tern_properties_load_file(path, &error), -EINVAL);
    (void)close(descriptor);
    (void)unlink(path);
    cr_assert_eq(tern_properties_load_file(path, &error), -ENOENT);
    cr_assert_eq(tern_properties_load_file("/tmp", &error), -EISDIR);
}

Test(system, tells_version_and_time) {
    char text[32];
    struct tern_version version = tern_version();
    (void)snprintf(text, sizeof text, "%d.%d.%d", version.major, version.minor, version.patch);
    cr_assert_str_eq(tern_version_text(), text);
    cr_assert_gt(tern_clock_nano_ns(), 0);
    cr_assert_gt(tern_clock_epoch_ms(), INT64_C(1700000000000));
}
