/* See disk.h. Mark files are mapped and therefore real files: the disk never hears of them but for
 * names, so everything here is what goes through the store seam. */
#include "sim/disk.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "sim/owner.h"
#include "sim/planted.h"

#define SECTOR_LENGTH 512
#define PAGE_LENGTH 4096 /* the pages of a write reach the disk in any order */
#define USABLE_SPACE (INT64_C(1) << 34)

static struct disk_file *find(struct disk *disk, const char *path) {
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        if (disk->files[i].is_used && strcmp(disk->files[i].path, path) == 0) {
            return &disk->files[i];
        }
    }
    return NULL;
}

const struct disk_file *disk_find(const struct disk *disk, const char *path) {
    return find((struct disk *)(uintptr_t)disk, path);
}

static int file_index(const struct disk *disk, const struct disk_file *file) {
    return (int)(file - disk->files);
}

static bool happens(struct disk *disk, double rate) {
    bool does = rate > 0 && random_unit(&disk->random) < rate;
    disk->error_count += does;
    return does;
}

static void tell(struct disk *disk, enum disk_operation operation, const char *path) {
    if (disk->on_operation != NULL) {
        disk->on_operation(disk->context, operation, path);
    }
}

/* Memory of the disk belongs to the simulator, whoever writes. */
static void *grow_bytes(uint8_t *bytes, int64_t *capacity, int64_t length) {
    if (length <= *capacity) {
        return bytes;
    }
    int64_t bigger = max_i64(4096, max_i64(length, *capacity * 2));
    int owner = owner_switch(OWNER_SIMULATOR);
    uint8_t *moved = realloc(bytes, (size_t)bigger);
    owner_switch(owner);
    assert(moved != NULL);
    memset(moved + *capacity, 0, (size_t)(bigger - *capacity));
    *capacity = bigger;
    return moved;
}

static void apply(uint8_t **bytes, int64_t *length, int64_t *capacity,
                  const struct disk_write *write) {
    if (write->offset >= 0 && write->length == 0) {
        return; /* nothing of it is left */
    }
    int64_t end = write->offset < 0 ? write->length : write->offset + write->length;
    *bytes = grow_bytes(*bytes, capacity, end);
    if (write->offset >= 0) {
        memcpy(*bytes + write->offset, write->bytes, (size_t)write->length);
        *length = max_i64(*length, end);
        return;
    }
    if (end < *length) {
        memset(*bytes + end, 0, (size_t)(*length - end));
    }
    *length = end;
}

static void free_write(struct disk_write *write) {
    free(write->bytes);
    free(write);
}

static void forget_writes(struct disk_file *file) {
    while (file->first != NULL) {
        struct disk_write *next = file->first->next;
        free_write(file->first);
        file->first = next;
    }
    file->last = NULL;
}

static void add_write(struct disk_file *file, const struct disk_write *write) {
    int owner = owner_switch(OWNER_SIMULATOR);
    struct disk_write *made = malloc(sizeof *made);
    assert(made != NULL);
    *made = *write;
    made->next = NULL;
    if (write->offset >= 0) {
        made->bytes = malloc((size_t)write->length + 1);
        assert(made->bytes != NULL);
        memcpy(made->bytes, write->bytes, (size_t)write->length);
    }
    owner_switch(owner);
    if (file->last == NULL) {
        file->first = made;
    } else {
        file->last->next = made;
    }
    file->last = made;
    apply(&file->bytes, &file->length, &file->capacity, made);
}

static void discard(struct disk_file *file) {
    forget_writes(file);
    free(file->bytes);
    free(file->durable);
    *file = (struct disk_file){0};
}

static void discard_unreachable(struct disk_file *file) {
    if (file->is_used && file->path[0] == '\0' && file->durable_path[0] == '\0' &&
        file->handle_count == 0) {
        discard(file);
    }
}

/* -- names -- */

static void make_names_durable(struct disk *disk, int count) {
    while (count > 0 && disk->renames[count - 1].is_with_next) {
        count++;
    }
    for (int i = 0; i < count; i++) {
        struct disk_file *file = &disk->files[disk->renames[i].file];
        memcpy(file->durable_path, disk->renames[i].path, DISK_PATH_MAX);
    }
    disk->rename_count -= count;
    memmove(disk->renames, disk->renames + count,
            (size_t)disk->rename_count * sizeof disk->renames[0]);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        bool is_pending = false;
        for (int j = 0; j < disk->rename_count; j++) {
            is_pending |= disk->renames[j].file == i;
        }
        if (!is_pending) {
            discard_unreachable(&disk->files[i]);
        }
    }
}

static void set_path(struct disk *disk, struct disk_file *file, const char *path) {
    if (disk->rename_count >= DISK_RENAMES_MAX - 1 && path[0] != '\0') {
        make_names_durable(disk, DISK_RENAMES_MAX / 2); /* the journal is written now and then */
    }
    struct disk_rename *change = &disk->renames[disk->rename_count++];
    *change = (struct disk_rename){.file = file_index(disk, file)};
    assert(strlen(path) < DISK_PATH_MAX);
    memcpy(change->path, path, strlen(path) + 1);
    memcpy(file->path, change->path, DISK_PATH_MAX);
}

static bool is_in_directory(const char *path, const char *directory) {
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && path[length] == '/' &&
           strchr(path + length + 1, '/') == NULL;
}

/* The journal is ordered: what is before the last change of the directory goes with it. */
static int sync_directory(void *context, const char *path) {
    struct disk *disk = context;
    tell(disk, DISK_SYNC, path);
    if (happens(disk, disk->faults.sync_error)) {
        return -EIO;
    }
    int count = 0;
    for (int i = 0; i < disk->rename_count; i++) {
        const struct disk_rename *change = &disk->renames[i];
        const struct disk_file *file = &disk->files[change->file];
        if (is_in_directory(change->path, path) || is_in_directory(file->durable_path, path) ||
            change->path[0] == '\0') {
            count = i + 1;
        }
    }
    make_names_durable(disk, count);
    disk->sync_count++;
    return 0;
}

static int rename_file(void *context, const char *from, const char *to) {
    struct disk *disk = context;
    tell(disk, DISK_CHANGE, from);
    struct disk_file *file = find(disk, from);
    if (file == NULL) {
        return -ENOENT;
    }
    if (happens(disk, disk->faults.write_error)) {
        return -EIO;
    }
    struct disk_file *replaced = find(disk, to);
    if (replaced != NULL && replaced != file) {
        set_path(disk, replaced, "");
        disk->renames[disk->rename_count - 1].is_with_next = true;
    }
    set_path(disk, file, to);
    return 0;
}

static int unlink_file(void *context, const char *path) {
    struct disk *disk = context;
    tell(disk, DISK_CHANGE, path);
    struct disk_file *file = find(disk, path);
    if (file == NULL) {
        return -ENOENT;
    }
    if (happens(disk, disk->faults.write_error)) {
        return -EIO;
    }
    set_path(disk, file, "");
    return 0;
}

static int make_directory(void *context, const char *path) {
    (void)context;
    const struct store *real = store_system(); /* mark files live in it */
    return real->make_directory(real->context, path);
}

static bool exists(void *context, const char *path) {
    return find(context, path) != NULL;
}

static int list(void *context, const char *path, int (*visit)(void *arg, const char *name),
                void *arg) {
    struct disk *disk = context;
    tell(disk, DISK_READ, path);
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        const struct disk_file *file = &disk->files[i];
        if (file->is_used && is_in_directory(file->path, path)) {
            char name[DISK_PATH_MAX];
            memcpy(name, strrchr(file->path, '/') + 1, strlen(strrchr(file->path, '/')));
            int result = visit(arg, name);
            if (result != 0) {
                return result;
            }
        }
    }
    return 0;
}

/* -- files -- */

static struct disk_file *create(struct disk *disk, const char *path) {
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        if (!disk->files[i].is_used) {
            disk->files[i].is_used = true;
            set_path(disk, &disk->files[i], path);
            return &disk->files[i];
        }
    }
    assert(false);
    return NULL;
}

static int open_file(void *context, const char *path, unsigned flags, int *handle) {
    struct disk *disk = context;
    tell(disk, DISK_CHANGE, path);
    struct disk_file *file = find(disk, path);
    if (file == NULL && (flags & STORE_CREATE) == 0) {
        return -ENOENT;
    }
    if (file != NULL && (flags & STORE_EXCLUSIVE) != 0) {
        return -EEXIST;
    }
    if (file == NULL && disk->faults.is_full) {
        disk->error_count++;
        return -ENOSPC;
    }
    file = file == NULL ? create(disk, path) : file;
    if ((flags & STORE_TRUNCATE) != 0 && file->length > 0) {
        add_write(file, &(struct disk_write){.offset = -1});
    }
    int index = 0;
    while (disk->handles[index].file >= 0) {
        index++;
        assert(index < DISK_HANDLES_MAX);
    }
    disk->handles[index] =
        (struct disk_handle){file_index(disk, file), owner_current(), (flags & STORE_WRITE) != 0};
    file->handle_count++;
    *handle = index;
    return 0;
}

static struct disk_file *file_of(struct disk *disk, int handle) {
    assert(handle >= 0 && handle < DISK_HANDLES_MAX);
    assert(disk->handles[handle].file >= 0);
    return &disk->files[disk->handles[handle].file];
}

static int close_file(void *context, int handle) {
    struct disk *disk = context;
    struct disk_file *file = file_of(disk, handle);
    file->handle_count--;
    disk->handles[handle].file = -1;
    return 0;
}

static int64_t read_file(void *context, int handle, void *buffer, int64_t length, int64_t offset) {
    struct disk *disk = context;
    struct disk_file *file = file_of(disk, handle);
    tell(disk, DISK_READ, file->path);
    if (happens(disk, disk->faults.read_error)) {
        return -EIO;
    }
    int64_t count = min_i64(length, max_i64(0, file->length - offset));
    if (count > 0) {
        memcpy(buffer, file->bytes + offset, (size_t)count);
    }
    return count;
}

static bool has_whole_pages(const struct disk *disk, const struct disk_file *file) {
    const char *suffix = strrchr(file->path, '.');
    return suffix != NULL && strcmp(suffix, ".rec") == 0 && !disk->has_checksums;
}

/* Draw whether a volatile write reaches the disk. Where pages are written as a whole, one that has
 * a later write has the earlier ones, too. */
static bool survives(struct disk *disk, const struct disk_file *file, struct disk_write *write,
                     double chance) {
    write->is_lost = random_unit(&disk->random) >= chance;
    if (write->offset >= 0 && has_whole_pages(disk, file)) {
        for (const struct disk_write *before = file->first; before != write;
             before = before->next) {
            bool is_same_page =
                before->offset >= 0 && before->offset / PAGE_LENGTH == write->offset / PAGE_LENGTH;
            write->is_lost |= is_same_page && before->is_lost;
        }
    }
    return !write->is_lost;
}

/* Where a write that ends at `end` may break off: at any byte, but for the segments of recordings
 * without checksums. Their recovery relies on pages that are written as a whole (archive.md 4.8),
 * as the page cache does it; and what is overwritten in place, in a file of this length, changes by
 * sectors. */
static int64_t tear_at(const struct disk *disk, const struct disk_file *file, int64_t end,
                       int64_t file_length) {
    if (has_whole_pages(disk, file)) {
        return end / PAGE_LENGTH * PAGE_LENGTH;
    }
    return end < file_length ? end / SECTOR_LENGTH * SECTOR_LENGTH : end;
}

/* A write that fails has written a part of it. */
static int write_file(void *context, int handle, const void *buffer, int64_t length,
                      int64_t offset) {
    struct disk *disk = context;
    struct disk_file *file = file_of(disk, handle);
    assert(disk->handles[handle].is_writable);
    tell(disk, DISK_WRITE, file->path);
    bool is_refused = disk->faults.is_full && offset + length > file->length;
    bool is_failing = is_refused || happens(disk, disk->faults.write_error);
    int64_t done = length;
    if (is_failing) {
        disk->error_count += is_refused;
        done = is_refused ? max_i64(0, file->length - offset)
                          : (int64_t)(random_unit(&disk->random) * (double)length);
        done =
            min_i64(length, max_i64(0, tear_at(disk, file, offset + done, file->length) - offset));
    }
    disk->write_count += done > 0;
    for (int64_t at = 0; at < done;) {
        int64_t end = min_i64(done, align_i64(offset + at + 1, PAGE_LENGTH) - offset);
        add_write(file, &(struct disk_write){.offset = offset + at,
                                             .length = end - at,
                                             .bytes = (uint8_t *)(uintptr_t)buffer + at});
        at = end;
    }
    return is_failing ? (is_refused ? -ENOSPC : -EIO) : 0;
}

static int sync_file(void *context, int handle, bool metadata) {
    struct disk *disk = context;
    struct disk_file *file = file_of(disk, handle);
    (void)metadata;
    tell(disk, DISK_SYNC, file->path);
    if (planted_skips_sync(file->path)) {
        return 0;
    }
    bool is_failing = happens(disk, disk->faults.sync_error);
    for (struct disk_write *write = file->first; write != NULL; write = write->next) {
        if (!is_failing || survives(disk, file, write, 0.5)) {
            apply(&file->durable, &file->durable_length, &file->durable_capacity, write);
        }
    }
    forget_writes(file);
    disk->sync_count++;
    return is_failing ? -EIO : 0;
}

static int resize_file(void *context, int handle, int64_t length) {
    struct disk *disk = context;
    struct disk_file *file = file_of(disk, handle);
    tell(disk, DISK_CHANGE, file->path);
    if (disk->faults.is_full && length > file->length) {
        disk->error_count++;
        return -ENOSPC;
    }
    if (happens(disk, disk->faults.write_error)) {
        return -EIO;
    }
    add_write(file, &(struct disk_write){.offset = -1, .length = length});
    return 0;
}

static int allocate(void *context, int handle, int64_t offset, int64_t length) {
    const struct disk_file *file = file_of(context, handle);
    return offset + length <= file->length ? 0 : resize_file(context, handle, offset + length);
}

static int64_t length_of(void *context, int handle) {
    return file_of(context, handle)->length;
}

static int64_t usable_space(void *context, const char *path) {
    const struct disk *disk = context;
    (void)path;
    return disk->faults.is_full ? 0 : USABLE_SPACE;
}

static int64_t usable_memory(void *context, const char *path) {
    (void)context;
    (void)path;
    return INT64_MAX;
}

/* -- the disk itself -- */

void disk_init(struct disk *disk, struct random random) {
    memset(disk, 0, sizeof *disk);
    disk->random = random;
    for (int i = 0; i < DISK_HANDLES_MAX; i++) {
        disk->handles[i].file = -1;
    }
    disk->table = (struct store){.context = disk,
                                 .open = open_file,
                                 .close = close_file,
                                 .pread = read_file,
                                 .pwrite = write_file,
                                 .sync = sync_file,
                                 .sync_directory = sync_directory,
                                 .truncate = resize_file,
                                 .allocate = allocate,
                                 .length = length_of,
                                 .rename = rename_file,
                                 .unlink = unlink_file,
                                 .make_directory = make_directory,
                                 .exists = exists,
                                 .list = list,
                                 .usable_space = usable_space,
                                 .usable_memory = usable_memory};
}

void disk_close(struct disk *disk) {
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        discard(&disk->files[i]);
    }
}

void disk_drop_owner(struct disk *disk, int owner) {
    for (int i = 0; i < DISK_HANDLES_MAX; i++) {
        if (disk->handles[i].file >= 0 && disk->handles[i].owner == owner) {
            (void)close_file(disk, i);
        }
    }
}

static void tear(struct disk *disk, const struct disk_file *file, struct disk_write *write) {
    int64_t kept = (int64_t)(random_unit(&disk->random) * (double)write->length);
    int64_t end = tear_at(disk, file, write->offset + kept, file->durable_length);
    write->length = min_i64(write->length, max_i64(0, end - write->offset));
}

static void restore(struct disk *disk, struct disk_file *file, double survival) {
    for (struct disk_write *write = file->first; write != NULL; write = write->next) {
        if (!survives(disk, file, write, survival)) {
            continue;
        }
        if (write->next == NULL && write->offset >= 0 && random_unit(&disk->random) < 0.5) {
            tear(disk, file, write);
        }
        apply(&file->durable, &file->durable_length, &file->durable_capacity, write);
    }
    forget_writes(file);
    file->bytes = grow_bytes(file->bytes, &file->capacity, file->durable_length);
    if (file->length > file->durable_length) {
        memset(file->bytes + file->durable_length, 0,
               (size_t)(file->length - file->durable_length));
    }
    if (file->durable_length > 0) {
        memcpy(file->bytes, file->durable, (size_t)file->durable_length);
    }
    file->length = file->durable_length;
    memcpy(file->path, file->durable_path, DISK_PATH_MAX);
}

void disk_lose_power(struct disk *disk, double survival) {
    int kept = (int)(random_unit(&disk->random) * survival * (double)(disk->rename_count + 1));
    make_names_durable(disk, min_i32(kept, disk->rename_count));
    disk->rename_count = 0;
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        struct disk_file *file = &disk->files[i];
        if (file->is_used) {
            assert(file->handle_count == 0);
            restore(disk, file, survival);
            discard_unreachable(file);
        }
    }
}

void disk_wipe(struct disk *disk) {
    for (int i = 0; i < DISK_FILES_MAX; i++) {
        assert(disk->files[i].handle_count == 0);
        discard(&disk->files[i]);
    }
    disk->rename_count = 0;
}
