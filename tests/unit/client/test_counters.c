#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/fake_driver.h"
#include "shm/counter_types.h"
#include "shm/error_log.h"

static struct fake_driver driver;

struct seen {
    int available;
    int unavailable;
    int64_t registration_id;
    int32_t counter_id;
};

static void on_available(void *context, const tern_counters_reader *counters,
                         int64_t registration_id, int32_t counter_id) {
    struct seen *seen = context;
    seen->available++;
    seen->registration_id = registration_id;
    seen->counter_id = counter_id;
    cr_assert(tern_counters_is_allocated(counters, counter_id));
}

static void on_unavailable(void *context, const tern_counters_reader *counters,
                           int64_t registration_id, int32_t counter_id) {
    struct seen *seen = context;
    (void)counters;
    seen->unavailable++;
    seen->registration_id = registration_id;
    seen->counter_id = counter_id;
}

static tern_client *connect_seen(struct seen *seen) {
    tern_context *context = fake_driver_context(&driver);
    tern_context_set_available_counter_handler(context, on_available, seen);
    tern_context_set_unavailable_counter_handler(context, on_unavailable, seen);
    tern_client *client = tern_client_try_connect(context, NULL);
    tern_context_destroy(context);
    return client;
}

static tern_counter *add(tern_client *client, bool is_static, int64_t registration_id) {
    const struct tern_counter_params params = {1000, "key", 3, "label", 5};
    tern_async *async =
        is_static ? tern_client_async_add_static_counter(client, &params, registration_id, NULL)
                  : tern_client_async_add_counter(client, &params, NULL);
    const struct command *command =
        fake_driver_expect(&driver, is_static ? COMMAND_ADD_STATIC_COUNTER : COMMAND_ADD_COUNTER);
    int64_t id = command->correlation_id;
    int32_t counter_id =
        fake_driver_add_counter(&driver, 1000, is_static ? registration_id : id, 40);
    fake_driver_send(&driver, &(struct response){.type = is_static ? RESPONSE_STATIC_COUNTER
                                                                   : RESPONSE_COUNTER_READY,
                                                 .correlation_id = id,
                                                 .counter_id = counter_id});
    (void)tern_client_do_work(client);
    tern_counter *counter = NULL;
    cr_assert_eq(tern_async_poll_counter(async, &counter, NULL), 1);
    cr_assert_eq(tern_counter_id(counter), counter_id);
    return counter;
}

Test(counters, are_written_by_their_owner_until_the_driver_takes_them_back) {
    struct seen seen = {0};
    fake_driver_open(&driver, "own");
    tern_client *client = connect_seen(&seen);
    tern_counter *counter = add(client, false, 0);
    int32_t id = tern_counter_id(counter);
    int64_t registration_id = tern_counter_registration_id(counter);
    cr_assert_eq(seen.available, 1);
    cr_assert_eq(seen.registration_id, registration_id);
    cr_assert_eq(tern_counter_value(counter), 40);
    tern_counter_set(counter, 41);
    cr_assert_eq(tern_counter_add(counter, 2), 41);
    cr_assert_eq(*tern_counter_address(counter), 43);
    const tern_counters_reader *counters = tern_client_counters(client);
    cr_assert_eq(tern_counters_value(counters, id), 43);
    cr_assert_eq(tern_counters_find(counters, 1000, registration_id), id);
    cr_assert_eq(tern_counters_find(counters, 1001, registration_id), TERN_NULL_COUNTER_ID);
    /* of somebody else: only told */
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_UNAVAILABLE_COUNTER,
                                                 .correlation_id = registration_id + 5,
                                                 .counter_id = id});
    (void)tern_client_do_work(client);
    cr_assert_eq(seen.unavailable, 1);
    cr_assert(!tern_counter_is_closed(counter));
    fake_driver_send(&driver, &(struct response){.type = RESPONSE_UNAVAILABLE_COUNTER,
                                                 .correlation_id = registration_id,
                                                 .counter_id = id});
    (void)tern_client_do_work(client);
    cr_assert(tern_counter_is_closed(counter));
    tern_counter_set(counter, 99);
    cr_assert_eq(tern_counter_add(counter, 1), 0);
    cr_assert_eq(tern_counter_value(counter), 0);
    cr_assert_eq(*tern_counter_address(counter), 43);
    tern_counter_close(counter);
    cr_assert_eq(fake_driver_expect(&driver, COMMAND_REMOVE_COUNTER)->registration_id,
                 registration_id);
    tern_client_close(client);
    fake_driver_close(&driver);
}

Test(counters, that_are_static_stay_when_their_handle_is_closed) {
    struct seen seen = {0};
    fake_driver_open(&driver, "static");
    tern_client *client = connect_seen(&seen);
    tern_counter *counter = add(client, true, 4242);
    cr_assert_eq(tern_counter_registration_id(counter), 4242);
    cr_assert_eq(tern_counter_value(counter), 40);
    tern_counter_close(counter);
    cr_assert_eq(fake_driver_next(&driver), NULL);
    tern_client_close(client);
    fake_driver_close(&driver);
}

static int count_and_stop(void *context, const struct tern_counter_info *info) {
    int *count = context;
    cr_assert_eq(info->label_length, 5);
    cr_assert_eq(memcmp(info->label, "label", 5), 0);
    *count += 1;
    return info->id == 10 ? 77 : 0;
}

struct texts {
    int count;
    int32_t observations;
    char text[64];
};

static void on_error_entry(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                           const char *text, int32_t text_length) {
    struct texts *texts = context;
    (void)first_ms;
    (void)last_ms;
    texts->count++;
    texts->observations = count;
    memcpy(texts->text, text, (size_t)text_length);
}

static void on_line(void *context, const char *text) {
    struct texts *texts = context;
    texts->count++;
    (void)snprintf(texts->text, sizeof texts->text, "%s", text);
}

Test(counters, and_errors_are_read_by_anybody) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "cnc");
    tern_cnc *cnc = tern_cnc_open(driver.directory, &error);
    cr_assert_neq(cnc, NULL, "%s", error.text);
    struct tern_cnc_constants constants;
    tern_cnc_get_constants(cnc, &constants);
    cr_assert_eq(constants.version, 512);
    cr_assert_eq(constants.pid, 4242);
    cr_assert_eq(constants.client_liveness_timeout_ns, FAKE_LIVENESS_NS);
    cr_assert_eq(tern_cnc_driver_heartbeat_ms(cnc), driver.time.epoch_ns / NS_PER_MS);
    cr_assert_eq(constants.to_driver_length, driver.cnc.to_driver_length);
    cr_assert_eq(constants.to_clients_length, driver.cnc.to_clients_length);
    cr_assert_eq(constants.counters_metadata_length, 4 * constants.counters_values_length);
    cr_assert_eq(constants.counters_values_length, driver.cnc.counters_values_length);
    cr_assert_eq(constants.error_log_length, driver.cnc.error_log_length);
    cr_assert_neq(strstr(tern_cnc_path(cnc), "/cnc.dat"), NULL);
    cr_assert_eq(strncmp(tern_cnc_path(cnc), driver.directory, strlen(driver.directory)), 0);
    const tern_counters_reader *counters = tern_cnc_counters(cnc);
    int count = 0;
    cr_assert_eq(tern_counters_for_each(counters, count_and_stop, &count), 77);
    cr_assert_eq(count, 11);
    static const int32_t bad_ids[] = {-1, 100, 128, INT32_MAX, INT32_MIN};
    uint8_t key[TERN_COUNTER_KEY_MAX];
    char label[16] = "x";
    for (size_t i = 0; i < sizeof bad_ids / sizeof *bad_ids; i++) {
        cr_assert(!tern_counters_is_allocated(counters, bad_ids[i]));
        cr_assert_eq(tern_counters_value(counters, bad_ids[i]), 0);
        cr_assert_eq(tern_counters_type_id(counters, bad_ids[i]), -1);
        cr_assert_eq(tern_counters_owner_id(counters, bad_ids[i]), -1);
        cr_assert_eq(tern_counters_reference_id(counters, bad_ids[i]), 0);
        cr_assert(!tern_counters_key(counters, bad_ids[i], key));
        cr_assert_eq(tern_counters_label(counters, bad_ids[i], label, sizeof label), 0);
    }
    cr_assert_eq(tern_counters_address(counters, 128), NULL);
    cr_assert_eq(tern_counters_id_max(counters), 127);
    struct tern_counters_buffers buffers;
    tern_counters_get_buffers(counters, &buffers);
    cr_assert_eq(buffers.values_length, 128 * 128);
    cr_assert_eq(buffers.metadata_length, 128 * 512);
    cr_assert_eq((const void *)(buffers.values + 128), tern_counters_address(counters, 1));
    cr_assert_eq(tern_counters_label(counters, 3, label, 4), 3);
    cr_assert_str_eq(label, "lab");

    int32_t id = fake_driver_add_counter(&driver, 1000, 1, -7);
    cr_assert_eq(tern_counters_state(counters, id), TERN_COUNTER_ALLOCATED);
    cr_assert_eq(tern_counters_reuse_deadline_ms(counters, id), INT64_MAX);
    struct texts lines = {0};
    int allocated = tern_counters_print(counters, on_line, &lines);
    cr_assert_eq(lines.count, allocated);
    char expected[64];
    (void)snprintf(expected, sizeof expected, "%5d: %20d - label", id, -7);
    cr_assert_str_eq(lines.text, expected);
    counters_manager_free(&driver.counters, id, 5000);
    cr_assert_eq(tern_counters_state(counters, id), TERN_COUNTER_RECLAIMED);
    cr_assert_geq(tern_counters_reuse_deadline_ms(counters, id), 5000);
    cr_assert_eq(tern_counters_print(counters, on_line, &lines), allocated - 1);
    cr_assert_eq(tern_counters_state(counters, -1), TERN_COUNTER_UNUSED);
    cr_assert_eq(tern_counters_reuse_deadline_ms(counters, 128), 0);

    struct error_log log;
    cr_assert_eq(error_log_init(&log, driver.cnc.error_log, driver.cnc.error_log_length), 0);
    (void)error_log_record(&log, 9, "unknown host", 1700000000000);
    (void)error_log_record(&log, 9, "unknown host", 1700000005000);
    struct texts texts = {0};
    cr_assert_eq(tern_cnc_read_errors(cnc, 0, on_error_entry, &texts), 1);
    cr_assert_eq(texts.observations, 2);
    cr_assert_str_eq(texts.text, "(9) unknown host");
    cr_assert_eq(tern_cnc_read_errors(cnc, 1700000005001, on_error_entry, &texts), 0);
    cr_assert_lt(tern_cnc_read_losses(cnc, NULL, NULL, &error), 0); /* there is no file */
    tern_cnc_close(cnc);
    tern_cnc_close(NULL);
    cr_assert_eq(tern_cnc_open("/dev/shm/there-is-nothing", &error), NULL);
    cr_assert_eq(error.code, -EAGAIN);
    fake_driver_close(&driver);
}

Test(counters, directory_tells_liveness_and_takes_a_termination_request) {
    struct tern_error error = {0};
    fake_driver_open(&driver, "terminate");
    driver.time.epoch_ns = clock_epoch_ns(clock_system());
    fake_driver_beat(&driver);
    cr_assert(tern_driver_is_active(driver.directory, 10000));
    cr_assert(!tern_driver_is_active("/dev/shm/there-is-nothing", 10000));
    cr_assert_eq(tern_driver_request_termination(driver.directory, "token", 5, &error), 0, "%s",
                 error.text);
    const struct command *command = fake_driver_expect(&driver, COMMAND_TERMINATE_DRIVER);
    cr_assert_eq(command->text.length, 5);
    cr_assert_eq(memcmp(command->text.text, "token", 5), 0);
    cr_assert_eq(command->correlation_id, -1);
    cr_assert_eq(tern_driver_request_termination(driver.directory, "t", -1, &error), -EINVAL);
    cr_assert_eq(tern_driver_request_termination("/dev/shm/there-is-nothing", "t", 1, &error),
                 -EAGAIN);
    ring_mpsc_set_consumer_heartbeat(&driver.ring, -1);
    cr_assert(!tern_driver_is_active(driver.directory, 10000));
    fake_driver_close(&driver);
}
