/* The two heartbeats: the driver's, which is watched, and the client's own counter. Not for other
 * folders. Conductor, lock held. */
#ifndef TERN_CLIENT_KEEPALIVE_H
#define TERN_CLIENT_KEEPALIVE_H

#include "client/core.h"

/* At most once per interval; ends the client when the driver is gone. Returns the work done. */
int client_keepalive(struct tern_client *client, int64_t now_ns);
/* The driver announced the heartbeat counter of this client. */
void client_keepalive_bind(struct tern_client *client, int32_t counter_id);

#endif
