/* A cluster of raft cores in memory: messages with delay, loss, duplication and partitions by seed,
 * crashes that forget what was not made durable, logs as arrays of units. Every step checks the
 * invariants of cluster.md 11.1; what is broken first is in `problem`. */
#ifndef TESTS_CONSENSUSD_RAFT_WORLD_H
#define TESTS_CONSENSUSD_RAFT_WORLD_H

#include "base/clock.h"
#include "consensusd/core/raft.h"
#include "consensusd/node_state.h"
#include "consensusd/recording_log.h"
#include "memory_store.h"

#define WORLD_NODES_MAX 5
#define WORLD_UNITS_MAX 20000
#define WORLD_PACKETS_MAX 4096
#define WORLD_TERMS_MAX 4096
#define WORLD_UNIT 32
#define WORLD_TERM_ENTRY_UNITS 3

struct world_packet {
    int64_t due_ns;
    int32_t from;
    int32_t to;
    struct raft_action action;
};

struct world_node {
    struct raft raft;
    struct memory_store disk;
    struct node_state state;
    struct recording_log terms;
    int64_t log[WORLD_UNITS_MAX]; /* durable: one value per unit */
    int64_t length;               /* units */
    int64_t consumed;             /* position */
    int64_t commit_seen;
    bool is_up;
    int64_t paused_until_ns;
    /* the operation that runs */
    struct raft_operation operation;
    int64_t operation_due_ns;
    /* how the log arrives or leaves */
    int32_t session_id; /* published or followed; 0: none */
    bool is_recording;
    int64_t initial_term_id;
};

struct world {
    struct random random;
    uint64_t seed_state;
    int64_t now_ns;
    int32_t count;
    struct world_node nodes[WORLD_NODES_MAX];
    struct world_packet packets[WORLD_PACKETS_MAX];
    int32_t packet_count;
    uint32_t cut[WORLD_NODES_MAX]; /* bit j of cut[i]: nothing goes from i to j */
    double loss;
    double duplication;
    int64_t delay_max_ns;
    int32_t next_session;
    int64_t next_value;
    double load;                      /* units appended per step of a leader */
    int32_t leaders[WORLD_TERMS_MAX]; /* of each term; -1: nobody yet */
    int64_t committed[WORLD_UNITS_MAX];
    int64_t committed_length;
    char problem[200];
};

void world_init(struct world *world, int32_t count, uint64_t seed);
void world_close(struct world *world);
void world_step(struct world *world);
void world_run(struct world *world, int64_t duration_ns);
void world_crash(struct world *world, int32_t node);
void world_start(struct world *world, int32_t node);
/* Cut everything between `node` and the others, or join it again. */
void world_isolate(struct world *world, int32_t node, bool is_cut);
void world_heal(struct world *world);
/* The leader of the highest term, or -1. */
int32_t world_leader(const struct world *world);
double world_chance(struct world *world);
/* A leader, nobody in an election, everybody up and with the same committed log. */
bool world_is_settled(const struct world *world);
/* For people, on stderr. */
void world_describe(const struct world *world);

#endif
