/* A driver for client tests: a real cnc.dat and real logs, but every answer is given by the test.
 *
 * It lives in the test's process, with a clock that only the test moves, so each step of the
 * client's conductor is deterministic. Nothing here is clever: commands are decoded and handed out
 * one by one, responses are broadcast as the test says.
 */
#ifndef TERN_TESTS_FAKE_DRIVER_H
#define TERN_TESTS_FAKE_DRIVER_H

#include <tern/client.h>

#include "base/clock.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/counters.h"
#include "shm/log_buffer.h"
#include "shm/ring_mpsc.h"
#include "wire/command.h"

#define FAKE_TERM_LENGTH 65536
#define FAKE_MTU 1408
#define FAKE_SESSION 4711
#define FAKE_STREAM 1001
#define FAKE_INITIAL_TERM 7
#define FAKE_LOGS_MAX 16
#define FAKE_LIVENESS_NS (10 * NS_PER_S)

struct fake_time {
    int64_t now_ns;
    int64_t epoch_ns;
};

struct fake_driver {
    char directory[256];
    struct cnc cnc;
    struct ring_mpsc ring;
    struct broadcast_transmitter transmitter;
    struct counters_manager counters;
    struct fake_time time;
    struct clock clock;
    struct log_buffer logs[FAKE_LOGS_MAX];
    int log_count;
    /* the command read last; its texts are copied here */
    struct command command;
    uint8_t payload[8192];
};

/* Abort the test on failure. `name` makes the directory unique within the process. */
void fake_driver_open(struct fake_driver *driver, const char *name);
/* With room for so many counters (default 128) at once or within the second before their reuse. */
void fake_driver_open_sized(struct fake_driver *driver, const char *name, int32_t counter_count);
/* Removes the directory. */
void fake_driver_close(struct fake_driver *driver);
/* Move both clocks and refresh the driver's heartbeat. */
void fake_driver_advance(struct fake_driver *driver, int64_t duration_ns);
void fake_driver_beat(struct fake_driver *driver);

/* A context for an invoker client of this driver. */
tern_context *fake_driver_context(struct fake_driver *driver);
tern_client *fake_driver_connect(struct fake_driver *driver);

/* The next command, or NULL. Valid until the next call. */
const struct command *fake_driver_next(struct fake_driver *driver);
/* The next command, which must be of this type. */
const struct command *fake_driver_expect(struct fake_driver *driver, int32_t type);

int32_t fake_driver_add_counter(struct fake_driver *driver, int32_t type_id,
                                int64_t registration_id, int64_t value);
/* A log file of the default geometry; `id` is its registration or image id. */
struct log_buffer *fake_driver_create_log(struct fake_driver *driver, int64_t id,
                                          enum log_type type);
void fake_driver_log_path(const struct fake_driver *driver, int64_t id, char path[512]);

void fake_driver_send(struct fake_driver *driver, const struct response *response);
void fake_driver_send_error(struct fake_driver *driver, int64_t correlation_id, int32_t code,
                            const char *text);
/* Ready with the log of `original_id`; a limit counter is made. Returns the counter's id. */
int32_t fake_driver_send_publication(struct fake_driver *driver, int32_t type,
                                     int64_t correlation_id, int64_t original_id);
void fake_driver_send_subscription(struct fake_driver *driver, int64_t correlation_id,
                                   int32_t channel_status_id);
/* Returns the id of the position counter. */
int32_t fake_driver_send_image(struct fake_driver *driver, int64_t image_id,
                               int64_t subscription_id, int32_t session_id, int64_t join_position);
void fake_driver_send_unavailable_image(struct fake_driver *driver, int64_t image_id,
                                        int64_t subscription_id);

/* The whole exchange for one resource of an invoker client. */
tern_publication *fake_driver_add_publication(struct fake_driver *driver, tern_client *client,
                                              int32_t *limit_counter_id);
tern_exclusive_publication *fake_driver_add_exclusive(struct fake_driver *driver,
                                                      tern_client *client,
                                                      int32_t *limit_counter_id);
tern_subscription *fake_driver_add_subscription(struct fake_driver *driver, tern_client *client,
                                                const struct tern_subscription_params *params);

#endif
