/* Retransmit actions of a publication (media-driver.md 2.9). Pure: the sender does the sending.
 *
 *   FREE --nak--> LINGERING (resent at once) --linger time--> FREE
 *   FREE --nak, delay configured--> DELAYED --delay--> LINGERING
 *
 * While a range is delayed or lingers, NAKs that start inside it are ignored: every receiver of a
 * group reports the same loss, and one resend serves them all. A unicast publication has a single
 * slot, which a NAK for another range takes over at once.
 */
#include "driverd/retransmit.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "shm/log_buffer.h"

int retransmit_init(struct retransmit *retransmit, const struct retransmit_params *params) {
    assert(params->delay_ns >= 0);
    assert(params->linger_ns >= 0);
    int32_t capacity = params->is_group ? params->resend_count_max : 1;
    assert(capacity >= 1 && capacity <= RETRANSMIT_ACTIONS_MAX);
    *retransmit = (struct retransmit){
        .actions = calloc((size_t)capacity, sizeof(struct retransmit_action)),
        .capacity = capacity,
        .is_group = params->is_group,
        .delay_ns = params->delay_ns,
        .linger_ns = params->linger_ns,
    };
    return retransmit->actions == NULL ? -ENOMEM : 0;
}

void retransmit_close(struct retransmit *retransmit) {
    free(retransmit->actions);
    *retransmit = (struct retransmit){0};
}

bool retransmit_nak_is_valid(int32_t term_offset, int32_t length, int32_t term_length) {
    return term_offset >= 0 && term_offset <= term_length - LOG_FRAME_HEADER_LENGTH &&
           term_offset % LOG_FRAME_ALIGNMENT == 0 && length >= 0;
}

static bool covers(const struct retransmit_action *action, const struct retransmit_range *range) {
    int64_t end = (int64_t)action->range.term_offset + action->range.length;
    return action->state != RETRANSMIT_FREE && action->range.term_id == range->term_id &&
           range->term_offset >= action->range.term_offset && range->term_offset < end;
}

static void set_state(struct retransmit *retransmit, struct retransmit_action *action,
                      enum retransmit_state next, int64_t deadline_ns) {
    assert(next != RETRANSMIT_DELAYED || action->state != RETRANSMIT_DELAYED ||
           !retransmit->is_group);
    retransmit->active_count += (next != RETRANSMIT_FREE) - (action->state != RETRANSMIT_FREE);
    action->state = next;
    action->deadline_ns = deadline_ns;
    assert(retransmit->active_count >= 0 && retransmit->active_count <= retransmit->capacity);
}

enum retransmit_verdict retransmit_on_nak(struct retransmit *retransmit,
                                          const struct retransmit_range *range, int64_t now_ns) {
    if (range->length == 0) {
        return RETRANSMIT_IGNORE;
    }
    struct retransmit_action *free_action = NULL;
    for (int32_t i = 0; i < retransmit->capacity; i++) {
        struct retransmit_action *action = &retransmit->actions[i];
        if (action->state == RETRANSMIT_LINGERING && action->deadline_ns <= now_ns) {
            set_state(retransmit, action, RETRANSMIT_FREE, 0);
        }
        if (covers(action, range)) {
            return RETRANSMIT_IGNORE;
        }
        if (free_action == NULL && action->state == RETRANSMIT_FREE) {
            free_action = action;
        }
    }
    if (free_action == NULL) {
        if (retransmit->is_group) {
            return RETRANSMIT_OVERFLOW;
        }
        free_action = &retransmit->actions[0];
    }
    free_action->range = *range;
    if (retransmit->delay_ns > 0) {
        set_state(retransmit, free_action, RETRANSMIT_DELAYED, now_ns + retransmit->delay_ns);
        return RETRANSMIT_LATER;
    }
    set_state(retransmit, free_action, RETRANSMIT_LINGERING, now_ns + retransmit->linger_ns);
    return RETRANSMIT_NOW;
}

bool retransmit_due(struct retransmit *retransmit, int64_t now_ns, struct retransmit_range *range) {
    for (int32_t i = 0; retransmit->active_count > 0 && i < retransmit->capacity; i++) {
        struct retransmit_action *action = &retransmit->actions[i];
        if (action->state == RETRANSMIT_FREE || action->deadline_ns > now_ns) {
            continue;
        }
        if (action->state == RETRANSMIT_LINGERING) {
            set_state(retransmit, action, RETRANSMIT_FREE, 0);
            continue;
        }
        set_state(retransmit, action, RETRANSMIT_LINGERING, now_ns + retransmit->linger_ns);
        *range = action->range;
        return true;
    }
    return false;
}
