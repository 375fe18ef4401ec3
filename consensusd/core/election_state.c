/* Names of the election's states, and the edges between them.
 *
 *   any -> INIT -> CANVASS -> NOMINATE -> CANDIDATE_BALLOT -> LEADER_LOG_REPLICATION
 *            |        |  (a vote given: FOLLOWER_BALLOT)             |
 *            |        |                                        LEADER_REPLAY
 *            |        +-> FOLLOWER_LOG_REPLICATION -> CANVASS        |
 *            |        |        |                               LEADER_INIT
 *            |        +-> FOLLOWER_REPLAY                            |
 *            |             |         |                         LEADER_READY -> CLOSED
 *            |      CATCHUP_INIT   LOG_INIT -> LOG_AWAIT
 *            |             |         |            |
 *            |      CATCHUP_AWAIT    |       FOLLOWER_READY -> CLOSED
 *            |             |         |            ^
 *            |      CATCHUP ---------+------------+
 *            +-> LEADER_LOG_REPLICATION (a cluster of one)
 *
 * Any state goes back to INIT when something failed.
 */
#include "consensusd/core/election_state.h"

#include <stddef.h>
#include <stdint.h>

#define EDGE(to) (UINT32_C(1) << ELECTION_##to)

static const uint32_t edges[ELECTION_STATE_COUNT] = {
    [ELECTION_INIT] = EDGE(CANVASS) | EDGE(LEADER_LOG_REPLICATION),
    [ELECTION_CANVASS] = EDGE(CANVASS) | EDGE(NOMINATE) | EDGE(FOLLOWER_BALLOT) |
                         EDGE(FOLLOWER_LOG_REPLICATION) | EDGE(FOLLOWER_REPLAY),
    [ELECTION_NOMINATE] = EDGE(CANVASS) | EDGE(CANDIDATE_BALLOT) | EDGE(FOLLOWER_BALLOT),
    [ELECTION_CANDIDATE_BALLOT] = EDGE(CANVASS) | EDGE(LEADER_LOG_REPLICATION) |
                                  EDGE(FOLLOWER_BALLOT) | EDGE(FOLLOWER_LOG_REPLICATION) |
                                  EDGE(FOLLOWER_REPLAY),
    [ELECTION_FOLLOWER_BALLOT] = EDGE(CANVASS) | EDGE(FOLLOWER_BALLOT) |
                                 EDGE(FOLLOWER_LOG_REPLICATION) | EDGE(FOLLOWER_REPLAY),
    [ELECTION_LEADER_LOG_REPLICATION] = EDGE(LEADER_REPLAY),
    [ELECTION_LEADER_REPLAY] = EDGE(LEADER_INIT),
    [ELECTION_LEADER_INIT] = EDGE(LEADER_READY),
    [ELECTION_LEADER_READY] = EDGE(CLOSED),
    [ELECTION_FOLLOWER_LOG_REPLICATION] = EDGE(CANVASS) | EDGE(FOLLOWER_REPLAY),
    [ELECTION_FOLLOWER_REPLAY] = EDGE(FOLLOWER_CATCHUP_INIT) | EDGE(FOLLOWER_LOG_INIT),
    [ELECTION_FOLLOWER_CATCHUP_INIT] = EDGE(FOLLOWER_CATCHUP_AWAIT),
    [ELECTION_FOLLOWER_CATCHUP_AWAIT] = EDGE(FOLLOWER_CATCHUP),
    [ELECTION_FOLLOWER_CATCHUP] = EDGE(FOLLOWER_LOG_INIT),
    [ELECTION_FOLLOWER_LOG_INIT] = EDGE(FOLLOWER_LOG_AWAIT) | EDGE(FOLLOWER_READY),
    [ELECTION_FOLLOWER_LOG_AWAIT] = EDGE(FOLLOWER_READY),
    [ELECTION_FOLLOWER_READY] = EDGE(CLOSED),
    [ELECTION_CLOSED] = 0,
};

static const char *const names[ELECTION_STATE_COUNT] = {
    "INIT",
    "CANVASS",
    "NOMINATE",
    "CANDIDATE_BALLOT",
    "FOLLOWER_BALLOT",
    "LEADER_LOG_REPLICATION",
    "LEADER_REPLAY",
    "LEADER_INIT",
    "LEADER_READY",
    "FOLLOWER_LOG_REPLICATION",
    "FOLLOWER_REPLAY",
    "FOLLOWER_CATCHUP_INIT",
    "FOLLOWER_CATCHUP_AWAIT",
    "FOLLOWER_CATCHUP",
    "FOLLOWER_LOG_INIT",
    "FOLLOWER_LOG_AWAIT",
    "FOLLOWER_READY",
    "CLOSED",
};

const char *election_state_name(enum election_state state) {
    return (unsigned)state < ELECTION_STATE_COUNT ? names[state] : "?";
}

bool election_state_may_follow(enum election_state from, enum election_state to) {
    if ((unsigned)from >= ELECTION_STATE_COUNT || (unsigned)to >= ELECTION_STATE_COUNT) {
        return false;
    }
    return to == ELECTION_INIT || (edges[from] & (UINT32_C(1) << to)) != 0;
}
