/* What the services of this node and its tools say on the control stream, and the points at which
 * the services must acknowledge (cluster.md 3.10, 3.18, 4.1). Form and sequence are checked by
 * service_link.c; timers and messages to the cluster are consensus_timers.c and consensus_outbox.c.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "consensusd/consensus.h"
#include "shm/counter_types.h"

#define MEMBERS_RESPONSE_LENGTH_MAX 16384
#define HELD_GAP_NS NS_PER_S /* not seen for so long: another request, or nobody looked */
#define HELD_MAX_NS (10 * NS_PER_S)
#define HELD_REPORT_INTERVAL_NS (10 * NS_PER_S)

/* -- synchronisation points -- */

void consensus_expect_acks(struct consensus *consensus, int64_t log_position) {
    assert(!consensus->sync.is_waiting);
    consensus->sync.is_waiting = true;
    consensus->sync.log_position = log_position;
}

bool consensus_are_acks_in(struct consensus *consensus) {
    struct sync_point *sync = &consensus->sync;
    if (!sync->is_waiting || !service_link_take_acks(&consensus->services, sync->log_position,
                                                     sync->relevant_ids, &sync->timestamp)) {
        return false;
    }
    sync->is_waiting = false;
    timer_table_forget(&consensus->timers, sync->log_position);
    return true;
}

int32_t consensus_find_dead_service(const struct consensus *consensus) {
    const tern_counters_reader *counters = tern_client_counters(consensus->client);
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        if (tern_counters_find(counters, COUNTER_TYPE_CLIENT_HEARTBEAT,
                               consensus->service_client_ids[i]) == TERN_NULL_COUNTER_ID) {
            return i;
        }
    }
    return -1;
}

/* -- requests that there is no room for -- */

/* The log makes room. While acknowledgements are awaited it does not go on, and when these stand
 * behind the request nothing ever will: the node ends then rather than hang without a word. */
void consensus_hold_request(struct consensus *consensus, const struct tern_error *error) {
    struct held_request *held = &consensus->held;
    int64_t now_ns = consensus->now_ns;
    if (!consensus->sync.is_waiting || now_ns - held->seen_ns > HELD_GAP_NS) {
        held->since_ns = now_ns;
    }
    held->seen_ns = now_ns;
    if (now_ns >= held->report_ns) {
        held->report_ns = now_ns + HELD_REPORT_INTERVAL_NS;
        consensus_count_error(consensus, error);
    }
    if (now_ns - held->since_ns >= HELD_MAX_NS) {
        struct tern_error last = *error;
        error_prefix(&last, "a service cannot acknowledge log position %lld",
                     (long long)consensus->sync.log_position);
        consensus_end(consensus, CONSENSUS_EXIT_REFUSED, &last);
    }
}

/* -- messages -- */

static void on_close_session(void *context, int64_t session_id) {
    struct consensus *consensus = context;
    struct module_session *session = module_sessions_find(&consensus->sessions, session_id);
    if (session == NULL || session->state != MODULE_SESSION_OPEN) {
        return;
    }
    module_session_close(session, CLUSTER_CLOSE_REASON_SERVICE_ACTION);
    if (consensus_is_leading(consensus) && consensus->state == MODULE_STATE_ACTIVE) {
        (void)module_sessions_try_close(consensus, session);
    }
}

static void on_bad_ack(void *context, const char *text) {
    struct consensus *consensus = context;
    struct tern_error error;
    error_set(&error, -EPROTO, "%s", text);
    /* Module and services do not agree any more about where they are: start over (H20). */
    consensus_end(consensus, CONSENSUS_EXIT_UNAVAILABLE, &error);
}

/* -- tools -- */

static struct text_slice slice(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

static int32_t encode_extended(const struct consensus *consensus, int64_t correlation_id,
                               uint8_t *buffer, int32_t capacity) {
    struct cluster_cluster_members_extended_response_active_members active[MEMBERS_COUNT_MAX];
    int64_t wall_ns = clock_epoch_ns(consensus->params.io.clock);
    bool is_running = consensus->stage == CONSENSUS_RUN;
    for (int32_t i = 0; i < consensus->members.count; i++) {
        const struct member *member = &consensus->members.list[i];
        const struct raft_member *state = &consensus->raft.members[i];
        active[i] = (struct cluster_cluster_members_extended_response_active_members){
            .leadership_term_id = is_running ? state->leadership_term_id : RAFT_NULL,
            .log_position = is_running ? state->log_position : RAFT_NULL,
            .time_of_last_append_ns = wall_ns - (consensus->now_ns - state->heard_ns),
            .member_id = member->id,
            .ingress_endpoint = slice(member->ingress),
            .consensus_endpoint = slice(member->consensus),
            .log_endpoint = slice(member->log),
            .catchup_endpoint = slice(member->catchup),
            .archive_endpoint = slice(member->archive),
        };
    }
    const struct cluster_cluster_members_extended_response response = {
        .correlation_id = correlation_id,
        .current_time_ns = wall_ns,
        .leader_member_id = is_running ? consensus->raft.leader_id : RAFT_NULL,
        .member_id = consensus->conf->member_id,
        .active_members = {.elements = active, .count = consensus->members.count},
    };
    return cluster_cluster_members_extended_response_encode(&response, buffer, capacity);
}

static void on_members_query(void *context, int64_t correlation_id, bool is_extended) {
    struct consensus *consensus = context;
    uint8_t answer[MEMBERS_RESPONSE_LENGTH_MAX];
    int32_t length;
    if (is_extended) {
        length = encode_extended(consensus, correlation_id, answer, (int32_t)sizeof answer);
    } else {
        const struct cluster_cluster_members_response response = {
            .correlation_id = correlation_id,
            .leader_member_id =
                consensus->stage == CONSENSUS_RUN ? consensus->raft.leader_id : RAFT_NULL,
            .active_members = slice(consensus->members.text),
            .passive_followers = slice(""),
        };
        length = cluster_cluster_members_response_encode(&response, answer, (int32_t)sizeof answer);
    }
    if (length > 0) {
        service_link_send(&consensus->services, answer, length);
    }
}

struct service_link_handlers consensus_service_handlers(struct consensus *consensus) {
    return (struct service_link_handlers){
        .context = consensus,
        .on_close_session = on_close_session,
        .on_schedule_timer = consensus_on_schedule_timer,
        .on_cancel_timer = consensus_on_cancel_timer,
        .on_service_message = consensus_on_service_message,
        .on_members_query = on_members_query,
        .on_bad_ack = on_bad_ack,
    };
}
