/* See driver_group.h. */
#include "lib/driver_group.h"

#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PORT_MIN 10000 /* below those that the system gives by itself */
#define PORT_COUNT 10000
#define PORTS_PER_PROCESS 16

void driver_group_add(struct driver_group *group, const char *program,
                      const char *const *environment) {
    struct driver_process *driver = &group->drivers[group->count];
    REQUIRE(group->count < DRIVER_PROCESS_NUMBER_MAX, "too many drivers");
    driver->number = group->count;
    driver_process_start(driver, program, environment);
    group->clients[group->count] = driver_process_connect(driver);
    group->count++;
}

void driver_group_close(struct driver_group *group) {
    for (int i = 0; i < group->count; i++) {
        tern_client_close(group->clients[i]);
        driver_process_close(&group->drivers[i]);
    }
}

static bool is_free(int port) {
    const struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int descriptor = socket(AF_INET, SOCK_DGRAM, 0);
    bool is_bound = bind(descriptor, (const struct sockaddr *)&address, sizeof address) == 0;
    (void)close(descriptor);
    return is_bound;
}

int driver_group_port(void) {
    static int used;
    for (;;) {
        int port = PORT_MIN + (getpid() * PORTS_PER_PROCESS + used++) % PORT_COUNT;
        if (is_free(port)) {
            return port;
        }
    }
}

#define FORMAT_CHANNEL(channel, format)                                                            \
    do {                                                                                           \
        va_list arguments;                                                                         \
        va_start(arguments, format);                                                               \
        (void)vsnprintf(channel, sizeof channel, format, arguments);                               \
        va_end(arguments);                                                                         \
    } while (0)

tern_subscription *driver_group_subscribe(tern_client *client, const char *format, ...) {
    char channel[GROUP_CHANNEL_MAX];
    struct tern_error error = {0};
    FORMAT_CHANNEL(channel, format);
    const struct tern_subscription_params params = {.channel = channel, .stream_id = GROUP_STREAM};
    tern_subscription *subscription =
        tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(subscription != NULL, "%s: %s", channel, error.text);
    return subscription;
}

void driver_group_refuse_subscription(tern_client *client, char text[256], const char *format,
                                      ...) {
    char channel[GROUP_CHANNEL_MAX];
    struct tern_error error = {0};
    FORMAT_CHANNEL(channel, format);
    const struct tern_subscription_params params = {.channel = channel, .stream_id = GROUP_STREAM};
    REQUIRE(tern_client_add_subscription(client, &params, TEST_TIMEOUT_NS, &error) == NULL,
            "%s is not refused", channel);
    REQUIRE(error.code <= -2000, "%s: %d %s", channel, error.code, error.text);
    (void)snprintf(text, 256, "%s", error.text);
}

tern_exclusive_publication *driver_group_publish(tern_client *client, const char *format, ...) {
    char channel[GROUP_CHANNEL_MAX];
    struct tern_error error = {0};
    FORMAT_CHANNEL(channel, format);
    tern_exclusive_publication *publication = tern_client_add_exclusive_publication(
        client, channel, GROUP_STREAM, TEST_TIMEOUT_NS, &error);
    REQUIRE(publication != NULL, "%s: %s", channel, error.text);
    return publication;
}

void driver_group_send(tern_exclusive_publication *publication, const char *text) {
    int64_t position = 0;
    REQUIRE_SOON(
        (position = tern_exclusive_publication_offer(publication, text, (int32_t)strlen(text))) > 0,
        "sending '%s': %s", text, tern_publication_result_name(position));
}

static void on_text(void *context, const uint8_t *buffer, int32_t length,
                    const tern_header *header) {
    (void)header;
    (void)snprintf(context, 256, "%.*s", (int)length, (const char *)buffer);
}

void driver_group_receive(tern_subscription *subscription, const char *text) {
    char found[256] = "";
    REQUIRE_SOON(tern_subscription_poll(subscription, on_text, found, 1) == 1, "no '%s' comes",
                 text);
    REQUIRE(strcmp(found, text) == 0, "'%s' instead of '%s'", found, text);
}

void driver_group_receive_nothing(tern_subscription *subscription) {
    char found[256] = "";
    REQUIRE(tern_subscription_poll(subscription, on_text, found, 1) == 0, "'%s' came", found);
}

int64_t driver_group_counter(tern_client *client, int32_t type_id, int64_t registration_id) {
    const tern_counters_reader *counters = tern_client_counters(client);
    int32_t id = tern_counters_find(counters, type_id, registration_id);
    return id == TERN_NULL_COUNTER_ID ? INT64_MIN : tern_counters_value(counters, id);
}

struct search {
    const char *part;
    int64_t found;
};

static int look_at_counter(void *context, const struct tern_counter_info *info) {
    struct search *search = context;
    char label[TERN_COUNTER_LABEL_MAX + 1];
    (void)snprintf(label, sizeof label, "%.*s", (int)info->label_length, info->label);
    if (strstr(label, search->part) == NULL) {
        return 0;
    }
    search->found = info->value;
    return 1;
}

int64_t driver_group_labelled(tern_client *client, const char *part) {
    struct search search = {part, INT64_MIN};
    (void)tern_counters_for_each(tern_client_counters(client), look_at_counter, &search);
    return search.found;
}

static void look_at_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                          const char *text, int32_t text_length) {
    struct search *search = context;
    char copy[1024];
    (void)first_ms;
    (void)last_ms;
    (void)snprintf(copy, sizeof copy, "%.*s", (int)text_length, text);
    search->found += strstr(copy, search->part) != NULL ? count : 0;
}

int driver_group_errors(const struct driver_process *driver, const char *part) {
    struct search search = {part, 0};
    tern_cnc *cnc = tern_cnc_open(driver->directory, NULL);
    REQUIRE(cnc != NULL, "no cnc.dat in %s", driver->directory);
    (void)tern_cnc_read_errors(cnc, 0, look_at_error, &search);
    tern_cnc_close(cnc);
    return (int)search.found;
}
