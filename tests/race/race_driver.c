/* A whole driver with threads of its own, under clients that come, stream and go.
 *
 * Conductor, sender, receiver and resolver run as driverd runs them, DEDICATED and with idle
 * strategies that park, so that every hand-over between them is met: commands, orders of feedback,
 * wake-ups, looked-up names, logs that are made and discarded. The network loses a part of the
 * datagrams of every kind. Each worker has a kind of channel of its own; every message must come
 * once and in order. Clients and driver meet only in mapped files, each in its own mapping.
 */
#include "race.h"

#include <stdbool.h>
#include <time.h>
#include <unistd.h>

#include <tern/client.h>

#include "base/atomic.h"
#include "base/futex.h"
#include "base/io.h"
#include "driverd/driver.h"

#define ROUND_COUNT 8
#define MESSAGE_COUNT 600
#define MESSAGE_LENGTH_MAX 3000 /* more than two datagrams */
#define STREAM 1001
#define PORTS_PER_PROCESS 20
#define LOSS_PERIOD 43 /* each so-manieth datagram is lost */
#define ADD_TIMEOUT_NS (60 * NS_PER_S)
#define SECONDS_MAX 110 /* stuck, not slow */

struct route {
    const char *publication;
    const char *subscription;
    const char *destination; /* of the publication; NULL: none */
    const char *source;      /* destination of the subscription; NULL: none */
};

/* %1$d and %2$d are two ports of the worker's own. */
static const struct route routes[] = {
    {"aeron:ipc", "aeron:ipc", NULL, NULL},
    {"aeron:udp?endpoint=localhost:%1$d", "aeron:udp?endpoint=localhost:%1$d", NULL, NULL},
    {"aeron:udp?endpoint=127.0.0.1:%1$d|fc=min,t:1s",
     "aeron:udp?endpoint=127.0.0.1:%1$d|cc=cubic|rcv-wnd=16k", NULL, NULL},
    {"aeron:udp?control-mode=dynamic|control=localhost:%2$d",
     "aeron:udp?endpoint=localhost:%1$d|control=localhost:%2$d|control-mode=dynamic", NULL, NULL},
    {"aeron:udp?control-mode=manual", "aeron:udp?control-mode=manual",
     "aeron:udp?endpoint=localhost:%1$d", "aeron:udp?endpoint=localhost:%1$d"},
    {"aeron:udp?endpoint=127.0.0.1:%1$d|ssc=true", "aeron-spy:aeron:udp?endpoint=127.0.0.1:%1$d",
     NULL, NULL},
};

#define WORKER_COUNT ARRAY_COUNT(routes)

struct worker {
    tern_client *client;
    const struct route *route;
    int number;
    int next[1]; /* the next message that must come */
    tern_publication *publication;
    tern_subscription *subscription;
};

struct lossy_net {
    struct net net;
    const struct net *system;
    int64_t sent;
};

/* As the system's, but some datagrams get lost behind it. */
static int send_some(void *context, int socket, const struct net_datagram *datagrams, int count,
                     unsigned flags) {
    struct lossy_net *lossy = context;
    if (count > 0 && get_and_add_i64(&lossy->sent, 1) % LOSS_PERIOD == LOSS_PERIOD - 1) {
        return 1;
    }
    return lossy->system->send(lossy->system->context, socket, datagrams, count, flags);
}

static void rest(void) {
    (void)nanosleep(&(struct timespec){0, 50000}, NULL);
}

static tern_client *connect_client(const struct driver_conf *conf) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    CHECK(context != NULL);
    CHECK(tern_context_set_directory(context, conf->directory, &error) == 0);
    tern_context_set_driver_timeout_ms(context, ADD_TIMEOUT_NS / NS_PER_MS);
    tern_client *client = tern_client_connect(context, &error);
    if (client == NULL) {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    CHECK(client != NULL);
    tern_context_destroy(context);
    return client;
}

static int first_port(void) {
    return 20000 + (int)getpid() % 2000 * PORTS_PER_PROCESS;
}

static const char *text_of(const struct worker *worker, const char *format, char text[256]) {
    int port = first_port() + 2 * worker->number;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
    (void)snprintf(text, 256, format, port, port + 1);
#pragma GCC diagnostic pop
    return text;
}

static void add_streams(struct worker *worker) {
    struct tern_error error = {0};
    const struct route *route = worker->route;
    char text[256];
    const struct tern_subscription_params params = {
        .channel = text_of(worker, route->subscription, text), .stream_id = STREAM};
    worker->subscription =
        tern_client_add_subscription(worker->client, &params, ADD_TIMEOUT_NS, &error);
    if (worker->subscription == NULL) {
        (void)fprintf(stderr, "%s: %s\n", text, error.text);
    }
    CHECK(worker->subscription != NULL);
    if (route->source != NULL) {
        tern_async *async = tern_subscription_async_add_destination(
            worker->subscription, text_of(worker, route->source, text), &error);
        CHECK(tern_client_await_destination(worker->client, async, ADD_TIMEOUT_NS, &error) == 0);
    }
    worker->publication = tern_client_add_publication(
        worker->client, text_of(worker, route->publication, text), STREAM, ADD_TIMEOUT_NS, &error);
    if (worker->publication == NULL) {
        (void)fprintf(stderr, "%s: %s\n", text, error.text);
    }
    CHECK(worker->publication != NULL);
    if (route->destination != NULL) {
        tern_async *async = tern_publication_async_add_destination(
            worker->publication, text_of(worker, route->destination, text), &error);
        CHECK(tern_client_await_destination(worker->client, async, ADD_TIMEOUT_NS, &error) == 0);
    }
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct worker *worker = context;
    if (tern_header_session_id(header) != tern_publication_session_id(worker->publication)) {
        return; /* the stream of the last round lingers */
    }
    CHECK(length == message_length(0, worker->next[0], MESSAGE_LENGTH_MAX));
    message_check(buffer, length, worker->next, 1);
}

static bool is_connected(const struct worker *worker) {
    tern_image *image = tern_subscription_image_by_session_id(
        worker->subscription, tern_publication_session_id(worker->publication));
    bool has_image = image != NULL;
    tern_image_release(image);
    return has_image && tern_publication_is_connected(worker->publication);
}

/* Some rounds end while messages are under way; the driver then takes apart what is busy. */
static void stream(struct worker *worker, int round) {
    const int count_sent = MESSAGE_COUNT;
    const int count_read = round % 3 == 2 ? MESSAGE_COUNT / 2 : MESSAGE_COUNT;
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, worker);
    CHECK(assembler != NULL);
    uint8_t message[MESSAGE_LENGTH_MAX];
    int sent = 0;
    worker->next[0] = 0;
    while (!is_connected(worker)) {
        rest();
    }
    while (worker->next[0] < count_read) {
        int32_t length = message_length(0, sent, MESSAGE_LENGTH_MAX);
        message_fill(message, 0, sent, length);
        int64_t position =
            sent < count_sent ? tern_publication_offer(worker->publication, message, length) : 0;
        sent += position > 0;
        int work = tern_subscription_poll(worker->subscription, tern_fragment_assembler_on_fragment,
                                          assembler, 10);
        if (work == 0 && position <= 0) {
            if (round % 2 == 0) {
                rest();
            } else {
                (void)tern_subscription_wait(worker->subscription, NS_PER_MS);
            }
        }
    }
    tern_fragment_assembler_destroy(assembler);
}

static void reject_image(const struct worker *worker) {
    struct tern_error error = {0};
    tern_image *image = tern_subscription_image_at_index(worker->subscription, 0);
    if (image != NULL) {
        (void)tern_image_reject(image, "enough", &error);
        tern_image_release(image);
    }
}

static void *work(void *argument) {
    struct worker *worker = argument;
    for (int round = 0; round < ROUND_COUNT; round++) {
        add_streams(worker);
        stream(worker, round);
        if (round % 4 == 3) {
            reject_image(worker);
        }
        if (round % 2 == 0) {
            tern_publication_close(worker->publication);
            tern_subscription_close(worker->subscription);
        } else {
            tern_subscription_close(worker->subscription);
            tern_publication_close(worker->publication);
        }
    }
    return NULL;
}

/* Clients that look around and leave. */
static void *visit(void *argument) {
    const struct driver_conf *conf = argument;
    for (int i = 0; i < ROUND_COUNT; i++) {
        struct tern_error error = {0};
        tern_client *client = connect_client(conf);
        const struct tern_subscription_params params = {.channel = "aeron:ipc",
                                                        .stream_id = STREAM + 1};
        CHECK(tern_client_add_subscription(client, &params, ADD_TIMEOUT_NS, &error) != NULL);
        tern_client_close(client); /* the subscription with it */
        rest();
    }
    return NULL;
}

struct main_agent {
    struct agent_runner_params params;
    bool is_running;
};

static void *run_main_agent(void *argument) {
    const struct main_agent *agent = argument;
    agent_run(&agent->params, &agent->is_running);
    return NULL;
}

static void configure(struct driver_conf *conf, const char *scratch, int threading) {
    driver_conf_defaults(conf);
    conf->threading = threading;
    conf->counters_buffer_length = 1 << 20;
    conf->term_buffer_length = 65536;
    conf->ipc_term_buffer_length = 65536;
    conf->timer_interval_ns = 10 * NS_PER_MS;
    conf->linger_timeout_ns = 50 * NS_PER_MS;
    conf->counters_reuse_timeout_ns = 50 * NS_PER_MS;
    conf->reresolution_check_interval_ns = 20 * NS_PER_MS;
    conf->resolver_self_interval_ns = 10 * NS_PER_MS;
    (void)snprintf(conf->directory, sizeof conf->directory, "%s/driver", scratch);
    (void)snprintf(conf->resolver_name, sizeof conf->resolver_name, "race");
    (void)snprintf(conf->resolver_interface, sizeof conf->resolver_interface, "localhost:%d",
                   first_port() + PORTS_PER_PROCESS - 1);
}

static void run_clients(const struct driver_conf *conf) {
    static struct worker workers[WORKER_COUNT];
    pthread_t threads[WORKER_COUNT];
    tern_client *client = connect_client(conf);
    for (int i = 0; i < (int)WORKER_COUNT; i++) {
        workers[i] = (struct worker){.client = client, .route = &routes[i], .number = i};
        threads[i] = start(work, &workers[i]);
    }
    join(start(visit, (void *)conf));
    for (int i = 0; i < (int)WORKER_COUNT; i++) {
        join(threads[i]);
    }
    tern_client_close(client);
}

/* As daemon.c and main.c do it. */
static struct driver *open_driver(const struct driver_conf *conf, const struct io *io,
                                  struct main_agent *main_agent) {
    struct tern_error error = {0};
    struct driver *driver;
    int result = driver_open(&driver, conf, io, &error);
    result = result < 0 ? result : driver_main_agent(driver, &main_agent->params, &error);
    result = result < 0 ? result : driver_start(driver, &error);
    if (result < 0) {
        (void)fprintf(stderr, "%s\n", error.text);
    }
    CHECK(result == 0);
    return driver;
}

static void run_driver(int threading) {
    static struct driver_conf conf;
    struct io io = io_system();
    struct lossy_net lossy = {.net = *io.net, .system = io.net};
    lossy.net.context = &lossy; /* the system's functions do not look at it */
    lossy.net.send = send_some;
    io.net = &lossy.net;
    char scratch[] = "/dev/shm/tern-race-XXXXXX";
    CHECK(mkdtemp(scratch) != NULL);
    configure(&conf, scratch, threading);
    struct main_agent main_agent = {.is_running = true};
    struct driver *driver = open_driver(&conf, &io, &main_agent);
    pthread_t conductor = start(run_main_agent, &main_agent);
    run_clients(&conf);
    __atomic_store_n(&main_agent.is_running, false, __ATOMIC_RELEASE);
    join(conductor);
    int64_t repairs =
        load_acquire_i64(driver->context.system_counters[SYSTEM_COUNTER_RETRANSMITS_SENT]);
    driver_close(driver);
    (void)printf("%s: %lld sends, %lld retransmits\n", driver_threading_name(threading),
                 (long long)lossy.sent, (long long)repairs);
    CHECK(repairs > 0);
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", scratch);
    CHECK(system(command) == 0);
}

int main(void) {
    (void)alarm(SECONDS_MAX);
    (void)futex_barrier_register();
    run_driver(DRIVER_THREADING_DEDICATED);
    run_driver(DRIVER_THREADING_SHARED_NETWORK);
    return 0;
}
