/* Which subscriptions are attached to which streams (media-driver.md 6.8). Called after the ready
 * response of what was added, so that a client always knows the thing before its images. */
#ifndef DRIVERD_LINKING_H
#define DRIVERD_LINKING_H

struct conductor;
struct image;
struct publication_ipc;
struct publication_net;
struct subscription;

/* A new subscription: to all streams that it wants and that accept it. */
void linking_attach_subscription(struct conductor *conductor, struct subscription *subscription);
/* Tell its client that all its images go; then detach it. */
void linking_announce_unavailable(const struct subscription *subscription);
/* A subscription goes: detach it, and let the publications know. */
void linking_detach_subscription(struct conductor *conductor, struct subscription *subscription);

/* A new stream (or one that accepts subscribers again): all subscriptions that want it. */
void linking_attach_publication_ipc(struct conductor *conductor,
                                    struct publication_ipc *publication);
void linking_attach_publication_net(struct conductor *conductor,
                                    struct publication_net *publication);
void linking_attach_image(struct conductor *conductor, struct image *image);

#endif
