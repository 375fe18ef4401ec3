#include "tests/unit/archived/faulty_store.h"

#include "base/compiler.h"

/* 0 or the error that this call has to end with. */
static int fault(void *context) {
    struct faulty_store *faulty = context;
    faulty->calls++;
    bool is_hit = faulty->fail_at > 0 && faulty->calls >= faulty->fail_at &&
                  faulty->calls < faulty->fail_at + faulty->fail_count;
    return is_hit ? faulty->error : 0;
}

static int faulty_open(void *context, const char *path, unsigned flags, int *file) {
    int result = (flags & STORE_WRITE) != 0 ? fault(context) : 0;
    return result != 0 ? result : store_system()->open(NULL, path, flags, file);
}

static int faulty_pwrite(void *context, int file, const void *buffer, int64_t length,
                         int64_t offset) {
    int result = fault(context);
    return result != 0 ? result : store_system()->pwrite(NULL, file, buffer, length, offset);
}

static int faulty_sync(void *context, int file, bool metadata) {
    int result = fault(context);
    return result != 0 ? result : store_system()->sync(NULL, file, metadata);
}

static int faulty_sync_directory(void *context, const char *path) {
    int result = fault(context);
    return result != 0 ? result : store_system()->sync_directory(NULL, path);
}

static int faulty_truncate(void *context, int file, int64_t length) {
    int result = fault(context);
    return result != 0 ? result : store_system()->truncate(NULL, file, length);
}

static int faulty_rename(void *context, const char *from, const char *to) {
    int result = fault(context);
    return result != 0 ? result : store_system()->rename(NULL, from, to);
}

static int faulty_unlink(void *context, const char *path) {
    int result = fault(context);
    return result != 0 ? result : store_system()->unlink(NULL, path);
}

void faulty_store_init(struct faulty_store *faulty) {
    *faulty = (struct faulty_store){.store = *store_system()};
    faulty->store.context = faulty;
    faulty->store.open = faulty_open;
    faulty->store.pwrite = faulty_pwrite;
    faulty->store.sync = faulty_sync;
    faulty->store.sync_directory = faulty_sync_directory;
    faulty->store.truncate = faulty_truncate;
    faulty->store.rename = faulty_rename;
    faulty->store.unlink = faulty_unlink;
}

void faulty_store_fail(struct faulty_store *faulty, int at, int count, int error) {
    assert(error < 0);
    faulty->calls = 0;
    faulty->fail_at = at;
    faulty->fail_count = count;
    faulty->error = error;
}
