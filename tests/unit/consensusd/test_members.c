#include <criterion/criterion.h>
#include <string.h>

#include "consensusd/members.h"

Test(members, list_is_parsed_and_joined) {
    struct members members;
    struct tern_error error;
    const char *text = "0,a:2,a:3,a:4,a:0,a:1|5,b:2,b:3,b:4,b:5,b:1,b:9|7,c:2,c:3,c:4,c:5,c:1,,c:8";
    cr_assert_eq(members_parse(&members, text, &error), 0, "%s", error.text);
    cr_assert_eq(members.count, 3);
    cr_assert_str_eq(members.text, text);
    cr_assert_str_eq(members.ingress, "0=a:2,5=b:2,7=c:2");
    cr_assert_eq(members_index(&members, 5), 1);
    cr_assert_eq(members_index(&members, 1), -1);
    cr_assert_str_eq(members.list[1].archive, "b:1");
    cr_assert_str_eq(members.list[1].archive_response, "b:9");
    cr_assert_str_eq(members.list[2].archive_response, "");
    cr_assert_str_eq(members.list[2].egress_response, "c:8");
    cr_assert_eq(members_check_own(&members.list[0], "a:2,a:3,a:4,a:0,a:1", &error), 0);
    cr_assert_lt(members_check_own(&members.list[0], "a:2,a:3,a:4,a:5,a:1", &error), 0);
}

Test(members, what_is_wrong_is_named) {
    struct {
        const char *text;
        const char *said;
    } cases[] = {
        {"", "not a number"},
        {"x,a:2,a:3,a:4,a:5,a:1", "not a number"},
        {"0,a:2,a:3,a:4,a:5", "member 0 has 4 endpoints"},
        {"0,a:2,a:3,a:4,a:5,a:1,a:6,a:7,a:8", "member 0 has 8 endpoints"},
        {"0,a:2,a3,a:4,a:5,a:1", "consensus endpoint \"a3\""},
        {"0,a:2,a:3,a:4,a:5,a:1|0,b:2,b:3,b:4,b:5,b:1", "listed twice"},
        {"0,a:2,a:3,a:4,a:5,a:1|", "not a number"},
        {"-1,a:2,a:3,a:4,a:5,a:1", "not a number"},
        {"99999999999,a:2,a:3,a:4,a:5,a:1", "not a number"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct members members;
        struct tern_error error;
        cr_assert_lt(members_parse(&members, cases[i].text, &error), 0, "case %zu", i);
        cr_assert_not_null(strstr(error.text, cases[i].said), "case %zu: %s", i, error.text);
    }
    static char many[10000];
    for (int i = 0; i < 10; i++) {
        snprintf(many + strlen(many), 100, "%s%d,a:2,a:3,a:4,a:5,a:1", i ? "|" : "", i);
    }
    struct members members;
    struct tern_error error;
    cr_assert_lt(members_parse(&members, many, &error), 0);
    memset(many, 'a', sizeof many - 1);
    cr_assert_lt(members_parse(&members, many, &error), 0);
}
