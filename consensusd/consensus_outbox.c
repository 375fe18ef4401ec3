/* What services put to their cluster, between control stream, log and snapshot (cluster.md 3.11):
 * each service has a queue (service_queue.h), and only a leader in ACTIVE appends from it.
 *
 * A full queue is back pressure, as too many timers are. A message that no log entry can hold,
 * which servicehost does not let through, is counted as an error and passed over: the members'
 * queues drop it when they see a later one.
 */
#include <errno.h>

#include "consensusd/consensus.h"

#define MESSAGES_PER_CYCLE_MAX 20 /* of each service */
#define SESSION_HEADER_LENGTH 32

bool consensus_on_service_message(void *context, int32_t service_id, const uint8_t *message,
                                  int32_t length) {
    struct consensus *consensus = context;
    int result = service_queue_offer(&consensus->queues[service_id], message, length);
    if (result < 0) {
        struct tern_error error;
        error_set_errno(&error, -result, "%d messages of service %d wait for the log",
                        consensus->queues[service_id].count, service_id);
        consensus_hold_request(consensus, &error);
    }
    return result == 0;
}

static void pass_over(struct consensus *consensus, int32_t service_id, int32_t length) {
    struct tern_error error;
    error_set(&error, -EMSGSIZE, "message of service %d has %d bytes, the log takes %d", service_id,
              length - SESSION_HEADER_LENGTH,
              consensus->publisher.message_length_max - SESSION_HEADER_LENGTH);
    consensus_count_error(consensus, &error);
    service_queue_advance(&consensus->queues[service_id], 0);
}

static int append_some(struct consensus *consensus, int32_t service_id) {
    struct service_queue *queue = &consensus->queues[service_id];
    int count = 0;
    const uint8_t *message;
    int32_t length;
    while (count < MESSAGES_PER_CYCLE_MAX &&
           (message = service_queue_peek(queue, &length)) != NULL) {
        const struct log_session_message entry = {
            .leadership_term_id = consensus->raft.leadership_term_id,
            .cluster_session_id = cluster_session_message_header_get_cluster_session_id(message),
            .timestamp = consensus->cluster_time,
            .payload = message + SESSION_HEADER_LENGTH,
            .payload_length = length - SESSION_HEADER_LENGTH,
        };
        if (length > consensus->publisher.message_length_max) {
            pass_over(consensus, service_id, length);
            count++;
            continue;
        }
        int64_t position = log_publisher_append_message(&consensus->publisher, &entry);
        if (position <= 0) {
            break; /* no room: again in the next cycle */
        }
        service_queue_advance(queue, position);
        count++;
    }
    return count;
}

int consensus_append_service_messages(struct consensus *consensus) {
    int count = 0;
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        count += append_some(consensus, i);
    }
    return count;
}

void consensus_on_service_entry(struct consensus *consensus, int64_t id) {
    int64_t service_id = (id >> 56) & 0x7f;
    if (service_id < consensus->conf->service_count) {
        service_queue_on_log(&consensus->queues[service_id], id);
    }
}

void consensus_commit_service_messages(struct consensus *consensus, int64_t position) {
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        service_queue_on_commit(&consensus->queues[i], position);
    }
}

void consensus_roll_back_service_messages(struct consensus *consensus, int64_t position) {
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        service_queue_roll_back(&consensus->queues[i], position);
    }
}

/* -- snapshots -- */

/* All services have acknowledged. One that offered less than the log holds of it has been another
 * program on another member; its next message is to be new, so that it is not left out. */
static void skip_missed(struct consensus *consensus, int32_t service_id) {
    struct service_queue *queue = &consensus->queues[service_id];
    if (queue->next_id <= queue->log_id) {
        struct tern_error error;
        error_set(&error, -EPROTO, "service %d offered %lld messages less than are in the log",
                  service_id, (long long)(queue->log_id + 1 - queue->next_id));
        consensus_count_error(consensus, &error);
        queue->next_id = queue->log_id + 1;
    }
}

int consensus_save_service_messages(struct consensus *consensus, struct module_snapshot *snapshot) {
    int result = 0;
    for (int32_t i = 0; i < consensus->conf->service_count; i++) {
        const struct service_queue *queue = &consensus->queues[i];
        skip_missed(consensus, i);
        snapshot->trackers[i].next_service_session_id = queue->next_id;
        snapshot->trackers[i].log_service_session_id = queue->log_id;
        int64_t offset = -1;
        int32_t length;
        const uint8_t *message;
        while (result == 0 && (message = service_queue_each(queue, &offset, &length)) != NULL) {
            result = module_snapshot_add_pending(snapshot, i, message, length);
        }
    }
    return result;
}

int consensus_restore_service_messages(struct consensus *consensus,
                                       const struct module_snapshot *snapshot) {
    int result = 0;
    for (int32_t i = 0; i < snapshot->service_count; i++) {
        const struct module_snapshot_tracker *tracker = &snapshot->trackers[i];
        consensus->queues[i].next_id = tracker->next_service_session_id;
        consensus->queues[i].log_id = tracker->log_service_session_id;
        for (int32_t j = 0; j < tracker->message_count && result == 0; j++) {
            result = service_queue_restore(&consensus->queues[i], tracker->messages[j],
                                           tracker->message_lengths[j]);
        }
    }
    return result;
}
