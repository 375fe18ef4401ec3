#include <criterion/criterion.h>

#include "sim/check_replay.h"

#define ID 3
#define END 576

static struct tern_error problem;

/* From 64 on: a message of 50 bytes, one of 200 in frames of at most 96 from 160 on, and behind the
 * padding from 480 to 512 one of 10. */
static struct check_replay make(void) {
    static const struct check_replay_message messages[] = {
        {64, 160, 50, 11}, {160, 480, 200, 12}, {512, END, 10, 13}};
    struct check_replay check = {.payload_max = 96};
    struct check_replay_recording *recording = check_replay_add(&check, ID, 7, 64);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        check_replay_on_offer(recording, &messages[i]);
    }
    return check;
}

static bool stops(struct check_replay *check, int64_t start, int64_t stop) {
    const struct check_replay_range told = {start, stop};
    return check_replay_on_stop(check, check_replay_find(check, ID), &told, &problem);
}

static bool reports(struct check_replay *check, int64_t position) {
    return check_replay_on_report(check_replay_find(check, ID), position, &problem);
}

/* The frames of make(). */
static const struct {
    int64_t end;
    uint64_t salt;
    int32_t offset;
    int32_t length;
    bool is_begin;
    bool is_end;
} frames[] = {{160, 11, 0, 50, true, true},
              {288, 12, 0, 96, true, false},
              {416, 12, 96, 96, false, false},
              {480, 12, 192, 8, false, true},
              {END, 13, 0, 10, true, true}};

static struct check_replay_frame frame_of(int index, uint8_t *message) {
    check_replay_fill(message, 200, frames[index].salt);
    return (struct check_replay_frame){frames[index].end, message + frames[index].offset,
                                       frames[index].length, frames[index].is_begin,
                                       frames[index].is_end};
}

static bool gives(struct check_replay *check, struct check_replay_cursor *cursor, int index) {
    uint8_t message[200];
    const struct check_replay_frame frame = frame_of(index, message);
    return check_replay_on_frame(check, check_replay_find(check, ID), cursor, &frame, &problem);
}

static struct check_replay_cursor begin(struct check_replay *check, int64_t from, int64_t to) {
    return check_replay_begin(check_replay_find(check, ID), from, to);
}

Test(check_replay, a_replay_of_all_and_of_a_part) {
    struct check_replay check = make();
    cr_assert(stops(&check, 64, END));
    struct check_replay_cursor cursor = begin(&check, 64, END);
    for (int i = 0; i < 5; i++) {
        cr_assert(gives(&check, &cursor, i), "%s", problem.text);
    }
    cr_assert(check_replay_on_end(check_replay_find(&check, ID), &cursor, &problem));
    cursor = begin(&check, 288, 512);
    cr_assert(gives(&check, &cursor, 2));
    cr_assert(gives(&check, &cursor, 3));
    cr_assert(check_replay_on_end(check_replay_find(&check, ID), &cursor, &problem));
    cr_assert_not(gives(&check, &cursor, 4), "behind the end");
    cursor = begin(&check, 480, END);
    cr_assert(gives(&check, &cursor, 4), "from padding on");
    check_replay_close(&check);
}

Test(check_replay, gaps_repeats_and_early_ends_are_caught) {
    struct check_replay check = make();
    struct check_replay_cursor cursor = begin(&check, 64, END);
    cr_assert_not(gives(&check, &cursor, 1), "it starts a frame late");
    cr_assert(gives(&check, &cursor, 0));
    cr_assert(gives(&check, &cursor, 1));
    cr_assert_not(gives(&check, &cursor, 1), "again");
    cr_assert_not(gives(&check, &cursor, 3), "a gap");
    cr_assert_not(check_replay_on_end(check_replay_find(&check, ID), &cursor, &problem));
    check_replay_close(&check);
}

Test(check_replay, other_bytes_lengths_and_flags_are_caught) {
    struct check_replay check = make();
    const struct check_replay_recording *recording = check_replay_find(&check, ID);
    uint8_t message[200];
    for (int i = 0; i < 4; i++) {
        struct check_replay_cursor cursor = begin(&check, 160, END);
        struct check_replay_frame frame = frame_of(1, message);
        message[95] ^= i == 0;
        frame.is_begin ^= i == 1;
        frame.is_end ^= i == 2;
        frame.length -= i == 3;
        cr_assert_not(check_replay_on_frame(&check, recording, &cursor, &frame, &problem), "%d", i);
    }
    check_replay_close(&check);
}

Test(check_replay, a_report_is_kept_and_not_beyond_what_was_published) {
    struct check_replay check = make();
    cr_assert(reports(&check, 160));
    cr_assert(reports(&check, 64), "an older answer");
    cr_assert_not(stops(&check, 64, 64), "it was reported further");
    cr_assert_not(reports(&check, END + 32));
    check_replay_on_published(check_replay_find(&check, ID), END + 32);
    cr_assert(reports(&check, END + 32), "padding");
    check_replay_close(&check);
}

Test(check_replay, a_stop_position_is_the_end_of_a_frame_and_stays) {
    static const int64_t good[] = {64, 160, 288, 416, 480, 512, END};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        struct check_replay check = make();
        cr_assert(stops(&check, 64, good[i]), "%s", problem.text);
        cr_assert(stops(&check, 64, good[i]));
        cr_assert_not(stops(&check, 32, good[i]), "it begins elsewhere");
        cr_assert_not(stops(&check, 64, good[i] == 64 ? 160 : 64), "it stops elsewhere");
        check_replay_close(&check);
    }
    static const int64_t bad[] = {32, 96, 192, 448, 496, 544, END + 32};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct check_replay check = make();
        cr_assert_not(stops(&check, 64, bad[i]), "%d", (int)bad[i]);
        check_replay_close(&check);
    }
}

Test(check_replay, what_was_published_behind_the_stop_is_gone_with_an_extension) {
    struct check_replay check = make();
    struct check_replay_recording *recording = check_replay_find(&check, ID);
    cr_assert(stops(&check, 64, 480));
    struct check_replay_cursor cursor = begin(&check, 288, 480);
    cr_assert(gives(&check, &cursor, 2));
    cr_assert(gives(&check, &cursor, 3));
    check_replay_on_extend(recording);
    cr_assert_not(stops(&check, 64, END), "it was published before the extension");
    check_replay_close(&check);
}

Test(check_replay, an_extension_goes_on_where_it_stopped) {
    struct check_replay check = make();
    struct check_replay_recording *recording = check_replay_find(&check, ID);
    cr_assert(stops(&check, 64, 288));
    check_replay_on_extend(recording);
    check_replay_on_offer(recording, &(struct check_replay_message){288, 352, 10, 13});
    cr_assert_not(stops(&check, 64, 160), "before it was extended");
    cr_assert(stops(&check, 64, 352));
    struct check_replay_cursor cursor = begin(&check, 160, 352);
    cr_assert(gives(&check, &cursor, 1));
    cr_assert_not(gives(&check, &cursor, 2), "the rest of the old message");
    uint8_t message[10];
    check_replay_fill(message, sizeof message, 13);
    const struct check_replay_frame frame = {352, message, sizeof message, true, true};
    cr_assert(check_replay_on_frame(&check, recording, &cursor, &frame, &problem));
    cr_assert(check_replay_on_end(recording, &cursor, &problem));
    check_replay_close(&check);
}

Test(check_replay, boundaries_are_where_frames_begin) {
    struct check_replay check = make();
    const struct check_replay_recording *recording = check_replay_find(&check, ID);
    cr_assert(stops(&check, 64, END));
    static const int64_t expected[][2] = {{64, 64},   {65, 160},  {160, 160},
                                          {161, 288}, {400, 416}, {417, 480},
                                          {480, 512}, {513, END}, {END, END}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        cr_assert_eq(check_replay_boundary(&check, recording, expected[i][0]), expected[i][1], "%d",
                     (int)i);
    }
    check_replay_close(&check);
}

Test(check_replay, a_recording_that_is_gone_is_missed) {
    struct check_replay check = make();
    check_replay_begin_listing(&check);
    cr_assert_not(check_replay_end_listing(&check, &problem));
    check_replay_find(&check, ID)->is_listed = true;
    cr_assert(check_replay_end_listing(&check, &problem));
    check_replay_begin_listing(&check);
    check_replay_remove(&check, ID);
    cr_assert(check_replay_end_listing(&check, &problem), "purged");
    check_replay_add(&check, ID + 1, 7, 0)->may_be_gone = true;
    cr_assert(check_replay_end_listing(&check, &problem), "perhaps purged");
    cr_assert_eq(check.count, 0);
    cr_assert_null(check_replay_find(&check, ID));
    check_replay_close(&check);
}
