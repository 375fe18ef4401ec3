/* See checks.h. Looks into the structs of the daemons where that is the shortest way to the truth,
 * and at the wire where the truth is what left the node. */
#include "sim/checks.h"

#include <stdio.h>
#include <string.h>

#include "archived/archive_server.h"
#include "base/bits.h"
#include "consensusd/consensus.h"
#include "sim/check_recording.h"
#include "sim/owner.h"
#include "sim/recorder.h"
#include "wire/cluster_codec.h"
#include "wire/frame.h"

#define CONSENSUS_STREAM_ID 108

void checks_init(struct checks *checks, int node_count) {
    *checks = (struct checks){.last_leader = -1, .last_leader_term = -1};
    check_quorum_init(&checks->quorum, node_count);
}

void checks_close(struct checks *checks) {
    check_terms_close(&checks->terms);
    check_log_close(&checks->log);
    check_timers_close(&checks->timers);
}

/* -- consensus modules -- */

static void note_position(struct process *process) {
    const struct consensus *consensus = process->instance;
    const struct raft *raft = &consensus->raft;
    if (consensus->stage != CONSENSUS_RUN) {
        return;
    }
    /* In an election it holds what it has on disk, up to an entry of its last log term. */
    bool is_on_disk = raft_is_in_election(raft) && raft->log_term_id == raft->leadership_term_id;
    int64_t held = is_on_disk ? raft->append_position : RAFT_NULL;
    check_quorum_on_position(&process->sim->checks->quorum, process->machine->index,
                             raft->leadership_term_id,
                             max_i64(held, raft->input.recorded_position));
}

/* One that waits for its disk in the middle of a step may have said already what it holds. */
static void note_waiting(const struct sim *sim) {
    for (int i = 0; i < sim->options.node_count; i++) {
        struct process *process = sim->machines[i].processes[PROCESS_CONSENSUS];
        if (process->is_stepping && process->is_up && process->instance != NULL) {
            note_position(process);
        }
    }
}

static void look_at_module(struct process *process) {
    struct sim *sim = process->sim;
    struct checks *checks = sim->checks;
    const struct consensus *consensus = process->instance;
    const struct raft *raft = &consensus->raft;
    struct tern_error problem;
    if (consensus->stage != CONSENSUS_RUN || consensus->is_done) {
        return;
    }
    int32_t member = process->machine->index;
    note_position(process);
    if (!check_terms_on_ballot(&checks->terms, member, raft->ballot.voted_term_id, &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    if (!raft_is_leader(raft)) {
        return;
    }
    note_waiting(sim);
    int64_t term_id = raft->leadership_term_id;
    if (!check_terms_on_leader(&checks->terms, term_id, member, &problem) ||
        !check_quorum_on_commit(&checks->quorum, member, term_id, raft->commit_position,
                                &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    if (term_id > checks->last_leader_term) {
        checks->last_leader_term = term_id;
        checks->last_leader = member;
        checks->leader_count++;
        history_line(&sim->history, "%s: leads term %lld from %lld", process->machine->name,
                     (long long)term_id, (long long)raft->commit_position);
    }
}

/* -- archives -- */

/* Whatever a disk did, and when the archive was killed then: no record may be beyond use. */
static void look_at_archive(struct process *process) {
    const struct archive_server *server = process->instance;
    if (server->catalog.quarantined_count > 0) {
        sim_fail(process->sim, "%s: the archive sets %d recordings aside", process->machine->name,
                 server->catalog.quarantined_count);
    }
}

void checks_after_step(struct process *process, int work) {
    struct sim *sim = process->sim;
    (void)work;
    if (process->kind == PROCESS_ARCHIVE && process->instance != NULL) {
        look_at_archive(process);
    }
    if (process->kind == PROCESS_CONSENSUS && process->instance != NULL) {
        look_at_module(process);
    }
    struct owner_usage usage = owner_usage(process->owner);
    /* The first message of a session that comes in fragments needs a buffer. */
    bool has_fragments = sim->options.has_timers && sim->options.has_long_messages;
    if (sim->checks->is_calm && !has_fragments && process->kind != PROCESS_CLIENT &&
        process->kind != PROCESS_STREAM && process->kind != PROCESS_RECORDER &&
        usage.allocations != process->allocations) {
        sim_fail(sim, "%s: %s allocated in a duty cycle", process->machine->name,
                 process->operations->name);
    }
    process->allocations = usage.allocations;
}

/* -- ends -- */

void checks_on_closed(struct process *process) {
    struct sim *sim = process->sim;
    struct owner_usage usage = owner_usage(process->owner);
    int sockets = wire_open_count(&sim->wire, process->owner);
    if (usage.block_count != 0 || usage.mapping_count != 0 || usage.descriptor_count != 0 ||
        sockets != 0) {
        sim_fail(sim,
                 "%s: %s leaks %lld blocks (%lld bytes), %lld mappings, %lld descriptors, %d "
                 "sockets",
                 process->machine->name, process->operations->name, (long long)usage.block_count,
                 (long long)usage.block_bytes, (long long)usage.mapping_count,
                 (long long)usage.descriptor_count, sockets);
    }
}

void checks_on_wait(struct process *process) {
    if (process->kind == PROCESS_CONSENSUS && process->is_up && process->instance != NULL) {
        note_position(process);
    }
}

/* Before its memory is taken back, or it closes by itself: what it knew last counts. */
void checks_on_death(struct process *process) {
    checks_on_wait(process);
    process->allocations = 0;
}

void checks_on_refusal(struct process *process, const struct tern_error *error) {
    if (process->machine->disk->error_count != process->disk_errors_before) {
        return; /* its disk failed since it started */
    }
    sim_fail(process->sim, "%s: %s refuses: %s", process->machine->name, process->operations->name,
             error->text);
}

/* -- recordings -- */

static struct check_recording recording_of(const struct machine *machine,
                                           const struct consensus *consensus, char *directory) {
    (void)snprintf(directory, DISK_PATH_MAX, "%s/archive", machine->directory);
    return (struct check_recording){machine->disk, directory, consensus->recording.recording_id,
                                    NODE_SEGMENT_LENGTH};
}

bool checks_are_members_settled(const struct sim *sim) {
    for (int i = 0; i < sim->options.node_count; i++) {
        const struct process *process = sim->machines[i].processes[PROCESS_CONSENSUS];
        const struct consensus *consensus = process->instance;
        if (!process->is_up || consensus->stage != CONSENSUS_RUN ||
            raft_is_in_election(&consensus->raft)) {
            return false;
        }
    }
    return true;
}

/* A member that forgets its votes votes again in a term that is still open, and one that forgets
 * what it acknowledged lets a candidate without it win. So all members are in one term, none has
 * stood or voted in a later one, and everybody else holds what the member may have acknowledged,
 * or as leader committed. */
bool checks_may_lose_disk(const struct sim *sim, const struct machine *machine) {
    if (sim->options.node_count < 3 || !checks_are_members_settled(sim)) {
        return false;
    }
    const struct consensus *lost = machine->processes[PROCESS_CONSENSUS]->instance;
    int64_t acknowledged =
        raft_is_leader(&lost->raft)
            ? lost->raft.commit_position
            : max_i64(lost->raft.append_position, lost->raft.input.recorded_position);
    for (int i = 0; i < sim->options.node_count; i++) {
        const struct consensus *other = sim->machines[i].processes[PROCESS_CONSENSUS]->instance;
        const struct raft *raft = &other->raft;
        if (raft->leadership_term_id != lost->raft.leadership_term_id ||
            raft->ballot.candidate_term_id > raft->leadership_term_id ||
            (other != lost && raft->input.recorded_position < acknowledged)) {
            return false;
        }
    }
    return true;
}

void checks_on_disk_lost(struct sim *sim, const struct machine *machine) {
    check_quorum_on_disk_lost(&sim->checks->quorum, machine->index);
    check_terms_on_disk_lost(&sim->checks->terms, machine->index);
    recorder_on_disk_lost(sim->recorder, machine);
}

void checks_on_settled(struct sim *sim) {
    char directories[2][DISK_PATH_MAX];
    struct check_recording first = {0};
    struct tern_error problem;
    int64_t end = INT64_MAX;
    for (int pass = 0; pass < 2; pass++) {
        for (int i = 0; i < sim->options.node_count; i++) {
            const struct machine *machine = &sim->machines[i];
            const struct consensus *consensus = machine->processes[PROCESS_CONSENSUS]->instance;
            if (consensus == NULL || consensus->stage != CONSENSUS_RUN) {
                continue;
            }
            if (pass == 0) {
                end = min_i64(end, consensus->consumed_position);
            } else if (first.disk == NULL) {
                first = recording_of(machine, consensus, directories[0]);
            } else {
                struct check_recording other = recording_of(machine, consensus, directories[1]);
                if (!check_recordings_equal(&first, &other, end, &problem)) {
                    sim_fail(sim, "%s", problem.text);
                }
            }
        }
    }
}

/* -- the wire -- */

static void look_at_message(struct sim *sim, const uint8_t *message, int32_t length) {
    struct cluster_vote vote;
    struct tern_error problem;
    if (cluster_vote_decode(&vote, message, length) != 0 ||
        vote.vote != CLUSTER_BOOLEAN_TYPE_TRUE) {
        return;
    }
    sim->checks->vote_count++;
    const struct check_vote given = {vote.candidate_term_id, vote.follower_member_id,
                                     vote.candidate_member_id};
    if (!check_terms_on_vote(&sim->checks->terms, &given, &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
}

void checks_on_datagram(struct sim *sim, const struct wire_datagram *datagram) {
    uint32_t offset = 0;
    while (offset + LOG_FRAME_HEADER_LENGTH <= datagram->length) {
        struct frame_header frame; /* small ones that are sent together are not aligned */
        memcpy(&frame, datagram->data + offset, sizeof frame);
        if (frame.frame_length < LOG_FRAME_HEADER_LENGTH || frame.type != FRAME_TYPE_DATA ||
            frame.stream_id != CONSENSUS_STREAM_ID ||
            (uint32_t)frame.frame_length > datagram->length - offset) {
            return;
        }
        look_at_message(sim, datagram->data + offset + LOG_FRAME_HEADER_LENGTH,
                        frame.frame_length - LOG_FRAME_HEADER_LENGTH);
        offset += (uint32_t)align_i32(frame.frame_length, 32);
    }
}
