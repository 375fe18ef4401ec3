/* Reading a part of a recording through a replay of the local archive: log and snapshots. */
#ifndef TERN_CONSENSUSD_REPLAY_READER_H
#define TERN_CONSENSUSD_REPLAY_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "consensusd/archive_link.h"
#include "consensusd/consensus_conf.h"

enum replay_reader_state {
    REPLAY_READER_IDLE,
    REPLAY_READER_ASK,
    REPLAY_READER_AWAIT_ANSWER,
    REPLAY_READER_SUBSCRIBE,
    REPLAY_READER_AWAIT_IMAGE,
    REPLAY_READER_READY,
};

/* Embedded in its owner, at a fixed address; link and conf are borrowed. */
struct replay_reader {
    enum replay_reader_state state;
    struct archive_link *link;
    const struct consensus_conf *conf;
    int64_t recording_id;
    int64_t from;
    int64_t to;
    int64_t deadline_ns;
    struct archive_request request;
    int64_t replay_session_id;
    char channel[CONSENSUS_CHANNEL_MAX + 32]; /* with the session id */
    tern_async *subscription_request;
    tern_subscription *subscription;
    tern_image *image; /* a reference of ours; stands at `from` when READY */
};

struct replay_reader_params {
    struct archive_link *link;
    const struct consensus_conf *conf;
    int64_t recording_id;
    int64_t from;
    int64_t to;
    int64_t now_ns;
};

void replay_reader_start(struct replay_reader *reader, const struct replay_reader_params *params);
/* 1 once the image is there, 0 not yet, or a negative code. */
int replay_reader_step(struct replay_reader *reader, int64_t now_ns, struct tern_error *error);
int32_t replay_reader_session_id(const struct replay_reader *reader);
/* The image ended before `to`: there is nothing more to wait for. */
bool replay_reader_is_cut_short(const struct replay_reader *reader);
/* Stops a replay that still runs. Idempotent on a zeroed struct. */
void replay_reader_close(struct replay_reader *reader);

#endif
