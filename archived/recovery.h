/* What the end of the last run left behind, looked for in one listing of the directory at the start
 * (archive.md 4.6): recordings that were not closed are given their end, files of purged ones go.
 */
#ifndef TERN_ARCHIVED_RECOVERY_H
#define TERN_ARCHIVED_RECOVERY_H

#include "archived/archive_server.h"

/* After the catalog was opened, before anything is served. 0, or a negative code with a text. */
int recovery_run(struct archive_server *server, struct tern_error *error);

#endif
