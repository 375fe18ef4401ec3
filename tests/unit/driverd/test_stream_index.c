/* Chains of things by stream, some of which share a bucket. */
#include <criterion/criterion.h>

#include "driverd/stream_index.h"

#define STREAM_COUNT (3 * STREAM_INDEX_BUCKETS) /* some buckets have several streams */
#define PER_STREAM 3

struct item {
    int number;
    struct stream_node node;
};

static struct stream_index table;
static struct item items[STREAM_COUNT][PER_STREAM];

static void add_all(void) {
    for (int i = 0; i < PER_STREAM; i++) {
        for (int stream = 0; stream < STREAM_COUNT; stream++) {
            items[stream][i].number = i;
            stream_index_add(&table, &items[stream][i].node, stream - STREAM_COUNT / 2);
        }
    }
}

static void remove_item(int stream, int i) {
    stream_index_remove(&table, &items[stream][i].node);
}

/* The items of the stream, in this order: as digits, e.g. 12 for the second and third. */
static void expect(int stream, int numbers) {
    int found = 0;
    const struct stream_node *node = stream_index_first(&table, stream - STREAM_COUNT / 2);
    for (; node != NULL; node = stream_index_next(node)) {
        const struct item *item = CONTAINER_OF(node, struct item, node);
        cr_assert_eq(item, &items[stream][item->number]);
        found = found * 10 + item->number + 1;
    }
    cr_assert_eq(found, numbers, "stream %d: %d, not %d", stream, found, numbers);
}

Test(stream_index, an_empty_one_has_no_streams) {
    cr_assert_null(stream_index_first(&table, 0));
    cr_assert_null(stream_index_first(&table, INT32_MIN));
}

Test(stream_index, each_stream_has_its_own_oldest_first) {
    add_all();
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        expect(stream, 123);
    }
    cr_assert_null(stream_index_first(&table, STREAM_COUNT));
}

Test(stream_index, any_of_a_stream_can_be_removed) {
    static const int left[PER_STREAM] = {23, 13, 12};
    add_all();
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        remove_item(stream, stream % PER_STREAM);
    }
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        expect(stream, left[stream % PER_STREAM]);
    }
}

Test(stream_index, what_was_removed_can_be_added_again_as_the_youngest) {
    add_all();
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        remove_item(stream, 0);
        stream_index_add(&table, &items[stream][0].node, stream - STREAM_COUNT / 2);
    }
    for (int stream = 0; stream < STREAM_COUNT; stream++) {
        expect(stream, 231);
    }
}

Test(stream_index, nothing_is_left_when_all_are_removed) {
    add_all();
    for (int i = PER_STREAM - 1; i >= 0; i--) {
        for (int stream = 0; stream < STREAM_COUNT; stream++) {
            remove_item(stream, i);
        }
    }
    for (int i = 0; i < STREAM_INDEX_BUCKETS; i++) {
        cr_assert_null(table.buckets[i]);
    }
}

Test(stream_index, numbers_in_a_row_spread_over_the_buckets) {
    static struct item row[STREAM_INDEX_BUCKETS];
    for (int i = 0; i < STREAM_INDEX_BUCKETS; i++) {
        stream_index_add(&table, &row[i].node, 1000 + i);
    }
    for (int i = 0; i < STREAM_INDEX_BUCKETS; i++) {
        int length = 0;
        for (const struct stream_node *node = table.buckets[i]; node != NULL; node = node->next) {
            length++;
        }
        cr_assert_leq(length, 3);
    }
}
