/* Several real drivers that talk to each other over UDP on loopback, each with one client, and what
 * tests do with their streams. Every function ends the test when it cannot do its work in time. */
#ifndef TERN_TESTS_DRIVER_GROUP_H
#define TERN_TESTS_DRIVER_GROUP_H

#include "base/compiler.h"
#include "lib/driver_process.h"

#define GROUP_STREAM 1001
#define GROUP_CHANNEL_MAX 512
/* For driver_group_add. */
#define SETTINGS(...)                                                                              \
    (const char *const[]) {                                                                        \
        __VA_ARGS__, NULL                                                                          \
    }

struct driver_group {
    int count;
    struct driver_process drivers[DRIVER_PROCESS_NUMBER_MAX];
    tern_client *clients[DRIVER_PROCESS_NUMBER_MAX];
};

/* One more driver, with these settings (NULL-terminated, may be NULL), and a client of it. */
void driver_group_add(struct driver_group *group, const char *program,
                      const char *const *environment);
void driver_group_close(struct driver_group *group);

/* A UDP port that nobody has at the moment. */
int driver_group_port(void);

tern_subscription *driver_group_subscribe(tern_client *client, const char *format, ...)
    PRINTF_LIKE(2, 3);
tern_exclusive_publication *driver_group_publish(tern_client *client, const char *format, ...)
    PRINTF_LIKE(2, 3);
/* The text of the refusal. */
void driver_group_refuse_subscription(tern_client *client, char text[256], const char *format, ...)
    PRINTF_LIKE(3, 4);

void driver_group_send(tern_exclusive_publication *publication, const char *text);
/* The next message must be this one. */
void driver_group_receive(tern_subscription *subscription, const char *text);
/* Nothing came up to now. */
void driver_group_receive_nothing(tern_subscription *subscription);

/* The value of the counter of this type and registration id; INT64_MIN: there is none. */
int64_t driver_group_counter(tern_client *client, int32_t type_id, int64_t registration_id);
/* The value of the first counter with this in its label; INT64_MIN: there is none. */
int64_t driver_group_labelled(tern_client *client, const char *part);
/* How often such an error was logged. */
int driver_group_errors(const struct driver_process *driver, const char *part);

#endif
