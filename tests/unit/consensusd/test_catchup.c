/* A leader's replays to followers that lag, against an archive that only notes what it is asked:
 * the functions that send requests are wrapped when this test is linked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "consensusd/consensus.h"

#define FOLLOWER 1
#define FOLLOWER_ID 11

static struct {
    int64_t next_correlation_id;
    int32_t replays;
    int32_t stops;
    int64_t stopped_id;
    bool is_full; /* no room for requests */
    int32_t errors;
} archive;

int64_t __wrap_tern_archive_send_replay(struct tern_archive *session,
                                        const struct tern_archive_replay_params *params) {
    (void)session;
    cr_assert_eq(params->length, INT64_MAX);
    if (archive.is_full) {
        return -EAGAIN;
    }
    archive.replays++;
    return archive.next_correlation_id++;
}

int64_t __wrap_tern_archive_send_stop_replay(struct tern_archive *session, int64_t replay_id) {
    (void)session;
    if (archive.is_full) {
        return -EAGAIN;
    }
    archive.stops++;
    archive.stopped_id = replay_id;
    return archive.next_correlation_id++;
}

void __wrap_consensus_count_error(struct consensus *consensus, const struct tern_error *error) {
    (void)consensus, (void)error;
    archive.errors++;
}

static struct consensus_conf conf;

/* Of a leader in term 3 of two members. */
static struct consensus *make(void) {
    struct consensus *consensus = calloc(1, sizeof *consensus);
    memset(&archive, 0, sizeof archive);
    conf.leader_heartbeat_timeout_ns = 10 * NS_PER_S;
    snprintf(conf.follower_catchup_channel, sizeof conf.follower_catchup_channel, "aeron:udp");
    consensus->conf = &conf;
    consensus->members.count = 2;
    consensus->members.list[FOLLOWER].id = FOLLOWER_ID;
    consensus->raft.conf.member_count = 2;
    consensus->raft.conf.member_ids[FOLLOWER] = FOLLOWER_ID;
    consensus->raft.members[FOLLOWER].id = FOLLOWER_ID;
    consensus->raft.role = CLUSTER_ROLE_LEADER;
    consensus->raft.leadership_term_id = 3;
    consensus->publisher.publication = (tern_exclusive_publication *)consensus; /* not looked at */
    consensus->recording_counter_id = 7;
    return consensus;
}

static void ask(struct consensus *consensus) {
    static const char endpoint[] = "localhost:9104";
    const struct cluster_catchup_position message = {
        .leadership_term_id = 3,
        .log_position = 960,
        .follower_member_id = FOLLOWER_ID,
        .catchup_endpoint = {endpoint, (int32_t)strlen(endpoint)},
    };
    catchups_on_position(consensus, &message);
}

/* What archive_link does with an answer. */
static void answer(struct consensus *consensus, enum archive_request_state state, int64_t result) {
    struct archive_request *request = &consensus->catchups.of[FOLLOWER].request;
    cr_assert_eq(request->state, ARCHIVE_REQUEST_PENDING);
    archive_link_cancel(&consensus->archive, request);
    request->state = state;
    request->result = result;
}

static void run(struct consensus *consensus, int64_t duration_ns) {
    for (int64_t end = consensus->now_ns + duration_ns; consensus->now_ns < end;) {
        catchups_step(consensus);
        consensus->now_ns += NS_PER_MS;
    }
}

Test(catchup, replay_that_is_refused_while_the_last_one_lingers_is_asked_for_again) {
    struct consensus *consensus = make();
    ask(consensus);
    for (int i = 1; i <= 3; i++) {
        run(consensus, 10 * NS_PER_MS);
        cr_assert_eq(archive.replays, i);
        answer(consensus, ARCHIVE_REQUEST_FAILED, 0);
        run(consensus, 90 * NS_PER_MS);
        cr_assert_eq(archive.replays, i, "not at once");
        run(consensus, 20 * NS_PER_MS);
        cr_assert_eq(archive.replays, i + 1);
    }
    cr_assert_eq(archive.errors, 1, "one refusal is reported, however often it is tried");
    answer(consensus, ARCHIVE_REQUEST_DONE, 77);
    run(consensus, NS_PER_S);
    cr_assert_eq(archive.replays, 4);
    cr_assert(consensus->catchups.of[FOLLOWER].is_running);
    cr_assert_eq(archive.stops, 0);
    free(consensus);
}

Test(catchup, replay_is_given_up_when_the_follower_gives_up) {
    struct consensus *consensus = make();
    ask(consensus);
    for (int i = 0; i < 200; i++) {
        run(consensus, 100 * NS_PER_MS);
        if (consensus->catchups.of[FOLLOWER].request.state == ARCHIVE_REQUEST_PENDING) {
            answer(consensus, ARCHIVE_REQUEST_FAILED, 0);
        }
    }
    int32_t count = archive.replays;
    cr_assert_leq(count, 101);
    run(consensus, 5 * NS_PER_S);
    cr_assert_eq(archive.replays, count);
    ask(consensus); /* the next attempt is served like the first */
    run(consensus, NS_PER_MS);
    cr_assert_eq(archive.replays, count + 1);
    cr_assert_eq(archive.errors, 1);
    free(consensus);
}

Test(catchup, replay_whose_answer_comes_after_the_follower_canvasses_is_stopped) {
    struct consensus *consensus = make();
    ask(consensus);
    run(consensus, NS_PER_MS);
    catchups_stop(consensus, FOLLOWER);
    ask(consensus); /* the next attempt waits for the end of the last */
    run(consensus, NS_PER_S);
    cr_assert_eq(archive.replays, 1);
    answer(consensus, ARCHIVE_REQUEST_DONE, 77);
    run(consensus, 10 * NS_PER_MS);
    cr_assert_eq(archive.stops, 1);
    cr_assert_eq(archive.stopped_id, 77);
    cr_assert_eq(archive.replays, 2);
    answer(consensus, ARCHIVE_REQUEST_DONE, 78);
    run(consensus, NS_PER_S);
    cr_assert(consensus->catchups.of[FOLLOWER].is_running);
    cr_assert_eq(archive.stops, 1);
    free(consensus);
}

Test(catchup, stop_that_finds_no_room_is_sent_before_the_next_replay_is_asked_for) {
    struct consensus *consensus = make();
    ask(consensus);
    run(consensus, NS_PER_MS);
    answer(consensus, ARCHIVE_REQUEST_DONE, 77);
    run(consensus, NS_PER_MS);
    archive.is_full = true;
    catchups_stop(consensus, FOLLOWER);
    ask(consensus);
    run(consensus, NS_PER_S);
    cr_assert_eq(archive.replays, 1);
    archive.is_full = false;
    run(consensus, 10 * NS_PER_MS);
    cr_assert_eq(archive.stops, 1);
    cr_assert_eq(archive.replays, 2);
    free(consensus);
}

Test(catchup, replay_that_is_wanted_is_forgotten_with_the_leadership) {
    struct consensus *consensus = make();
    archive.is_full = true;
    ask(consensus);
    run(consensus, NS_PER_MS);
    archive.is_full = false;
    consensus->raft.role = CLUSTER_ROLE_FOLLOWER;
    run(consensus, NS_PER_S);
    consensus->raft.role = CLUSTER_ROLE_LEADER;
    run(consensus, NS_PER_S);
    cr_assert_eq(archive.replays, 0);
    free(consensus);
}
