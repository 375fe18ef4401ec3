/* See driver_process.h. */
#include "lib/driver_process.h"

#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TEST_SECONDS_MAX 100
#define EXIT_SKIPPED 77
#define POLL_MS 5

extern char **environ;

_Noreturn void test_fail(const char *file, int line, const char *condition, const char *format,
                         ...) {
    va_list arguments;
    char text[512];
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    printf("# %s:%d: %s: %s\n", file, line, condition, text);
    (void)fflush(stdout);
    _exit(1);
}

_Noreturn void test_skip(const char *reason) {
    printf("# skipped: %s\n", reason);
    (void)fflush(stdout);
    _exit(EXIT_SKIPPED);
}

int64_t test_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * TEST_NS_PER_S + now.tv_nsec;
}

void test_sleep_ms(int64_t duration_ms) {
    struct timespec duration = {duration_ms / 1000, duration_ms % 1000 * TEST_NS_PER_MS};
    (void)nanosleep(&duration, NULL);
}

bool test_wait(bool (*condition)(void *context), void *context) {
    int64_t deadline_ns = test_now_ns() + TEST_TIMEOUT_NS;
    while (!condition(context)) {
        if (test_now_ns() > deadline_ns) {
            return false;
        }
        test_sleep_ms(POLL_MS);
    }
    return true;
}

static void set_directory(struct driver_process *driver, pid_t test_pid) {
    (void)snprintf(driver->directory, sizeof driver->directory, "/dev/shm/tern-test-%d-%d",
                   (int)test_pid, driver->number);
}

static void set_environment(const struct driver_process *driver, const char *const *environment) {
    for (char **entry = environ; *entry != NULL;) {
        if (strncmp(*entry, "AERON_", 6) == 0) {
            char name[256];
            (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(*entry, "="), *entry);
            (void)unsetenv(name);
            entry = environ;
        } else {
            entry++;
        }
    }
    (void)setenv("AERON_DIR", driver->directory, 1);
    (void)setenv("AERON_DIR_DELETE_ON_START", "true", 1);
    (void)setenv("AERON_THREADING_MODE", "SHARED", 1);
    (void)setenv("AERON_TERM_BUFFER_LENGTH", "256k", 1);
    (void)setenv("AERON_IPC_TERM_BUFFER_LENGTH", "256k", 1);
    (void)setenv("AERON_TIMER_INTERVAL", "20ms", 1);
    for (; environment != NULL && *environment != NULL; environment++) {
        char *copy = strdup(*environment);
        (void)putenv(copy);
    }
}

static _Noreturn void run_driver(const struct driver_process *driver, const char *program,
                                 const char *const *environment) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    set_environment(driver, environment);
    char log_path[160];
    (void)snprintf(log_path, sizeof log_path, "%s.log", driver->directory);
    if (freopen(log_path, "a", stderr) == NULL) {
        _exit(127);
    }
    (void)execl(program, program, (char *)NULL);
    _exit(127);
}

static bool is_active(void *context) {
    const struct driver_process *driver = context;
    int status;
    REQUIRE(waitpid(driver->pid, &status, WNOHANG) == 0, "the driver ended: see %s.log",
            driver->directory);
    /* The file may still be that of a driver that was killed. */
    tern_cnc *cnc = tern_cnc_open(driver->directory, NULL);
    if (cnc == NULL) {
        return false;
    }
    struct tern_cnc_constants constants;
    tern_cnc_get_constants(cnc, &constants);
    bool is_its_own = constants.pid == driver->pid && tern_cnc_driver_heartbeat_ms(cnc) > 0;
    tern_cnc_close(cnc);
    return is_its_own;
}

void driver_process_start(struct driver_process *driver, const char *program,
                          const char *const *environment) {
    if (driver->directory[0] == '\0') {
        set_directory(driver, getpid());
    }
    (void)fflush(stdout);
    driver->pid = fork();
    REQUIRE(driver->pid >= 0, "fork");
    if (driver->pid == 0) {
        run_driver(driver, program, environment);
    }
    REQUIRE(test_wait(is_active, driver), "no driver");
}

int driver_process_stop(struct driver_process *driver, int signal_number) {
    int status = 0;
    REQUIRE(kill(driver->pid, signal_number) == 0, "kill");
    REQUIRE(waitpid(driver->pid, &status, 0) == driver->pid, "wait");
    driver->pid = 0;
    return status;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void driver_process_close(struct driver_process *driver) {
    if (driver->pid != 0) {
        int status = driver_process_stop(driver, SIGTERM);
        REQUIRE(WIFEXITED(status) && WEXITSTATUS(status) == 0, "driver ended with status 0x%x",
                status);
    }
    (void)nftw(driver->directory, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    char log_path[160];
    (void)snprintf(log_path, sizeof log_path, "%s.log", driver->directory);
    (void)unlink(log_path);
}

int driver_process_file_count(const struct driver_process *driver, const char *subdirectory) {
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", driver->directory, subdirectory);
    DIR *directory = opendir(path);
    int count = 0;
    while (directory != NULL) {
        const struct dirent *entry = readdir(directory);
        if (entry == NULL) {
            (void)closedir(directory);
            break;
        }
        count += entry->d_name[0] != '.';
    }
    return count;
}

tern_context *driver_process_context(const struct driver_process *driver) {
    struct tern_error error = {0};
    tern_context *context = tern_context_create(&error);
    REQUIRE(context != NULL, "%s", error.text);
    REQUIRE(tern_context_set_directory(context, driver->directory, &error) == 0, "%s", error.text);
    REQUIRE(tern_context_set_idle_strategy(context, "sleeping", "1ms", &error) == 0, "%s",
            error.text);
    tern_context_set_driver_timeout_ms(context, 2000);
    tern_context_set_keepalive_interval_ns(context, 100 * TEST_NS_PER_MS);
    return context;
}

tern_client *driver_process_connect(const struct driver_process *driver) {
    struct tern_error error = {0};
    tern_context *context = driver_process_context(driver);
    tern_client *client = tern_client_connect(context, &error);
    REQUIRE(client != NULL, "%s", error.text);
    tern_context_destroy(context);
    return client;
}

/* What a failed test left: show what its drivers said, then remove it all. */
static void clean_up_after(pid_t test_pid) {
    char path[160];
    char line[1024];
    for (int number = 0; number < DRIVER_PROCESS_NUMBER_MAX; number++) {
        struct driver_process driver = {.number = number};
        set_directory(&driver, test_pid);
        (void)snprintf(path, sizeof path, "%s.log", driver.directory);
        FILE *log = fopen(path, "r");
        while (log != NULL && fgets(line, sizeof line, log) != NULL) {
            printf("# %d: %s", number, line);
        }
        if (log != NULL) {
            (void)fclose(log);
        }
        driver_process_close(&driver);
    }
}

/* The exit status of the test, 0 when it is good; any other when it was ended by a signal. */
static int run_test(const struct system_test *test, const char *program) {
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        (void)alarm(TEST_SECONDS_MAX);
        test->run(program);
        (void)fflush(stdout);
        exit(0); /* runs the leak check of a sanitizer build */
    }
    if (child < 0 || waitpid(child, &status, 0) != child) {
        return EXIT_FAILURE;
    }
    if (WIFSIGNALED(status)) {
        printf("# ended by signal %d\n", WTERMSIG(status));
    }
    if (status != 0) {
        clean_up_after(child);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : EXIT_FAILURE;
}

int system_test_main(int argc, char **argv, const struct system_test *tests, int count) {
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s DRIVER [TEST]\n", argv[0]);
        return 64;
    }
    int failed = 0;
    int number = 0;
    if (argc == 2) {
        printf("TAP version 13\n1..%d\n", count);
    }
    for (int i = 0; i < count; i++) {
        if (argc > 2 && strcmp(argv[2], tests[i].name) != 0) {
            continue;
        }
        int status = run_test(&tests[i], argv[1]);
        bool is_good = status == 0 || status == EXIT_SKIPPED;
        failed += !is_good;
        printf("%sok %d - %s%s\n", is_good ? "" : "not ", ++number, tests[i].name,
               status == EXIT_SKIPPED ? " # SKIP" : "");
    }
    return failed == 0 ? 0 : 1;
}
