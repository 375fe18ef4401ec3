/* See check_stream.h. */
#include "sim/check_stream.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bits.h"

void check_stream_on_publication(struct check_stream *check, int32_t session_id,
                                 int32_t initial_term_id, int source) {
    if (check->count == check->capacity) {
        check->capacity = 2 * check->capacity + 16;
        check->publications =
            realloc(check->publications, (size_t)check->capacity * sizeof check->publications[0]);
        assert(check->publications != NULL);
    }
    check->publications[check->count++] = (struct check_publication){
        .source = source, .session_id = session_id, .initial_term_id = initial_term_id, .next = -1};
}

void check_stream_on_subscriber(struct check_stream *check) {
    for (int64_t i = 0; i < check->count; i++) {
        check->publications[i].join_position = 0;
        check->publications[i].consumed = 0;
        check->publications[i].next = -1;
    }
}

void check_stream_on_offer(struct check_stream *check, int64_t publication, int64_t start,
                           int64_t end) {
    struct check_publication *to = &check->publications[publication];
    if (to->count == to->capacity) {
        to->capacity = 2 * to->capacity + 1024;
        to->messages = realloc(to->messages, (size_t)to->capacity * sizeof to->messages[0]);
        assert(to->messages != NULL);
    }
    to->messages[to->count++] = (struct check_stream_message){start, end};
}

int64_t check_stream_find(const struct check_stream *check, int32_t session_id,
                          int32_t initial_term_id) {
    for (int64_t i = check->count; i-- > 0;) {
        if (check->publications[i].session_id == session_id &&
            check->publications[i].initial_term_id == initial_term_id) {
            return i;
        }
    }
    return -1;
}

bool check_stream_on_image(struct check_stream *check, int64_t publication, int64_t join_position,
                           struct tern_error *problem) {
    struct check_publication *of = &check->publications[publication];
    of->join_position = join_position;
    of->next = -1;
    int64_t consumed = check->is_spy ? 0 : of->consumed;
    int64_t earliest = max_i64(consumed, of->consumed_ever - CHECK_STREAM_LAG_MAX);
    if (join_position < earliest && !check->may_go_back) {
        (void)error_set(problem, -1,
                        "stream: an image of session %d joins at %" PRId64 ", but %" PRId64
                        " was consumed by this subscriber and %" PRId64 " by one before it",
                        of->session_id, join_position, of->consumed, of->consumed_ever);
        return false;
    }
    return true;
}

static bool is_first(const struct check_publication *of, int64_t index) {
    return of->messages[index].start >= of->join_position &&
           (index == 0 || of->messages[index - 1].start < of->join_position);
}

bool check_stream_on_message(struct check_stream *check, int64_t publication, int64_t index,
                             int64_t position, struct tern_error *problem) {
    struct check_publication *of = &check->publications[publication];
    const char *what = NULL;
    if (index < 0 || index >= of->count) {
        what = "was never published";
    } else if (of->messages[index].end != position) {
        what = "is not where it was published";
    } else if (of->next >= 0 && index < of->next) {
        what = "comes again";
    } else if (of->messages[index].start < of->join_position) {
        what = "is before its image";
    } else if (!check->is_lossy && of->next >= 0 && index != of->next) {
        what = "comes behind a gap";
    } else if (!check->is_lossy && of->next < 0 && !is_first(of, index)) {
        what = "is not the first one of its image";
    }
    if (what != NULL) {
        (void)error_set(problem, -1,
                        "stream: message %" PRId64 " of session %d at %" PRId64
                        " %s (next is %" PRId64 ", the image joined at %" PRId64 ")",
                        index, of->session_id, position, what, of->next, of->join_position);
        return false;
    }
    of->next = index + 1;
    of->consumed = position;
    of->consumed_ever = max_i64(of->consumed_ever, position);
    return true;
}

static int64_t end_of(const struct check_publication *of) {
    return of->count == 0 ? 0 : of->messages[of->count - 1].end;
}

bool check_stream_on_end(const struct check_stream *check, int64_t publication, int64_t position,
                         struct tern_error *problem) {
    const struct check_publication *of = &check->publications[publication];
    if (position < end_of(of)) {
        (void)error_set(problem, -1,
                        "stream: an image of session %d says that it ends at %" PRId64
                        ", but there is a message up to %" PRId64,
                        of->session_id, position, end_of(of));
        return false;
    }
    return true;
}

bool check_stream_is_level(const struct check_stream *check, int64_t publication,
                           int64_t position) {
    const struct check_publication *of = &check->publications[publication];
    if (of->count == 0 || check->is_lossy) {
        return of->count > 0 && position >= end_of(of);
    }
    return of->next == of->count || (of->next < 0 && of->join_position >= end_of(of));
}

void check_stream_close(struct check_stream *check) {
    for (int64_t i = 0; i < check->count; i++) {
        free(check->publications[i].messages);
    }
    free(check->publications);
    *check = (struct check_stream){.is_lossy = check->is_lossy};
}
