/* Loss detection of one image: remember the first gap, wait a while, report it again and again
 * until it closes (media-driver.md 3.7). Pure: time and random numbers are parameters.
 *
 * Only the first gap is active at a time. A gap whose start or length changed counts as a new one:
 * its delay starts anew, which is what lets reordered datagrams close a gap without any NAK.
 *
 * Holes behind it in its term are reported as well, each once and after its own delay: one round
 * trip mends them all, where the original takes one for each. Only the first is repeated: senders
 * remember a single range that they have just resent, and would resend all of them each time.
 */
#include "driverd/loss_detector.h"

#include <assert.h>
#include <math.h>

#include "base/bits.h"

void nak_group_delay_init(struct nak_group_delay *delay, int64_t backoff_max_ns,
                          int32_t group_size) {
    assert(backoff_max_ns > 0);
    assert(group_size >= 1);
    double backoff = (double)backoff_max_ns;
    double lambda = log((double)group_size) + 1.0;
    delay->rand_max = lambda / backoff;
    delay->base_x = lambda / (backoff * (exp(lambda) - 1.0));
    delay->constant_t = backoff / lambda;
    delay->factor_t = (exp(lambda) - 1.0) * (backoff / lambda);
}

int64_t nak_group_delay_ns(const struct nak_group_delay *delay, double unit) {
    double x = unit * delay->rand_max + delay->base_x;
    return (int64_t)floor(delay->constant_t * log(x * delay->factor_t));
}

void loss_detector_init(struct loss_detector *detector, const struct loss_detector_params *params) {
    *detector = (struct loss_detector){.params = *params};
    if (params->mode == NAK_GROUP) {
        assert(params->random != NULL);
        nak_group_delay_init(&detector->group_delay, params->group_backoff_max_ns,
                             params->group_size);
    }
}

static int64_t delay_ns(const struct loss_detector *detector, bool is_first) {
    switch (detector->params.mode) {
    case NAK_UNICAST:
        return is_first ? detector->params.first_delay_ns : detector->params.retry_delay_ns;
    case NAK_GROUP:
        return nak_group_delay_ns(&detector->group_delay, random_unit(detector->params.random));
    case NAK_NONE:
        break;
    }
    return 0;
}

static bool is_same(const struct loss_gap *gap, int32_t term_id, const struct term_gap *found) {
    return gap->term_id == term_id && gap->offset == found->offset && gap->length == found->length;
}

static int32_t end_of(const struct loss_gap *gap) {
    return gap->offset + gap->length;
}

/* Holes have their delay, too, from when something behind them came. */
static void start_ripening(struct loss_detector *detector, const struct loss_scan *scan,
                           int64_t due_ns) {
    detector->is_ripening = detector->params.mode != NAK_NONE;
    detector->ripe_offset = scan->limit_offset;
    detector->ripe_ns = due_ns;
}

/* The first gap is another one. When it has been reported behind the one before, it waits for its
 * repetition. */
static void follow(struct loss_detector *detector, const struct loss_scan *scan,
                   const struct term_gap *found, int64_t now_ns) {
    const struct loss_gap *gap = &detector->gap;
    bool is_in_term = detector->is_active && gap->term_id == scan->term_id;
    bool is_reported = is_in_term && found->offset >= end_of(gap) &&
                       found->offset + found->length <= detector->reported_offset;
    if (!is_reported) {
        detector->expiry_ns = now_ns + delay_ns(detector, true);
    }
    if (!is_in_term) {
        detector->reported_offset = 0;
        start_ripening(detector, scan, detector->expiry_ns);
    }
    detector->is_active = true;
    detector->gap = (struct loss_gap){scan->term_id, found->offset, found->length};
}

static void add_report(struct loss_detector *detector, const struct loss_gap *gap) {
    detector->reports[detector->report_count++] = *gap;
    detector->reported_offset = max_i32(detector->reported_offset, end_of(gap));
}

static void add_ripe_holes(struct loss_detector *detector, const struct loss_scan *scan) {
    int32_t limit_offset = min_i32(detector->ripe_offset, scan->limit_offset);
    int32_t offset = max_i32(detector->reported_offset, end_of(&detector->gap));
    while (detector->report_count < LOSS_REPORTS_MAX && offset < limit_offset) {
        struct term_gap found;
        (void)term_gap_scan(scan->term, scan->term_length, offset, limit_offset, &found);
        if (found.length == 0) {
            break;
        }
        add_report(detector, &(struct loss_gap){scan->term_id, found.offset, found.length});
        offset = found.offset + found.length;
    }
    /* Those that found no room have waited long enough, but the receiver must take these first. */
    detector->is_ripening = detector->report_count == LOSS_REPORTS_MAX;
    detector->ripe_ns += detector->params.first_delay_ns;
}

struct loss_result loss_detector_scan(struct loss_detector *detector, const struct loss_scan *scan,
                                      int64_t now_ns) {
    assert(scan->rebuild_offset <= scan->limit_offset);
    struct loss_result result = {.contiguous_offset = scan->rebuild_offset};
    struct term_gap found;
    result.contiguous_offset = term_gap_scan(scan->term, scan->term_length, scan->rebuild_offset,
                                             scan->limit_offset, &found);
    if (found.length == 0) {
        detector->is_active = false;
        return result;
    }
    if (!detector->is_active || !is_same(&detector->gap, scan->term_id, &found)) {
        follow(detector, scan, &found, now_ns);
        result.is_new = true;
    }
    if (!detector->is_ripening && scan->limit_offset > detector->ripe_offset) {
        start_ripening(detector, scan, now_ns + delay_ns(detector, true));
    }
    detector->report_count = 0;
    if (now_ns >= detector->expiry_ns) {
        add_report(detector, &detector->gap);
        detector->expiry_ns = now_ns + delay_ns(detector, false);
    }
    if (detector->is_ripening && now_ns >= detector->ripe_ns) {
        add_ripe_holes(detector, scan);
    }
    result.is_due = detector->report_count > 0;
    return result;
}
