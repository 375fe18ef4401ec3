#include <criterion/criterion.h>

#include <string.h>

#include "consensusd/module_snapshot.h"
#include "wire/cluster_codec.h"

enum { MESSAGES_MAX = 64 };

struct recording {
    int count;
    int32_t lengths[MESSAGES_MAX];
    uint8_t messages[MESSAGES_MAX][512];
};

static int record(void *context, const void *message, int32_t length) {
    struct recording *recording = context;
    memcpy(recording->messages[recording->count], message, (size_t)length);
    recording->lengths[recording->count++] = length;
    return 0;
}

static void fill(struct module_snapshot *snapshot) {
    module_snapshot_init_trackers(snapshot, 2);
    snapshot->log_position = 15072;
    snapshot->leadership_term_id = 3;
    snapshot->app_version = 1;
    snapshot->next_session_id = 9;
    for (int64_t id = 1; id <= 2; id++) {
        const struct module_snapshot_session session = {
            .session_id = id,
            .correlation_id = 100 + id,
            .opened_log_position = 64 * id,
            .is_closing = id == 2,
            .close_reason = CLUSTER_CLOSE_REASON_TIMEOUT,
            .response_stream_id = 102,
            .response_channel = (char *)"aeron:udp?endpoint=localhost:1",
        };
        cr_assert_eq(module_snapshot_add_session(snapshot, &session), 0);
    }
    cr_assert_eq(module_snapshot_add_timer(snapshot, 1094, 1795198373790), 0);
    for (int64_t i = 1; i <= 3; i++) {
        uint8_t message[40] = {0};
        cluster_session_message_header_put(message, 3, service_session_id_base(1) + i, INT64_MAX);
        cr_assert_eq(module_snapshot_add_pending(snapshot, 1, message, sizeof message), 0);
        snapshot->trackers[1].next_service_session_id++;
    }
}

static int replay(struct recording *recording, struct module_snapshot *snapshot,
                  struct module_snapshot_reader *reader, struct tern_error *error) {
    module_snapshot_reader_init(reader, snapshot, 2);
    int result = 0;
    for (int i = 0; result == 0 && i < recording->count; i++) {
        result = module_snapshot_read(reader, recording->messages[i], recording->lengths[i], error);
    }
    return result;
}

Test(module_snapshot, reads_back_what_it_wrote) {
    struct module_snapshot written = {0};
    struct module_snapshot read;
    struct module_snapshot_reader reader;
    static struct recording first;
    static struct recording second;
    struct tern_error error = {0};
    fill(&written);
    cr_assert_eq(module_snapshot_encode(&written, record, &first), 0);
    cr_assert_eq(replay(&first, &read, &reader, &error), 0, "%s", error.text);
    cr_assert(reader.has_end);
    cr_assert_eq(read.next_session_id, 9);
    cr_assert_eq(read.session_count, 2);
    cr_assert_not(read.sessions[0].is_closing);
    cr_assert(read.sessions[1].is_closing);
    cr_assert_str_eq(read.sessions[1].response_channel, "aeron:udp?endpoint=localhost:1");
    cr_assert_eq(read.trackers[1].message_count, 3);
    cr_assert_eq(read.timers[0].deadline, 1795198373790);
    cr_assert_eq(module_snapshot_encode(&read, record, &second), 0);
    cr_assert_eq(first.count, second.count);
    for (int i = 0; i < first.count; i++) {
        cr_assert_eq(first.lengths[i], second.lengths[i]);
        cr_assert_eq(memcmp(first.messages[i], second.messages[i], (size_t)first.lengths[i]), 0);
    }
    module_snapshot_close(&written);
    module_snapshot_close(&read);
}

/* The messages of a real Aeron 1.52 snapshot without sessions: BEGIN, module, timer (golden data,
 * cluster state E, recording 2). */
Test(module_snapshot, writes_the_bytes_of_the_original) {
    static const uint8_t module[] = {0x1c, 0, 0x69, 0, 0x6f, 0, 0x10, 0,    2, 0, 0, 0,
                                     0,    0, 0,    0, 0x0b, 0, 0,    0,    0, 0, 0, 0x80,
                                     0x0a, 0, 0,    0, 0,    0, 0,    0x80, 0, 0, 0, 0};
    static const uint8_t timer[] = {0x10, 0, 0x68, 0, 0x6f, 0,    0x10, 0,    0x46, 4, 0, 0,
                                    0,    0, 0,    0, 0x9e, 0x4f, 0x29, 0xfa, 0xa1, 1, 0, 0};
    struct module_snapshot snapshot = {0};
    static struct recording recording;
    module_snapshot_init_trackers(&snapshot, 1);
    snapshot.next_session_id = 2;
    snapshot.trackers[0].next_service_session_id = service_session_id_base(0) + 11;
    snapshot.trackers[0].log_service_session_id = service_session_id_base(0) + 10;
    cr_assert_eq(module_snapshot_add_timer(&snapshot, 1094, 1795198373790), 0);
    cr_assert_eq(module_snapshot_encode(&snapshot, record, &recording), 0);
    cr_assert_eq(recording.lengths[1], (int32_t)sizeof module);
    cr_assert_eq(memcmp(recording.messages[1], module, sizeof module), 0);
    cr_assert_eq(recording.lengths[2], (int32_t)sizeof timer);
    cr_assert_eq(memcmp(recording.messages[2], timer, sizeof timer), 0);
    module_snapshot_close(&snapshot);
}

Test(module_snapshot, refuses_a_broken_sequence) {
    struct module_snapshot written = {0};
    static struct recording whole;
    fill(&written);
    cr_assert_eq(module_snapshot_encode(&written, record, &whole), 0);
    module_snapshot_close(&written);
    int last = whole.count - 1;
    /* 0: without BEGIN, 1: a pending message missing, 2: one changed, 3: data behind END */
    for (int kind = 0; kind < 4; kind++) {
        static struct recording broken;
        struct module_snapshot read;
        struct module_snapshot_reader reader;
        struct tern_error error = {0};
        broken = whole;
        if (kind == 0) {
            memmove(broken.messages[0], broken.messages[1], sizeof broken.messages[0]);
            broken.lengths[0] = broken.lengths[1];
        } else if (kind == 1) {
            memcpy(broken.messages[last - 1], broken.messages[last], sizeof broken.messages[0]);
            broken.lengths[last - 1] = broken.lengths[last];
            broken.count--;
        } else if (kind == 2) {
            cluster_session_message_header_set_cluster_session_id(broken.messages[last - 1], 77);
        } else {
            memcpy(broken.messages[broken.count], broken.messages[1], sizeof broken.messages[0]);
            broken.lengths[broken.count++] = broken.lengths[1];
        }
        cr_assert_eq(replay(&broken, &read, &reader, &error), TERN_ERROR_PROTOCOL, "kind %d", kind);
        cr_assert_gt(strlen(error.text), 10);
        module_snapshot_close(&read);
    }
}

static void expect_refused(struct recording *recording, const char *what) {
    struct module_snapshot read;
    struct module_snapshot_reader reader;
    struct tern_error error = {0};
    cr_assert_eq(replay(recording, &read, &reader, &error), TERN_ERROR_PROTOCOL, "%s", what);
    cr_assert_gt(strlen(error.text), 10);
    module_snapshot_close(&read);
}

/* A message would be taken for one that is in the log already, or for one of another service. */
Test(module_snapshot, refuses_ids_that_a_service_cannot_have) {
    const int64_t first = service_session_id_base(0);
    const struct module_snapshot_tracker broken[] = {
        {.next_service_session_id = first + 1, .log_service_session_id = INT64_MAX},
        {.next_service_session_id = INT64_MAX, .log_service_session_id = INT64_MIN},
        {.next_service_session_id = first, .log_service_session_id = first},
        {.next_service_session_id = first + 2, .log_service_session_id = first},
        {.next_service_session_id = service_session_id_base(1) + 1,
         .log_service_session_id = service_session_id_base(1)},
        {.next_service_session_id = 1, .log_service_session_id = 0},
    };
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        struct module_snapshot written = {0};
        static struct recording recording;
        recording.count = 0;
        module_snapshot_init_trackers(&written, 1);
        written.trackers[0] = broken[i];
        cr_assert_eq(module_snapshot_encode(&written, record, &recording), 0);
        expect_refused(&recording, "with its tracker");
        recording.count--; /* BEGIN, module, tracker, END */
        memcpy(recording.messages[2], recording.messages[3], sizeof recording.messages[0]);
        recording.lengths[2] = recording.lengths[3];
        expect_refused(&recording, "in the module's message only");
        module_snapshot_close(&written);
    }
}

Test(module_snapshot, refuses_a_second_tracker_of_a_service_that_has_messages) {
    struct module_snapshot written = {0};
    static struct recording recording;
    fill(&written);
    cr_assert_eq(module_snapshot_encode(&written, record, &recording), 0);
    module_snapshot_close(&written);
    int end = recording.count - 1; /* the tracker stands before its three messages */
    memcpy(recording.messages[end + 1], recording.messages[end], sizeof recording.messages[0]);
    recording.lengths[end + 1] = recording.lengths[end];
    memcpy(recording.messages[end], recording.messages[end - 4], sizeof recording.messages[0]);
    recording.lengths[end] = recording.lengths[end - 4];
    recording.count++;
    expect_refused(&recording, "twice");
}

Test(module_snapshot, timers_are_in_the_order_of_deadline_and_id) {
    struct module_snapshot snapshot = {0};
    uint32_t state = 1;
    module_snapshot_sort_timers(&snapshot);
    for (int64_t id = 0; id < 1000; id++) {
        state = state * 1664525 + 1013904223;
        cr_assert_eq(module_snapshot_add_timer(&snapshot, id * 7 % 1000, state >> 24), 0);
    }
    module_snapshot_sort_timers(&snapshot);
    cr_assert_eq(snapshot.timer_count, 1000);
    for (int32_t i = 1; i < snapshot.timer_count; i++) {
        const struct module_snapshot_timer *before = &snapshot.timers[i - 1];
        const struct module_snapshot_timer *timer = &snapshot.timers[i];
        cr_assert(before->deadline < timer->deadline ||
                  (before->deadline == timer->deadline && before->timer_id < timer->timer_id));
    }
    module_snapshot_close(&snapshot);
}
