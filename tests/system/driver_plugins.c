/* A real driverd with the plug-ins of tests/plugins/driver: each kind is asked and obeyed.
 *
 * usage: driver_plugins DRIVER [TEST]. PLUGINS is the directory of the libraries.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001
#define MESSAGES 2000
#define MESSAGE_LENGTH 200
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24890"

struct variables {
    char texts[12][512];
    const char *environment[13];
    int count;
};

static void set(struct variables *variables, const char *name, const char *value) {
    char *text = variables->texts[variables->count];
    (void)snprintf(text, sizeof variables->texts[0], "%s=%s", name, value);
    variables->environment[variables->count++] = text;
}

/* A driver beside the first of a test. */
static void start_second(struct driver_process *driver, const char *program,
                         const char *const *environment) {
    (void)snprintf(driver->directory, sizeof driver->directory, "/dev/shm/tern-test-%d-second",
                   (int)getpid());
    driver_process_start(driver, program, environment);
}

static tern_publication *publish(tern_client *client, const char *channel, int32_t stream_id) {
    struct tern_error error = {0};
    tern_publication *publication =
        tern_client_add_publication(client, channel, stream_id, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s", error.text);
    return publication;
}

static tern_subscription *subscribe(tern_client *client, const char *channel, int32_t stream_id) {
    const struct tern_subscription_params params = {.channel = channel, .stream_id = stream_id};
    struct tern_error error = {0};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s", error.text);
    return subscription;
}

static bool is_connected(void *context) {
    return tern_publication_is_connected(context);
}

static void check_message(void *context, const uint8_t *buffer, int32_t length,
                          const tern_header *header) {
    int *received = context;
    int number;
    (void)header;
    REQUIRE(length == MESSAGE_LENGTH, "%d bytes", length);
    memcpy(&number, buffer, sizeof number);
    REQUIRE(number == *received, "number %d after %d", number, *received);
    ++*received;
}

/* All messages arrive in order. */
static void exchange(tern_publication *publication, tern_subscription *subscription) {
    uint8_t message[MESSAGE_LENGTH] = {0};
    int sent = 0;
    int received = 0;
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (received < MESSAGES) {
        memcpy(message, &sent, sizeof sent);
        if (sent < MESSAGES && tern_publication_offer(publication, message, sizeof message) > 0) {
            sent++;
        }
        (void)tern_subscription_poll(subscription, check_message, &received, 64);
        REQUIRE(test_now_ns() < deadline_ns, "%d of %d came", received, sent);
    }
}

/* The value of the plug-in counter whose label begins with "Plug-in: KEY=". */
struct wanted {
    char start[128];
    int64_t value;
};

static int compare_label(void *context, const struct tern_counter_info *info) {
    struct wanted *wanted = context;
    size_t length = strlen(wanted->start);
    bool is_it =
        (size_t)info->label_length >= length && strncmp(info->label, wanted->start, length) == 0;
    wanted->value = is_it ? info->value : wanted->value;
    return is_it;
}

static int64_t instances(const struct driver_process *driver, const char *key) {
    struct wanted wanted = {.value = -1};
    struct tern_error error = {0};
    (void)snprintf(wanted.start, sizeof wanted.start, "Plug-in: %s=", key);
    tern_cnc *cnc = tern_cnc_open(driver->directory, &error);
    REQUIRE(cnc != NULL, "%s", error.text);
    (void)tern_counters_for_each(tern_cnc_counters(cnc), compare_label, &wanted);
    tern_cnc_close(cnc);
    REQUIRE(wanted.value >= 0, "no counter %s", wanted.start);
    return wanted.value;
}

/* The threads start when clients can attach already. */
static bool has_helpers(void *context) {
    return instances(context, "driver_native_resource_agent_idle_strategy") == 3;
}

static void test_threads_idle_by_a_plugin(const char *program) {
    static const char *const keys[] = {"CONDUCTOR_IDLE_STRATEGY", "SENDER_IDLE_STRATEGY",
                                       "RECEIVER_IDLE_STRATEGY",
                                       "DRIVER_NATIVE_RESOURCE_AGENT_IDLE_STRATEGY"};
    static const char *const agents[] = {"driverd", "sender", "receiver", "resolver", "log-agent"};
    struct driver_process driver = {0};
    struct variables variables = {0};
    char path[64];
    char name[80];
    char report[2048] = "";
    (void)snprintf(path, sizeof path, "/dev/shm/tern-test-%d-report", (int)getpid());
    set(&variables, "AERON_THREADING_MODE", "DEDICATED");
    set(&variables, "AERON_DRIVER_DYNAMIC_LIBRARIES", PLUGINS "/driver_idle.so");
    for (int i = 0; i < 4; i++) {
        (void)snprintf(name, sizeof name, "AERON_%s", keys[i]);
        set(&variables, name, "napping");
        (void)snprintf(name, sizeof name, "AERON_%s_INIT_ARGS", keys[i]);
        set(&variables, name, path);
    }
    driver_process_start(&driver, program, variables.environment);
    REQUIRE(test_wait(has_helpers, &driver), "log agent and two resolvers");
    tern_client *client = driver_process_connect(&driver);
    tern_publication *publication = publish(client, CHANNEL, STREAM);
    tern_subscription *subscription = subscribe(client, CHANNEL, STREAM);
    exchange(publication, subscription);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    driver_process_close(&driver);
    FILE *file = fopen(path, "r");
    REQUIRE(file != NULL, "no report");
    (void)fread(report, 1, sizeof report - 1, file);
    (void)fclose(file);
    (void)unlink(path);
    for (size_t i = 0; i < sizeof agents / sizeof *agents; i++) {
        long cycles = 0;
        long working = 0;
        const char *line = strstr(report, agents[i]);
        REQUIRE(line != NULL, "%s: %s", agents[i], report);
        REQUIRE(sscanf(line + strlen(agents[i]), " %ld %ld", &cycles, &working) == 2, "%s", line);
        bool has_traffic = i < 3;
        REQUIRE(cycles > 0 && working <= cycles && (!has_traffic || working > 0), "%s", line);
    }
}

static bool has_ended(void *context) {
    struct driver_process *driver = context;
    int status = 0;
    if (waitpid(driver->pid, &status, WNOHANG) == 0) {
        return false;
    }
    REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status 0x%x", status);
    driver->pid = 0;
    return true;
}

static void request_end(const struct driver_process *driver, const char *token) {
    struct tern_error error = {0};
    REQUIRE(tern_driver_request_termination(driver->directory, token, (int32_t)strlen(token),
                                            &error) == 0,
            "%s", error.text);
}

static void test_a_validator_refuses_and_allows(const char *program) {
    struct driver_process driver = {0};
    struct variables variables = {0};
    set(&variables, "AERON_DRIVER_TERMINATION_VALIDATOR",
        PLUGINS "/driver_termination.so:by_password");
    driver_process_start(&driver, program, variables.environment);
    request_end(&driver, "open");
    tern_client *client = driver_process_connect(&driver); /* the command before was handled */
    tern_client_close(client);
    REQUIRE(waitpid(driver.pid, NULL, WNOHANG) == 0, "the wrong token ended it");
    request_end(&driver, "open sesame");
    REQUIRE(test_wait(has_ended, &driver), "it goes on");
    driver_process_close(&driver);
}

/* What decides about streams, all at once. */
static void test_streams_go_by_the_plugins(const char *program) {
    struct driver_process driver = {0};
    struct driver_process second = {0};
    struct variables variables = {0};
    struct variables others = {0};
    set(&variables, "AERON_UNICAST_FLOWCONTROL_SUPPLIER",
        PLUGINS "/driver_flow_control.so:slowest");
    set(&variables, "AERON_NAME_RESOLVER_SUPPLIER", PLUGINS "/driver_names.so:phone_book");
    set(&variables, "AERON_NAME_RESOLVER_INIT_ARGS", "127.0.0.1");
    set(&variables, "AERON_UDP_CHANNEL_OUTGOING_INTERCEPTORS",
        PLUGINS "/driver_interceptor.so:every_third");
    set(&variables, "AERON_SENDCHANNELENDPOINT_SUPPLIER", PLUGINS "/driver_endpoint.so:guest_list");
    driver_process_start(&driver, program, variables.environment);
    set(&others, "AERON_CONGESTIONCONTROL_SUPPLIER", PLUGINS "/driver_congestion.so:careful");
    start_second(&second, program, others.environment);
    tern_client *sender = driver_process_connect(&driver);
    tern_client *receiver = driver_process_connect(&second);
    tern_publication *publication = publish(sender, "aeron:udp?endpoint=mine.book:24890", STREAM);
    tern_publication *unwanted = publish(sender, "aeron:udp?endpoint=mine.book:24890", 7);
    tern_subscription *subscription = subscribe(receiver, CHANNEL, STREAM);
    tern_subscription *missing = subscribe(receiver, CHANNEL, 7);
    REQUIRE(test_wait(is_connected, publication), "not connected");
    exchange(publication, subscription);
    REQUIRE(!tern_publication_is_connected(unwanted), "stream 7 is not on the list");
    REQUIRE(instances(&driver, "unicast_flowcontrol_supplier") == 2, "flow control");
    REQUIRE(instances(&driver, "name_resolver_supplier") == 1, "names");
    REQUIRE(instances(&driver, "udp_channel_outgoing_interceptors") == 1, "interceptor");
    REQUIRE(instances(&driver, "sendchannelendpoint_supplier") == 1, "endpoint");
    REQUIRE(instances(&second, "congestioncontrol_supplier") == 1, "congestion control");
    tern_publication_close(publication);
    tern_publication_close(unwanted);
    tern_subscription_close(subscription);
    tern_subscription_close(missing);
    tern_client_close(sender);
    tern_client_close(receiver);
    driver_process_close(&second);
    driver_process_close(&driver);
}

/* The look-up of a name hangs; everybody else goes on. */
static void test_a_slow_name_service_delays_only_who_asks(const char *program) {
    struct driver_process driver = {0};
    struct variables variables = {0};
    struct tern_error error = {0};
    char path[64];
    tern_publication *late = NULL;
    (void)snprintf(path, sizeof path, "/dev/shm/tern-test-%d-found", (int)getpid());
    set(&variables, "SLOW_BOOK", path);
    set(&variables, "AERON_NAME_RESOLVER_SUPPLIER", PLUGINS "/driver_names.so:phone_book");
    set(&variables, "AERON_NAME_RESOLVER_INIT_ARGS", "127.0.0.1");
    driver_process_start(&driver, program, variables.environment);
    tern_context *context = driver_process_context(&driver);
    tern_context_set_driver_timeout_ms(context, TEST_TIMEOUT_NS / TEST_NS_PER_MS);
    tern_client *client = tern_client_connect(context, &error);
    REQUIRE(client != NULL, "%s", error.text);
    tern_client *other = driver_process_connect(&driver);
    tern_async *async = tern_client_async_add_publication(
        client, "aeron:udp?endpoint=slow.book:24890", STREAM, &error);
    REQUIRE(async != NULL, "%s", error.text);
    tern_publication *publication = publish(other, CHANNEL, STREAM);
    tern_subscription *subscription = subscribe(other, CHANNEL, STREAM);
    REQUIRE(test_wait(is_connected, publication), "not connected");
    exchange(publication, subscription);
    REQUIRE(tern_async_poll_publication(async, &late, &error) == 0, "it did not wait");
    FILE *file = fopen(path, "w");
    REQUIRE(file != NULL, "%s", path);
    (void)fclose(file);
    int result;
    while ((result = tern_async_poll_publication(async, &late, &error)) == 0) {
        test_sleep_ms(1);
    }
    (void)unlink(path);
    REQUIRE(result == 1, "%s", error.text);
    tern_publication_close(late);
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    tern_client_close(other);
    tern_context_destroy(context);
    driver_process_close(&driver);
}

/* Two drivers whose transport no other driver understands. */
static void test_a_transport_carries_streams(const char *program) {
    struct driver_process driver = {0};
    struct driver_process second = {0};
    struct variables variables = {0};
    set(&variables, "AERON_UDP_CHANNEL_TRANSPORT_BINDINGS_MEDIA",
        PLUGINS "/driver_transport.so:one_by_one");
    driver_process_start(&driver, program, variables.environment);
    start_second(&second, program, variables.environment);
    REQUIRE(instances(&driver, "udp_channel_transport_bindings_media") == 1, "transport");
    tern_client *sender = driver_process_connect(&driver);
    tern_client *receiver = driver_process_connect(&second);
    tern_publication *publication = publish(sender, CHANNEL, STREAM);
    tern_subscription *subscription = subscribe(receiver, CHANNEL, STREAM);
    REQUIRE(test_wait(is_connected, publication), "not connected");
    exchange(publication, subscription);
    tern_client_close(receiver);
    driver_process_close(&second);
    start_second(&second, program, NULL);
    receiver = driver_process_connect(&second);
    tern_subscription *other = subscribe(receiver, CHANNEL, STREAM);
    test_sleep_ms(1000);
    REQUIRE(tern_subscription_image_count(other) == 0, "the plain driver understood it");
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_subscription_close(other);
    tern_client_close(sender);
    tern_client_close(receiver);
    driver_process_close(&second);
    driver_process_close(&driver);
}

int main(int argc, char **argv) {
    static const struct system_test tests[] = {
        {"threads idle by a plug-in", test_threads_idle_by_a_plugin},
        {"a validator refuses and allows", test_a_validator_refuses_and_allows},
        {"streams go by the plug-ins", test_streams_go_by_the_plugins},
        {"a slow name service delays only who asks", test_a_slow_name_service_delays_only_who_asks},
        {"a transport carries streams", test_a_transport_carries_streams},
    };
    return system_test_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
