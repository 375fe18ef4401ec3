/* Bringing an archive server up, one step per duty cycle (archive.md 4.6, 6.8). */
#ifndef TERN_ARCHIVED_ARCHIVE_START_H
#define TERN_ARCHIVED_ARCHIVE_START_H

#include "archived/archive_server.h"

/* Work done, 0 while something is waited for, or a negative code with the text in `error`. Moves
 * the server's state up to RUNNING. */
int archive_start_step(struct archive_server *server, struct tern_error *error);

/* Give up what the start was waiting for. */
void archive_start_cancel(struct archive_server *server);

#endif
