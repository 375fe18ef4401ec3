#include <criterion/criterion.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "driverd/congestion.h"

#define MTU 1408
#define WINDOW 131072
#define TERM (1 << 20)
#define RTT_NS (100 * NS_PER_US)

static struct congestion make_cubic(int32_t window_bytes, bool is_tcp_mode) {
    struct congestion_params params = {.strategy = CONGESTION_CUBIC,
                                       .window_bytes = window_bytes,
                                       .term_length = TERM,
                                       .mtu_length = MTU,
                                       .initial_rtt_ns = RTT_NS,
                                       .is_tcp_mode = is_tcp_mode};
    struct congestion cubic;
    congestion_init(&cubic, &params, 0);
    return cubic;
}

static bool look(struct congestion *cubic, bool is_loss_found, int64_t now_ns) {
    struct congestion_event event = {.is_loss_found = is_loss_found, .rtt_ns = RTT_NS};
    return congestion_on_rebuild(cubic, &event, now_ns);
}

Test(congestion, names_are_known_or_refused) {
    enum congestion_strategy strategy = CONGESTION_STATIC;
    struct tern_error error;
    cr_assert_eq(congestion_parse("cubic", &strategy, &error), 0);
    cr_assert_eq(strategy, CONGESTION_CUBIC);
    cr_assert_eq(congestion_parse(NULL, &strategy, &error), 0);
    cr_assert_eq(strategy, CONGESTION_CUBIC, "absent: as it was");
    cr_assert_eq(congestion_parse("static", &strategy, &error), 0);
    cr_assert_eq(strategy, CONGESTION_STATIC);
    static const char *const bad[] = {"", "cubicle", "stat", "warp"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cr_assert_lt(congestion_parse(bad[i], &strategy, &error), 0, "%s", bad[i]);
        cr_assert_not_null(strstr(error.text, "cc"), "%s", error.text);
    }
}

Test(congestion, static_offers_at_most_half_a_term_and_never_changes) {
    static const struct {
        int32_t window, term, offered;
    } rows[] = {{131072, 65536, 32768}, {16384, 65536, 16384}, {131072, 1 << 20, 131072}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct congestion_params params = {
            .window_bytes = rows[i].window, .term_length = rows[i].term, .mtu_length = MTU};
        struct congestion fixed;
        congestion_init(&fixed, &params, 0);
        cr_assert_eq(congestion_window(&fixed), rows[i].offered);
        cr_assert_eq(fixed.window_max_bytes, rows[i].offered);
        cr_assert_not(look(&fixed, true, NS_PER_S), "a loss is no reason to hurry");
        cr_assert_eq(congestion_window(&fixed), rows[i].offered);
        cr_assert(congestion_is_settled(&fixed));
    }
}

/* media-driver.md 9.7 */
Test(congestion, cubic_starts_with_ten_packets) {
    struct congestion cubic = make_cubic(WINDOW, false);
    cr_assert_eq(cubic.packets_max, 93);
    cr_assert_eq(congestion_window(&cubic), 14080);
    cr_assert_eq(cubic.packets_at_loss, 93);
    cr_assert_float_eq(cubic.seconds_to_regain, 3.5959831740739046, 1e-12);
    cubic = make_cubic(8192, false);
    cr_assert_eq(congestion_window(&cubic), 5 * MTU, "no more than the window in whole packets");
}

Test(congestion, cubic_falls_to_four_fifths_with_a_loss) {
    struct congestion cubic = make_cubic(WINDOW, false);
    cr_assert(look(&cubic, true, NS_PER_S), "at once");
    cr_assert_eq(cubic.packets, 8);
    cr_assert_eq(cubic.packets_at_loss, 10);
    cr_assert_float_eq(cubic.seconds_to_regain, 1.7099759466766968, 1e-12);
    cubic.packets = 93;
    cr_assert(look(&cubic, true, NS_PER_S));
    cr_assert_eq(congestion_window(&cubic), 104192);
    cr_assert_float_eq(cubic.seconds_to_regain, 3.5959831740739046, 1e-12);
    for (int i = 0; i < 100; i++) {
        (void)look(&cubic, true, NS_PER_S);
    }
    cr_assert_eq(cubic.packets, 1, "never below one packet");
}

Test(congestion, cubic_follows_its_curve_after_a_loss) {
    static const struct {
        int64_t ms;
        int32_t packets;
    } rows[] = {{0, 75}, {500, 82}, {1000, 87}, {1500, 90}, {2000, 92}, {2500, 93}, {86400000, 93}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct congestion cubic = make_cubic(WINDOW, false);
        cubic.packets = 93;
        (void)look(&cubic, true, NS_PER_S);
        cubic.last_update_ns = INT64_C(-1000000000); /* whatever the interval */
        cr_assert_not(look(&cubic, false, NS_PER_S + rows[i].ms * NS_PER_MS));
        cr_assert_eq(cubic.packets, rows[i].packets, "after %lld ms: %d", (long long)rows[i].ms,
                     cubic.packets);
    }
}

Test(congestion, cubic_looks_at_its_curve_once_per_round_trip) {
    struct congestion cubic = make_cubic(WINDOW, false);
    (void)look(&cubic, false, RTT_NS);
    cr_assert_eq(cubic.packets, 10);
    cr_assert_not(congestion_is_settled(&cubic));
    (void)look(&cubic, false, RTT_NS + 1);
    cr_assert_eq(cubic.packets, 75);
    (void)look(&cubic, false, 10 * NS_PER_S);
    cr_assert_eq(cubic.packets, 93);
    cr_assert(congestion_is_settled(&cubic));
}

Test(congestion, cubic_keeps_up_with_tcp_when_told) {
    struct congestion cubic = make_cubic(WINDOW, true);
    struct congestion_event event = {.rtt_ns = NS_PER_MS};
    (void)congestion_on_rebuild(&cubic, &event, 10 * NS_PER_MS);
    cr_assert_eq(cubic.packets, 77);
    event.rtt_ns = 0; /* not measurable: nothing is divided by it, nothing overflows */
    (void)congestion_on_rebuild(&cubic, &event, 20 * NS_PER_MS);
    cr_assert_eq(cubic.packets, 93);
}

Test(congestion, cubic_with_one_packet_says_what_was_consumed) {
    struct congestion cubic = make_cubic(MTU, false);
    struct congestion_event event = {.consumed = 1408, .last_sm_position = 1408};
    cr_assert_eq(cubic.packets_max, 1);
    cr_assert_not(congestion_on_rebuild(&cubic, &event, NS_PER_S));
    event.consumed = 1440;
    cr_assert(congestion_on_rebuild(&cubic, &event, NS_PER_S));
    cubic = make_cubic(2 * MTU, false);
    cr_assert_not(congestion_on_rebuild(&cubic, &event, 1));
}

Test(congestion, a_packet_larger_than_half_a_term_leaves_a_window) {
    struct congestion_params params = {.strategy = CONGESTION_CUBIC,
                                       .window_bytes = WINDOW,
                                       .term_length = 65536,
                                       .mtu_length = 65504,
                                       .initial_rtt_ns = RTT_NS};
    struct congestion cubic;
    congestion_init(&cubic, &params, 0);
    cr_assert_eq(congestion_window(&cubic), 32768);
}

/* media-driver.md 9.7, last line */
Test(congestion, round_trips_are_asked_for_at_four_times_their_length) {
    struct congestion_rtt rtt;
    congestion_rtt_init(&rtt, true, RTT_NS);
    cr_assert_eq(rtt.rtt_ns, RTT_NS);
    cr_assert(congestion_rtt_is_due(&rtt, 0), "the first at once");
    cr_assert_not(congestion_rtt_is_due(&rtt, 400 * NS_PER_US), "without an answer not at once");
    cr_assert(congestion_rtt_is_due(&rtt, 400 * NS_PER_US + 1));
    int64_t now_ns = NS_PER_MS;
    cr_assert(congestion_rtt_on_reply(&rtt, now_ns - 150 * NS_PER_US, 0, now_ns));
    cr_assert_eq(rtt.rtt_ns, 150 * NS_PER_US);
    cr_assert_not(congestion_rtt_is_due(&rtt, now_ns + 600 * NS_PER_US));
    cr_assert(congestion_rtt_is_due(&rtt, now_ns + 600 * NS_PER_US + 1));
    now_ns = 2 * NS_PER_MS;
    cr_assert(congestion_rtt_on_reply(&rtt, now_ns - 60 * NS_PER_US, 10 * NS_PER_US, now_ns));
    cr_assert_eq(rtt.rtt_ns, 50 * NS_PER_US, "less what the other side held it");
    cr_assert_not(congestion_rtt_is_due(&rtt, now_ns + 400 * NS_PER_US));
    cr_assert(congestion_rtt_is_due(&rtt, now_ns + 400 * NS_PER_US + 1));
}

Test(congestion, answers_that_cannot_be_are_ignored) {
    static const int64_t now_ns = 100 * NS_PER_S;
    static const struct {
        int64_t echo_ns, delta_ns;
    } rows[] = {
        {100 * NS_PER_S + 1, 0},   {INT64_MIN, 0},
        {INT64_MAX, INT64_MIN},    {90 * NS_PER_S - 1, 0},
        {100 * NS_PER_S - 10, 11}, {100 * NS_PER_S - 10, -1},
    };
    struct congestion_rtt rtt;
    congestion_rtt_init(&rtt, true, RTT_NS);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        cr_assert_not(congestion_rtt_on_reply(&rtt, rows[i].echo_ns, rows[i].delta_ns, now_ns),
                      "row %zu", i);
        cr_assert_eq(rtt.rtt_ns, RTT_NS, "row %zu", i);
    }
    congestion_rtt_init(&rtt, false, RTT_NS);
    cr_assert_not(congestion_rtt_on_reply(&rtt, now_ns - 10, 0, now_ns), "nobody asked");
    cr_assert_not(congestion_rtt_is_due(&rtt, now_ns));
}
