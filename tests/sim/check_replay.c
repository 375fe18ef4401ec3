/* See check_replay.h. */
#include "sim/check_replay.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "shm/log_buffer.h"

void check_replay_forget(struct check_replay *check) {
    while (check->count > 0) {
        free(check->recordings[--check->count].messages);
    }
}

void check_replay_close(struct check_replay *check) {
    check_replay_forget(check);
    free(check->recordings);
    *check = (struct check_replay){0};
}

static uint64_t mix(uint64_t salt, uint64_t index) {
    uint64_t z = (salt ^ index) * UINT64_C(0x9E3779B97F4A7C15);
    return z ^ (z >> 29);
}

static uint8_t byte_of(uint64_t salt, int64_t index) {
    return (uint8_t)(mix(salt, (uint64_t)index / 8) >> (index % 8 * 8));
}

void check_replay_fill(uint8_t *message, int32_t length, uint64_t salt) {
    for (int32_t i = 0; i < length; i++) {
        message[i] = byte_of(salt, i);
    }
}

struct check_replay_recording *check_replay_find(struct check_replay *check, int64_t id) {
    for (int i = 0; i < check->count; i++) {
        if (check->recordings[i].id == id) {
            return &check->recordings[i];
        }
    }
    return NULL;
}

struct check_replay_recording *check_replay_add(struct check_replay *check, int64_t id,
                                                int32_t initial_term_id, int64_t start) {
    assert(check_replay_find(check, id) == NULL);
    if (check->count == check->capacity) {
        check->capacity = 2 * check->capacity + 4;
        check->recordings =
            realloc(check->recordings, (size_t)check->capacity * sizeof check->recordings[0]);
        assert(check->recordings != NULL);
    }
    struct check_replay_recording *added = &check->recordings[check->count++];
    *added = (struct check_replay_recording){.id = id,
                                             .initial_term_id = initial_term_id,
                                             .start = start,
                                             .published = start,
                                             .reported = start,
                                             .stop = CHECK_REPLAY_NULL};
    return added;
}

void check_replay_remove(struct check_replay *check, int64_t id) {
    struct check_replay_recording *recording = check_replay_find(check, id);
    if (recording != NULL) {
        free(recording->messages);
        *recording = check->recordings[--check->count];
    }
}

static bool broken(struct tern_error *problem, const struct check_replay_recording *recording,
                   int64_t position, const char *what) {
    (void)error_set(problem, -1,
                    "recording %" PRId64 ", position %" PRId64 ": %s (it begins at %" PRId64
                    ", %" PRId64 " were reported and %" PRId64 " published, it stopped at %" PRId64
                    ")",
                    recording->id, position, what, recording->start, recording->reported,
                    recording->published, recording->stop);
    return false;
}

/* -- the publisher -- */

/* What was published behind the stop position will be published anew, and differently. */
static void cut(struct check_replay_recording *recording, int64_t stop) {
    while (recording->count > 0 && recording->messages[recording->count - 1].start >= stop) {
        recording->count--;
    }
    if (recording->count > 0) {
        struct check_replay_message *last = &recording->messages[recording->count - 1];
        last->end = min_i64(last->end, stop);
    }
    recording->published = stop;
}

void check_replay_on_extend(struct check_replay_recording *recording) {
    if (recording->stop != CHECK_REPLAY_NULL) {
        cut(recording, recording->stop);
    }
    recording->stop = CHECK_REPLAY_NULL;
}

void check_replay_on_offer(struct check_replay_recording *recording,
                           const struct check_replay_message *message) {
    if (recording->count == recording->capacity) {
        recording->capacity = 2 * recording->capacity + 256;
        recording->messages = realloc(recording->messages,
                                      (size_t)recording->capacity * sizeof recording->messages[0]);
        assert(recording->messages != NULL);
    }
    assert(message->start >= recording->published);
    recording->messages[recording->count++] = *message;
    recording->published = message->end;
}

void check_replay_on_published(struct check_replay_recording *recording, int64_t position) {
    recording->published = max_i64(recording->published, position);
}

/* -- places -- */

/* The first message that ends behind the position; the count when there is none. */
static int64_t find_message(const struct check_replay_recording *recording, int64_t position) {
    int64_t low = 0;
    int64_t high = recording->count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (recording->messages[middle].end <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static int64_t frame_max(const struct check_replay *check) {
    return align_i64(check->payload_max + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT);
}

int64_t check_replay_boundary(const struct check_replay *check,
                              const struct check_replay_recording *recording, int64_t position) {
    int64_t index = find_message(recording, position);
    if (index == recording->count) {
        return recording->reported;
    }
    const struct check_replay_message *message = &recording->messages[index];
    int64_t into = max_i64(0, position - message->start);
    int64_t next =
        message->start + (into + frame_max(check) - 1) / frame_max(check) * frame_max(check);
    return min_i64(min_i64(next, message->end), recording->reported);
}

/* Whether a frame ends there, padding included, or the recording begins. */
static bool is_frame_end(const struct check_replay *check,
                         const struct check_replay_recording *recording, int64_t position) {
    int64_t next = find_message(recording, position);
    int64_t before_end = next == 0 ? recording->start : recording->messages[next - 1].end;
    bool is_last = next == recording->count;
    int64_t next_start = is_last ? recording->published : recording->messages[next].start;
    return position == before_end || position == next_start ||
           (!is_last && position > next_start && (position - next_start) % frame_max(check) == 0);
}

/* -- the archive -- */

bool check_replay_on_report(struct check_replay_recording *recording, int64_t position,
                            struct tern_error *problem) {
    if (position > recording->published) {
        return broken(problem, recording, position, "reported before it was published");
    }
    recording->reported = max_i64(recording->reported, position);
    return true;
}

bool check_replay_on_stop(const struct check_replay *check,
                          struct check_replay_recording *recording,
                          const struct check_replay_range *told, struct tern_error *problem) {
    int64_t stop = told->stop;
    if (told->start != recording->start) {
        return broken(problem, recording, told->start, "it begins elsewhere now");
    }
    if (recording->stop != CHECK_REPLAY_NULL && stop != recording->stop) {
        return broken(problem, recording, stop, "it stops elsewhere now");
    }
    if (stop > recording->published) {
        return broken(problem, recording, stop, "it stops behind what was published");
    }
    if (stop < recording->reported) {
        return broken(problem, recording, stop, "it stops before what was reported");
    }
    if (!is_frame_end(check, recording, stop)) {
        return broken(problem, recording, stop, "it stops inside of a frame");
    }
    recording->stop = recording->reported = stop;
    return true;
}

void check_replay_begin_listing(struct check_replay *check) {
    for (int i = 0; i < check->count; i++) {
        check->recordings[i].is_listed = false;
    }
}

bool check_replay_end_listing(struct check_replay *check, struct tern_error *problem) {
    for (int i = check->count; i-- > 0;) {
        struct check_replay_recording *recording = &check->recordings[i];
        if (recording->is_listed) {
            continue;
        }
        if (!recording->may_be_gone) {
            return broken(problem, recording, recording->start, "it is not in the list any more");
        }
        check_replay_remove(check, recording->id);
    }
    return true;
}

/* -- replays -- */

struct check_replay_cursor check_replay_begin(const struct check_replay_recording *recording,
                                              int64_t position, int64_t end) {
    return (struct check_replay_cursor){position, end, find_message(recording, position)};
}

/* Where the next frame begins; the end of the replay when there is none before it. */
static int64_t next_start(const struct check_replay_recording *recording,
                          const struct check_replay_cursor *cursor) {
    if (cursor->message == recording->count) {
        return cursor->end;
    }
    return min_i64(cursor->end,
                   max_i64(cursor->position, recording->messages[cursor->message].start));
}

static bool has_right_bytes(const struct check_replay_frame *frame,
                            const struct check_replay_message *message, int64_t offset) {
    for (int32_t i = 0; i < frame->length; i++) {
        if (frame->payload[i] != byte_of(message->salt, offset + i)) {
            return false;
        }
    }
    return true;
}

bool check_replay_on_frame(const struct check_replay *check,
                           const struct check_replay_recording *recording,
                           struct check_replay_cursor *cursor,
                           const struct check_replay_frame *frame, struct tern_error *problem) {
    int64_t aligned = align_i64(frame->length + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT);
    int64_t start = frame->end - aligned;
    int64_t expected = next_start(recording, cursor);
    if (expected == cursor->end) {
        return broken(problem, recording, start, "replayed behind the end of the replay");
    }
    if (start != expected) {
        return broken(problem, recording, start,
                      start < expected ? "replayed again" : "replayed behind a gap");
    }
    const struct check_replay_message *message = &recording->messages[cursor->message];
    int64_t offset = (start - message->start) / frame_max(check) * check->payload_max;
    int64_t length = min_i64(check->payload_max, message->length - offset);
    if (frame->length != length || frame->is_begin != (offset == 0) ||
        frame->is_end != (offset + length == message->length)) {
        return broken(problem, recording, start, "replayed with another length or other flags");
    }
    if (!has_right_bytes(frame, message, offset)) {
        return broken(problem, recording, start, "replayed with other bytes than were published");
    }
    cursor->position = frame->end;
    cursor->message += frame->end >= message->end;
    return true;
}

bool check_replay_on_end(const struct check_replay_recording *recording,
                         const struct check_replay_cursor *cursor, struct tern_error *problem) {
    int64_t expected = next_start(recording, cursor);
    return expected == cursor->end ||
           broken(problem, recording, expected, "not replayed, but the replay has ended");
}
