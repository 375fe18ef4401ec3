/* See run.h. */
#include "sim/run.h"

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "sim/agenda.h"
#include "sim/checks.h"
#include "sim/directory.h"
#include "sim/exchange.h"
#include "sim/observer.h"
#include "sim/owner.h"
#include "sim/plan.h"
#include "sim/recorder.h"
#include "sim/stream.h"
#include "sim/stream_ways.h"
#include "sim/workload.h"

#define QUIET_NS (10 * NS_PER_S) /* the first phase */
#define RECOVERY_NS                                                                                \
    (60 * NS_PER_S)               /* after the last fault everybody must be served within this     \
                                   */
#define SETTLE_NS (13 * NS_PER_S) /* sessions of clients that died time out */
#define STEADY_NS NS_PER_S        /* who was served so lately goes on */
#define CALM_NS (3 * NS_PER_S)
#define SLICE_NS NS_PER_S
#define LAST_LINES 60
#define BESIDE_SALT UINT64_C(0x6265736964657321)
#define TIMERS_SALT UINT64_C(0x74696d6572732121)
#define TRANSPORT_SALT UINT64_C(0x77617973206f6621)

static const struct workload *const workloads[] = {&workload_list, &workload_register,
                                                   &workload_auction};

/* -- flags by name -- */

struct flag {
    const char *name;
    unsigned bit;
};

static const struct flag faults[] = {{"net", SIM_FAULT_NET},         {"disk", SIM_FAULT_DISK},
                                     {"clock", SIM_FAULT_CLOCK},     {"crash", SIM_FAULT_CRASH},
                                     {"corrupt", SIM_FAULT_CORRUPT}, {NULL, 0}};
static const struct flag beside[] = {{"stream", RUN_BESIDE_STREAM},
                                     {"recorder", RUN_BESIDE_RECORDER},
                                     {"transport", RUN_BESIDE_TRANSPORT},
                                     {NULL, 0}};
#define FAULTS_ALL (SIM_FAULT_NET | SIM_FAULT_DISK | SIM_FAULT_CLOCK | SIM_FAULT_CRASH)
#define BESIDE_ALL (RUN_BESIDE_STREAM | RUN_BESIDE_RECORDER | RUN_BESIDE_TRANSPORT)

/* Names joined by commas, or "all", or "none". */
static bool parse_flags(const struct flag *flags, unsigned all, const char *text, unsigned *bits) {
    *bits = strcmp(text, "all") == 0 ? all : 0;
    if (*bits != 0 || strcmp(text, "none") == 0) {
        return true;
    }
    while (*text != '\0') {
        size_t length = strcspn(text, ",");
        const struct flag *flag = flags;
        while (flag->name != NULL &&
               (strlen(flag->name) != length || strncmp(flag->name, text, length) != 0)) {
            flag++;
        }
        if (flag->name == NULL) {
            return false;
        }
        *bits |= flag->bit;
        text += length + (text[length] == ',');
    }
    return true;
}

bool run_parse_faults(const char *text, unsigned *bits) {
    return parse_flags(faults, FAULTS_ALL, text, bits);
}

bool run_parse_beside(const char *text, unsigned *bits) {
    return parse_flags(beside, BESIDE_ALL, text, bits);
}

static void print_faults(unsigned bits, char *text) {
    text[0] = '\0';
    for (const struct flag *flag = faults; flag->name != NULL; flag++) {
        if ((bits & flag->bit) != 0) {
            (void)sprintf(text + strlen(text), "%s%s", text[0] == '\0' ? "" : ",", flag->name);
        }
    }
    if (text[0] == '\0') {
        (void)strcpy(text, "none");
    }
}

/* -- options -- */

/* What is beside the cluster. Recordings are drawn apart, so that a seed without them is what it
 * was before there were any. */
static void choose_beside(struct sim_options *options, const struct run_request *request) {
    struct dice dice = {request->seed ^ BESIDE_SALT};
    int64_t stream_hz = dice_scale(&dice, 10, 400);
    int64_t record_hz = dice_scale(&dice, 10, 400);
    options->record_hz = dice_chance(&dice, 0.4) ? record_hz : 0;
    if (request->has_beside) {
        options->stream_hz = (request->beside & RUN_BESIDE_STREAM) != 0 ? stream_hz : 0;
        options->record_hz = (request->beside & RUN_BESIDE_RECORDER) != 0 ? record_hz : 0;
    }
}

/* Drawn apart as well. */
static void choose_timers(struct sim_options *options, const struct run_request *request) {
    struct dice dice = {request->seed ^ TIMERS_SALT};
    bool has_timers = dice_chance(&dice, 0.5);
    options->has_long_messages = dice_chance(&dice, 0.3);
    options->has_timers = request->timers == RUN_DRAWN ? has_timers : request->timers == RUN_ON;
}

const char *run_transport_name(int index) {
    const struct stream_way *way = transport_way(index);
    return way != NULL ? way->name : exchange_way_name(index - transport_way_count());
}

static int transport_count(void) {
    int count = 0;
    while (run_transport_name(count) != NULL) {
        count++;
    }
    return count;
}

static const char *find_transport(const char *name) {
    for (int i = 0; i < transport_count(); i++) {
        if (strcmp(run_transport_name(i), name) == 0) {
            return run_transport_name(i);
        }
    }
    if (strcmp(name, "none") != 0) {
        (void)fprintf(stderr, "sim: unknown transport %s\n", name);
        exit(64);
    }
    return NULL;
}

/* As it was before there were transports. */
static bool is_without(const struct run_request *request) {
    return request->transport != NULL
               ? strcmp(request->transport, "none") == 0
               : request->has_beside && (request->beside & RUN_BESIDE_TRANSPORT) == 0;
}

/* Drawn apart, too. */
static void choose_transport(struct sim_options *options, const struct run_request *request) {
    struct dice dice = {request->seed ^ TRANSPORT_SALT};
    options->transport_hz = dice_scale(&dice, 10, 400);
    int drawn = (int)dice_between(&dice, 0, transport_count() - 1);
    bool is_there = dice_chance(&dice, 0.4);
    options->is_archive_by_response = dice_chance(&dice, 0.3);
    if (request->has_beside) {
        is_there = (request->beside & RUN_BESIDE_TRANSPORT) != 0;
    }
    options->transport = is_there ? run_transport_name(drawn) : NULL;
    if (request->transport != NULL) {
        options->transport = find_transport(request->transport);
    }
    options->is_archive_by_response = options->is_archive_by_response && !is_without(request);
}

/* Everything is drawn, whether it is given or not, so that one given option changes no other. */
static void choose_options(struct sim *sim, const struct run_request *request) {
    static const int node_counts[] = {1, 3, 3, 3, 3, 5};
    static const char *const checksums[] = {NULL, NULL, "CRC-32C", "CRC-32"};
    struct dice *dice = &sim->dice;
    struct sim_options *options = &sim->options;
    options->seed = request->seed;
    options->node_count = node_counts[dice_between(dice, 0, ARRAY_COUNT(node_counts) - 1)];
    options->client_count = (int)dice_between(dice, 1, 4);
    options->duration_ns = dice_between(dice, 60, 180) * NS_PER_S;
    options->faults = (unsigned)dice_between(dice, 0, FAULTS_ALL);
    options->workload = workloads[dice_between(dice, 0, ARRAY_COUNT(workloads) - 1)]->name;
    options->sync_level = (int)dice_between(dice, 0, 2);
    options->park_max_ns = dice_scale(dice, NS_PER_MS, 8 * NS_PER_MS);
    options->rate_hz = dice_scale(dice, 10, 400);
    options->snapshot_interval_ns =
        dice_chance(dice, 0.5) ? dice_between(dice, 5, 40) * NS_PER_S : 0;
    options->stream_hz = dice_chance(dice, 0.5) ? dice_scale(dice, 10, 400) : 0;
    options->checksum = checksums[dice_between(dice, 0, ARRAY_COUNT(checksums) - 1)];
    options->is_tracing = request->is_tracing;
    choose_beside(options, request);
    choose_timers(options, request);
    choose_transport(options, request);
    if (request->node_count > 0) {
        options->node_count = request->node_count;
    }
    if (request->client_count > 0) {
        options->client_count = request->client_count;
    }
    if (request->minutes > 0) {
        options->duration_ns = (int64_t)(request->minutes * 60.0 * 1e9);
    }
    if (request->workload != NULL) {
        options->workload = request->workload;
    }
    if (request->has_faults) {
        options->faults = request->faults;
    }
    for (size_t i = 0; i < ARRAY_COUNT(workloads); i++) {
        if (strcmp(workloads[i]->name, options->workload) == 0) {
            sim->workload = workloads[i];
        }
    }
    if (sim->workload == NULL) {
        (void)fprintf(stderr, "sim: unknown workload %s\n", options->workload);
        exit(64);
    }
}

static void print_options(const struct sim *sim) {
    const struct sim_options *options = &sim->options;
    char fault_names[64];
    print_faults(options->faults, fault_names);
    printf("seed %llu: %d nodes, %d clients, %s at %lld/s, faults %s, %lld s, sync level %d, "
           "checksum %s, park %lld us, snapshots every %lld s, stream at %lld/s, "
           "recordings at %lld/s%s, transport %s at %lld/s, timers %s\n",
           (unsigned long long)options->seed, options->node_count, options->client_count,
           options->workload, (long long)options->rate_hz, fault_names,
           (long long)(options->duration_ns / NS_PER_S), options->sync_level,
           options->checksum == NULL ? "none" : options->checksum,
           (long long)(options->park_max_ns / NS_PER_US),
           (long long)(options->snapshot_interval_ns / NS_PER_S), (long long)options->stream_hz,
           (long long)options->record_hz,
           options->is_archive_by_response ? " by a response channel" : "",
           options->transport == NULL ? "none" : options->transport,
           (long long)options->transport_hz, options->has_timers ? "on" : "off");
}

static void on_send(void *context, const struct wire_datagram *datagram) {
    struct sim *sim = context;
    history_mix(&sim->history, (uint64_t)(unsigned)datagram->from_host << 16 |
                                   (uint64_t)(unsigned)datagram->to_host);
    history_mix_bytes(&sim->history, datagram->data, datagram->length);
    int owner = owner_switch(OWNER_SIMULATOR);
    checks_on_datagram(sim, datagram);
    owner_switch(owner);
}

/* What a thread that waits for its sockets does: a datagram wakes the driver. */
static void on_arrival(void *context, int host, int64_t deliver_ns) {
    struct sim *sim = context;
    struct process *driver = sim->machines[host].processes[0];
    if (driver->is_up) {
        process_set_wake(driver, min_i64(driver->wake_ns, max_i64(sim->now_ns, deliver_ns)));
    }
}

/* -- a failed assert or a wild pointer is a broken rule, too -- */

static const struct sim *running;

static void on_signal(int number) {
    static const char what[] = "\nan assert failed, or a wild pointer was used; the last events:\n";
    (void)signal(number, SIG_DFL);
    (void)owner_switch(OWNER_SIMULATOR);
    (void)!write(STDERR_FILENO, what, sizeof what - 1);
    history_print_last(&running->history, LAST_LINES);
    (void)fprintf(stderr, "\nrepeat with: sim --seed %llu --trace\n",
                  (unsigned long long)running->options.seed);
    directory_delete(running->directory);
    (void)raise(number);
}

/* Asked to stop. */
static void on_stop(int number) {
    directory_delete(running->directory);
    _exit(128 + number);
}

static void watch_signals(const struct sim *sim) {
    running = sim;
    (void)signal(SIGINT, on_stop);
    (void)signal(SIGTERM, on_stop);
    (void)signal(SIGABRT, on_signal);
    (void)signal(SIGSEGV, on_signal);
    (void)signal(SIGBUS, on_signal);
}

static struct sim *build(const struct run_request *request) {
    struct sim *sim = calloc(1, sizeof *sim);
    assert(sim != NULL);
    sim->dice.state = request->seed;
    sim->checks = calloc(1, sizeof *sim->checks);
    struct dice *wire_dice = malloc(sizeof *wire_dice);
    assert(sim->checks != NULL && wire_dice != NULL);
    sim->now_ns = NS_PER_S;
    choose_options(sim, request);
    if (!request->is_quiet) {
        print_options(sim);
    }
    /* A name of the same length in every run; several simulations may run at once. */
    (void)snprintf(sim->directory, sizeof sim->directory, "/dev/shm/tern-sim-XXXXXX");
    if (mkdtemp(sim->directory) == NULL) {
        perror("sim: /dev/shm");
        exit(71);
    }
    history_init(&sim->history, sim->options.is_tracing);
    wire_dice->state = dice_next(&sim->dice);
    wire_init(&sim->wire, dice_random(wire_dice));
    sim->wire.now_ns = sim->now_ns;
    sim->wire.flips_anywhere = (sim->options.faults & SIM_FAULT_CORRUPT) != 0;
    sim->wire.on_send = on_send;
    sim->wire.on_arrival = on_arrival;
    sim->wire.context = sim;
    for (int i = 0; i < WIRE_HOSTS_MAX; i++) {
        for (int j = 0; j < WIRE_HOSTS_MAX; j++) {
            sim->wire.links[i][j] =
                (struct wire_link){.delay_min_ns = 50 * NS_PER_US, .delay_max_ns = 80 * NS_PER_US};
        }
    }
    checks_init(sim->checks, sim->options.node_count);
    for (int i = 0; i < sim->options.node_count; i++) {
        (void)node_add(sim);
    }
    struct machine *clients = client_machine_add(sim);
    sim->workload_state = sim->workload->create(sim);
    for (int i = 0; i < sim->options.client_count; i++) {
        (void)process_add(clients, PROCESS_CLIENT, sim->workload->client);
    }
    stream_add(sim);
    recorder_add(sim);
    stream_add_transport(sim);
    exchange_add(sim);
    return sim;
}

static bool is_everybody_served(const struct sim *sim, int64_t since_ns) {
    for (int i = 0; i < sim->process_count; i++) {
        const struct process *process = &sim->processes[i];
        if (process->kind == PROCESS_CLIENT &&
            sim->workload->answered_since(sim->workload_state, process->index, since_ns) == 0) {
            return false;
        }
    }
    return stream_is_served(sim->stream, since_ns) && stream_is_served(sim->transport, since_ns) &&
           exchange_is_served(sim->exchange, since_ns) &&
           recorder_is_served(sim->recorder, since_ns);
}

/* From now on nothing fails: the cluster must serve again in time. */
static void await_service(struct sim *sim) {
    int64_t start_ns = sim->now_ns;
    while (!sim->has_failed && !is_everybody_served(sim, start_ns)) {
        if (sim->now_ns > start_ns + RECOVERY_NS) {
            sim_fail(sim, "not everybody is served %lld s after the last fault",
                     (long long)(RECOVERY_NS / NS_PER_S));
        }
        sim_run_until(sim, sim->now_ns + SLICE_NS / 10, NULL);
    }
    history_line(&sim->history, "everybody is served after %.1f s",
                 (double)(sim->now_ns - start_ns) * 1e-9);
}

/* The service that is furthest in the log. */
static const void *find_service(struct sim *sim) {
    const void *furthest = NULL;
    int64_t next = -1;
    for (int i = 0; i < sim->process_count; i++) {
        const struct process *process = &sim->processes[i];
        if (process->kind == PROCESS_SERVICE && observer_inner(process) != NULL &&
            sim->checks->log.next[process->machine->index] > next) {
            furthest = observer_inner(process);
            next = sim->checks->log.next[process->machine->index];
        }
    }
    return furthest;
}

static bool are_services_level(const struct sim *sim) {
    for (int i = 0; i < sim->process_count; i++) {
        const struct process *process = &sim->processes[i];
        if (process->kind == PROCESS_SERVICE &&
            (observer_inner(process) == NULL ||
             sim->checks->log.next[process->machine->index] < sim->checks->log.count)) {
            return false;
        }
    }
    return true;
}

static bool is_beside_level(const struct sim *sim) {
    return stream_is_level(sim->stream) && stream_is_level(sim->transport) &&
           exchange_is_level(sim->exchange) && recorder_is_level(sim->recorder);
}

/* All requests answered, all services at the end of the log; then the workload's rules. */
static void settle(struct sim *sim) {
    struct tern_error problem;
    sim->workload->set_sending(sim->workload_state, false);
    stream_set_sending(sim->stream, false);
    stream_set_sending(sim->transport, false);
    exchange_set_sending(sim->exchange, false);
    recorder_set_sending(sim->recorder, false);
    int64_t deadline_ns = sim->now_ns + RECOVERY_NS;
    while (!sim->has_failed &&
           (sim->workload->is_pending(sim->workload_state) || !are_services_level(sim))) {
        if (sim->now_ns > deadline_ns) {
            sim_fail(sim, "not all services come to the end of the log");
        }
        sim_run_until(sim, sim->now_ns + SLICE_NS, NULL);
    }
    while (!sim->has_failed && !is_beside_level(sim)) {
        if (sim->now_ns > deadline_ns) {
            sim_fail(sim, "%s",
                     !stream_is_level(sim->stream)       ? "the stream does not come to its end"
                     : !stream_is_level(sim->transport)  ? "the transport does not come to its end"
                     : !exchange_is_level(sim->exchange) ? "not all requests are answered"
                                                         : "not all recordings are replayed");
        }
        sim_run_until(sim, sim->now_ns + SLICE_NS, NULL);
    }
    while (!sim->has_failed && !agenda_is_level(sim) && sim->now_ns <= deadline_ns) {
        sim_run_until(sim, sim->now_ns + SLICE_NS, NULL);
    }
    agenda_check_end(sim);
    history_line(&sim->history, "recorder: %lld bytes were replayed",
                 (long long)recorder_replayed(sim->recorder));
    history_line(&sim->history, "stream: %lld messages came",
                 (long long)stream_received(sim->stream));
    if (sim->transport != NULL) {
        history_line(&sim->history, "transport: %lld messages came",
                     (long long)stream_received(sim->transport));
    }
    if (sim->exchange != NULL) {
        history_line(&sim->history, "exchange: %lld answers came",
                     (long long)exchange_answered(sim->exchange));
    }
    checks_on_settled(sim);
    if (!sim->has_failed &&
        !sim->workload->check(sim->workload_state, find_service(sim), &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
}

/* A service that was started again waits for its module to miss the one before. */
static bool are_services_joined(const struct sim *sim) {
    for (int i = 0; i < sim->process_count; i++) {
        const struct process *process = &sim->processes[i];
        if (process->kind == PROCESS_SERVICE && !observer_is_following(process)) {
            return false;
        }
    }
    return true;
}

/* What is beside the cluster goes on, too: a client that died in the faults may hold a
 * subscription, and with it an image, until it times out, and a sender that does not wait for it
 * breaks the image meanwhile. */
static bool are_all_settled(const struct sim *sim) {
    int64_t since_ns = sim->now_ns - STEADY_NS;
    return checks_are_members_settled(sim) && are_services_joined(sim) &&
           stream_is_steady(sim->stream, since_ns) && stream_is_steady(sim->transport, since_ns) &&
           exchange_is_served(sim->exchange, since_ns);
}

/* Until everybody has found its place and kept it while what the faults left behind timed out: a
 * member may notice only then that its archive is another one. */
static void await_calm(struct sim *sim) {
    int64_t deadline_ns = sim->now_ns + RECOVERY_NS;
    int64_t settled_ns = sim->now_ns;
    while (!sim->has_failed && sim->now_ns < settled_ns + SETTLE_NS) {
        if (sim->now_ns > deadline_ns) {
            sim_fail(sim, "not everybody goes on undisturbed %lld s after the last fault",
                     (long long)(RECOVERY_NS / NS_PER_S));
        }
        sim_run_until(sim, sim->now_ns + SLICE_NS / 10, NULL);
        if (!are_all_settled(sim)) {
            settled_ns = sim->now_ns;
        }
    }
    recorder_set_calm(sim->recorder, true);
    deadline_ns = sim->now_ns + RECOVERY_NS;
    while (!sim->has_failed && !recorder_is_calm(sim->recorder)) {
        if (sim->now_ns > deadline_ns) {
            sim_fail(sim, "the recorder does not come to rest");
        }
        sim_run_until(sim, sim->now_ns + SLICE_NS, NULL);
    }
    if (sim->recorder != NULL) {
        sim_run_until(sim, sim->now_ns + SETTLE_NS, NULL); /* images of its last streams go */
    }
}

/* Nothing happens but the load. */
static void stay_calm(struct sim *sim) {
    sim->options.snapshot_interval_ns = 0;
    sim_run_until(sim, sim->now_ns + NS_PER_S, NULL);
    for (int i = 0; i < sim->process_count; i++) {
        sim->processes[i].allocations = owner_usage(sim->processes[i].owner).allocations;
    }
    sim->checks->is_calm = true;
    sim_run_until(sim, sim->now_ns + CALM_NS, NULL);
    sim->checks->is_calm = false;
    recorder_set_calm(sim->recorder, false);
}

static void close_kind(struct sim *sim, enum process_kind kind) {
    for (int i = 0; i < sim->process_count; i++) {
        struct process *process = &sim->processes[i];
        process->is_held_down = true;
        if (process->kind == kind && process->is_up) {
            if (sim->has_failed) {
                process_kill(process);
            } else {
                process_stop(process);
                sim_run_until(sim, sim->now_ns + 200 * NS_PER_MS, NULL);
            }
        }
    }
}

static void take_down(struct sim *sim) {
    close_kind(sim, PROCESS_CLIENT);
    close_kind(sim, PROCESS_STREAM);
    close_kind(sim, PROCESS_RECORDER);
    close_kind(sim, PROCESS_SERVICE);
    close_kind(sim, PROCESS_CONSENSUS);
    close_kind(sim, PROCESS_ARCHIVE);
    close_kind(sim, PROCESS_DRIVER);
    plan_destroy(sim->plan);
    stream_destroy(sim->stream);
    stream_destroy(sim->transport);
    exchange_destroy(sim->exchange);
    recorder_destroy(sim->recorder);
    sim->workload->destroy(sim->workload_state);
    for (int i = 0; i < sim->machine_count; i++) {
        struct machine *machine = &sim->machines[i];
        if (machine->disk != NULL) {
            free(machine->disk->random.context);
            disk_close(machine->disk);
            free(machine->disk);
        }
        free(machine->conf);
    }
    free(sim->wire.random.context);
    wire_close(&sim->wire);
    checks_close(sim->checks);
    free(sim->checks);
    directory_delete(sim->directory);
}

static void run_phases(struct sim *sim) {
    int64_t faults_end_ns = sim->now_ns + max_i64(QUIET_NS, sim->options.duration_ns - QUIET_NS);
    sim->plan = plan_create(sim, sim->now_ns + QUIET_NS, faults_end_ns);
    sim->workload->set_sending(sim->workload_state, true);
    stream_set_sending(sim->stream, true);
    stream_set_sending(sim->transport, true);
    stream_set_restless(sim->transport, true);
    exchange_set_sending(sim->exchange, true);
    exchange_set_restless(sim->exchange, true);
    recorder_set_sending(sim->recorder, true);
    sim_run_until(sim, faults_end_ns, NULL);
    stream_set_restless(sim->transport, false);
    exchange_set_restless(sim->exchange, false);
    await_service(sim);
    await_calm(sim);
    stay_calm(sim);
    settle(sim);
}

void run(const struct run_request *request, struct run_result *result) {
    struct sim *sim = build(request);
    watch_signals(sim);
    int64_t start_ns = sim->now_ns;
    run_phases(sim);
    *result = (struct run_result){
        .answered = sim->workload->answered(sim->workload_state),
        .leader_count = (int)sim->checks->leader_count,
        .simulated_ns = sim->now_ns - start_ns,
    };
    take_down(sim);
    result->step_count = sim->step_count;
    result->hash = sim->history.hash;
    result->is_good = !sim->has_failed;
    if (sim->has_failed) {
        (void)fprintf(stderr, "\nthe last events:\n");
        history_print_last(&sim->history, LAST_LINES);
        (void)fprintf(
            stderr, "\nseed %llu broke a rule: %s\nrepeat with: sim --seed %llu --trace\n",
            (unsigned long long)request->seed, sim->failure, (unsigned long long)request->seed);
    }
    free(sim);
}
