/* See check_exchange.h. */
#include "sim/check_exchange.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

int64_t check_exchange_open(struct check_exchange *check) {
    if (check->count == check->capacity) {
        check->capacity = 2 * check->capacity + 16;
        check->conversations =
            realloc(check->conversations, (size_t)check->capacity * sizeof check->conversations[0]);
        assert(check->conversations != NULL);
    }
    check->conversations[check->count] = (struct check_conversation){.next = -1};
    return check->count++;
}

void check_exchange_on_sent(struct check_exchange *check, int64_t conversation) {
    check->conversations[conversation].sent++;
}

static bool was_sent(const struct check_exchange *check, const struct check_exchange_head *head) {
    return head->conversation >= 0 && head->conversation < check->count && head->index >= 0 &&
           head->index < check->conversations[head->conversation].sent;
}

static bool refuse(const struct check_exchange_head *head, const char *what,
                   struct tern_error *problem) {
    (void)error_set(problem, -1, "exchange: %" PRId64 " of conversation %" PRId64 " %s",
                    head->index, head->conversation, what);
    return false;
}

bool check_exchange_on_request(const struct check_exchange *check,
                               const struct check_exchange_head *head, int64_t *next,
                               struct tern_error *problem) {
    if (!was_sent(check, head)) {
        return refuse(head, "is a request that nobody made", problem);
    }
    if (*next >= 0 && head->index != *next) {
        return refuse(head, "is not the request that comes next", problem);
    }
    *next = head->index + 1;
    return true;
}

bool check_exchange_on_answer(struct check_exchange *check, int64_t conversation,
                              const struct check_exchange_head *head, struct tern_error *problem) {
    struct check_conversation *to = &check->conversations[conversation];
    if (head->conversation != conversation) {
        return refuse(head, "is an answer to somebody else", problem);
    }
    if (!was_sent(check, head)) {
        return refuse(head, "is an answer to no request", problem);
    }
    if (to->next >= 0 && head->index != to->next) {
        return refuse(head, "is not the answer that comes next", problem);
    }
    to->next = head->index + 1;
    return true;
}

bool check_exchange_is_level(const struct check_exchange *check, int64_t conversation) {
    const struct check_conversation *of = &check->conversations[conversation];
    return of->sent > 0 && of->next == of->sent;
}

void check_exchange_close(struct check_exchange *check) {
    free(check->conversations);
    *check = (struct check_exchange){0};
}
