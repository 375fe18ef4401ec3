/* The client's insides: what its files share. Not for other folders.
 *
 * One mutex guards the control plane (everything marked "lock" below). The data path takes no lock:
 * it reads words that the conductor publishes with release stores (is_closed, the image list) and
 * the shared memory of logs and counters.
 *
 * Lifetime. struct tern_client is counted: the application's handle, each resource handle, each
 * image and each tern_async hold one reference, so cnc.dat stays mapped until the last is gone.
 * Handlers are called without the lock; handler_subscription tells close that one is running.
 *
 * Everything here is prefixed client_, as driver and archive have files of the same nouns.
 */
#ifndef TERN_CLIENT_CORE_H
#define TERN_CLIENT_CORE_H

#include <pthread.h>

#include <tern/client.h>

#include "base/hash_map.h"
#include "client/listeners.h"
#include "client/settings.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/heartbeat.h"
#include "shm/log_buffer.h"
#include "shm/ring_mpsc.h"
#include "wire/command.h"

/* Messages handled in one step of the conductor. */
#define CLIENT_MESSAGES_PER_STEP 16

struct tern_counters_reader {
    struct counters_reader reader;
};

/* A mapped log, shared by the handles and images of one client that use the same file. Lock. */
struct client_log {
    struct log_buffer buffer;
    char *path;
    int64_t id; /* original registration id, or id of the image */
    int32_t reference_count;
    int descriptor; /* of the file, for raw polls; -1: none asked yet */
    bool is_shared; /* listed in tern_client.logs */
};

/* A command that did not fit into the ring and may not be lost; retried each step. Lock. */
struct client_backlog {
    struct client_backlog *next;
    struct command command; /* only commands without texts */
};

/* An image list that was replaced, with the image that was taken out of it (NULL: one was added).
 * Freed when the subscriber thread was seen to use a later list and the linger passed. */
struct client_retired {
    struct client_retired *next;
    struct tern_subscription *subscription;
    struct client_image_list *list;
    struct tern_image *image;
    int64_t version; /* of the list that replaced it */
    int64_t deadline_ns;
};

struct tern_client {
    /* constant after connect */
    struct tern_context settings;
    struct cnc cnc;
    struct ring_mpsc ring;
    struct tern_counters_reader counters;
    int64_t id;
    int64_t inter_service_timeout_ns;
    struct agent_runner *runner; /* NULL: invoker */

    int32_t is_closed; /* any thread; release by the conductor or by close */

    /* lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* the conductor's thread has something to do */
    pthread_cond_t changed; /* a request ended, or a handler returned */
    int32_t reference_count;
    struct tern_error status; /* why it is closed */
    struct hash_map requests; /* all by correlation id of the add command */
    struct hash_map publications;
    struct hash_map subscriptions;
    struct hash_map own_counters;
    struct hash_map logs;
    int32_t pending_count;
    int64_t pending_since_ns; /* when the newest request was made */
    int64_t request_deadline_ns;
    struct client_backlog *backlog;
    bool is_stopping;
    bool is_woken;

    /* the handler that is running; lock */
    bool is_in_handler;
    pthread_t handler_thread;
    struct tern_subscription *handler_subscription;
    struct client_listener running_listener; /* when it is one of these */
    struct client_listeners listeners[LISTENER_KIND_COUNT];

    /* conductor; lock when another thread can see them */
    struct broadcast_receiver receiver;
    uint8_t *scratch;
    int32_t scratch_length;
    int64_t last_work_ns;
    int64_t keepalive_deadline_ns;
    struct heartbeat driver_heartbeat;
    int32_t heartbeat_counter_id;
    bool is_thread_known; /* the start of the thread was told */
    struct client_retired *retired;
};

/* client.c */
void client_retain(struct tern_client *client);  /* lock held */
void client_release(struct tern_client *client); /* lock not held; may free the client */
/* Takes the lock; const-correct accessors share it. */
void client_lock(const struct tern_client *client);
void client_unlock(const struct tern_client *client);

/* conductor.c: lock held for all of them */
int client_conductor_step(struct tern_client *client, int64_t now_ns);
/* Mark everything closed and fail what waits; the first reason is kept. */
void client_terminate(struct tern_client *client, int code, const char *text);
/* Call the error handler; drops the lock meanwhile. */
void client_report(struct tern_client *client, int code, const char *text);
/* Around the call of a handler: drop and retake the lock. `subscription` may be NULL. */
void client_handler_begin(struct tern_client *client, struct tern_subscription *subscription);
void client_handler_end(struct tern_client *client);
bool client_is_handler_thread(const struct tern_client *client);

/* transmit.c: lock held for both */
int client_send(struct tern_client *client, const struct command *command,
                struct tern_error *error);
/* A remove or close that must not be lost: kept and retried when the ring is full. */
void client_send_reliably(struct tern_client *client, const struct command *command);
int client_send_backlog(struct tern_client *client);

/* log_store.c: lock held for both */
struct client_log *client_log_acquire(struct tern_client *client, int64_t id,
                                      const struct text_slice *path, struct tern_error *error);
void client_log_release(struct tern_client *client, struct client_log *log);
/* Takes the lock. The file, opened at the first call, or -errno. */
int client_log_descriptor(struct tern_client *client, struct client_log *log);

/* counters.c */
int client_local_addresses(const struct tern_client *client, int32_t channel_status_id,
                           char (*addresses)[TERN_ADDRESS_TEXT_MAX], int count_max);
/* The value of a channel status counter as a handle shows it. */
int64_t client_channel_status(const struct tern_client *client, int32_t channel_status_id);

#endif
