/* node-state.dat and recording.log on the simulated disk: after a sync that failed, what the next
 * start reads may be in memory only, and no later sync would write it. What a start has read it
 * acts on, so that must be there when the power goes. */
#include <criterion/criterion.h>

#include "consensusd/node_state.h"
#include "consensusd/recording_log.h"
#include "sim/dice.h"
#include "sim/disk.h"

#define DIRECTORY "/tmp"
#define SEED_COUNT 300
#define STEPS 8

struct fixture {
    struct disk disk;
    struct dice dice;
    struct dice disk_dice;
};

static void begin(struct fixture *fixture, uint64_t seed) {
    memset(fixture, 0, sizeof *fixture);
    fixture->dice = (struct dice){seed};
    fixture->disk_dice = (struct dice){seed + 1000000};
    disk_init(&fixture->disk, dice_random(&fixture->disk_dice));
}

static void fail_sometimes(struct fixture *fixture, double rate) {
    fixture->disk.faults = (struct disk_faults){.write_error = rate, .sync_error = rate};
}

static void lose_power(struct fixture *fixture) {
    disk_drop_owner(&fixture->disk, 0);
    disk_lose_power(&fixture->disk, dice_unit(&fixture->dice));
}

static void open_state(struct fixture *fixture, struct node_state *state, uint64_t seed) {
    struct tern_error error;
    int result = node_state_open(state, &fixture->disk.table, DIRECTORY, &error);
    cr_assert_eq(result, 0, "seed %llu: %s", (unsigned long long)seed, error.text);
}

Test(storage_crash, a_ballot_that_a_start_has_read_survives) {
    struct fixture *fixture = malloc(sizeof *fixture);
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct node_state state;
        struct raft_ballot acknowledged = {RAFT_NULL, RAFT_NULL, RAFT_NULL, RAFT_NULL};
        begin(fixture, seed);
        open_state(fixture, &state, seed);
        fail_sometimes(fixture, 0.3);
        for (int64_t term = 1; term <= STEPS; term++) {
            const struct raft_ballot ballot = {term, term, term, 1};
            if (node_state_write(&state, &ballot, 4096 * term, 1000 + term) != 0) {
                break;
            }
            acknowledged = ballot;
        }
        node_state_close(&state);
        fail_sometimes(fixture, 0);
        open_state(fixture, &state, seed);
        struct raft_ballot read = state.ballot;
        cr_assert_geq(read.voted_term_id, acknowledged.voted_term_id);
        lose_power(fixture);
        open_state(fixture, &state, seed);
        cr_assert_eq(state.ballot.candidate_term_id, read.candidate_term_id, "seed %llu",
                     (unsigned long long)seed);
        cr_assert_eq(state.ballot.voted_term_id, read.voted_term_id);
        cr_assert_eq(state.ballot.voted_for_id, read.voted_for_id);
        node_state_close(&state);
        disk_close(&fixture->disk);
    }
    free(fixture);
}

static void open_log(struct fixture *fixture, struct recording_log *log, uint64_t seed) {
    struct tern_error error;
    int result = recording_log_open(log, &fixture->disk.table, DIRECTORY, true, &error);
    cr_assert_eq(result, 0, "seed %llu: %s", (unsigned long long)seed, error.text);
}

Test(storage_crash, terms_that_a_start_has_read_survive) {
    struct fixture *fixture = malloc(sizeof *fixture);
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct recording_log log;
        struct tern_error error;
        begin(fixture, seed);
        open_log(fixture, &log, seed);
        fail_sometimes(fixture, 0.3);
        for (int64_t term = 0; term < STEPS; term++) {
            const struct recording_log_coherence want = {
                .recording_id = 1,
                .initial_base_position = 0,
                .term_id = term,
                .base_position = term * 4096,
                .log_position = RECORDING_LOG_NULL,
            };
            if (recording_log_ensure_coherent(&log, &want, &error) != 0) {
                break;
            }
        }
        recording_log_close(&log);
        fail_sometimes(fixture, 0);
        open_log(fixture, &log, seed);
        struct recording_log_entry read[STEPS + 1];
        int32_t count = log.count;
        cr_assert_leq(count, STEPS + 1);
        for (int32_t i = 0; i < count; i++) {
            read[i] = log.entries[i];
        }
        recording_log_close(&log);
        lose_power(fixture);
        open_log(fixture, &log, seed);
        cr_assert_eq(log.count, count, "seed %llu", (unsigned long long)seed);
        for (int32_t i = 0; i < count; i++) {
            cr_assert_eq(log.entries[i].leadership_term_id, read[i].leadership_term_id);
            cr_assert_eq(log.entries[i].log_position, read[i].log_position, "seed %llu",
                         (unsigned long long)seed);
        }
        recording_log_close(&log);
        disk_close(&fixture->disk);
    }
    free(fixture);
}
