/* list-workload: clients of the replicated list under failures, with a history for the checker.
 *
 *   list-workload --endpoints 0=HOST:PORT,... --history FILE [--sessions N] [--window N]
 *                 [--operations N] [--append-percent N] [--rate N] [--value-base N] ...
 *
 * Each session keeps up to `window` requests under way, APPEND of a value that nobody else appends
 * or READ. A request that the publication refused was not sent and is tried again; one that was
 * sent is never sent a second time: when its answer does not come in time, or a new leader takes
 * over first, it is "unknown", which an answer that comes late still changes. That is all that a
 * correct client may conclude. With --operations 0 the run ends when standard input does.
 *
 * At the end the whole list is read and the history written:
 *
 *   op ID CLIENT SESSION append|read VALUE INVOKED_NS ANSWERED_NS ok|unknown LENGTH HASH
 *   contradiction ID                  a second answer that differs from the first
 *   final LENGTH HASH                 followed by the values in order, one "value V" each
 *
 * Progress goes to standard output: "progress ANSWERED UNKNOWN" and "leader MEMBER TERM".
 */
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tern/cluster.h>

#include "list_history.h"

#define NS_PER_MS INT64_C(1000000)
#define NS_PER_S INT64_C(1000000000)
#define KEEP_ALIVE_NS NS_PER_S
#define PROGRESS_NS (50 * NS_PER_MS)
#define PAUSE_NS 100000
#define SESSIONS_MAX 64
#define WINDOW_MAX 256
#define OPERATIONS_MAX 4000000
#define DUMP_COUNT 512
#define REQUEST_APPEND 1
#define REQUEST_READ 2
#define REQUEST_DUMP 8
#define ANSWER_WORDS 8

struct options {
    const char *endpoints;
    const char *egress_channel;
    const char *history_path;
    int64_t sessions;
    int64_t window;
    int64_t operations; /* 0: until standard input ends */
    int64_t append_percent;
    int64_t rate_hz; /* of all sessions together; 0: as fast as it goes */
    int64_t value_base;
    int64_t seed;
    int64_t timeout_ms;            /* of an answer */
    int64_t new_leader_timeout_ms; /* after it a session is given up and a new one made */
    int64_t give_up_ms;            /* of connecting, and of the final reading */
};

struct workload;

struct session {
    struct workload *workload;
    int32_t index;
    tern_cluster *cluster;
    tern_cluster_connecting *connecting;
    int64_t connect_deadline_ns;
    int64_t keep_alive_ns;
    int64_t send_due_ns;
    int64_t pending[WINDOW_MAX]; /* request ids under way, in the order of sending */
    int pending_count;
};

struct workload {
    struct options options;
    tern_client *client;
    struct list_history history;
    struct session sessions[SESSIONS_MAX];

    uint64_t random;
    int64_t now_ns;
    int64_t progress_ns;
    bool is_sending;
    bool is_dump_answered;
    char failure[512];
};

static int64_t now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void fail(struct workload *workload, const char *what, const char *why) {
    if (workload->failure[0] == '\0') {
        (void)snprintf(workload->failure, sizeof workload->failure, "%s: %s", what, why);
    }
}

/* -- answers -- */

static void forget_pending(struct session *session, int64_t request_id) {
    for (int i = 0; i < session->pending_count; i++) {
        if (session->pending[i] == request_id) {
            session->pending_count--;
            memmove(&session->pending[i], &session->pending[i + 1],
                    (size_t)(session->pending_count - i) * sizeof session->pending[0]);
            return;
        }
    }
}

static void on_dump(struct workload *workload, const int64_t *words, int32_t word_count) {
    struct list_history *history = &workload->history;
    int64_t from = words[1];
    if (from != history->final_count || workload->is_dump_answered) {
        return; /* an answer to a reading that was repeated */
    }
    history->final_length = words[2];
    history->final_hash = (uint64_t)words[3];
    for (int32_t i = ANSWER_WORDS; i < word_count; i++) {
        list_history_add_final(history, words[i]);
    }
    workload->is_dump_answered = true;
}

static void on_message(void *context, int64_t timestamp, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct session *session = context;
    struct workload *workload = session->workload;
    int64_t words[ANSWER_WORDS + DUMP_COUNT];
    (void)timestamp;
    (void)header;
    if (length < ANSWER_WORDS * 8 || length > (int32_t)sizeof words) {
        fail(workload, "answer", "of a wrong length");
        return;
    }
    memcpy(words, buffer, (size_t)length);
    if (words[0] == REQUEST_DUMP) {
        on_dump(workload, words, length / 8);
        return;
    }
    const struct list_answer answer = {
        .kind = words[0] == REQUEST_APPEND ? LIST_APPEND : LIST_READ,
        .length = words[2],
        .hash = (uint64_t)words[3],
        .answered_ns = now_ns(),
    };
    if (!list_history_answer(&workload->history, words[1], &answer)) {
        fail(workload, "answer", "to a request that was not sent");
    }
    forget_pending(session, words[1]);
}

/* What was sent to the leader before may have been lost with it. */
static void give_up_pending(struct session *session) {
    for (int i = 0; i < session->pending_count; i++) {
        list_history_set_unknown(&session->workload->history, session->pending[i]);
    }
    session->pending_count = 0;
}

static void on_new_leader(void *context, int64_t leadership_term_id, int32_t leader_member_id,
                          const char *ingress_endpoints) {
    struct session *session = context;
    (void)ingress_endpoints;
    if (session->index == 0) {
        printf("leader %" PRId32 " %" PRId64 "\n", leader_member_id, leadership_term_id);
    }
    give_up_pending(session);
}

static void check_timeouts(struct session *session) {
    struct workload *workload = session->workload;
    int64_t timeout_ns = workload->options.timeout_ms * NS_PER_MS;
    while (session->pending_count > 0) {
        int64_t id = session->pending[0];
        if (workload->now_ns - list_history_invoked_ns(&workload->history, id) < timeout_ns) {
            return;
        }
        list_history_set_unknown(&workload->history, id);
        forget_pending(session, id);
    }
}

/* -- sessions -- */

static void begin_connect(struct session *session) {
    struct workload *workload = session->workload;
    struct tern_cluster_params params;
    struct tern_error error;
    tern_cluster_params_init(&params, workload->client);
    params.ingress_endpoints = workload->options.endpoints;
    params.egress_channel = workload->options.egress_channel;
    params.client_name = "list-workload";
    params.handler_context = session;
    params.on_message = on_message;
    params.on_new_leader = on_new_leader;
    params.new_leader_timeout_ns = workload->options.new_leader_timeout_ms * NS_PER_MS;
    if (session->connect_deadline_ns == 0) {
        session->connect_deadline_ns = workload->now_ns + workload->options.give_up_ms * NS_PER_MS;
    }
    if (tern_cluster_connect_begin(&session->connecting, &params, &error) != 0) {
        session->connecting = NULL;
        fail(workload, "connect", error.text);
    }
}

/* An attempt that fails is repeated until the time to give up: a cluster may be electing. */
static int connect_step(struct session *session) {
    struct tern_error error = {0};
    if (session->connecting == NULL) {
        begin_connect(session);
        return 1;
    }
    int result = tern_cluster_connect_poll(session->connecting, &session->cluster, &error);
    if (result == 0) {
        return 0;
    }
    session->connecting = NULL;
    if (result < 0) {
        session->cluster = NULL;
        if (session->workload->now_ns > session->connect_deadline_ns) {
            fail(session->workload, "connect", error.text);
        }
        return 0;
    }
    session->connect_deadline_ns = 0;
    session->keep_alive_ns = session->workload->now_ns;
    if (session->index == 0) {
        printf("leader %" PRId32 " %" PRId64 "\n", tern_cluster_leader_member_id(session->cluster),
               tern_cluster_leadership_term_id(session->cluster));
    }
    return 1;
}

static int poll_session(struct session *session) {
    if (session->cluster == NULL) {
        return connect_step(session);
    }
    int work = tern_cluster_poll(session->cluster, 10);
    check_timeouts(session);
    if (tern_cluster_is_closed(session->cluster)) {
        struct tern_error error = {0};
        (void)tern_cluster_status(session->cluster, &error);
        printf("session %" PRId32 " lost: %s\n", session->index, error.text);
        give_up_pending(session);
        tern_cluster_close(session->cluster);
        session->cluster = NULL;
        return 1;
    }
    if (session->workload->now_ns - session->keep_alive_ns > KEEP_ALIVE_NS &&
        tern_cluster_keep_alive(session->cluster)) {
        session->keep_alive_ns = session->workload->now_ns;
    }
    return work;
}

static int64_t offer_request(struct session *session, int64_t operation, int64_t request_id,
                             int64_t x, int64_t y) {
    const int64_t words[4] = {operation, request_id, x, y};
    return tern_cluster_offer(session->cluster, words, sizeof words);
}

static int send_request(struct session *session) {
    struct workload *workload = session->workload;
    const struct options *options = &workload->options;
    if (session->cluster == NULL || session->pending_count >= options->window ||
        workload->now_ns < session->send_due_ns) {
        return 0;
    }
    int64_t id = workload->history.count + 1;
    struct list_operation operation = {
        .client = session->index,
        .session_id = tern_cluster_session_id(session->cluster),
        .kind = next_random(&workload->random) % 100 < (uint64_t)options->append_percent
                    ? LIST_APPEND
                    : LIST_READ,
        .value = options->value_base + id,
        .invoked_ns = now_ns(),
    };
    int64_t request = operation.kind == LIST_APPEND ? REQUEST_APPEND : REQUEST_READ;
    if (offer_request(session, request, id, operation.value, 0) <= 0) {
        return 0; /* not sent */
    }
    list_history_add(&workload->history, &operation);
    session->pending[session->pending_count++] = id;
    if (options->rate_hz > 0) {
        int64_t interval_ns = NS_PER_S * options->sessions / options->rate_hz;
        session->send_due_ns =
            session->send_due_ns == 0
                ? workload->now_ns + session->index * interval_ns / options->sessions
                : session->send_due_ns + interval_ns;
        if (session->send_due_ns < workload->now_ns) {
            session->send_due_ns = workload->now_ns; /* no burst after a gap */
        }
    }
    return 1;
}

/* -- the run -- */

static void report_progress(struct workload *workload) {
    if (workload->now_ns - workload->progress_ns >= PROGRESS_NS) {
        workload->progress_ns = workload->now_ns;
        printf("progress %" PRId64 " %" PRId64 "\n", workload->history.answered_count,
               workload->history.unknown_count);
    }
}

static bool is_input_open(void) {
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    char bytes[64];
    if (poll(&fd, 1, 0) <= 0 || fd.revents == 0) {
        return true;
    }
    return read(STDIN_FILENO, bytes, sizeof bytes) > 0;
}

/* One round over all sessions. */
static void step(struct workload *workload) {
    int work = 0;
    workload->now_ns = now_ns();
    for (int64_t i = 0; i < workload->options.sessions; i++) {
        work += poll_session(&workload->sessions[i]);
        work += workload->is_sending ? send_request(&workload->sessions[i]) : 0;
    }
    report_progress(workload);
    if (work == 0) {
        const struct timespec pause = {.tv_nsec = PAUSE_NS};
        (void)nanosleep(&pause, NULL);
    }
}

static bool is_pending(const struct workload *workload) {
    for (int64_t i = 0; i < workload->options.sessions; i++) {
        if (workload->sessions[i].pending_count > 0) {
            return true;
        }
    }
    return false;
}

static void run(struct workload *workload) {
    int64_t limit = workload->options.operations;
    int64_t input_ns = 0;
    workload->is_sending = true;
    while (workload->failure[0] == '\0' && workload->is_sending) {
        step(workload);
        if (limit > 0 ? workload->history.count >= limit
                      : workload->history.count >= OPERATIONS_MAX) {
            workload->is_sending = false;
        } else if (limit == 0 && workload->now_ns - input_ns > PROGRESS_NS) {
            input_ns = workload->now_ns;
            workload->is_sending = is_input_open();
        }
    }
    workload->is_sending = false;
    while (workload->failure[0] == '\0' && is_pending(workload)) {
        step(workload); /* ends by time-outs at the latest */
    }
}

/* Reading may be repeated: it changes nothing. */
static void read_list(struct workload *workload) {
    struct list_history *history = &workload->history;
    int64_t deadline_ns = now_ns() + workload->options.give_up_ms * NS_PER_MS;
    int64_t sent_ns = 0;
    workload->is_dump_answered = true; /* of nothing yet */
    history->final_length = -1;
    while (workload->failure[0] == '\0' && history->final_count != history->final_length) {
        struct session *session = &workload->sessions[0];
        step(workload);
        bool is_due = workload->is_dump_answered ||
                      workload->now_ns - sent_ns > workload->options.timeout_ms * NS_PER_MS;
        if (session->cluster != NULL && is_due &&
            offer_request(session, REQUEST_DUMP, history->final_count, history->final_count,
                          DUMP_COUNT) > 0) {
            workload->is_dump_answered = false;
            sent_ns = workload->now_ns;
        }
        if (workload->now_ns > deadline_ns) {
            fail(workload, "final reading", "not answered in time");
        }
    }
}

static void close_sessions(struct workload *workload) {
    for (int64_t i = 0; i < workload->options.sessions; i++) {
        tern_cluster_connect_cancel(workload->sessions[i].connecting);
        tern_cluster_close(workload->sessions[i].cluster);
    }
}

static _Noreturn void usage(const char *why) {
    fprintf(stderr, "list-workload: %s (see the head of tests/system/list_workload.c)\n", why);
    exit(64);
}

static int64_t number(const char *name, const char *text, int64_t min, int64_t max) {
    char *end;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        usage(name);
    }
    return value;
}

static void parse(struct options *options, int argc, char **argv) {
    static const char *const texts[] = {"endpoints", "egress-channel", "history"};
    const char **const text_values[] = {&options->endpoints, &options->egress_channel,
                                        &options->history_path};
    const struct {
        const char *name;
        int64_t *value;
        int64_t min;
        int64_t max;
    } numbers[] = {
        {"sessions", &options->sessions, 1, SESSIONS_MAX},
        {"window", &options->window, 1, WINDOW_MAX},
        {"operations", &options->operations, 0, OPERATIONS_MAX},
        {"append-percent", &options->append_percent, 0, 100},
        {"rate", &options->rate_hz, 0, 10000000},
        {"value-base", &options->value_base, 0, INT64_C(1) << 60},
        {"seed", &options->seed, 1, INT64_MAX},
        {"timeout-ms", &options->timeout_ms, 1, 3600000},
        {"new-leader-timeout-ms", &options->new_leader_timeout_ms, 1, 3600000},
        {"give-up-ms", &options->give_up_ms, 1, 3600000},
    };
    for (int i = 1; i < argc; i += 2) {
        bool is_known = false;
        if (strncmp(argv[i], "--", 2) != 0 || i + 1 == argc) {
            usage(argv[i]);
        }
        for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++) {
            if (strcmp(argv[i] + 2, texts[t]) == 0) {
                *text_values[t] = argv[i + 1];
                is_known = true;
            }
        }
        for (size_t n = 0; n < sizeof numbers / sizeof numbers[0]; n++) {
            if (strcmp(argv[i] + 2, numbers[n].name) == 0) {
                *numbers[n].value = number(argv[i], argv[i + 1], numbers[n].min, numbers[n].max);
                is_known = true;
            }
        }
        if (!is_known) {
            usage(argv[i]);
        }
    }
    if (options->endpoints == NULL || options->history_path == NULL) {
        usage("--endpoints and --history are required");
    }
}

int main(int argc, char **argv) {
    static struct workload workload; /* of a program without threads of its own */
    struct tern_error error = {0};
    workload.options = (struct options){
        .egress_channel = "aeron:udp?endpoint=localhost:0",
        .sessions = 4,
        .window = 1,
        .append_percent = 80,
        .seed = 1,
        .timeout_ms = 3000,
        .new_leader_timeout_ms = 5000,
        .give_up_ms = 30000,
    };
    parse(&workload.options, argc, argv);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    workload.random = (uint64_t)workload.options.seed;
    tern_context *context = tern_context_create(&error);
    workload.client = context == NULL ? NULL : tern_client_connect(context, &error);
    if (workload.client == NULL) {
        fail(&workload, "driver", error.text);
    }
    for (int32_t i = 0; i < workload.options.sessions; i++) {
        workload.sessions[i].workload = &workload;
        workload.sessions[i].index = i;
    }
    run(&workload);
    read_list(&workload);
    close_sessions(&workload);
    tern_client_close(workload.client);
    tern_context_destroy(context);
    if (!list_history_write(&workload.history, workload.options.history_path)) {
        fail(&workload, workload.options.history_path, "cannot be written");
    }
    printf("done %" PRId64 " %" PRId64 "\n", workload.history.answered_count,
           workload.history.unknown_count);
    list_history_close(&workload.history);
    if (workload.failure[0] != '\0') {
        fprintf(stderr, "list-workload: %s\n", workload.failure);
        return 1;
    }
    return 0;
}
