#include <criterion/criterion.h>

#include <errno.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/atomic.h"
#include "lib/scratch.h"
#include "shm/mark_file.h"

#define ERROR_OFFSET MARK_FILE_HEADER_LENGTH
#define LENGTH (MARK_FILE_HEADER_LENGTH + 65536)
#define VERSION_OFFSET 8
#define TIMESTAMP_OFFSET 16
#define PID_OFFSET 32
#define NOW INT64_C(1700000000000)

static struct mark_file_params make_params(const char *path) {
    return (struct mark_file_params){
        .path = path,
        .length = LENGTH,
        .version_offset = VERSION_OFFSET,
        .timestamp_offset = TIMESTAMP_OFFSET,
        .pid_offset = PID_OFFSET,
        .version_major = 3,
        .liveness_timeout_ms = 10000,
        .now_epoch_ms = NOW,
    };
}

static int64_t word(const struct mark_file *mark, int offset) {
    int64_t value;
    memcpy(&value, mark->file.address + offset, sizeof value);
    return value;
}

Test(mark_file, a_new_file_is_activated_made_ready_refreshed_and_stopped) {
    struct scratch scratch;
    struct mark_file mark, other;
    struct tern_error error;
    scratch_open(&scratch);
    struct mark_file_params params = make_params(scratch_path(&scratch, "mark.dat"));
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    cr_assert_eq(mark.file.length, LENGTH);
    cr_assert_eq(mark_file_activity_ms(&mark), INT64_MAX);
    cr_assert_eq(word(&mark, PID_OFFSET), getpid());
    cr_assert_eq((int32_t)word(&mark, VERSION_OFFSET), 0);
    cr_assert_eq(mark_file_acquire(&other, &params, &error), -EBUSY, "locked");
    cr_assert_null(other.file.address);
    mark_file_signal_ready(&mark, 196864, NOW + 5);
    cr_assert_eq((int32_t)word(&mark, VERSION_OFFSET), 196864);
    cr_assert_eq(word(&mark, TIMESTAMP_OFFSET), NOW + 5);
    mark_file_update_activity(&mark, NOW + 1000);
    cr_assert_eq(mark_file_activity_ms(&mark), NOW + 1000);
    mark_file_update_activity(&mark, -1);
    mark.file.address[ERROR_OFFSET] = 7;
    mark_file_close(&mark);
    mark_file_close(&mark);
    /* The next owner finds the error log as it was and a clean header. */
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    cr_assert_eq(mark.file.address[ERROR_OFFSET], 7);
    cr_assert_eq((int32_t)word(&mark, VERSION_OFFSET), 0);
    mark_file_close(&mark);
    scratch_close(&scratch);
}

/* A file as an owner of another kind left it: without a lock. */
static const char *write_owner(struct scratch *scratch, int32_t version, int64_t timestamp_ms,
                               int64_t pid) {
    static uint8_t bytes[LENGTH];
    memset(bytes, 0, sizeof bytes);
    memset(bytes + 40, 0xEE, 200);
    memcpy(bytes + VERSION_OFFSET, &version, 4);
    memcpy(bytes + TIMESTAMP_OFFSET, &timestamp_ms, 8);
    memcpy(bytes + PID_OFFSET, &pid, 8);
    return scratch_write(scratch, "mark.dat", bytes, sizeof bytes);
}

/* A process that has the file mapped, as daemons of other kinds have it: without a lock. */
static pid_t fork_owner(const char *path) {
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    static const uint8_t bytes[LENGTH];
    FILE *file = fopen(path, "wb");
    cr_assert(file != NULL && fwrite(bytes, 1, LENGTH, file) == LENGTH);
    (void)fclose(file);
    pid_t owner = fork();
    if (owner == 0) {
        struct mapped_file mapped;
        char byte = (char)mapped_file_open(&mapped, path, false, NULL);
        (void)alarm(60); /* when the test fails before it ends this one */
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(1);
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 0);
    (void)close(ready[0]);
    (void)close(ready[1]);
    return owner;
}

Test(mark_file, an_existing_file_is_taken_over_only_from_a_dead_owner) {
    struct scratch scratch;
    scratch_open(&scratch);
    pid_t dead = fork();
    if (dead == 0) {
        _exit(0);
    }
    cr_assert_eq(waitpid(dead, NULL, 0), dead);
    int64_t alive = fork_owner(scratch_path(&scratch, "mark.dat"));
    int64_t other = getppid(); /* alive, but does not have the file */
    const int32_t ours = 196864;
    const struct {
        int32_t version;
        int64_t timestamp_ms, pid;
        int result;
    } rows[] = {
        {ours, NOW - 10000, alive, 0}, /* old enough */
        {ours, NOW - 9999, alive, -EBUSY},
        {ours, NOW, alive, -EBUSY},
        {ours, NOW + 100000, alive, -EBUSY}, /* the clock was stepped back */
        {ours, NOW + 100000, other, 0},
        {ours, NOW + 9999, other, -EBUSY}, /* will be old soon */
        {ours, NOW - 9999, other, -EBUSY},
        {ours, NOW - 1, dead, 0},     /* killed: no need to wait */
        {ours, NOW - 1, getpid(), 0}, /* a restarted container */
        {ours, NOW - 1, 0, 0},
        {ours, -1, alive, 0},          /* stopped in order */
        {0, INT64_MAX, alive, -EBUSY}, /* being activated */
        {0, INT64_MAX, dead, 0},       /* known-bugs.md 26: left activating */
        {0, INT64_MAX, other, 0},      /* and the number given to somebody else */
        {0, NOW - 1, alive, -EBUSY},
        {-1, -1, alive, 0},                   /* a start that failed */
        {768, -1, alive, TERN_ERROR_VERSION}, /* a cluster's mark file */
        {768, NOW - 1, dead, TERN_ERROR_VERSION},
        {0x00030000, -1, alive, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *path =
            write_owner(&scratch, rows[i].version, rows[i].timestamp_ms, rows[i].pid);
        struct mark_file_params params = make_params(path);
        struct mark_file mark;
        struct tern_error error;
        cr_assert_eq(mark_file_acquire(&mark, &params, &error), rows[i].result, "row %zu: %s", i,
                     error.text);
        if (rows[i].result == 0) {
            cr_assert_eq(mark_file_activity_ms(&mark), INT64_MAX);
            cr_assert_eq(word(&mark, PID_OFFSET), getpid());
            cr_assert_eq(word(&mark, 40), 0, "the header is clean");
        } else {
            struct mapped_file file;
            cr_assert_eq(mapped_file_open(&file, path, true, NULL), 0);
            struct mark_file view = {.file = file, .timestamp_offset = TIMESTAMP_OFFSET};
            cr_assert_eq(mark_file_activity_ms(&view), rows[i].timestamp_ms, "as it was");
            cr_assert_eq(file.address[40], 0xEE);
            mapped_file_close(&file);
        }
        mark_file_close(&mark);
    }
    cr_assert_eq(kill((pid_t)alive, SIGKILL), 0);
    cr_assert_eq(waitpid((pid_t)alive, NULL, 0), alive);
    scratch_close(&scratch);
}

/* known-bugs.md 26: a disk that is full when the daemon starts, and later is not. */
Test(mark_file, a_failed_start_leaves_nothing_behind_that_blocks_the_next) {
    struct scratch scratch;
    struct mark_file mark;
    struct tern_error error;
    scratch_open(&scratch);
    (void)signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small = {.rlim_cur = 4096};
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    small.rlim_max = old.rlim_max;
    /* Neither a new file nor one that must grow. */
    for (int round = 0; round < 2; round++) {
        struct mark_file_params params = make_params(scratch_path(&scratch, "mark.dat"));
        if (round == 1) {
            cr_assert_eq(truncate(write_owner(&scratch, 196864, -1, 1), 8192), 0);
        }
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
        cr_assert_lt(mark_file_acquire(&mark, &params, &error), 0);
        cr_assert_not_null(strstr(error.text, "cannot allocate"));
        cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
        cr_assert_eq(access(params.path, F_OK), round == 0 ? -1 : 0);
        params.path = scratch_path(&scratch, "mark.dat");
        cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
        cr_assert_eq(mark.file.length, LENGTH);
        mark_file_close(&mark); /* the daemon gave up before it was ready */
        cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
        mark_file_close(&mark);
    }
    cr_assert_eq(mark_file_acquire(&mark,
                                   &(struct mark_file_params){
                                       .path = "/nonexistent/mark.dat",
                                       .length = LENGTH,
                                       .version_offset = VERSION_OFFSET,
                                       .timestamp_offset = TIMESTAMP_OFFSET,
                                       .pid_offset = PID_OFFSET,
                                   },
                                   &error),
                 -ENOENT);
    scratch_close(&scratch);
}

Test(mark_file, a_killed_owner_is_replaced_at_once) {
    struct scratch scratch;
    scratch_open(&scratch);
    struct mark_file_params params = make_params(scratch_path(&scratch, "mark.dat"));
    int ready[2];
    cr_assert_eq(pipe(ready), 0);
    pid_t owner = fork();
    if (owner == 0) {
        struct mark_file mark;
        char byte = (char)mark_file_acquire(&mark, &params, NULL);
        if (byte == 0) {
            mark_file_signal_ready(&mark, 196864, NOW);
        }
        (void)!write(ready[1], &byte, 1);
        pause();
        _exit(1);
    }
    char byte;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 0);
    struct mark_file mark;
    struct tern_error error;
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), -EBUSY);
    params.now_epoch_ms = NOW + 60000;
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), -EBUSY, "stopped, but alive");
    params.now_epoch_ms = NOW + 1;
    cr_assert_eq(kill(owner, SIGKILL), 0);
    cr_assert_eq(waitpid(owner, NULL, 0), owner);
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    mark_file_close(&mark);
    (void)close(ready[0]);
    (void)close(ready[1]);
    scratch_close(&scratch);
}

Test(mark_file, the_next_owner_learns_of_the_client_of_the_last) {
    struct scratch scratch;
    struct mark_file mark;
    struct tern_error error;
    const struct mark_client client = {7, 8, 9};
    scratch_open(&scratch);
    struct mark_file_params params = make_params(scratch_path(&scratch, "mark.dat"));
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    cr_assert_not(mark.has_last_client);
    mark_file_set_client(&mark, &(struct mark_client){1, 2, 3});
    mark_file_set_client(&mark, &client);
    mark_file_close(&mark);
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    cr_assert(mark.has_last_client);
    cr_assert_eq(memcmp(&mark.last_client, &client, sizeof client), 0);
    /* A header that long must not be damaged, nor be taken for a client. */
    memset(mark.file.address + MARK_FILE_HEADER_LENGTH - 32, 'x', 32);
    mark_file_set_client(&mark, &client);
    cr_assert_eq(mark.file.address[MARK_FILE_HEADER_LENGTH - 32], 'x');
    mark_file_close(&mark);
    cr_assert_eq(mark_file_acquire(&mark, &params, &error), 0, "%s", error.text);
    cr_assert_not(mark.has_last_client);
    mark_file_close(&mark);
    scratch_close(&scratch);
}
