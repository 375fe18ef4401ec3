/* What services were given of the log: on all nodes and in all their lives the same entries at the
 * same positions, none left out, and the same state of the service behind each of them. Whoever
 * comes to an entry first defines it, as services see committed entries only. */
#ifndef TERN_SIM_CHECK_LOG_H
#define TERN_SIM_CHECK_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CHECK_LOG_NODES_MAX 8

struct check_log_entry {
    int64_t position;
    uint64_t event; /* hash of what the service was given */
    uint64_t state; /* hash of the service afterwards */
};

struct check_log {
    struct check_log_entry *entries;
    int64_t count;
    int64_t capacity;
    int64_t next[CHECK_LOG_NODES_MAX]; /* index of the entry that a node comes to next */
};

/* A service begins at a position: 0, or that of its snapshot, with the state it has then. */
bool check_log_on_start(struct check_log *check, int node, int64_t position, uint64_t state,
                        struct tern_error *problem);
bool check_log_on_entry(struct check_log *check, int node, const struct check_log_entry *entry,
                        struct tern_error *problem);
void check_log_close(struct check_log *check);

#endif
