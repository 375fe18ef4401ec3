/* See check_log.h. */
#include "sim/check_log.h"

#include <assert.h>
#include <stdlib.h>

bool check_log_on_start(struct check_log *check, int node, int64_t position, uint64_t state,
                        struct tern_error *problem) {
    int64_t next = 0;
    while (next < check->count && check->entries[next].position <= position) {
        next++;
    }
    check->next[node] = next;
    if (next > 0 && check->entries[next - 1].state != state) {
        (void)error_set(problem, -1,
                        "node %d: the service that was loaded at %lld has another state than at "
                        "entry %lld",
                        node, (long long)position, (long long)check->entries[next - 1].position);
        return false;
    }
    return true;
}

bool check_log_on_entry(struct check_log *check, int node, const struct check_log_entry *entry,
                        struct tern_error *problem) {
    int64_t index = check->next[node]++;
    if (index == check->count) {
        if (index > 0 && check->entries[index - 1].position >= entry->position) {
            (void)error_set(problem, -1, "node %d: entry %lld comes after entry %lld", node,
                            (long long)entry->position,
                            (long long)check->entries[index - 1].position);
            return false;
        }
        if (check->count == check->capacity) {
            check->capacity = 2 * check->capacity + 256;
            check->entries =
                realloc(check->entries, (size_t)check->capacity * sizeof check->entries[0]);
            assert(check->entries != NULL);
        }
        check->entries[check->count++] = *entry;
        return true;
    }
    const struct check_log_entry *known = &check->entries[index];
    if (known->position != entry->position) {
        (void)error_set(problem, -1, "node %d: the service was given entry %lld instead of %lld",
                        node, (long long)entry->position, (long long)known->position);
        return false;
    }
    if (known->event != entry->event) {
        (void)error_set(problem, -1, "node %d: entry %lld differs from that of another node", node,
                        (long long)entry->position);
        return false;
    }
    if (known->state != entry->state) {
        (void)error_set(problem, -1, "node %d: the state of the service after entry %lld differs",
                        node, (long long)entry->position);
        return false;
    }
    return true;
}

void check_log_close(struct check_log *check) {
    free(check->entries);
    *check = (struct check_log){0};
}
