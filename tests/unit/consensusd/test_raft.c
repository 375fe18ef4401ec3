#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "consensusd/core/quorum.h"
#include "raft_world.h"

static struct world *make(int32_t count, uint64_t seed) {
    struct world *world = malloc(sizeof *world);
    world_init(world, count, seed);
    return world;
}

static void end(struct world *world) {
    cr_assert_str_eq(world->problem, "", "%s", world->problem);
    world_close(world);
    free(world);
}

static void settle(struct world *world, int64_t within_s) {
    int64_t end_ns = world->now_ns + within_s * NS_PER_S;
    while (!world_is_settled(world) && world->now_ns < end_ns && world->problem[0] == '\0') {
        world_step(world);
    }
}

Test(raft, quorum_position_is_what_a_majority_holds) {
    struct {
        int32_t count;
        int64_t positions[5];
        int64_t expected;
    } cases[] = {
        {1, {96}, 96},           {2, {96, 32}, 32},       {3, {0, 96, 64}, 64},
        {3, {0, 0, 960}, 0},     {5, {5, 4, 3, 2, 1}, 3}, {5, {0, 0, 9, 9, 9}, 9},
        {5, {0, 0, 0, 9, 9}, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(quorum_position(cases[i].positions, cases[i].count), cases[i].expected,
                     "case %zu", i);
    }
}

Test(raft, fresh_clusters_of_one_three_and_five_elect_quickly_and_commit) {
    for (int32_t count = 1; count <= 5; count += 2) {
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct world *world = make(count, seed);
            settle(world, 5);
            cr_assert(world_is_settled(world), "%d members, seed %lu", count, seed);
            world_run(world, NS_PER_S);
            cr_assert_gt(world->committed_length, 10);
            end(world);
        }
    }
}

Test(raft, dead_leader_is_replaced_within_two_seconds_and_taken_back) {
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *world = make(3, seed);
        settle(world, 5);
        world_run(world, NS_PER_S);
        int32_t old = world_leader(world);
        int64_t committed = world->committed_length;
        world_crash(world, old);
        int64_t died_ns = world->now_ns;
        while (world_leader(world) < 0 && world->now_ns < died_ns + 10 * NS_PER_S) {
            world_step(world);
        }
        cr_assert_lt(world->now_ns - died_ns, 2500 * NS_PER_MS, "seed %lu: %lld ms", seed,
                     (long long)((world->now_ns - died_ns) / NS_PER_MS));
        world_run(world, NS_PER_S);
        cr_assert_gt(world->committed_length, committed);
        world_start(world, old);
        settle(world, 5);
        cr_assert(world_is_settled(world), "seed %lu", seed);
        end(world);
    }
}

static void make_trouble(struct world *world) {
    int32_t victim = (int32_t)(world_chance(world) * world->count);
    double dice = world_chance(world);
    if (dice < 0.25) {
        world_crash(world, victim);
    } else if (dice < 0.5 && !world->nodes[victim].is_up) {
        world_start(world, victim);
    } else if (dice < 0.6) {
        world_isolate(world, victim, true);
    } else if (dice < 0.7) {
        world_isolate(world, victim, false);
    } else if (dice < 0.75) {
        int32_t other = (int32_t)(world_chance(world) * world->count);
        world->cut[victim] ^= UINT32_C(1) << other; /* one way */
    } else if (dice < 0.85) {
        world->nodes[victim].paused_until_ns =
            world->now_ns + (int64_t)(world_chance(world) * 4 * (double)NS_PER_S);
    } else if (dice < 0.95) {
        world->loss = world_chance(world) * 0.4;
        world->duplication = world_chance(world) * 0.3;
        world->delay_max_ns = (int64_t)(world_chance(world) * 400 * (double)NS_PER_MS);
    } else {
        world_heal(world);
    }
}

/* The one to replay: TERN_RAFT_SEED=n [TERN_RAFT_MEMBERS=5]. */
static void torment(int32_t count, uint64_t seed) {
    struct world *world = make(count, seed);
    while (world->now_ns < 30 * NS_PER_S && world->problem[0] == '\0') {
        world_run(world, (int64_t)(world_chance(world) * (double)NS_PER_S));
        make_trouble(world);
    }
    world_heal(world);
    settle(world, 30);
    cr_assert_str_eq(world->problem, "", "%d members, seed %lu: %s", count, seed, world->problem);
    if (!world_is_settled(world)) {
        world_describe(world);
    }
    cr_assert(world_is_settled(world), "%d members, seed %lu: no settled cluster", count, seed);
    int64_t committed = world->committed_length;
    world_run(world, 2 * NS_PER_S);
    if (world->committed_length <= committed) {
        world_describe(world);
    }
    cr_assert_gt(world->committed_length, committed, "%d members, seed %lu: no progress", count,
                 seed);
    end(world);
}

Test(raft, no_fault_breaks_an_invariant_and_progress_returns_after_faults, .timeout = 120) {
    const char *seed = getenv("TERN_RAFT_SEED");
    if (seed != NULL) {
        const char *members = getenv("TERN_RAFT_MEMBERS");
        torment(members == NULL ? 3 : atoi(members), strtoul(seed, NULL, 10));
        return;
    }
    const char *rounds_text = getenv("TERN_RAFT_ROUNDS");
    uint64_t rounds = rounds_text == NULL ? 60 : strtoul(rounds_text, NULL, 10);
    for (uint64_t i = 1; i <= rounds; i++) {
        torment(3, i);
        torment(5, 1000000 + i);
    }
}
