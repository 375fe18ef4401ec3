/* measure_record NAME FLOOR CHANNEL LENGTH MEGABYTES: how fast an archive records a local stream,
 * from the first offer until its recording position has reached the publication's.
 *
 * The archive is asked over AERON_ARCHIVE_CONTROL_CHANNEL, or over IPC.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>

#include "bench/bench.h"
#include "bench/link.h"

#define STREAM_ID 1004
#define MESSAGE_MAX 65536
#define BYTES_PER_MB INT64_C(1000000)
#define GIVE_UP_NS INT64_C(120000000000)

static struct tern_archive *connect_archive(tern_client *client) {
    struct tern_archive *archive;
    struct tern_error error = {0};
    const struct tern_archive_params params = {
        .client = client,
        .request_channel = "aeron:ipc?term-length=64k",
        .response_channel = "aeron:ipc?term-length=64k",
        .client_name = "measure-record",
    };
    if (tern_archive_connect(&archive, &params, &error) != 0) {
        link_fail("cannot connect to the archive", &error);
    }
    return archive;
}

/* The counter of the recording of our session. */
static int32_t await_recording(tern_client *client, int32_t session_id) {
    int64_t start_ns = bench_now_ns();
    int32_t counter_id;
    do {
        counter_id = tern_archive_find_counter_by_session(client, session_id, TERN_ARCHIVE_NULL);
        if (bench_now_ns() - start_ns > LINK_TIMEOUT_NS) {
            bench_fail("the recording did not start");
        }
        (void)sched_yield();
    } while (counter_id < 0);
    return counter_id;
}

static double record(tern_client *client, tern_exclusive_publication *publication,
                     int32_t counter_id, int32_t length, int64_t bytes) {
    static uint8_t message[MESSAGE_MAX];
    const tern_counters_reader *counters = tern_client_counters(client);
    int64_t start_position = tern_exclusive_publication_position(publication);
    int64_t start_ns = bench_now_ns();
    int64_t position = start_position;
    memset(message, 7, sizeof message);
    while (position - start_position < bytes) {
        int64_t result = tern_exclusive_publication_offer(publication, message, length);
        if (result > 0) {
            position = result;
        } else if (result == TERN_PUBLICATION_CLOSED || result == TERN_PUBLICATION_NOT_CONNECTED) {
            fprintf(stderr, "bench: offer: %s\n", tern_publication_result_name(result));
            exit(EXIT_FAILURE);
        } else {
            (void)sched_yield();
        }
    }
    while (tern_counters_value(counters, counter_id) < position) {
        (void)sched_yield();
        if (bench_now_ns() - start_ns > GIVE_UP_NS) {
            bench_fail("the recording does not come to its end");
        }
    }
    int64_t elapsed_ns = bench_now_ns() - start_ns;
    return (double)(position - start_position) * 1e3 / (double)elapsed_ns;
}

int main(int argc, char **argv) {
    struct tern_error error = {0};
    if (argc != 6) {
        fprintf(stderr, "usage: measure_record NAME FLOOR CHANNEL LENGTH MEGABYTES\n");
        return 64;
    }
    const char *channel = argv[3];
    int32_t length = (int32_t)link_number(argv[4], 1, MESSAGE_MAX);
    int64_t bytes = link_number(argv[5], 1, 100000) * BYTES_PER_MB;
    tern_client *client = link_client();
    struct tern_archive *archive = connect_archive(client);
    int64_t subscription_id;
    if (tern_archive_await(archive,
                           tern_archive_send_start_recording(archive, channel, STREAM_ID,
                                                             TERN_ARCHIVE_SOURCE_LOCAL, true),
                           &subscription_id, &error) != 0) {
        link_fail("start recording", &error);
    }
    tern_exclusive_publication *publication = link_publish_exclusive(client, channel, STREAM_ID);
    int32_t counter_id =
        await_recording(client, tern_exclusive_publication_session_id(publication));
    bench_print(argv[1], record(client, publication, counter_id, length, bytes), "MB/s", argv[2]);
    int64_t recording_id = tern_archive_counter_recording_id(client, counter_id);
    tern_exclusive_publication_close(publication);
    (void)tern_archive_await(archive, tern_archive_send_stop_recording_by_id(archive, recording_id),
                             NULL, NULL);
    tern_archive_close(archive);
    tern_client_close(client);
    return 0;
}
