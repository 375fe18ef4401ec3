#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "base/message_list.h"

Test(message_list, gives_back_what_was_appended_in_order) {
    struct message_list list = {.message_length_max = 70000};
    static uint8_t big[70001];
    const void *message;
    int32_t length;
    memset(big, 7, sizeof big);
    cr_assert_eq(message_list_peek(&list, &message, &length), 0);
    cr_assert_eq(message_list_append(&list, "one", 3), 0);
    cr_assert_eq(message_list_append(&list, NULL, 0), 0);
    cr_assert_eq(message_list_append(&list, big, 70000), 0);
    cr_assert_eq(message_list_append(&list, big, 70001), -EMSGSIZE);
    cr_assert_eq(message_list_append(&list, big, -1), -EMSGSIZE);

    static const int32_t lengths[] = {3, 0, 70000};
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(message_list_peek(&list, &message, &length), 1);
        cr_assert_eq(length, lengths[i]);
        cr_assert_eq(memcmp(message, i == 0 ? (const void *)"one" : big, (size_t)length), 0);
        message_list_advance(&list);
    }
    cr_assert_eq(message_list_peek(&list, &message, &length), 0);
    message_list_close(&list);
    cr_assert_eq(list.message_length_max, 70000, "the limit outlives the content");
    cr_assert_eq(list.length, 0);
}
