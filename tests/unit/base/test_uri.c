#include <criterion/criterion.h>

#include <string.h>

#include "base/clock.h"
#include "base/uri.h"

static int parse(struct uri *uri, const char *text) {
    struct tern_error error = {0};
    return uri_parse(uri, text, (int32_t)strlen(text), &error);
}

Test(uri, keeps_every_parameter_in_order) {
    struct uri uri;
    cr_assert_eq(
        parse(&uri, "aeron-spy:aeron:udp?endpoint=localhost:20121|term-length=64k|alias=a=b"), 0);
    cr_assert(uri.is_spy);
    cr_assert_eq(uri.media, URI_MEDIA_UDP);
    cr_assert_eq(uri.param_count, 3);
    cr_assert_str_eq(uri_get(&uri, "endpoint"), "localhost:20121");
    cr_assert_str_eq(uri_get(&uri, "alias"), "a=b");
    cr_assert_null(uri_get(&uri, "term"));
    cr_assert_eq(parse(&uri, "aeron:ipc"), 0);
    cr_assert_eq(uri.media, URI_MEDIA_IPC);
    cr_assert_not(uri.is_spy);
    cr_assert_eq(uri.param_count, 0);
    cr_assert_eq(parse(&uri, "aeron:ipc?"), 0);
}

Test(uri, refuses_bad_syntax_with_a_text) {
    static const char *const bad[] = {"",
                                      "aeron",
                                      "aeron:",
                                      "aeron:tcp",
                                      "aeron:ipcx",
                                      "aeron:udp?x",
                                      "aeron:udp?=v",
                                      "aeron:udp?a=",
                                      "aeron:udp?a=|b=c",
                                      "udp:x",
                                      "aeron:udp?a=b||c=d",
                                      "AERON:ipc"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct uri uri;
        struct tern_error error = {0};
        int result = uri_parse(&uri, bad[i], (int32_t)strlen(bad[i]), &error);
        cr_assert_eq(result, TERN_ERROR_INVALID_URI, "'%s' was accepted", bad[i]);
        cr_assert_gt(strlen(error.text), 0, "'%s' without text", bad[i]);
    }
    static char longest[URI_LENGTH_MAX + 2];
    memset(longest, 'a', sizeof longest - 1);
    memcpy(longest, "aeron:ipc?alias=", 16);
    struct uri uri;
    cr_assert_eq(uri_parse(&uri, longest, URI_LENGTH_MAX, NULL), 0);
    cr_assert_eq(uri_parse(&uri, longest, URI_LENGTH_MAX + 1, NULL), TERN_ERROR_INVALID_URI);
    cr_assert_eq(uri_parse(&uri, "aeron:ipc\0x", 11, NULL), TERN_ERROR_INVALID_URI);
}

Test(uri, refuses_more_parameters_than_it_can_hold) {
    char text[URI_LENGTH_MAX] = "aeron:ipc?";
    for (int i = 0; i <= URI_PARAM_COUNT_MAX; i++) {
        strcat(text, "a=b|");
    }
    struct uri uri;
    cr_assert_eq(parse(&uri, text), TERN_ERROR_INVALID_URI);
}

Test(uri, getters_tell_present_absent_and_wrong_apart) {
    struct uri uri;
    int32_t small = 7;
    int64_t wide = 7;
    bool flag = true;
    struct tern_error error = {0};
    cr_assert_eq(parse(&uri, "aeron:udp?a=-5|b=2147483648|c=false|d=yes|e=64k|f=1k5|g=10ms|h= 1"),
                 0);
    cr_assert_eq(uri_get_i32(&uri, "x", &small, &error), 0);
    cr_assert_eq(small, 7);
    cr_assert_eq(uri_get_i32(&uri, "a", &small, &error), 1);
    cr_assert_eq(small, -5);
    cr_assert_lt(uri_get_i32(&uri, "b", &small, &error), 0);
    cr_assert(strstr(error.text, "b=2147483648") != NULL, "%s", error.text);
    cr_assert_eq(uri_get_i64(&uri, "b", &wide, &error), 1);
    cr_assert_eq(wide, 2147483648);
    cr_assert_lt(uri_get_i64(&uri, "h", &wide, &error), 0);
    cr_assert_eq(uri_get_bool(&uri, "c", &flag, &error), 1);
    cr_assert_not(flag);
    cr_assert_lt(uri_get_bool(&uri, "d", &flag, &error), 0);
    cr_assert_eq(uri_get_size(&uri, "e", &wide, &error), 1);
    cr_assert_eq(wide, 65536);
    cr_assert_lt(uri_get_size(&uri, "f", &wide, &error), 0);
    cr_assert_eq(uri_get_duration_ns(&uri, "g", &wide, &error), 1);
    cr_assert_eq(wide, 10 * NS_PER_MS);
}

Test(uri, sizes_and_durations_follow_the_grammar) {
    static const struct {
        const char *text;
        int64_t size;     /* -1: refused */
        int64_t duration; /* -1: refused */
    } cases[] = {
        {"0", 0, 0},
        {"1024", 1024, 1024},
        {"1k", 1024, -1},
        {"1M", 1 << 20, -1},
        {"2g", INT64_C(2) << 30, -1},
        {"1s", -1, NS_PER_S},
        {"5MS", -1, 5 * NS_PER_MS},
        {"7us", -1, 7000},
        {"9ns", -1, 9},
        {"-1", -1, -1},
        {"", -1, -1},
        {"k", -1, -1},
        {"1kk", -1, -1},
        {"99999999999999999999", -1, INT64_MAX},
        {"9223372036854775807s", -1, INT64_MAX},
        {"9223372036854775807k", -1, -1},
        {" 1", -1, -1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int64_t value = -7;
        int result = parse_size(cases[i].text, &value);
        cr_assert_eq(result == 0 ? value : -1, cases[i].size, "size '%s'", cases[i].text);
        result = parse_duration_ns(cases[i].text, &value);
        cr_assert_eq(result == 0 ? value : -1, cases[i].duration, "duration '%s'", cases[i].text);
    }
}

Test(uri, durations_print_in_the_largest_exact_unit) {
    static const struct {
        int64_t duration_ns;
        const char *text;
    } cases[] = {{100 * NS_PER_MS, "100ms"},
                 {5 * NS_PER_S, "5s"},
                 {1500 * NS_PER_US, "1500us"},
                 {7, "7ns"},
                 {0, "0s"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        cr_assert_eq(duration_format(cases[i].duration_ns, text, sizeof text),
                     (int)strlen(cases[i].text));
        cr_assert_str_eq(text, cases[i].text);
    }
}

Test(uri, builder_adds_to_a_list_that_ends_empty) {
    static const struct {
        const char *channel, *built;
    } rows[] = {{"aeron:ipc?", "aeron:ipc?alias=x"},
                {"aeron:ipc?a=b|", "aeron:ipc?a=b|alias=x"},
                {"aeron:ipc?alias=y|", "aeron:ipc?alias=x"},
                {"aeron:ipc?a=b?", "aeron:ipc?a=b?|alias=x"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct uri_builder builder;
        cr_assert_eq(uri_builder_init(&builder, rows[i].channel), 0);
        cr_assert_eq(uri_builder_set(&builder, "alias", "x"), 0);
        cr_assert_str_eq(builder.text, rows[i].built);
        cr_assert_eq(builder.length, (int32_t)strlen(rows[i].built));
    }
}

Test(uri, builder_adds_replaces_and_removes) {
    struct uri_builder builder;
    cr_assert_eq(uri_builder_init(&builder, "aeron:udp"), 0);
    cr_assert_eq(uri_builder_set(&builder, "endpoint", "a:1"), 0);
    cr_assert_eq(uri_builder_set_i64(&builder, "session-id", -3), 0);
    cr_assert_str_eq(builder.text, "aeron:udp?endpoint=a:1|session-id=-3");
    cr_assert_eq(uri_builder_set(&builder, "endpoint", "bb:22"), 0);
    cr_assert_str_eq(builder.text, "aeron:udp?session-id=-3|endpoint=bb:22");
    cr_assert_eq(uri_builder_set(&builder, "endpoint", NULL), 0);
    cr_assert_str_eq(builder.text, "aeron:udp?session-id=-3");
    cr_assert_eq(uri_builder_set(&builder, "session-id", NULL), 0);
    cr_assert_str_eq(builder.text, "aeron:udp");
    cr_assert_eq(uri_builder_set(&builder, "id", NULL), 0);
    cr_assert_eq(builder.length, 9);
    static char value[URI_LENGTH_MAX];
    memset(value, 'v', sizeof value - 1);
    cr_assert_lt(uri_builder_set(&builder, "alias", value), 0);
    cr_assert_str_eq(builder.text, "aeron:udp");
}
