/* What the archive derives from the channel of a request: the stripped channel that it stores and
 * subscribes to, and the key that tells recording subscriptions apart (archive.md 5.1.2, 5.1.3). */
#ifndef TERN_ARCHIVED_CHANNEL_H
#define TERN_ARCHIVED_CHANNEL_H

#include "base/uri.h"

#define CHANNEL_TEXT_MAX (URI_LENGTH_MAX + 1)

/* Keep the parameters that identify a channel, in the order of the reference's builder. 0 or
 * -ENAMETOOLONG. */
int channel_strip(const struct uri *uri, struct uri_builder *stripped);

/* "<stream id>:<media>?endpoint=...|...": equal keys are the same recording subscription. `key` has
 * CHANNEL_TEXT_MAX + 32 bytes. */
#define CHANNEL_KEY_MAX (CHANNEL_TEXT_MAX + 32)
void channel_subscription_key(const struct uri *uri, int32_t stream_id, char *key);

#endif
