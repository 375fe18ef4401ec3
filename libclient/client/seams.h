/* What daemons and the simulator need of a client beyond its public headers: the seams of io.h, a
 * step at a given time, the succession of a dead daemon. Not installed. */
#ifndef TERN_CLIENT_SEAMS_H
#define TERN_CLIENT_SEAMS_H

#include <tern/client.h>

#include "base/clock.h"
#include "base/random.h"
#include "shm/mark_file.h"

/* Replace the operating system's clock and random source; borrowed until tern_client_close. The
 * clock serves heartbeats (epoch) and time-outs (monotonic). */
void tern_context_set_clock(tern_context *context, const struct clock *clock);
void tern_context_set_random(tern_context *context, const struct random *random);

/* The time of the client's clock, for what waits on behalf of it. */
int64_t tern_client_now_ns(const tern_client *client);

/* tern_client_do_work for an agent that already knows the time: `now_ns` is of the same clock. */
int tern_client_do_work_at(tern_client *client, int64_t now_ns);

/* A daemon takes the place of one that ended, and that its mark file proves dead: tell the driver
 * that the client of that one is gone, if it is this driver's, so that its counters, publications
 * and reader positions need not last until their time-out. Then leave the own client's id. */
void tern_client_succeed(tern_client *client, struct mark_file *mark);

#endif
