/* See check_recording.h. */
#include "sim/check_recording.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "shm/log_buffer.h"

static const uint8_t *find_segment(const struct check_recording *recording, int64_t base,
                                   int64_t *length) {
    char path[DISK_PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%" PRId64 "-%" PRId64 ".rec", recording->directory,
                   recording->recording_id, base);
    const struct disk_file *file = disk_find(recording->disk, path);
    *length = file == NULL ? 0 : file->length;
    return file == NULL ? NULL : file->bytes;
}

/* One frame; 0: it differs, or is none. */
static int64_t compare_frames(const uint8_t *a, const uint8_t *b, int64_t room) {
    struct frame_header first;
    struct frame_header second;
    if (room < (int64_t)sizeof first) {
        return 0;
    }
    memcpy(&first, a, sizeof first);
    memcpy(&second, b, sizeof second);
    second.session_id = first.session_id;
    int64_t length = align_i64(first.frame_length, 32);
    if (first.frame_length <= 0 || length > room || memcmp(&first, &second, sizeof first) != 0) {
        return 0;
    }
    bool has_body = first.type != FRAME_TYPE_PAD;
    return !has_body || memcmp(a + sizeof first, b + sizeof first,
                               (size_t)first.frame_length - sizeof first) == 0
               ? length
               : 0;
}

bool check_recordings_equal(const struct check_recording *a, const struct check_recording *b,
                            int64_t end, struct tern_error *problem) {
    for (int64_t position = 0; position < end;) {
        int64_t base = position / a->segment_length * a->segment_length;
        int64_t length_a;
        int64_t length_b;
        const uint8_t *bytes_a = find_segment(a, base, &length_a);
        const uint8_t *bytes_b = find_segment(b, base, &length_b);
        int64_t room = min_i64(length_a, length_b) - (position - base);
        int64_t length =
            bytes_a == NULL || bytes_b == NULL
                ? 0
                : compare_frames(bytes_a + (position - base), bytes_b + (position - base), room);
        if (length == 0) {
            (void)error_set(problem, -1,
                            "the recordings in %s and %s differ at position %" PRId64
                            " of %" PRId64,
                            a->directory, b->directory, position, end);
            return false;
        }
        position += length;
    }
    return true;
}
