/* Whether answers of registers can be explained by one order of all operations on each register:
 * every version is one write, reads and refused writes saw the value of the version that they were
 * told, and an operation that was sent after another's answer stands behind it. */
#ifndef TERN_SIM_CHECK_REGISTER_H
#define TERN_SIM_CHECK_REGISTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct register_event {
    int64_t invoked_ns;
    int64_t answered_ns; /* 0: never, it may have been done or not */
    int64_t written;     /* what it wanted to write; different in each */
    int64_t value;       /* as answered */
    int64_t version;
    int32_t key;
    bool wants_write;
    bool is_written; /* as answered */
    int32_t client;
};

struct register_history {
    struct register_event *events; /* in the order of sending */
    int64_t count;
    int64_t capacity;
};

/* Its id is the count afterwards. */
void register_history_add(struct register_history *history, const struct register_event *event);
void register_history_close(struct register_history *history);
bool check_register(const struct register_history *history, int32_t key,
                    struct tern_error *problem);

#endif
