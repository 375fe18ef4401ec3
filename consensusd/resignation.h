/* The last half second of a leader that is stopped: it closes its log, whose end-of-stream has the
 * followers elect at once instead of letting the heartbeat time-out run, and stays until they are
 * seen to do so. The driver sends the end of a stream with its next heartbeat, so a leader that
 * went at once, and took its driver along, would take the news along, too.
 *
 * The module's duty cycle does not run any more; its main function steps this one.
 */
#ifndef TERN_CONSENSUSD_RESIGNATION_H
#define TERN_CONSENSUSD_RESIGNATION_H

#include "consensusd/consensus.h"

/* False when there is nothing to hand over. */
bool resignation_begin(struct consensus *consensus);
/* False when it is over: every follower that can be reached knows, or the time is up. */
bool resignation_step(struct consensus *consensus, int64_t now_ns);
/* What members say meanwhile. */
void resignation_on_message(struct consensus *consensus, const uint8_t *buffer, int32_t length);

#endif
