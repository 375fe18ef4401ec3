/* See agenda.h. The checks are told once for each entry, by the service that comes to it first, and
 * before anything is sent: sending may wait, and then others come to that entry. */
#include "sim/agenda.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/consensus.h"
#include "sim/checks.h"
#include "sim/owner.h"

#define TIMER_BASE (INT64_C(1) << 40) /* ids, so that they are nobody else's */
#define MOVED_COUNT 24                /* the first of them are scheduled again and again */
#define MAGIC UINT64_C(0x616765656e646121)
#define MESSAGE_WORDS_MAX 400
#define REQUESTS_MAX 4
#define HASH_PRIME UINT64_C(0x100000001b3)
#define QUIET_END_NS (10 * NS_PER_S)
#define STALE_QUIET_NS NS_PER_S
#define STALE_MAX_NS (120 * NS_PER_S)
#define OVERDUE_MS 2000

enum request_kind { REQUEST_SCHEDULE, REQUEST_CANCEL, REQUEST_OFFER };

struct request {
    enum request_kind kind;
    int64_t id; /* or the number of the message */
    int64_t deadline;
    int32_t word_count;
};

void agenda_init(struct agenda *agenda, struct process *process, struct tern_service_host *host,
                 const struct tern_service_operations *operations) {
    *agenda = (struct agenda){
        .process = process,
        .host = host,
        .operations = operations,
        .is_on = process->sim->options.has_timers,
        .state = {.dice = 1, .next_timer = MOVED_COUNT},
    };
}

uint64_t agenda_hash(const struct agenda *agenda) {
    const struct agenda_state *state = &agenda->state;
    const uint64_t words[] = {state->dice, (uint64_t)state->next_timer, (uint64_t)state->offered,
                              (uint64_t)state->received, (uint64_t)state->fired};
    uint64_t hash = 0;
    for (size_t i = 0; i < ARRAY_COUNT(words) && agenda->is_on; i++) {
        hash = (hash ^ words[i]) * HASH_PRIME;
    }
    return hash;
}

/* -- requests -- */

static struct check_timers *checks_of(const struct agenda *agenda) {
    return &agenda->process->sim->checks->timers;
}

static bool is_new(const struct agenda *agenda) {
    return check_timers_is_new(checks_of(agenda), agenda->operations->log_position(agenda->host));
}

static struct request draw(struct agenda *agenda, int64_t timestamp) {
    struct agenda_state *state = &agenda->state;
    struct dice dice = {state->dice};
    struct request request = {.kind = REQUEST_SCHEDULE};
    int64_t choice = dice_between(&dice, 0, 9);
    int64_t delay_ms = dice_scale(&dice, 10, 40000) - 20;
    request.id = dice_between(&dice, 0, MOVED_COUNT - 1);
    request.deadline = timestamp + delay_ms;
    bool is_long = dice_chance(&dice, 0.1) && agenda->process->sim->options.has_long_messages;
    request.word_count = (int32_t)dice_between(&dice, 2, is_long ? MESSAGE_WORDS_MAX : 20);
    if (choice < 3) {
        request.id = state->next_timer++;
    } else if (choice < 5) {
        request.kind = REQUEST_CANCEL;
    } else if (choice < 7) {
        request.kind = REQUEST_OFFER;
        request.id = state->offered++;
    }
    state->dice = dice.state;
    return request;
}

static void tell(const struct agenda *agenda, const struct request *request) {
    struct check_timers *checks = checks_of(agenda);
    int64_t now_ns = agenda->process->sim->now_ns;
    int owner = owner_switch(OWNER_SIMULATOR);
    if (request->kind == REQUEST_SCHEDULE) {
        check_timers_on_schedule(checks, request->id, request->deadline, now_ns);
    } else if (request->kind == REQUEST_CANCEL) {
        check_timers_on_cancel(checks, request->id, now_ns);
    } else {
        check_timers_on_offer(checks);
    }
    owner_switch(owner);
}

static int64_t send_once(const struct agenda *agenda, const struct request *request) {
    const struct tern_service_operations *operations = agenda->operations;
    uint64_t words[MESSAGE_WORDS_MAX] = {MAGIC, (uint64_t)request->id};
    switch (request->kind) {
    case REQUEST_SCHEDULE:
        return operations->schedule_timer(agenda->host, TIMER_BASE + request->id,
                                          request->deadline);
    case REQUEST_CANCEL:
        return operations->cancel_timer(agenda->host, TIMER_BASE + request->id);
    default:
        return operations->offer_to_cluster(agenda->host, words,
                                            request->word_count * (int32_t)sizeof words[0]);
    }
}

/* Every member must ask for the same; whoever cannot, because its module is gone, ends soon. */
static void send_request(const struct agenda *agenda, const struct request *request) {
    for (;;) {
        int64_t result = send_once(agenda, request);
        if (result != TERN_PUBLICATION_BACK_PRESSURED && result != TERN_PUBLICATION_ADMIN_ACTION) {
            return;
        }
        agenda->operations->idle(agenda->host, 0);
    }
}

static void act(struct agenda *agenda, int64_t timestamp, int64_t chance, bool is_told) {
    struct request requests[REQUESTS_MAX];
    struct dice dice = {agenda->state.dice};
    bool acts = dice_between(&dice, 1, chance) == 1;
    int count = acts ? (int)dice_between(&dice, 1, REQUESTS_MAX) : 0;
    agenda->state.dice = dice.state;
    for (int i = 0; i < count; i++) {
        requests[i] = draw(agenda, timestamp);
        if (is_told) {
            tell(agenda, &requests[i]);
        }
    }
    for (int i = 0; i < count; i++) {
        send_request(agenda, &requests[i]);
    }
}

/* -- entries -- */

void agenda_on_entry(struct agenda *agenda, int64_t timestamp) {
    if (agenda->is_on) {
        act(agenda, timestamp, 12, is_new(agenda));
    }
}

bool agenda_on_message(struct agenda *agenda, const uint8_t *buffer, int32_t length,
                       int64_t timestamp) {
    uint64_t words[2];
    struct tern_error problem;
    if (!agenda->is_on || length < (int32_t)sizeof words) {
        return false;
    }
    memcpy(words, buffer, sizeof words);
    if (words[0] != MAGIC) {
        return false;
    }
    bool is_told = is_new(agenda);
    if (is_told && !check_timers_on_message(checks_of(agenda), (int64_t)words[1], &problem)) {
        sim_fail(agenda->process->sim, "%s", problem.text);
    }
    agenda->state.received++;
    act(agenda, timestamp, 20, is_told);
    return true;
}

bool agenda_on_timer(struct agenda *agenda, int64_t timer_id, int64_t timestamp) {
    struct sim *sim = agenda->process->sim;
    struct tern_error problem;
    if (!agenda->is_on || timer_id < TIMER_BASE) {
        return false;
    }
    bool is_told = is_new(agenda);
    const struct check_timer_event event = {
        .id = timer_id - TIMER_BASE,
        .timestamp = timestamp,
        .now_ns = sim->now_ns,
        .stale_max_ns = sim->now_ns <= QUIET_END_NS ? STALE_QUIET_NS : STALE_MAX_NS,
    };
    int owner = owner_switch(OWNER_SIMULATOR);
    if (is_told && !check_timers_on_event(checks_of(agenda), &event, &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    owner_switch(owner);
    agenda->state.fired++;
    act(agenda, timestamp, 6, is_told);
    return true;
}

/* -- snapshots -- */

int agenda_save(const struct agenda *agenda, struct tern_service_snapshot *snapshot) {
    return agenda->is_on ? agenda->operations->snapshot_write(snapshot, &agenda->state,
                                                              (int32_t)sizeof agenda->state)
                         : 0;
}

int agenda_load(struct agenda *agenda, struct tern_service_snapshot *snapshot) {
    const void *message;
    int32_t length;
    if (!agenda->is_on || snapshot == NULL) {
        return 0;
    }
    if (agenda->operations->snapshot_read(snapshot, &message, &length) != 1 ||
        length != (int32_t)sizeof agenda->state) {
        return -EBADMSG;
    }
    memcpy(&agenda->state, message, sizeof agenda->state);
    return 0;
}

/* -- the end -- */

/* What the leader calls the time, less what it may take to fire. */
static int64_t due_time(const struct sim *sim) {
    int64_t time = INT64_MIN;
    for (int i = 0; i < sim->options.node_count; i++) {
        const struct process *process = sim->machines[i].processes[PROCESS_CONSENSUS];
        const struct consensus *consensus = process->instance;
        if (process->is_up && raft_is_leader(&consensus->raft)) {
            time = max_i64(time, consensus->cluster_time - OVERDUE_MS);
        }
    }
    return time;
}

static void get_timer(const void *context, int64_t index, int64_t *id, int64_t *deadline) {
    const struct timer *timer = timer_table_at(context, (int32_t)index);
    *id = timer->id - TIMER_BASE;
    *deadline = timer->deadline;
}

/* Whatever each member went through, by now all have the same. */
static bool are_members_level(const struct sim *sim, struct tern_error *problem) {
    for (int i = 0; i < sim->options.node_count; i++) {
        const struct process *process = sim->machines[i].processes[PROCESS_CONSENSUS];
        const struct consensus *consensus = process->instance;
        if (!process->is_up || consensus->stage != CONSENSUS_RUN) {
            continue;
        }
        const struct check_timer_list list = {i, consensus->timers.scheduled_count, get_timer,
                                              &consensus->timers};
        if (!check_timers_are_equal(&sim->checks->timers, &list, problem)) {
            return false;
        }
        if (consensus->queues[0].count > 0) {
            (void)error_set(problem, -1, "node %d: %d service messages are still queued", i,
                            consensus->queues[0].count);
            return false;
        }
    }
    return true;
}

static bool is_level(const struct sim *sim, struct tern_error *problem) {
    return check_timers_at_end(&sim->checks->timers, due_time(sim), problem) &&
           are_members_level(sim, problem);
}

bool agenda_is_level(const struct sim *sim) {
    struct tern_error ignored;
    return !sim->options.has_timers || is_level(sim, &ignored);
}

void agenda_check_end(struct sim *sim) {
    const struct check_timers *checks = &sim->checks->timers;
    struct tern_error problem;
    if (sim->options.has_timers && !is_level(sim, &problem)) {
        sim_fail(sim, "%s", problem.text);
    }
    history_line(&sim->history,
                 "agenda: %lld timers fired, %lld of them overtaken, %lld messages came",
                 (long long)checks->fired_count, (long long)checks->stale_count,
                 (long long)checks->received_count);
}
