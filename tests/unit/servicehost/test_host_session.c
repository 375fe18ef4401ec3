#include <criterion/criterion.h>

#include <string.h>

#include "servicehost/host_session.h"

static struct host_session *add(struct host_sessions *sessions, int64_t id) {
    struct host_session_params params = {
        .session_id = id,
        .response_stream_id = 102,
        .response_channel = "aeron:ipcXX",
        .response_channel_length = 9,
        .principal = "me",
        .principal_length = 2,
    };
    return host_sessions_add(sessions, &params);
}

Test(host_session, are_kept_in_the_order_of_their_ids) {
    static const int64_t ids[] = {5, 1, 9, -3, 7};
    static const int64_t sorted[] = {-3, 1, 5, 7, 9};
    struct host_sessions sessions = {0};
    for (size_t i = 0; i < 5; i++) {
        cr_assert_not_null(add(&sessions, ids[i]));
        cr_assert_null(add(&sessions, ids[i]), "an id must not be open twice");
    }
    int64_t after = INT64_MIN;
    for (size_t i = 0; i < 5; i++) {
        struct host_session *session = host_sessions_next(&sessions, after);
        cr_assert_eq(session->public.session_id, sorted[i]);
        after = session->public.session_id;
    }
    cr_assert_null(host_sessions_next(&sessions, after));
    cr_assert_null(host_sessions_next(&sessions, INT64_MAX));
    cr_assert_null(host_sessions_find(&sessions, 2));
    host_sessions_remove(&sessions, host_sessions_find(&sessions, 5));
    cr_assert_null(host_sessions_find(&sessions, 5));
    cr_assert_eq(sessions.count, 4);
    host_sessions_close(&sessions);
    cr_assert_null(host_sessions_find(&sessions, 1));
}

Test(host_session, copies_channel_and_principal) {
    struct host_sessions sessions = {0};
    const struct tern_service_session *public = &add(&sessions, 1)->public;
    cr_assert_str_eq(public->response_channel, "aeron:ipc");
    cr_assert_eq(public->principal_length, 2);
    cr_assert_eq(memcmp(public->principal, "me", 2), 0);
    for (int64_t id = 2; id < 200; id++) {
        cr_assert_not_null(add(&sessions, id));
    }
    cr_assert_eq(host_sessions_find(&sessions, 150)->public.response_stream_id, 102);
    host_sessions_close(&sessions);
}
