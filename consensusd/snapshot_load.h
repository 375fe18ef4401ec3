/* Loading the consensus module's snapshot at start (cluster.md 3.13, 3.15). */
#ifndef TERN_CONSENSUSD_SNAPSHOT_LOAD_H
#define TERN_CONSENSUSD_SNAPSHOT_LOAD_H

#include "consensusd/archive_link.h"
#include "consensusd/module_snapshot.h"
#include "consensusd/replay_reader.h"

struct consensus;

enum snapshot_load_state {
    SNAPSHOT_LOAD_IDLE,
    SNAPSHOT_LOAD_ASK,
    SNAPSHOT_LOAD_AWAIT_ANSWER,
    SNAPSHOT_LOAD_REPLAY,
    SNAPSHOT_LOAD_READ,
};

/* Owned by the consensus module. */
struct snapshot_load {
    enum snapshot_load_state state;
    int64_t recording_id;
    int64_t deadline_ns; /* moved by progress */
    struct archive_request request;
    struct replay_reader reader;
    tern_fragment_assembler *assembler;
    struct module_snapshot snapshot;
    struct module_snapshot_reader content;
    struct tern_error failure; /* met while reading; code 0: none */
};

int snapshot_load_start(struct consensus *consensus, int64_t recording_id,
                        struct tern_error *error);
/* 1: the module's state is that of the snapshot, 0: not yet, or a negative code. */
int snapshot_load_step(struct consensus *consensus, struct tern_error *error);
void snapshot_load_close(struct consensus *consensus);

#endif
