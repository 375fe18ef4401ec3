#include <criterion/criterion.h>

#include "base/clock.h"
#include "driverd/retransmit.h"

static struct retransmit make(bool is_group, int32_t slots, int64_t delay_ns) {
    struct retransmit_params params = {is_group, slots, delay_ns, 10 * NS_PER_MS};
    struct retransmit retransmit;
    cr_assert_eq(retransmit_init(&retransmit, &params), 0);
    return retransmit;
}

static enum retransmit_verdict nak(struct retransmit *retransmit, int32_t offset, int32_t length,
                                   int64_t now_ns) {
    struct retransmit_range range = {7, offset, length};
    return retransmit_on_nak(retransmit, &range, now_ns);
}

Test(retransmit, a_unicast_nak_is_served_once_per_linger_time) {
    struct retransmit retransmit = make(false, 16, 0);
    struct retransmit_range range;
    cr_assert_eq(nak(&retransmit, 0, 0, 0), RETRANSMIT_IGNORE);
    cr_assert_eq(nak(&retransmit, 0, 2816, 0), RETRANSMIT_NOW);
    cr_assert_eq(nak(&retransmit, 0, 2816, 1), RETRANSMIT_IGNORE);
    cr_assert_eq(nak(&retransmit, 1408, 1408, 1), RETRANSMIT_IGNORE);
    cr_assert_eq(nak(&retransmit, 2816, 1408, 2), RETRANSMIT_NOW, "the slot is taken over");
    cr_assert_not(retransmit_due(&retransmit, 10 * NS_PER_MS, &range));
    cr_assert_eq(nak(&retransmit, 2816, 1408, 10 * NS_PER_MS), RETRANSMIT_IGNORE);
    cr_assert_eq(nak(&retransmit, 2816, 1408, 10 * NS_PER_MS + 2), RETRANSMIT_NOW);
    cr_assert_not(retransmit_due(&retransmit, NS_PER_S, &range));
    cr_assert_eq(retransmit.active_count, 0);
    retransmit_close(&retransmit);
}

Test(retransmit, a_group_has_slots_and_overflows) {
    struct retransmit retransmit = make(true, 2, 0);
    cr_assert_eq(nak(&retransmit, 0, 1408, 0), RETRANSMIT_NOW);
    cr_assert_eq(nak(&retransmit, 2816, 1408, 0), RETRANSMIT_NOW);
    cr_assert_eq(nak(&retransmit, 5632, 1408, 0), RETRANSMIT_OVERFLOW);
    cr_assert_eq(nak(&retransmit, 0, 1408, 0), RETRANSMIT_IGNORE);
    struct retransmit_range other_term = {8, 0, 1408};
    cr_assert_eq(retransmit_on_nak(&retransmit, &other_term, 0), RETRANSMIT_OVERFLOW);
    cr_assert_eq(nak(&retransmit, 5632, 1408, 10 * NS_PER_MS), RETRANSMIT_NOW, "slots are free");
    retransmit_close(&retransmit);
}

Test(retransmit, a_delay_is_waited_and_then_lingers) {
    struct retransmit retransmit = make(true, 4, NS_PER_MS);
    struct retransmit_range range;
    cr_assert_eq(nak(&retransmit, 64, 1408, 0), RETRANSMIT_LATER);
    cr_assert_eq(nak(&retransmit, 64, 1408, 1), RETRANSMIT_IGNORE);
    cr_assert_not(retransmit_due(&retransmit, NS_PER_MS - 1, &range));
    cr_assert(retransmit_due(&retransmit, NS_PER_MS, &range));
    cr_assert_eq(range.term_id, 7);
    cr_assert_eq(range.term_offset, 64);
    cr_assert_eq(range.length, 1408);
    cr_assert_not(retransmit_due(&retransmit, NS_PER_MS, &range));
    cr_assert_eq(nak(&retransmit, 64, 1408, 2 * NS_PER_MS), RETRANSMIT_IGNORE);
    cr_assert_not(retransmit_due(&retransmit, 11 * NS_PER_MS, &range));
    cr_assert_eq(nak(&retransmit, 64, 1408, 11 * NS_PER_MS), RETRANSMIT_LATER);
    retransmit_close(&retransmit);
}

Test(retransmit, naks_outside_of_a_term_are_invalid) {
    static const struct {
        int32_t offset, length;
        bool valid;
    } rows[] = {
        {0, 0, true},
        {0, 1408, true},
        {65504, 32, true},
        {0, INT32_MAX, true},
        {65536, 32, false},
        {-32, 32, false},
        {0, -1, false},
        {33, 32, false},
        {65505, 1, false},
        {INT32_MIN, 64, false},
        {INT32_MAX - 31, 64, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_eq(retransmit_nak_is_valid(rows[i].offset, rows[i].length, 65536), rows[i].valid,
                     "row %zu", i);
    }
}
