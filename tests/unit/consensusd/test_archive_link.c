/* How the module notices that its archive has ended or is another one: by the driver's counters,
 * which are a table here. */
#include <criterion/criterion.h>

#include "base/bits.h"
#include "consensusd/archive_link.h"
#include "shm/counter_types.h"

#define ARCHIVE_ID 42
#define OTHER_ARCHIVE_ID 43

static struct {
    int32_t type_id;
    int64_t registration_id;
    int64_t archive_id;
} counters[8];
static int32_t counter_count;
static int64_t connected_id;
static int64_t heartbeats_ms[64]; /* of the client whose id it is; 0: there is none */

int __wrap_tern_archive_connect_begin(struct tern_archive_connect **connect,
                                      const struct tern_archive_params *params,
                                      struct tern_error *error) {
    (void)params, (void)error;
    *connect = (struct tern_archive_connect *)counters; /* not looked at */
    return 0;
}

int __wrap_tern_archive_connect_poll(struct tern_archive_connect *connect, int64_t now_ns,
                                     struct tern_archive **archive, struct tern_error *error) {
    (void)now_ns, (void)error;
    *archive = (struct tern_archive *)connect;
    return 1;
}

int64_t __wrap_tern_archive_id(const struct tern_archive *archive) {
    (void)archive;
    return connected_id;
}

const tern_counters_reader *__wrap_tern_client_counters(const tern_client *client) {
    (void)client;
    return NULL;
}

int __wrap_tern_counters_for_each(const tern_counters_reader *reader, tern_counter_visitor visit,
                                  void *context) {
    (void)reader;
    for (int32_t i = 0; i < counter_count; i++) {
        uint8_t key[TERN_COUNTER_KEY_MAX] = {0};
        put_i64(key, counters[i].archive_id);
        const struct tern_counter_info info = {.id = i,
                                               .type_id = counters[i].type_id,
                                               .registration_id = counters[i].registration_id,
                                               .owner_id = counters[i].registration_id - 1,
                                               .key = key};
        cr_assert_eq(visit(context, &info), 0, "all are looked at");
    }
    return 0;
}

int32_t __wrap_tern_counters_find(const tern_counters_reader *reader, int32_t type_id,
                                  int64_t registration_id) {
    (void)reader;
    cr_assert_eq(type_id, COUNTER_TYPE_CLIENT_HEARTBEAT);
    bool is_there = heartbeats_ms[registration_id] != 0;
    return is_there ? (int32_t)registration_id : TERN_NULL_COUNTER_ID;
}

int64_t __wrap_tern_counters_value(const tern_counters_reader *reader, int32_t counter_id) {
    (void)reader;
    return heartbeats_ms[counter_id];
}

/* The client of each archive has the id before that of its counter. */
static void add(int32_t type_id, int64_t registration_id, int64_t archive_id) {
    counters[counter_count].type_id = type_id;
    counters[counter_count].registration_id = registration_id;
    counters[counter_count++].archive_id = archive_id;
}

static void connect_to(struct archive_link *link, int64_t archive_id) {
    static const struct tern_archive_params params = {0};
    static const struct archive_link_handlers handlers = {0};
    struct tern_error error;
    connected_id = archive_id;
    cr_assert_eq(archive_link_open(link, &params, &handlers, &error), 0);
    cr_assert_eq(archive_link_connect_step(link, 1, &error), 1);
}

Test(archive_link, archive_that_lives_is_not_lost) {
    struct archive_link link;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, ARCHIVE_ID);
    connect_to(&link, ARCHIVE_ID);
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 20, OTHER_ARCHIVE_ID);
    add(COUNTER_TYPE_ARCHIVE_CONTROL_SESSIONS, 30, ARCHIVE_ID);
    cr_assert_not(archive_link_is_lost(&link));
}

Test(archive_link, archive_whose_counter_is_gone_is_lost) {
    struct archive_link link;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 20, OTHER_ARCHIVE_ID);
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, ARCHIVE_ID);
    connect_to(&link, ARCHIVE_ID);
    counter_count--;
    cr_assert(archive_link_is_lost(&link));
}

Test(archive_link, archive_that_has_a_successor_is_lost_while_its_own_counter_remains) {
    struct archive_link link;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, ARCHIVE_ID);
    connect_to(&link, ARCHIVE_ID);
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 20, ARCHIVE_ID);
    cr_assert(archive_link_is_lost(&link));
    connect_to(&link, ARCHIVE_ID); /* the next module meets both */
    cr_assert_not(archive_link_is_lost(&link));
    counters[0] = counters[--counter_count]; /* the driver frees those of the dead one */
    cr_assert_not(archive_link_is_lost(&link));
}

Test(archive_link, archive_that_is_silent_while_a_newer_one_lives_is_lost) {
    struct archive_link link;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, ARCHIVE_ID);
    connect_to(&link, ARCHIVE_ID);
    heartbeats_ms[9] = 100000;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 20, OTHER_ARCHIVE_ID);
    cr_assert_not(archive_link_is_lost(&link), "nothing is known of that client");
    for (int i = 0; i < 5; i++) {
        heartbeats_ms[9] += 1000;
        heartbeats_ms[19] = heartbeats_ms[9] + 500;
        cr_assert_not(archive_link_is_lost(&link), "there are two");
    }
    for (int i = 0; i < 5; i++) {
        cr_assert_not(archive_link_is_lost(&link), "both are silent: the node was stopped");
    }
    heartbeats_ms[19] += 1000;
    cr_assert_not(archive_link_is_lost(&link));
    heartbeats_ms[19] += 1000;
    cr_assert(archive_link_is_lost(&link));
    connect_to(&link, OTHER_ARCHIVE_ID);
    for (int i = 0; i < 5; i++) {
        heartbeats_ms[9] += 10000; /* the older one */
        cr_assert_not(archive_link_is_lost(&link));
    }
}

Test(archive_link, a_step_of_the_clock_is_no_silence) {
    static const int64_t steps_ms[] = {5000, -5000, 3600000, -3600000};
    struct archive_link link;
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, ARCHIVE_ID);
    connect_to(&link, ARCHIVE_ID);
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 20, OTHER_ARCHIVE_ID);
    int64_t now_ms = 10000000;
    for (size_t i = 0; i < sizeof steps_ms / sizeof steps_ms[0]; i++) {
        heartbeats_ms[9] = now_ms;
        now_ms += steps_ms[i]; /* between the two */
        heartbeats_ms[19] = now_ms;
        cr_assert_not(archive_link_is_lost(&link));
        now_ms += 1000;
    }
}

Test(archive_link, archive_without_id_or_counter_is_not_judged_by_them) {
    struct archive_link link;
    connect_to(&link, ARCHIVE_ID); /* on another driver */
    cr_assert_not(archive_link_is_lost(&link));
    connect_to(&link, TERN_ARCHIVE_NULL);
    add(COUNTER_TYPE_ARCHIVE_ERRORS, 10, TERN_ARCHIVE_NULL);
    cr_assert_not(archive_link_is_lost(&link));
}
