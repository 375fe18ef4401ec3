#include "raft_world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"

#define STEP_NS (5 * NS_PER_MS)
#define RECORDING_ID 7
#define PULL_UNITS_MAX 64

static void complain(struct world *world, const char *format, ...) {
    if (world->problem[0] == '\0') {
        va_list arguments;
        va_start(arguments, format);
        int length = snprintf(world->problem, sizeof world->problem,
                              "at %lld ms: ", (long long)(world->now_ns / NS_PER_MS));
        vsnprintf(world->problem + length, sizeof world->problem - (size_t)length, format,
                  arguments);
        va_end(arguments);
    }
}

static uint64_t next_u64(void *context) {
    struct world *world = context;
    uint64_t z = (world->seed_state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

double world_chance(struct world *world) {
    return random_unit(&world->random);
}

static int64_t position_of(const struct world_node *node) {
    return node->length * WORLD_UNIT;
}

static bool find_term(void *context, int64_t term_id, struct raft_term *term) {
    struct world_node *node = context;
    const struct recording_log_entry *entry = recording_log_find_term(&node->terms, term_id);
    if (entry == NULL) {
        return false;
    }
    *term = (struct raft_term){entry->leadership_term_id, entry->term_base_log_position,
                               entry->log_position};
    return true;
}

/* The term that holds the end of the log; entries of terms that begin beyond it do not count. */
static int64_t log_term(const struct world_node *node) {
    int64_t term_id = RAFT_NULL;
    for (int32_t i = 0; i < node->terms.count; i++) {
        const struct recording_log_entry *entry = &node->terms.entries[i];
        if (entry->term_base_log_position <= position_of(node)) {
            term_id = max_i64(term_id, entry->leadership_term_id);
        }
    }
    return term_id;
}

/* -- network -- */

static void post(struct world *world, const struct world_packet *packet) {
    if ((world->cut[packet->from] >> packet->to) & 1 || world_chance(world) < world->loss) {
        return;
    }
    int copies = world_chance(world) < world->duplication ? 2 : 1;
    for (int i = 0; i < copies && world->packet_count < WORLD_PACKETS_MAX; i++) {
        struct world_packet *sent = &world->packets[world->packet_count++];
        *sent = *packet;
        sent->due_ns = world->now_ns + (int64_t)(world_chance(world) * (double)world->delay_max_ns);
    }
}

static void send(struct world *world, int32_t from, const struct raft_action *action) {
    for (int32_t to = 0; to < world->count; to++) {
        if (to != from && (action->member == RAFT_ALL_MEMBERS || action->member == to)) {
            struct world_packet packet = {.from = from, .to = to, .action = *action};
            post(world, &packet);
        }
    }
}

static void deliver(struct world *world, const struct world_packet *packet) {
    struct world_node *node = &world->nodes[packet->to];
    struct raft *raft = &node->raft;
    const struct raft_action *action = &packet->action;
    switch (action->kind) {
    case RAFT_ACTION_SEND_CANVASS:
        raft_on_canvass(raft, &action->canvass);
        break;
    case RAFT_ACTION_SEND_REQUEST_VOTE:
        raft_on_request_vote(raft, &action->request_vote);
        break;
    case RAFT_ACTION_SEND_VOTE:
        raft_on_vote(raft, &action->vote);
        break;
    case RAFT_ACTION_SEND_NEW_TERM:
        raft_on_new_term(raft, &action->new_term);
        break;
    case RAFT_ACTION_SEND_APPEND:
        raft_on_append(raft, &action->append);
        break;
    case RAFT_ACTION_SEND_COMMIT:
        raft_on_commit(raft, &action->commit);
        break;
    default:
        break;
    }
}

/* -- operations -- */

static void finish(struct world *world, int32_t index, bool is_failed) {
    struct world_node *node = &world->nodes[index];
    struct raft_result result = {
        .sequence = node->operation.sequence,
        .is_failed = is_failed,
        .append_position = position_of(node),
        .log_position = node->raft.commit_position,
        .log_term_id = log_term(node),
        .recording_id = node->length > 0 || node->is_recording || node->terms.count > 0
                            ? RECORDING_ID
                            : RAFT_NULL,
        .session_id = node->session_id,
    };
    (void)world;
    node->operation.kind = RAFT_OPERATION_NONE;
    raft_on_result(&node->raft, &result);
}

/* The node that publishes the session which `node` follows, if it can be reached. */
static struct world_node *source_of(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    int32_t leader = raft_member_index(&node->raft, node->raft.leader_id);
    if (leader < 0 || leader == index || !world->nodes[leader].is_up ||
        (world->cut[leader] >> index) & 1 || world->nodes[leader].paused_until_ns > world->now_ns) {
        return NULL;
    }
    return &world->nodes[leader];
}

static void copy_units(struct world *world, struct world_node *to, const struct world_node *from,
                       int64_t limit) {
    int64_t stop = min_i64(min_i64(from->length, limit), to->length + PULL_UNITS_MAX);
    for (; to->length < stop; to->length++) {
        to->log[to->length] = from->log[to->length];
    }
    (void)world;
}

static void append_units(struct world *world, struct world_node *node, int64_t count) {
    for (int64_t i = 0; i < count && node->length < WORLD_UNITS_MAX; i++) {
        node->log[node->length++] = ++world->next_value;
    }
}

static void finish_join(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    struct world_node *source = source_of(world, index);
    bool is_live = node->raft.election.state == ELECTION_FOLLOWER_LOG_AWAIT;
    if (source == NULL || source->session_id != node->raft.log_session_id) {
        return; /* no image yet; the core times out */
    }
    bool is_failed = (is_live && position_of(source) != node->operation.from) ||
                     position_of(node) != node->operation.from;
    node->session_id = source->session_id;
    node->is_recording = !is_failed;
    finish(world, index, is_failed);
}

static void finish_operation(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    struct world_node *source = source_of(world, index);
    struct tern_error error;
    switch (node->operation.kind) {
    case RAFT_OPERATION_NONE:
        return;
    case RAFT_OPERATION_PREPARE:
        node->session_id = 0;
        node->is_recording = false;
        node->consumed = node->raft.commit_position;
        break;
    case RAFT_OPERATION_PUBLISH:
        if (position_of(node) != node->operation.from) {
            complain(world, "node %d publishes at %lld, not %lld", index,
                     (long long)position_of(node), (long long)node->operation.from);
        }
        node->session_id = ++world->next_session;
        break;
    case RAFT_OPERATION_REPLAY:
        node->consumed = node->operation.to;
        break;
    case RAFT_OPERATION_LEADER_JOIN:
        node->is_recording = true;
        break;
    case RAFT_OPERATION_APPEND_TERM:
        append_units(world, node, WORLD_TERM_ENTRY_UNITS);
        break;
    case RAFT_OPERATION_REPLICATE:
        if (source != NULL) {
            copy_units(world, node, source, node->operation.to / WORLD_UNIT);
        }
        if (position_of(node) < node->operation.to) {
            return;
        }
        break;
    case RAFT_OPERATION_TRUNCATE:
        if (node->operation.to < node->raft.known_committed) {
            complain(world, "node %d cuts its committed log", index);
        }
        node->length = node->operation.to / WORLD_UNIT;
        recording_log_truncate(&node->terms, node->operation.to, &error);
        break;
    case RAFT_OPERATION_FOLLOWER_JOIN:
        finish_join(world, index);
        return;
    case RAFT_OPERATION_SUBSCRIBE_CATCHUP:
    case RAFT_OPERATION_SUBSCRIBE_LIVE:
    case RAFT_OPERATION_ADD_LIVE: /* joined where the catch-up stands */
        break;
    case RAFT_OPERATION_SWITCH:
        if (node->consumed < position_of(node)) {
            return;
        }
        break;
    }
    finish(world, index, false);
}

/* -- actions -- */

static void persist(struct world *world, int32_t index, const struct raft_ballot *ballot) {
    struct world_node *node = &world->nodes[index];
    if (ballot->candidate_term_id < node->state.ballot.candidate_term_id) {
        complain(world, "node %d lowers its term", index);
    }
    if (ballot->voted_term_id == node->state.ballot.voted_term_id &&
        ballot->voted_for_id != node->state.ballot.voted_for_id) {
        complain(world, "node %d votes twice in term %lld", index,
                 (long long)ballot->voted_term_id);
    }
    if (node_state_write(&node->state, ballot, 0, 0) < 0) {
        abort();
    }
}

static void record_term(struct world *world, int32_t index, const struct raft_term *term) {
    struct world_node *node = &world->nodes[index];
    struct tern_error error = {0};
    struct recording_log_coherence want = {
        .recording_id = RECORDING_ID,
        .initial_term_id = node->initial_term_id,
        .initial_base_position = 0,
        .term_id = term->term_id,
        .base_position = term->base_position,
        .log_position = term->end_position,
    };
    if (recording_log_ensure_coherent(&node->terms, &want, &error) < 0) {
        complain(world, "node %d: %s", index, error.text);
    }
}

static void carry_out(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    for (int32_t i = 0; i < node->raft.action_count; i++) {
        const struct raft_action *action = &node->raft.actions[i];
        switch (action->kind) {
        case RAFT_ACTION_PERSIST_BALLOT:
            persist(world, index, &action->ballot);
            break;
        case RAFT_ACTION_RECORD_TERM:
            record_term(world, index, &action->term);
            break;
        case RAFT_ACTION_START:
            node->operation = action->operation;
            node->operation_due_ns =
                world->now_ns + (int64_t)(world_chance(world) * 20.0 * (double)NS_PER_MS);
            if (action->operation.kind == RAFT_OPERATION_PREPARE ||
                action->operation.kind == RAFT_OPERATION_TRUNCATE) {
                node->session_id = 0;
                node->is_recording = false;
            }
            break;
        case RAFT_ACTION_SEND_VOTE:
            if (action->vote.vote == CLUSTER_BOOLEAN_TYPE_TRUE &&
                node->state.ballot.voted_term_id != action->vote.candidate_term_id) {
                complain(world, "node %d votes before the vote is durable", index);
            }
            if (world_chance(world) < world->loss) { /* back-pressure looks the same */
                raft_on_unsent_vote(&node->raft, action->member, &action->vote);
            } else {
                send(world, index, action);
            }
            break;
        case RAFT_ACTION_SEND_CANVASS:
        case RAFT_ACTION_SEND_REQUEST_VOTE:
        case RAFT_ACTION_SEND_NEW_TERM:
        case RAFT_ACTION_SEND_APPEND:
        case RAFT_ACTION_SEND_COMMIT:
            send(world, index, action);
            break;
        case RAFT_ACTION_ELECTION_BEGAN:
            node->session_id = 0;
            node->is_recording = false;
            break;
        case RAFT_ACTION_ELECTION_CLOSED:
        case RAFT_ACTION_SEND_CATCHUP:
            break;
        case RAFT_ACTION_REPORT:
            if (getenv("TERN_RAFT_TRACE") != NULL) {
                fprintf(stderr, "%lld node %d: %s\n", (long long)(world->now_ns / NS_PER_MS), index,
                        action->text);
            }
            break;
        }
    }
    node->raft.action_count = 0;
}

/* -- invariants -- */

static void check_leader(struct world *world, int32_t index) {
    struct raft *raft = &world->nodes[index].raft;
    if (raft->role != CLUSTER_ROLE_LEADER) {
        return;
    }
    int64_t term_id = raft->leadership_term_id;
    if (term_id >= WORLD_TERMS_MAX) {
        complain(world, "term %lld", (long long)term_id);
        return;
    }
    if (world->leaders[term_id] >= 0 && world->leaders[term_id] != index) {
        complain(world, "two leaders in term %lld: %d and %d", (long long)term_id,
                 world->leaders[term_id], index);
    }
    world->leaders[term_id] = index;
}

static void check_commit(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    int64_t units = node->raft.commit_position / WORLD_UNIT;
    if (node->raft.commit_position < node->commit_seen) {
        complain(world, "node %d: the commit position goes back", index);
    }
    if (units > node->length) {
        complain(world, "node %d commits %lld beyond its log of %lld units", index,
                 (long long)units, (long long)node->length);
        return;
    }
    for (int64_t i = node->commit_seen / WORLD_UNIT; i < units; i++) {
        if (i >= world->committed_length) {
            world->committed[world->committed_length++] = node->log[i];
        } else if (world->committed[i] != node->log[i]) {
            complain(world, "node %d (term %lld) commits %lld at %lld, others %lld", index,
                     (long long)node->raft.leadership_term_id, (long long)node->log[i],
                     (long long)(i * WORLD_UNIT), (long long)world->committed[i]);
            return;
        }
    }
    node->commit_seen = node->raft.commit_position;
}

static void step_node(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    struct raft *raft = &node->raft;
    struct world_node *source = source_of(world, index);
    bool follows = node->is_recording && raft->role == CLUSTER_ROLE_FOLLOWER;
    if (follows && source != NULL && source->session_id == node->session_id &&
        world_chance(world) >= world->loss) {
        copy_units(world, node, source, WORLD_UNITS_MAX);
    }
    if (follows) {
        int64_t limit = min_i64(raft->notified_commit_position, position_of(node));
        node->consumed = max_i64(node->consumed, limit / WORLD_UNIT * WORLD_UNIT);
    }
    bool has_log = node->is_recording || node->operation.kind == RAFT_OPERATION_REPLICATE;
    struct raft_input input = {
        .now_ns = world->now_ns,
        .connected = ~UINT32_C(0),
        .may_elect = true,
        .recorded_position = has_log ? position_of(node) : RAFT_NULL,
        .consumed_position = node->consumed,
        .published_position = position_of(node),
        .live_window = 8 * WORLD_UNIT,
    };
    raft_begin_cycle(raft, &input);
    for (int32_t i = 0; i < world->packet_count;) {
        if (world->packets[i].to == index && world->packets[i].due_ns <= world->now_ns) {
            struct world_packet packet = world->packets[i];
            world->packets[i] = world->packets[--world->packet_count];
            deliver(world, &packet);
            carry_out(world, index);
        } else {
            i++;
        }
    }
    if (node->operation.kind != RAFT_OPERATION_NONE && world->now_ns >= node->operation_due_ns) {
        finish_operation(world, index);
        carry_out(world, index);
    }
    raft_step(raft);
    carry_out(world, index);
    if (raft_is_leader(raft) && world_chance(world) < world->load) {
        append_units(world, node, 1 + (int64_t)(world_chance(world) * 3));
    }
    check_leader(world, index);
    check_commit(world, index);
}

/* -- life -- */

void world_start(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    struct tern_error error = {0};
    if (node_state_open(&node->state, &node->disk.store, "d", &error) < 0 ||
        recording_log_open(&node->terms, &node->disk.store, "d", true, &error) < 0) {
        complain(world, "node %d: %s", index, error.text);
        return;
    }
    struct raft_conf conf = {
        .member_count = world->count,
        .own_index = index,
        .appointed_leader_id = RAFT_NULL,
        .app_version = 1,
        .leader_heartbeat_timeout_ns = 1000 * NS_PER_MS,
        .leader_heartbeat_interval_ns = 200 * NS_PER_MS,
        .startup_canvass_timeout_ns = 3000 * NS_PER_MS,
        .election_timeout_ns = 500 * NS_PER_MS,
        .election_status_interval_ns = 100 * NS_PER_MS,
        .random = &world->random,
        .find_term = find_term,
        .context = node,
    };
    for (int32_t i = 0; i < world->count; i++) {
        conf.member_ids[i] = i;
    }
    struct raft_start start = {
        .now_ns = world->now_ns,
        .leadership_term_id = log_term(node),
        .append_position = position_of(node),
        .ballot = node->state.ballot,
        .log_recording_id = node->terms.count > 0 ? RECORDING_ID : RAFT_NULL,
    };
    node->initial_term_id = start.leadership_term_id;
    node->commit_seen = 0;
    node->consumed = 0;
    node->session_id = 0;
    node->is_recording = false;
    node->operation.kind = RAFT_OPERATION_NONE;
    raft_init(&node->raft, &conf, &start);
    node->is_up = true;
    carry_out(world, index);
}

void world_crash(struct world *world, int32_t index) {
    struct world_node *node = &world->nodes[index];
    if (!node->is_up) {
        return;
    }
    node->is_up = false;
    node->session_id = 0;
    node_state_close(&node->state);
    recording_log_close(&node->terms);
    memory_store_crash(&node->disk);
}

void world_init(struct world *world, int32_t count, uint64_t seed) {
    memset(world, 0, sizeof *world);
    world->seed_state = seed;
    world->random = (struct random){world, next_u64};
    world->count = count;
    world->now_ns = NS_PER_S;
    world->delay_max_ns = 5 * NS_PER_MS;
    world->load = 0.3;
    for (int32_t i = 0; i < WORLD_TERMS_MAX; i++) {
        world->leaders[i] = -1;
    }
    for (int32_t i = 0; i < count; i++) {
        memory_store_init(&world->nodes[i].disk);
        world_start(world, i);
    }
}

void world_close(struct world *world) {
    for (int32_t i = 0; i < world->count; i++) {
        world_crash(world, i);
        memory_store_close(&world->nodes[i].disk);
    }
}

void world_step(struct world *world) {
    world->now_ns += STEP_NS;
    int32_t first = (int32_t)(world_chance(world) * world->count);
    for (int32_t i = 0; i < world->count; i++) {
        struct world_node *node = &world->nodes[(first + i) % world->count];
        if (node->is_up && world->now_ns >= node->paused_until_ns) {
            step_node(world, (int32_t)(node - world->nodes));
        }
    }
    for (int32_t i = 0; i < world->packet_count;) {
        if (!world->nodes[world->packets[i].to].is_up) {
            world->packets[i] = world->packets[--world->packet_count];
        } else {
            i++;
        }
    }
}

void world_run(struct world *world, int64_t duration_ns) {
    int64_t end_ns = world->now_ns + duration_ns;
    while (world->now_ns < end_ns && world->problem[0] == '\0') {
        world_step(world);
    }
}

void world_isolate(struct world *world, int32_t node, bool is_cut) {
    for (int32_t other = 0; other < world->count; other++) {
        uint32_t bit = UINT32_C(1) << other;
        uint32_t own = UINT32_C(1) << node;
        if (other != node) {
            world->cut[node] = is_cut ? world->cut[node] | bit : world->cut[node] & ~bit;
            world->cut[other] = is_cut ? world->cut[other] | own : world->cut[other] & ~own;
        }
    }
}

void world_heal(struct world *world) {
    memset(world->cut, 0, sizeof world->cut);
    world->loss = 0;
    world->duplication = 0;
    world->delay_max_ns = 5 * NS_PER_MS;
    for (int32_t i = 0; i < world->count; i++) {
        world->nodes[i].paused_until_ns = 0;
        if (!world->nodes[i].is_up) {
            world_start(world, i);
        }
    }
}

int32_t world_leader(const struct world *world) {
    int32_t leader = -1;
    for (int32_t i = 0; i < world->count; i++) {
        const struct raft *raft = &world->nodes[i].raft;
        if (world->nodes[i].is_up && raft_is_leader(raft) &&
            (leader < 0 ||
             raft->leadership_term_id > world->nodes[leader].raft.leadership_term_id)) {
            leader = i;
        }
    }
    return leader;
}

bool world_is_settled(const struct world *world) {
    int32_t leader = world_leader(world);
    if (leader < 0) {
        return false;
    }
    for (int32_t i = 0; i < world->count; i++) {
        const struct world_node *node = &world->nodes[i];
        if (!node->is_up || raft_is_in_election(&node->raft) ||
            node->raft.leadership_term_id != world->nodes[leader].raft.leadership_term_id) {
            return false;
        }
    }
    return true;
}

void world_describe(const struct world *world) {
    for (int32_t i = 0; i < world->count; i++) {
        const struct world_node *node = &world->nodes[i];
        const struct raft *raft = &node->raft;
        fprintf(stderr,
                "node %d: %s term %lld log term %lld candidate %lld voted %lld for %d promised "
                "%lld append %lld commit %lld known %lld log %lld\n",
                i, election_state_name(raft->election.state), (long long)raft->leadership_term_id,
                (long long)raft->log_term_id, (long long)raft->ballot.candidate_term_id,
                (long long)raft->ballot.voted_term_id, raft->ballot.voted_for_id,
                (long long)raft->ballot.promised_term_id, (long long)raft->append_position,
                (long long)raft->commit_position, (long long)raft->known_committed,
                (long long)(node->length * WORLD_UNIT));
    }
}
