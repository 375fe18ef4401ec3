/* Operations of an election against an archive that only notes what it is asked: the functions that
 * send requests, and the way of results to the core, are wrapped when this test is linked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "consensusd/consensus.h"

#define RECORDING_ID 5
#define REPLICATION_ID 77
#define MESSAGE_TIMEOUT_NS (10 * NS_PER_S)

static struct {
    int64_t next_correlation_id;
    int32_t stops;
    int32_t listings;
    int32_t replications;
    bool has_counter; /* the recording's position counter */
    int32_t errors;
    int32_t results;
    struct raft_result result; /* the last */
} seen;

int64_t __wrap_tern_archive_send_stop_recording_by_id(struct tern_archive *session, int64_t id) {
    (void)session;
    cr_assert_eq(id, RECORDING_ID);
    seen.stops++;
    return seen.next_correlation_id++;
}

int64_t __wrap_tern_archive_send_list_recording(struct tern_archive *session, int64_t id) {
    (void)session;
    cr_assert_eq(id, RECORDING_ID);
    seen.listings++;
    return seen.next_correlation_id++;
}

int64_t __wrap_tern_archive_send_replicate(struct tern_archive *session,
                                           const struct tern_archive_replicate_params *params) {
    (void)session;
    cr_assert_eq(params->destination_recording_id, RECORDING_ID);
    seen.replications++;
    return seen.next_correlation_id++;
}

int32_t __wrap_tern_archive_find_counter_by_recording(tern_client *client, int64_t recording_id,
                                                      int64_t archive_id) {
    (void)client, (void)recording_id, (void)archive_id;
    return seen.has_counter ? 3 : TERN_NULL_COUNTER_ID;
}

int64_t __wrap_tern_archive_id(const struct tern_archive *archive) {
    (void)archive;
    return 42;
}

int64_t __wrap_tern_client_next_correlation_id(tern_client *client) {
    (void)client;
    return seen.next_correlation_id++;
}

void __wrap_consensus_count_error(struct consensus *consensus, const struct tern_error *error) {
    (void)consensus, (void)error;
    seen.errors++;
}

void __wrap_consensus_tell_result(struct consensus *consensus, const struct raft_result *result) {
    (void)consensus;
    seen.results++;
    seen.result = *result;
}

static struct consensus_conf conf;

static struct consensus *make(enum raft_operation_kind kind, int64_t to) {
    struct consensus *consensus = calloc(1, sizeof *consensus);
    memset(&seen, 0, sizeof seen);
    seen.next_correlation_id = 1000;
    conf.archive_message_timeout_ns = MESSAGE_TIMEOUT_NS;
    snprintf(conf.leader_archive_control_channel, sizeof conf.leader_archive_control_channel,
             "aeron:udp");
    snprintf(conf.replication_channel, sizeof conf.replication_channel, "aeron:udp");
    consensus->conf = &conf;
    cr_assert_eq(timer_table_init(&consensus->timers, 1, NULL), 0);
    consensus->now_ns = NS_PER_S;
    consensus->state = MODULE_STATE_ACTIVE;
    consensus->members.count = 1;
    consensus->members.list[0].archive = "localhost:9001";
    consensus->raft.conf.member_count = 1;
    consensus->raft.members[0].id = consensus->raft.leader_id = 0;
    consensus->recording.recording_id = RECORDING_ID;
    const struct raft_operation wanted = {.kind = kind, .sequence = 9, .to = to};
    operation_start(consensus, &wanted);
    return consensus;
}

static void destroy(struct consensus *consensus) {
    timer_table_close(&consensus->timers);
    free(consensus);
}

static void run(struct consensus *consensus, int64_t duration_ns) {
    for (int64_t end = consensus->now_ns + duration_ns; consensus->now_ns < end;) {
        operation_step(consensus);
        consensus->now_ns += NS_PER_MS;
    }
}

/* What archive_link does with an answer. */
static void answer(struct consensus *consensus, int64_t result) {
    struct archive_request *request = &consensus->operation.request;
    cr_assert_eq(request->state, ARCHIVE_REQUEST_PENDING);
    archive_link_cancel(&consensus->archive, request);
    request->state = ARCHIVE_REQUEST_DONE;
    request->result = result;
}

/* -- PREPARE -- */

static void answer_stop_and_listing(struct consensus *consensus, int64_t stop_position) {
    answer(consensus, RECORDING_ID);
    run(consensus, 3 * NS_PER_MS);
    consensus->archive.recording.recording_id = RECORDING_ID;
    consensus->archive.recording.stop_position = stop_position;
    answer(consensus, RECORDING_ID);
}

/* The request to record was given up with its operation, and came to the archive after the stop. */
Test(operation, recording_that_began_after_the_stop_request_is_stopped_again) {
    struct consensus *consensus = make(RAFT_OPERATION_PREPARE, 0);
    run(consensus, NS_PER_MS * 10);
    for (int i = 1; i <= 3; i++) {
        cr_assert_eq(seen.stops, i);
        answer_stop_and_listing(consensus, TERN_ARCHIVE_NULL);
        run(consensus, 4 * NS_PER_MS);
        cr_assert_eq(seen.stops, i, "not in every cycle");
        run(consensus, 6 * NS_PER_MS);
    }
    cr_assert_eq(seen.stops, 4);
    answer_stop_and_listing(consensus, 4096);
    run(consensus, NS_PER_S);
    cr_assert_eq(seen.stops, 4);
    cr_assert_eq(seen.listings, 4);
    cr_assert_eq(seen.results, 1);
    cr_assert_not(seen.result.is_failed);
    cr_assert_eq(seen.result.append_position, 4096);
    destroy(consensus);
}

/* The catalog of an archive without a stop is that of a recording that goes on; its counter shows
 * one that has begun and is not in the listing yet. */
Test(operation, recording_whose_counter_is_still_there_has_not_stopped) {
    struct consensus *consensus = make(RAFT_OPERATION_PREPARE, 0);
    run(consensus, NS_PER_MS * 10);
    seen.has_counter = true;
    answer_stop_and_listing(consensus, 4096);
    run(consensus, 20 * NS_PER_MS);
    cr_assert_eq(seen.results, 0);
    cr_assert_eq(seen.stops, 2);
    seen.has_counter = false;
    answer_stop_and_listing(consensus, 4160);
    run(consensus, NS_PER_MS);
    cr_assert_eq(seen.results, 1);
    cr_assert_eq(seen.result.append_position, 4160);
    destroy(consensus);
}

/* -- REPLICATE -- */

static void signal_of_copy(struct consensus *consensus, enum tern_archive_signal_kind kind,
                           int64_t position) {
    const struct tern_archive_signal signal = {.correlation_id = REPLICATION_ID,
                                               .recording_id = RECORDING_ID,
                                               .position = position,
                                               .kind = kind};
    operation_on_signal(consensus, &signal);
}

static struct consensus *make_copy(int64_t to) {
    struct consensus *consensus = make(RAFT_OPERATION_REPLICATE, to);
    run(consensus, 2 * NS_PER_MS);
    cr_assert_eq(seen.replications, 1);
    answer(consensus, REPLICATION_ID);
    run(consensus, NS_PER_MS);
    return consensus;
}

/* Found by the simulation: no STOP follows, and the core gives up only with the leader. */
Test(operation, copy_that_ended_before_it_recorded_anything_has_failed) {
    struct consensus *consensus = make_copy(4096);
    run(consensus, NS_PER_S);
    cr_assert_eq(seen.results, 0);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_REPLICATE_END, TERN_ARCHIVE_NULL);
    run(consensus, 2 * NS_PER_MS);
    cr_assert_eq(seen.results, 1);
    cr_assert(seen.result.is_failed);
    cr_assert_eq(seen.result.sequence, 9);
    cr_assert_eq(seen.errors, 1);
    destroy(consensus);
}

Test(operation, copy_that_failed_with_an_error_has_failed) {
    struct consensus *consensus = make_copy(4096);
    struct tern_error error;
    error_set(&error, -EIO, "no such recording");
    operation_on_error(consensus, REPLICATION_ID + 1, &error);
    cr_assert_eq(seen.results, 0, "that of another request");
    operation_on_error(consensus, REPLICATION_ID, &error);
    cr_assert_eq(seen.results, 1);
    cr_assert(seen.result.is_failed);
    destroy(consensus);
}

/* The recorder says STOP some time after the copy said that it ended, in either order. */
Test(operation, copy_is_done_when_it_has_ended_and_its_recording_stopped) {
    for (int order = 0; order < 2; order++) {
        struct consensus *consensus = make_copy(4096);
        signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_EXTEND, 1024);
        signal_of_copy(consensus,
                       order == 0 ? TERN_ARCHIVE_SIGNAL_REPLICATE_END : TERN_ARCHIVE_SIGNAL_STOP,
                       4096);
        run(consensus, NS_PER_S);
        cr_assert_eq(seen.results, 0);
        signal_of_copy(consensus,
                       order == 0 ? TERN_ARCHIVE_SIGNAL_STOP : TERN_ARCHIVE_SIGNAL_REPLICATE_END,
                       4096);
        run(consensus, 2 * NS_PER_MS);
        cr_assert_eq(seen.results, 1);
        cr_assert_not(seen.result.is_failed);
        cr_assert_eq(seen.result.append_position, 4096);
        destroy(consensus);
    }
}

Test(operation, copy_that_ended_elsewhere_or_whose_recording_does_not_stop_has_failed) {
    struct consensus *consensus = make_copy(4096);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_EXTEND, 1024);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_STOP, 2048);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_REPLICATE_END, 2048);
    run(consensus, 2 * NS_PER_MS);
    cr_assert_eq(seen.results, 1);
    cr_assert(seen.result.is_failed);
    destroy(consensus);

    consensus = make_copy(4096);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_EXTEND, 1024);
    signal_of_copy(consensus, TERN_ARCHIVE_SIGNAL_REPLICATE_END, 4096);
    run(consensus, MESSAGE_TIMEOUT_NS - 100 * NS_PER_MS);
    cr_assert_eq(seen.results, 0);
    run(consensus, 200 * NS_PER_MS);
    cr_assert_eq(seen.results, 1);
    cr_assert(seen.result.is_failed);
    destroy(consensus);
}
