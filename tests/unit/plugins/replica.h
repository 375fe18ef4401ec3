/* What every replicated service must keep: the same messages in the same order give the same
 * answers, the same state and the same snapshot bytes, on a member that ran from the beginning as
 * on one that was started from a snapshot in between. */
#ifndef TERN_TESTS_REPLICA_H
#define TERN_TESTS_REPLICA_H

#include <stdint.h>

#include "lib/fake_host.h"

#define REPLICA_MESSAGE_MAX 256

/* Write the message that follows from `random` and return its length. */
typedef int32_t (*replica_message_maker)(uint64_t random, uint8_t *message);
/* Something else that happens between messages, such as a timer; may be NULL. */
typedef void (*replica_event)(struct fake_service *service, uint64_t random);

void replica_check(const char *name, replica_message_maker make, replica_event event);

#endif
