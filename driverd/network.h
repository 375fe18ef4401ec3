/* The conductor's dealings with sender, receiver, resolver and their nouns: everything that a
 * command or a timer does about UDP. Conductor only. */
#ifndef DRIVERD_NETWORK_H
#define DRIVERD_NETWORK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "wire/command.h"

struct conductor;
struct image;
struct log_file;
struct publication_net;
struct subscription;
struct subscription_params;
struct udp_channel;

int network_init(struct conductor *conductor, struct tern_error *error);
/* The other agents do not run any more. */
void network_close(struct conductor *conductor);

/* Is there room in all queues for what one command may cause? */
bool network_has_room(const struct conductor *conductor);
/* Each duty cycle: messages of the agents, resolved names, images, limits, endpoints to free. */
int network_do_work(struct conductor *conductor, int64_t now_ns);
/* The log file of an image is there, or failed; takes it. There is room in all queues. */
void network_on_image_log(struct conductor *conductor, struct log_file *file);
/* Life cycles of network publications and images. */
void network_on_timer(struct conductor *conductor, int64_t now_ns);

/* Is anything being closed that commands may have to wait for? */
bool network_is_closing(const struct conductor *conductor);
/* After a socket could not be opened with `result`: when its port is held by what is being closed,
 * or by what nobody subscribes to any more, say that it is worth another try. */
int network_check_port(struct conductor *conductor, const struct udp_channel *channel, int result,
                       struct tern_error *error);

/* Have the channel's names looked up; it is lent to the resolver. False: too many at a time. */
bool network_submit_channel(struct conductor *conductor, struct udp_channel *channel,
                            int64_t request_id);

int network_add_publication(struct conductor *conductor, const struct command *command,
                            struct tern_error *error);
int32_t network_publication_status_id(const struct publication_net *publication);
int network_add_destination(struct conductor *conductor, struct publication_net *publication,
                            const struct command *command, struct tern_error *error);
/* Type REMOVE_DESTINATION or REMOVE_DESTINATION_BY_ID. */
int network_remove_destination(struct conductor *conductor, struct publication_net *publication,
                               const struct command *command, struct tern_error *error);

/* Network subscriptions and spies. */
int network_add_subscription(struct conductor *conductor, const struct command *command,
                             const struct subscription_params *params, bool is_spy,
                             struct tern_error *error);
/* The subscription goes: its interest and its endpoint reference. */
void network_release_subscription(struct conductor *conductor, struct subscription *subscription);
/* Type ADD_RECEIVE_DESTINATION or REMOVE_RECEIVE_DESTINATION; UDP, IPC and spy destinations of a
 * manual subscription. */
int network_receive_destination(struct conductor *conductor, struct subscription *subscription,
                                const struct command *command, struct tern_error *error);
/* The subscription ends: its IPC and spy destinations as well. */
void network_end_local_destinations(struct conductor *conductor, int64_t registration_id);
/* Does the spy's channel mean the publication's? */
bool network_spy_matches(const struct subscription *subscription,
                         const struct publication_net *publication);

/* False: no such image. */
bool network_reject_image(struct conductor *conductor, int64_t image_id, struct text_slice reason);

/* Before the start: sender and receiver run on threads of their own. */
void network_on_threads_apart(struct conductor *conductor);
/* Something was done with it that its next visit has to see. */
void network_wake_publication(struct conductor *conductor, struct publication_net *publication);
void network_wake_image(struct conductor *conductor, struct image *image);
/* A new publication, for which there is room. */
void network_list_publication(struct conductor *conductor, struct publication_net *publication);

#endif
