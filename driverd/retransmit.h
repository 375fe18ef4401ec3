/* Which NAKs of one publication are answered, and when (media-driver.md 2.9). A pure core. */
#ifndef DRIVERD_RETRANSMIT_H
#define DRIVERD_RETRANSMIT_H

#include <stdbool.h>
#include <stdint.h>

#define RETRANSMIT_ACTIONS_MAX 256

enum retransmit_state { RETRANSMIT_FREE, RETRANSMIT_DELAYED, RETRANSMIT_LINGERING };

struct retransmit_range {
    int32_t term_id;
    int32_t term_offset;
    int32_t length;
};

struct retransmit_action {
    enum retransmit_state state;
    struct retransmit_range range;
    int64_t deadline_ns;
};

struct retransmit {
    struct retransmit_action *actions;
    int32_t capacity; /* 1 for a unicast channel, max-resend for a group */
    int32_t active_count;
    bool is_group;
    int64_t delay_ns;
    int64_t linger_ns;
};

enum retransmit_verdict {
    RETRANSMIT_IGNORE,   /* empty, or a range that is being taken care of */
    RETRANSMIT_NOW,      /* resend the range */
    RETRANSMIT_LATER,    /* retransmit_due will say when */
    RETRANSMIT_OVERFLOW, /* no free slot: dropped, to be counted */
};

struct retransmit_params {
    bool is_group;
    int32_t resend_count_max; /* slots of a group; 1..RETRANSMIT_ACTIONS_MAX */
    int64_t delay_ns;
    int64_t linger_ns;
};

/* 0 or -ENOMEM. */
int retransmit_init(struct retransmit *retransmit, const struct retransmit_params *params);
void retransmit_close(struct retransmit *retransmit);

/* A valid NAK whose length was cut to what may be resent (flow_control_retransmit_length). */
enum retransmit_verdict retransmit_on_nak(struct retransmit *retransmit,
                                          const struct retransmit_range *range, int64_t now_ns);

/* Take one range whose delay has passed; false when there is none. Ends lingering slots. */
bool retransmit_due(struct retransmit *retransmit, int64_t now_ns, struct retransmit_range *range);

/* 2.9 step 2: offset and length that a term can have. */
bool retransmit_nak_is_valid(int32_t term_offset, int32_t length, int32_t term_length);

#endif
