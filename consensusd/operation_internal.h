/* What the files of the operations share. */
#ifndef TERN_CONSENSUSD_OPERATION_INTERNAL_H
#define TERN_CONSENSUSD_OPERATION_INTERNAL_H

#include "consensusd/consensus.h"

/* Go to the next step and restart its clock. */
void operation_next(struct consensus *consensus);
bool operation_is_late(const struct consensus *consensus);

/* The operation ended well; the result's position fields are those of now unless set. */
struct raft_result operation_result(const struct consensus *consensus);
int operation_finish(struct consensus *consensus, const struct raft_result *result);
/* It failed; the election starts over. */
int operation_fail(struct consensus *consensus, const struct tern_error *error);

/* Register what was sent; next step when it is on its way. */
int operation_sent(struct consensus *consensus, int64_t sent);
/* 1: answered OK; 0: not yet. A refusal goes to `error`, negative. */
int operation_answered(struct consensus *consensus, struct tern_error *error);

/* Ask the archive to record the log, as the beginning or as the continuation of the recording. */
int operation_record(struct consensus *consensus, const char *channel,
                     enum tern_archive_source_location location);
/* 1 once the recording's position counter is there. */
int operation_find_recording(struct consensus *consensus, int32_t session_id);

/* How the services get at the log of this term. */
struct operation_join {
    int64_t position;
    int32_t role; /* enum cluster_role: of this node */
    int32_t session_id;
    const char *channel;
};
/* Tell them to join it; the next step waits for their acks. 0: not sent yet. */
int operation_join_services(struct consensus *consensus, const struct operation_join *join);

/* The listing that was answered last shows the recording of the log at its end. */
bool operation_is_recording_stopped(const struct consensus *consensus);

int operation_publish_step(struct consensus *consensus);
int operation_leader_join_step(struct consensus *consensus);
int operation_append_term_step(struct consensus *consensus);
int operation_subscribe_step(struct consensus *consensus);
int operation_add_live_step(struct consensus *consensus);
int operation_switch_step(struct consensus *consensus);
int operation_follower_join_step(struct consensus *consensus);
int operation_replay_step(struct consensus *consensus);
int operation_replicate_step(struct consensus *consensus);

#endif
