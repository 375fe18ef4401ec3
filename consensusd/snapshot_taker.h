/* Taking the consensus module's snapshot (cluster.md 3.13). */
#ifndef TERN_CONSENSUSD_SNAPSHOT_TAKER_H
#define TERN_CONSENSUSD_SNAPSHOT_TAKER_H

#include "base/message_list.h"
#include "consensusd/archive_link.h"
#include "consensusd/consensus_conf.h"

struct consensus;

enum snapshot_taker_state {
    SNAPSHOT_TAKER_IDLE,
    SNAPSHOT_TAKER_AWAIT_SERVICES,
    SNAPSHOT_TAKER_PUBLISH,
    SNAPSHOT_TAKER_RECORD,
    SNAPSHOT_TAKER_AWAIT_ANSWER,
    SNAPSHOT_TAKER_AWAIT_COUNTER,
    SNAPSHOT_TAKER_WRITE,
    SNAPSHOT_TAKER_FLUSH,
};

/* Owned by the consensus module. */
struct snapshot_taker {
    enum snapshot_taker_state state;
    int64_t log_position;
    int64_t started_ns;
    int64_t deadline_ns; /* of the step; moved by progress */
    int64_t timestamp;   /* of the services' acknowledgements */
    int64_t service_recording_ids[CONSENSUS_SERVICES_MAX];
    tern_async *publication_request;
    tern_exclusive_publication *publication;
    struct archive_request request;
    int32_t counter_id;
    int64_t recording_id;
    struct message_list messages;
};

/* The module is at `log_position`: wait for the services' snapshots, then take the own. */
void snapshot_taker_begin(struct consensus *consensus, int64_t log_position);
/* One step; the end, done or failed, is told by consensus_snapshot_ended. */
int snapshot_taker_step(struct consensus *consensus);
void snapshot_taker_close(struct snapshot_taker *taker, struct archive_link *link);

#endif
