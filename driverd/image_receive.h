/* The receiver's part of an image: inserting packets and sending feedback (media-driver.md 3.6 to
 * 3.8, 3.11). */
#ifndef DRIVERD_IMAGE_RECEIVE_H
#define DRIVERD_IMAGE_RECEIVE_H

#include <stdint.h>

#include "base/net.h"
#include "wire/frame.h"

struct endpoint_recv;
struct driver_context;
struct image;

/* Take over from the conductor. */
void image_receive_start(struct image *image, int64_t now_ns);

/* A data datagram that passed frame_validate; returns the bytes taken. */
int image_receive_on_data(struct image *image, const struct frame_header *frame, uint32_t length,
                          const union net_address *source, int64_t now_ns);
void image_receive_on_setup(struct image *image, const union net_address *source, int64_t now_ns);
void image_receive_on_rttm(struct image *image, const struct frame_rttm *rttm, int64_t now_ns);
/* From now on the packets of the image are ignored and ERR frames say why. */
void image_receive_reject(struct image *image, const char *reason, int32_t length);

/* Each cycle: what is due of status messages, NAKs, gap fills and ERR frames; returns work done. */
int image_receive_send_feedback(struct image *image, int64_t now_ns);

/* One frame from the endpoint's socket. */
void endpoint_recv_transmit(struct endpoint_recv *endpoint, struct driver_context *context,
                            const void *frame, uint32_t length, const union net_address *to,
                            int64_t now_ns);
/* SM with SEND_SETUP (3.2, 3.4). */
void endpoint_recv_elicit_setup(struct endpoint_recv *endpoint, struct driver_context *context,
                                int32_t session_id, int32_t stream_id, const union net_address *to,
                                int64_t now_ns);

#endif
