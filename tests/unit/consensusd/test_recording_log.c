#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "consensusd/recording_log.h"
#include "memory_store.h"

#define PATH "d/recording.log"
#define INVALID 0x80000000u

static void put_record(uint8_t *at, const int64_t fields[5], int32_t service, uint32_t type) {
    for (int i = 0; i < 5; i++) {
        put_i64(at + 8 * i, fields[i]);
    }
    put_i32(at + 40, service);
    put_i32(at + 44, (int32_t)type);
}

/* cluster.md 12.3, V21. */
static void vector_21(uint8_t bytes[320]) {
    memset(bytes, 0, 320);
    put_record(bytes, (int64_t[]){7, 3, 4096, -1, 1700000000123}, -1, 0);
    put_record(bytes + 64, (int64_t[]){8, 3, 4096, 4288, 1700000000456}, 0, 1);
    put_record(bytes + 128, (int64_t[]){9, 3, 4096, 4288, 1700000000456}, -1, 1);
    put_record(bytes + 192, (int64_t[]){21, 3, 4096, 8192, 1700000001000 - 1}, -1, 2);
    put_i32(bytes + 240, 12);
    memcpy(bytes + 244, "standby:8010", 12);
    put_record(bytes + 256, (int64_t[]){9, 3, 4096, 4288, 1700000000456}, -1, 1 | INVALID);
}

static struct recording_log_coherence term(int64_t term_id, int64_t base, int64_t end) {
    return (struct recording_log_coherence){.recording_id = 7,
                                            .initial_term_id = -1,
                                            .term_id = term_id,
                                            .base_position = base,
                                            .log_position = end};
}

struct fixture {
    struct memory_store memory;
    struct recording_log log;
    struct tern_error error;
};

static struct fixture *open_fixture(const void *bytes, int64_t length) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    memory_store_init(&fixture->memory);
    if (bytes != NULL) {
        memory_store_put(&fixture->memory, PATH, bytes, length);
    }
    cr_assert_eq(
        recording_log_open(&fixture->log, &fixture->memory.store, "d", true, &fixture->error), 0,
        "%s", fixture->error.text);
    return fixture;
}

static void reopen(struct fixture *fixture) {
    recording_log_close(&fixture->log);
    memory_store_crash(&fixture->memory);
    cr_assert_eq(
        recording_log_open(&fixture->log, &fixture->memory.store, "d", true, &fixture->error), 0,
        "%s", fixture->error.text);
}

static void close_fixture(struct fixture *fixture) {
    recording_log_close(&fixture->log);
    memory_store_close(&fixture->memory);
    free(fixture);
}

static void expect_terms(struct fixture *fixture, const int64_t (*terms)[3], int32_t count) {
    int32_t at = 0;
    for (int32_t i = 0; i < fixture->log.count; i++) {
        const struct recording_log_entry *entry = &fixture->log.entries[i];
        if (entry->type != RECORDING_LOG_TERM) {
            continue;
        }
        cr_assert_lt(at, count);
        cr_assert_eq(entry->leadership_term_id, terms[at][0]);
        cr_assert_eq(entry->term_base_log_position, terms[at][1]);
        cr_assert_eq(entry->log_position, terms[at][2], "end of term %ld: %ld",
                     entry->leadership_term_id, entry->log_position);
        at++;
    }
    cr_assert_eq(at, count);
}

Test(recording_log, vector_of_the_specification_is_read_sorted_and_written_alike) {
    uint8_t bytes[320];
    vector_21(bytes);
    struct fixture *fixture = open_fixture(bytes, sizeof bytes);
    struct recording_log *log = &fixture->log;
    cr_assert_eq(log->count, 5);
    /* Snapshots after the others, service before module. */
    int32_t expected[] = {0, 3, 1, 2, 4};
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(log->entries[i].index, expected[i], "entry %d", i);
    }
    cr_assert_str_eq(log->entries[1].endpoint, "standby:8010");
    cr_assert_not(log->entries[4].is_valid);
    cr_assert_eq(recording_log_latest_snapshot(log, 1), 3);
    cr_assert_eq(recording_log_latest_snapshot(log, 2), -1);
    cr_assert_eq(recording_log_find_term(log, 3)->recording_id, 7);
    cr_assert_null(recording_log_find_term(log, 2));

    struct fixture *fresh = open_fixture(NULL, 0);
    struct recording_log_coherence want = term(3, 4096, -1);
    want.initial_term_id = 3;
    want.initial_base_position = 4096;
    want.timestamp = 1700000000123;
    cr_assert_eq(recording_log_ensure_coherent(&fresh->log, &want, NULL), 0);
    cr_assert_eq(recording_log_append_snapshots(&fresh->log, &log->entries[2], 2, NULL), 0);
    struct memory_file *file = memory_store_find(&fresh->memory, PATH);
    cr_assert_eq(file->length, 192);
    cr_assert_eq(memcmp(file->bytes, bytes, 192), 0);
    close_fixture(fresh);
    close_fixture(fixture);
}

Test(recording_log, every_term_number_gets_an_entry_and_the_one_before_is_closed) {
    struct fixture *fixture = open_fixture(NULL, 0);
    struct recording_log_coherence steps[] = {
        term(1, 0, -1), term(1, 0, -1), term(4, 960, -1), term(4, 960, -1), term(5, -1, 2048),
    };
    steps[4].base_position = 1600;
    for (size_t i = 0; i < 5; i++) {
        cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &steps[i], &fixture->error), 0,
                     "%s", fixture->error.text);
    }
    reopen(fixture);
    expect_terms(
        fixture,
        (const int64_t[][3]){
            {0, 0, 0}, {1, 0, 960}, {2, 960, 960}, {3, 960, 960}, {4, 960, 1600}, {5, 1600, 2048}},
        6);
    struct recording_log_coherence next = term(6, -1, -1);
    cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &next, &fixture->error), 0);
    cr_assert_eq(recording_log_last_term(&fixture->log)->term_base_log_position, 2048);
    next = term(7, -1, -1);
    cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &next, &fixture->error), -EINVAL,
                 "where term 6 ends is not known");
    next.recording_id = 8;
    cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &next, &fixture->error), -EINVAL,
                 "another recording");
    next.recording_id = -1;
    cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &next, &fixture->error), 0);
    close_fixture(fixture);
}

Test(recording_log, truncation_ends_terms_at_the_cut) {
    struct fixture *fixture = open_fixture(NULL, 0);
    struct recording_log_coherence steps[] = {term(0, 0, -1), term(1, 960, -1), term(2, 1600, -1)};
    for (size_t i = 0; i < 3; i++) {
        recording_log_ensure_coherent(&fixture->log, &steps[i], NULL);
    }
    cr_assert_eq(recording_log_truncate(&fixture->log, 1024, &fixture->error), 0);
    reopen(fixture);
    expect_terms(fixture, (const int64_t[][3]){{0, 0, 960}, {1, 960, 1024}, {2, 1024, 1024}}, 3);
    close_fixture(fixture);
}

/* Whatever it had written: the node is started again, finds its log cut, and the next term begins
 * where the leader says. */
Test(recording_log, truncation_that_broke_off_is_made_up_for_by_the_next_term) {
    for (int writes = 0; writes <= 2; writes++) {
        struct fixture *fixture = open_fixture(NULL, 0);
        struct recording_log_coherence steps[] = {term(0, 0, -1), term(1, 960, -1),
                                                  term(2, 1600, -1), term(5, 1024, -1)};
        for (size_t i = 0; i < 3; i++) {
            recording_log_ensure_coherent(&fixture->log, &steps[i], NULL);
        }
        fixture->memory.fail_after = writes;
        cr_assert_eq(recording_log_truncate(&fixture->log, 1024, &fixture->error), -EIO);
        fixture->memory.fail_after = -1;
        recording_log_close(&fixture->log);
        cr_assert_eq(
            recording_log_open(&fixture->log, &fixture->memory.store, "d", true, &fixture->error),
            0);
        cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &steps[3], &fixture->error), 0);
        reopen(fixture);
        expect_terms(fixture,
                     (const int64_t[][3]){{0, 0, 960},
                                          {1, 960, 1024},
                                          {2, 1024, 1024},
                                          {3, 1024, 1024},
                                          {4, 1024, 1024},
                                          {5, 1024, -1}},
                     6);
        close_fixture(fixture);
    }
}

Test(recording_log, invalid_snapshot_is_passed_over_and_its_place_used_again) {
    struct fixture *fixture = open_fixture(NULL, 0);
    struct recording_log *log = &fixture->log;
    struct recording_log_coherence first = term(0, 0, -1);
    recording_log_ensure_coherent(log, &first, NULL);
    for (int64_t position = 960; position <= 1920; position += 960) {
        struct recording_log_entry set[3];
        for (int32_t i = 0; i < 3; i++) {
            set[i] = (struct recording_log_entry){.recording_id = position + i,
                                                  .leadership_term_id = 0,
                                                  .log_position = position,
                                                  .service_id = 1 - i,
                                                  .type = RECORDING_LOG_SNAPSHOT};
        }
        cr_assert_eq(recording_log_append_snapshots(log, set, 3, NULL), 0);
    }
    int32_t newest = recording_log_latest_snapshot(log, 2);
    cr_assert_eq(log->entries[newest].log_position, 1920);
    cr_assert_eq(recording_log_invalidate(log, newest - 1, NULL), 0);
    reopen(fixture);
    cr_assert_eq(log->entries[recording_log_latest_snapshot(log, 2)].log_position, 960,
                 "a set with an invalid service entry does not count");
    int64_t length = memory_store_find(&fixture->memory, PATH)->length;
    struct recording_log_entry again = log->entries[newest - 1];
    again.recording_id = 77;
    cr_assert_eq(recording_log_append_snapshots(log, &again, 1, NULL), 0);
    reopen(fixture);
    cr_assert_eq(memory_store_find(&fixture->memory, PATH)->length, length);
    cr_assert_eq(log->entries[recording_log_latest_snapshot(log, 2)].log_position, 1920);
    close_fixture(fixture);
}

Test(recording_log, torn_tail_is_overwritten_and_damage_elsewhere_is_refused) {
    uint8_t bytes[320];
    vector_21(bytes);
    struct {
        int64_t length;
        int hole; /* a record of zeros here; -1: none */
        int32_t count;
    } cases[] = {{0, -1, 0}, {47, -1, 0}, {64 + 47, -1, 1}, {128 + 10, -1, 2}, {320, 128, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t copy[320];
        memcpy(copy, bytes, sizeof copy);
        if (cases[i].hole >= 0) {
            memset(copy + cases[i].hole, 0, 64);
        }
        struct fixture *fixture = open_fixture(copy, cases[i].length);
        cr_assert_eq(fixture->log.count, cases[i].count, "case %zu", i);
        struct recording_log_coherence want = term(4, 9000 / 32 * 32, -1);
        want.initial_term_id = 4;
        cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &want, NULL), 0);
        reopen(fixture);
        cr_assert_eq(recording_log_last_term(&fixture->log)->leadership_term_id, 4, "case %zu", i);
        close_fixture(fixture);
    }
    /* Far from the end a hole is damage; so are terms of two recordings. */
    int64_t length = 64 * 200;
    uint8_t *many = calloc(1, (size_t)length);
    for (int64_t i = 0; i < 200; i++) {
        put_record(many + 64 * i, (int64_t[]){7, i, 0, 0, 0}, -1, 0);
    }
    for (int kind = 0; kind < 2; kind++) {
        struct memory_store memory;
        struct recording_log log;
        struct tern_error error;
        memory_store_init(&memory);
        uint8_t *victim = many + 64 * 50;
        put_i64(victim, kind == 0 ? -5 : 8);
        memory_store_put(&memory, PATH, many, length);
        cr_assert_eq(recording_log_open(&log, &memory.store, "d", true, &error), -EBADMSG);
        memory_store_close(&memory);
    }
    free(many);
}

Test(recording_log, write_and_sync_errors_are_told) {
    for (int fail = 0; fail < 2; fail++) {
        struct fixture *fixture = open_fixture(NULL, 0);
        struct recording_log_coherence want = term(0, 0, -1);
        fixture->memory.fail_after = fail;
        cr_assert_eq(recording_log_ensure_coherent(&fixture->log, &want, &fixture->error), -EIO);
        close_fixture(fixture);
    }
}
