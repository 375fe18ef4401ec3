/* IPC publications through a whole driver: limits, ends, tethers, blocked and lying clients. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/log_file.h"
#include "lib/driver_fixture.h"
#include "shm/log_wake.h"
#include "shm/term_append.h"

#define STREAM 10
#define WINDOW 32768

struct stream {
    struct driver_fixture f;
    struct response publication;
    struct response subscription;
    struct response image;
    struct log_buffer log; /* the client's own mapping */
    struct term_appender appender;
    char path[LOG_FILE_PATH_MAX];
};

static void open_log(struct stream *s) {
    (void)snprintf(s->path, sizeof s->path, "%.*s", s->publication.text.length,
                   s->publication.text.text);
    cr_assert(log_buffer_open(&s->log, s->path, NULL) == 0);
    s->appender = (struct term_appender){.log = &s->log,
                                         .session_id = s->publication.session_id,
                                         .stream_id = STREAM,
                                         .payload_length_max = 1376,
                                         .message_length_max = 8192};
}

static void open_stream(struct stream *s, const char *subscribe) {
    driver_fixture_init(&s->f);
    driver_fixture_open(&s->f);
    s->publication = driver_fixture_add_publication(&s->f, "aeron:ipc", STREAM, false);
    open_log(s);
    s->subscription = driver_fixture_add_subscription(&s->f, subscribe, STREAM);
    cr_assert(driver_fixture_find(&s->f, RESPONSE_AVAILABLE_IMAGE, &s->image));
    (void)driver_fixture_step(&s->f, 1);
}

static void close_stream(struct stream *s) {
    log_buffer_close(&s->log);
    driver_fixture_close(&s->f);
}

static int64_t append(struct stream *s, size_t length) {
    static char payload[8192];
    struct iovec vector = {payload, length};
    return term_append_message(&s->appender, &vector, 1, (int64_t)length, NULL, NULL);
}

static int64_t limit(const struct stream *s) {
    return driver_fixture_counter(&s->f, s->publication.counter_id);
}

static void consume(struct stream *s, int64_t position) {
    driver_fixture_set_counter(&s->f, s->image.counter_id, position);
    (void)driver_fixture_step(&s->f, 1);
}

static void remove_publication(struct stream *s, bool revoke) {
    struct command remove = {.type = COMMAND_REMOVE_PUBLICATION,
                             .registration_id = s->publication.correlation_id,
                             .flags = revoke ? COMMAND_FLAG_REVOKE : 0};
    cr_assert(driver_fixture_call(&s->f, &remove).type == RESPONSE_OPERATION_SUCCESS);
}

Test(publication_ipc, limit_follows_the_slowest_subscriber_in_steps) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    cr_assert(limit(&s) == WINDOW);
    cr_assert(s.log.metadata->is_connected == 1);
    while (log_producer_position(&s.log) < WINDOW) {
        cr_assert(append(&s, 992) > 0);
    }
    consume(&s, 4096); /* an eighth of the window is the step */
    cr_assert(limit(&s) == WINDOW);
    consume(&s, 4096 + 32);
    cr_assert(limit(&s) == WINDOW + 4096 + 32);
    cr_assert(get_i32(s.log.terms[0]) == 0, "the consumed part is clean");
    cr_assert(get_i32(s.log.terms[0] + 5120) != 0);
    struct command remove = {.type = COMMAND_REMOVE_SUBSCRIPTION,
                             .registration_id = s.subscription.correlation_id};
    (void)driver_fixture_call(&s.f, &remove);
    cr_assert(s.log.metadata->is_connected == 0, "at once");
    cr_assert(limit(&s) == 4096 + 32, "nobody reads: nothing may be offered");
    close_stream(&s);
}

Test(publication_ipc, a_producer_with_room_does_not_keep_the_driver_awake) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    while (log_producer_position(&s.log) < WINDOW / 4) {
        cr_assert(append(&s, 992) > 0);
    }
    driver_fixture_set_counter(&s.f, s.image.counter_id, WINDOW / 4);
    cr_assert(driver_fixture_step(&s.f, 1) == 0);
    cr_assert(limit(&s) == WINDOW / 4 + WINDOW, "moved all the same");
    while (log_producer_position(&s.log) <= WINDOW / 4 + WINDOW / 2) {
        cr_assert(append(&s, 992) > 0);
    }
    driver_fixture_set_counter(&s.f, s.image.counter_id, WINDOW / 2);
    cr_assert(driver_fixture_step(&s.f, 1) > 0, "there was less than half a window left");
    close_stream(&s);
}

/* A subscriber that reads soon finds the driver awake; one that does not lets it rest. */
Test(publication_ipc, a_producer_near_its_limit_keeps_the_driver_awake_until_it_stands_there) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    while (log_producer_position(&s.log) < WINDOW) {
        cr_assert(append(&s, 4064) > 0);
        bool is_near = log_producer_position(&s.log) > WINDOW / 2;
        cr_assert_eq(driver_fixture_step(&s.f, NS_PER_MS) > 0, is_near);
    }
    cr_assert(driver_fixture_step(&s.f, NS_PER_MS) == 0);
    close_stream(&s);
}

Test(publication_ipc, late_subscribers_join_where_the_others_are) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 992) == 1024);
    cr_assert(append(&s, 992) == 2048);
    consume(&s, 1024);
    struct response image;
    (void)driver_fixture_add_subscription(&s.f, "aeron:ipc", STREAM);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &image));
    cr_assert(driver_fixture_counter(&s.f, image.counter_id) == 1024);
    close_stream(&s);
}

Test(publication_ipc, late_subscribers_get_nothing_that_was_consumed_before_they_came) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 992) == 1024);
    cr_assert(append(&s, 992) == 2048);
    /* consumed, and the next that the driver does is to take the new subscription */
    driver_fixture_set_counter(&s.f, s.image.counter_id, 2048);
    struct response image;
    (void)driver_fixture_add_subscription(&s.f, "aeron:ipc", STREAM);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &image));
    cr_assert(driver_fixture_counter(&s.f, image.counter_id) == 2048);
    close_stream(&s);
}

Test(publication_ipc, a_closed_publication_drains_before_it_goes) {
    struct stream s;
    struct response response;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 100) == 160);
    remove_publication(&s, false);
    cr_assert(s.log.metadata->end_of_stream_position == 160);
    cr_assert(limit(&s) == 160);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(!driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    consume(&s, 160);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    cr_assert(response.registration_id == s.subscription.correlation_id);
    cr_assert(driver_fixture_count_files(&s.f, "publications") == 0);
    cr_assert(driver_fixture_count_counters(&s.f, COUNTER_TYPE_PUBLISHER_LIMIT) == 0);
    close_stream(&s);
}

Test(publication_ipc, a_dead_publishers_claim_does_not_stop_the_drain) {
    struct stream s;
    struct frame_header *frame;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 100) == 160);
    cr_assert(term_append_claim(&s.appender, 100, &frame) == 320);
    consume(&s, 160);
    remove_publication(&s, false);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(frame->frame_length > 0 && frame->type == FRAME_TYPE_PAD);
    consume(&s, 320);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(driver_fixture_count_files(&s.f, "publications") == 0);
    close_stream(&s);
}

Test(publication_ipc, a_claim_left_behind_is_unblocked_after_the_timeout) {
    struct stream s;
    struct frame_header *frame;
    open_stream(&s, "aeron:ipc");
    cr_assert(term_append_claim(&s.appender, 100, &frame) == 160);
    cr_assert(append(&s, 100) == 320);
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    for (int i = 0; i < 7; i++) {
        driver_fixture_run(&s.f, 2 * NS_PER_S);
        (void)driver_fixture_send(&s.f, &keepalive);
    }
    cr_assert(frame->frame_length < 0);
    log_sleeper_announce(s.log.metadata);
    driver_fixture_run(&s.f, 2 * NS_PER_S);
    cr_assert(s.log.metadata->sleeper == 0, "what was blocked can be read now");
    cr_assert(frame->frame_length == 132 && frame->type == FRAME_TYPE_PAD);
    cr_assert(driver_fixture_system_counter(&s.f, SYSTEM_COUNTER_UNBLOCKED_PUBLICATIONS) == 1);
    close_stream(&s);
}

Test(publication_ipc, revoking_ends_the_stream_without_draining) {
    struct stream s;
    struct response response;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 100) == 160);
    remove_publication(&s, true);
    cr_assert(s.log.metadata->is_publication_revoked == 1);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    cr_assert(s.log.metadata->end_of_stream_position == 160);
    cr_assert(driver_fixture_system_counter(&s.f, SYSTEM_COUNTER_PUBLICATIONS_REVOKED) == 1);
    cr_assert(driver_fixture_count_files(&s.f, "publications") == 0);
    close_stream(&s);
}

Test(publication_ipc, rejected_subscribers_come_back_after_the_cool_down) {
    struct stream s;
    struct response response;
    open_stream(&s, "aeron:ipc");
    struct command reject = {.type = COMMAND_REJECT_IMAGE,
                             .registration_id = s.image.correlation_id,
                             .text = driver_fixture_text("no")};
    (void)driver_fixture_send(&s.f, &reject);
    (void)driver_fixture_step(&s.f, 1);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_PUBLICATION_ERROR, &response));
    cr_assert(response.error_code == DRIVER_ERROR_IMAGE_REJECTED);
    cr_assert(driver_fixture_system_counter(&s.f, SYSTEM_COUNTER_ERRORS) == 1,
              "the reason is logged");
    cr_assert(driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    cr_assert(s.log.metadata->is_connected == 0);
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    driver_fixture_run(&s.f, 9 * NS_PER_S);
    (void)driver_fixture_send(&s.f, &keepalive);
    cr_assert(!driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &response));
    driver_fixture_run(&s.f, 2 * NS_PER_S);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &response));
    cr_assert(s.log.metadata->is_connected == 1);
    close_stream(&s);
}

Test(publication_ipc, an_untethered_laggard_is_left_behind_and_rejoins) {
    struct stream s;
    struct response response;
    open_stream(&s, "aeron:ipc");
    (void)driver_fixture_add_subscription(
        &s.f,
        "aeron:ipc?tether=false|untethered-window-limit-timeout=1s|untethered-resting-timeout=2s",
        STREAM);
    struct response loose;
    cr_assert(driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &loose));
    while (append(&s, 992) < WINDOW - 1024) {
    }
    consume(&s, WINDOW - 1024);
    driver_fixture_run(&s.f, 1500 * NS_PER_MS);
    /* The timeouts are those of the publication: 5 s, then 5 s, then 10 s by default. */
    cr_assert(!driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    driver_fixture_run(&s.f, 4 * NS_PER_S);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_UNAVAILABLE_IMAGE, &response));
    cr_assert(response.registration_id == loose.registration_id);
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    (void)driver_fixture_send(&s.f, &keepalive);
    cr_assert(limit(&s) == WINDOW, "in its linger time it still counts");
    driver_fixture_run(&s.f, 6 * NS_PER_S);
    (void)driver_fixture_send(&s.f, &keepalive);
    cr_assert(limit(&s) == 2 * WINDOW - 1024);
    driver_fixture_run(&s.f, 9 * NS_PER_S);
    (void)driver_fixture_send(&s.f, &keepalive);
    driver_fixture_run(&s.f, 2 * NS_PER_S);
    cr_assert(driver_fixture_find(&s.f, RESPONSE_AVAILABLE_IMAGE, &response));
    cr_assert(driver_fixture_counter(&s.f, response.counter_id) == WINDOW - 1024);
    close_stream(&s);
}

Test(publication_ipc, words_that_clients_overwrite_do_no_harm) {
    static const int64_t lies[] = {INT64_MAX, INT64_MIN, -1, 1, 31, INT64_C(1) << 62, 1 << 30};
    struct stream s;
    open_stream(&s, "aeron:ipc");
    cr_assert(append(&s, 992) == 1024);
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        consume(&s, lies[i]);
        driver_fixture_set_counter(&s.f, s.publication.counter_id, lies[i]);
        s.log.metadata->raw_tails[0] = lies[i];
        s.log.metadata->active_term_count = (int32_t)lies[i];
        driver_fixture_run(&s.f, 300 * NS_PER_MS);
        (void)driver_fixture_add_subscription(&s.f, "aeron:ipc", STREAM);
    }
    remove_publication(&s, false);
    driver_fixture_run(&s.f, NS_PER_S);
    /* Another stream is served as ever. */
    (void)driver_fixture_add_publication(&s.f, "aeron:ipc", STREAM + 1, false);
    close_stream(&s);
}

Test(publication_ipc, shared_adds_must_agree_and_count_handles) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    struct response second = driver_fixture_add_publication(&s.f, "aeron:ipc", STREAM, false);
    cr_assert(second.session_id == s.publication.session_id);
    cr_assert(second.registration_id == s.publication.correlation_id);
    struct command differing = {.type = COMMAND_ADD_PUBLICATION,
                                .stream_id = STREAM,
                                .channel = driver_fixture_text("aeron:ipc?mtu=2048")};
    cr_assert(driver_fixture_call(&s.f, &differing).type == RESPONSE_ERROR);
    remove_publication(&s, false);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(driver_fixture_count_files(&s.f, "publications") == 1);
    s.publication = second;
    remove_publication(&s, false);
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(driver_fixture_count_files(&s.f, "publications") == 0);
    close_stream(&s);
}

Test(publication_ipc, the_log_says_how_many_handles_write_and_when_that_is_unknown) {
    struct stream s;
    open_stream(&s, "aeron:ipc");
    cr_assert(s.log.metadata->writers == 1);
    log_sleeper_announce(s.log.metadata);
    struct response second = driver_fixture_add_publication(&s.f, "aeron:ipc", STREAM, false);
    cr_assert(s.log.metadata->writers == 2);
    cr_assert(s.log.metadata->sleeper == 0, "sleepers hear of the other writer");
    struct command close = {.type = COMMAND_CLIENT_CLOSE, .client_id = 777};
    struct command other = {.type = COMMAND_ADD_PUBLICATION,
                            .stream_id = STREAM,
                            .client_id = 777,
                            .channel = driver_fixture_text("aeron:ipc")};
    cr_assert(driver_fixture_call(&s.f, &other).type == RESPONSE_PUBLICATION_READY);
    cr_assert(s.log.metadata->writers == 3);
    remove_publication(&s, false);
    cr_assert(s.log.metadata->writers == 2);
    (void)driver_fixture_send(&s.f, &close); /* in good order: it uncounted itself before */
    driver_fixture_run(&s.f, NS_PER_S);
    cr_assert(s.log.metadata->writers == 1);
    other.client_id = 778;
    other.correlation_id = 0;
    cr_assert(driver_fixture_call(&s.f, &other).type == RESPONSE_PUBLICATION_READY);
    cr_assert(s.log.metadata->writers == 2);
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    for (int i = 0; i < 7; i++) { /* 778 dies: whether it was counted, nobody knows */
        driver_fixture_run(&s.f, 2 * NS_PER_S);
        (void)driver_fixture_send(&s.f, &keepalive);
    }
    cr_assert(s.log.metadata->writers == LOG_WRITERS_UNRELIABLE);
    s.publication = second;
    remove_publication(&s, false);
    cr_assert(s.log.metadata->writers == LOG_WRITERS_UNRELIABLE);
    close_stream(&s);
}
