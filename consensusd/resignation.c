/* How a leader that is stopped hands over (see resignation.h).
 *
 * The end of its log is known to the followers when they canvass. Nothing is sent to them
 * meanwhile: a message of the old leader would have it counted among the living again. Its archive
 * is not polled either, so that the end of its own recording means nothing to it.
 */
#include "consensusd/resignation.h"

#include "client/seams.h"
#include "wire/cluster_codec.h"

#define RESIGNATION_MAX_NS (500 * NS_PER_MS)
#define RESIGNATION_FRAGMENT_LIMIT 10

bool resignation_begin(struct consensus *consensus) {
    bool has_followers = consensus->stage == CONSENSUS_RUN && consensus_is_leading(consensus) &&
                         consensus->members.count > 1;
    if (!has_followers || tern_client_is_closed(consensus->client) ||
        consensus->termination_position != RAFT_NULL) {
        return false;
    }
    consensus->is_resigning = true;
    consensus->resigned_members = UINT32_C(1) << consensus->own_index;
    consensus->resignation_deadline_ns = consensus->now_ns + RESIGNATION_MAX_NS;
    module_ingress_close(&consensus->ingress);
    catchups_stop(consensus, -1);
    log_publisher_close(&consensus->publisher);
    consensus_log(consensus, CONSENSUS_LOG_INFO, "handing over the leadership");
    return true;
}

bool resignation_step(struct consensus *consensus, int64_t now_ns) {
    consensus->now_ns = now_ns;
    (void)tern_client_do_work_at(consensus->client, now_ns);
    if (tern_client_is_closed(consensus->client)) {
        return false;
    }
    (void)member_link_poll(&consensus->link, RESIGNATION_FRAGMENT_LIMIT);
    uint32_t waiting = member_link_connected(&consensus->link) & ~consensus->resigned_members;
    return waiting != 0 && now_ns < consensus->resignation_deadline_ns;
}

void resignation_on_message(struct consensus *consensus, const uint8_t *buffer, int32_t length) {
    struct cluster_canvass_position canvass;
    struct cluster_request_vote request;
    int32_t id = RAFT_NULL;
    if (cluster_canvass_position_decode(&canvass, buffer, length) == 0) {
        id = canvass.follower_member_id;
    } else if (cluster_request_vote_decode(&request, buffer, length) == 0) {
        id = request.candidate_member_id;
    }
    int32_t member = raft_member_index(&consensus->raft, id);
    if (member >= 0) {
        consensus->resigned_members |= UINT32_C(1) << member;
    }
}
