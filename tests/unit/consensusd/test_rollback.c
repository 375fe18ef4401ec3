/* What a lost leadership undoes: changes of the state and of the sessions whose entries were not
 * committed, and nothing else (cluster.md 3.16; bugs 12 and 13 of the original). */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "client/counter.h"
#include "consensusd/consensus.h"

static const struct consensus_conf conf = {.sessions_max = 10};

/* Without a driver: the one counter that these functions set. */
struct stand_in {
    struct consensus consensus;
    int64_t state;
    struct tern_counter counter;
};

static struct consensus *make(void) {
    struct stand_in *stand_in = calloc(1, sizeof *stand_in);
    struct consensus *consensus = &stand_in->consensus;
    struct tern_error error;
    stand_in->counter.address = &stand_in->state;
    consensus->counters.counters[MODULE_COUNTER_STATE] = &stand_in->counter;
    consensus->conf = &conf;
    consensus->termination_position = RAFT_NULL;
    consensus->state = MODULE_STATE_ACTIVE;
    cr_assert_eq(module_sessions_open(&consensus->sessions, conf.sessions_max, &error), 0);
    return consensus;
}

/* -- an image that has been read up to a position -- */

static int64_t image_position;

int __wrap_tern_image_bounded_controlled_poll(tern_image *image,
                                              tern_controlled_fragment_handler handler,
                                              void *context, int64_t limit, int fragment_limit) {
    (void)image, (void)handler, (void)context, (void)limit, (void)fragment_limit;
    return 0;
}

int64_t __wrap_tern_image_position(const tern_image *image) {
    (void)image;
    return image_position;
}

static void end(struct consensus *consensus) {
    module_sessions_close(&consensus->sessions);
    free(consensus); /* the first member of its stand-in */
}

/* As the log or the leader opens it: the entry ends at `position`. */
static struct module_session *open_session(struct consensus *consensus, int64_t id,
                                           int64_t position) {
    const struct module_session_params params = {
        .id = id, .response_stream_id = 102, .response_channel = {"aeron:ipc", 9}};
    struct module_session *session = module_session_create(&params);
    session->state = MODULE_SESSION_OPEN;
    session->opened_position = position;
    cr_assert_eq(module_sessions_add_open(&consensus->sessions, session), 0);
    return session;
}

Test(rollback, session_whose_open_entry_is_the_last_committed_one_stays) {
    struct consensus *consensus = make();
    open_session(consensus, 1, 256);
    open_session(consensus, 2, 960); /* the entry ends at the commit position */
    open_session(consensus, 3, 1120);
    module_sessions_roll_back(consensus, 960);
    cr_assert_not_null(module_sessions_find(&consensus->sessions, 1));
    cr_assert_not_null(module_sessions_find(&consensus->sessions, 2));
    cr_assert_null(module_sessions_find(&consensus->sessions, 3), "it was never opened");
    cr_assert_eq(consensus->sessions.next_committed_session_id, 3);
    end(consensus);
}

Test(rollback, session_whose_close_is_not_committed_is_to_be_closed_again) {
    struct consensus *consensus = make();
    struct module_session *committed = open_session(consensus, 1, 256);
    struct module_session *uncommitted = open_session(consensus, 2, 512);
    module_sessions_remove_open(&consensus->sessions, committed);
    module_sessions_remove_open(&consensus->sessions, uncommitted);
    committed->closed_position = 704;
    uncommitted->closed_position = 800;
    struct module_sessions *sessions = &consensus->sessions;
    cr_assert_geq(sessions->closed.capacity, 2);
    sessions->closed.items[0] = committed;
    sessions->closed.items[1] = uncommitted;
    sessions->closed.count = 2;
    module_sessions_roll_back(consensus, 704);
    cr_assert_null(module_sessions_find(&consensus->sessions, 1));
    const struct module_session *back = module_sessions_find(&consensus->sessions, 2);
    cr_assert_not_null(back);
    cr_assert_eq(back->state, MODULE_SESSION_CLOSING);
    cr_assert_eq(consensus->sessions.closed.count, 0);
    end(consensus);
}

Test(rollback, next_session_id_of_the_snapshot_counts_committed_sessions_only) {
    struct consensus *consensus = make();
    open_session(consensus, 1, 256);
    open_session(consensus, 2, 512);
    module_sessions_on_commit(&consensus->sessions, 511);
    cr_assert_eq(consensus->sessions.next_committed_session_id, 2);
    module_sessions_on_commit(&consensus->sessions, 512);
    cr_assert_eq(consensus->sessions.next_committed_session_id, 3);
    end(consensus);
}

Test(rollback, state_is_that_before_the_first_uncommitted_action) {
    struct consensus *consensus = make();
    consensus->uncommitted[0] = (struct uncommitted_action){960, MODULE_STATE_ACTIVE};
    consensus->uncommitted[1] = (struct uncommitted_action){1056, MODULE_STATE_SUSPENDED};
    consensus->uncommitted_count = 2;
    consensus->state = MODULE_STATE_ACTIVE; /* suspended, then resumed */
    consensus_on_action_committed(consensus, 960);
    cr_assert_eq(consensus->uncommitted_count, 1);
    consensus_roll_back_actions(consensus, 960);
    cr_assert_eq(consensus->state, MODULE_STATE_SUSPENDED, "the resume was not committed");
    cr_assert_eq(consensus->uncommitted_count, 0);
    consensus_roll_back_actions(consensus, 960);
    cr_assert_eq(consensus->state, MODULE_STATE_SUSPENDED);
    end(consensus);
}

Test(rollback, shutdown_that_is_not_committed_is_forgotten) {
    struct consensus *consensus = make();
    consensus->uncommitted[0] = (struct uncommitted_action){960, MODULE_STATE_ACTIVE};
    consensus->uncommitted_count = 1;
    consensus->state = MODULE_STATE_SNAPSHOT;
    consensus->is_shutdown_pending = true;
    consensus->termination_position = 960;
    consensus_roll_back_actions(consensus, 864);
    cr_assert_eq(consensus->state, MODULE_STATE_ACTIVE);
    cr_assert_eq(consensus->termination_position, RAFT_NULL);
    cr_assert_not(consensus->is_shutdown_pending);
    end(consensus);
}

/* Else an election that begins in the same cycle, or in the next one before the core's step, would
 * go back behind it: entries would be met twice, and a snapshot that one of them began would wait
 * for services that are never told to come there. */
Test(rollback, what_was_consumed_is_committed_at_once) {
    struct consensus *consensus = make();
    consensus->raft.commit_position = 512;
    consensus->consumed_position = 512;
    image_position = 960;
    consensus_consume(consensus, NULL, 960);
    cr_assert_eq(consensus->consumed_position, 960);
    cr_assert_eq(consensus->raft.commit_position, 960);
    end(consensus);
}
