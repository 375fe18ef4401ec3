/* Feeds one sequence of messages to three instances of a service and compares them: two run it from
 * the beginning, the third starts from a snapshot of the first taken half-way. */
#include "unit/plugins/replica.h"

#include <criterion/criterion.h>

#include <string.h>

#define STEPS 400
#define HALF_WAY 200
#define SESSIONS 5
#define SEEDS 5

static uint64_t next_random(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

struct replica_run {
    replica_message_maker make;
    replica_event event;
    uint64_t random;
};

static void step(struct replica_run *run, struct fake_service **services, int count) {
    uint8_t message[REPLICA_MESSAGE_MAX] = {0};
    uint64_t random = next_random(&run->random);
    uint64_t for_message = next_random(&run->random);
    int32_t length = run->make(for_message, message);
    for (int i = 0; i < count; i++) {
        struct fake_service *service = services[i];
        service->host.time += (int64_t)(random % 3);
        /* What differs between members must not matter. */
        service->host.role = i == 0 ? TERN_CLUSTER_ROLE_LEADER : TERN_CLUSTER_ROLE_FOLLOWER;
        service->host.refusals = i == 0 ? (int)(random % 4) : 0;
        fake_service_send(service, (int64_t)(random >> 8) % SESSIONS, message, length);
        service->host.refusals = 0;
        if (run->event != NULL) {
            run->event(service, for_message);
        }
    }
}

static void compare_messages(const struct fake_messages *a, const struct fake_messages *b,
                             const char *what) {
    int64_t count = a->count < b->count ? a->count : b->count;
    for (int64_t i = 1; i <= count; i++) { /* the younger has the last ones only */
        const struct fake_message *left = &a->items[a->count - i];
        const struct fake_message *right = &b->items[b->count - i];
        cr_assert_eq(left->session_id, right->session_id, "%s", what);
        cr_assert_eq(left->length, right->length, "%s", what);
        cr_assert_arr_eq(left->bytes, right->bytes, (size_t)left->length, "%s", what);
    }
}

static void compare(struct fake_service *a, struct fake_service *b) {
    struct tern_service_snapshot left = {0};
    struct tern_service_snapshot right = {0};
    struct tern_error error;
    compare_messages(&a->host.answers, &b->host.answers, "answers");
    compare_messages(&a->host.cluster_messages, &b->host.cluster_messages, "cluster messages");
    cr_assert_eq(fake_service_take_snapshot(a, &left, &error), 0);
    cr_assert_eq(fake_service_take_snapshot(b, &right, &error), 0);
    cr_assert(fake_snapshot_equals(&left, &right), "equal states give equal snapshots");
    fake_snapshot_close(&left);
    fake_snapshot_close(&right);
}

static void check_seed(const char *name, struct replica_run *run) {
    struct fake_service first;
    struct fake_service second;
    struct fake_service third;
    struct tern_service_snapshot snapshot = {0};
    struct tern_error error;
    struct fake_service *services[] = {&first, &second, &third};
    cr_assert_eq(fake_service_open(&first, name, NULL, &error), 0);
    cr_assert_eq(fake_service_open(&second, name, NULL, &error), 0);
    compare(&first, &second);
    for (int i = 0; i < HALF_WAY; i++) {
        step(run, services, 2);
    }
    cr_assert_eq(fake_service_take_snapshot(&first, &snapshot, &error), 0);
    cr_assert_eq(fake_service_open(&third, name, &snapshot, &error), 0, "%s", error.text);
    cr_assert_eq(snapshot.cursor, snapshot.messages.count, "the whole snapshot was read");
    third.host.time = first.host.time;
    for (int i = HALF_WAY; i < STEPS; i++) {
        step(run, services, 3);
    }
    cr_assert_gt(first.host.answers.count, HALF_WAY);
    compare(&first, &second);
    compare(&first, &third);
    fake_snapshot_close(&snapshot);
    fake_service_close(&first);
    fake_service_close(&second);
    fake_service_close(&third);
}

void replica_check(const char *name, replica_message_maker make, replica_event event) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct replica_run run = {make, event, seed * UINT64_C(0x9e3779b97f4a7c15)};
        check_seed(name, &run);
    }
}
