#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "driverd/loss_detector.h"

#define TERM_LENGTH 65536

static uint8_t *make_term(void) {
    uint8_t *term = aligned_alloc(64, TERM_LENGTH);
    memset(term, 0, TERM_LENGTH);
    return term;
}

static void put_frame(uint8_t *term, int32_t offset, int32_t length) {
    memcpy(term + offset, &length, sizeof length);
}

/* media-driver.md 9.6 */
Test(loss_detector, group_delays_are_those_of_the_specification) {
    static const struct {
        double unit;
        int32_t group_size;
        int64_t backoff_ns, expected_ns;
    } rows[] = {
        {0, 10, 10 * NS_PER_MS, 0},
        {0.1, 10, 10 * NS_PER_MS, 3893917},
        {0.25, 10, 10 * NS_PER_MS, 6119383},
        {0.5, 10, 10 * NS_PER_MS, 8010589},
        {0.75, 10, 10 * NS_PER_MS, 9165823},
        {0.9, 10, 10 * NS_PER_MS, 9693327},
        {0.999999, 10, 10 * NS_PER_MS, 9999997},
        {0, 1, 10 * NS_PER_MS, 0},
        {0.1, 1, 10 * NS_PER_MS, 1585650},
        {0.5, 1, 10 * NS_PER_MS, 6201145},
        {0.9, 1, 10 * NS_PER_MS, 9347016},
        {0.1, 100, 10 * NS_PER_MS, 5950145},
        {0.5, 100, 10 * NS_PER_MS, 8769930},
        {0.9, 100, 10 * NS_PER_MS, 9812758},
        {0.1, 10, 60 * NS_PER_MS, 23363503},
        {0.5, 10, 60 * NS_PER_MS, 48063536},
        {0.9, 10, 60 * NS_PER_MS, 58159963},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct nak_group_delay delay;
        nak_group_delay_init(&delay, rows[i].backoff_ns, rows[i].group_size);
        int64_t got = nak_group_delay_ns(&delay, rows[i].unit);
        cr_assert(llabs(got - rows[i].expected_ns) <= 1, "row %zu: %lld", i, (long long)got);
    }
    struct nak_group_delay delay;
    nak_group_delay_init(&delay, 10 * NS_PER_MS, 10);
    cr_assert_float_eq(delay.rand_max, 3.302585092994046e-07, 1e-20);
    cr_assert_float_eq(delay.base_x, 1.2613558468370601e-08, 1e-20);
    cr_assert_float_eq(delay.constant_t, 3027931.0656411387, 1e-6);
    cr_assert_float_eq(delay.factor_t, 79279768.86994827, 1e-4);
}

static struct loss_result scan(struct loss_detector *detector, const uint8_t *term, int32_t from,
                               int32_t limit, int64_t now_ns) {
    struct loss_scan request = {term, TERM_LENGTH, 5, from, limit};
    return loss_detector_scan(detector, &request, now_ns);
}

Test(loss_detector, a_gap_is_reported_after_its_delay_and_again_until_it_closes) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {
        .mode = NAK_UNICAST, .first_delay_ns = 1000, .retry_delay_ns = 100000};
    loss_detector_init(&detector, &params);
    put_frame(term, 0, 1024);
    put_frame(term, 4096, 1024);
    struct loss_result result = scan(&detector, term, 0, 5120, 0);
    cr_assert(result.is_new && !result.is_due);
    cr_assert_eq(result.contiguous_offset, 1024);
    result = scan(&detector, term, 1024, 5120, 999);
    cr_assert(!result.is_new && !result.is_due);
    result = scan(&detector, term, 1024, 5120, 1000);
    cr_assert(!result.is_new && result.is_due);
    cr_assert_eq(detector.gap.term_id, 5);
    cr_assert_eq(detector.gap.offset, 1024);
    cr_assert_eq(detector.gap.length, 3072);
    cr_assert_not(scan(&detector, term, 1024, 5120, 100999).is_due);
    cr_assert(scan(&detector, term, 1024, 5120, 101000).is_due);
    put_frame(term, 1024, 1000); /* part of it comes: another gap, with its own first delay */
    result = scan(&detector, term, 1024, 5120, 102000);
    cr_assert(result.is_new && !result.is_due);
    cr_assert_eq(result.contiguous_offset, 2048);
    cr_assert_eq(detector.gap.length, 2048);
    put_frame(term, 2048, 2048);
    result = scan(&detector, term, 2048, 5120, 103000);
    cr_assert(!result.is_new && !result.is_due && !detector.is_active);
    cr_assert_eq(result.contiguous_offset, 5120);
    free(term);
}

Test(loss_detector, unreliable_gaps_are_due_at_once_and_group_gaps_within_the_backoff) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {.mode = NAK_NONE};
    loss_detector_init(&detector, &params);
    put_frame(term, 64, 64);
    struct loss_result result = scan(&detector, term, 0, 128, 0);
    cr_assert(result.is_new && result.is_due);
    cr_assert_eq(detector.gap.length, 64);

    params = (struct loss_detector_params){.mode = NAK_GROUP,
                                           .group_backoff_max_ns = 10 * NS_PER_MS,
                                           .group_size = 10,
                                           .random = random_system()};
    loss_detector_init(&detector, &params);
    (void)scan(&detector, term, 0, 128, 0);
    cr_assert(detector.expiry_ns >= 0 && detector.expiry_ns <= 10 * NS_PER_MS);
    cr_assert(scan(&detector, term, 0, 128, 10 * NS_PER_MS).is_due);
    free(term);
}

static void expect_report(const struct loss_detector *detector, int index, int32_t offset,
                          int32_t length) {
    cr_assert_lt(index, detector->report_count);
    cr_assert_eq(detector->reports[index].term_id, 5);
    cr_assert_eq(detector->reports[index].offset, offset, "report %d", index);
    cr_assert_eq(detector->reports[index].length, length, "report %d", index);
}

Test(loss_detector, holes_behind_the_first_are_reported_once_and_after_their_delay) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {
        .mode = NAK_UNICAST, .first_delay_ns = 1000, .retry_delay_ns = 100000};
    loss_detector_init(&detector, &params);
    put_frame(term, 1024, 1024);
    put_frame(term, 3072, 1024);
    cr_assert_not(scan(&detector, term, 0, 4096, 0).is_due);
    put_frame(term, 6144, 1024); /* the hole before it is younger */
    cr_assert(scan(&detector, term, 0, 7168, 1000).is_due);
    cr_assert_eq(detector.report_count, 2);
    expect_report(&detector, 0, 0, 1024);
    expect_report(&detector, 1, 2048, 1024);
    cr_assert_not(scan(&detector, term, 0, 7168, 1500).is_due);
    cr_assert_not(scan(&detector, term, 0, 7168, 2499).is_due);
    cr_assert(scan(&detector, term, 0, 7168, 2500).is_due);
    cr_assert_eq(detector.report_count, 1);
    expect_report(&detector, 0, 4096, 2048);
    cr_assert_not(scan(&detector, term, 0, 7168, 100999).is_due);
    cr_assert(scan(&detector, term, 0, 7168, 101000).is_due);
    cr_assert_eq(detector.report_count, 1);
    expect_report(&detector, 0, 0, 1024);

    /* The first is closed: the next has been reported, and waits for its repetition. */
    put_frame(term, 0, 1024);
    struct loss_result result = scan(&detector, term, 0, 7168, 150000);
    cr_assert(result.is_new && !result.is_due);
    cr_assert_eq(detector.gap.offset, 2048);
    cr_assert_not(scan(&detector, term, 2048, 7168, 200999).is_due);
    cr_assert(scan(&detector, term, 2048, 7168, 201000).is_due);
    cr_assert_eq(detector.report_count, 1);
    expect_report(&detector, 0, 2048, 1024);

    /* What was never reported has its first delay. */
    put_frame(term, 2048, 1024);
    put_frame(term, 4096, 2048);
    put_frame(term, 8192, 1024);
    cr_assert_not(scan(&detector, term, 4096, 9216, 210000).is_due);
    cr_assert(scan(&detector, term, 7168, 9216, 211000).is_due);
    cr_assert_eq(detector.report_count, 1);
    expect_report(&detector, 0, 7168, 1024);
    free(term);
}

Test(loss_detector, a_report_has_a_limit_and_fills_of_unreliable_streams_go_one_by_one) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {.mode = NAK_UNICAST};
    loss_detector_init(&detector, &params);
    int32_t limit = 2 * (LOSS_REPORTS_MAX + 4) * 64;
    for (int32_t offset = 64; offset < limit; offset += 128) {
        put_frame(term, offset, 64);
    }
    cr_assert(scan(&detector, term, 0, limit, 0).is_due);
    cr_assert_eq(detector.report_count, LOSS_REPORTS_MAX);
    expect_report(&detector, LOSS_REPORTS_MAX - 1, (LOSS_REPORTS_MAX - 1) * 128, 64);
    params.retry_delay_ns = detector.params.retry_delay_ns = NS_PER_S;
    detector.expiry_ns = NS_PER_S;
    cr_assert(scan(&detector, term, 0, limit, 1).is_due);
    cr_assert_eq(detector.report_count, 4);
    expect_report(&detector, 0, LOSS_REPORTS_MAX * 128, 64);
    cr_assert_not(scan(&detector, term, 0, limit, 2).is_due);
    params.mode = NAK_NONE;
    loss_detector_init(&detector, &params);
    cr_assert(scan(&detector, term, 0, limit, 0).is_due);
    cr_assert_eq(detector.report_count, 1);
    expect_report(&detector, 0, 0, 64);
    free(term);
}

Test(loss_detector, a_report_of_one_term_says_nothing_about_the_next) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {
        .mode = NAK_UNICAST, .first_delay_ns = 1000, .retry_delay_ns = 100000};
    loss_detector_init(&detector, &params);
    put_frame(term, 4096, 1024);
    (void)scan(&detector, term, 0, 5120, 0);
    cr_assert(scan(&detector, term, 0, 5120, 1000).is_due);
    struct loss_scan next = {term, TERM_LENGTH, 6, 1024, 5120};
    cr_assert_not(loss_detector_scan(&detector, &next, 2000).is_due);
    cr_assert(loss_detector_scan(&detector, &next, 3000).is_due);
    free(term);
}

Test(loss_detector, a_lost_tail_ends_at_the_limit) {
    uint8_t *term = make_term();
    struct loss_detector detector;
    struct loss_detector_params params = {.mode = NAK_UNICAST};
    loss_detector_init(&detector, &params);
    struct loss_result result = scan(&detector, term, TERM_LENGTH - 2048, TERM_LENGTH, 0);
    cr_assert(result.is_due);
    cr_assert_eq(detector.gap.offset, TERM_LENGTH - 2048);
    cr_assert_eq(detector.gap.length, 2048);
    result = scan(&detector, term, 0, 0, 0);
    cr_assert(!result.is_due && !detector.is_active);
    free(term);
}
