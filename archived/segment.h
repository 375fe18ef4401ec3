/* Segment files: names, geometry, writing, and where a recording that was not closed really ends
 * (archive.md 4.6, 4.8). All access goes through the store seam. */
#ifndef TERN_ARCHIVED_SEGMENT_H
#define TERN_ARCHIVED_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "archived/checksum.h"
#include "base/error.h"
#include "base/store.h"

#define SEGMENT_PATH_MAX 4096
#define SEGMENT_PAGE_LENGTH 4096
/* What a writer may have written since its last sync: so many blocks of the I/O buffer's length. */
#define SEGMENT_UNSYNCED_BLOCKS_MAX 8

/* What decides where a position lies in the files of a recording. */
struct segment_geometry {
    int64_t recording_id;
    int64_t start_position;
    int32_t initial_term_id;
    int32_t stream_id;
    int32_t term_length;
    int32_t segment_length;
};

/* Where the files are; borrowed by everything that touches segments. */
struct segment_place {
    const struct store *store;
    const char *directory;
    int sync_level;       /* 0 none, 1 data, 2 with metadata (4.9) */
    bool syncs_directory; /* after a file was made */
};

/* Base position of the file that holds `position`. */
int64_t segment_base_of(const struct segment_geometry *geometry, int64_t position);

/* "<directory>/<recording id>-<base>.rec" */
void segment_path(const struct segment_place *place, int64_t recording_id, int64_t base,
                  char path[SEGMENT_PATH_MAX]);

/* Parse "<id>-<base>.rec" and, with `deleted` set to true, "<id>-<base>.rec.del" /
 * "<id>-<base>.del". False for every other name. */
bool segment_name_parse(const char *name, int64_t *recording_id, int64_t *base, bool *deleted);

/* Open for writing and give it its full length (sparse). With `is_new` an existing file is -EEXIST.
 * Otherwise what stands at and behind the position is cleared, durably by the sync level: bytes of
 * a write that failed, or of an uncommitted tail, must never be taken for frames by a later
 * recovery. All before it is whole, which a marker tells. */
int segment_open_write(const struct segment_place *place, const struct segment_geometry *geometry,
                       int64_t position, bool is_new, int *file);

/* Leave nothing but zeroes at and behind `position` in its file, of a recording that has stopped
 * there (archive.md 5.8). */
int segment_cut(const struct segment_place *place, const struct segment_geometry *geometry,
                int64_t position);

/* Remove the files behind the one that holds `position`, durably by the sync level: made ahead of
 * their first frame, or left by a writer that failed, they would stop a later extension. */
int segment_remove_above(const struct segment_place *place, const struct segment_geometry *geometry,
                         int64_t position);

/* Highest base among the files of a recording; -1: there is none. -errno of the listing. */
int segment_highest_base(const struct segment_place *place, int64_t recording_id,
                         int64_t *highest_base);

/* Does a frame of this recording begin at `position`? 1 yes, 0 no, or -errno (-ENOENT: no file). */
int segment_has_frame_at(const struct segment_place *place, const struct segment_geometry *geometry,
                         int64_t position);

/* Would recovery take the last frame of these whole frames for torn? It does so when one of the
 * pages that the frame goes on in holds nothing but zeroes, which whole frames can do as well.
 * `file_offset` is where the block stands in its file, `mtu_length` the longest frame. */
bool segment_end_is_doubtful(const uint8_t *block, int32_t length, int64_t file_offset,
                             int32_t mtu_length);

/* Then the writer leaves a marker behind the frame: a header with length 0, which ends the data for
 * every reader, and with contents that no torn write leaves. The next frame takes its place; when
 * that is cut off, the marker comes back. */
int segment_write_marker(const struct segment_place *place, const struct segment_geometry *geometry,
                         int file, int64_t position);

/* Frames longer than a page, without checksums: one that has lost a page inside of it looks whole.
 * So the first header of what a writer writes between two syncs is held back until all behind it is
 * durable; before it the data ends for recovery. With sync level 0 a loss of power is not survived
 * anyhow. */
struct segment_hold {
    int64_t offset; /* in the file; -1: no header is held */
    uint8_t header[32];
};
bool segment_holds_headers(const struct segment_place *place, const struct checksum *checksum,
                           int32_t mtu_length);
/* Take the header of a block that is to stand at the offset; the rest is to be written. */
void segment_hold_header(struct segment_hold *hold, const uint8_t *block, int64_t offset);
/* Before the sync that makes the block count: sync the rest, write the header, if one is held. */
int segment_release_header(const struct segment_place *place, int file, struct segment_hold *hold);

struct segment_scan {
    const struct segment_place *place;
    const struct segment_geometry *geometry;
    int64_t highest_base;            /* of the recording's files; -1: there is none */
    const struct checksum *checksum; /* of the writer; frames carry it when enabled */
    int32_t session_id;              /* of the recorded stream, which others carry in its place */
    uint8_t *buffer;
    int64_t buffer_length; /* at least the longest possible frame: the term length suffices */
};

struct segment_end {
    int64_t position;
    int64_t torn_length; /* bytes that were dropped from a torn frame on; 0: none */
};

/* Before an extension at `position` by a writer with checksums of a recording whose last frames
 * have none, or others: give them to those near the position. Nobody doubts that they are whole,
 * but a recovery after a crash of the extension may look at them, and could not tell. */
int segment_add_checksums(const struct segment_scan *scan, int64_t position);

/* Find the end of the last whole frame, from the highest segment file backwards over empty ones.
 * What is torn is cut off the file, and what is left is made durable when the place syncs. 0,
 * or a negative code with a text. */
int segment_find_end(const struct segment_scan *scan, struct segment_end *end,
                     struct tern_error *error);

#endif
