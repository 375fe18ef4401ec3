/* See driver_fixture.h. Files are real, under /dev/shm; sockets are real, on loopback; only time
 * and chance are the test's. */
#include "lib/driver_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int64_t now_ns(void *context) {
    return ((struct driver_fixture *)context)->now_ns;
}

static int64_t epoch_ns(void *context) {
    const struct driver_fixture *fixture = context;
    return fixture->epoch_ms * NS_PER_MS + fixture->now_ns;
}

static uint64_t next_u64(void *context) {
    struct driver_fixture *fixture = context;
    fixture->next_random += UINT64_C(0x9E3779B97F4A7C15);
    return fixture->next_random;
}

void driver_fixture_init(struct driver_fixture *fixture) {
    *fixture = (struct driver_fixture){
        .now_ns = NS_PER_S, .epoch_ms = INT64_C(1700000000000), .next_random = 42};
    struct io system = io_system();
    fixture->net = *system.net;
    fixture->store = *system.store;
    fixture->clock = (struct clock){fixture, now_ns, epoch_ns};
    fixture->random = (struct random){fixture, next_u64};
    fixture->io = (struct io){&fixture->clock, &fixture->random, &fixture->net, &fixture->store};
    driver_conf_defaults(&fixture->conf);
    struct driver_conf *conf = &fixture->conf;
    conf->threading = DRIVER_THREADING_INVOKER;
    conf->counters_buffer_length = 1 << 20;
    conf->term_buffer_length = 65536;
    conf->ipc_term_buffer_length = 65536;
    conf->timer_interval_ns = FIXTURE_TIMER_NS;
    (void)snprintf(fixture->scratch, sizeof fixture->scratch, "/dev/shm/tern-driver-XXXXXX");
    cr_assert(mkdtemp(fixture->scratch) != NULL);
    (void)snprintf(conf->directory, sizeof conf->directory, "%s/driver", fixture->scratch);
}

void driver_fixture_open(struct driver_fixture *fixture) {
    struct tern_error error = {0};
    int result = driver_open(&fixture->driver, &fixture->conf, &fixture->io, &error);
    cr_assert(result == 0, "%s", error.text);
    const struct cnc *cnc = &fixture->driver->context.cnc;
    cr_assert(
        broadcast_receiver_init(&fixture->receiver, cnc->to_clients, cnc->to_clients_length) == 0);
    fixture->client_id = driver_context_next_id(&fixture->driver->context);
}

void driver_fixture_close(struct driver_fixture *fixture) {
    char command[128];
    driver_close(fixture->driver);
    fixture->driver = NULL;
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture->scratch);
    cr_assert(system(command) == 0);
}

int driver_fixture_step(struct driver_fixture *fixture, int64_t elapsed_ns) {
    fixture->now_ns += elapsed_ns;
    return driver_do_work(fixture->driver, fixture->now_ns);
}

void driver_fixture_run(struct driver_fixture *fixture, int64_t duration_ns) {
    for (int64_t i = 0; i < duration_ns / FIXTURE_STEP_NS; i++) {
        (void)driver_fixture_step(fixture, FIXTURE_STEP_NS);
    }
}

int64_t driver_fixture_send(struct driver_fixture *fixture, struct command *command) {
    uint8_t payload[8192];
    struct driver_context *context = &fixture->driver->context;
    if (command->client_id == 0) {
        command->client_id = fixture->client_id;
    }
    if (command->correlation_id == 0) {
        command->correlation_id = driver_context_next_id(context);
    }
    int32_t length = command_encode(command, payload, sizeof payload);
    cr_assert(length > 0);
    cr_assert(ring_mpsc_write(&context->to_driver, command->type, payload, length) == RING_OK);
    return command->correlation_id;
}

bool driver_fixture_receive(struct driver_fixture *fixture, struct response *response) {
    int32_t type;
    int32_t length;
    int result = broadcast_receive(&fixture->receiver, &type, fixture->message,
                                   sizeof fixture->message, &length);
    cr_assert(result >= 0);
    if (result == 0) {
        return false;
    }
    cr_assert(response_decode(response, type, fixture->message, length) == 0);
    return true;
}

bool driver_fixture_find(struct driver_fixture *fixture, int32_t type, struct response *response) {
    while (driver_fixture_receive(fixture, response)) {
        if (response->type == type) {
            return true;
        }
    }
    return false;
}

static bool is_answer(int32_t type) {
    static const int32_t types[] = {
        RESPONSE_ERROR,
        RESPONSE_PUBLICATION_READY,
        RESPONSE_OPERATION_SUCCESS,
        RESPONSE_EXCLUSIVE_PUBLICATION_READY,
        RESPONSE_SUBSCRIPTION_READY,
        RESPONSE_COUNTER_READY,
        RESPONSE_STATIC_COUNTER,
        RESPONSE_NEXT_SESSION_ID,
    };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i] == type) {
            return true;
        }
    }
    return false;
}

struct response driver_fixture_call(struct driver_fixture *fixture, struct command *command) {
    struct response response;
    int64_t correlation_id = driver_fixture_send(fixture, command);
    (void)driver_fixture_step(fixture, 1);
    while (driver_fixture_receive(fixture, &response)) {
        if (is_answer(response.type) && response.correlation_id == correlation_id) {
            return response;
        }
    }
    cr_assert(false, "no answer to a command of type %d", command->type);
    return response;
}

struct text_slice driver_fixture_text(const char *text) {
    return (struct text_slice){text, (int32_t)strlen(text)};
}

struct response driver_fixture_add_publication(struct driver_fixture *fixture, const char *channel,
                                               int32_t stream_id, bool is_exclusive) {
    struct command command = {
        .type = is_exclusive ? COMMAND_ADD_EXCLUSIVE_PUBLICATION : COMMAND_ADD_PUBLICATION,
        .stream_id = stream_id,
        .channel = driver_fixture_text(channel),
    };
    struct response response = driver_fixture_call(fixture, &command);
    cr_assert(response.type != RESPONSE_ERROR, "%.*s", response.text.length, response.text.text);
    return response;
}

struct response driver_fixture_add_subscription(struct driver_fixture *fixture, const char *channel,
                                                int32_t stream_id) {
    struct command command = {
        .type = COMMAND_ADD_SUBSCRIPTION,
        .stream_id = stream_id,
        .channel = driver_fixture_text(channel),
    };
    struct response response = driver_fixture_call(fixture, &command);
    cr_assert(response.type != RESPONSE_ERROR, "%.*s", response.text.length, response.text.text);
    return response;
}

int64_t driver_fixture_counter(const struct driver_fixture *fixture, int32_t id) {
    return counter_get_acquire(driver_context_counter(&fixture->driver->context, id));
}

void driver_fixture_set_counter(struct driver_fixture *fixture, int32_t id, int64_t value) {
    counter_set_release(driver_context_counter(&fixture->driver->context, id), value);
}

int64_t driver_fixture_system_counter(const struct driver_fixture *fixture,
                                      enum system_counter counter) {
    return counter_get_acquire(fixture->driver->context.system_counters[counter]);
}

struct count {
    int32_t type_id;
    int count;
};

static int count_type(void *context, int32_t id, const struct counter_metadata *metadata,
                      const struct counter_value *value) {
    struct count *count = context;
    (void)id;
    (void)value;
    count->count += metadata->type_id == count->type_id;
    return 0;
}

int driver_fixture_count_counters(const struct driver_fixture *fixture, int32_t type_id) {
    const struct cnc *cnc = &fixture->driver->context.cnc;
    struct counters_reader reader;
    struct count count = {type_id, 0};
    cr_assert(counters_reader_init(&reader, cnc->counters_metadata, cnc->counters_metadata_length,
                                   cnc->counters_values, cnc->counters_values_length) == 0);
    (void)counters_reader_for_each(&reader, count_type, &count);
    return count.count;
}

int driver_fixture_count_files(const struct driver_fixture *fixture, const char *folder) {
    char path[DRIVER_DIRECTORY_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%s", fixture->conf.directory, folder);
    DIR *stream = opendir(path);
    int count = 0;
    cr_assert(stream != NULL, "%s", path);
    const struct dirent *entry;
    while ((entry = readdir(stream)) != NULL) {
        count += entry->d_name[0] != '.';
    }
    (void)closedir(stream);
    return count;
}
