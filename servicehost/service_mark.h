/* cluster-mark-service-<id>.dat and its link file (cluster.md 5.3). */
#ifndef TERN_SERVICEHOST_SERVICE_MARK_H
#define TERN_SERVICEHOST_SERVICE_MARK_H

#include "base/io.h"
#include "servicehost/service_conf.h"
#include "shm/error_log.h"
#include "shm/mark_file.h"

struct service_mark {
    struct mark_file file;
    struct error_log errors;
};

/* Make the directories, take the file, write its header, set it ready. -EBUSY when another
 * container lives there. */
int service_mark_open(struct service_mark *mark, const struct service_conf *conf,
                      const struct io *io, struct tern_error *error);
void service_mark_set_member(struct service_mark *mark, int32_t member_id);
/* Say that the container ended, and unmap. Idempotent on a zeroed struct. */
void service_mark_close(struct service_mark *mark);

#endif
