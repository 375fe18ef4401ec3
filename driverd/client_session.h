/* A client as the driver knows it: its heartbeat, its handles of publications, its counters
 * (media-driver.md 6.7). Made at the client's first add command. Conductor only. */
#ifndef DRIVERD_CLIENT_SESSION_H
#define DRIVERD_CLIENT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/hash_map.h"
#include "shm/heartbeat.h"

struct driver_context;
struct publication;

struct client_session {
    struct driver_context *context;
    int64_t id;
    bool is_closed; /* by its own command: goes without a time-out event */
    int32_t heartbeat_counter_id;
    int64_t *heartbeat;           /* epoch ms; the client writes it */
    struct heartbeat seen;        /* what the conductor saw of it */
    struct hash_map publications; /* registration id of the handle -> struct publication */
    struct hash_map counters;     /* registration id -> struct client_counter */
};

struct client_counter {
    int64_t registration_id;
    int32_t id;
};

/* Makes the heartbeat counter and announces it. */
int client_session_create(struct client_session **session, struct driver_context *context,
                          int64_t client_id, struct tern_error *error);
/* Frees and announces its counters, the heartbeat first. Handles of publications are the caller's
 * to release before. */
void client_session_destroy(struct client_session *session);

void client_session_keepalive(struct client_session *session);
void client_session_close(struct client_session *session);
bool client_session_is_expired(struct client_session *session);
/* Tell everybody that it timed out; counted. */
void client_session_announce_timeout(struct client_session *session);

/* A counter of the client's own: allocated, announced, answered with its registration id. */
struct command;
int client_session_add_counter(struct client_session *session, const struct command *command,
                               struct tern_error *error);
/* False when it has none with the id; else answered, announced and freed. */
bool client_session_remove_counter(struct client_session *session, const struct command *command);

#endif
