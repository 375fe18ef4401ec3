/* The store seam: files that must survive (catalog, segments, recording.log, node-state.dat,
 * configuration is not among them). What another process maps (cnc, log buffers, mark files) goes
 * through mapped_file.h instead.
 *
 * A file is an opaque small int >= 0 owned by the table that opened it. Every function returns 0
 * (or a count where said) or -errno. Nothing is durable before sync returned 0.
 */
#ifndef TERN_BASE_STORE_H
#define TERN_BASE_STORE_H

#include <stdbool.h>
#include <stdint.h>

enum store_open_flags {
    STORE_READ = 0,
    STORE_WRITE = 1,     /* read and write */
    STORE_CREATE = 2,    /* create when missing */
    STORE_EXCLUSIVE = 4, /* with CREATE: fail with -EEXIST when there */
    STORE_TRUNCATE = 8,
};

struct store {
    void *context;
    int (*open)(void *context, const char *path, unsigned flags, int *file);
    int (*close)(void *context, int file);
    /* Bytes read: less than asked only at the end of the file. */
    int64_t (*pread)(void *context, int file, void *buffer, int64_t length, int64_t offset);
    /* All of it or an error; never a short write. */
    int (*pwrite)(void *context, int file, const void *buffer, int64_t length, int64_t offset);
    /* metadata true: fsync, false: fdatasync. */
    int (*sync)(void *context, int file, bool metadata);
    /* Make the names in a directory durable. */
    int (*sync_directory)(void *context, const char *path);
    int (*truncate)(void *context, int file, int64_t length);
    /* Reserve blocks and set the length to at least offset + length (ENOSPC is met here). */
    int (*allocate)(void *context, int file, int64_t offset, int64_t length);
    int64_t (*length)(void *context, int file);
    int (*rename)(void *context, const char *from, const char *to);
    int (*unlink)(void *context, const char *path);
    int (*make_directory)(void *context, const char *path); /* with parents; existing is fine */
    bool (*exists)(void *context, const char *path);
    /* Call `visit` with each name (no path, no "." or ".."); a non-zero result stops and is
     * returned. Order is unspecified. */
    int (*list)(void *context, const char *path, int (*visit)(void *arg, const char *name),
                void *arg);
    int64_t (*usable_space)(void *context, const char *path); /* bytes, or -errno */
    /* Memory for files of a file system that is in memory: its free space is only what they are
     * allowed to take. Bytes; INT64_MAX on a disk or when nobody knows. */
    int64_t (*usable_memory)(void *context, const char *path);
};

/* The operating system's files. The returned table is static and immutable. */
const struct store *store_system(void);

#endif
