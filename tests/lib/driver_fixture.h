/* A whole media driver stepped by hand: INVOKER mode, a clock that the test moves, a temporary
 * directory, and the client's end of the command ring and of the broadcast. */
#ifndef TESTS_LIB_DRIVER_FIXTURE_H
#define TESTS_LIB_DRIVER_FIXTURE_H

#include "driverd/driver.h"
#include "shm/broadcast.h"
#include "wire/command.h"

#define FIXTURE_TIMER_NS (100 * NS_PER_MS)
#define FIXTURE_STEP_NS (10 * NS_PER_MS)

struct driver_fixture {
    struct driver_conf conf;
    struct clock clock;
    struct random random;
    struct net net;     /* the system's; a test may replace functions before open */
    struct store store; /* likewise */
    struct io io;
    int64_t now_ns;
    int64_t epoch_ms;
    uint64_t next_random;
    char scratch[64];
    struct driver *driver;
    struct broadcast_receiver receiver;
    int64_t client_id;
    uint8_t message[65536];
};

/* Fills conf (small buffers, 64 KiB terms, 100 ms timer), seams and directory; change them before
 * open. */
void driver_fixture_init(struct driver_fixture *fixture);
/* Starts the driver and attaches the client's end; asserts that it works. */
void driver_fixture_open(struct driver_fixture *fixture);
/* Ends the driver, deletes the directory. */
void driver_fixture_close(struct driver_fixture *fixture);

/* One duty cycle, the clock moved on before. */
int driver_fixture_step(struct driver_fixture *fixture, int64_t elapsed_ns);
/* Duty cycles of 10 ms each. */
void driver_fixture_run(struct driver_fixture *fixture, int64_t duration_ns);

/* Write a command; fills client id and a new correlation id when they are 0. Returns the latter. */
int64_t driver_fixture_send(struct driver_fixture *fixture, struct command *command);
/* The next response; its texts are valid until the next call. */
bool driver_fixture_receive(struct driver_fixture *fixture, struct response *response);
/* The next response of the type; others are skipped. False: none. */
bool driver_fixture_find(struct driver_fixture *fixture, int32_t type, struct response *response);
/* Send, step, and take the answer: ready, success or error with the command's correlation id. The
 * receiver goes on behind it. */
struct response driver_fixture_call(struct driver_fixture *fixture, struct command *command);

/* Calls that must succeed. */
struct response driver_fixture_add_publication(struct driver_fixture *fixture, const char *channel,
                                               int32_t stream_id, bool is_exclusive);
struct response driver_fixture_add_subscription(struct driver_fixture *fixture, const char *channel,
                                                int32_t stream_id);

struct text_slice driver_fixture_text(const char *text);
int64_t driver_fixture_counter(const struct driver_fixture *fixture, int32_t id);
void driver_fixture_set_counter(struct driver_fixture *fixture, int32_t id, int64_t value);
int64_t driver_fixture_system_counter(const struct driver_fixture *fixture,
                                      enum system_counter counter);
/* Allocated counters of a type. */
int driver_fixture_count_counters(const struct driver_fixture *fixture, int32_t type_id);
/* Files in a folder of the driver's directory. */
int driver_fixture_count_files(const struct driver_fixture *fixture, const char *folder);

#endif
