/* See directory.h. */
#include "sim/directory.h"

#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static int delete_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status, (void)type, (void)walk;
    return remove(path);
}

void directory_delete(const char *path) {
    (void)nftw(path, delete_entry, 16, FTW_DEPTH | FTW_PHYS);
}
