/* When to report a gap of an image (media-driver.md 3.7): a pure core, owned by the conductor. */
#ifndef DRIVERD_LOSS_DETECTOR_H
#define DRIVERD_LOSS_DETECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "shm/term_gap.h"

/* The exponentially weighted back-off of a group, so that few of many receivers report a loss. */
struct nak_group_delay {
    double rand_max;
    double base_x;
    double constant_t;
    double factor_t;
};

void nak_group_delay_init(struct nak_group_delay *delay, int64_t backoff_max_ns,
                          int32_t group_size);
/* `unit` is uniform in [0, 1]. */
int64_t nak_group_delay_ns(const struct nak_group_delay *delay, double unit);

enum nak_mode { NAK_UNICAST, NAK_GROUP, NAK_NONE /* unreliable: gaps are filled */ };

struct loss_detector_params {
    enum nak_mode mode;
    int64_t first_delay_ns; /* unicast */
    int64_t retry_delay_ns;
    int64_t group_backoff_max_ns;
    int32_t group_size;
    const struct random *random;
};

struct loss_gap {
    int32_t term_id;
    int32_t offset;
    int32_t length;
};

#define LOSS_REPORTS_MAX 16

struct loss_detector {
    struct loss_detector_params params;
    struct nak_group_delay group_delay;
    bool is_active;
    struct loss_gap gap; /* the first one */
    int64_t expiry_ns;
    int32_t reported_offset; /* so far holes in the term of `gap` have been reported */
    bool is_ripening;        /* holes below ripe_offset that were not are due at ripe_ns */
    int32_t ripe_offset;
    int64_t ripe_ns;
    int report_count; /* what is due: `gap`, or holes behind it in its term, or both */
    struct loss_gap reports[LOSS_REPORTS_MAX];
};

void loss_detector_init(struct loss_detector *detector, const struct loss_detector_params *params);

struct loss_scan {
    const uint8_t *term;
    int32_t term_length; /* frame lengths in the term are not believed beyond it */
    int32_t term_id;
    int32_t rebuild_offset;
    int32_t limit_offset;
};

struct loss_result {
    int32_t contiguous_offset; /* where the walk over whole frames ended */
    bool is_new;               /* the gap differs from the one before: loss was found */
    bool is_due;               /* report detector->reports now */
};

struct loss_result loss_detector_scan(struct loss_detector *detector, const struct loss_scan *scan,
                                      int64_t now_ns);

#endif
