/* Deleting segment files, one per duty cycle (archive.md 6.7). */
#ifndef TERN_ARCHIVED_DELETION_H
#define TERN_ARCHIVED_DELETION_H

#include "archived/archive_server.h"

struct deletion {
    struct archive_server *server;
    int64_t recording_id;
    int64_t control_session_id;
    int64_t correlation_id;
    bool waits_for_replays;
    int64_t *bases; /* owned */
    int count;
    int next;
    int64_t highest_base;
};

struct deletion_params {
    int64_t recording_id;
    int64_t control_session_id;
    int64_t correlation_id;
    bool waits_for_replays;
    int64_t *bases; /* the deletion takes it over, also on failure */
    int count;
};

/* Without files the DELETE signal is sent at once. 0 or -ENOMEM. */
int deletion_create(struct archive_server *server, const struct deletion_params *params);
int deletion_step(struct deletion *deletion, bool *is_alive);
void deletion_destroy(struct deletion *deletion);

bool deletion_is_pending(const struct archive_server *server, int64_t recording_id);
/* A pending deletion of the recording has a file at or above `position`. */
bool deletion_reaches(const struct archive_server *server, int64_t recording_id, int64_t position);

/* The bases of all files of a recording, ".del" ones included; the caller frees *bases. Returns how
 * many or -errno. */
int deletion_list_files(const struct archive_server *server, int64_t recording_id, int64_t **bases);
/* An arithmetic row of bases from `first` to below `end`. */
int deletion_list_range(int64_t first, int64_t end, int64_t step, int64_t **bases);

#endif
