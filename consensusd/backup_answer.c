/* HeartbeatRequest and BackupQuery at a member, leader or follower (cluster.md 3.21). Backups
 * themselves are not part of Tern yet; those of others can copy from its members. */
#include "consensusd/backup_answer.h"

#include <string.h>

#include "consensusd/consensus.h"

#define RESPONSE_LENGTH_MAX 8192

static bool answer_heartbeat(struct module_session *session) {
    uint8_t buffer[CLUSTER_HEARTBEAT_RESPONSE_LENGTH_MIN];
    const struct cluster_heartbeat_response response = {session->correlation_id};
    int32_t length = cluster_heartbeat_response_encode(&response, buffer, sizeof buffer);
    return module_session_send(session, buffer, length);
}

/* The newest complete set at or below the position, else the lowest there is: its module entry. */
static int32_t choose_set(const struct recording_log *log, int32_t service_count,
                          int64_t position) {
    int32_t chosen = -1;
    for (int32_t i = log->count - 1; i >= 0; i--) {
        if (!recording_log_is_complete_set(log, i, service_count)) {
            continue;
        }
        chosen = i;
        if (log->entries[i].log_position <= position) {
            break;
        }
    }
    return chosen;
}

static int32_t list_set(const struct recording_log *log, int32_t module_index,
                        int32_t service_count,
                        struct cluster_backup_response_snapshots *snapshots) {
    int32_t count = 0;
    if (module_index < 0) {
        return 0;
    }
    for (int32_t i = module_index - service_count; i <= module_index; i++) {
        const struct recording_log_entry *entry = &log->entries[i];
        snapshots[count++] = (struct cluster_backup_response_snapshots){
            .recording_id = entry->recording_id,
            .leadership_term_id = entry->leadership_term_id,
            .term_base_log_position = entry->term_base_log_position,
            .log_position = entry->log_position,
            .timestamp = entry->timestamp,
            .service_id = entry->service_id,
        };
    }
    return count;
}

static bool answer_query(struct consensus *consensus, struct module_session *session) {
    struct cluster_backup_response_snapshots snapshots[CONSENSUS_SERVICES_MAX + 1];
    uint8_t buffer[RESPONSE_LENGTH_MAX];
    const struct recording_log *log = &consensus->recording_log;
    const struct recording_log_entry *term = recording_log_last_term(log);
    int32_t service_count = consensus->conf->service_count;
    if (term == NULL) {
        return true; /* there is nothing to copy */
    }
    int32_t count = list_set(log, choose_set(log, service_count, session->reply_position),
                             service_count, snapshots);
    const tern_counter *commit = consensus->counters.counters[MODULE_COUNTER_COMMIT_POSITION];
    const struct cluster_backup_response response = {
        .correlation_id = session->correlation_id,
        .log_recording_id = term->recording_id,
        .log_leadership_term_id = term->leadership_term_id,
        .log_term_base_log_position = term->term_base_log_position,
        .last_leadership_term_id = term->leadership_term_id,
        .last_term_base_log_position = term->term_base_log_position,
        .commit_position_counter_id = tern_counter_id(commit),
        .leader_member_id = consensus->raft.leader_id,
        .member_id = consensus->conf->member_id,
        .snapshots = {.elements = snapshots, .count = count},
        .cluster_members = {consensus->members.text, (int32_t)strlen(consensus->members.text)},
    };
    int32_t length = cluster_backup_response_encode(&response, buffer, sizeof buffer);
    return length < 0 || module_session_send(session, buffer, length);
}

bool backup_answer(struct consensus *consensus, struct module_session *session) {
    return session->action == MODULE_SESSION_HEARTBEAT ? answer_heartbeat(session)
                                                       : answer_query(consensus, session);
}
