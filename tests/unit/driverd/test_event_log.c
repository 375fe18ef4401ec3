/* The event log of a driver's whole life: which events, and what stands in the file. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driverd/event_log.h"
#include "lib/driver_fixture.h"

#define STREAM 10
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:28741"
#define FRAMES (1 << TRACE_FRAME_SENT | 1 << TRACE_FRAME_RECEIVED)
#define MESSAGES (1 << TRACE_COMMAND | 1 << TRACE_RESPONSE)

static struct event_selection parse(const char *enabled, const char *disabled) {
    struct event_selection selection;
    struct tern_error error = {0};
    cr_assert_eq(event_selection_parse(&selection, enabled, disabled, &error), 0, "%s", error.text);
    return selection;
}

Test(event_log, events_are_chosen_by_name) {
    cr_assert_eq(parse("", "").kinds, 0);
    cr_assert_eq(parse("all", "").kinds, FRAMES | MESSAGES);
    cr_assert_eq(parse("admin", "").kinds, MESSAGES);
    cr_assert_eq(parse("all", "FRAME_IN,CMD_OUT_ERROR").kinds, 1 << TRACE_FRAME_SENT | MESSAGES);
    struct event_selection one = parse("CMD_IN_ADD_PUBLICATION", "");
    cr_assert_eq(one.kinds, 1 << TRACE_COMMAND);
    cr_assert_eq(one.commands, UINT32_C(1) << COMMAND_ADD_PUBLICATION);
    cr_assert_eq(one.responses, 0);
    cr_assert_eq(parse("CMD_IN_ADD_PUBLICATION", "CMD_IN_ADD_PUBLICATION").kinds, 0);
    struct event_selection aliases =
        parse("CMD_IN_KEEPALIVE_CLIENT, CMD_OUT_ON_OPERATION_SUCCESS", "");
    cr_assert_eq(aliases.commands, UINT32_C(1) << COMMAND_CLIENT_KEEPALIVE);
    cr_assert_eq(aliases.responses, UINT32_C(1) << (RESPONSE_OPERATION_SUCCESS & 31));
    static const char *const bad[] = {"frames", "CMD_IN_", "CMD_IN_ERROR", "0xff",
                                      "CMD_OUT_ADD_PUBLICATION"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct event_selection selection;
        struct tern_error error;
        cr_assert_eq(event_selection_parse(&selection, bad[i], "", &error), -EINVAL, "%s", bad[i]);
        cr_assert_not_null(strstr(error.text, bad[i]), "%s", error.text);
    }
}

static void set_file(struct driver_fixture *f, const char *events, const char * not ) {
    (void)snprintf(f->conf.event_log, sizeof f->conf.event_log, "%s", events);
    (void)snprintf(f->conf.event_log_disable, sizeof f->conf.event_log_disable, "%s", not );
    (void)snprintf(f->conf.event_log_filename, sizeof f->conf.event_log_filename,
                   "/dev/shm/tern-events.%d", (int)getpid());
}

static char *read_text(const char *path) {
    static char text[1 << 20];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s: %s", path, strerror(errno));
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    (void)fclose(file);
    return text;
}

static void exchange(struct driver_fixture *f) {
    (void)driver_fixture_add_subscription(f, CHANNEL, STREAM);
    (void)driver_fixture_add_publication(f, CHANNEL, STREAM, false);
    driver_fixture_run(f, NS_PER_S);
}

Test(event_log, a_file_has_what_was_chosen_beside_a_trace_at_run_time) {
    struct driver_fixture f;
    struct trace_file reader;
    struct tern_error error;
    char path[DRIVER_DIRECTORY_MAX + 32];
    driver_fixture_init(&f);
    set_file(&f, "all", "CMD_OUT_AVAILABLE_IMAGE,CMD_IN_ADD_SUBSCRIPTION");
    driver_fixture_open(&f);
    (void)snprintf(path, sizeof path, "%s/%s", f.conf.directory, TRACE_FILE_NAME);
    cr_assert_eq(trace_file_create(&reader, path, MESSAGES, clock_epoch_ms(&f.clock), &error), 0);
    driver_fixture_run(&f, 2 * NS_PER_S);
    exchange(&f);
    const char *text = read_text(f.conf.event_log_filename);
    static const char *const there[] = {"Z command  ADD_PUBLICATION client",
                                        "Z response PUBLICATION_READY",
                                        "channel aeron:udp?endpoint=127.0.0.1:28741",
                                        "sent     to 127.0.0.1:28741 40 bytes SETUP",
                                        "received from 127.0.0.1:",
                                        " SM flags "};
    for (size_t i = 0; i < sizeof there / sizeof *there; i++) {
        cr_assert_not_null(strstr(text, there[i]), "%s in:\n%s", there[i], text);
    }
    cr_assert_null(strstr(text, "ADD_SUBSCRIPTION"));
    cr_assert_null(strstr(text, "AVAILABLE_IMAGE"));
    cr_assert_not_null(strstr(text, "response SUBSCRIPTION_READY"));
    trace_file_close(&reader);
    driver_fixture_close(&f);
    (void)unlink(f.conf.event_log_filename);
}

Test(event_log, a_full_file_makes_room_for_a_new_one) {
    struct driver_fixture f;
    char rolled[DRIVER_DIRECTORY_MAX + 8];
    driver_fixture_init(&f);
    set_file(&f, "all", "");
    f.conf.event_log_length_max = 1000;
    driver_fixture_open(&f);
    exchange(&f);
    driver_fixture_run(&f, 5 * NS_PER_S); /* setups or heartbeats, status messages */
    driver_fixture_close(&f);
    (void)snprintf(rolled, sizeof rolled, "%s.1", f.conf.event_log_filename);
    cr_assert_geq(strlen(read_text(rolled)), 1000);
    cr_assert_gt(strlen(read_text(f.conf.event_log_filename)), 0);
    (void)unlink(rolled);
    (void)unlink(f.conf.event_log_filename);
}

Test(event_log, a_file_that_cannot_be_opened_is_an_error_at_start) {
    struct driver_conf conf;
    struct event_log log;
    struct tern_error error;
    driver_conf_defaults(&conf);
    cr_assert_eq(event_log_open(&log, &conf, clock_system(), &error), 0);
    cr_assert(!event_log_is_on(&log));
    (void)snprintf(conf.event_log, sizeof conf.event_log, "admin");
    (void)snprintf(conf.event_log_filename, sizeof conf.event_log_filename, "/nowhere/events");
    cr_assert_eq(event_log_open(&log, &conf, clock_system(), &error), -ENOENT);
    cr_assert_not_null(strstr(error.text, "/nowhere/events"), "%s", error.text);
    event_log_close(&log);
}
