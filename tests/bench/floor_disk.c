/* Floors of durable storage in the directory given as argument: 4 KiB written into a file of
 * written blocks and made durable by fdatasync, and a long sequential write with one sync. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench.h"

#define BLOCK_LENGTH 4096
#define COMMITS 500
#define CHUNK_LENGTH (1 << 20)
#define CHUNKS 128

static int open_file(const char *directory, char *path, size_t size) {
    (void)snprintf(path, size, "%s/tern-bench-%d", directory, (int)getpid());
    int fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        bench_fail(path);
    }
    (void)unlink(path);
    return fd;
}

static void write_at(int fd, const void *bytes, size_t length, off_t offset) {
    if (pwrite(fd, bytes, length, offset) != (ssize_t)length) {
        bench_fail("cannot write");
    }
}

static void sync_file(int fd) {
    if (fdatasync(fd) != 0) {
        bench_fail("cannot sync");
    }
}

int main(int argc, char **argv) {
    static char chunk[CHUNK_LENGTH];
    char path[4096];
    struct bench_samples samples;
    int fd = open_file(argc > 1 ? argv[1] : ".", path, sizeof path);
    memset(chunk, 7, sizeof chunk);
    int64_t start_ns = bench_now_ns();
    for (int i = 0; i < CHUNKS; i++) {
        write_at(fd, chunk, sizeof chunk, (off_t)i * CHUNK_LENGTH);
    }
    sync_file(fd);
    double seconds = (double)(bench_now_ns() - start_ns) / 1e9;
    bench_print("floor_disk_stream", (double)CHUNKS * CHUNK_LENGTH / 1e6 / seconds, "MB/s", "-");
    bench_samples_init(&samples, COMMITS);
    for (int i = 0; i < COMMITS; i++) {
        start_ns = bench_now_ns();
        write_at(fd, chunk, BLOCK_LENGTH, (off_t)i * BLOCK_LENGTH);
        sync_file(fd);
        bench_samples_add(&samples, bench_now_ns() - start_ns);
    }
    bench_print_latency("floor_commit", &samples, "-");
    bench_samples_close(&samples);
    (void)close(fd);
    return 0;
}
