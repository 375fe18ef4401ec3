/* floor_files DIRECTORY COUNT LENGTH: the time to make COUNT sparse files of LENGTH bytes, which is
 * the least that a driver and a client do for as many logs: make the file, map it, write a page of
 * it, and map it a second time as the client does. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench/bench.h"

#define COUNT_MAX 100000
#define PAGE_LENGTH 4096

struct log {
    void *driver;
    void *client;
};

static void *map(const char *path, int flags, size_t length) {
    int fd = open(path, O_RDWR | O_CLOEXEC | flags, 0600);
    if (fd < 0 || ((flags & O_CREAT) != 0 && ftruncate(fd, (off_t)length) != 0)) {
        bench_fail(path);
    }
    void *address = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (address == MAP_FAILED) {
        bench_fail(path);
    }
    (void)close(fd);
    return address;
}

int main(int argc, char **argv) {
    char path[1024];
    if (argc != 4) {
        fprintf(stderr, "usage: floor_files DIRECTORY COUNT LENGTH\n");
        return 64;
    }
    int count = atoi(argv[2]);
    size_t length = (size_t)atoll(argv[3]);
    if (count < 1 || count > COUNT_MAX || length < PAGE_LENGTH) {
        bench_fail("bad arguments");
    }
    struct log *logs = calloc((size_t)count, sizeof *logs);
    if (logs == NULL) {
        bench_fail("no memory");
    }
    int64_t start_ns = bench_now_ns();
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/floor-%d", argv[1], i);
        logs[i].driver = map(path, O_CREAT | O_EXCL, length);
        memset((char *)logs[i].driver + length - PAGE_LENGTH, 1, PAGE_LENGTH);
        logs[i].client = map(path, 0, length);
    }
    bench_print("floor_files", (double)(bench_now_ns() - start_ns) / 1e6, "ms", "-");
    for (int i = 0; i < count; i++) {
        (void)snprintf(path, sizeof path, "%s/floor-%d", argv[1], i);
        (void)munmap(logs[i].driver, length);
        (void)munmap(logs[i].client, length);
        (void)unlink(path);
    }
    free(logs);
    return 0;
}
