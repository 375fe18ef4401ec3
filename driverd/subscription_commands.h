/* What adding IPC, spy and network subscriptions has in common, between subscription_commands.c and
 * network.c. Conductor only. */
#ifndef DRIVERD_SUBSCRIPTION_COMMANDS_H
#define DRIVERD_SUBSCRIPTION_COMMANDS_H

#include <stdint.h>

#include "base/error.h"
#include "base/uri.h"

struct conductor;
struct subscription;
struct subscription_params;

/* What the URI says, with the session of the publication that session-id=tag:<n> names. */
int subscription_commands_parse(const struct conductor *conductor, const struct uri *uri,
                                struct subscription_params *params, struct tern_error *error);

/* Into the conductor's list and map; 0 or -ENOMEM with neither changed. */
int subscription_commands_register(struct conductor *conductor, struct subscription *subscription);
/* Answer ready, then attach it to what is there. */
void subscription_commands_announce(struct conductor *conductor, struct subscription *subscription,
                                    int32_t channel_status_id);

#endif
