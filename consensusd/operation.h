/* What takes time in an election: the operations that the core asks for (core/raft.h), each a small
 * machine of steps over the client, the archive and the services. One runs at a time. */
#ifndef TERN_CONSENSUSD_OPERATION_H
#define TERN_CONSENSUSD_OPERATION_H

#include "consensusd/archive_link.h"
#include "consensusd/core/raft.h"

struct consensus;

/* Owned by the consensus module. */
struct operation {
    struct raft_operation wanted; /* kind NONE: nothing runs */
    int step;
    int64_t deadline_ns; /* of the step */
    struct archive_request request;
    int64_t counter_position; /* REPLICATE: last progress */
    int32_t counter_id;
    int64_t signal_position;
    bool has_begun; /* REPLICATE: signals */
    bool has_ended;
    bool has_stopped;
    bool is_deleting; /* TRUNCATE: files are being removed */
    bool is_joining;  /* JoinLog was sent, acks are outstanding */
};

/* Begin; what ran before is abandoned in order. */
void operation_start(struct consensus *consensus, const struct raft_operation *wanted);
/* While the module changes over from the catch-up to the live log it reads neither. */
bool operation_may_consume_catchup(const struct consensus *consensus);
/* One step; the end is told to the core. Returns the work done. */
int operation_step(struct consensus *consensus);
void operation_on_signal(struct consensus *consensus, const struct tern_archive_signal *signal);
void operation_on_error(struct consensus *consensus, int64_t correlation_id,
                        const struct tern_error *error);

#endif
