/* Things by the id of their stream, beside the list that is walked as a whole: a command about one
 * stream looks at what belongs to it and not at everything. The oldest comes first. A zeroed struct
 * is an empty index; nothing is allocated, so nothing can fail.
 *
 *     const struct stream_node *node = stream_index_first(&index, stream_id);
 *     for (; node != NULL; node = stream_index_next(node)) {
 *         struct image *image = CONTAINER_OF(node, struct image, stream_node);
 *     }
 */
#ifndef DRIVERD_STREAM_INDEX_H
#define DRIVERD_STREAM_INDEX_H

#include <stdint.h>

#include "base/compiler.h"

#define STREAM_INDEX_BUCKETS 1024 /* a power of two */

/* In each thing; the index's. */
struct stream_node {
    struct stream_node *next;
    struct stream_node *previous; /* of the first one: the last one */
    int32_t stream_id;
};

struct stream_index {
    struct stream_node *buckets[STREAM_INDEX_BUCKETS];
};

void stream_index_add(struct stream_index *index, struct stream_node *node, int32_t stream_id);
void stream_index_remove(struct stream_index *index, struct stream_node *node);
struct stream_node *stream_index_first(const struct stream_index *index, int32_t stream_id);
/* The next of the same stream, or NULL. */
struct stream_node *stream_index_next(const struct stream_node *node);

#endif
