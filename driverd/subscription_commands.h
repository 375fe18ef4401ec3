/* What adding IPC, spy and network subscriptions has in common, between subscription_commands.c and
 * network.c. Conductor only. */
#ifndef DRIVERD_SUBSCRIPTION_COMMANDS_H
#define DRIVERD_SUBSCRIPTION_COMMANDS_H

#include <stdint.h>

struct conductor;
struct subscription;

/* Into the conductor's list and map; 0 or -ENOMEM with neither changed. */
int subscription_commands_register(struct conductor *conductor, struct subscription *subscription);
/* Answer ready, then attach it to what is there. */
void subscription_commands_announce(struct conductor *conductor, struct subscription *subscription,
                                    int32_t channel_status_id);

#endif
