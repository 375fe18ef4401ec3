/* The event log is on while trace.dat is there: what it holds, and that it goes off by itself. The
 * test is the reader. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/driver_fixture.h"
#include "shm/trace_file.h"
#include "wire/frame.h"

#define STREAM 10
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:28731"
/* Tests run side by side. */
#define OTHER_CHANNEL "aeron:udp?endpoint=127.0.0.1:28732"
#define ALL                                                                                        \
    (1 << TRACE_FRAME_SENT | 1 << TRACE_FRAME_RECEIVED | 1 << TRACE_COMMAND | 1 << TRACE_RESPONSE)

struct seen {
    int counts[TRACE_RESPONSE + 1];
    int setups;
    int status_messages;
    int adds;
    int readies;
};

static void on_event(void *context, enum trace_kind kind, const struct trace_event *event,
                     const uint8_t *data, int32_t length) {
    struct seen *seen = context;
    cr_assert(kind >= TRACE_FRAME_SENT && kind <= TRACE_RESPONSE);
    cr_assert_leq(length, event->length);
    seen->counts[kind]++;
    if (kind == TRACE_FRAME_SENT || kind == TRACE_FRAME_RECEIVED) {
        static const uint8_t loopback[] = {127, 0, 0, 1};
        cr_assert_eq(event->address_type, 1);
        cr_assert_eq(memcmp(event->address, loopback, 4), 0);
        cr_assert_neq(event->port, 0);
        cr_assert_geq(length, FRAME_COMMON_LENGTH);
        seen->setups += data[6] == FRAME_TYPE_SETUP;
        seen->status_messages += data[6] == FRAME_TYPE_SM;
    }
    seen->adds += kind == TRACE_COMMAND && event->type == COMMAND_ADD_PUBLICATION;
    seen->readies += kind == TRACE_RESPONSE && event->type == RESPONSE_PUBLICATION_READY;
}

static void switch_on(struct driver_fixture *f, struct trace_file *reader, char *path,
                      int32_t kinds) {
    struct tern_error error;
    (void)snprintf(path, DRIVER_DIRECTORY_MAX + 32, "%s/%s", f->conf.directory, TRACE_FILE_NAME);
    int result = trace_file_create(reader, path, kinds, clock_epoch_ms(&f->clock), &error);
    cr_assert_eq(result, 0, "%s", error.text);
    driver_fixture_run(f, 2 * NS_PER_S);
    cr_assert_eq(reader->header->is_attached, 1);
    cr_assert_not_null(f->driver->context.trace_file);
}

Test(trace, frames_and_commands_are_logged_while_somebody_looks) {
    struct driver_fixture f;
    struct trace_file reader;
    struct seen seen = {0};
    char path[DRIVER_DIRECTORY_MAX + 32];
    driver_fixture_init(&f);
    f.conf.client_liveness_timeout_ns = 1000 * NS_PER_S;
    driver_fixture_open(&f);
    (void)driver_fixture_add_subscription(&f, CHANNEL, STREAM);
    cr_assert_null(f.driver->context.trace_file);
    switch_on(&f, &reader, path, ALL);
    (void)driver_fixture_add_publication(&f, CHANNEL, STREAM, false);
    driver_fixture_run(&f, NS_PER_S);
    while (trace_file_read(&reader, on_event, &seen) > 0) {
    }
    cr_assert_eq(seen.adds, 1);
    cr_assert_eq(seen.readies, 1);
    cr_assert_eq(seen.counts[TRACE_COMMAND], 1);
    /* Sent by one socket of the driver and received by another one. */
    cr_assert_eq(seen.counts[TRACE_FRAME_SENT], seen.counts[TRACE_FRAME_RECEIVED]);
    cr_assert_geq(seen.setups, 2);
    cr_assert_geq(seen.status_messages, 2);
    cr_assert_eq(reader.header->dropped_count, 0);

    trace_file_end(&reader, path); /* off */
    driver_fixture_run(&f, 3 * NS_PER_S);
    cr_assert_null(f.driver->context.trace_file);
    cr_assert_eq(f.driver->trace.state, TRACE_STATE_OFF);
    while (trace_file_read(&reader, on_event, &seen) > 0) {
    }
    driver_fixture_run(&f, NS_PER_S);
    cr_assert_eq(trace_file_read(&reader, on_event, &seen), 0);
    trace_file_close(&reader);

    /* On again; somebody removes the file. */
    switch_on(&f, &reader, path, ALL);
    cr_assert_eq(unlink(path), 0);
    driver_fixture_run(&f, 3 * NS_PER_S);
    cr_assert_eq(f.driver->trace.state, TRACE_STATE_OFF);

    /* On again, and again before the driver has noticed the end of the one before. */
    trace_file_close(&reader);
    switch_on(&f, &reader, path, ALL);
    trace_file_end(&reader, path);
    trace_file_close(&reader);
    struct tern_error error;
    cr_assert_eq(trace_file_create(&reader, path, ALL, clock_epoch_ms(&f.clock), &error), 0);
    driver_fixture_run(&f, 4 * NS_PER_S);
    cr_assert_eq(reader.header->is_attached, 1);
    trace_file_end(&reader, path);
    driver_fixture_run(&f, 3 * NS_PER_S);
    trace_file_close(&reader);

    /* For commands only; the driver ends meanwhile. */
    seen = (struct seen){0};
    switch_on(&f, &reader, path, 1 << TRACE_COMMAND | 1 << TRACE_RESPONSE);
    (void)driver_fixture_add_publication(&f, CHANNEL, STREAM + 1, false);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert_gt(trace_file_read(&reader, on_event, &seen), 0);
    cr_assert_eq(seen.adds, 1);
    cr_assert_eq(seen.counts[TRACE_FRAME_SENT] + seen.counts[TRACE_FRAME_RECEIVED], 0);
    driver_close(f.driver);
    f.driver = NULL;
    cr_assert_neq(access(path, F_OK), 0, "it goes with the driver");
    trace_file_close(&reader);
    driver_fixture_close(&f);
}

Test(trace, a_command_that_waits_in_the_ring_is_logged_once) {
    struct driver_fixture f;
    struct trace_file reader;
    struct seen seen = {0};
    char path[DRIVER_DIRECTORY_MAX + 32];
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    switch_on(&f, &reader, path, ALL);
    struct command add = {.type = COMMAND_ADD_PUBLICATION,
                          .stream_id = STREAM,
                          .channel = driver_fixture_text("aeron:ipc")};
    for (int i = 0; i < PENDING_CLIENTS_MAX + 1; i++) { /* one more than may wait */
        add.client_id = 1000 + i;
        add.correlation_id = 0;
        (void)driver_fixture_send(&f, &add);
    }
    for (int i = 0; i < 100; i++) {
        (void)conductor_do_work(&f.driver->conductor, f.now_ns);
    }
    cr_assert(f.driver->conductor.is_command_repeated);
    driver_fixture_run(&f, NS_PER_S);
    while (trace_file_read(&reader, on_event, &seen) > 0) {
    }
    cr_assert_eq(seen.adds, PENDING_CLIENTS_MAX + 1);
    cr_assert_eq(seen.readies, PENDING_CLIENTS_MAX + 1);
    trace_file_close(&reader);
    driver_fixture_close(&f);
}

Test(trace, a_reader_that_died_or_talks_nonsense_is_switched_off) {
    struct driver_fixture f;
    struct trace_file reader;
    struct seen seen = {0};
    char path[DRIVER_DIRECTORY_MAX + 32];
    driver_fixture_init(&f);
    f.conf.client_liveness_timeout_ns = 1000 * NS_PER_S;
    driver_fixture_open(&f);
    (void)driver_fixture_add_subscription(&f, OTHER_CHANNEL, STREAM);
    (void)driver_fixture_add_publication(&f, OTHER_CHANNEL, STREAM, false);
    switch_on(&f, &reader, path, ALL);
    for (int i = 0; i < 8 && access(path, F_OK) == 0;
         i++) { /* alive, and does not read: it fills */
        for (int k = 0; k < 2000; k++) {
            struct command keepalive = {.type = COMMAND_NEXT_SESSION_ID, .stream_id = STREAM};
            (void)driver_fixture_send(&f, &keepalive);
            (void)driver_fixture_step(&f, NS_PER_US);
        }
        store_release_i64(&reader.header->reader_heartbeat_ms, clock_epoch_ms(&f.clock));
        driver_fixture_run(&f, NS_PER_S);
    }
    cr_assert_gt(reader.header->dropped_count, 0);
    cr_assert_eq(access(path, F_OK), 0);
    while (trace_file_read(&reader, on_event, &seen) > 0) {
    }
    cr_assert_gt(seen.counts[TRACE_COMMAND], 1000);
    driver_fixture_run(&f, TRACE_READER_TIMEOUT_MS * NS_PER_MS + 5 * NS_PER_S); /* dead */
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_eq(f.driver->trace.state, TRACE_STATE_OFF);
    cr_assert_null(f.driver->context.trace_file);
    trace_file_close(&reader);

    int64_t errors = driver_fixture_system_counter(&f, SYSTEM_COUNTER_ERRORS);
    struct tern_error error;
    cr_assert_eq(trace_file_create(&reader, path, ALL, 0, &error), 0);
    store_release_i32(&reader.header->version, 77);
    driver_fixture_run(&f, 2 * NS_PER_S);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_null(f.driver->context.trace_file);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_ERRORS), errors + 1);
    trace_file_close(&reader);

    FILE *file = fopen(path, "w"); /* too long, and not ours */
    cr_assert_not_null(file);
    cr_assert_eq(ftruncate(fileno(file), 8 << 20), 0);
    (void)fclose(file);
    driver_fixture_run(&f, 2 * NS_PER_S);
    cr_assert_neq(access(path, F_OK), 0);
    cr_assert_null(f.driver->context.trace_file);
    driver_fixture_close(&f);
}
