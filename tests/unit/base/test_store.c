#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mapped_file.h"
#include "base/store.h"

static int count_name(void *arg, const char *name) {
    cr_assert_str_eq(name, "b");
    ++*(int *)arg;
    return 0;
}

Test(store, a_file_lives_from_open_to_unlink) {
    const struct store *store = store_system();
    char root[] = "/tmp/tern-store-XXXXXX";
    cr_assert_not_null(mkdtemp(root));
    char directory[64];
    char a[80];
    char b[80];
    (void)snprintf(directory, sizeof directory, "%s/x/y", root);
    cr_assert_eq(store->make_directory(NULL, directory), 0);
    cr_assert_eq(store->make_directory(NULL, directory), 0);
    (void)snprintf(a, sizeof a, "%s/a", directory);
    (void)snprintf(b, sizeof b, "%s/b", directory);

    int file;
    cr_assert_eq(store->open(NULL, a, STORE_READ, &file), -ENOENT);
    cr_assert_eq(store->open(NULL, a, STORE_WRITE | STORE_CREATE | STORE_EXCLUSIVE, &file), 0);
    int again;
    cr_assert_eq(store->open(NULL, a, STORE_WRITE | STORE_CREATE | STORE_EXCLUSIVE, &again),
                 -EEXIST);
    cr_assert_eq(store->pwrite(NULL, file, "hello", 5, 3), 0);
    cr_assert_eq(store->length(NULL, file), 8);
    char buffer[16];
    cr_assert_eq(store->pread(NULL, file, buffer, sizeof buffer, 3), 5);
    cr_assert_eq(memcmp(buffer, "hello", 5), 0);
    cr_assert_eq(store->pread(NULL, file, buffer, 4, 100), 0);
    cr_assert_eq(store->allocate(NULL, file, 0, 4096), 0);
    cr_assert_eq(store->length(NULL, file), 4096);
    cr_assert_eq(store->truncate(NULL, file, 4), 0);
    cr_assert_eq(store->length(NULL, file), 4);
    cr_assert_eq(store->sync(NULL, file, false), 0);
    cr_assert_eq(store->sync(NULL, file, true), 0);
    cr_assert_eq(store->sync_directory(NULL, directory), 0);
    cr_assert_eq(store->close(NULL, file), 0);

    cr_assert_eq(store->rename(NULL, a, b), 0);
    cr_assert_not(store->exists(NULL, a));
    cr_assert(store->exists(NULL, b));
    int names = 0;
    cr_assert_eq(store->list(NULL, directory, count_name, &names), 0);
    cr_assert_eq(names, 1);
    cr_assert_gt(store->usable_space(NULL, directory), 0);
    cr_assert_gt(store->usable_memory(NULL, directory), 0);
    cr_assert_eq(store->usable_memory(NULL, "/proc"), INT64_MAX);
    cr_assert_eq(store->usable_memory(NULL, "/no/such/directory"), INT64_MAX);
    int64_t memory = sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE);
    int64_t usable = store->usable_memory(NULL, "/dev/shm");
    cr_assert(usable > 0 && usable <= memory, "%lld", (long long)usable);
    cr_assert_eq(store->make_directory(NULL, b), -ENOTDIR);
    cr_assert_eq(store->unlink(NULL, b), 0);
    cr_assert_eq(store->unlink(NULL, b), -ENOENT);
    (void)rmdir(directory);
    directory[strlen(directory) - 2] = '\0';
    (void)rmdir(directory);
    cr_assert_eq(rmdir(root), 0);
}

Test(mapped_file, is_created_once_shared_and_sized) {
    char path[] = "/dev/shm/tern-mapped-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    struct mapped_file file;
    struct mapped_file other;
    struct tern_error error = {0};
    cr_assert_eq(mapped_file_open(&file, path, false, &error), -ENODATA);
    cr_assert_eq(mapped_file_create(&file, path, 8192, true, &error), -EEXIST);
    (void)close(fd);
    (void)unlink(path);
    cr_assert_eq(mapped_file_open(&file, path, false, &error), -ENOENT);
    for (int sparse = 0; sparse < 2; sparse++) {
        cr_assert_eq(mapped_file_create(&file, path, 8192, sparse != 0, &error), 0);
        cr_assert_eq(mapped_file_open(&other, path, true, &error), 0);
        cr_assert_eq(other.length, 8192);
        cr_assert_eq(other.address[5000], 0);
        file.address[5000] = 42;
        cr_assert_eq(other.address[5000], 42);
        mapped_file_touch(&other);
        cr_assert_eq(mapped_file_sync(&file), 0);
        mapped_file_close(&other);
        mapped_file_close(&file);
        mapped_file_close(&file);
        (void)unlink(path);
    }
}
