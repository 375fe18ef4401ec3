/* Streams beside the cluster: publishers and subscribers at the drivers of its machines, with
 * messages of one to several fragments. The seed draws the way from the ones to the others. There
 * may be two of them: the stream, a publisher with one or two subscribers, to one address, reliable
 * or not, to several destinations that come by themselves, governed by all of them or by a group
 * with a tag, or to a spy and a receiver; and the transport, which goes all other ways that a
 * driver knows (stream_ways.c). */
#ifndef TERN_SIM_STREAM_H
#define TERN_SIM_STREAM_H

#include "sim/sim.h"

#define STREAM_STREAM_ID 7700
#define TRANSPORT_STREAM_ID 7702

/* Adds the processes when the run has a stream. The machines exist. */
void stream_add(struct sim *sim);
/* ... a transport that is a stream. */
void stream_add_transport(struct sim *sim);
void stream_destroy(struct stream *stream);
void stream_set_sending(struct stream *stream, bool is_sending);
/* Whether its ends do as they are in the habit of doing. */
void stream_set_restless(struct stream *stream, bool is_restless);
/* A message of each publisher that was published after `since_ns` has come to every subscriber; so
 * it has without a stream. One that stalls by habit need not have it. */
bool stream_is_served(const struct stream *stream, int64_t since_ns);
/* The same; but one that stalls by habit may hold the others up for a while. */
bool stream_is_steady(const struct stream *stream, int64_t since_ns);
/* All that the present publications took has come to every subscriber. */
bool stream_is_level(const struct stream *stream);
int64_t stream_received(const struct stream *stream);

#endif
