/* Messages of a service: each is appended once and in order, whoever leads (cluster.md 3.11, 3.16).
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "consensusd/module_snapshot.h"
#include "consensusd/service_queue.h"
#include "wire/cluster_codec.h"

#define HEADER_LENGTH 32
#define BASE INT64_MIN /* of service 0 */

static struct service_queue make(int32_t service_id) {
    struct service_queue queue;
    struct tern_error error;
    cr_assert_eq(service_queue_init(&queue, service_id, &error), 0);
    return queue;
}

/* The n-th message of a service, `length` bytes in all. */
static int offer(struct service_queue *queue, int32_t n, int32_t length) {
    static uint8_t message[1 << 20];
    cr_assert_geq(length, HEADER_LENGTH + 4);
    cluster_session_message_header_put(message, 3, 0, 77);
    memset(message + HEADER_LENGTH, n & 255, (size_t)(length - HEADER_LENGTH));
    memcpy(message + HEADER_LENGTH, &n, sizeof n);
    return service_queue_offer(queue, message, length);
}

static int32_t number_of(const uint8_t *message) {
    int32_t n;
    memcpy(&n, message + HEADER_LENGTH, sizeof n);
    return n;
}

/* As a leader does it: the number of the message, -1 when there is none. */
static int32_t append(struct service_queue *queue, int64_t position) {
    int32_t length;
    const uint8_t *message = service_queue_peek(queue, &length);
    if (message == NULL) {
        return -1;
    }
    int32_t n = number_of(message);
    cr_assert_eq(message[length - 1], length > HEADER_LENGTH + 4 ? n & 255 : message[length - 1]);
    service_queue_advance(queue, position);
    return n;
}

Test(service_queue, messages_have_consecutive_ids_and_no_position) {
    struct service_queue queue = make(2);
    int64_t offset = -1;
    int32_t length;
    for (int32_t n = 0; n < 3; n++) {
        cr_assert_eq(offer(&queue, n, 40 + n), 0);
    }
    for (int32_t n = 0; n < 3; n++) {
        const uint8_t *message = service_queue_each(&queue, &offset, &length);
        cr_assert_eq(length, 40 + n);
        cr_assert_eq(cluster_session_message_header_get_cluster_session_id(message),
                     service_session_id_base(2) + 1 + n);
        cr_assert_eq(cluster_session_message_header_get_timestamp(message), INT64_MAX);
    }
    cr_assert_null(service_queue_each(&queue, &offset, &length));
    cr_assert_eq(queue.next_id, service_session_id_base(2) + 4);
    cr_assert_eq(queue.log_id, service_session_id_base(2));
    service_queue_close(&queue);
}

Test(service_queue, leader_appends_each_once_and_lets_it_go_when_it_is_committed) {
    struct service_queue queue = make(0);
    offer(&queue, 1, 40);
    offer(&queue, 2, 40);
    cr_assert_eq(append(&queue, 96), 1);
    cr_assert_eq(append(&queue, 192), 2);
    cr_assert_eq(append(&queue, 288), -1);
    service_queue_on_commit(&queue, 95);
    cr_assert_eq(queue.count, 2);
    service_queue_on_commit(&queue, 96);
    cr_assert_eq(queue.count, 1);
    cr_assert_eq(queue.log_id, BASE + 1);
    offer(&queue, 3, 40);
    service_queue_on_commit(&queue, 1000);
    cr_assert_eq(queue.count, 1, "the third is not appended");
    cr_assert_eq(append(&queue, 1096), 3);
    service_queue_close(&queue);
}

Test(service_queue, what_was_not_committed_is_appended_again_by_a_later_leader) {
    struct service_queue queue = make(0);
    for (int32_t n = 1; n <= 4; n++) {
        offer(&queue, n, 40);
        cr_assert_eq(append(&queue, n * 96), n);
    }
    service_queue_roll_back(&queue, 96);
    cr_assert_eq(queue.log_id, BASE + 1);
    service_queue_on_log(&queue, BASE + 2); /* the next leader had it in its log */
    service_queue_on_log(&queue, BASE + 2); /* read once more, after another election */
    cr_assert_eq(append(&queue, 480), 3);
    cr_assert_eq(append(&queue, 576), 4);
    cr_assert_eq(append(&queue, 672), -1);
    service_queue_close(&queue);
}

Test(service_queue, slow_service_of_a_member_repeats_nothing) {
    struct service_queue queue = make(0);
    for (int32_t n = 1; n <= 3; n++) {
        service_queue_on_log(&queue, BASE + n);
    }
    for (int32_t n = 1; n <= 5; n++) {
        cr_assert_eq(offer(&queue, n, 40), 0);
    }
    cr_assert_eq(append(&queue, 960), 4);
    cr_assert_eq(append(&queue, 1056), 5);
    service_queue_close(&queue);
}

Test(service_queue, fast_service_of_a_member_has_its_messages_taken_from_the_log) {
    struct service_queue queue = make(0);
    for (int32_t n = 1; n <= 3; n++) {
        offer(&queue, n, 40);
    }
    service_queue_on_log(&queue, BASE + 1);
    service_queue_on_log(&queue, BASE + 2);
    cr_assert_eq(queue.count, 1);
    cr_assert_eq(append(&queue, 960), 3);
    service_queue_close(&queue);
}

/* Against a plain list of numbers, with records that wrap, fill and outgrow the ring. */
Test(service_queue, ring_keeps_order_and_content_however_it_wraps_and_grows) {
    struct service_queue queue = make(0);
    unsigned state = 7;
    int32_t offered = 0;
    int32_t appended = 0;
    int32_t committed = 0;
    for (int step = 0; step < 60000; step++) {
        state = state * 1664525 + 1013904223;
        unsigned choice = (state >> 24) % (step < 30000 ? 5 : 8);
        if (choice < 2) {
            cr_assert_eq(offer(&queue, offered++, 36 + (int32_t)((state >> 8) % 9000)), 0);
        } else if (choice < 4) {
            int32_t n = append(&queue, appended + 1);
            cr_assert_eq(n, appended < offered ? appended : -1);
            appended += n >= 0;
        } else if (choice < 7) {
            committed = appended - (appended - committed) / 2;
            service_queue_on_commit(&queue, committed);
        } else {
            service_queue_roll_back(&queue, committed);
            for (int32_t n = committed; n < appended; n++) {
                cr_assert_eq(append(&queue, n + 1), n);
            }
        }
        cr_assert_eq(queue.count, offered - committed);
    }
    cr_assert_gt(queue.capacity, 1 << 20, "it had to grow");
    service_queue_close(&queue);
}

Test(service_queue, it_refuses_beyond_its_limit_and_goes_on_when_there_is_room) {
    struct service_queue queue = make(0);
    int32_t n = 0;
    queue.capacity_max = 1 << 23; /* not to fill the machine's memory */
    while (offer(&queue, n, 1 << 20) == 0) {
        n++;
    }
    int64_t next_id = queue.next_id;
    cr_assert_eq(offer(&queue, n, 1 << 20), -ENOSPC);
    cr_assert_eq(queue.next_id, next_id);
    cr_assert_eq(queue.count, n);
    service_queue_on_log(&queue, BASE + 2);
    cr_assert_eq(offer(&queue, n, 1 << 20), 0);
    cr_assert_eq(queue.next_id, next_id + 1);
    service_queue_close(&queue);
}

Test(service_queue, snapshot_is_taken_up_where_it_was) {
    struct service_queue queue = make(0);
    struct service_queue loaded = make(0);
    int64_t offset = -1;
    int32_t length;
    const uint8_t *message;
    service_queue_on_log(&queue, BASE + 1);
    for (int32_t n = 1; n <= 3; n++) {
        offer(&queue, n, 50);
    }
    loaded.next_id = queue.next_id;
    loaded.log_id = queue.log_id;
    while ((message = service_queue_each(&queue, &offset, &length)) != NULL) {
        cr_assert_eq(service_queue_restore(&loaded, message, length), 0);
    }
    cr_assert_eq(offer(&loaded, 4, 50), 0);
    for (int32_t n = 2; n <= 4; n++) {
        int32_t ignored;
        message = service_queue_peek(&loaded, &ignored);
        cr_assert_eq(cluster_session_message_header_get_cluster_session_id(message), BASE + n);
        cr_assert_eq(append(&loaded, n * 96), n);
    }
    service_queue_close(&queue);
    service_queue_close(&loaded);
}
