/* Helpers around a session: finding recording position counters (archive.md 5.17), channels with a
 * session id, segment arithmetic, and the names of codes. All of them are safe on any thread. */
#include <errno.h>
#include <string.h>

#include "archive/session.h"
#include "base/uri.h"
#include "shm/counter_types.h"

#define KEY_RECORDING_ID_OFFSET 0
#define KEY_SESSION_ID_OFFSET 8
#define KEY_SOURCE_LENGTH_OFFSET 12
#define KEY_SOURCE_OFFSET 16
#define KEY_SOURCE_LENGTH_MAX (TERN_COUNTER_KEY_MAX - KEY_SOURCE_OFFSET - 8)

struct search {
    int64_t recording_id; /* NULL: look for the session */
    int32_t session_id;
    int64_t archive_id;
    int32_t found;
    int64_t found_registration_id;
};

static bool has_archive_id(const uint8_t *key, int64_t archive_id) {
    if (archive_id == TERN_ARCHIVE_NULL) {
        return true;
    }
    int32_t length = get_i32(key + KEY_SOURCE_LENGTH_OFFSET);
    return length >= 0 && length <= KEY_SOURCE_LENGTH_MAX &&
           get_i64(key + KEY_SOURCE_OFFSET + length) == archive_id;
}

static int visit(void *context, const struct tern_counter_info *info) {
    struct search *search = context;
    if (info->type_id != COUNTER_TYPE_ARCHIVE_RECORDING_POSITION) {
        return 0;
    }
    bool is_wanted = search->recording_id != TERN_ARCHIVE_NULL
                         ? get_i64(info->key + KEY_RECORDING_ID_OFFSET) == search->recording_id
                         : get_i32(info->key + KEY_SESSION_ID_OFFSET) == search->session_id;
    /* The newest: an archive that crashed leaves its counters behind until the driver notices. */
    if (is_wanted && has_archive_id(info->key, search->archive_id) &&
        info->registration_id > search->found_registration_id) {
        search->found = info->id;
        search->found_registration_id = info->registration_id;
    }
    return 0;
}

static int32_t find(struct tern_client *client, struct search search) {
    search.found = TERN_NULL_COUNTER_ID;
    search.found_registration_id = INT64_MIN;
    (void)tern_counters_for_each(tern_client_counters(client), visit, &search);
    return search.found;
}

int32_t tern_archive_find_counter_by_recording(struct tern_client *client, int64_t recording_id,
                                               int64_t archive_id) {
    if (recording_id < 0) {
        return TERN_NULL_COUNTER_ID;
    }
    return find(client, (struct search){.recording_id = recording_id, .archive_id = archive_id});
}

int32_t tern_archive_find_counter_by_session(struct tern_client *client, int32_t session_id,
                                             int64_t archive_id) {
    return find(client, (struct search){.recording_id = TERN_ARCHIVE_NULL,
                                        .session_id = session_id,
                                        .archive_id = archive_id});
}

int64_t tern_archive_counter_recording_id(struct tern_client *client, int32_t counter_id) {
    const tern_counters_reader *counters = tern_client_counters(client);
    uint8_t key[TERN_COUNTER_KEY_MAX];
    if (tern_counters_type_id(counters, counter_id) != COUNTER_TYPE_ARCHIVE_RECORDING_POSITION ||
        !tern_counters_key(counters, counter_id, key)) {
        return TERN_ARCHIVE_NULL;
    }
    return get_i64(key + KEY_RECORDING_ID_OFFSET);
}

int tern_archive_channel_with_session(const char *channel, int32_t session_id, char *text,
                                      int32_t size) {
    struct uri_builder builder;
    int result = uri_builder_init(&builder, channel);
    if (result == 0) {
        result = uri_builder_set_i64(&builder, "session-id", session_id);
    }
    if (result != 0 || builder.length >= size) {
        return -ENAMETOOLONG;
    }
    memcpy(text, builder.text, (size_t)builder.length + 1);
    return 0;
}

/* archive.md 5.6.3 step 3. */
int tern_archive_replay_request_channel(const struct tern_archive *archive,
                                        int64_t subscription_registration_id, char *text,
                                        int32_t size) {
    static const char *const dropped[] = {"session-id", "init-term-id", "term-id", "term-offset"};
    struct uri_builder builder;
    int result =
        uri_builder_init(&builder, tern_exclusive_publication_channel(archive->publication));
    for (size_t i = 0; i < ARRAY_COUNT(dropped) && result == 0; i++) {
        result = uri_builder_set(&builder, dropped[i], NULL);
    }
    if (result == 0) {
        result =
            uri_builder_set_i64(&builder, "response-correlation-id", subscription_registration_id);
    }
    if (result == 0) {
        result = uri_builder_set(&builder, "ssc", "false");
    }
    if (result != 0 || builder.length >= size) {
        return -ENAMETOOLONG;
    }
    memcpy(text, builder.text, (size_t)builder.length + 1);
    return 0;
}

int32_t tern_archive_request_stream_id(const struct tern_archive *archive) {
    return tern_exclusive_publication_stream_id(archive->publication);
}

int64_t tern_archive_segment_base(int64_t start_position, int64_t position, int32_t term_length,
                                  int32_t segment_file_length) {
    int64_t term_base = start_position - (start_position & (term_length - 1));
    return term_base + ((position - term_base) & ~((int64_t)segment_file_length - 1));
}

const char *tern_archive_error_name(int64_t relevant_id) {
    static const char *const names[] = {
        "generic error",
        "active listing",
        "active recording",
        "active subscription",
        "unknown subscription",
        "unknown recording",
        "unknown replay",
        "maximum of replays reached",
        "maximum of recordings reached",
        "invalid extension",
        "authentication rejected",
        "storage space is low",
        "unknown replication",
        "unauthorised action",
        "replication could not connect",
        "empty recording",
        "invalid position",
    };
    bool is_known = relevant_id >= 0 && relevant_id < (int64_t)ARRAY_COUNT(names);
    return is_known ? names[relevant_id] : "unknown error";
}

const char *tern_archive_signal_name(enum tern_archive_signal_kind kind) {
    return archive_recording_signal_name((int32_t)kind);
}
