#include <criterion/criterion.h>

#include <errno.h>
#include <string.h>

#include "lib/fake_host.h"
#include "unit/plugins/replica.h"

#define SESSION 3
#define HASH_OF_NOTHING UINT64_C(0xcbf29ce484222325)
#define HASH_OF_7 UINT64_C(0x4bd7a317074c5b62)

enum { APPEND = 1, READ, SET_TIMER, CANCEL_TIMER, SEND, COUNT, CLOSE, DUMP };

struct answer {
    int64_t operation;
    int64_t request_id;
    int64_t length;
    uint64_t hash;
    int64_t messages;
    int64_t timers_fired;
    int64_t service_messages;
    int64_t cluster_time;
};

static void send(struct fake_service *list, int64_t operation, int64_t request_id, int64_t x,
                 int64_t y) {
    const int64_t words[4] = {operation, request_id, x, y};
    fake_service_send(list, SESSION, words, sizeof words);
}

static struct answer last_answer(const struct fake_service *list) {
    struct answer answer;
    int64_t session_id;
    fake_service_last_answer(list, &session_id, &answer, sizeof answer);
    cr_assert_eq(session_id, SESSION);
    return answer;
}

/* The hash of the definition, computed another way than the plugin does. */
static uint64_t hash_of(const int64_t *values, int64_t count) {
    uint64_t hash = HASH_OF_NOTHING;
    const uint8_t *bytes = (const uint8_t *)values;
    for (int64_t i = 0; i < count * 8; i++) {
        hash ^= bytes[i];
        hash *= UINT64_C(0x100000001b3);
    }
    return hash;
}

Test(list, every_request_is_answered_with_the_state_after_it) {
    static const struct {
        int64_t request[3]; /* operation, request id, x */
        int64_t length;
    } rows[] = {{{READ, 1, 0}, 0},   {{APPEND, 2, 7}, 1},  {{READ, 3, 9}, 1}, {{COUNT, 4, 0}, 1},
                {{APPEND, 5, 7}, 2}, {{APPEND, 6, -1}, 3}, {{77, 7, 1}, 3}};
    static const int64_t values[] = {7, 7, -1};
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        list.host.time = 5000 + (int64_t)i;
        send(&list, rows[i].request[0], rows[i].request[1], rows[i].request[2], 0);
        struct answer answer = last_answer(&list);
        cr_assert_eq(answer.operation, rows[i].request[0]);
        cr_assert_eq(answer.request_id, rows[i].request[1]);
        cr_assert_eq(answer.length, rows[i].length, "row %zu", i);
        cr_assert_eq(answer.hash, hash_of(values, answer.length), "row %zu", i);
        cr_assert_eq(answer.messages, (int64_t)i + 1);
        cr_assert_eq(answer.cluster_time, 5000 + (int64_t)i);
    }
    fake_service_close(&list);
}

Test(list, the_hash_is_fnv_1a) {
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    send(&list, READ, 1, 0, 0);
    cr_assert_eq(last_answer(&list).hash, HASH_OF_NOTHING);
    send(&list, APPEND, 2, 7, 0);
    cr_assert_eq(last_answer(&list).hash, HASH_OF_7);
    fake_service_close(&list);
}

Test(list, dump_answers_with_values_from_an_index_on) {
    static const struct {
        int64_t from, limit, first, count;
    } rows[] = {{0, 100, 0, 10}, {3, 4, 3, 4},  {9, 4, 9, 1},         {10, 4, 0, 0},
                {11, 4, 0, 0},   {-1, 4, 0, 0}, {0, -1, 0, 0},        {0, 0, 0, 0},
                {5, 5, 5, 5},    {5, 6, 5, 5},  {0, INT64_MAX, 0, 10}};
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    for (int64_t i = 0; i < 10; i++) {
        send(&list, APPEND, i, 100 + i, 0);
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        send(&list, DUMP, 50, rows[i].from, rows[i].limit);
        const struct fake_message *answer = &list.host.answers.items[list.host.answers.count - 1];
        cr_assert_eq(answer->length, 64 + 8 * rows[i].count, "row %zu", i);
        for (int64_t j = 0; j < rows[i].count; j++) {
            int64_t value;
            memcpy(&value, answer->bytes + 64 + j * 8, sizeof value);
            cr_assert_eq(value, 100 + rows[i].first + j);
        }
    }
    fake_service_close(&list);
}

Test(list, timers_belong_to_the_session_that_set_them) {
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    list.host.time = 1000;
    send(&list, SET_TIMER, 1, 42, 250);
    cr_assert_eq(list.host.last_timer.timer_id, 42);
    cr_assert_eq(list.host.last_timer.deadline, 1250);
    send(&list, SET_TIMER, 2, 43, 250);
    send(&list, CANCEL_TIMER, 3, 43, 0);
    cr_assert_eq(list.host.last_timer.timer_id, 43);
    cr_assert_eq(list.host.last_timer.deadline, INT64_MIN);
    int64_t answers = list.host.answers.count;
    list.plugin->on_timer_event(list.service, 42, 1250);
    cr_assert_eq(list.host.answers.count, answers + 1);
    struct answer answer = last_answer(&list);
    const int64_t value = 42 | INT64_C(1) << 62;
    cr_assert_eq(answer.operation, 100);
    cr_assert_eq(answer.request_id, 42);
    cr_assert_eq(answer.timers_fired, 1);
    cr_assert_eq(answer.hash, hash_of(&value, 1));
    list.plugin->on_timer_event(list.service, 42, 1251);
    list.plugin->on_timer_event(list.service, 43, 1251);
    cr_assert_eq(list.host.answers.count, answers + 1, "nobody owns them now");
    send(&list, READ, 4, 0, 0);
    cr_assert_eq(last_answer(&list).length, 3);
    fake_service_close(&list);
}

Test(list, messages_to_the_cluster_come_back_as_appends) {
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    list.host.refusals = 5;
    send(&list, SEND, 9, 3, 0);
    cr_assert_eq(list.host.idle_count, 5, "waits for room: every member must do the same");
    cr_assert_eq(list.host.cluster_messages.count, 3);
    for (int64_t i = 0; i < 3; i++) {
        const struct fake_message *message = &list.host.cluster_messages.items[i];
        const int64_t words[4] = {SEND, 9, i, SESSION};
        cr_assert_eq(message->length, (int32_t)sizeof words);
        cr_assert(memcmp(message->bytes, words, sizeof words) == 0);
        fake_service_send(&list, 0, message->bytes, message->length);
        struct answer answer = last_answer(&list);
        cr_assert_eq(answer.operation, 101);
        cr_assert_eq(answer.length, i + 1);
        cr_assert_eq(answer.service_messages, i + 1);
    }
    const int64_t mark = INT64_C(1) << 61;
    const int64_t values[] = {9 | mark, (9 ^ INT64_C(1) << 32) | mark,
                              (9 ^ INT64_C(2) << 32) | mark};
    cr_assert_eq(last_answer(&list).hash, hash_of(values, 3));
    fake_service_close(&list);
}

Test(list, close_ends_the_session_without_an_answer) {
    struct fake_service list;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    list.host.refusals = 2;
    send(&list, CLOSE, 1, 0, 0);
    cr_assert_eq(list.host.closed_session_id, SESSION);
    cr_assert_eq(list.host.answers.count, 0);
    fake_service_close(&list);
}

Test(list, a_short_message_is_counted_and_not_answered) {
    struct fake_service list;
    const int64_t words[4] = {APPEND, 1, 2, 3};
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    fake_service_send(&list, SESSION, words, 31);
    fake_service_send(&list, SESSION, words, 0);
    cr_assert_eq(list.host.answers.count, 0);
    send(&list, READ, 1, 0, 0);
    cr_assert_eq(last_answer(&list).messages, 3);
    cr_assert_eq(last_answer(&list).length, 0);
    fake_service_close(&list);
}

Test(list, its_snapshot_is_the_one_that_is_defined) {
    struct fake_service list;
    struct tern_service_snapshot snapshot = {0};
    struct tern_error error;
    cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
    for (int64_t i = 0; i < 200; i++) {
        send(&list, APPEND, i, 1000 + i, 0);
    }
    send(&list, SET_TIMER, 1, 9, 60000);
    send(&list, SET_TIMER, 2, 8, 60000);
    cr_assert_eq(fake_service_take_snapshot(&list, &snapshot, &error), 0);
    int64_t words[256];
    size_t length = 0;
    for (int64_t i = 0; i < snapshot.messages.count; i++) {
        const struct fake_message *message = &snapshot.messages.items[i];
        cr_assert_leq(message->length, 128 * 8);
        memcpy((uint8_t *)words + length, message->bytes, (size_t)message->length);
        length += (size_t)message->length;
    }
    cr_assert_eq(length, (5 + 200 + 4) * 8);
    const int64_t head[5] = {202, 0, 0, 200, 2};
    const int64_t owners[4] = {8, SESSION, 9, SESSION};
    cr_assert_arr_eq(words, head, sizeof head);
    cr_assert_eq(words[5], 1000);
    cr_assert_eq(words[204], 1199);
    cr_assert_arr_eq(words + 205, owners, sizeof owners);
    fake_snapshot_cut(&snapshot, 1);
    struct fake_service other;
    cr_assert_eq(fake_service_open(&other, "list", &snapshot, &error), -EBADMSG);
    cr_assert(strstr(error.text, "too short") != NULL, "%s", error.text);
    fake_service_close(&other);
    fake_service_close(&list);
    fake_snapshot_close(&snapshot);
}

Test(list, a_snapshot_that_cannot_be_written_is_an_error) {
    for (int64_t refused_from = 1; refused_from <= 2; refused_from++) {
        struct fake_service list;
        struct tern_error error = {0};
        struct tern_service_snapshot snapshot = {.refused_from = refused_from};
        cr_assert_eq(fake_service_open(&list, "list", NULL, NULL), 0);
        for (int64_t i = 0; i < 200; i++) {
            send(&list, APPEND, i, i, 0);
        }
        cr_assert_eq(fake_service_take_snapshot(&list, &snapshot, &error), -ENOMEM);
        cr_assert_eq(error.code, -ENOMEM);
        fake_service_close(&list);
        fake_snapshot_close(&snapshot);
    }
}

/* CLOSE is left out: it is never answered, and the fake host keeps no sessions. */
static int32_t make_request(uint64_t random, uint8_t *message) {
    static const int64_t operations[] = {APPEND, APPEND, APPEND,    READ,
                                         SEND,   DUMP,   SET_TIMER, CANCEL_TIMER};
    const int64_t words[4] = {operations[random % 8], (int64_t)(random >> 8 & 0xFFFF),
                              (int64_t)(random >> 24) % 7, (int64_t)(random >> 32) % 5};
    memcpy(message, words, sizeof words);
    return random % 50 == 0 ? 20 : (int32_t)sizeof words;
}

static void fire_timer(struct fake_service *list, uint64_t random) {
    if (random % 5 == 0) {
        list->plugin->on_timer_event(list->service, (int64_t)(random >> 24) % 7, list->host.time);
    }
}

Test(list, replicas_agree_and_a_snapshot_carries_everything) {
    replica_check("list", make_request, fire_timer);
}
