#include <criterion/criterion.h>

#include "driverd/destination.h"
#include "driverd/port_range.h"
#include "driverd/receiver_liveness.h"

static union net_address address(const char *text) {
    union net_address made;
    cr_assert_eq(net_address_parse(text, &made), 0);
    return made;
}

Test(destination, dynamic_destinations_come_with_status_messages_and_go_with_silence) {
    struct destination_tracker tracker;
    union net_address a = address("127.0.0.1:5000"), b = address("127.0.0.1:5001");
    union net_address moved = address("127.0.0.2:5000");
    cr_assert_eq(destination_tracker_init(&tracker, true), 0);
    struct destination *first = destination_tracker_on_sm(&tracker, 7, &a, 0);
    cr_assert_not_null(first);
    cr_assert_neq(destination_tracker_on_sm(&tracker, 7, &b, 0), first, "same id, other port");
    cr_assert_eq(tracker.count, 2);
    cr_assert_eq(destination_tracker_on_sm(&tracker, 7, &moved, NS_PER_S), first, "NAT");
    cr_assert_neq(destination_tracker_on_sm(&tracker, 8, &a, NS_PER_S), first, "other id");
    cr_assert_eq(tracker.count, 3);
    cr_assert_eq(destination_tracker_find(&tracker, 7, &a), first);
    cr_assert_null(destination_tracker_find(&tracker, 9, &a));
    cr_assert_eq(destination_tracker_expire(&tracker, 5 * NS_PER_S), 0);
    cr_assert_eq(destination_tracker_expire(&tracker, 5 * NS_PER_S + 1), 1);
    cr_assert_eq(destination_tracker_expire(&tracker, 6 * NS_PER_S + 1), 2);
    cr_assert_eq(tracker.count, 0);
    for (int i = 0; i < DESTINATIONS_MAX + 5; i++) {
        union net_address many = address("127.0.0.1:1");
        net_address_set_port(&many, (uint16_t)(1000 + i));
        struct destination *added = destination_tracker_on_sm(&tracker, 1, &many, 0);
        cr_assert_eq(added != NULL, i < DESTINATIONS_MAX, "%d", i);
    }
    destination_tracker_close(&tracker);
}

Test(destination, manual_destinations_learn_their_receiver_and_admit_no_strangers) {
    struct destination_tracker tracker;
    struct destination manual = {.registration_id = 5, .address = address("127.0.0.1:5000")};
    union net_address moved = address("127.0.0.9:5000"), other = address("127.0.0.1:5001");
    cr_assert_eq(destination_tracker_init(&tracker, false), 0);
    cr_assert(destination_tracker_add(&tracker, &manual, 0));
    cr_assert_null(destination_tracker_on_sm(&tracker, 7, &other, 0));
    cr_assert_null(destination_tracker_on_sm(&tracker, 7, &moved, 0), "address not known yet");
    cr_assert_eq(destination_tracker_on_sm(&tracker, 7, &manual.address, 3), &manual);
    cr_assert_eq(manual.receiver_id, 7);
    cr_assert_eq(manual.last_sm_time_ns, 3);
    cr_assert_eq(destination_tracker_on_sm(&tracker, 7, &moved, 4), &manual);
    cr_assert_null(destination_tracker_on_sm(&tracker, 8, &manual.address, 4));
    cr_assert_eq(destination_tracker_expire(&tracker, 100 * NS_PER_S), 0);
    cr_assert(destination_tracker_remove(&tracker, &manual));
    cr_assert_not(destination_tracker_remove(&tracker, &manual));
    destination_tracker_close(&tracker);
}

Test(destination, liveness_forgets_receivers_after_the_timeout) {
    struct receiver_liveness liveness;
    cr_assert_eq(receiver_liveness_init(&liveness), 0);
    receiver_liveness_touch(&liveness, 1, 100);
    receiver_liveness_touch(&liveness, 2, 200);
    receiver_liveness_touch(&liveness, 1, 300);
    receiver_liveness_expire(&liveness, 699, 500);
    cr_assert_eq(liveness.count, 2);
    receiver_liveness_expire(&liveness, 700, 500);
    cr_assert_eq(liveness.count, 1);
    cr_assert_not(receiver_liveness_remove(&liveness, 2));
    cr_assert(receiver_liveness_remove(&liveness, 1));
    receiver_liveness_expire(&liveness, 10000, 500);
    for (int64_t id = 0; id < RECEIVER_LIVENESS_MAX + 3; id++) {
        receiver_liveness_touch(&liveness, id, 1000 + id);
    }
    cr_assert_eq(liveness.count, RECEIVER_LIVENESS_MAX);
    cr_assert_not(receiver_liveness_remove(&liveness, 0), "the most silent made room");
    cr_assert(receiver_liveness_remove(&liveness, RECEIVER_LIVENESS_MAX + 2));
    receiver_liveness_expire(&liveness, 100000, 500);
    cr_assert_eq(liveness.count, 0);
    receiver_liveness_close(&liveness);
}

Test(destination, ports_of_a_range_are_given_once_and_rest_before_reuse) {
    static struct port_range range;
    port_range_init(&range, 28770, 28772);
    cr_assert_eq(port_range_take(&range), 28770);
    cr_assert_eq(port_range_take(&range), 28771);
    port_range_give_back(&range, 28770);
    cr_assert_eq(port_range_take(&range), 28772);
    cr_assert_eq(port_range_take(&range), 28770);
    cr_assert_eq(port_range_take(&range), 0);
    port_range_give_back(&range, 0);
    port_range_give_back(&range, 28771);
    cr_assert_eq(port_range_take(&range), 28771);
    port_range_init(&range, 0, 0);
    cr_assert(port_range_is_open(&range));
    port_range_init(&range, 65535, 65535);
    cr_assert_eq(port_range_take(&range), 65535);
    cr_assert_eq(port_range_take(&range), 0);
}
