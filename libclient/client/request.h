/* Requests to the driver that wait for an answer. Not for other folders. */
#ifndef TERN_CLIENT_REQUEST_H
#define TERN_CLIENT_REQUEST_H

#include "client/core.h"

enum request_kind {
    REQUEST_PUBLICATION,
    REQUEST_EXCLUSIVE_PUBLICATION,
    REQUEST_SUBSCRIPTION,
    REQUEST_COUNTER,
    REQUEST_STATIC_COUNTER,
    REQUEST_SESSION_ID,
    REQUEST_DESTINATION,
};

/* The owner polls `state`; everything that it then reads was written before. */
enum request_state { REQUEST_PENDING, REQUEST_DONE, REQUEST_FAILED };

struct tern_async {
    struct tern_client *client; /* counted while the caller holds the handle */
    enum request_kind kind;
    int64_t correlation_id;
    int64_t deadline_ns;
    int32_t state; /* release by the conductor */

    /* lock */
    bool is_held;   /* by the caller; freed when neither held nor listed */
    bool is_listed; /* in tern_client.requests: an answer may still come */

    /* constant: what the resource is made from */
    char *channel;
    struct tern_subscription_params subscription;
    int64_t static_registration_id;

    /* the result; a resource belongs to the request until polled */
    void *resource;
    int32_t session_id;
    struct tern_error error;
};

/* Takes the lock. The command's ids are filled in; its channel.text is a NUL-terminated text or
 * NULL. */
struct tern_async *client_request_destination(struct tern_client *client, struct command *command,
                                              struct tern_error *error);

/* Conductor, lock held. Each answer consumes the listing of the request. */
void client_request_complete(struct tern_async *request, const struct response *response,
                             struct tern_error *error);
void client_request_fail(struct tern_async *request, int code, const struct text_slice *text);
/* Fail what is overdue; it stays listed, so that a late answer can be undone. */
int client_request_expire(struct tern_client *client, int64_t now_ns);
/* The client ends: nothing will be answered any more. */
void client_request_fail_all(struct tern_client *client);

/* Waits for a request, stepping the conductor in invoker mode; 0 when it is no longer pending. */
int client_request_await(struct tern_async *request, int64_t timeout_ns, struct tern_error *error);

#endif
