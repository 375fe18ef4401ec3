/* The inside of an own counter. Not for other folders. */
#ifndef TERN_CLIENT_COUNTER_H
#define TERN_CLIENT_COUNTER_H

#include "client/core.h"

struct tern_counter {
    int64_t *address;
    int32_t is_closed; /* release by the conductor */
    int32_t id;
    struct tern_client *client; /* counted */
    int64_t registration_id;
    int64_t correlation_id; /* of the add command; differs from the above when static */
    bool is_static;
};

/* Conductor, lock held. NULL on failure. */
struct tern_counter *client_counter_create(struct tern_client *client, const struct response *ready,
                                           int64_t registration_id, struct tern_error *error);

#endif
