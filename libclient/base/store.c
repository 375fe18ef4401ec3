/* The store seam over the operating system's files. A file handle is the descriptor itself. */
#include "base/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

static int file_open(void *context, const char *path, unsigned flags, int *file) {
    (void)context;
    int mode = (flags & STORE_WRITE) != 0 ? O_RDWR : O_RDONLY;
    mode |= (flags & STORE_CREATE) != 0 ? O_CREAT : 0;
    mode |= (flags & STORE_EXCLUSIVE) != 0 ? O_EXCL : 0;
    mode |= (flags & STORE_TRUNCATE) != 0 ? O_TRUNC : 0;
    int fd = open(path, mode | O_CLOEXEC, 0666);
    if (fd < 0) {
        return -errno;
    }
    *file = fd;
    return 0;
}

static int file_close(void *context, int file) {
    (void)context;
    return close(file) == 0 ? 0 : -errno;
}

static int64_t file_pread(void *context, int file, void *buffer, int64_t length, int64_t offset) {
    (void)context;
    int64_t done = 0;
    while (done < length) {
        ssize_t count = pread(file, (char *)buffer + done, (size_t)(length - done), offset + done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return -errno;
        }
        if (count == 0) {
            break;
        }
        done += count;
    }
    return done;
}

static int file_pwrite(void *context, int file, const void *buffer, int64_t length,
                       int64_t offset) {
    (void)context;
    int64_t done = 0;
    while (done < length) {
        ssize_t count =
            pwrite(file, (const char *)buffer + done, (size_t)(length - done), offset + done);
        if (count < 0 && errno == EINTR) {
            continue;
        }
        if (count < 0) {
            return -errno;
        }
        if (count == 0) {
            return -EIO; /* a device that takes nothing would make this loop endless */
        }
        done += count;
    }
    return 0;
}

static int file_sync(void *context, int file, bool metadata) {
    (void)context;
    return (metadata ? fsync(file) : fdatasync(file)) == 0 ? 0 : -errno;
}

static int directory_sync(void *context, const char *path) {
    (void)context;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    int result = fsync(fd) == 0 ? 0 : -errno;
    (void)close(fd);
    return result;
}

static int file_truncate(void *context, int file, int64_t length) {
    (void)context;
    return ftruncate(file, length) == 0 ? 0 : -errno;
}

static int file_allocate(void *context, int file, int64_t offset, int64_t length) {
    (void)context;
    return -posix_fallocate(file, offset, length);
}

static int64_t file_length(void *context, int file) {
    (void)context;
    struct stat status;
    return fstat(file, &status) == 0 ? (int64_t)status.st_size : -errno;
}

static int file_rename(void *context, const char *from, const char *to) {
    (void)context;
    return rename(from, to) == 0 ? 0 : -errno;
}

static int file_unlink(void *context, const char *path) {
    (void)context;
    return unlink(path) == 0 ? 0 : -errno;
}

static int make_one(const char *path) {
    return mkdir(path, 0777) == 0 || errno == EEXIST ? 0 : -errno;
}

static int directory_make(void *context, const char *path) {
    (void)context;
    char partial[4096];
    size_t length = strlen(path);
    if (length >= sizeof partial) {
        return -ENAMETOOLONG;
    }
    memcpy(partial, path, length + 1);
    for (size_t i = 1; i < length; i++) {
        if (partial[i] == '/') {
            partial[i] = '\0';
            int result = make_one(partial);
            if (result != 0) {
                return result;
            }
            partial[i] = '/';
        }
    }
    int result = make_one(partial);
    struct stat status;
    if (result == 0 && (stat(path, &status) != 0 || !S_ISDIR(status.st_mode))) {
        return -ENOTDIR;
    }
    return result;
}

static bool file_exists(void *context, const char *path) {
    (void)context;
    return access(path, F_OK) == 0;
}

static int directory_list(void *context, const char *path,
                          int (*visit)(void *arg, const char *name), void *arg) {
    (void)context;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return -errno;
    }
    int result = 0;
    struct dirent *entry;
    while (result == 0 && (entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            result = visit(arg, entry->d_name);
        }
    }
    (void)closedir(directory);
    return result;
}

static int64_t usable_space(void *context, const char *path) {
    (void)context;
    struct statvfs status;
    if (statvfs(path, &status) != 0) {
        return -errno;
    }
    return (int64_t)status.f_bavail * (int64_t)status.f_frsize;
}

/* MemAvailable of /proc/meminfo, or INT64_MAX. */
static int64_t available_memory(void) {
    static const char key[] = "\nMemAvailable:";
    char text[1024];
    int file = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return INT64_MAX;
    }
    ssize_t length = read(file, text, sizeof text - 1);
    (void)close(file);
    text[length < 0 ? 0 : length] = '\0';
    const char *line = strstr(text, key);
    return line == NULL ? INT64_MAX : strtoll(line + sizeof key - 1, NULL, 10) * 1024;
}

static int64_t usable_memory(void *context, const char *path) {
    (void)context;
    struct statfs status;
    bool is_in_memory = statfs(path, &status) == 0 &&
                        (status.f_type == TMPFS_MAGIC || status.f_type == RAMFS_MAGIC);
    return is_in_memory ? available_memory() : INT64_MAX;
}

const struct store *store_system(void) {
    static const struct store table = {
        .open = file_open,
        .close = file_close,
        .pread = file_pread,
        .pwrite = file_pwrite,
        .sync = file_sync,
        .sync_directory = directory_sync,
        .truncate = file_truncate,
        .allocate = file_allocate,
        .length = file_length,
        .rename = file_rename,
        .unlink = file_unlink,
        .make_directory = directory_make,
        .exists = file_exists,
        .list = directory_list,
        .usable_space = usable_space,
        .usable_memory = usable_memory,
    };
    return &table;
}
