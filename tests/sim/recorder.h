/* Recordings beside the cluster: a client that has a node's archive record what it publishes, with
 * the archive killed, restarted and refused its disk as the run will have it. It is on the node
 * itself, by shared memory, or on the client machine, by the network, as the seed has it.
 *
 * Round for round it makes a recording or extends one, publishes, asks how far it was recorded,
 * ends it in one way or another, and has it replayed; once in a while it purges the oldest. After
 * whatever loss of the archive, the driver or itself it begins by comparing the list of recordings
 * with what it was told (check_replay.h). */
#ifndef TERN_SIM_RECORDER_H
#define TERN_SIM_RECORDER_H

#include "sim/sim.h"

#define RECORDER_STREAM_ID 7800
#define RECORDER_REPLAY_STREAM_ID 7801

/* Adds the process when the run has recordings. The machines exist. */
void recorder_add(struct sim *sim);
void recorder_destroy(struct recorder *recorder);
/* Without sending all there is gets replayed, then nothing happens any more. */
void recorder_set_sending(struct recorder *recorder, bool is_sending);
/* Nothing new is begun: a recording under way goes on. */
void recorder_set_calm(struct recorder *recorder, bool is_calm);
void recorder_on_disk_lost(struct recorder *recorder, const struct machine *machine);

/* These are true without recordings. A round that began after `since_ns` is over: */
bool recorder_is_served(const struct recorder *recorder, int64_t since_ns);
bool recorder_is_calm(const struct recorder *recorder);
/* Everything was replayed since sending ended. */
bool recorder_is_level(const struct recorder *recorder);
int64_t recorder_replayed(const struct recorder *recorder); /* bytes */

#endif
