/* Log files are made and deleted by the log agent while the conductor goes on: who waits, who does
 * not, and that nothing is left behind whoever goes first. The agents are stepped one by one, as
 * their threads may interleave. */
#include <criterion/criterion.h>
#include <sys/stat.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/driver_fixture.h"

#define STREAM 10
#define OTHER_CLIENT 987654

static void step_conductor(struct driver_fixture *f) {
    f->now_ns += NS_PER_US;
    (void)conductor_do_work(&f->driver->conductor, f->now_ns);
}

/* All agents but the log agent. */
static void step_others(struct driver_fixture *f, int64_t duration_ns) {
    for (int64_t end_ns = f->now_ns + duration_ns; f->now_ns < end_ns; f->now_ns += NS_PER_MS) {
        (void)sender_do_work(&f->driver->sender, f->now_ns);
        (void)receiver_do_work(&f->driver->receiver, f->now_ns);
        (void)conductor_do_work(&f->driver->conductor, f->now_ns);
    }
}

static int64_t send_add(struct driver_fixture *f, int64_t client_id, const char *channel,
                        int32_t type) {
    struct command add = {.type = type,
                          .stream_id = STREAM,
                          .client_id = client_id,
                          .channel = driver_fixture_text(channel)};
    return driver_fixture_send(f, &add);
}

static int64_t send_counter(struct driver_fixture *f, int64_t client_id, int32_t type_id) {
    struct command counter = {
        .type = COMMAND_ADD_COUNTER, .counter_type_id = type_id, .client_id = client_id};
    return driver_fixture_send(f, &counter);
}

static int count_publications(const struct driver_fixture *f) {
    return driver_fixture_count_files(f, "publications");
}

/* Beyond what the driver has always mapped. */
static int64_t mapped_bytes(const struct driver_fixture *f) {
    const struct driver_context *context = &f->driver->context;
    return driver_fixture_system_counter(f, SYSTEM_COUNTER_BYTES_MAPPED) -
           context->cnc.file.length - context->loss_report_file.length;
}

/* What came for clients; its texts are gone. */
static int take_answers(struct driver_fixture *f, struct response *answers, int max) {
    int count = 0;
    struct response response;
    while (driver_fixture_receive(f, &response)) {
        cr_assert_lt(count, max);
        answers[count++] = response;
    }
    return count;
}

static bool has_answer(const struct response *answers, int count, int64_t correlation_id,
                       int32_t type) {
    for (int i = 0; i < count; i++) {
        if (answers[i].correlation_id == correlation_id && answers[i].type == type) {
            return true;
        }
    }
    return false;
}

Test(log_agent, files_are_made_off_the_cycle_and_only_their_client_waits) {
    struct driver_fixture f;
    struct response answers[64];
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    int64_t add = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_PUBLICATION);
    int64_t network =
        send_add(&f, 0, "aeron:udp?endpoint=127.0.0.1:28711", COMMAND_ADD_EXCLUSIVE_PUBLICATION);
    int64_t counter = send_counter(&f, 0, 1000);
    int64_t other = send_counter(&f, OTHER_CLIENT, 1001);
    for (int i = 0; i < 20; i++) {
        step_conductor(&f);
    }
    int count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, other, RESPONSE_COUNTER_READY), "it does not wait");
    cr_assert(!has_answer(answers, count, add, RESPONSE_PUBLICATION_READY));
    cr_assert(!has_answer(answers, count, counter, RESPONSE_COUNTER_READY), "its client waits");
    cr_assert_eq(count_publications(&f), 0, "the conductor makes no files");

    cr_assert_eq(log_agent_do_work(&f.driver->log_agent, f.now_ns), 1);
    cr_assert_eq(count_publications(&f), 1);
    cr_assert_eq(mapped_bytes(&f), 3 * 65536 + 4096);
    step_conductor(&f);
    count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, add, RESPONSE_PUBLICATION_READY));
    cr_assert(!has_answer(answers, count, counter, RESPONSE_COUNTER_READY), "its turn is later");
    cr_assert_eq(log_agent_do_work(&f.driver->log_agent, f.now_ns), 1);
    step_conductor(&f);
    count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, network, RESPONSE_EXCLUSIVE_PUBLICATION_READY));
    cr_assert(has_answer(answers, count, counter, RESPONSE_COUNTER_READY));
    cr_assert_eq(f.driver->conductor.pending.count, 0);
    cr_assert_eq(log_agent_do_work(&f.driver->log_agent, f.now_ns), 0);
    driver_fixture_close(&f);
}

/* More clients than may wait, and more files than the agent makes in a cycle. */
Test(log_agent, every_client_of_a_crowd_gets_its_publication) {
    static struct response answers[512];
    struct driver_fixture f;
    int64_t ids[2 * PENDING_CLIENTS_MAX];
    driver_fixture_init(&f);
    f.conf.counters_buffer_length = 4 << 20;
    driver_fixture_open(&f);
    for (int i = 0; i < 2 * PENDING_CLIENTS_MAX; i++) {
        ids[i] = send_add(&f, 1000 + i, "aeron:ipc", COMMAND_ADD_EXCLUSIVE_PUBLICATION);
    }
    for (int i = 0; i < 100; i++) {
        step_conductor(&f);
    }
    cr_assert_eq(f.driver->conductor.pending.count, PENDING_CLIENTS_MAX);
    for (int i = 0; i < 100; i++) {
        (void)driver_fixture_step(&f, NS_PER_US);
    }
    int count = take_answers(&f, answers, 512);
    for (int i = 0; i < 2 * PENDING_CLIENTS_MAX; i++) {
        cr_assert(has_answer(answers, count, ids[i], RESPONSE_EXCLUSIVE_PUBLICATION_READY));
    }
    cr_assert_eq(f.driver->conductor.pending.count, 0);
    driver_fixture_close(&f);
}

Test(log_agent, a_file_that_turns_out_not_to_be_needed_is_deleted) {
    struct driver_fixture f;
    struct response answers[64];
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    /* Two clients add the same stream before either has its file. */
    int64_t first = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_PUBLICATION);
    int64_t second = send_add(&f, OTHER_CLIENT, "aeron:ipc", COMMAND_ADD_PUBLICATION);
    step_conductor(&f);
    while (log_agent_serve(&f.driver->log_agent) > 0) {
    }
    cr_assert_eq(count_publications(&f), 2);
    step_conductor(&f);
    int count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, first, RESPONSE_PUBLICATION_READY));
    cr_assert(has_answer(answers, count, second, RESPONSE_PUBLICATION_READY));
    driver_fixture_run(&f, 50 * NS_PER_MS);
    cr_assert_eq(count_publications(&f), 1);

    /* An endpoint that cannot be had, after the file was made. */
    const char *taken = "aeron:udp?endpoint=127.0.0.1:28713";
    (void)driver_fixture_add_subscription(&f, taken, STREAM);
    int64_t refused = send_add(&f, 0, "aeron:udp?control=127.0.0.1:28713|control-mode=dynamic",
                               COMMAND_ADD_PUBLICATION);
    driver_fixture_run(&f, 50 * NS_PER_MS);
    count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, refused, RESPONSE_ERROR));
    cr_assert_eq(count_publications(&f), 1);
    cr_assert_eq(f.driver->conductor.pending.count, 0);
    cr_assert_eq(mapped_bytes(&f), 3 * 65536 + 4096);
    driver_fixture_close(&f);
}

Test(log_agent, a_file_that_cannot_be_made_is_an_error_of_its_command) {
    struct driver_fixture f;
    struct response answers[64];
    char path[DRIVER_DIRECTORY_MAX + 32];
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    (void)snprintf(path, sizeof path, "%s/publications", f.conf.directory);
    cr_assert_eq(rmdir(path), 0);
    int64_t failed = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_PUBLICATION);
    int64_t named = send_add(&f, 0, "aeron:udp?endpoint=127.0.0.1:28714", COMMAND_ADD_PUBLICATION);
    int64_t counter = send_counter(&f, 0, 1000);
    driver_fixture_run(&f, 50 * NS_PER_MS);
    int count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, failed, RESPONSE_ERROR));
    cr_assert(has_answer(answers, count, named, RESPONSE_ERROR));
    cr_assert(has_answer(answers, count, counter, RESPONSE_COUNTER_READY));
    cr_assert_eq(f.driver->conductor.endpoints_send.count, 0, "no endpoint was made for it");
    cr_assert_eq(driver_fixture_count_counters(&f, COUNTER_TYPE_PUBLISHER_LIMIT), 0);
    cr_assert_eq(mapped_bytes(&f), 0);
    driver_fixture_close(&f);
}

Test(log_agent, a_client_that_goes_meanwhile_leaves_nothing_behind) {
    struct driver_fixture f;
    driver_fixture_init(&f);
    driver_fixture_open(&f);
    for (int is_closing = 0; is_closing < 2; is_closing++) {
        int64_t add = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_PUBLICATION);
        (void)send_add(&f, 0, "aeron:udp?endpoint=127.0.0.1:28715", COMMAND_ADD_PUBLICATION);
        struct command remove = {.type = COMMAND_REMOVE_PUBLICATION, .registration_id = add};
        struct command close = {.type = COMMAND_CLIENT_CLOSE};
        (void)driver_fixture_send(&f, is_closing ? &close : &remove);
        step_conductor(&f);
        cr_assert_eq(f.driver->conductor.pending.count, 1);
        if (!is_closing) { /* it dies: both go with it */
            f.now_ns += 2 * f.conf.client_liveness_timeout_ns;
            step_conductor(&f);
            cr_assert_eq(f.driver->conductor.clients.count, 0);
        }
        driver_fixture_run(&f, 40 * NS_PER_S);
        cr_assert_eq(count_publications(&f), 0);
        cr_assert_eq(f.driver->conductor.clients.count, 0);
        cr_assert_eq(f.driver->conductor.pending.count, 0);
        cr_assert_eq(f.driver->conductor.endpoints_send.count, 0);
        cr_assert_eq(driver_fixture_count_counters(&f, COUNTER_TYPE_PUBLISHER_LIMIT), 0);
        cr_assert_eq(mapped_bytes(&f), 0);
    }
    driver_fixture_close(&f);
}

/* Stages: asked for, made, back at the conductor and given out. */
Test(log_agent, a_driver_that_ends_meanwhile_leaves_nothing_behind) {
    for (int stage = 0; stage < 3; stage++) {
        struct driver_fixture f;
        driver_fixture_init(&f);
        driver_fixture_open(&f);
        (void)send_add(&f, 0, "aeron:ipc", COMMAND_ADD_PUBLICATION);
        (void)send_add(&f, OTHER_CLIENT, "aeron:udp?endpoint=127.0.0.1:28716",
                       COMMAND_ADD_PUBLICATION);
        step_conductor(&f);
        if (stage > 0) {
            cr_assert_eq(log_agent_serve(&f.driver->log_agent), 1);
            cr_assert_eq(log_agent_serve(&f.driver->log_agent), 1);
        }
        if (stage > 1) {
            step_conductor(&f);
        }
        cr_assert_eq(count_publications(&f), stage == 0 ? 0 : 2);
        driver_close(f.driver);
        f.driver = NULL;
        cr_assert_eq(count_publications(&f), 0);
        driver_fixture_close(&f);
    }
}

static int count_images(const struct driver_fixture *f) {
    return driver_fixture_count_files(f, "images");
}

static struct response subscribe(struct driver_fixture *f, const char *channel) {
    struct response answers[64];
    int64_t id = send_add(f, 0, channel, COMMAND_ADD_SUBSCRIPTION);
    step_others(f, 2 * NS_PER_MS);
    int count = take_answers(f, answers, 64);
    cr_assert(has_answer(answers, count, id, RESPONSE_SUBSCRIPTION_READY));
    return (struct response){.correlation_id = id};
}

static void unsubscribe(struct driver_fixture *f, int64_t registration_id) {
    struct command remove = {.type = COMMAND_REMOVE_SUBSCRIPTION,
                             .registration_id = registration_id};
    (void)driver_fixture_send(f, &remove);
    step_others(f, 2 * NS_PER_MS);
}

/* An image is asked for by the SETUP of a publication of the same driver. */
Test(log_agent, an_image_waits_for_its_file_and_goes_with_its_subscription) {
    struct driver_fixture f;
    struct response ready;
    const char *channel = "aeron:udp?endpoint=127.0.0.1:28717";
    driver_fixture_init(&f);
    f.conf.client_liveness_timeout_ns = 1000 * NS_PER_S; /* nobody writes heartbeats */
    driver_fixture_open(&f);
    (void)driver_fixture_add_publication(&f, channel, STREAM, false);
    (void)driver_fixture_add_subscription(&f, channel, STREAM + 1); /* keeps the endpoint */
    struct response subscription = subscribe(&f, channel);
    step_others(&f, 300 * NS_PER_MS); /* several SETUPs; the receiver asks once */
    cr_assert_not_null(f.driver->conductor.image_requests);
    cr_assert_eq(f.driver->conductor.images.count, 0);
    cr_assert_eq(count_images(&f), 0);

    /* The subscription goes and comes back: the receiver asks again, one image is made. */
    unsubscribe(&f, subscription.correlation_id);
    subscription = subscribe(&f, channel);
    step_others(&f, 300 * NS_PER_MS);
    while (log_agent_serve(&f.driver->log_agent) > 0) {
    }
    step_others(&f, 300 * NS_PER_MS);
    cr_assert_null(f.driver->conductor.image_requests);
    cr_assert_eq(f.driver->conductor.images.count, 1);
    cr_assert_eq(count_images(&f), 1);
    cr_assert(driver_fixture_find(&f, RESPONSE_AVAILABLE_IMAGE, &ready));
    cr_assert(!driver_fixture_find(&f, RESPONSE_AVAILABLE_IMAGE, &ready));
    unsubscribe(&f, subscription.correlation_id);
    driver_fixture_run(&f, 30 * NS_PER_S);
    cr_assert_eq(count_images(&f), 0);

    /* It goes while the file is being made: no image, and the receiver is told. */
    subscription = subscribe(&f, channel);
    step_others(&f, 300 * NS_PER_MS);
    cr_assert_not_null(f.driver->conductor.image_requests);
    unsubscribe(&f, subscription.correlation_id);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert_null(f.driver->conductor.image_requests);
    cr_assert_eq(f.driver->conductor.images.count, 0);
    cr_assert_eq(count_images(&f), 0);
    (void)subscribe(&f, channel);
    driver_fixture_run(&f, NS_PER_S);
    cr_assert_eq(f.driver->conductor.images.count, 1);

    /* The driver ends while one is being made. */
    (void)subscribe(&f, "aeron:udp?endpoint=127.0.0.1:28718");
    (void)send_add(&f, 0, "aeron:udp?endpoint=127.0.0.1:28718", COMMAND_ADD_PUBLICATION);
    step_others(&f, 10 * NS_PER_MS);
    (void)log_agent_serve(&f.driver->log_agent);
    step_others(&f, 300 * NS_PER_MS);
    cr_assert_not_null(f.driver->conductor.image_requests);
    driver_close(f.driver);
    f.driver = NULL;
    cr_assert_eq(count_images(&f), 0);
    cr_assert_eq(count_publications(&f), 0);
    driver_fixture_close(&f);
}

Test(log_agent, its_queues_are_bounded_and_lose_nothing) {
    struct driver_fixture f;
    enum { COUNT = 5000 };
    static struct log_file *files[COUNT];
    driver_fixture_init(&f);
    f.conf.resource_free_limit = 100;
    driver_fixture_open(&f);
    struct log_agent *agent = &f.driver->log_agent;
    struct log_file_spec spec = {.term_length = 65536, .is_sparse = true};
    int asked = 0;
    for (int i = 0; i < COUNT; i++) {
        spec.id = i + 1;
        files[i] = log_file_allocate(&f.driver->context, &spec);
        cr_assert_not_null(files[i]);
    }
    while (asked < COUNT && log_agent_request(agent, files[asked])) {
        asked++;
    }
    cr_assert_lt(asked, COUNT);
    cr_assert_gt(asked, 100);
    cr_assert_eq(driver_fixture_system_counter(&f, SYSTEM_COUNTER_RESOURCE_PROXY_FAILS), 1);
    int made = 0;
    while (log_agent_serve(agent) > 0) {
        made++;
    }
    cr_assert_eq(made, asked);
    cr_assert_eq(count_publications(&f), asked);
    for (int i = 0; i < asked; i++) {
        cr_assert_eq(log_agent_poll(agent), files[i]);
        cr_assert_eq(files[i]->result, 0);
    }
    cr_assert_null(log_agent_poll(agent));
    for (int i = 0; i < COUNT; i++) { /* those without a file as well: more than the ring holds */
        log_agent_discard(agent, files[i]);
    }
    cr_assert(log_agent_is_busy(agent));
    for (int i = 0; i < 2 * COUNT; i++) {
        (void)log_agent_do_work(agent, f.now_ns);
        cr_assert_null(log_agent_poll(agent));
    }
    cr_assert(!log_agent_is_busy(agent));
    cr_assert_null(agent->discarded.first);
    cr_assert_eq(count_publications(&f), 0);
    cr_assert_eq(mapped_bytes(&f), 0);
    driver_fixture_close(&f);
}

/* Pages of the newest log that have memory. */
static int64_t count_pages(const struct driver_fixture *f, int64_t id) {
    char path[DRIVER_DIRECTORY_MAX + 64];
    struct stat status;
    (void)snprintf(path, sizeof path, "%s/publications/%lld.logbuffer", f->conf.directory,
                   (long long)id);
    cr_assert_eq(stat(path, &status), 0);
    return status.st_blocks * 512 / 4096;
}

Test(log_agent, sparse_files_get_their_memory_after_the_answer_when_that_is_wanted) {
    static struct response answers[64];
    struct driver_fixture f;
    driver_fixture_init(&f);
    f.conf.pre_touch = true;
    f.conf.ipc_term_buffer_length = 1 << 20;
    driver_fixture_open(&f);
    struct log_agent *agent = &f.driver->log_agent;
    int64_t first = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_EXCLUSIVE_PUBLICATION);
    int64_t gone = send_add(&f, 0, "aeron:ipc", COMMAND_ADD_EXCLUSIVE_PUBLICATION);
    while (count_publications(&f) < 2) {
        step_conductor(&f);
        (void)log_agent_serve(agent);
    }
    step_conductor(&f);
    int count = take_answers(&f, answers, 64);
    cr_assert(has_answer(answers, count, first, RESPONSE_EXCLUSIVE_PUBLICATION_READY));
    cr_assert(has_answer(answers, count, gone, RESPONSE_EXCLUSIVE_PUBLICATION_READY));
    cr_assert_lt(count_pages(&f, first), 10);
    struct log_file *file = agent->touching;
    cr_assert_not_null(file);
    file->log.terms[0][64] = 77; /* somebody writes already */
    cr_assert_eq(log_agent_do_work(agent, f.now_ns), 1);
    int64_t part = count_pages(&f, first);
    cr_assert_geq(part, 512);
    cr_assert_lt(part, 3 * 256 + 1);
    struct command remove = {.type = COMMAND_REMOVE_PUBLICATION, .registration_id = gone};
    (void)driver_fixture_send(&f, &remove);
    while (count_publications(&f) > 1) { /* before its turn came */
        (void)driver_fixture_step(&f, 100 * NS_PER_MS);
    }
    while (log_agent_do_work(agent, f.now_ns) > 0) {
    }
    cr_assert_null(agent->touching);
    cr_assert_eq(count_pages(&f, first), 3 * 256 + 1);
    cr_assert_eq(file->log.terms[0][64], 77);
    driver_fixture_close(&f);
}
