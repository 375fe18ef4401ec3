/* Interest and session states of a receive endpoint (media-driver.md 3.2). Pure, receiver only.
 *
 *   NONE --data--> PENDING_SETUP --setup--> INIT_IN_PROGRESS --image--> ACTIVE
 *   NONE --setup--> INIT_IN_PROGRESS          \--refused--> NONE      ACTIVE --ended--> NONE
 *   NONE --frame, unwanted--> NO_INTEREST     ACTIVE --lost--> COOL_DOWN --cleared--> NONE
 *
 * A map entry is either an image or a state, kept as a small number in the pointer: a stranger who
 * invents sessions costs one slot of a bounded map and no allocation per session.
 */
#include "driverd/dispatcher.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static void *state_value(enum session_state state) {
    assert(state > SESSION_STATE_NONE && state < SESSION_STATE_ACTIVE);
    return (void *)(uintptr_t)state;
}

static enum session_state state_of(const void *value) {
    uintptr_t number = (uintptr_t)value;
    return number < SESSION_STATE_ACTIVE ? (enum session_state)number : SESSION_STATE_ACTIVE;
}

static struct stream_interest *find_stream(const struct dispatcher *dispatcher, int32_t stream_id) {
    return hash_map_get(&dispatcher->streams, stream_id);
}

static bool is_wanted(const struct stream_interest *stream, int32_t session_id) {
    return stream->all_sessions || hash_map_get(&stream->subscribed, session_id) != NULL;
}

void dispatcher_init(struct dispatcher *dispatcher, int32_t stream_session_limit) {
    *dispatcher = (struct dispatcher){.stream_session_limit = stream_session_limit};
}

static void destroy_stream(struct stream_interest *stream) {
    hash_map_close(&stream->subscribed);
    hash_map_close(&stream->sessions);
    free(stream);
}

void dispatcher_close(struct dispatcher *dispatcher) {
    for (size_t i = 0; i < dispatcher->streams.capacity; i++) {
        if (dispatcher->streams.entries[i].value != NULL) {
            destroy_stream(dispatcher->streams.entries[i].value);
        }
    }
    hash_map_close(&dispatcher->streams);
    *dispatcher = (struct dispatcher){0};
}

/* False: the state could not be remembered. */
static bool set_state(struct stream_interest *stream, int32_t session_id,
                      enum session_state state) {
    bool is_known = hash_map_get(&stream->sessions, session_id) != NULL;
    return (is_known || stream->sessions.count < DISPATCHER_SESSIONS_MAX) &&
           hash_map_put(&stream->sessions, session_id, state_value(state)) == 0;
}

struct image *dispatcher_find_image(struct dispatcher *dispatcher, int32_t stream_id,
                                    int32_t session_id) {
    if (dispatcher->last_image != NULL && dispatcher->last_stream_id == stream_id &&
        dispatcher->last_session_id == session_id) {
        return dispatcher->last_image;
    }
    const struct stream_interest *stream = find_stream(dispatcher, stream_id);
    void *value = stream == NULL ? NULL : hash_map_get(&stream->sessions, session_id);
    if (state_of(value) != SESSION_STATE_ACTIVE) {
        return NULL;
    }
    dispatcher->last_stream_id = stream_id;
    dispatcher->last_session_id = session_id;
    dispatcher->last_image = value;
    return value;
}

enum session_state dispatcher_state(const struct dispatcher *dispatcher, int32_t stream_id,
                                    int32_t session_id) {
    const struct stream_interest *stream = find_stream(dispatcher, stream_id);
    return stream == NULL ? SESSION_STATE_NONE
                          : state_of(hash_map_get(&stream->sessions, session_id));
}

enum dispatch_verdict dispatcher_on_data(struct dispatcher *dispatcher, int32_t stream_id,
                                         int32_t session_id, bool is_eos, struct image **image) {
    *image = dispatcher_find_image(dispatcher, stream_id, session_id);
    if (*image != NULL) {
        return DISPATCH_TO_IMAGE;
    }
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream == NULL || is_eos || hash_map_get(&stream->sessions, session_id) != NULL) {
        return DISPATCH_DROP;
    }
    if (!is_wanted(stream, session_id)) {
        (void)set_state(stream, session_id, SESSION_STATE_NO_INTEREST);
        return DISPATCH_DROP;
    }
    return set_state(stream, session_id, SESSION_STATE_PENDING_SETUP) ? DISPATCH_ELICIT_SETUP
                                                                      : DISPATCH_DROP;
}

enum dispatch_verdict dispatcher_on_setup(struct dispatcher *dispatcher, int32_t stream_id,
                                          int32_t session_id, struct image **image) {
    *image = dispatcher_find_image(dispatcher, stream_id, session_id);
    if (*image != NULL) {
        return DISPATCH_TO_IMAGE;
    }
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream == NULL) {
        return DISPATCH_DROP;
    }
    enum session_state state = state_of(hash_map_get(&stream->sessions, session_id));
    if (state == SESSION_STATE_NONE && !is_wanted(stream, session_id)) {
        (void)set_state(stream, session_id, SESSION_STATE_NO_INTEREST);
        return DISPATCH_DROP;
    }
    if (state != SESSION_STATE_NONE && state != SESSION_STATE_PENDING_SETUP) {
        return DISPATCH_DROP;
    }
    return stream->image_count >= dispatcher->stream_session_limit ? DISPATCH_LIMIT
                                                                   : DISPATCH_CREATE_IMAGE;
}

void dispatcher_init_started(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id) {
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    assert(stream != NULL);
    (void)set_state(stream, session_id, SESSION_STATE_INIT_IN_PROGRESS);
}

void dispatcher_remove_state(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                             enum session_state state) {
    assert(state != SESSION_STATE_ACTIVE);
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream != NULL && state_of(hash_map_get(&stream->sessions, session_id)) == state) {
        (void)hash_map_remove(&stream->sessions, session_id);
    }
}

static struct stream_interest *find_or_add_stream(struct dispatcher *dispatcher,
                                                  int32_t stream_id) {
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream != NULL) {
        return stream;
    }
    stream = calloc(1, sizeof *stream);
    if (stream == NULL || hash_map_put(&dispatcher->streams, stream_id, stream) != 0) {
        free(stream);
        return NULL;
    }
    stream->stream_id = stream_id;
    return stream;
}

/* Removal shifts later entries of the map back, so a slot that was freed is looked at again; what
 * wraps round from the front was judged before. */
static void remove_sessions(struct stream_interest *stream, bool only_no_interest) {
    for (size_t i = 0; i < stream->sessions.capacity;) {
        const struct hash_map_entry *entry = &stream->sessions.entries[i];
        enum session_state state = state_of(entry->value);
        bool is_removed =
            entry->value != NULL && (only_no_interest ? state == SESSION_STATE_NO_INTEREST
                                                      : !is_wanted(stream, (int32_t)entry->key));
        if (is_removed) {
            stream->image_count -= state == SESSION_STATE_ACTIVE;
            (void)hash_map_remove(&stream->sessions, entry->key);
        } else {
            i++;
        }
    }
}

int dispatcher_add_interest(struct dispatcher *dispatcher, int32_t stream_id, bool all_sessions,
                            int32_t session_id) {
    struct stream_interest *stream = find_or_add_stream(dispatcher, stream_id);
    if (stream == NULL) {
        return -ENOMEM;
    }
    if (all_sessions) {
        stream->all_sessions = true;
        remove_sessions(stream, true);
        return 0;
    }
    if (hash_map_put(&stream->subscribed, session_id, stream) != 0) {
        return -ENOMEM;
    }
    dispatcher_remove_state(dispatcher, stream_id, session_id, SESSION_STATE_NO_INTEREST);
    return 0;
}

void dispatcher_remove_interest(struct dispatcher *dispatcher, int32_t stream_id, bool all_sessions,
                                int32_t session_id) {
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream == NULL) {
        return;
    }
    dispatcher->last_image = NULL;
    if (all_sessions) {
        stream->all_sessions = false;
    } else {
        (void)hash_map_remove(&stream->subscribed, session_id);
    }
    if (!stream->all_sessions && stream->subscribed.count == 0) {
        (void)hash_map_remove(&dispatcher->streams, stream_id);
        destroy_stream(stream);
        return;
    }
    remove_sessions(stream, false);
}

int dispatcher_add_image(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                         struct image *image) {
    assert((uintptr_t)image >= SESSION_STATE_ACTIVE);
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream == NULL) {
        return 0;
    }
    bool had_image = state_of(hash_map_get(&stream->sessions, session_id)) == SESSION_STATE_ACTIVE;
    int result = hash_map_put(&stream->sessions, session_id, image);
    if (result == 0) {
        stream->image_count += !had_image;
        dispatcher->last_image = NULL;
    }
    return result;
}

void dispatcher_remove_image(struct dispatcher *dispatcher, int32_t stream_id, int32_t session_id,
                             const struct image *image, bool is_cooling) {
    struct stream_interest *stream = find_stream(dispatcher, stream_id);
    if (stream == NULL || hash_map_get(&stream->sessions, session_id) != image) {
        return;
    }
    dispatcher->last_image = NULL;
    stream->image_count--;
    if (is_cooling) {
        (void)set_state(stream, session_id, SESSION_STATE_COOL_DOWN);
    } else {
        (void)hash_map_remove(&stream->sessions, session_id);
    }
}
