/* The driver as a whole: start, directory, clients, counters, bad commands, the end. */
#include <criterion/criterion.h>
#include <errno.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "lib/driver_fixture.h"

static struct response call(struct driver_fixture *f, struct command command) {
    return driver_fixture_call(f, &command);
}

static void expect_error(struct response response, int code, const char *text) {
    cr_assert(response.type == RESPONSE_ERROR);
    cr_assert(response.error_code == code, "code %d: %.*s", response.error_code,
              response.text.length, response.text.text);
    char copy[512];
    (void)snprintf(copy, sizeof copy, "%.*s", response.text.length, response.text.text);
    cr_assert(strstr(copy, text) != NULL, "'%s' is not in: %s", text, copy);
}

Test(driver, starts_publishes_and_ends_cleanly) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    struct cnc cnc;
    char path[DRIVER_DIRECTORY_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/cnc.dat", f.conf.directory);
    cr_assert(cnc_open(&cnc, path, true, NULL) == 0);
    cr_assert(cnc_driver_heartbeat_ms(&cnc) == 1700000001000);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert(cnc_driver_heartbeat_ms(&cnc) >= 1700000001900);
    (void)driver_fixture_add_publication(&f, "aeron:ipc", 1, false);
    cr_assert(driver_fixture_count_files(&f, "publications") == 1);
    driver_close(f.driver);
    f.driver = NULL;
    cr_assert(cnc_driver_heartbeat_ms(&cnc) == -1);
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    cnc_close(&cnc);
    driver_fixture_close(&f);
}

Test(driver, two_drivers_live_in_one_process) {
    struct driver_fixture a;
    struct driver_fixture b;
    driver_fixture_init(&a);
    driver_fixture_init(&b);
    driver_fixture_open(&a);
    driver_fixture_open(&b);
    (void)driver_fixture_add_publication(&a, "aeron:ipc", 1, false);
    cr_assert(driver_fixture_count_files(&a, "publications") == 1);
    cr_assert(driver_fixture_count_files(&b, "publications") == 0);
    driver_fixture_close(&a);
    (void)driver_fixture_add_publication(&b, "aeron:ipc", 1, false);
    driver_fixture_close(&b);
}

Test(driver, an_active_directory_is_refused_and_a_stale_one_taken_over) {
    struct driver_fixture f;
    struct driver *second;
    struct tern_error error = {0};
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    cr_assert(driver_open(&second, &f.conf, &f.io, &error) == -EBUSY);
    cr_assert(strstr(error.text, f.conf.directory) != NULL, "%s", error.text);
    expect_error(call(&f, (struct command){.type = COMMAND_ADD_PUBLICATION,
                                           .channel = driver_fixture_text("aeron:ipc?mtu=zzz")}),
                 DRIVER_ERROR_GENERIC, "mtu");
    /* Its heartbeat stops: it is dead after the driver timeout, and its errors are saved. */
    f.now_ns += f.conf.driver_timeout_ns + NS_PER_S;
    cr_assert(driver_open(&second, &f.conf, &f.io, &error) == 0, "%s", error.text);
    glob_t found;
    char pattern[DRIVER_DIRECTORY_MAX + 16];
    (void)snprintf(pattern, sizeof pattern, "%s-*-error.log", f.conf.directory);
    cr_assert(glob(pattern, 0, NULL, &found) == 0);
    cr_assert(found.gl_pathc == 1);
    globfree(&found);
    driver_close(second);
    driver_fixture_close(&f);
}

Test(driver, a_directory_of_something_else_is_never_deleted) {
    struct driver_fixture f;
    struct tern_error error = {0};
    char path[DRIVER_DIRECTORY_MAX + 16];
    driver_fixture_init(&f);
    f.conf.dir_delete_on_start = true;
    cr_assert(mkdir(f.conf.directory, 0777) == 0);
    (void)snprintf(path, sizeof path, "%s/thesis.txt", f.conf.directory);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL && fclose(file) == 0);
    cr_assert(driver_open(&f.driver, &f.conf, &f.io, &error) == -EEXIST);
    cr_assert(access(path, F_OK) == 0);
    f.driver = NULL;
    driver_fixture_close(&f);
}

Test(driver, clients_live_by_heartbeat_and_end_by_silence_or_command) {
    struct driver_fixture f;
    struct response response;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    (void)driver_fixture_add_publication(&f, "aeron:ipc", 1, false);
    (void)driver_fixture_add_subscription(&f, "aeron:ipc", 1);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_CLIENT_HEARTBEAT) == 1);
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    for (int i = 0; i < 3; i++) {
        driver_fixture_run(&f, 5 * NS_PER_S);
        (void)driver_fixture_send(&f, &keepalive);
    }
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_CLIENT_TIMEOUTS) == 0);
    driver_fixture_run(&f, 11 * NS_PER_S);
    cr_assert(driver_fixture_find(&f, RESPONSE_CLIENT_TIMEOUT, &response));
    cr_assert(response.correlation_id == f.client_id);
    cr_assert(driver_fixture_find(&f, RESPONSE_UNAVAILABLE_COUNTER, &response));
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_CLIENT_TIMEOUTS) == 1);
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_SUBSCRIBER_POSITION) == 0);
    /* A close is no time-out. */
    f.client_id = driver_context_next_id(&f.driver->context);
    (void)driver_fixture_add_subscription(&f, "aeron:ipc", 1);
    struct command close = {.type = COMMAND_CLIENT_CLOSE};
    (void)driver_fixture_send(&f, &close);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_CLIENT_HEARTBEAT) == 0);
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_CLIENT_TIMEOUTS) == 1);
    driver_fixture_close(&f);
}

/* A clock that is set forward ends no living client, one that is set back keeps no dead one. */
Test(driver, clients_are_judged_by_the_monotonic_clock) {
    for (int direction = -1; direction <= 1; direction += 2) {
        struct driver_fixture f;
        driver_fixture_init(&f);
        driver_fixture_open(&f);
        struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
        (void)driver_fixture_add_publication(&f, "aeron:ipc", 1, false);
        driver_fixture_run(&f, NS_PER_S);
        f.epoch_ms += direction * 3600 * MS_PER_S;
        for (int i = 0; i < 3; i++) {
            driver_fixture_run(&f, 5 * NS_PER_S);
            (void)driver_fixture_send(&f, &keepalive);
        }
        cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_CLIENT_TIMEOUTS), 0);
        driver_fixture_run(&f, 11 * NS_PER_S);
        cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_CLIENT_TIMEOUTS), 1);
        driver_fixture_close(&f);
    }
}

Test(driver, counters_of_clients_and_static_ones) {
    struct driver_fixture f;
    struct response response;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    struct command add = {.type = COMMAND_ADD_COUNTER,
                          .counter_type_id = 1000,
                          .key = driver_fixture_text("abcdef"),
                          .label = driver_fixture_text("label")};
    response = driver_fixture_call(&f, &add);
    cr_assert(response.type == RESPONSE_COUNTER_READY);
    struct command clash = {.type = COMMAND_ADD_STATIC_COUNTER,
                            .registration_id = add.correlation_id,
                            .counter_type_id = 1000,
                            .label = driver_fixture_text("static")};
    expect_error(driver_fixture_call(&f, &clash), DRIVER_ERROR_GENERIC, "non-static");
    struct command fixed = clash;
    fixed.correlation_id = 0;
    fixed.registration_id = 4711;
    response = driver_fixture_call(&f, &fixed);
    cr_assert(response.type == RESPONSE_STATIC_COUNTER);
    int32_t static_id = response.counter_id;
    fixed.correlation_id = 0;
    cr_assert(driver_fixture_call(&f, &fixed).counter_id == static_id);
    struct command remove = {.type = COMMAND_REMOVE_COUNTER, .registration_id = add.correlation_id};
    cr_assert(driver_fixture_call(&f, &remove).type == RESPONSE_OPERATION_SUCCESS);
    cr_assert(driver_fixture_receive(&f, &response));
    cr_assert(response.type == RESPONSE_UNAVAILABLE_COUNTER);
    remove.correlation_id = 0;
    expect_error(driver_fixture_call(&f, &remove), DRIVER_ERROR_UNKNOWN_COUNTER, "counter");
    driver_fixture_run(&f, 12 * NS_PER_S); /* the client goes, the static counter stays */
    cr_assert(driver_fixture_count_counters(&f, 1000) == 1);
    driver_fixture_close(&f);
}

Test(driver, bad_commands_are_answered_and_logged) {
    struct driver_fixture f;
    struct response response;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    struct ring_mpsc *ring = &f.driver->context.to_driver;
    uint8_t payload[64] = {0};
    put_i64(payload + 8, 77);
    cr_assert(ring_mpsc_write(ring, 0x50, payload, sizeof payload) == RING_OK);
    cr_assert(ring_mpsc_write(ring, COMMAND_ADD_PUBLICATION, payload, 16) == RING_OK);
    cr_assert(ring_mpsc_write(ring, COMMAND_ADD_COUNTER, payload, 8) == RING_OK);
    cr_assert(ring_mpsc_write(ring, COMMAND_CLIENT_CLOSE, payload, 0) == RING_OK);
    (void)driver_fixture_step(&f, 1);
    cr_assert(driver_fixture_receive(&f, &response));
    cr_assert(response.correlation_id == 77);
    cr_assert(response.error_code == DRIVER_ERROR_UNKNOWN_COMMAND);
    cr_assert(driver_fixture_receive(&f, &response));
    cr_assert(response.error_code == DRIVER_ERROR_MALFORMED_COMMAND);
    cr_assert(!driver_fixture_receive(&f, &response));
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_ERRORS) == 4);
    driver_fixture_close(&f);
}

Test(driver, refused_channels_name_what_is_wrong) {
    static const struct {
        const char *channel;
        int code;
        const char *text;
    } rows[] = {
        {"aeron:tcp?endpoint=localhost:1", DRIVER_ERROR_INVALID_CHANNEL, "aeron:tcp"},
        {"aeron-spy:aeron:udp?endpoint=localhost:1", DRIVER_ERROR_INVALID_CHANNEL, "aeron-spy"},
        {"aeron:ipc?mtu=1000", DRIVER_ERROR_GENERIC, "mtu=1000"},
        {"aeron:ipc?term-length=100k", DRIVER_ERROR_GENERIC, "term-length=100k"},
        {"aeron:ipc?pub-wnd=40k", DRIVER_ERROR_GENERIC, "pub-wnd"},
        {"aeron:ipc?init-term-id=1", DRIVER_ERROR_GENERIC, "term-id is missing"},
        {"aeron:ipc?init-term-id=5|term-id=4|term-offset=0", DRIVER_ERROR_GENERIC, "init-term-id"},
        {"aeron:ipc?session-id=tag:9", DRIVER_ERROR_GENERIC, "session-id=tag:9"},
        {"aeron:ipc?response-correlation-id=3", DRIVER_ERROR_GENERIC, "response"},
        {"aeron:udp?endpoint=224.0.1.2:4000", DRIVER_ERROR_INVALID_CHANNEL, "odd"},
        {"aeron:udp?endpoint=127.0.0.1:4000|max-resend=0", DRIVER_ERROR_GENERIC, "max-resend=0"},
    };
    struct driver_fixture f;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect_error(call(&f, (struct command){.type = COMMAND_ADD_PUBLICATION,
                                               .stream_id = 1,
                                               .channel = driver_fixture_text(rows[i].channel)}),
                     rows[i].code, rows[i].text);
    }
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    driver_fixture_close(&f);
}

Test(driver, a_command_left_unfinished_is_unblocked) {
    struct driver_fixture f;
    uint8_t *payload;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    struct ring_mpsc *ring = &f.driver->context.to_driver;
    cr_assert(ring_mpsc_try_claim(ring, COMMAND_CLIENT_KEEPALIVE, 16, &payload) == RING_OK);
    struct command add = {.type = COMMAND_ADD_COUNTER, .counter_type_id = 1000};
    (void)driver_fixture_send(&f, &add);
    driver_fixture_run(&f, 9 * NS_PER_S);
    cr_assert(driver_fixture_count_counters(&f, 1000) == 0);
    driver_fixture_run(&f, 2 * NS_PER_S);
    cr_assert(driver_fixture_count_counters(&f, 1000) == 1);
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_UNBLOCKED_COMMANDS) == 1);
    driver_fixture_close(&f);
}

Test(driver, terminate_needs_permission) {
    for (int allowed = 0; allowed <= 1; allowed++) {
        struct driver_fixture f;
        driver_fixture_init(&f);
        (void)snprintf(f.conf.termination, sizeof f.conf.termination, "%s",
                       allowed ? "allow" : "deny");
        driver_fixture_open(&f);
        struct command terminate = {.type = COMMAND_TERMINATE_DRIVER, .correlation_id = -1};
        (void)driver_fixture_send(&f, &terminate);
        (void)driver_fixture_step(&f, 1);
        cr_assert(driver_is_terminated(f.driver) == (allowed == 1));
        driver_fixture_close(&f);
    }
}

Test(driver, session_ids_skip_reserved_and_used_ones) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    f.conf.reserved_session_id_low = 100;
    f.conf.reserved_session_id_high = 200;
    driver_fixture_open(&f);
    f.driver->context.next_session_id = 99;
    cr_assert(driver_fixture_add_publication(&f, "aeron:ipc", 1, true).session_id == 99);
    cr_assert(driver_fixture_add_publication(&f, "aeron:ipc", 1, true).session_id == 201);
    (void)driver_fixture_add_publication(&f, "aeron:ipc?session-id=202", 1, true);
    cr_assert(driver_fixture_add_publication(&f, "aeron:ipc", 1, true).session_id == 203);
    expect_error(
        call(&f, (struct command){.type = COMMAND_ADD_EXCLUSIVE_PUBLICATION,
                                  .stream_id = 1,
                                  .channel = driver_fixture_text("aeron:ipc?session-id=203")}),
        DRIVER_ERROR_INVALID_CHANNEL, "session-id=203");
    struct response next =
        call(&f, (struct command){.type = COMMAND_NEXT_SESSION_ID, .stream_id = 1});
    cr_assert(next.session_id == 204);
    f.driver->context.next_session_id = INT32_MAX;
    cr_assert(driver_fixture_add_publication(&f, "aeron:ipc", 2, true).session_id == INT32_MAX);
    cr_assert(driver_fixture_add_publication(&f, "aeron:ipc", 2, true).session_id == INT32_MIN);
    driver_fixture_close(&f);
}

static int64_t no_space(void *context, const char *path) {
    (void)path;
    return *(const int64_t *)context;
}

static int broken_unlink(void *context, const char *path) {
    (void)path;
    return *(const int64_t *)context < 0 ? -EIO : 0;
}

/* The store has one context: the memory stands behind the space. */
static int64_t little_memory(void *context, const char *path) {
    (void)path;
    return ((const int64_t *)context)[1];
}

/* A log of 64 KiB terms is 200 704 bytes long. */
Test(driver, filled_log_files_need_memory_besides_room) {
    struct driver_fixture f;
    int64_t space_and_memory[] = {INT64_MAX, 200703 + 64 * 1024 * 1024};
    driver_fixture_init(&f);
    f.store.context = space_and_memory;
    f.store.usable_space = no_space;
    f.store.usable_memory = little_memory;
    driver_fixture_open(&f);
    struct command add = {.type = COMMAND_ADD_PUBLICATION,
                          .stream_id = 1,
                          .channel = driver_fixture_text("aeron:ipc?term-length=64k|sparse=false")};
    expect_error(driver_fixture_call(&f, &add), DRIVER_ERROR_STORAGE_SPACE, "insufficient memory");
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    space_and_memory[1] = 200704 + 64 * 1024 * 1024;
    add.correlation_id = 0;
    cr_assert(driver_fixture_call(&f, &add).type == RESPONSE_PUBLICATION_READY);
    space_and_memory[1] = 0;
    add = (struct command){.type = COMMAND_ADD_PUBLICATION,
                           .stream_id = 2,
                           .channel = driver_fixture_text("aeron:ipc?term-length=64k|sparse=true")};
    cr_assert(driver_fixture_call(&f, &add).type == RESPONSE_PUBLICATION_READY);
    driver_fixture_close(&f);
}

Test(driver, log_files_need_room_and_are_deleted_again_later) {
    struct driver_fixture f;
    int64_t space = 100000;
    driver_fixture_init(&f);
    f.store.context = &space;
    f.store.usable_space = no_space;
    f.store.unlink = broken_unlink;
    driver_fixture_open(&f);
    struct command add = {.type = COMMAND_ADD_PUBLICATION,
                          .stream_id = 1,
                          .channel = driver_fixture_text("aeron:ipc")};
    expect_error(driver_fixture_call(&f, &add), DRIVER_ERROR_STORAGE_SPACE, f.conf.directory);
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    space = 300000; /* enough, but below the warning threshold */
    int64_t errors = driver_fixture_system_counter(&f, SYSTEM_COUNTER_ERRORS);
    add.correlation_id = 0;
    struct response ready = driver_fixture_call(&f, &add);
    cr_assert(ready.type == RESPONSE_PUBLICATION_READY);
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_ERRORS) == errors + 1);
    space = -1;
    struct command remove = {.type = COMMAND_REMOVE_PUBLICATION,
                             .registration_id = add.correlation_id};
    (void)driver_fixture_call(&f, &remove);
    driver_fixture_run(&f, 500 * NS_PER_MS);
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_FREE_FAILS) == 1);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert(driver_fixture_system_counter(&f, SYSTEM_COUNTER_FREE_FAILS) == 2);
    space = 1;
    driver_fixture_run(&f, 2 * NS_PER_S);
    cr_assert(f.driver->log_agent.discarded.first == NULL);
    cr_assert(f.driver->log_agent.failed.first == NULL);
    driver_fixture_close(&f);
}

static void note_rest(void *context, struct net_poller *const *pollers, int count,
                      int64_t timeout_ns) {
    int64_t *rest_ns = context;
    (void)pollers;
    (void)count;
    *rest_ns = timeout_ns;
}

Test(driver, without_streams_it_rests_longer_than_it_parks_with_them) {
    static const int64_t rests[][2] = {
        {0, 0},
        {NS_PER_US, 5 * NS_PER_US},
        {NS_PER_MS, 5 * NS_PER_MS},
        {4 * NS_PER_MS, 20 * NS_PER_MS},
        {30 * NS_PER_MS, 30 * NS_PER_MS},
        {INT64_MAX, INT64_MAX},
    };
    struct driver_fixture f;
    struct agent_runner_params params = {0};
    struct tern_error error = {0};
    int64_t rest_ns = -1;
    driver_fixture_init(&f);
    f.net.context = &rest_ns;
    f.net.wait = note_rest;
    driver_fixture_open(&f);
    cr_assert(driver_main_agent(f.driver, &params, &error) == 0, "%s", error.text);
    for (size_t i = 0; i < ARRAY_COUNT(rests); i++) {
        agent_wait(&params.agent, rests[i][0]);
        cr_expect_eq(rest_ns, rests[i][1], "%zu: %lld", i, (long long)rest_ns);
    }
    (void)driver_fixture_add_publication(&f, "aeron:ipc", 1, false);
    agent_wait(&params.agent, 4 * NS_PER_MS);
    cr_expect_eq(rest_ns, 4 * NS_PER_MS, "%lld", (long long)rest_ns);
    driver_fixture_close(&f);
}
