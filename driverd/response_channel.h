/* Response channels, the conductor's part (media-driver.md 2.13, 3.10).
 *
 * A requester has a response subscription, which waits for its session, and a request publication
 * that names it. The responder answers an image (IPC: a publication) by a response publication; the
 * image tells the requester's driver which session that is, and the subscription takes it.
 */
#ifndef DRIVERD_RESPONSE_CHANNEL_H
#define DRIVERD_RESPONSE_CHANNEL_H

#include <stdint.h>

#include "driverd/publication.h"

struct conductor;

/* Can a publication with these parameters be? What its response-correlation-id names must be there
 * and fit. 0 or a negative code. */
int response_channel_check(const struct conductor *conductor,
                           const struct publication_params *params, enum publication_kind kind,
                           struct tern_error *error);

/* A response publication was made: whom it answers learns its session. IPC subscribers are not
 * attached yet. Nothing for any other publication. */
void response_channel_on_publication(struct conductor *conductor,
                                     const struct publication *publication);
/* Nobody has to be told of its session any more: the requester has found it, or it ends. */
void response_channel_on_settled(struct conductor *conductor,
                                 const struct publication *publication);
/* RSP_SETUP came to a request publication with this response-correlation-id. */
void response_channel_on_session(struct conductor *conductor, int64_t correlation_id,
                                 int32_t session_id);

#endif
