#include <criterion/criterion.h>

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>

#include "lib/scratch.h"
#include "shm/cnc.h"
#include "shm/driver_lock.h"

Test(driver_lock, one_driver_holds_it_and_others_see_when_it_is_dropped) {
    struct scratch scratch;
    scratch_open(&scratch);
    cr_assert_not(driver_lock_is_abandoned(scratch.directory), "no file: not our driver");
    int lock = driver_lock_acquire(scratch.directory);
    cr_assert_geq(lock, 0);
    cr_assert_not(driver_lock_is_abandoned(scratch.directory));
    cr_assert_eq(driver_lock_acquire(scratch.directory), -EBUSY);
    cr_assert_not(driver_lock_is_abandoned(scratch.directory), "looking does not take it");
    driver_lock_close(lock);
    cr_assert(driver_lock_is_abandoned(scratch.directory));
    lock = driver_lock_acquire(scratch.directory);
    cr_assert_geq(lock, 0);
    driver_lock_close(lock);
    driver_lock_close(-1);
    cr_assert_eq(driver_lock_acquire("/nonexistent/directory"), -ENOENT);
    scratch_close(&scratch);
}

Test(driver_lock, a_killed_driver_is_not_active_however_young_its_heartbeat) {
    static const struct cnc_params params = {
        .to_driver_length = 1024 + 768,
        .to_clients_length = 1024 + 128,
        .counters_values_length = 4096,
        .error_log_length = 4096,
        .client_liveness_timeout_ns = 1000,
        .start_timestamp_ms = 1,
        .pid = 1, /* is alive: the process id does not decide */
        .page_size = 4096,
    };
    struct scratch scratch;
    struct cnc cnc;
    struct ring_mpsc ring;
    int ready[2];
    char byte;
    scratch_open(&scratch);
    cr_assert_eq(cnc_create(&cnc, scratch_path(&scratch, CNC_FILE_NAME), &params, NULL), 0);
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        char locked = driver_lock_acquire(scratch.directory) >= 0;
        (void)!write(ready[1], &locked, 1);
        (void)pause();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 1);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), -EAGAIN, "is starting");
    cnc_publish(&cnc);
    cr_assert_eq(ring_mpsc_init(&ring, cnc.to_driver, cnc.to_driver_length), 0);
    ring_mpsc_set_consumer_heartbeat(&ring, 50000);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 1);
    cr_assert_eq(kill(child, SIGKILL), 0);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0);
    cnc.header->version = 0;
    cr_assert_eq(cnc_is_driver_active(scratch.directory, 50000, 10000), 0, "died while starting");
    (void)close(ready[0]);
    (void)close(ready[1]);
    cnc_close(&cnc);
    scratch_close(&scratch);
}
