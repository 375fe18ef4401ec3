/* A stream beside the cluster: a publisher at the first machine's driver and one or two subscribers,
 * with messages of one to several fragments. The seed draws the way from one to the other: to one
 * address, reliable or not, to several destinations that come by themselves, governed by all of them
 * or by a group with a tag, or to a spy and a receiver. */
#ifndef TERN_SIM_STREAM_H
#define TERN_SIM_STREAM_H

#include "sim/sim.h"

#define STREAM_STREAM_ID 7700

/* Adds the processes when the run has a stream. The machines exist. */
void stream_add(struct sim *sim);
void stream_destroy(struct stream *stream);
void stream_set_sending(struct stream *stream, bool is_sending);
/* A message that was published after `since_ns` has come to every subscriber; so it has without a
 * stream. */
bool stream_is_served(const struct stream *stream, int64_t since_ns);
/* All that the present publication took has come to every subscriber. */
bool stream_is_level(const struct stream *stream);
int64_t stream_received(const struct stream *stream);

#endif
