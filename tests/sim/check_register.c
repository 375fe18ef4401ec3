/* See check_register.h. The version orders the writes, so no order has to be searched for. */
#include "sim/check_register.h"

#include <assert.h>
#include <stdlib.h>

#include "base/bits.h"

void register_history_add(struct register_history *history, const struct register_event *event) {
    if (history->count == history->capacity) {
        history->capacity = 2 * history->capacity + 1024;
        history->events =
            realloc(history->events, (size_t)history->capacity * sizeof history->events[0]);
        assert(history->events != NULL);
    }
    history->events[history->count++] = *event;
}

void register_history_close(struct register_history *history) {
    free(history->events);
    *history = (struct register_history){0};
}

static bool broken(struct tern_error *problem, int64_t index, const struct register_event *event,
                   const char *what) {
    (void)error_set(problem, -1, "request %lld on register %d (version %lld): %s",
                    (long long)index + 1, event->key, (long long)event->version, what);
    return false;
}

/* What each version holds, as far as answers say: a write by its own, a read by what it saw. */
static bool note_value(int64_t *values, const struct register_event *event) {
    int64_t value = event->is_written ? event->written : event->value;
    if (event->version == 0) {
        return value == 0;
    }
    if (values[event->version] == 0) {
        values[event->version] = value;
    }
    return values[event->version] == value && event->value == value;
}

static bool check_versions(const struct register_history *history, int32_t key, int64_t writes,
                           struct tern_error *problem) {
    int64_t *values = calloc((size_t)writes + 1, sizeof *values);
    bool *has_writer = calloc((size_t)writes + 1, sizeof *has_writer);
    assert(values != NULL && has_writer != NULL);
    bool is_good = true;
    for (int64_t i = 0; is_good && i < history->count; i++) {
        const struct register_event *event = &history->events[i];
        if (event->key != key || event->answered_ns == 0) {
            continue;
        }
        if (event->version < 0 || event->version > writes) {
            is_good = broken(problem, i, event, "more versions than writes");
        } else if (event->is_written && has_writer[event->version]) {
            is_good = broken(problem, i, event, "two writes made one version");
        } else if (!note_value(values, event)) {
            is_good = broken(problem, i, event, "a version has two values");
        } else {
            has_writer[event->version] |= event->is_written;
        }
    }
    free(values);
    free(has_writer);
    return is_good;
}

static int compare_answers(const void *a, const void *b) {
    const struct register_event *const *x = a;
    const struct register_event *const *y = b;
    return ((*x)->answered_ns > (*y)->answered_ns) - ((*x)->answered_ns < (*y)->answered_ns);
}

static bool check_real_time(const struct register_history *history, int32_t key,
                            struct tern_error *problem) {
    const struct register_event **answers = malloc((size_t)(history->count + 1) * sizeof *answers);
    int64_t count = 0;
    assert(answers != NULL);
    for (int64_t i = 0; i < history->count; i++) {
        if (history->events[i].key == key && history->events[i].answered_ns != 0) {
            answers[count++] = &history->events[i];
        }
    }
    qsort(answers, (size_t)count, sizeof *answers, compare_answers);
    int64_t furthest = 0;
    int64_t next = 0;
    bool is_good = true;
    for (int64_t i = 0; is_good && i < history->count; i++) {
        const struct register_event *event = &history->events[i];
        while (next < count && answers[next]->answered_ns < event->invoked_ns) {
            furthest = max_i64(furthest, answers[next++]->version);
        }
        if (event->key == key && event->answered_ns != 0 &&
            event->version < furthest + event->is_written) {
            is_good = broken(problem, i, event, "stands before one that was answered earlier");
        }
    }
    free(answers);
    return is_good;
}

bool check_register(const struct register_history *history, int32_t key,
                    struct tern_error *problem) {
    int64_t writes = 0;
    for (int64_t i = 0; i < history->count; i++) {
        writes += history->events[i].key == key && history->events[i].wants_write;
    }
    return check_versions(history, key, writes, problem) && check_real_time(history, key, problem);
}
