#include <criterion/criterion.h>

#include "sim/check_list.h"

#define HASH_START UINT64_C(0xcbf29ce484222325)
#define HASH_PRIME UINT64_C(0x100000001b3)

/* A history of appends 1, 2 and a read 3, in the list {1, 2}; the cases change one thing each. */
struct fixture {
    struct list_history history;
    uint64_t hashes[4];
};

static void open_history(struct fixture *fixture) {
    *fixture = (struct fixture){.hashes = {HASH_START}};
    for (int64_t i = 1; i <= 3; i++) {
        uint64_t hash = fixture->hashes[i - 1];
        for (int shift = 0; shift < 64; shift += 8) {
            hash = (hash ^ (((uint64_t)i >> shift) & 0xFF)) * HASH_PRIME;
        }
        fixture->hashes[i] = hash;
    }
    for (int64_t i = 1; i <= 3; i++) {
        int64_t length = i < 3 ? i : 2;
        const struct list_operation operation = {
            .session_id = 7,
            .value = i,
            .invoked_ns = 100 * i,
            .kind = i < 3 ? LIST_APPEND : LIST_READ,
        };
        const struct list_answer answer = {operation.kind, length, fixture->hashes[length],
                                           100 * i + 50};
        list_history_add(&fixture->history, &operation);
        cr_assert(list_history_answer(&fixture->history, i, &answer));
    }
    list_history_add_final(&fixture->history, 1);
    list_history_add_final(&fixture->history, 2);
}

enum change {
    CHANGE_NOTHING,
    CHANGE_UNANSWERED,
    CHANGE_LOST,
    CHANGE_TWICE,
    CHANGE_UNKNOWN_VALUE,
    CHANGE_STALE_READ,
    CHANGE_WRONG_HASH,
    CHANGE_SWAPPED,
    CHANGE_CONTRADICTED,
    CHANGE_COUNT,
};

static void apply_change(struct fixture *fixture, enum change change) {
    struct list_history *history = &fixture->history;
    switch (change) {
    case CHANGE_UNANSWERED: /* an append in doubt may be missing */
        history->operations[1].state = LIST_UNKNOWN;
        history->operations[2].state = LIST_UNKNOWN;
        history->final_count = 1;
        break;
    case CHANGE_LOST:
        history->final_count = 1;
        break;
    case CHANGE_TWICE:
        list_history_add_final(history, 1);
        break;
    case CHANGE_UNKNOWN_VALUE:
        list_history_add_final(history, 3);
        break;
    case CHANGE_STALE_READ: /* it was sent after the answer to the second append */
        history->operations[2].session_id = 8;
        history->operations[2].length = 1;
        history->operations[2].hash = fixture->hashes[1];
        break;
    case CHANGE_WRONG_HASH:
        history->operations[2].hash++;
        break;
    case CHANGE_SWAPPED:
        history->final[0] = 2;
        history->final[1] = 1;
        break;
    case CHANGE_CONTRADICTED:
        history->operations[0].is_contradicted = true;
        break;
    default:
        break;
    }
}

Test(check_list, what_cannot_be_explained_by_one_list_is_caught) {
    for (int change = 0; change < CHANGE_COUNT; change++) {
        struct fixture fixture;
        struct tern_error problem = {0};
        open_history(&fixture);
        apply_change(&fixture, (enum change)change);
        bool is_good = change == CHANGE_NOTHING || change == CHANGE_UNANSWERED;
        cr_assert_eq(check_list(&fixture.history, &problem), is_good, "change %d: %s", change,
                     problem.text);
        list_history_close(&fixture.history);
    }
}
