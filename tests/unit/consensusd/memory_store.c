#include "memory_store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory_file *memory_store_find(struct memory_store *memory, const char *path) {
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        if (memory->files[i].exists && strcmp(memory->files[i].path, path) == 0) {
            return &memory->files[i];
        }
    }
    return NULL;
}

static int fail(struct memory_store *memory) {
    if (memory->fail_after == 0) {
        return -EIO;
    }
    memory->fail_after -= memory->fail_after > 0;
    return 0;
}

static int open_file(void *context, const char *path, unsigned flags, int *file) {
    struct memory_store *memory = context;
    struct memory_file *found = memory_store_find(memory, path);
    for (int i = 0; found == NULL && (flags & STORE_CREATE) && i < MEMORY_FILES_MAX; i++) {
        if (!memory->files[i].exists) {
            found = &memory->files[i];
            memset(found, 0, sizeof *found);
            found->exists = true;
            snprintf(found->path, sizeof found->path, "%s", path);
        }
    }
    if (found == NULL) {
        return -ENOENT;
    }
    *file = (int)(found - memory->files);
    return 0;
}

static int close_file(void *context, int file) {
    (void)context, (void)file;
    return 0;
}

/* memcpy that may be given the missing bytes of an empty file. */
static void copy(void *target, const void *source, int64_t length) {
    if (length > 0) {
        memcpy(target, source, (size_t)length);
    }
}

static int64_t read_file(void *context, int file, void *buffer, int64_t length, int64_t offset) {
    struct memory_file *found = &((struct memory_store *)context)->files[file];
    int64_t available = found->length - offset;
    length = available < 0 ? 0 : length < available ? length : available;
    copy(buffer, found->bytes + offset, length);
    return length;
}

static void resize(struct memory_file *file, int64_t length) {
    if (length > file->length) {
        file->bytes = realloc(file->bytes, (size_t)length);
        memset(file->bytes + file->length, 0, (size_t)(length - file->length));
        file->length = length;
    }
}

static int write_file(void *context, int file, const void *buffer, int64_t length, int64_t offset) {
    struct memory_store *memory = context;
    if (fail(memory) < 0) {
        return -EIO;
    }
    resize(&memory->files[file], offset + length);
    copy(memory->files[file].bytes + offset, buffer, length);
    return 0;
}

static int sync_file(void *context, int file, bool metadata) {
    (void)metadata;
    struct memory_store *memory = context;
    struct memory_file *found = &memory->files[file];
    if (fail(memory) < 0) {
        return -EIO;
    }
    memory->sync_count++;
    found->synced = realloc(found->synced, (size_t)found->length + 1);
    copy(found->synced, found->bytes, found->length);
    found->synced_length = found->length;
    return 0;
}

static int sync_directory(void *context, const char *path) {
    (void)context, (void)path;
    return 0;
}

static int allocate(void *context, int file, int64_t offset, int64_t length) {
    resize(&((struct memory_store *)context)->files[file], offset + length);
    return 0;
}

static int64_t length_of(void *context, int file) {
    return ((struct memory_store *)context)->files[file].length;
}

static bool exists(void *context, const char *path) {
    return memory_store_find(context, path) != NULL;
}

void memory_store_init(struct memory_store *memory) {
    memset(memory, 0, sizeof *memory);
    memory->fail_after = -1;
    memory->store = (struct store){
        .context = memory,
        .open = open_file,
        .close = close_file,
        .pread = read_file,
        .pwrite = write_file,
        .sync = sync_file,
        .sync_directory = sync_directory,
        .allocate = allocate,
        .length = length_of,
        .exists = exists,
    };
}

void memory_store_put(struct memory_store *memory, const char *path, const void *bytes,
                      int64_t length) {
    int file = -1;
    open_file(memory, path, STORE_CREATE, &file);
    write_file(memory, file, bytes, length, 0);
    sync_file(memory, file, true);
}

void memory_store_crash(struct memory_store *memory) {
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        struct memory_file *file = &memory->files[i];
        if (file->exists) {
            free(file->bytes);
            file->bytes = malloc((size_t)file->synced_length + 1);
            if (file->synced_length > 0) {
                copy(file->bytes, file->synced, file->synced_length);
            }
            file->length = file->synced_length;
        }
    }
}

void memory_store_close(struct memory_store *memory) {
    for (int i = 0; i < MEMORY_FILES_MAX; i++) {
        free(memory->files[i].bytes);
        free(memory->files[i].synced);
    }
}
