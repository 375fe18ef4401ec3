/* ternctl-driver trace: switch the driver's event log on, print what comes, switch it off.
 *
 * On is a file in the driver directory, off is without it (shm/trace_file.h). The file goes with
 * the program, whatever ends it; when it is killed the driver deletes the file a little later.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "driverd/ctl.h"
#include "driverd/trace_format.h"
#include "shm/trace_file.h"

#define DIRECTORY_LENGTH_MAX 4096
#define READ_INTERVAL_NS (20 * NS_PER_MS)
#define DRIVER_TIMEOUT_MS 10000
#define ATTACH_TIMEOUT_MS                                                                          \
    8000 /* the driver looks once per second, and ends an earlier trace first */

#define FRAMES (1 << TRACE_FRAME_SENT | 1 << TRACE_FRAME_RECEIVED)
#define COMMANDS (1 << TRACE_COMMAND | 1 << TRACE_RESPONSE)

static void on_event(void *context, enum trace_kind kind, const struct trace_event *event,
                     const uint8_t *data, int32_t length) {
    trace_format_event(stdout, context, kind, event, data, length);
}

/* Who may write cnc.dat may write this file, too: the driver may be another user than we are. */
static void share_file(const char *directory, const char *path) {
    char cnc_path[DIRECTORY_LENGTH_MAX + 16];
    struct stat status;
    (void)snprintf(cnc_path, sizeof cnc_path, "%s/%s", directory, CNC_FILE_NAME);
    if (stat(cnc_path, &status) == 0 &&
        (chown(path, status.st_uid, status.st_gid) != 0 || chmod(path, status.st_mode) != 0)) {
        fprintf(stderr, "ternctl-driver: cannot share %s with the driver: %s\n", path,
                strerror(errno));
    }
}

static bool is_driver_alive(const struct cnc *cnc, int64_t now_ms) {
    int64_t heartbeat_ms = cnc_driver_heartbeat_ms(cnc);
    return heartbeat_ms >= 0 && now_ms - heartbeat_ms < DRIVER_TIMEOUT_MS;
}

/* Blocked, so that they are met where the program waits; a closed pipe ends it as well. */
static sigset_t block_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    sigset_t signals;
    (void)sigemptyset(&signals);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        (void)sigaddset(&signals, numbers[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

static bool is_stopped(const sigset_t *signals, int64_t timeout_ns) {
    const struct timespec timeout = {.tv_nsec = timeout_ns};
    return sigtimedwait(signals, NULL, &timeout) > 0;
}

/* Until we are stopped, the driver ends, or something deletes the file. */
static bool follow(struct trace_file *trace, const struct cnc *cnc, const char *path,
                   const sigset_t *signals) {
    const int64_t start_ms = clock_epoch_ms(clock_system());
    bool is_announced = false;
    int64_t rest_ns = 0;
    while (!is_stopped(signals, rest_ns)) {
        int64_t now_ms = clock_epoch_ms(clock_system());
        if (!is_driver_alive(cnc, now_ms) || access(path, F_OK) != 0) {
            return false;
        }
        store_release_i64(&trace->header->reader_heartbeat_ms, now_ms);
        if (!is_announced && load_acquire_i32(&trace->header->is_attached) != 0) {
            fprintf(stderr, "tracing; stop with ^C\n");
            is_announced = true;
        }
        if (!is_announced && now_ms - start_ms > ATTACH_TIMEOUT_MS) {
            return false; /* a driver that does not know of this */
        }
        rest_ns = 0;
        if (trace_file_read(trace, on_event, trace->header) == 0) {
            (void)fflush(stdout);
            rest_ns = READ_INTERVAL_NS;
        }
    }
    return true;
}

int ctl_run_trace(const char *directory, const struct cnc *cnc, const char *what) {
    char path[DIRECTORY_LENGTH_MAX + 16];
    struct trace_file trace;
    struct tern_error error = {0};
    int32_t kinds = FRAMES | COMMANDS;
    int64_t now_ms = clock_epoch_ms(clock_system());
    if (what != NULL) {
        kinds = strcmp(what, "frames") == 0 ? FRAMES : COMMANDS;
    }
    (void)snprintf(path, sizeof path, "%s/%s", directory, TRACE_FILE_NAME);
    if (!is_driver_alive(cnc, now_ms)) {
        fprintf(stderr, "ternctl-driver: no driver is alive in %s\n", directory);
        return EXIT_UNAVAILABLE;
    }
    const sigset_t signals = block_signals();
    int result = trace_file_create(&trace, path, kinds, now_ms, &error);
    if (result < 0) {
        fprintf(stderr, "ternctl-driver: %s%s\n", error.text,
                result == -EEXIST ? ": somebody traces already" : "");
        return EXIT_UNAVAILABLE;
    }
    share_file(directory, path);
    bool was_stopped = follow(&trace, cnc, path, &signals);
    trace_file_end(&trace, path);
    (void)trace_file_read(&trace, on_event, trace.header);
    int64_t dropped = load_acquire_i64(&trace.header->dropped_count);
    if (dropped > 0) {
        fprintf(stderr, "%" PRId64 " events were lost: they came too fast\n", dropped);
    }
    if (!was_stopped) {
        fprintf(stderr, "ternctl-driver: the driver has ended, or does not trace\n");
    }
    trace_file_close(&trace);
    return was_stopped ? EXIT_SUCCESS : EXIT_UNAVAILABLE;
}
