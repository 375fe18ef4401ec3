/* See planted.h. */
#include "sim/planted.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <tern/fragment.h>
#include <tern/image.h>

#include "archived/catalog.h"
#include "archived/recording.h"
#include "archived/replay.h"
#include "base/bits.h"
#include "consensusd/consensus.h"
#include "consensusd/core/quorum.h"
#include "driverd/endpoint_send.h"
#include "driverd/gossip.h"
#include "driverd/image.h"
#include "driverd/image_receive.h"
#include "driverd/publication_net.h"
#include "driverd/publication_send.h"
#include "driverd/response_channel.h"
#include "driverd/subscribable.h"
#include "servicehost/service_host.h"
#include "shm/counter_types.h"
#include "shm/term_append.h"
#include "shm/term_gap.h"
#include "sim/recorder.h"
#include "sim/stream.h"
#include "wire/cluster_codec.h"

#define EVERY 64 /* entries, messages, blocks */
#define AHEAD 4096
#define FAR_AHEAD (INT64_C(1) << 40)

static const char *const names[PLANTED_COUNT] = {
    [PLANTED_NONE] = "none",
    [PLANTED_OWN_VOTE_SUFFICES] = "own-vote-suffices",
    [PLANTED_SHORTER_LOG_ELECTED] = "shorter-log-elected",
    [PLANTED_NODE_STATE_NOT_WRITTEN] = "node-state-not-written",
    [PLANTED_RECORDING_LOG_NOT_SYNCED] = "recording-log-not-synced",
    [PLANTED_SEGMENTS_NOT_SYNCED] = "segments-not-synced",
    [PLANTED_MINORITY_COMMITS] = "minority-commits",
    [PLANTED_UNCOMMITTED_SERVED] = "uncommitted-served",
    [PLANTED_TRUNCATION_FORGOTTEN] = "truncation-forgotten",
    [PLANTED_GAP_NOT_REBUILT] = "gap-not-rebuilt",
    [PLANTED_SNAPSHOT_MESSAGE_LOST] = "snapshot-message-lost",
    [PLANTED_ENTRY_APPLIED_TWICE] = "entry-applied-twice",
    [PLANTED_CATALOG_LEAKED] = "catalog-leaked",
    [PLANTED_ALLOCATION_IN_CYCLE] = "allocation-in-cycle",
    [PLANTED_REPEATED_BID_COUNTED] = "repeated-bid-counted",
    [PLANTED_STALE_BEST_ANSWERED] = "stale-best-answered",
    [PLANTED_LATER_BID_WINS] = "later-bid-wins",
    [PLANTED_FRAME_FLIPPED] = "frame-flipped",
    [PLANTED_GAP_SKIPPED] = "gap-skipped",
    [PLANTED_IMAGE_JOINED_EARLY] = "image-joined-early",
    [PLANTED_MESSAGE_GIVEN_TWICE] = "message-given-twice",
    [PLANTED_REPORTED_BEFORE_SYNC] = "reported-before-sync",
    [PLANTED_WRITE_ERROR_IGNORED] = "write-error-ignored",
    [PLANTED_WHOLE_SEGMENTS_KEPT] = "whole-segments-kept",
    [PLANTED_ZEROES_KEPT] = "zeroes-kept",
    [PLANTED_EXTENSION_FORGOTTEN] = "extension-forgotten",
    [PLANTED_REPLAY_STARTED_EARLY] = "replay-started-early",
    [PLANTED_REPLAY_FLIPPED] = "replay-flipped",
    [PLANTED_TIMER_NOT_IN_SNAPSHOT] = "timer-not-in-snapshot",
    [PLANTED_TIMER_FIRED_TWICE] = "timer-fired-twice",
    [PLANTED_TIMER_NOT_CANCELLED] = "timer-not-cancelled",
    [PLANTED_SERVICE_MESSAGE_TWICE] = "service-message-twice",
    [PLANTED_SERVICE_MESSAGE_LOST] = "service-message-lost",
    [PLANTED_GROUP_NAK_IGNORED] = "group-nak-ignored",
    [PLANTED_RESPONSES_MIXED_UP] = "responses-mixed-up",
    [PLANTED_NEW_SOURCE_IGNORED] = "new-source-ignored",
    [PLANTED_UNTETHERED_WAITED_FOR] = "untethered-waited-for",
    [PLANTED_END_TOLD_EARLY] = "end-told-early",
    [PLANTED_NAMES_MIXED_UP] = "names-mixed-up",
};

static enum planted_bug active;
static int64_t entry_count; /* or whatever the bug counts */

bool planted_choose(const char *name) {
    for (int i = 0; i < PLANTED_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            active = (enum planted_bug)i;
            return true;
        }
    }
    return false;
}

const char *planted_name(int bug) {
    return bug < PLANTED_COUNT ? names[bug] : NULL;
}

bool planted_is(enum planted_bug bug) {
    return active == bug;
}

bool planted_skips_sync(const char *path) {
    const char *dot = strrchr(path, '.');
    return (active == PLANTED_RECORDING_LOG_NOT_SYNCED && strstr(path, "recording.log") != NULL) ||
           (active == PLANTED_SEGMENTS_NOT_SYNCED && dot != NULL && strcmp(dot, ".rec") == 0);
}

/* -- consensus module -- */

void __real_raft_begin_cycle(struct raft *raft, const struct raft_input *input);
void __wrap_raft_begin_cycle(struct raft *raft, const struct raft_input *input);
void __wrap_raft_begin_cycle(struct raft *raft, const struct raft_input *input) {
    __real_raft_begin_cycle(raft, input);
    if (active == PLANTED_OWN_VOTE_SUFFICES && raft->election.state == ELECTION_CANDIDATE_BALLOT) {
        for (int32_t i = 0; i < raft->conf.member_count; i++) {
            raft->members[i].vote = RAFT_VOTE_TRUE;
        }
    }
}

void __real_raft_on_canvass(struct raft *raft, const struct cluster_canvass_position *message);
void __wrap_raft_on_canvass(struct raft *raft, const struct cluster_canvass_position *message);
void __wrap_raft_on_canvass(struct raft *raft, const struct cluster_canvass_position *message) {
    struct cluster_canvass_position canvass = *message;
    if (active == PLANTED_SHORTER_LOG_ELECTED && raft->role != CLUSTER_ROLE_LEADER) {
        canvass.log_position = 0;
    }
    __real_raft_on_canvass(raft, &canvass);
}

void __real_raft_on_request_vote(struct raft *raft, const struct cluster_request_vote *message);
void __wrap_raft_on_request_vote(struct raft *raft, const struct cluster_request_vote *message);
void __wrap_raft_on_request_vote(struct raft *raft, const struct cluster_request_vote *message) {
    struct cluster_request_vote request = *message;
    if (active == PLANTED_SHORTER_LOG_ELECTED) {
        request.log_position = FAR_AHEAD;
    }
    __real_raft_on_request_vote(raft, &request);
}

int __real_node_state_write(struct node_state *state, const struct raft_ballot *ballot,
                            int64_t log_position, int64_t epoch_ms);
int __wrap_node_state_write(struct node_state *state, const struct raft_ballot *ballot,
                            int64_t log_position, int64_t epoch_ms);
int __wrap_node_state_write(struct node_state *state, const struct raft_ballot *ballot,
                            int64_t log_position, int64_t epoch_ms) {
    if (active == PLANTED_NODE_STATE_NOT_WRITTEN) {
        state->ballot = *ballot;
        return 0;
    }
    return __real_node_state_write(state, ballot, log_position, epoch_ms);
}

int64_t __real_quorum_position(int64_t *positions, int32_t count);
int64_t __wrap_quorum_position(int64_t *positions, int32_t count);
int64_t __wrap_quorum_position(int64_t *positions, int32_t count) {
    int64_t position = __real_quorum_position(positions, count);
    return active == PLANTED_MINORITY_COMMITS ? positions[0] : position;
}

int64_t __real_tern_counters_value(const tern_counters_reader *counters, int32_t counter_id);
int64_t __wrap_tern_counters_value(const tern_counters_reader *counters, int32_t counter_id);
int64_t __wrap_tern_counters_value(const tern_counters_reader *counters, int32_t counter_id) {
    int64_t value = __real_tern_counters_value(counters, counter_id);
    bool is_ahead =
        active == PLANTED_UNCOMMITTED_SERVED &&
        tern_counters_type_id(counters, counter_id) == COUNTER_TYPE_CLUSTER_COMMIT_POSITION;
    return is_ahead ? value + AHEAD : value;
}

int64_t __real_tern_archive_send_truncate_recording(struct tern_archive *archive,
                                                    int64_t recording_id, int64_t position);
int64_t __wrap_tern_archive_send_truncate_recording(struct tern_archive *archive,
                                                    int64_t recording_id, int64_t position);
int64_t __wrap_tern_archive_send_truncate_recording(struct tern_archive *archive,
                                                    int64_t recording_id, int64_t position) {
    /* Any question that is answered with a success will do. */
    return active == PLANTED_TRUNCATION_FORGOTTEN
               ? tern_archive_send_start_position(archive, recording_id)
               : __real_tern_archive_send_truncate_recording(archive, recording_id, position);
}

int __real_raft_step(struct raft *raft);
int __wrap_raft_step(struct raft *raft);
int __wrap_raft_step(struct raft *raft) {
    if (active == PLANTED_ALLOCATION_IN_CYCLE) {
        char *volatile block = malloc(16);
        free(block);
    }
    return __real_raft_step(raft);
}

/* -- driver -- */

int32_t __real_term_gap_scan(const uint8_t *term, int32_t term_length, int32_t rebuild_offset,
                             int32_t limit_offset, struct term_gap *gap);
int32_t __wrap_term_gap_scan(const uint8_t *term, int32_t term_length, int32_t rebuild_offset,
                             int32_t limit_offset, struct term_gap *gap);
int32_t __wrap_term_gap_scan(const uint8_t *term, int32_t term_length, int32_t rebuild_offset,
                             int32_t limit_offset, struct term_gap *gap) {
    int32_t offset = __real_term_gap_scan(term, term_length, rebuild_offset, limit_offset, gap);
    if (active == PLANTED_GAP_NOT_REBUILT) {
        gap->length = 0;
    }
    return offset;
}

/* What is beside the cluster has checks of its own: these bugs strike nothing else. */
bool __real_term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet,
                               int32_t length);
bool __wrap_term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet,
                               int32_t length);
bool __wrap_term_insert_packet(uint8_t *term, int32_t term_offset, const uint8_t *packet,
                               int32_t length) {
    const struct frame_header *frame = (const void *)packet;
    uint8_t changed[LOG_MTU_LENGTH_MAX];
    if (active != PLANTED_FRAME_FLIPPED || frame->stream_id != STREAM_STREAM_ID ||
        ++entry_count % EVERY != 0) {
        return __real_term_insert_packet(term, term_offset, packet, length);
    }
    memcpy(changed, packet, (size_t)length);
    changed[frame->frame_length - 1] ^= 1;
    return __real_term_insert_packet(term, term_offset, changed, length);
}

int __real_image_create(struct image **image, struct driver_context *context,
                        const struct image_spec *spec, struct tern_error *error);
int __wrap_image_create(struct image **image, struct driver_context *context,
                        const struct image_spec *spec, struct tern_error *error);
int __wrap_image_create(struct image **image, struct driver_context *context,
                        const struct image_spec *spec, struct tern_error *error) {
    int result = __real_image_create(image, context, spec, error);
    if (active == PLANTED_GAP_SKIPPED && result == 0 && (*image)->stream_id == STREAM_STREAM_ID) {
        (*image)->is_gap_filled = true;
    }
    return result;
}

int64_t __real_image_join_position(const struct image *image);
int64_t __wrap_image_join_position(const struct image *image);
int64_t __wrap_image_join_position(const struct image *image) {
    int64_t position = __real_image_join_position(image);
    bool is_early = active == PLANTED_IMAGE_JOINED_EARLY && image->stream_id == STREAM_STREAM_ID;
    return is_early ? max_i64(0, position - 2 * image->log->term_length) : position;
}

void __real_tern_fragment_assembler_on_fragment(void *assembler, const uint8_t *buffer,
                                                int32_t length, const tern_header *header);
void __wrap_tern_fragment_assembler_on_fragment(void *assembler, const uint8_t *buffer,
                                                int32_t length, const tern_header *header);
void __wrap_tern_fragment_assembler_on_fragment(void *assembler, const uint8_t *buffer,
                                                int32_t length, const tern_header *header) {
    __real_tern_fragment_assembler_on_fragment(assembler, buffer, length, header);
    if (active == PLANTED_MESSAGE_GIVEN_TWICE &&
        tern_header_stream_id(header) == STREAM_STREAM_ID &&
        tern_header_flags(header) == TERN_FLAG_UNFRAGMENTED && ++entry_count % EVERY == 0) {
        __real_tern_fragment_assembler_on_fragment(assembler, buffer, length, header);
    }
}

/* -- service host -- */

int __real_service_snapshot_read(void *context, const void *message, int32_t length,
                                 struct tern_error *error);
int __wrap_service_snapshot_read(void *context, const void *message, int32_t length,
                                 struct tern_error *error);
int __wrap_service_snapshot_read(void *context, const void *message, int32_t length,
                                 struct tern_error *error) {
    const struct service_snapshot_reader *reader = context;
    /* The service's own part stands behind the end marker of the host's. */
    bool is_lost = active == PLANTED_SNAPSHOT_MESSAGE_LOST && reader->has_end &&
                   reader->plugin_part->list.length > 0;
    return is_lost ? 0 : __real_service_snapshot_read(context, message, length, error);
}

enum tern_controlled_action __real_container_on_log_entry(void *context, const uint8_t *buffer,
                                                          int32_t length,
                                                          const tern_header *header);
enum tern_controlled_action __wrap_container_on_log_entry(void *context, const uint8_t *buffer,
                                                          int32_t length,
                                                          const tern_header *header);
enum tern_controlled_action __wrap_container_on_log_entry(void *context, const uint8_t *buffer,
                                                          int32_t length,
                                                          const tern_header *header) {
    if (active == PLANTED_ENTRY_APPLIED_TWICE && ++entry_count % EVERY == 0) {
        (void)__real_container_on_log_entry(context, buffer, length, header);
    }
    return __real_container_on_log_entry(context, buffer, length, header);
}

/* -- archive -- */

void __real_catalog_close(struct catalog *catalog);
void __wrap_catalog_close(struct catalog *catalog);
void __wrap_catalog_close(struct catalog *catalog) {
    if (active != PLANTED_CATALOG_LEAKED) {
        __real_catalog_close(catalog);
    }
}

static bool is_beside(const struct segment_geometry *geometry) {
    return geometry->stream_id == RECORDER_STREAM_ID;
}

int __real_recording_report(struct recording *recording);
int __wrap_recording_report(struct recording *recording);
int __wrap_recording_report(struct recording *recording) {
    bool is_early = active == PLANTED_REPORTED_BEFORE_SYNC && is_beside(&recording->geometry);
    bool was_dirty = recording->is_dirty;
    recording->is_dirty = was_dirty && !is_early;
    int work = __real_recording_report(recording);
    recording->is_dirty = was_dirty && is_early;
    return work;
}

int __real_recording_step(struct recording *recording);
int __wrap_recording_step(struct recording *recording);
int __wrap_recording_step(struct recording *recording) {
    int work = __real_recording_step(recording);
    if (active == PLANTED_WRITE_ERROR_IGNORED && is_beside(&recording->geometry) &&
        recording->has_failed && recording->file >= 0) {
        recording->has_failed = false;
        recording->position = tern_image_position(recording->image);
    }
    return work;
}

int __real_segment_find_end(const struct segment_scan *scan, struct segment_end *end,
                            struct tern_error *error);
int __wrap_segment_find_end(const struct segment_scan *scan, struct segment_end *end,
                            struct tern_error *error);
int __wrap_segment_find_end(const struct segment_scan *scan, struct segment_end *end,
                            struct tern_error *error) {
    int result = __real_segment_find_end(scan, end, error);
    if (result != 0 || !is_beside(scan->geometry)) {
        return result;
    }
    if (active == PLANTED_WHOLE_SEGMENTS_KEPT) {
        end->position =
            max_i64(scan->geometry->start_position, segment_base_of(scan->geometry, end->position));
    } else if (active == PLANTED_ZEROES_KEPT) {
        end->position = align_i64(end->position, SEGMENT_PAGE_LENGTH);
    }
    return 0;
}

int __real_catalog_extend(struct catalog *catalog, const struct catalog_extension *extension,
                          struct tern_error *error);
int __wrap_catalog_extend(struct catalog *catalog, const struct catalog_extension *extension,
                          struct tern_error *error);
int __wrap_catalog_extend(struct catalog *catalog, const struct catalog_extension *extension,
                          struct tern_error *error) {
    struct archive_catalog_record record;
    bool is_forgotten = active == PLANTED_EXTENSION_FORGOTTEN &&
                        catalog_get(catalog, extension->recording_id, &record) &&
                        record.stream_id == RECORDER_STREAM_ID;
    return is_forgotten ? 0 : __real_catalog_extend(catalog, extension, error);
}

int __real_replay_create(struct archive_server *server, const struct replay_params *params,
                         struct archive_refusal *refusal);
int __wrap_replay_create(struct archive_server *server, const struct replay_params *params,
                         struct archive_refusal *refusal);
int __wrap_replay_create(struct archive_server *server, const struct replay_params *params,
                         struct archive_refusal *refusal) {
    struct replay_params changed = *params;
    struct archive_catalog_record record;
    if (active == PLANTED_REPLAY_STARTED_EARLY && params->stream_id == RECORDER_REPLAY_STREAM_ID &&
        catalog_get(&server->catalog, params->recording_id, &record)) {
        changed.position = max_i64(
            record.start_position,
            align_i64(params->position - record.term_buffer_length + 1, record.term_buffer_length));
    }
    return __real_replay_create(server, &changed, refusal);
}

int64_t __real_tern_exclusive_publication_offer_block(tern_exclusive_publication *publication,
                                                      const void *block, int32_t length);
int64_t __wrap_tern_exclusive_publication_offer_block(tern_exclusive_publication *publication,
                                                      const void *block, int32_t length);
int64_t __wrap_tern_exclusive_publication_offer_block(tern_exclusive_publication *publication,
                                                      const void *block, int32_t length) {
    if (active == PLANTED_REPLAY_FLIPPED &&
        tern_exclusive_publication_stream_id(publication) == RECORDER_REPLAY_STREAM_ID) {
        uint8_t *last = (uint8_t *)(uintptr_t)block + get_i32(block) - 1; /* of the first frame */
        *last ^= 1;
    }
    return __real_tern_exclusive_publication_offer_block(publication, block, length);
}

/* -- transports -- */

void __real_publication_send_on_nak(struct publication_net *publication,
                                    const struct frame_nak *nak, int64_t now_ns);
void __wrap_publication_send_on_nak(struct publication_net *publication,
                                    const struct frame_nak *nak, int64_t now_ns);
void __wrap_publication_send_on_nak(struct publication_net *publication,
                                    const struct frame_nak *nak, int64_t now_ns) {
    if (active != PLANTED_GROUP_NAK_IGNORED || !publication->endpoint->channel->is_multicast) {
        __real_publication_send_on_nak(publication, nak, now_ns);
    }
}

void __real_response_channel_on_session(struct conductor *conductor, int64_t correlation_id,
                                        int32_t session_id);
void __wrap_response_channel_on_session(struct conductor *conductor, int64_t correlation_id,
                                        int32_t session_id);
void __wrap_response_channel_on_session(struct conductor *conductor, int64_t correlation_id,
                                        int32_t session_id) {
    static int32_t last_session_id;
    bool is_mixed_up = active == PLANTED_RESPONSES_MIXED_UP && last_session_id != 0;
    __real_response_channel_on_session(conductor, correlation_id,
                                       is_mixed_up ? last_session_id : session_id);
    last_session_id = session_id;
}

void __real_image_receive_on_setup(struct image *image, const struct image_path *path,
                                   int64_t now_ns);
void __wrap_image_receive_on_setup(struct image *image, const struct image_path *path,
                                   int64_t now_ns);
void __wrap_image_receive_on_setup(struct image *image, const struct image_path *path,
                                   int64_t now_ns) {
    if (active != PLANTED_NEW_SOURCE_IGNORED) {
        __real_image_receive_on_setup(image, path, now_ns);
    }
}

void __real_subscribable_check_tethers(struct subscribable *subscribable,
                                       const struct tether_params *params, int64_t now_ns);
void __wrap_subscribable_check_tethers(struct subscribable *subscribable,
                                       const struct tether_params *params, int64_t now_ns);
void __wrap_subscribable_check_tethers(struct subscribable *subscribable,
                                       const struct tether_params *params, int64_t now_ns) {
    if (active != PLANTED_UNTETHERED_WAITED_FOR) {
        __real_subscribable_check_tethers(subscribable, params, now_ns);
    }
}

int64_t __real_tern_image_end_of_stream_position(const tern_image *image);
int64_t __wrap_tern_image_end_of_stream_position(const tern_image *image);
int64_t __wrap_tern_image_end_of_stream_position(const tern_image *image) {
    int64_t position = __real_tern_image_end_of_stream_position(image);
    return active == PLANTED_END_TOLD_EARLY ? position - LOG_FRAME_ALIGNMENT : position;
}

bool __real_gossip_find(const struct gossip *gossip, const char *name, int family,
                        union net_address *address);
bool __wrap_gossip_find(const struct gossip *gossip, const char *name, int family,
                        union net_address *address);
bool __wrap_gossip_find(const struct gossip *gossip, const char *name, int family,
                        union net_address *address) {
    const char *asked = active == PLANTED_NAMES_MIXED_UP ? gossip->name : name;
    return __real_gossip_find(gossip, asked, family, address);
}
