/* The conductor's UDP side through a whole driver on loopback sockets: images, spies, destinations,
 * endpoints, names. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/bits.h"
#include "driverd/log_file.h"
#include "lib/barrier_state.h"
#include "lib/driver_fixture.h"
#include "lib/refused_call.h"
#include "shm/term_append.h"

#define STREAM 10

struct names {
    int calls;
    int result;
};

static int resolve(void *context, const char *host, union net_address *address,
                   struct tern_error *error) {
    struct names *names = context;
    names->calls++;
    if (names->result < 0) {
        return error_set(error, names->result, "cannot resolve %s", host);
    }
    return net_address_parse("127.0.0.1", address);
}

static struct response call(struct driver_fixture *f, struct command command) {
    return driver_fixture_call(f, &command);
}

/* The port that a wildcard subscription got, from its address counter. */
static uint16_t bound_port(const struct driver_fixture *f, int32_t status_id) {
    const struct cnc *cnc = &f->driver->context.cnc;
    const struct counter_metadata *metadata = (const void *)cnc->counters_metadata;
    for (int32_t i = 0; i < 200; i++) {
        if (metadata[i].state == COUNTER_STATE_ALLOCATED &&
            metadata[i].type_id == COUNTER_TYPE_LOCAL_SOCKADDR &&
            get_i32(metadata[i].key) == status_id) {
            char text[64];
            union net_address address;
            (void)snprintf(text, sizeof text, "%.*s", get_i32(metadata[i].key + 4),
                           (const char *)metadata[i].key + 8);
            cr_assert(net_address_parse(text, &address) == 0, "%s", text);
            return net_address_port(&address);
        }
    }
    cr_assert(false, "no address counter");
    return 0;
}

static bool await(struct driver_fixture *f, int32_t type, struct response *response) {
    for (int i = 0; i < 5000; i++) {
        if (driver_fixture_find(f, type, response)) {
            return true;
        }
        (void)driver_fixture_step(f, NS_PER_MS);
    }
    return false;
}

Test(network, data_goes_from_publication_to_image_and_everything_ends) {
    struct driver_fixture f;
    struct response image;
    char channel[64];
    driver_fixture_init(&f);
    f.conf.image_liveness_timeout_ns = NS_PER_S;
    driver_fixture_open(&f);
    struct response subscription =
        driver_fixture_add_subscription(&f, "aeron:udp?endpoint=127.0.0.1:0", STREAM);
    (void)snprintf(channel, sizeof channel, "aeron:udp?endpoint=127.0.0.1:%d",
                   bound_port(&f, subscription.channel_status_id));
    struct response publication = driver_fixture_add_publication(&f, channel, STREAM, false);
    cr_assert(await(&f, RESPONSE_AVAILABLE_IMAGE, &image));
    cr_assert(image.session_id == publication.session_id);
    for (int i = 0; i < 100 && driver_fixture_counter(&f, publication.counter_id) == 0; i++) {
        (void)driver_fixture_step(&f, NS_PER_MS);
    }
    cr_assert(driver_fixture_counter(&f, publication.counter_id) == 32768);
    struct log_buffer log;
    char path[LOG_FILE_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/publications/%lld.logbuffer", f.conf.directory,
                   (long long)publication.correlation_id);
    cr_assert(log_buffer_open(&log, path, NULL) == 0);
    struct term_appender appender = {.log = &log,
                                     .session_id = publication.session_id,
                                     .stream_id = STREAM,
                                     .payload_length_max = 1376,
                                     .message_length_max = 8192};
    struct iovec vector = {"hello", 5};
    cr_assert(term_append_message(&appender, &vector, 1, 5, NULL, NULL) == 64);
    int32_t receiver_position = -1;
    const struct cnc *cnc = &f.driver->context.cnc;
    const struct counter_metadata *metadata = (const void *)cnc->counters_metadata;
    for (int32_t i = 0; i < 200; i++) {
        receiver_position =
            metadata[i].type_id == COUNTER_TYPE_RECEIVER_POSITION ? i : receiver_position;
    }
    for (int i = 0; i < 100 && driver_fixture_counter(&f, receiver_position) == 0; i++) {
        (void)driver_fixture_step(&f, NS_PER_MS);
    }
    cr_assert(driver_fixture_counter(&f, receiver_position) == 64);
    driver_fixture_set_counter(&f, image.counter_id, 64);
    struct command remove = {.type = COMMAND_REMOVE_PUBLICATION,
                             .registration_id = publication.correlation_id};
    (void)driver_fixture_call(&f, &remove);
    cr_assert(await(&f, RESPONSE_UNAVAILABLE_IMAGE, &image));
    struct command keepalive = {.type = COMMAND_CLIENT_KEEPALIVE};
    (void)driver_fixture_send(&f, &keepalive);
    driver_fixture_run(&f, 9 * NS_PER_S); /* linger: 5 s */
    cr_assert(driver_fixture_count_files(&f, "publications") == 0);
    cr_assert(driver_fixture_count_files(&f, "images") == 0);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_SEND_CHANNEL_STATUS) == 0);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_RECEIVE_CHANNEL_STATUS) == 1);
    log_buffer_close(&log);
    driver_fixture_close(&f);
}

Test(network, spies_and_destinations_follow_their_publication) {
    struct driver_fixture f;
    struct response response;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    struct response publication = driver_fixture_add_publication(
        &f, "aeron:udp?control-mode=manual|tags=7|ssc=true", STREAM, false);
    (void)driver_fixture_add_subscription(&f, "aeron-spy:aeron:udp?tags=7", STREAM);
    cr_assert(await(&f, RESPONSE_AVAILABLE_IMAGE, &response));
    cr_assert(response.correlation_id == publication.correlation_id);
    struct command add = {.type = COMMAND_ADD_DESTINATION,
                          .registration_id = publication.correlation_id,
                          .channel = driver_fixture_text("aeron:udp?endpoint=127.0.0.1:28700")};
    cr_assert(driver_fixture_call(&f, &add).type == RESPONSE_OPERATION_SUCCESS);
    struct command remove = {.type = COMMAND_REMOVE_DESTINATION_BY_ID,
                             .registration_id = publication.correlation_id,
                             .destination_id = add.correlation_id};
    cr_assert(driver_fixture_call(&f, &remove).type == RESPONSE_OPERATION_SUCCESS);
    remove.correlation_id = 0;
    cr_assert(driver_fixture_call(&f, &remove).type == RESPONSE_ERROR, "it is gone");
    add.correlation_id = 0;
    add.registration_id = 987654;
    response = driver_fixture_call(&f, &add);
    cr_assert(response.error_code == DRIVER_ERROR_UNKNOWN_PUBLICATION);
    driver_fixture_close(&f);
}

Test(network, a_group_that_is_a_destination_answers_by_the_interface_of_the_destination) {
    static const char group[] = "aeron:udp?endpoint=224.20.30.39:28702|interface=localhost|ttl=1";
    struct driver_fixture f;
    struct response image;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    (void)driver_fixture_add_subscription(&f, group, STREAM);
    struct response publication =
        driver_fixture_add_publication(&f, "aeron:udp?control-mode=manual", STREAM, false);
    struct command add = {.type = COMMAND_ADD_DESTINATION,
                          .registration_id = publication.correlation_id,
                          .channel = driver_fixture_text(group)};
    cr_assert(driver_fixture_call(&f, &add).type == RESPONSE_OPERATION_SUCCESS);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_LOCAL_SOCKADDR) == 3);
    cr_assert(await(&f, RESPONSE_AVAILABLE_IMAGE, &image), "SETUP comes to the group");
    for (int i = 0; i < 1000 && driver_fixture_counter(&f, publication.counter_id) == 0; i++) {
        (void)driver_fixture_step(&f, NS_PER_MS);
    }
    cr_assert(driver_fixture_counter(&f, publication.counter_id) > 0, "a status message came");
    struct command remove = {.type = COMMAND_REMOVE_DESTINATION,
                             .registration_id = publication.correlation_id,
                             .channel = driver_fixture_text(group)};
    cr_assert(driver_fixture_call(&f, &remove).type == RESPONSE_OPERATION_SUCCESS);
    driver_fixture_run(&f, 100 * NS_PER_MS);
    cr_assert(driver_fixture_count_counters(&f, COUNTER_TYPE_LOCAL_SOCKADDR) == 2);
    driver_fixture_close(&f);
}

Test(network, subscriptions_of_one_stream_must_agree) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    (void)driver_fixture_add_subscription(&f, "aeron:udp?endpoint=127.0.0.1:28701", STREAM);
    struct response clash =
        call(&f, (struct command){.type = COMMAND_ADD_SUBSCRIPTION,
                                  .stream_id = STREAM,
                                  .channel = driver_fixture_text(
                                      "aeron:udp?endpoint=127.0.0.1:28701|reliable=false")});
    cr_assert(clash.type == RESPONSE_ERROR);
    cr_assert(memmem(clash.text.text, (size_t)clash.text.length, "reliable", 8) != NULL);
    (void)driver_fixture_add_subscription(&f, "aeron:udp?endpoint=127.0.0.1:28701|reliable=false",
                                          STREAM + 1);
    driver_fixture_close(&f);
}

Test(network, names_are_looked_up_off_the_cycle_and_only_their_client_waits) {
    struct driver_fixture f;
    struct names names = {0};
    struct response response;
    driver_fixture_init(&f);
    f.net.context = &names;
    f.net.resolve = resolve;
    driver_fixture_open(&f);
    struct command named = {.type = COMMAND_ADD_PUBLICATION,
                            .stream_id = STREAM,
                            .channel = driver_fixture_text("aeron:udp?endpoint=some-host:28702")};
    struct command again = {.type = COMMAND_ADD_SUBSCRIPTION,
                            .stream_id = STREAM,
                            .channel = driver_fixture_text("aeron:udp?endpoint=some-host:28702")};
    struct command counter = {.type = COMMAND_ADD_COUNTER, .counter_type_id = 1000};
    struct command other = {
        .type = COMMAND_ADD_COUNTER, .counter_type_id = 1001, .client_id = 987654};
    const int64_t expected[] = {
        driver_fixture_send(&f, &named),
        driver_fixture_send(&f, &again),
        driver_fixture_send(&f, &counter),
    };
    (void)driver_fixture_send(&f, &other);
    /* The cycle of the conductor alone: the look-up is the resolver's. */
    (void)conductor_do_work(&f.driver->conductor, f.now_ns);
    cr_assert(names.calls == 0);
    cr_assert(driver_fixture_count_counters(&f, 1000) == 0, "the same client's command waits");
    cr_assert(driver_fixture_count_counters(&f, 1001) == 1, "another client's does not");
    for (int i = 0; i < 10; i++) {
        (void)driver_fixture_step(&f, NS_PER_MS);
    }
    cr_assert(names.calls == 2);
    static const int32_t types[] = {RESPONSE_PUBLICATION_READY, RESPONSE_SUBSCRIPTION_READY,
                                    RESPONSE_COUNTER_READY};
    for (int i = 0; i < 3; i++) { /* the answers keep the order of the commands */
        cr_assert(driver_fixture_find(&f, types[i], &response));
        while (response.correlation_id == f.client_id || response.correlation_id == 987654 ||
               response.correlation_id == other.correlation_id) {
            cr_assert(driver_fixture_find(&f, types[i], &response));
        }
        cr_assert(response.correlation_id == expected[i]);
    }
    cr_assert(f.driver->conductor.pending.count == 0);
    driver_fixture_close(&f);
}

Test(network, names_that_fail_are_answered_and_waiting_ends_with_the_driver) {
    struct driver_fixture f;
    struct names names = {.result = -ENOENT};
    struct response response;
    driver_fixture_init(&f);
    f.net.context = &names;
    f.net.resolve = resolve;
    driver_fixture_open(&f);
    struct command named = {.type = COMMAND_ADD_PUBLICATION,
                            .stream_id = STREAM,
                            .channel = driver_fixture_text("aeron:udp?endpoint=no-host:28702")};
    (void)driver_fixture_send(&f, &named);
    cr_assert(await(&f, RESPONSE_ERROR, &response));
    cr_assert(response.error_code == DRIVER_ERROR_UNKNOWN_HOST);
    cr_assert(memmem(response.text.text, (size_t)response.text.length, "no-host", 7) != NULL);
    /* As many clients as may wait, one more, and one with a full queue. */
    for (int64_t i = 0; i <= PENDING_NAMES_MAX; i++) {
        named.client_id = 1000 + i;
        named.correlation_id = 0;
        (void)driver_fixture_send(&f, &named);
    }
    struct command counter = {
        .type = COMMAND_ADD_COUNTER, .counter_type_id = 1000, .client_id = 1000};
    for (int i = 0; i < PENDING_COMMANDS_MAX + 5; i++) {
        counter.correlation_id = 0;
        (void)driver_fixture_send(&f, &counter);
    }
    for (int i = 0; i < 100; i++) {
        (void)conductor_do_work(&f.driver->conductor, f.now_ns);
    }
    cr_assert(f.driver->conductor.pending.count == PENDING_NAMES_MAX);
    cr_assert(driver_fixture_find(&f, RESPONSE_ERROR, &response));
    cr_assert(response.error_code == DRIVER_ERROR_TEMPORARILY_UNAVAILABLE);
    cr_assert(driver_fixture_count_counters(&f, 1000) == 0);
    for (int i = 0; i < 200; i++) {
        (void)driver_fixture_step(&f, NS_PER_MS);
    }
    cr_assert(driver_fixture_count_counters(&f, 1000) == PENDING_COMMANDS_MAX + 5);
    cr_assert(f.driver->conductor.pending.count == 0);
    /* An end while names are being looked up leaves nothing behind. */
    named.correlation_id = 0;
    (void)driver_fixture_send(&f, &named);
    (void)conductor_do_work(&f.driver->conductor, f.now_ns);
    cr_assert(f.driver->conductor.pending.count == 1);
    driver_fixture_close(&f);
}

static void start_and_stop_threads(void) {
    static const int modes[] = {DRIVER_THREADING_DEDICATED, DRIVER_THREADING_SHARED_NETWORK,
                                DRIVER_THREADING_SHARED, DRIVER_THREADING_INVOKER};
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct driver_fixture f;
        struct agent_runner_params params = {0};
        struct tern_error error = {0};
        driver_fixture_init(&f);
        f.io.clock = clock_system();
        f.conf.threading = modes[i];
        driver_fixture_open(&f);
        cr_assert(driver_main_agent(f.driver, &params, &error) == 0, "%s", error.text);
        cr_assert(driver_start(f.driver, &error) == 0, "%s", error.text);
        struct command add = {.type = COMMAND_ADD_SUBSCRIPTION,
                              .stream_id = STREAM,
                              .channel = driver_fixture_text("aeron:udp?endpoint=127.0.0.1:0")};
        (void)driver_fixture_send(&f, &add);
        (void)params.agent.do_work(params.agent.context, clock_now_ns(clock_system()));
        struct response response;
        cr_assert(driver_fixture_find(&f, RESPONSE_SUBSCRIPTION_READY, &response));
        cr_assert(driver_is_alive(f.driver, clock_now_ns(clock_system())));
        driver_fixture_close(&f);
    }
}

/* With threads it takes 10 ms and more, and would be the conductor's that makes the first image. */
Test(network, barriers_are_had_before_there_are_threads) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    f.io.clock = clock_system();
    f.conf.threading = DRIVER_THREADING_SHARED;
    driver_fixture_open(&f);
    cr_assert(driver_start(f.driver, NULL) == 0);
    cr_assert(is_reached_by_barriers());
    driver_fixture_close(&f);
}

Test(network, threads_of_every_mode_start_and_stop) {
    start_and_stop_threads();
}

/* Then the conductor looks at every stream for ever. */
Test(network, threads_start_and_stop_where_there_are_no_barriers) {
    static const int codes[] = {ENOSYS, EPERM};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        refuse_call(SYS_membarrier, codes[i]);
        start_and_stop_threads();
    }
}

/* The thread of sender and receiver alone waits for two pollers. Its clock moves while it rests,
 * and stands when it has rested often enough. */
static struct {
    int64_t now_ns;
    int64_t stall_ns; /* so much later than planned it wakes */
    int64_t rests_left;
} network_thread;

static int64_t network_thread_now_ns(void *context) {
    (void)context;
    return load_acquire_i64(&network_thread.now_ns);
}

static void rest_on_network_thread(void *context, struct net_poller *const *pollers, int count,
                                   int64_t timeout_ns) {
    (void)context, (void)pollers;
    if (count != 2 || network_thread.rests_left == 0) {
        (void)usleep(1000);
        return;
    }
    store_release_i64(&network_thread.now_ns,
                      network_thread.now_ns + timeout_ns + network_thread.stall_ns);
    store_release_i64(&network_thread.rests_left, network_thread.rests_left - 1);
}

static void run_network_thread(struct driver_fixture *f, int64_t stall_ns) {
    struct tern_error error = {0};
    driver_fixture_init(f);
    f->clock.now_ns = network_thread_now_ns;
    f->net.wait = rest_on_network_thread;
    f->conf.threading = DRIVER_THREADING_SHARED_NETWORK;
    f->conf.sender_cycle_threshold_ns = 10 * NS_PER_MS;
    f->conf.receiver_cycle_threshold_ns = 10 * NS_PER_MS;
    (void)snprintf(f->conf.shared_network_idle.name, sizeof f->conf.shared_network_idle.name,
                   "sleep-ns");
    f->conf.shared_network_idle.arguments[0] = '\0';
    network_thread.now_ns = f->now_ns;
    network_thread.stall_ns = stall_ns;
    network_thread.rests_left = 5;
    driver_fixture_open(f);
    cr_assert(driver_start(f->driver, &error) == 0, "%s", error.text);
    while (load_acquire_i64(&network_thread.rests_left) > 0 ||
           load_acquire_i64(&f->driver->receiver.cycle.last_ns) != network_thread.now_ns) {
        (void)usleep(1000);
    }
}

Test(network, rests_that_were_planned_are_no_stalls_and_hide_none) {
    struct driver_fixture f;
    run_network_thread(&f, 0);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_SENDER_CYCLE_TIME_EXCEEDED), 0);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_RECEIVER_CYCLE_TIME_EXCEEDED), 0);
    driver_fixture_close(&f);
    run_network_thread(&f, 50 * NS_PER_MS);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_SENDER_CYCLE_TIME_EXCEEDED), 5);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_RECEIVER_CYCLE_TIME_EXCEEDED), 5);
    driver_fixture_close(&f);
}
