/* UDP has its own files (sender, receiver, images). Until network.c joins them, which the network
 * side writes next, every UDP channel is refused with an error that says so. */
#include "driverd/conductor.h"
#include "driverd/image.h"
#include "driverd/network.h"
#include "driverd/publication_net.h"
#include "driverd/subscription.h"

static int refuse(const struct command *command, struct tern_error *error) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_NOT_SUPPORTED),
                     "UDP channels are not supported yet: %.*s",
                     min_i32(command->channel.length, 120), command->channel.text);
}

int network_init(struct conductor *conductor, struct tern_error *error) {
    (void)conductor;
    (void)error;
    return 0;
}

void network_close(struct conductor *conductor) {
    (void)conductor;
}

bool network_has_room(const struct conductor *conductor) {
    (void)conductor;
    return true;
}

int network_do_work(struct conductor *conductor, int64_t now_ns) {
    (void)conductor;
    (void)now_ns;
    return 0;
}

void network_on_timer(struct conductor *conductor, int64_t now_ns) {
    (void)conductor;
    (void)now_ns;
}

int network_submit_channel(struct conductor *conductor, struct udp_channel *channel,
                           int64_t correlation_id, struct tern_error *error) {
    (void)conductor;
    (void)correlation_id;
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_NOT_SUPPORTED),
                     "UDP channels are not supported yet: %.120s", channel->text);
}

int network_add_publication(struct conductor *conductor, const struct command *command,
                            struct tern_error *error) {
    (void)conductor;
    return refuse(command, error);
}

int32_t network_publication_status_id(const struct publication_net *publication) {
    (void)publication;
    return COUNTER_NULL_ID;
}

int network_add_destination(struct conductor *conductor, struct publication_net *publication,
                            const struct command *command, struct tern_error *error) {
    (void)conductor;
    (void)publication;
    return refuse(command, error);
}

int network_remove_destination(struct conductor *conductor, struct publication_net *publication,
                               const struct command *command, struct tern_error *error) {
    (void)conductor;
    (void)publication;
    return refuse(command, error);
}

int network_add_subscription(struct conductor *conductor, const struct command *command,
                             const struct subscription_params *params, bool is_spy,
                             struct tern_error *error) {
    (void)conductor;
    (void)params;
    (void)is_spy;
    return refuse(command, error);
}

void network_release_subscription(struct conductor *conductor, struct subscription *subscription) {
    (void)conductor;
    (void)subscription;
}

bool network_spy_matches(const struct subscription *subscription,
                         const struct publication_net *publication) {
    (void)subscription;
    (void)publication;
    return false;
}

bool network_reject_image(struct conductor *conductor, int64_t image_id, struct text_slice reason) {
    (void)conductor;
    (void)image_id;
    (void)reason;
    return false;
}
