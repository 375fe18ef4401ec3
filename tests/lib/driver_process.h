/* Real drivers in directories of their own, for programs that test clients against it, and the
 * runner of such programs: each test in a child process, one line of TAP for each. */
#ifndef TERN_TESTS_DRIVER_PROCESS_H
#define TERN_TESTS_DRIVER_PROCESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <tern/client.h>

#define TEST_NS_PER_MS INT64_C(1000000)
#define TEST_NS_PER_S INT64_C(1000000000)
#define TEST_TIMEOUT_NS (20 * TEST_NS_PER_S)

/* Ends the test (its process) with the place and the text. */
#define REQUIRE(condition, ...)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            test_fail(__FILE__, __LINE__, #condition, __VA_ARGS__);                                \
        }                                                                                          \
    } while (0)
/* Waits for the condition, at most the timeout of 20 s. */
#define REQUIRE_SOON(condition, ...)                                                               \
    for (int64_t deadline_ns_ = test_now_ns() + TEST_TIMEOUT_NS; !(condition); test_sleep_ms(1))   \
    REQUIRE(test_now_ns() < deadline_ns_, __VA_ARGS__)
_Noreturn void test_fail(const char *file, int line, const char *condition, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#define DRIVER_PROCESS_NUMBER_MAX 3

/* Ends the test, which is not possible on this machine. */
_Noreturn void test_skip(const char *reason);

struct driver_process {
    pid_t pid;
    int number; /* of the drivers of one test, below the maximum */
    char directory[128];
};

/* Start the program and wait until clients can attach. Threading SHARED, small terms, a short timer
 * interval; what a dead driver left in the directory is deleted; `environment` (NULL-terminated
 * "NAME=value", may be NULL) is added. The driver dies with the test's process. */
void driver_process_start(struct driver_process *driver, const char *program,
                          const char *const *environment);
/* Send the signal and wait for the end; returns the wait status. The directory stays. */
int driver_process_stop(struct driver_process *driver, int signal_number);
/* Stop with SIGTERM if it runs, and remove the directory. */
void driver_process_close(struct driver_process *driver);
/* Files in a sub-directory ("publications", "images"). */
int driver_process_file_count(const struct driver_process *driver, const char *subdirectory);

/* A context for this driver with a driver timeout of 2 s and a keepalive of 100 ms. */
tern_context *driver_process_context(const struct driver_process *driver);
tern_client *driver_process_connect(const struct driver_process *driver);

int64_t test_now_ns(void);
void test_sleep_ms(int64_t duration_ms);
/* False, after the timeout of 20 s, when the condition never came true. */
bool test_wait(bool (*condition)(void *context), void *context);

struct system_test {
    const char *name;
    void (*run)(const char *program);
};
/* The main of a test program: arguments are the driver's path and, optionally, a test's name. */
int system_test_main(int argc, char **argv, const struct system_test *tests, int count);

#endif
