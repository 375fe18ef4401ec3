#include <criterion/criterion.h>

#include <string.h>

#include "shm/log_buffer.h"
#include "sim/check_recording.h"
#include "sim/dice.h"

#define SEGMENT 256
#define FRAME 64

struct fixture {
    struct disk disks[2];
    struct dice dice;
    struct check_recording recordings[2];
};

static void write_bytes(struct fixture *fixture, int which, int64_t position, const void *bytes,
                        int64_t length) {
    const struct store *store = &fixture->disks[which].table;
    char path[64];
    int file;
    (void)snprintf(path, sizeof path, "/a/7-%d.rec", (int)(position / SEGMENT * SEGMENT));
    cr_assert_eq(store->open(store->context, path, STORE_WRITE | STORE_CREATE, &file), 0);
    cr_assert_eq(store->pwrite(store->context, file, bytes, length, position % SEGMENT), 0);
    cr_assert_eq(store->close(store->context, file), 0);
}

/* Six frames in two segments on both disks, heard from different publications. */
static struct fixture *open_fixture(void) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    for (int which = 0; which < 2; which++) {
        disk_init(&fixture->disks[which], dice_random(&fixture->dice));
        fixture->recordings[which] =
            (struct check_recording){&fixture->disks[which], "/a", 7, SEGMENT};
        for (int64_t position = 0; position < 6 * FRAME; position += FRAME) {
            uint8_t frame[FRAME];
            const struct frame_header header = {.frame_length = FRAME - 4,
                                                .type = FRAME_TYPE_DATA,
                                                .term_offset = (int32_t)position,
                                                .session_id = which};
            memset(frame, (int)position, sizeof frame);
            memcpy(frame, &header, sizeof header);
            write_bytes(fixture, which, position, frame, sizeof frame);
        }
    }
    return fixture;
}

static bool are_equal(struct fixture *fixture, int64_t end) {
    struct tern_error problem;
    return check_recordings_equal(&fixture->recordings[0], &fixture->recordings[1], end, &problem);
}

Test(check_recording, equal_frames_of_other_sessions_are_equal) {
    struct fixture *fixture = open_fixture();
    cr_assert(are_equal(fixture, 6 * FRAME));
    cr_assert_not(are_equal(fixture, 7 * FRAME), "they do not go that far");
    disk_close(&fixture->disks[0]);
    disk_close(&fixture->disks[1]);
    free(fixture);
}

Test(check_recording, a_byte_that_differs_is_caught_below_the_end_only) {
    struct fixture *fixture = open_fixture();
    write_bytes(fixture, 1, 4 * FRAME + 40, "x", 1);
    cr_assert(are_equal(fixture, 4 * FRAME));
    cr_assert_not(are_equal(fixture, 5 * FRAME));
    disk_close(&fixture->disks[0]);
    disk_close(&fixture->disks[1]);
    free(fixture);
}
