/* The leader's end of the log: the exclusive publication, its destinations, and the entries that
 * are appended (cluster.md 3.8, 10). */
#ifndef TERN_CONSENSUSD_LOG_PUBLISHER_H
#define TERN_CONSENSUSD_LOG_PUBLISHER_H

#include <stdbool.h>
#include <stdint.h>

#include <tern/client.h>

#include "consensusd/archive_link.h"
#include "consensusd/consensus_conf.h"
#include "consensusd/members.h"
#include "wire/cluster_codec.h"

/* Owned by the consensus module; conf, members and client are borrowed. */
struct log_publisher {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct members *members;
    int32_t own_index;
    int64_t channel_tag;
    tern_async *request;
    tern_exclusive_publication *publication;
    tern_async *destinations[MEMBERS_COUNT_MAX];
    bool has_destinations; /* they were asked for */
    int32_t message_length_max;
};

struct log_publisher_params {
    tern_client *client;
    const struct consensus_conf *conf;
    const struct members *members;
    int32_t own_index;
    int64_t position;                          /* where the log goes on */
    const struct archive_recording *recording; /* NULL: there is none yet, position is 0 */
};

int log_publisher_open(struct log_publisher *publisher, const struct log_publisher_params *params,
                       struct tern_error *error);
/* 1 once the publication and all its destinations are there, 0 not yet, or a negative code. */
int log_publisher_await(struct log_publisher *publisher, struct tern_error *error);
/* Subscribers see the end of the stream. Closing a zeroed struct does nothing. */
void log_publisher_close(struct log_publisher *publisher);

static inline bool log_publisher_is_open(const struct log_publisher *publisher) {
    return publisher->publication != NULL;
}
int32_t log_publisher_session_id(const struct log_publisher *publisher);
int64_t log_publisher_position(const struct log_publisher *publisher);
int32_t log_publisher_term_length(const struct log_publisher *publisher);
/* Channel by which the own archive records the log; services put "aeron-spy:" before a UDP one. */
int log_publisher_record_channel(const struct log_publisher *publisher, char *channel, size_t size);

/* Appends return the position behind the entry (> 0) or a value of enum tern_publication_result;
 * every negative one but CLOSED, MAX_POSITION and ERROR says "try again". */
struct log_session_message {
    int64_t leadership_term_id;
    int64_t cluster_session_id;
    int64_t timestamp;
    const void *payload;
    int32_t payload_length;
};
int64_t log_publisher_append_message(struct log_publisher *publisher,
                                     const struct log_session_message *message);
int64_t log_publisher_append_open(struct log_publisher *publisher,
                                  const struct cluster_session_open_event *event);
int64_t log_publisher_append_timer(struct log_publisher *publisher,
                                   const struct cluster_timer_event *event);
int64_t log_publisher_append_close(struct log_publisher *publisher,
                                   const struct cluster_session_close_event *event);
/* log_position of both is filled in. */
int64_t log_publisher_append_action(struct log_publisher *publisher,
                                    struct cluster_cluster_action_request *request);
int64_t log_publisher_append_term(struct log_publisher *publisher,
                                  struct cluster_new_leadership_term_event *event);

#endif
