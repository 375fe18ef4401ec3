/* Mapping whole files shared. Creation sizes the file before it is mapped; non-sparse files get
 * their blocks first, so that a full disk is an error code and never SIGBUS. */
#include "base/mapped_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/compiler.h"

#define PAGE_LENGTH 4096
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* since Linux 5.14; missing in older headers */
#endif

static int map(struct mapped_file *file, int fd, int64_t length, int protection) {
    void *address = mmap(NULL, (size_t)length, protection, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) {
        return errno;
    }
    file->address = address;
    file->length = length;
    return 0;
}

int mapped_file_create(struct mapped_file *file, const char *path, int64_t length, bool sparse,
                       struct tern_error *error) {
    assert(length > 0);
    *file = (struct mapped_file){0};
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot create %s", path);
    }
    int failure = ftruncate(fd, length) == 0 ? 0 : errno;
    if (failure == 0 && !sparse) {
        failure = posix_fallocate(fd, 0, length);
    }
    if (failure == 0) {
        failure = map(file, fd, length, PROT_READ | PROT_WRITE);
    }
    (void)close(fd);
    if (failure != 0) {
        (void)unlink(path);
        return error_set_errno(error, failure, "cannot allocate or map %lld bytes for %s",
                               (long long)length, path);
    }
    return 0;
}

int mapped_file_create_private(struct mapped_file *file, int64_t length, struct tern_error *error) {
    assert(length > 0);
    void *address =
        mmap(NULL, (size_t)length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *file = (struct mapped_file){0};
    if (address == MAP_FAILED) {
        return error_set_errno(error, errno, "cannot map %lld bytes", (long long)length);
    }
    file->address = address;
    file->length = length;
    return 0;
}

int mapped_file_open(struct mapped_file *file, const char *path, bool read_only,
                     struct tern_error *error) {
    *file = (struct mapped_file){0};
    int fd = open(path, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    if (fd < 0) {
        return error_set_errno(error, errno, "cannot open %s", path);
    }
    int result = mapped_file_map(file, fd, path, read_only, error);
    (void)close(fd);
    return result;
}

int mapped_file_map(struct mapped_file *file, int descriptor, const char *path, bool read_only,
                    struct tern_error *error) {
    struct stat status;
    *file = (struct mapped_file){0};
    int failure = fstat(descriptor, &status) == 0 ? 0 : errno;
    if (failure == 0 && status.st_size == 0) {
        failure = ENODATA;
    }
    if (failure == 0) {
        failure =
            map(file, descriptor, status.st_size, read_only ? PROT_READ : PROT_READ | PROT_WRITE);
    }
    return failure == 0 ? 0 : error_set_errno(error, failure, "cannot map %s", path);
}

int mapped_file_sync(struct mapped_file *file) {
    if (file->address == NULL) {
        return 0;
    }
    return msync(file->address, (size_t)file->length, MS_SYNC) == 0 ? 0 : -errno;
}

int mapped_file_populate(const struct mapped_file *file, int64_t offset, int64_t length) {
    assert(offset >= 0 && length >= 0 && offset + length <= file->length);
    if (madvise(file->address + offset, (size_t)length, MADV_POPULATE_WRITE) == 0) {
        return 0;
    }
    if (errno != EINVAL) {
        return -errno;
    }
    for (int64_t i = 0; i < length; i += PAGE_LENGTH) { /* before Linux 5.14 */
        (void)*(const volatile uint8_t *)(file->address + offset + i);
    }
    return 0;
}

void mapped_file_touch(const struct mapped_file *file) {
    for (int64_t offset = 0; offset < file->length; offset += PAGE_LENGTH) {
        (void)*(const volatile uint8_t *)(file->address + offset);
    }
}

void mapped_file_close(struct mapped_file *file) {
    if (file->address != NULL) {
        (void)munmap(file->address, (size_t)file->length);
    }
    *file = (struct mapped_file){0};
}
