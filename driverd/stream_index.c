/* Chains by stream id, in a table of fixed size: streams are mostly numbered in a row, so they
 * spread evenly; streams of one bucket share its chain. */
#include "driverd/stream_index.h"

#include <assert.h>
#include <stddef.h>

static uint32_t bucket_of(int32_t stream_id) {
    return (uint32_t)stream_id * UINT32_C(2654435769) >> 22; /* Fibonacci hashing, 10 bits */
}

_Static_assert(STREAM_INDEX_BUCKETS == 1 << (32 - 22), "bucket_of");

void stream_index_add(struct stream_index *index, struct stream_node *node, int32_t stream_id) {
    struct stream_node **first = &index->buckets[bucket_of(stream_id)];
    node->stream_id = stream_id;
    node->next = NULL;
    if (*first == NULL) {
        node->previous = node;
        *first = node;
    } else {
        node->previous = (*first)->previous;
        node->previous->next = node;
        (*first)->previous = node;
    }
}

void stream_index_remove(struct stream_index *index, struct stream_node *node) {
    struct stream_node **first = &index->buckets[bucket_of(node->stream_id)];
    assert(*first != NULL);
    if (*first == node) {
        *first = node->next;
    } else {
        node->previous->next = node->next;
    }
    if (node->next != NULL) {
        node->next->previous = node->previous;
    } else if (*first != NULL) {
        (*first)->previous = node->previous;
    }
    node->next = NULL;
    node->previous = NULL;
}

static struct stream_node *skip_others(struct stream_node *node, int32_t stream_id) {
    while (node != NULL && node->stream_id != stream_id) {
        node = node->next;
    }
    return node;
}

struct stream_node *stream_index_first(const struct stream_index *index, int32_t stream_id) {
    return skip_others(index->buckets[bucket_of(stream_id)], stream_id);
}

struct stream_node *stream_index_next(const struct stream_node *node) {
    return skip_others(node->next, node->stream_id);
}
