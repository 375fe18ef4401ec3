/* See owner.h. A block carries its header in front of it and hangs in the ring of its owner. One
 * thread only. */
#include "sim/owner.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

#define BLOCK_MAGIC UINT64_C(0x7465726e2d73696d)
#define MAPPINGS_MAX 8192
#define DESCRIPTORS_MAX 1024
#define PID 4242

struct block {
    uint64_t magic;
    struct block *previous;
    struct block *next;
    void *raw;
    size_t size;
    int owner;
};
#define HEADER_LENGTH 64
_Static_assert(sizeof(struct block) <= HEADER_LENGTH, "the header fits");

struct mapping {
    void *address;
    size_t length;
    int owner;
};

struct owner {
    struct block blocks; /* head of the ring */
    struct owner_usage usage;
};

static struct owner owners[OWNERS_MAX];
static int current;
static struct mapping mappings[MAPPINGS_MAX];
static int mapping_count;
static unsigned char descriptor_owners[DESCRIPTORS_MAX]; /* owner + 1; 0: not ours */

void *__real_malloc(size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *pointer);
void *__real_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __real_munmap(void *address, size_t length);
int __real_open64(const char *path, int flags, ...);
int __real_close(int fd);
int __real_clock_gettime(clockid_t id, struct timespec *now);
int __real_nanosleep(const struct timespec *duration, struct timespec *left);
ssize_t __real_getrandom(void *buffer, size_t length, unsigned flags);
pid_t __real_getpid(void);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *pointer, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
char *__wrap_strdup(const char *text);
char *__wrap_strndup(const char *text, size_t length_max);
void __wrap_free(void *pointer);
void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset);
int __wrap_munmap(void *address, size_t length);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_close(int fd);
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length);
int __wrap_clock_gettime(clockid_t id, struct timespec *now);
int __wrap_nanosleep(const struct timespec *duration, struct timespec *left);
ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags);
pid_t __wrap_getpid(void);
int __wrap_pthread_create(void *thread, const void *attributes, void *(*run)(void *),
                          void *context);

int owner_switch(int owner) {
    assert(owner >= 0 && owner < OWNERS_MAX);
    int before = current;
    current = owner;
    return before;
}

int owner_current(void) {
    return current;
}

struct owner_usage owner_usage(int owner) {
    return owners[owner].usage;
}

/* -- heap -- */

static void *adopt(void *raw, size_t offset, size_t size) {
    if (raw == NULL) {
        return NULL;
    }
    struct owner *owner = &owners[current];
    struct block *head = &owner->blocks;
    if (head->next == NULL) {
        head->next = head->previous = head;
    }
    struct block *block = (struct block *)(void *)((char *)raw + offset - HEADER_LENGTH);
    *block = (struct block){BLOCK_MAGIC, head, head->next, raw, size, current};
    head->next->previous = block;
    head->next = block;
    owner->usage.block_count++;
    owner->usage.block_bytes += (int64_t)size;
    owner->usage.allocations++;
    return (char *)raw + offset;
}

static struct block *block_of(void *pointer) {
    struct block *block = (struct block *)(void *)((char *)pointer - HEADER_LENGTH);
    assert(block->magic == BLOCK_MAGIC);
    return block;
}

static void release(struct block *block) {
    struct owner *owner = &owners[block->owner];
    block->previous->next = block->next;
    block->next->previous = block->previous;
    owner->usage.block_count--;
    owner->usage.block_bytes -= (int64_t)block->size;
    block->magic = 0;
    __real_free(block->raw);
}

void *__wrap_malloc(size_t size) {
    return adopt(__real_malloc(size + HEADER_LENGTH), HEADER_LENGTH, size);
}

void *__wrap_calloc(size_t count, size_t size) {
    assert(size == 0 || count < SIZE_MAX / 2 / size);
    void *pointer = __wrap_malloc(count * size);
    return pointer == NULL ? NULL : memset(pointer, 0, count * size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size) {
    size_t offset = alignment < HEADER_LENGTH ? HEADER_LENGTH : alignment;
    return adopt(__real_aligned_alloc(offset, size + offset), offset, size);
}

void *__wrap_realloc(void *pointer, size_t size) {
    void *moved = __wrap_malloc(size);
    if (pointer != NULL && moved != NULL) {
        struct block *block = block_of(pointer);
        memcpy(moved, pointer, block->size < size ? block->size : size);
        release(block);
    }
    return moved;
}

char *__wrap_strndup(const char *text, size_t length_max) {
    size_t length = strnlen(text, length_max);
    char *copy = __wrap_malloc(length + 1);
    if (copy != NULL) {
        memcpy(copy, text, length);
        copy[length] = '\0';
    }
    return copy;
}

char *__wrap_strdup(const char *text) {
    return __wrap_strndup(text, SIZE_MAX / 2);
}

void __wrap_free(void *pointer) {
    if (pointer != NULL) {
        release(block_of(pointer));
    }
}

/* -- mappings and descriptors -- */

void *__wrap_mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    void *mapped = __real_mmap64(address, length, protection, flags, fd, offset);
    if (mapped != MAP_FAILED) {
        assert(mapping_count < MAPPINGS_MAX);
        mappings[mapping_count++] = (struct mapping){mapped, length, current};
        owners[current].usage.mapping_count++;
    }
    return mapped;
}

static void drop_mapping(int index) {
    owners[mappings[index].owner].usage.mapping_count--;
    mappings[index] = mappings[--mapping_count];
}

int __wrap_munmap(void *address, size_t length) {
    for (int i = 0; i < mapping_count; i++) {
        if (mappings[i].address == address) {
            drop_mapping(i);
            break;
        }
    }
    return __real_munmap(address, length);
}

int __wrap_open64(const char *path, int flags, ...) {
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = va_arg(arguments, mode_t);
    va_end(arguments);
    int fd = __real_open64(path, flags, mode);
    if (fd >= 0) {
        assert(fd < DESCRIPTORS_MAX);
        descriptor_owners[fd] = (unsigned char)(current + 1);
        owners[current].usage.descriptor_count++;
    }
    return fd;
}

int __wrap_close(int fd) {
    if (fd >= 0 && fd < DESCRIPTORS_MAX && descriptor_owners[fd] != 0) {
        owners[descriptor_owners[fd] - 1].usage.descriptor_count--;
        descriptor_owners[fd] = 0;
    }
    return __real_close(fd);
}

/* Shared memory is there for the taking: pages that nobody touches cost nothing. */
int __wrap_posix_fallocate64(int fd, off_t offset, off_t length) {
    struct stat status;
    if (fstat(fd, &status) != 0) {
        return errno;
    }
    return status.st_size >= offset + length || ftruncate(fd, offset + length) == 0 ? 0 : errno;
}

void owner_kill(int owner) {
    assert(owner != OWNER_SIMULATOR);
    struct block *head = &owners[owner].blocks;
    while (head->next != NULL && head->next != head) {
        release(head->next);
    }
    for (int i = mapping_count; i-- > 0;) {
        if (mappings[i].owner == owner) {
            (void)__real_munmap(mappings[i].address, mappings[i].length);
            drop_mapping(i);
        }
    }
    for (int fd = 0; fd < DESCRIPTORS_MAX; fd++) {
        if (descriptor_owners[fd] == owner + 1) {
            (void)__wrap_close(fd);
        }
    }
}

/* -- ways around the seams -- */

static void forbid(const char *call) {
    if (current != OWNER_SIMULATOR) {
        (void)fprintf(stderr, "sim: an agent called %s, which is no seam\n", call);
        abort();
    }
}

int __wrap_clock_gettime(clockid_t id, struct timespec *now) {
    forbid("clock_gettime");
    return __real_clock_gettime(id, now);
}

int __wrap_nanosleep(const struct timespec *duration, struct timespec *left) {
    forbid("nanosleep");
    return __real_nanosleep(duration, left);
}

ssize_t __wrap_getrandom(void *buffer, size_t length, unsigned flags) {
    forbid("getrandom");
    return __real_getrandom(buffer, length, flags);
}

int __wrap_pthread_create(void *thread, const void *attributes, void *(*run)(void *),
                          void *context) {
    (void)thread, (void)attributes, (void)run, (void)context;
    (void)fprintf(stderr, "sim: a thread was started\n");
    abort();
}

/* A number that is the same in every run; the files of the run are told apart by the real one. */
pid_t __wrap_getpid(void) {
    return current == OWNER_SIMULATOR ? __real_getpid() : PID;
}
