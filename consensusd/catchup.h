/* The leader's help for followers that lag: replays of its log recording (cluster.md 3.8). */
#ifndef TERN_CONSENSUSD_CATCHUP_H
#define TERN_CONSENSUSD_CATCHUP_H

#include "consensusd/archive_link.h"
#include "consensusd/members.h"
#include "wire/cluster_codec.h"

struct consensus;

struct catchup {
    bool is_wanted;  /* a replay is to be started, or is asked for */
    bool is_running; /* it was answered */
    bool is_ending;  /* nobody wants the one that was asked for any more */
    bool has_failed; /* the one that is wanted, before */
    int64_t position;
    int64_t retry_ns;
    int64_t deadline_ns; /* when the follower has given up */
    int64_t replay_session_id;
    char endpoint[256];
    struct archive_request request;
};

struct catchups {
    struct catchup of[MEMBERS_COUNT_MAX];
};

void catchups_on_position(struct consensus *consensus,
                          const struct cluster_catchup_position *message);
void catchups_on_append(struct consensus *consensus, const struct cluster_append_position *message);
/* Start what is wanted, end what is not; each cycle. */
int catchups_step(struct consensus *consensus);
/* The follower canvasses again, or leadership is lost (member -1: all). */
void catchups_stop(struct consensus *consensus, int32_t member);
/* An error of the archive that concerns a replay. */
void catchups_on_error(struct consensus *consensus, int64_t correlation_id);

#endif
