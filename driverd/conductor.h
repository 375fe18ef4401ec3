/* The conductor agent: takes commands of clients, owns everything that is not on the data path, and
 * tells sender and receiver what to do (media-driver.md 6.4 to 6.8).
 *
 * conductor.c is the loop and the table of commands. What a command does stands with its noun:
 * publication_commands.c, subscription_commands.c, client_commands.c; who is attached to which
 * stream is decided in linking.c.
 */
#ifndef DRIVERD_CONDUCTOR_H
#define DRIVERD_CONDUCTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/hash_map.h"
#include "driverd/driver_context.h"
#include "driverd/duty_cycle.h"
#include "driverd/endpoint_recv.h"
#include "driverd/endpoint_send.h"
#include "driverd/pending_commands.h"
#include "driverd/pointer_list.h"
#include "driverd/stream_index.h"
#include "driverd/sweep.h"
#include "driverd/termination_validator.h"
#include "driverd/udp_channel.h"
#include "wire/command.h"

struct client_session;
struct gossip_socket;
struct image_request;
struct log_file;
struct publication;
struct publication_ipc;
struct publication_params;
struct receiver;
struct resolver;
struct sender;

/* Answer of a command handler that waits for a name or a log file: it is run again when that is
 * there. And of one that has to be tried again in the next cycle, since too much is under way. */
#define COMMAND_PENDING 1
#define COMMAND_BUSY 2

struct conductor {
    struct driver_context *context;
    struct sender *sender;
    struct receiver *receiver;
    struct resolver *resolver;
    struct gossip_socket *gossip; /* NULL: not configured */

    struct endpoint_send_table endpoints_send;
    struct endpoint_recv_table endpoints_recv;
    struct pointer_list publications_ipc;
    struct pointer_list publications_net;
    struct pointer_list images;
    struct sweep ipc_sweep; /* of the three lists above */
    struct sweep net_sweep;
    struct sweep image_sweep;
    struct pointer_list subscriptions;
    struct stream_index ipc_by_stream; /* of the four lists above */
    struct stream_index net_by_stream;
    struct stream_index images_by_stream;
    struct stream_index subscriptions_by_stream;
    struct hash_map clients;             /* client id -> struct client_session */
    struct hash_map subscriptions_by_id; /* registration id -> struct subscription */
    struct hash_map publications_by_id;  /* original registration id -> struct publication */

    struct pending_commands pending;
    struct pending_client *resumed; /* while its first command is run again */
    struct image_request *image_requests;
    bool is_command_repeated; /* the next one in the ring has been there before */
    int64_t timer_deadline_ns;
    int64_t reresolution_deadline_ns;
    int64_t epoch_deadline_ns;
    int64_t ring_position; /* of the command ring's consumer, and when it moved last */
    int64_t ring_time_ns;
    struct duty_cycle cycle;
    struct termination_validator validator;
    uint8_t is_termination_requested; /* release / acquire */
};

/* Borrowed until close. */
struct conductor_params {
    struct driver_context *context;
    struct sender *sender;
    struct receiver *receiver;
    struct resolver *resolver;
    struct gossip_socket *gossip; /* NULL: not configured */
};

int conductor_init(struct conductor *conductor, const struct conductor_params *params,
                   struct tern_error *error);
/* Sender and receiver do not run any more. Deletes everything, but for channels that a busy
 * resolver still has. */
void conductor_close(struct conductor *conductor, bool is_resolver_busy);
/* One pass of a duty cycle; it has more while there is no work and a sweep is not over (sweep.h).
 */
void conductor_begin(struct conductor *conductor, int64_t now_ns);
int conductor_do_work(struct conductor *conductor, int64_t now_ns);
/* Take the log files that were made and go on with what waited for them: part of do_work; by itself
 * for INVOKER, where the log agent is stepped in the same cycle. */
int conductor_take_logs(struct conductor *conductor);
bool conductor_is_swept(const struct conductor *conductor);
/* Something was done with the publication that its next visit has to see. */
void conductor_wake_publication(struct conductor *conductor, struct publication *publication);
/* A new IPC publication, for which there is room. */
void conductor_list_ipc(struct conductor *conductor, struct publication_ipc *publication);

/* For command handlers: 0, COMMAND_PENDING, COMMAND_BUSY, or a negative code with text; what
 * succeeded has been answered by the handler, errors are answered and logged by the conductor. */
typedef int (*command_handler)(struct conductor *conductor, const struct command *command,
                               struct tern_error *error);

/* The session of the command's client, made when it is new. */
int conductor_client(struct conductor *conductor, int64_t client_id,
                     struct client_session **session, struct tern_error *error);
/* A URI that names a stream must name that of the command (3.12). */
int conductor_check_stream(const struct command *command, const struct uri *uri,
                           struct tern_error *error);
/* The channel of the command, resolved; the caller owns it. COMMAND_PENDING when a name has to be
 * looked up first. */
int conductor_channel(struct conductor *conductor, const struct command *command,
                      enum udp_channel_role role, struct udp_channel **channel,
                      struct tern_error *error);
/* The handler returns COMMAND_PENDING or COMMAND_BUSY: it gets the channel again when it is run
 * again. */
void conductor_keep_channel(struct conductor *conductor, const struct command *command,
                            struct udp_channel *channel);
/* Is the log file of the command's new publication there? 0, and conductor_take_log gives it once;
 * or COMMAND_PENDING, COMMAND_BUSY, an error. A file that the command does not take is deleted. */
int conductor_check_log(struct conductor *conductor, const struct command *command,
                        const struct publication_params *params, struct tern_error *error);
struct log_file *conductor_take_log(struct conductor *conductor);

/* publication_commands.c */
int conductor_add_publication(struct conductor *conductor, const struct command *command,
                              struct tern_error *error);
int conductor_remove_publication(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error);
int conductor_add_destination(struct conductor *conductor, const struct command *command,
                              struct tern_error *error);
int conductor_remove_destination(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error);
int conductor_remove_destination_by_id(struct conductor *conductor, const struct command *command,
                                       struct tern_error *error);
int conductor_next_session_id(struct conductor *conductor, const struct command *command,
                              struct tern_error *error);
/* A handle goes: by command or with its client. */
void conductor_release_publication(struct conductor *conductor, struct publication *publication);
void conductor_destroy_publication(struct conductor *conductor, struct publication *publication);

/* subscription_commands.c */
struct subscription;
int conductor_add_subscription(struct conductor *conductor, const struct command *command,
                               struct tern_error *error);
int conductor_remove_subscription(struct conductor *conductor, const struct command *command,
                                  struct tern_error *error);
int conductor_receive_destination(struct conductor *conductor, const struct command *command,
                                  struct tern_error *error);
int conductor_reject_image(struct conductor *conductor, const struct command *command,
                           struct tern_error *error);
void conductor_end_subscription(struct conductor *conductor, struct subscription *subscription);

/* client_commands.c */
int conductor_keepalive(struct conductor *conductor, const struct command *command,
                        struct tern_error *error);
int conductor_client_close(struct conductor *conductor, const struct command *command,
                           struct tern_error *error);
int conductor_add_counter(struct conductor *conductor, const struct command *command,
                          struct tern_error *error);
int conductor_remove_counter(struct conductor *conductor, const struct command *command,
                             struct tern_error *error);
int conductor_add_static_counter(struct conductor *conductor, const struct command *command,
                                 struct tern_error *error);
int conductor_terminate(struct conductor *conductor, const struct command *command,
                        struct tern_error *error);
void conductor_check_clients(struct conductor *conductor);

#endif
