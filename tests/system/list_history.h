/* What clients of the list service did and what they were told, for tests/lib/list_history.py. A
 * request id is the number of its operation, from 1. One thread. */
#ifndef TERN_TESTS_LIST_HISTORY_H
#define TERN_TESTS_LIST_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

enum list_kind { LIST_APPEND, LIST_READ };
enum list_state { LIST_PENDING, LIST_OK, LIST_UNKNOWN };

struct list_operation {
    int64_t session_id;
    int64_t value;
    int64_t invoked_ns;
    int64_t answered_ns;
    int64_t length; /* as answered */
    uint64_t hash;
    int32_t client;
    enum list_kind kind;
    enum list_state state;
    bool is_contradicted;
};

struct list_answer {
    enum list_kind kind;
    int64_t length;
    uint64_t hash;
    int64_t answered_ns;
};

struct list_history {
    struct list_operation *operations;
    int64_t count;
    int64_t capacity;
    int64_t answered_count;
    int64_t unknown_count;
    int64_t *final; /* the list at the end */
    int64_t final_count;
    int64_t final_capacity;
    int64_t final_length; /* as answered */
    uint64_t final_hash;
};

/* Its request id is the count afterwards. */
void list_history_add(struct list_history *history, const struct list_operation *operation);
/* False when there is no such request, or one of another kind. */
bool list_history_answer(struct list_history *history, int64_t request_id,
                         const struct list_answer *answer);
void list_history_set_unknown(struct list_history *history, int64_t request_id);
int64_t list_history_invoked_ns(const struct list_history *history, int64_t request_id);
void list_history_add_final(struct list_history *history, int64_t value);
bool list_history_write(const struct list_history *history, const char *path);
void list_history_close(struct list_history *history);

#endif
