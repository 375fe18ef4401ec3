/* Reading and writing node-state.dat (see node_state.h). Called by the consensus module when it
 * starts and whenever the core has it persist a ballot; a few times per election.
 *
 * All that changes lies in the first 128 bytes and is written by one write of them, followed by a
 * sync: less than a sector, so a torn write leaves the old or the new content.
 *
 * What is read at the start need not be on disk, when the last module ended because a sync failed:
 * the system has it in memory and does not write it any more. So it is written once more before the
 * module acts on it.
 */
#include "consensusd/node_state.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "wire/cluster_codec.h"

#define FILE_VERSION 768 /* 0.3.0; only the major part counts */
#define VERSION_MAJOR(version) ((version) >> 16)
#define FRAMES_OFFSET 8
#define FRAME_ALIGNMENT 8
#define HEAD_LENGTH 128
#define SCAN_LENGTH 4096
#define CANDIDATE_FRAME_LENGTH 40
#define PATH_LENGTH_MAX 4096

/* Tern's vote record. The words before it must stay zero: they end the scan of other readers. */
#define VOTE_OFFSET 96
#define VOTE_MAGIC 0x4e525456 /* "VTRN" */

static uint32_t vote_checksum(const uint8_t *vote) {
    uint32_t sum = 2166136261u; /* FNV-1a over what follows magic and checksum */
    for (int i = 8; i < 28; i++) {
        sum = (sum ^ vote[i]) * 16777619u;
    }
    return sum;
}

static void encode(const struct node_state *state, uint8_t head[HEAD_LENGTH]) {
    memset(head, 0, HEAD_LENGTH);
    put_i32(head, FILE_VERSION);
    struct cluster_candidate_term term = {state->ballot.candidate_term_id, state->timestamp_ms,
                                          state->log_position};
    int32_t length =
        cluster_candidate_term_encode(&term, head + FRAMES_OFFSET, CANDIDATE_FRAME_LENGTH);
    assert(length == CANDIDATE_FRAME_LENGTH);
    struct cluster_node_state_footer footer = {0};
    cluster_node_state_footer_encode(&footer, head + FRAMES_OFFSET + length,
                                     SBE_FRAMED_HEADER_LENGTH);
    if (state->ballot.voted_term_id == RAFT_NULL) {
        return;
    }
    uint8_t *vote = head + VOTE_OFFSET;
    put_i32(vote, VOTE_MAGIC);
    put_i64(vote + 8, state->ballot.voted_term_id);
    put_i64(vote + 16, state->ballot.promised_term_id);
    put_i32(vote + 24, state->ballot.voted_for_id);
    put_i32(vote + 4, (int32_t)vote_checksum(vote));
}

static void decode_vote(struct node_state *state, const uint8_t *vote) {
    if (get_i32(vote) != VOTE_MAGIC || (uint32_t)get_i32(vote + 4) != vote_checksum(vote)) {
        return;
    }
    state->ballot.voted_term_id = get_i64(vote + 8);
    state->ballot.promised_term_id = get_i64(vote + 16);
    state->ballot.voted_for_id = get_i32(vote + 24);
}

/* Frames up to the footer: the candidate term among them. */
static int decode(struct node_state *state, const uint8_t *bytes, int32_t length,
                  struct tern_error *error) {
    bool has_term = false;
    int32_t version = get_i32(bytes);
    if (VERSION_MAJOR(version) != VERSION_MAJOR(FILE_VERSION) || version == 0) {
        return error_set(error, TERN_ERROR_VERSION, "%s has version %d.%d.%d, expected 0.x",
                         NODE_STATE_FILE_NAME, version >> 16, (version >> 8) & 255, version & 255);
    }
    for (int32_t at = FRAMES_OFFSET; at < length;) {
        struct sbe_header header;
        int32_t frame_length;
        if (sbe_peek_framed(&header, &frame_length, bytes + at, length - at) < 0) {
            break;
        }
        if (header.template_id == CLUSTER_TEMPLATE_CANDIDATE_TERM) {
            struct cluster_candidate_term term;
            if (cluster_candidate_term_decode(&term, bytes + at, length - at) < 0) {
                break;
            }
            state->ballot.candidate_term_id = term.candidate_term_id;
            state->timestamp_ms = term.timestamp;
            state->log_position = term.log_position;
            has_term = true;
        } else if (header.template_id == CLUSTER_TEMPLATE_NODE_STATE_FOOTER && has_term) {
            decode_vote(state, bytes + VOTE_OFFSET);
            return 0;
        }
        at += align_i32(frame_length, FRAME_ALIGNMENT);
    }
    return error_set(error, -EBADMSG, "%s is damaged: %s missing", NODE_STATE_FILE_NAME,
                     has_term ? "its footer is" : "the candidate term is");
}

static int write_head(struct node_state *state) {
    uint8_t head[HEAD_LENGTH];
    encode(state, head);
    const struct store *store = state->store;
    int result = store->pwrite(store->context, state->file, head, sizeof head, 0);
    return result < 0 ? result : store->sync(store->context, state->file, false);
}

static int make_durable(struct node_state *state, const char *directory) {
    const struct store *store = state->store;
    int result = store->sync(store->context, state->file, true);
    return result < 0 ? result : store->sync_directory(store->context, directory);
}

static int create(struct node_state *state, const char *directory, struct tern_error *error) {
    const struct store *store = state->store;
    int result = store->allocate(store->context, state->file, 0, NODE_STATE_FILE_LENGTH);
    if (result == 0) {
        result = write_head(state);
    }
    if (result == 0) {
        result = make_durable(state, directory);
    }
    if (result < 0) {
        return error_set_errno(error, -result, "cannot create %s/%s", directory,
                               NODE_STATE_FILE_NAME);
    }
    return 0;
}

static int load(struct node_state *state, const char *directory, struct tern_error *error) {
    uint8_t bytes[SCAN_LENGTH];
    const struct store *store = state->store;
    int64_t length = store->pread(store->context, state->file, bytes, sizeof bytes, 0);
    if (length < 0) {
        return error_set_errno(error, (int)-length, "cannot read %s/%s", directory,
                               NODE_STATE_FILE_NAME);
    }
    bool is_blank = true; /* a crash between creation and the first write leaves zeros */
    for (int64_t i = 0; i < length; i++) {
        is_blank = is_blank && bytes[i] == 0;
    }
    if (is_blank) {
        return create(state, directory, error);
    }
    if (length < HEAD_LENGTH) {
        return error_set(error, -EBADMSG, "%s/%s is damaged: %d bytes long", directory,
                         NODE_STATE_FILE_NAME, (int)length);
    }
    int result = decode(state, bytes, (int32_t)length, error);
    if (result < 0) {
        return result;
    }
    result = store->pwrite(store->context, state->file, bytes, HEAD_LENGTH, 0);
    if (result == 0) {
        result = make_durable(state, directory);
    }
    return result == 0 ? 0
                       : error_set_errno(error, -result, "cannot write %s/%s", directory,
                                         NODE_STATE_FILE_NAME);
}

int node_state_open(struct node_state *state, const struct store *store, const char *directory,
                    struct tern_error *error) {
    char path[PATH_LENGTH_MAX];
    memset(state, 0, sizeof *state);
    state->store = store;
    state->ballot = (struct raft_ballot){RAFT_NULL, RAFT_NULL, RAFT_NULL, RAFT_NULL};
    if (snprintf(path, sizeof path, "%s/%s", directory, NODE_STATE_FILE_NAME) >= (int)sizeof path) {
        return error_set(error, -ENAMETOOLONG, "the path of %s is too long", NODE_STATE_FILE_NAME);
    }
    int result = store->open(store->context, path, STORE_WRITE | STORE_CREATE, &state->file);
    if (result < 0) {
        return error_set_errno(error, -result, "cannot open %s", path);
    }
    state->is_open = true;
    result = load(state, directory, error);
    if (result < 0) {
        node_state_close(state);
    }
    return result;
}

int node_state_write(struct node_state *state, const struct raft_ballot *ballot,
                     int64_t log_position, int64_t epoch_ms) {
    assert(state->is_open);
    assert(ballot->candidate_term_id >= state->ballot.candidate_term_id);
    assert(ballot->promised_term_id >= state->ballot.promised_term_id);
    state->ballot = *ballot;
    state->log_position = log_position;
    state->timestamp_ms = epoch_ms;
    return write_head(state);
}

void node_state_close(struct node_state *state) {
    if (state->is_open) {
        state->store->close(state->store->context, state->file);
        state->is_open = false;
    }
}
