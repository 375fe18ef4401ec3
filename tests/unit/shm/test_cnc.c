#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/hex.h"
#include "lib/scratch.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"

static const struct cnc_params default_params = {
    .to_driver_length = 1048576 + 768,
    .to_clients_length = 1048576 + 128,
    .counters_values_length = 8388608,
    .error_log_length = 4194304,
    .client_liveness_timeout_ns = 10 * NS_PER_S,
    .start_timestamp_ms = 1700000000000,
    .pid = 4242,
    .page_size = 4096,
};

static const struct cnc_params small_params = {
    .to_driver_length = 1024 + 768,
    .to_clients_length = 1024 + 128,
    .counters_values_length = 1024,
    .error_log_length = 4096,
    .client_liveness_timeout_ns = 10 * NS_PER_S,
    .start_timestamp_ms = 1700000000000,
    .pid = 4242,
    .page_size = 4096,
};

Test(cnc, file_lengths_are_those_of_the_specification) {
    struct cnc_params params = default_params;
    /* shared-memory.md 10.1 */
    cr_assert_eq(cnc_file_length(&params), 48238592);
    params.page_size = 2097152;
    cr_assert_eq(cnc_file_length(&params), 50331648);

    static const struct {
        size_t member;
        int32_t value;
    } bad[] = {
        {offsetof(struct cnc_params, to_driver_length), 1048576},
        {offsetof(struct cnc_params, to_driver_length), 0},
        {offsetof(struct cnc_params, to_driver_length), -1048576},
        {offsetof(struct cnc_params, to_clients_length), 1048576 + 768},
        {offsetof(struct cnc_params, counters_values_length), 100},
        {offsetof(struct cnc_params, counters_values_length), 0},
        {offsetof(struct cnc_params, counters_values_length), 536870912},
        {offsetof(struct cnc_params, error_log_length), 0},
        {offsetof(struct cnc_params, error_log_length), 4097},
        {offsetof(struct cnc_params, error_log_length), INT32_MAX - 7},
        {offsetof(struct cnc_params, page_size), 0},
        {offsetof(struct cnc_params, page_size), 4095},
        {offsetof(struct cnc_params, page_size), 2048},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        params = default_params;
        memcpy((char *)&params + bad[i].member, &bad[i].value, sizeof bad[i].value);
        cr_assert_eq(cnc_file_length(&params), -EINVAL, "row %zu", i);
        struct cnc cnc;
        struct tern_error error;
        cr_assert_eq(cnc_create(&cnc, "/nonexistent/cnc.dat", &params, &error), -EINVAL);
    }
}

Test(cnc, the_driver_writes_the_header_and_then_the_version) {
    struct scratch scratch;
    struct cnc cnc, reader;
    struct tern_error error;
    scratch_open(&scratch);
    char path[384];
    strcpy(path, scratch_path(&scratch, CNC_FILE_NAME));
    cr_assert_eq(cnc_open(&reader, path, false, &error), -EAGAIN, "no file yet");
    cr_assert_eq(cnc_create(&cnc, path, &default_params, &error), 0, "%s", error.text);
    cr_assert_eq(cnc.file.length, 48238592);
    /* 2.1: sections at these offsets */
    cr_assert_eq(cnc.to_driver - cnc.file.address, 128);
    cr_assert_eq(cnc.to_clients - cnc.file.address, 1049472);
    cr_assert_eq(cnc.counters_metadata - cnc.file.address, 2098176);
    cr_assert_eq(cnc.counters_values - cnc.file.address, 35652608);
    cr_assert_eq(cnc.error_log - cnc.file.address, 44041216);
    cr_assert_eq(cnc_open(&reader, path, false, &error), -EAGAIN, "version is 0");
    cr_assert_not_null(strstr(error.text, "starting"));
    cnc_publish(&cnc);
    /* 10.3 */
    assert_hex(cnc.file.address,
               "00 02 00 00 00 03 10 00 80 00 10 00 00 00 00 02"
               "00 00 80 00 00 00 40 00 00 e4 0b 54 02 00 00 00"
               "00 68 e5 cf 8b 01 00 00 92 10 00 00 00 00 00 00"
               "00 10 00 00 00 00 00 00 00 00 00 00",
               "header");
    cr_assert_eq(cnc_open(&reader, path, true, &error), 0, "%s", error.text);
    cr_assert_eq(reader.to_driver_length, 1049344);
    cr_assert_eq(reader.error_log - reader.file.address, 44041216);
    cr_assert_eq(cnc_driver_heartbeat_ms(&reader), 0);
    struct ring_mpsc ring;
    cr_assert_eq(ring_mpsc_init(&ring, cnc.to_driver, cnc.to_driver_length), 0);
    ring_mpsc_set_consumer_heartbeat(&ring, 99);
    cr_assert_eq(cnc_driver_heartbeat_ms(&reader), 99);
    int64_t heartbeat;
    memcpy(&heartbeat, cnc.file.address + 1049344, 8);
    cr_assert_eq(heartbeat, 99, "2.3: absolute offset");
    cr_assert_lt(cnc_create(&cnc, path, &default_params, &error), 0, "it exists");
    cnc_close(&reader);
    cnc_close(&reader);
    scratch_close(&scratch);
}

/* known-bugs.md 27: a client that attaches while the file is being made must wait, not fail. */
Test(cnc, incomplete_files_are_tried_again_and_wrong_ones_refused) {
    struct scratch scratch;
    struct cnc cnc;
    struct tern_error error;
    scratch_open(&scratch);
    cr_assert_eq(cnc_create(&cnc, scratch_path(&scratch, CNC_FILE_NAME), &small_params, &error), 0);
    cnc_publish(&cnc);
    static const struct {
        int64_t length; /* of the file; 0: all */
        int offset;
        int32_t value;
        int result;
    } rows[] = {
        {0, 0, 512, 0},
        {0, 0, 512 + 1, 0},  /* another patch */
        {0, 0, 0x000300, 0}, /* another minor version */
        {0, 0, 0x010000, TERN_ERROR_VERSION},
        {0, 0, -1, TERN_ERROR_VERSION},
        {0, 0, 0, -EAGAIN},
        {1, 0, 0, -EAGAIN},
        {127, 0, 512, -EAGAIN},
        {128, 0, 512, -EAGAIN},
        {4096, 0, 512, -EAGAIN},           /* being grown */
        {0, 4, 1000, TERN_ERROR_PROTOCOL}, /* to-driver */
        {0, 4, INT32_MAX, TERN_ERROR_PROTOCOL},
        {0, 4, (1 << 30) + 768, -EAGAIN},
        {0, 8, -128, TERN_ERROR_PROTOCOL},
        {0, 12, 4095, TERN_ERROR_PROTOCOL}, /* metadata below four times the values */
        {0, 12, 4097, TERN_ERROR_PROTOCOL},
        {0, 16, 1000, TERN_ERROR_PROTOCOL},
        {0, 16, INT32_MIN, TERN_ERROR_PROTOCOL},
        {0, 20, -8, TERN_ERROR_PROTOCOL},
        {0, 20, 0, TERN_ERROR_PROTOCOL},
        {0, 20, INT32_MAX - 7, -EAGAIN},
    };
    uint8_t *bytes = malloc((size_t)cnc.file.length);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memcpy(bytes, cnc.file.address, (size_t)cnc.file.length);
        memcpy(bytes + rows[i].offset, &rows[i].value, 4);
        size_t length = (size_t)(rows[i].length == 0 ? cnc.file.length : rows[i].length);
        const char *path = scratch_write(&scratch, "copy", bytes, length);
        struct cnc copy;
        cr_assert_eq(cnc_open(&copy, path, true, &error), rows[i].result, "row %zu", i);
        cr_assert(rows[i].result == 0 || copy.file.address == NULL);
        cnc_close(&copy);
    }
    cr_assert_eq(cnc_open(&cnc, scratch_write(&scratch, "empty", "", 0), true, &error), -EAGAIN);
    free(bytes);
    cnc_close(&cnc);
    scratch_close(&scratch);
}

Test(cnc, a_driver_is_active_while_its_heartbeat_is_young) {
    struct scratch scratch;
    struct cnc cnc;
    scratch_open(&scratch);
    cr_assert_eq(cnc_is_driver_active("/nonexistent", 1000, 10000), 0);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 1000, 10000), 0);
    cr_assert_eq(cnc_create(&cnc, scratch_path(&scratch, CNC_FILE_NAME), &small_params, NULL), 0);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 1000, 10000), -EAGAIN);
    cnc_publish(&cnc);
    struct ring_mpsc ring;
    cr_assert_eq(ring_mpsc_init(&ring, cnc.to_driver, cnc.to_driver_length), 0);
    static const struct {
        int64_t heartbeat_ms, now_ms;
        int result;
    } rows[] = {{50000, 50000, 1}, {50000, 60000, 1}, {50000, 60001, 0}, {50000, 40000, 1},
                {-1, 5000, 0},     {0, 5000, 0},      {-1, 60001, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ring_mpsc_set_consumer_heartbeat(&ring, rows[i].heartbeat_ms);
        cr_assert_eq(cnc_is_driver_active(scratch.directory, rows[i].now_ms, 10000), rows[i].result,
                     "row %zu", i);
    }
    ring_mpsc_set_consumer_heartbeat(&ring, 50000);
    cnc.header->version = 0x010000;
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0, "another major");
    cnc.header->version = 512;
    cnc.header->to_driver_length = 1;
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0, "garbage");
    cnc_close(&cnc);
    scratch_close(&scratch);
}

static struct cnc_params lockable_params(void) {
    struct cnc_params params = small_params; /* fills its last page to the end */
    params.error_log_length -= 8;
    return params;
}

Test(cnc, a_file_is_abandoned_as_soon_as_its_driver_closes_it) {
    const struct cnc_params params = lockable_params();
    struct scratch scratch;
    struct cnc cnc;
    struct cnc first;
    struct cnc second;
    scratch_open(&scratch);
    const char *path = scratch_path(&scratch, CNC_FILE_NAME);
    cr_assert_eq(cnc_create(&cnc, path, &params, NULL), 0);
    cnc_publish(&cnc);
    cr_assert_eq(cnc_open(&first, path, true, NULL), 0);
    cr_assert_eq(cnc_open(&second, path, false, NULL), 0);
    cr_assert_not(cnc_is_abandoned(&first));
    cr_assert_not(cnc_is_abandoned(&second), "looking does not take it");
    cnc_close(&second);
    cr_assert_not(cnc_is_abandoned(&first), "another descriptor of this process was closed");
    cnc_close(&cnc);
    cr_assert(cnc_is_abandoned(&first));
    cnc_close(&first);
    scratch_close(&scratch);
}

Test(cnc, without_room_for_the_mark_the_heartbeat_alone_counts) {
    struct scratch scratch;
    struct cnc cnc;
    struct cnc reader;
    scratch_open(&scratch);
    const char *path = scratch_path(&scratch, CNC_FILE_NAME);
    cr_assert_eq(cnc_create(&cnc, path, &small_params, NULL), 0);
    cnc_publish(&cnc);
    cr_assert_eq(cnc_open(&reader, path, true, NULL), 0);
    cr_assert_eq(reader.file.length,
                 reader.error_log + reader.error_log_length - reader.file.address);
    cnc_close(&cnc);
    cr_assert_not(cnc_is_abandoned(&reader));
    cnc_close(&reader);
    scratch_close(&scratch);
}

Test(cnc, a_successor_is_told_from_the_file_that_is_mapped) {
    const struct cnc_params params = lockable_params();
    struct scratch scratch;
    struct cnc dead;
    struct cnc living;
    struct cnc reader;
    scratch_open(&scratch);
    const char *path = scratch_path(&scratch, CNC_FILE_NAME);
    cr_assert_eq(cnc_create(&dead, path, &params, NULL), 0);
    cnc_publish(&dead);
    cr_assert_eq(cnc_open(&reader, path, true, NULL), 0);
    cnc_close(&dead);
    cr_assert_not(cnc_is_replaced(&reader, path));
    cr_assert_eq(unlink(path), 0);
    cr_assert_not(cnc_is_replaced(&reader, path), "no file proves nothing");
    cr_assert_eq(cnc_create(&living, path, &params, NULL), 0);
    cr_assert(cnc_is_replaced(&reader, path));
    cr_assert(cnc_is_abandoned(&reader), "the lock of the new file is not that of the old one");
    cnc_close(&reader);
    cnc_close(&living);
    scratch_close(&scratch);
}

Test(cnc, a_killed_driver_is_not_active_however_young_its_heartbeat) {
    struct cnc_params params = lockable_params();
    params.pid = 1; /* is alive: the process id does not decide */
    struct scratch scratch;
    struct cnc cnc;
    struct ring_mpsc ring;
    int ready[2];
    char byte;
    scratch_open(&scratch);
    const char *path = scratch_path(&scratch, CNC_FILE_NAME);
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char is_made = cnc_create(&cnc, path, &params, NULL) == 0;
        (void)!write(ready[1], &is_made, 1);
        (void)pause();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 1);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), -EAGAIN, "is starting");
    struct mapped_file file;
    cr_assert_eq(mapped_file_open(&file, path, false, NULL), 0);
    struct cnc_header *header = (struct cnc_header *)(void *)file.address;
    header->version = CNC_LAYOUT_VERSION;
    cr_assert_eq(ring_mpsc_init(&ring, file.address + CNC_HEADER_LENGTH, params.to_driver_length),
                 0);
    ring_mpsc_set_consumer_heartbeat(&ring, 50000);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 1);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0);
    header->version = 0;
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0, "died while starting");
    mapped_file_close(&file);
    (void)close(ready[0]);
    (void)close(ready[1]);
    scratch_close(&scratch);
}

Test(cnc, the_default_directory_comes_from_environment_and_user) {
    char directory[64];
    setenv("AERON_DIR", "/tmp/elsewhere", 1);
    cnc_default_directory(directory, sizeof directory);
    cr_assert_str_eq(directory, "/tmp/elsewhere");
    unsetenv("AERON_DIR");
    setenv("USER", "somebody", 1);
    cnc_default_directory(directory, sizeof directory);
    cr_assert_str_eq(directory, "/dev/shm/aeron-somebody");
    cnc_default_directory(directory, 10);
    cr_assert_str_eq(directory, "/dev/shm/");
    unsetenv("USER");
    cnc_default_directory(directory, sizeof directory);
    cr_assert_eq(strncmp(directory, "/dev/shm/aeron-", 15), 0);
    cr_assert_gt(strlen(directory), 15u);
}
