/* Recordings of the same log on the disks of the members: byte for byte the same frames up to a
 * position, whoever wrote them and however often they were cut, replicated and caught up. */
#ifndef TERN_SIM_CHECK_RECORDING_H
#define TERN_SIM_CHECK_RECORDING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "sim/disk.h"

struct check_recording {
    const struct disk *disk;
    const char *directory; /* of the archive */
    int64_t recording_id;
    int64_t segment_length;
};

/* Session ids are of the publication that a member heard the frame from, and may differ. False
 * with a text when the recordings differ below `end`, or do not go that far. */
bool check_recordings_equal(const struct check_recording *a, const struct check_recording *b,
                            int64_t end, struct tern_error *problem);

#endif
