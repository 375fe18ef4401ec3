/* cluster-mark.dat: who serves the cluster directory, whether it lives, and its errors (5.3). */
#ifndef TERN_CONSENSUSD_MODULE_MARK_H
#define TERN_CONSENSUSD_MODULE_MARK_H

#include "base/io.h"
#include "consensusd/consensus_conf.h"
#include "shm/error_log.h"
#include "shm/mark_file.h"

struct module_mark {
    struct mark_file file;
    struct error_log errors;
};

/* Make the directories, write or remove the link file, take the mark file. -EBUSY when another
 * process serves the directory. The file is not ready yet. */
int module_mark_open(struct module_mark *mark, const struct consensus_conf *conf,
                     const struct io *io, struct tern_error *error);
/* The module is up: readers may trust the header. */
void module_mark_ready(struct module_mark *mark, int64_t now_epoch_ms);
/* Marks an orderly stop. Closing a zeroed struct does nothing. */
void module_mark_close(struct module_mark *mark);

#endif
