/* States of an election (cluster.md 3.6.2); the values are those of counter 207. */
#ifndef TERN_CONSENSUSD_CORE_ELECTION_STATE_H
#define TERN_CONSENSUSD_CORE_ELECTION_STATE_H

#include <stdbool.h>

enum election_state {
    ELECTION_INIT = 0,
    ELECTION_CANVASS = 1,
    ELECTION_NOMINATE = 2,
    ELECTION_CANDIDATE_BALLOT = 3,
    ELECTION_FOLLOWER_BALLOT = 4,
    ELECTION_LEADER_LOG_REPLICATION = 5,
    ELECTION_LEADER_REPLAY = 6,
    ELECTION_LEADER_INIT = 7,
    ELECTION_LEADER_READY = 8,
    ELECTION_FOLLOWER_LOG_REPLICATION = 9,
    ELECTION_FOLLOWER_REPLAY = 10,
    ELECTION_FOLLOWER_CATCHUP_INIT = 11,
    ELECTION_FOLLOWER_CATCHUP_AWAIT = 12,
    ELECTION_FOLLOWER_CATCHUP = 13,
    ELECTION_FOLLOWER_LOG_INIT = 14,
    ELECTION_FOLLOWER_LOG_AWAIT = 15,
    ELECTION_FOLLOWER_READY = 16,
    ELECTION_CLOSED = 17,
};

#define ELECTION_STATE_COUNT 18

/* "CANVASS", ...; static. */
const char *election_state_name(enum election_state state);

/* Whether the diagram in election.c has this edge. */
bool election_state_may_follow(enum election_state from, enum election_state to);

#endif
