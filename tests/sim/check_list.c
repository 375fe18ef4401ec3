/* See check_list.h. Answers carry the length and hash of the list, so the place of each operation
 * in the one order is known: an append stands at its length, a read between two. What is left to
 * check is that the places agree with the list, with real time and with sessions. The same rules as
 * tests/lib/list_history.py, which judges runs of real processes. */
#include "sim/check_list.h"

#include <assert.h>
#include <stdlib.h>

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

static uint64_t extend(uint64_t hash, int64_t value) {
    for (int shift = 0; shift < 64; shift += 8) {
        hash = (hash ^ (((uint64_t)value >> shift) & 0xFF)) * HASH_PRIME;
    }
    return hash;
}

static bool broken(struct tern_error *problem, int64_t id, const struct list_operation *operation,
                   const char *what) {
    (void)error_set(problem, -1, "%s %lld of client %d (value %lld, answered %lld): %s",
                    operation->kind == LIST_APPEND ? "append" : "read", (long long)id,
                    operation->client, (long long)operation->value, (long long)operation->length,
                    what);
    return false;
}

static int compare_values(const void *a, const void *b) {
    const int64_t *x = a;
    const int64_t *y = b;
    return (*x > *y) - (*x < *y);
}

/* Each value is the id of its append, so places are found by id; 0: not in the list. */
static bool find_places(const struct list_history *history, int64_t *places,
                        struct tern_error *problem) {
    for (int64_t i = 0; i < history->final_count; i++) {
        int64_t id = history->final[i];
        if (id < 1 || id > history->count || history->operations[id - 1].kind != LIST_APPEND) {
            (void)error_set(problem, -1, "value %lld at %lld: nobody appended it", (long long)id,
                            (long long)i + 1);
            return false;
        }
        if (places[id - 1] != 0) {
            (void)error_set(problem, -1, "value %lld was applied twice, at %lld and %lld",
                            (long long)id, (long long)places[id - 1], (long long)i + 1);
            return false;
        }
        places[id - 1] = i + 1;
    }
    return true;
}

static bool check_answer(const struct list_history *history, int64_t index, const int64_t *places,
                         const uint64_t *hashes, struct tern_error *problem) {
    const struct list_operation *operation = &history->operations[index];
    int64_t id = index + 1;
    if (operation->is_contradicted) {
        return broken(problem, id, operation, "answered twice and differently");
    }
    if (operation->state != LIST_OK) {
        return true;
    }
    if (operation->length < 0 || operation->length > history->final_count) {
        return broken(problem, id, operation, "the last list is shorter");
    }
    if (operation->kind == LIST_APPEND && places[index] == 0) {
        return broken(problem, id, operation, "acknowledged, but lost");
    }
    if (operation->kind == LIST_APPEND && places[index] != operation->length) {
        return broken(problem, id, operation, "stands elsewhere than acknowledged");
    }
    if (hashes[operation->length] != operation->hash) {
        return broken(problem, id, operation, "saw a list that is no prefix of the last one");
    }
    return true;
}

static bool is_before(const struct list_operation *earlier, const struct list_operation *later) {
    return earlier->length + (later->kind == LIST_APPEND) <= later->length;
}

struct ordered {
    int64_t time_ns;
    int64_t index;
};

/* Operations are in the order in which they were sent; answers are sorted here. */
static bool check_real_time(const struct list_history *history, struct tern_error *problem) {
    struct ordered *answers = malloc((size_t)(history->count + 1) * sizeof *answers);
    int64_t count = 0;
    assert(answers != NULL);
    for (int64_t i = 0; i < history->count; i++) {
        if (history->operations[i].state == LIST_OK) {
            answers[count++] = (struct ordered){history->operations[i].answered_ns, i};
        }
    }
    qsort(answers, (size_t)count, sizeof *answers, compare_values);
    const struct list_operation *furthest = NULL;
    bool is_good = true;
    int64_t next = 0;
    for (int64_t i = 0; is_good && i < history->count; i++) {
        const struct list_operation *operation = &history->operations[i];
        while (next < count && answers[next].time_ns < operation->invoked_ns) {
            const struct list_operation *answered = &history->operations[answers[next++].index];
            furthest =
                furthest == NULL || answered->length > furthest->length ? answered : furthest;
        }
        if (operation->state == LIST_OK && furthest != NULL && !is_before(furthest, operation)) {
            is_good = broken(problem, i + 1, operation,
                             "sent after the answer to an operation that it stands before");
        }
    }
    free(answers);
    return is_good;
}

static bool check_sessions(const struct list_history *history, struct tern_error *problem) {
    for (int64_t i = 0; i < history->count; i++) {
        const struct list_operation *later = &history->operations[i];
        if (later->state != LIST_OK) {
            continue;
        }
        for (int64_t j = i; j-- > 0;) {
            const struct list_operation *earlier = &history->operations[j];
            if (earlier->session_id != later->session_id || earlier->state != LIST_OK) {
                continue;
            }
            if (!is_before(earlier, later)) {
                return broken(problem, i + 1, later, "overtook an earlier one of its session");
            }
            break;
        }
    }
    return true;
}

bool check_list(const struct list_history *history, struct tern_error *problem) {
    int64_t *places = calloc((size_t)history->count + 1, sizeof *places);
    uint64_t *hashes = calloc((size_t)history->final_count + 1, sizeof *hashes);
    assert(places != NULL && hashes != NULL);
    hashes[0] = HASH_START;
    for (int64_t i = 0; i < history->final_count; i++) {
        hashes[i + 1] = extend(hashes[i], history->final[i]);
    }
    bool is_good = find_places(history, places, problem);
    for (int64_t i = 0; is_good && i < history->count; i++) {
        is_good = check_answer(history, i, places, hashes, problem);
    }
    is_good = is_good && check_real_time(history, problem) && check_sessions(history, problem);
    free(places);
    free(hashes);
    return is_good;
}
