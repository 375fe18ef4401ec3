/* Requests and answers. A conversation is what a client asks by one request publication and reads
 * by one response subscription: it is given the answers to its own requests only, in the order in
 * which it asked, each once, and from the first one on none is left out. (What was asked before that
 * may have been lost with a server that had not answered anything.) The server is given requests that were made; those that
 * come in one image in order, none left out. */
#ifndef TERN_SIM_CHECK_EXCHANGE_H
#define TERN_SIM_CHECK_EXCHANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

/* What requests and answers begin with. */
struct check_exchange_head {
    int64_t conversation;
    int64_t index;
    int64_t sent_ns;
};

struct check_exchange {
    struct check_conversation {
        int64_t sent; /* requests */
        int64_t next; /* index of the answer that comes next; -1: none has come */
    } * conversations;
    int64_t count;
    int64_t capacity;
};

/* Its number. */
int64_t check_exchange_open(struct check_exchange *check);
void check_exchange_on_sent(struct check_exchange *check, int64_t conversation);
/* The server is given a request; `next` is the index that comes next in this image, -1 for the
 * first one of it. */
bool check_exchange_on_request(const struct check_exchange *check,
                               const struct check_exchange_head *head, int64_t *next,
                               struct tern_error *problem);
/* The client of a conversation is given an answer. */
bool check_exchange_on_answer(struct check_exchange *check, int64_t conversation,
                              const struct check_exchange_head *head, struct tern_error *problem);
bool check_exchange_is_level(const struct check_exchange *check, int64_t conversation);
void check_exchange_close(struct check_exchange *check);

#endif
