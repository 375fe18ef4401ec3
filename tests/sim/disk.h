/* A disk: the store seam of one node in memory, with what disks do to those who trust them.
 *
 * Written bytes are volatile until their file is synced, names until their directory is. When the
 * power goes, each volatile write survives or not by itself, the last one perhaps in part (but
 * recordings without checksums are written by whole pages, as their recovery relies on); of the
 * changes of names a prefix survives, as a journal keeps them. What a sync that failed has not
 * written is never written any more, though it can be read until then.
 */
#ifndef TERN_SIM_DISK_H
#define TERN_SIM_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"
#include "base/store.h"

#define DISK_FILES_MAX 1024
#define DISK_HANDLES_MAX 256
#define DISK_PATH_MAX 192

struct disk_write {
    int64_t offset; /* -1: the length becomes `length` (truncated, or grown by zeroes) */
    int64_t length;
    bool is_lost;
    uint8_t *bytes;
    struct disk_write *next;
};

struct disk_file {
    bool is_used;
    char path[DISK_PATH_MAX];         /* "": has no name any more */
    char durable_path[DISK_PATH_MAX]; /* after a loss of power */
    uint8_t *bytes;
    int64_t length;
    int64_t capacity;
    uint8_t *durable;
    int64_t durable_length;
    int64_t durable_capacity;
    struct disk_write *first; /* volatile */
    struct disk_write *last;
    int handle_count;
};

struct disk_handle {
    int file; /* -1: free */
    int owner;
    bool is_writable;
};

enum disk_operation { DISK_READ, DISK_WRITE, DISK_SYNC, DISK_CHANGE };

/* Rates from 0 to 1 per call. */
struct disk_faults {
    double read_error;
    double write_error;
    double sync_error;
    int64_t sync_delay_max_ns; /* of a sync: the caller waits, whoever it is */
    bool is_full;
};

struct disk_rename {
    int file;
    bool is_with_next; /* one change with the next: a file takes another's name */
    char path[DISK_PATH_MAX];
};
#define DISK_RENAMES_MAX 1024

struct disk {
    struct store table; /* hand out &table */
    struct random random;
    struct disk_faults faults;
    struct disk_file files[DISK_FILES_MAX];
    struct disk_handle handles[DISK_HANDLES_MAX];
    struct disk_rename renames[DISK_RENAMES_MAX]; /* changes of names that are volatile, in order */
    int rename_count;
    bool has_checksums; /* of frames: recordings may be torn anywhere */
    /* Told of every call before it is done: it may not return (the caller is killed there). */
    void (*on_operation)(void *context, enum disk_operation operation, const char *path);
    void *context;
    /* what happened */
    int64_t write_count;
    int64_t sync_count;
    int64_t error_count;
};

void disk_init(struct disk *disk, struct random random);
void disk_close(struct disk *disk);

/* Close the files of a process that was killed. */
void disk_drop_owner(struct disk *disk, int owner);
/* All processes are dead. `survival` is the chance of each volatile write to be there later. */
void disk_lose_power(struct disk *disk, double survival);
/* An empty disk in its place. */
void disk_wipe(struct disk *disk);

/* For checkers: NULL when there is no such file. */
const struct disk_file *disk_find(const struct disk *disk, const char *path);

#endif
