#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "cluster/cluster_session.h"

Test(ingress, parses_the_endpoint_list) {
    struct ingress ingress = {.channel = "aeron:udp", .stream_id = 101};
    struct tern_error error = {0};
    cr_assert_eq(ingress_set_members(&ingress, "0=a:1,7=[::1]:2,-4=c.example:3", &error), 0, "%s",
                 error.text);
    cr_assert_eq(ingress.count, 3);
    cr_assert_str_eq(ingress_find(&ingress, 7)->endpoint, "[::1]:2");
    cr_assert_str_eq(ingress_find(&ingress, -4)->endpoint, "c.example:3");
    cr_assert_null(ingress_find(&ingress, 1));
    cr_assert_eq(ingress_set_members(&ingress, NULL, &error), 0);
    cr_assert_eq(ingress.count, 1);
    cr_assert_null(ingress_find(&ingress, INGRESS_ANY_MEMBER)->endpoint);
    ingress_close(&ingress);
    cr_assert_eq(ingress.count, 0);
}

Test(ingress, refuses_a_list_that_is_none_and_keeps_the_old_one) {
    static const char *const bad[] = {
        "",       "0",      "0=",           "=a:1",   "x=a:1",
        "0=a:1,", ",0=a:1", "0=a:1,,1=b:2", "0 =a:1", "4294967296=a:1"};
    struct ingress ingress = {.channel = "aeron:udp", .stream_id = 101};
    cr_assert_eq(ingress_set_members(&ingress, "3=a:1", NULL), 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct tern_error error = {0};
        cr_assert_eq(ingress_set_members(&ingress, bad[i], &error), -EINVAL, "'%s'", bad[i]);
        cr_assert(strstr(error.text, "id=host:port") != NULL, "%s", error.text);
        cr_assert_eq(ingress.count, 1);
        cr_assert_str_eq(ingress_find(&ingress, 3)->endpoint, "a:1");
    }
    char many[4096] = "0=a:1";
    for (int i = 0; i < INGRESS_MEMBER_COUNT_MAX; i++) {
        strcat(many, ",1=b:2");
    }
    cr_assert_eq(ingress_set_members(&ingress, many, NULL), -EINVAL);
    ingress_close(&ingress);
}

Test(cluster_params, that_cannot_work_are_refused_at_once) {
    struct tern_cluster_params good;
    tern_client *client = (tern_client *)&good; /* never used: the params fail before */
    tern_cluster_connecting *connecting;
    tern_cluster_params_init(&good, client);
    good.egress_channel = "aeron:udp?endpoint=localhost:0";
    struct tern_cluster_params bad[6];
    for (int i = 0; i < 6; i++) {
        bad[i] = good;
    }
    bad[0].client = NULL;
    bad[1].egress_channel = NULL;
    bad[2].ingress_channel = "aeron:ipc";
    bad[2].ingress_endpoints = "0=a:1";
    bad[3].message_timeout_ns = 0;
    bad[4].ingress_endpoints = "nonsense";
    bad[5].credentials_length = -1;
    for (int i = 0; i < 6; i++) {
        struct tern_error error = {0};
        cr_assert_eq(tern_cluster_connect_begin(&connecting, &bad[i], &error), -EINVAL, "case %d",
                     i);
        cr_assert_gt(strlen(error.text), 0);
    }
}
