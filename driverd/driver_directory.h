/* The driver's directory at start and end: is it in use, saving the old error log, deleting, making
 * (shared-memory.md 1.3 to 1.6). Runs before the first and after the last duty cycle, so it may
 * block; it works on the file system directly because everything in the directory is mapped by
 * other processes. */
#ifndef DRIVERD_DRIVER_DIRECTORY_H
#define DRIVERD_DRIVER_DIRECTORY_H

#include "base/error.h"

struct driver_conf;
struct io;

/* Leave an empty directory with its two folders. -EBUSY when a living driver uses the directory;
 * -EEXIST when what is in there cannot have been made by a driver. */
int driver_directory_prepare(const struct driver_conf *conf, const struct io *io,
                             struct tern_error *error);

/* Delete the directory and everything in it. A missing directory is fine. */
int driver_directory_delete(const char *directory, struct tern_error *error);

#endif
