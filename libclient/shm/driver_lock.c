/* The lock is one of the open file description, not of the process: many drivers can live in one
 * process, and asking for the state of a lock neither takes nor drops it. */
#include "shm/driver_lock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#define LOCK_FILE_MODE 0644

static int open_file(const char *directory, int flags) {
    char path[PATH_MAX];
    int length = snprintf(path, sizeof path, "%s/%s", directory, DRIVER_LOCK_FILE_NAME);
    if (length < 0 || length >= (int)sizeof path) {
        return -ENAMETOOLONG;
    }
    int descriptor = open(path, flags | O_CLOEXEC, LOCK_FILE_MODE);
    return descriptor < 0 ? -errno : descriptor;
}

int driver_lock_acquire(const char *directory) {
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int descriptor = open_file(directory, O_RDWR | O_CREAT);
    if (descriptor < 0) {
        return descriptor;
    }
    if (fcntl(descriptor, F_OFD_SETLK, &lock) != 0) {
        int failure = errno == EAGAIN || errno == EACCES ? EBUSY : errno;
        (void)close(descriptor);
        return -failure;
    }
    return descriptor;
}

void driver_lock_close(int descriptor) {
    if (descriptor >= 0) {
        (void)close(descriptor);
    }
}

bool driver_lock_is_abandoned(const char *directory) {
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    int descriptor = open_file(directory, O_RDONLY);
    if (descriptor < 0) {
        return false; /* not ours, or not ours to look at: its heartbeat decides */
    }
    bool is_known = fcntl(descriptor, F_OFD_GETLK, &lock) == 0;
    (void)close(descriptor);
    return is_known && lock.l_type == F_UNLCK;
}
