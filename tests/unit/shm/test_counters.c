#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/counter_types.h"
#include "shm/counters.h"

struct fixture {
    uint8_t *metadata;
    uint8_t *values;
    int64_t metadata_length;
    int64_t values_length;
    struct counters_manager manager;
    struct counters_reader reader;
};

static void open_fixture(struct fixture *f, int32_t count, int64_t reuse_timeout_ms) {
    f->values_length = (int64_t)count * COUNTER_VALUE_LENGTH;
    f->metadata_length = (int64_t)count * COUNTER_METADATA_LENGTH;
    f->values = aligned_alloc(64, (size_t)f->values_length);
    f->metadata = aligned_alloc(64, (size_t)f->metadata_length);
    memset(f->values, 0, (size_t)f->values_length);
    memset(f->metadata, 0, (size_t)f->metadata_length);
    cr_assert_eq(counters_manager_init(&f->manager, f->metadata, f->metadata_length, f->values,
                                       f->values_length, reuse_timeout_ms),
                 0);
    cr_assert_eq(counters_reader_init(&f->reader, f->metadata, f->metadata_length, f->values,
                                      f->values_length),
                 0);
}

static void close_fixture(struct fixture *f) {
    counters_manager_close(&f->manager);
    free(f->values);
    free(f->metadata);
}

static int32_t allocate(struct fixture *f, int32_t type_id, const char *label,
                        int64_t registration_id, int64_t now_ms) {
    struct counter_params params = {
        .type_id = type_id,
        .key = "k",
        .key_length = 1,
        .label = label,
        .label_length = (int32_t)strlen(label),
        .registration_id = registration_id,
        .owner_id = 17,
        .reference_id = 5,
        .initial_value = -9,
    };
    return counters_manager_allocate(&f->manager, &params, now_ms);
}

Test(counters, records_have_the_bytes_of_the_specification) {
    struct fixture f;
    open_fixture(&f, 4, 1000);
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    int32_t label_length = counter_label_format(label, "client-heartbeat: id=%d", 17);
    memset(key, 0, sizeof key);
    key[0] = 17;
    struct counter_params params = {
        .type_id = COUNTER_TYPE_CLIENT_HEARTBEAT,
        .key = key,
        .key_length = 8,
        .label = label,
        .label_length = label_length,
        .registration_id = 17,
        .owner_id = 17,
        .initial_value = 1234,
    };
    int32_t id = counters_manager_allocate(&f.manager, &params, 0);
    cr_assert_eq(id, 0);
    /* shared-memory.md 10.6 */
    assert_hex(f.metadata,
               "01 00 00 00 0b 00 00 00 ff ff ff ff ff ff ff 7f 11 00 00 00 00 00 00 00",
               "metadata");
    assert_hex(f.metadata + 128,
               "17 00 00 00 63 6c 69 65 6e 74 2d 68 65 61 72 74 62 65 61 74 3a 20 69 64 3d 31 37",
               "label");
    assert_hex(f.values,
               "d2 04 00 00 00 00 00 00 11 00 00 00 00 00 00 00 11 00 00 00 00 00 00 00"
               "00 00 00 00 00 00 00 00",
               "value");
    counters_manager_append_label(&f.manager, id, " name=x");
    char text[64];
    cr_assert_eq(counters_reader_label(&f.reader, id, text, sizeof text), 30);
    cr_assert_str_eq(text, "client-heartbeat: id=17 name=x");
    close_fixture(&f);
}

Test(counters, freed_ids_are_reused_in_order_after_their_time) {
    struct fixture f;
    open_fixture(&f, 4, 1000);
    for (int32_t i = 0; i < 3; i++) {
        cr_assert_eq(allocate(&f, 1000 + i, "abc", 100 + i, 0), i);
    }
    counters_manager_free(&f.manager, 1, 5000);
    counters_manager_free(&f.manager, 0, 5400);
    cr_assert_eq(counters_reader_state(&f.reader, 1), COUNTER_STATE_RECLAIMED);
    assert_hex(f.metadata + COUNTER_METADATA_LENGTH,
               "ff ff ff ff e9 03 00 00 70 17 00 00 00 00 00 00 00 00", "freed metadata");
    cr_assert_eq(counters_reader_find(&f.reader, 1001, 101), COUNTER_NULL_ID);
    cr_assert_eq(counters_reader_find(&f.reader, 1002, 102), 2);

    *counters_manager_address(&f.manager, 1) = 77;
    cr_assert_eq(allocate(&f, 7, "early", 1, 5999), 3, "both are still resting");
    cr_assert_eq(allocate(&f, 8, "full", 1, 5999), -ENOSPC);
    cr_assert_eq(allocate(&f, 8, "first", 201, 6000), 1);
    cr_assert_eq(counters_reader_value(&f.reader, 1), -9);
    cr_assert_eq(counters_reader_registration_id(&f.reader, 1), 201);
    cr_assert_eq(counters_reader_owner_id(&f.reader, 1), 17);
    cr_assert_eq(counters_reader_reference_id(&f.reader, 1), 5);
    cr_assert_eq(counters_reader_type_id(&f.reader, 1), 8);
    cr_assert_eq(allocate(&f, 8, "second", 202, 6399), -ENOSPC);
    cr_assert_eq(allocate(&f, 8, "second", 202, 6400), 0);
    cr_assert_eq(allocate(&f, 8, "none", 203, INT64_MAX), -ENOSPC);

    /* The wall clock is stepped back between two frees: the later one is ready first. */
    counters_manager_free(&f.manager, 2, 90000);
    counters_manager_free(&f.manager, 3, 10000);
    cr_assert_eq(allocate(&f, 8, "third", 204, 11000), 3);
    cr_assert_eq(allocate(&f, 8, "fourth", 205, 11000), -ENOSPC);
    cr_assert_eq(allocate(&f, 8, "fourth", 205, 91000), 2);
    close_fixture(&f);
}

struct seen {
    int32_t ids[8];
    int count;
    int stop_after;
};

static int see(void *context, int32_t id, const struct counter_metadata *metadata,
               const struct counter_value *value) {
    struct seen *seen = context;
    cr_assert(metadata != NULL && value != NULL);
    seen->ids[seen->count++] = id;
    return seen->count == seen->stop_after ? 42 : 0;
}

Test(counters, readers_skip_freed_and_stop_at_unused_records) {
    struct fixture f;
    open_fixture(&f, 8, 0);
    for (int32_t i = 0; i < 5; i++) {
        (void)allocate(&f, 1000, "abc", i, 0);
    }
    counters_manager_free(&f.manager, 2, 0);
    struct seen seen = {0};
    cr_assert_eq(counters_reader_for_each(&f.reader, see, &seen), 0);
    cr_assert_eq(seen.count, 4);
    cr_assert_eq(seen.ids[2], 3);
    seen = (struct seen){.stop_after = 2};
    cr_assert_eq(counters_reader_for_each(&f.reader, see, &seen), 42);
    cr_assert_eq(seen.count, 2);
    close_fixture(&f);
}

Test(counters, long_texts_are_cut_and_damaged_records_read_within_bounds) {
    struct fixture f;
    open_fixture(&f, 2, 0);
    char text[1000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    struct counter_params params = {
        .key = text, .key_length = 999, .label = text, .label_length = 999};
    cr_assert_eq(counters_manager_allocate(&f.manager, &params, 0), 0);
    struct counter_metadata *metadata = &f.manager.metadata[0];
    cr_assert_eq(metadata->label_length, COUNTER_LABEL_LENGTH_MAX);
    cr_assert_eq(metadata->key[COUNTER_KEY_LENGTH_MAX - 1], 'x');
    cr_assert_eq(f.manager.metadata[1].state, COUNTER_STATE_UNUSED, "the next record is whole");
    counters_manager_append_label(&f.manager, 0, "more");
    cr_assert_eq(metadata->label_length, COUNTER_LABEL_LENGTH_MAX);

    char label[500];
    static const struct {
        int32_t stored, read;
    } rows[] = {{-1, 0}, {INT32_MIN, 0}, {381, 380}, {INT32_MAX, 380}, {5, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        metadata->label_length = rows[i].stored;
        cr_assert_eq(counters_reader_label(&f.reader, 0, label, sizeof label), rows[i].read);
        cr_assert_eq((int32_t)strlen(label), rows[i].read);
    }
    cr_assert_eq(counters_reader_label(&f.reader, 0, label, 3), 2);
    counters_manager_append_label(&f.manager, 0, "yz");
    cr_assert_eq(counters_reader_label(&f.reader, 0, label, sizeof label), 7);
    cr_assert_str_eq(label, "xxxxxyz");
    counters_manager_set_label(&f.manager, 0, "other", 5);
    cr_assert_eq(counters_reader_label(&f.reader, 0, label, sizeof label), 5);
    cr_assert_str_eq(label, "other");
    counters_manager_set_label(&f.manager, 0, text, 999);
    cr_assert_eq(metadata->label_length, COUNTER_LABEL_LENGTH_MAX);
    cr_assert_eq(f.manager.metadata[1].state, COUNTER_STATE_UNUSED, "the next record is whole");

    metadata->state = 12345;
    cr_assert_eq(counters_reader_state(&f.reader, 0), COUNTER_STATE_UNUSED);
    for (int32_t id = -2; id <= 3; id += 5) {
        cr_assert_eq(counters_reader_state(&f.reader, id), COUNTER_STATE_UNUSED);
        cr_assert_eq(counters_reader_value(&f.reader, id), 0);
        cr_assert_null(counters_reader_address(&f.reader, id));
        cr_assert_eq(counters_reader_label(&f.reader, id, label, sizeof label), 0);
    }
    close_fixture(&f);
}

Test(counters, sections_of_wrong_proportion_are_refused) {
    static uint8_t metadata[4096] __attribute__((aligned(64)));
    static uint8_t values[1024] __attribute__((aligned(64)));
    static const struct {
        int64_t metadata_length, values_length;
        int result, id_max;
    } rows[] = {{4096, 1024, 0, 7},      {4095, 1024, -EINVAL, 0}, {512, 128, 0, 0},
                {4096, 127, -EINVAL, 0}, {4096, 0, -EINVAL, 0},    {4096, -128, -EINVAL, 0},
                {4096, 256, 0, 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct counters_reader reader;
        cr_assert_eq(counters_reader_init(&reader, metadata, rows[i].metadata_length, values,
                                          rows[i].values_length),
                     rows[i].result);
        if (rows[i].result == 0) {
            cr_assert_eq(reader.id_max, rows[i].id_max);
        }
    }
    /* shared-memory.md 10.1: 8 MiB of values */
    struct counters_reader reader;
    cr_assert_eq(counters_reader_init(&reader, metadata, 33554432, values, 8388608), 0);
    cr_assert_eq(reader.id_max, 65535);
}

Test(counters, a_second_free_of_an_id_is_a_bug, .signal = SIGABRT) {
    struct fixture f;
    open_fixture(&f, 2, 0);
    int32_t id = allocate(&f, 1, "a", 1, 0);
    counters_manager_free(&f.manager, id, 0);
    counters_manager_free(&f.manager, id, 0);
}
