#include <criterion/criterion.h>

#include <string.h>

#include "lib/fake_host.h"
#include "unit/plugins/replica.h"

Test(echo, answers_each_message_with_the_same_bytes_to_the_same_session) {
    static const int32_t lengths[] = {0, 1, 31, 32, 1376, 100000};
    static uint8_t bytes[100000];
    struct fake_service echo;
    cr_assert_eq(fake_service_open(&echo, "echo", NULL, NULL), 0);
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)(i * 31);
    }
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        fake_service_send(&echo, (int64_t)i + 1, bytes, lengths[i]);
        cr_assert_eq(echo.host.answers.count, (int64_t)i + 1);
        const struct fake_message *answer = &echo.host.answers.items[i];
        cr_assert_eq(answer->session_id, (int64_t)i + 1);
        cr_assert_eq(answer->length, lengths[i]);
        cr_assert(memcmp(answer->bytes, bytes, (size_t)lengths[i]) == 0);
    }
    fake_service_close(&echo);
}

Test(echo, ignores_messages_of_services) {
    struct fake_service echo;
    cr_assert_eq(fake_service_open(&echo, "echo", NULL, NULL), 0);
    fake_service_send(&echo, 0, "x", 1);
    cr_assert_eq(echo.host.answers.count, 0);
    fake_service_close(&echo);
}

Test(echo, has_an_empty_snapshot_and_starts_from_any) {
    struct fake_service echo;
    struct fake_service list;
    struct tern_service_snapshot none = {0};
    struct tern_service_snapshot of_list = {0};
    struct tern_error error;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    cr_assert_eq(fake_service_take_snapshot(&list, &of_list, &error), 0);
    cr_assert_gt(of_list.messages.count, 0);
    fake_service_close(&list);
    cr_assert_eq(fake_service_open(&echo, "echo", &of_list, &error), 0);
    cr_assert_eq(fake_service_take_snapshot(&echo, &none, &error), 0);
    cr_assert_eq(none.messages.count, 0);
    fake_service_close(&echo);
    fake_snapshot_close(&none);
    fake_snapshot_close(&of_list);
}

static int32_t make_message(uint64_t random, uint8_t *message) {
    memcpy(message, &random, sizeof random);
    return (int32_t)(random % 200);
}

Test(echo, replicas_agree) {
    replica_check("echo", make_message, NULL);
}
