/* The receiver's part of an image: inserting packets and sending feedback (media-driver.md 3.6 to
 * 3.8, 3.11). */
#ifndef DRIVERD_IMAGE_RECEIVE_H
#define DRIVERD_IMAGE_RECEIVE_H

#include <stdint.h>

#include "base/net.h"
#include "wire/frame.h"

struct image;

/* The way by which a frame came. */
struct image_path {
    int32_t index;                    /* of the destination */
    const union net_address *control; /* for its feedback, when the connection is new */
};

/* Take over from the conductor. */
void image_receive_start(struct image *image, int64_t now_ns);

/* A data datagram that passed frame_validate; returns the bytes taken. */
int image_receive_on_data(struct image *image, const struct frame_header *frame, uint32_t length,
                          const struct image_path *path, int64_t now_ns);
void image_receive_on_setup(struct image *image, const struct image_path *path, int64_t now_ns);
void image_receive_on_rttm(struct image *image, const struct frame_rttm *rttm, int64_t now_ns);
/* The destination goes: no more feedback that way, and it holds up no end of stream. */
void image_receive_drop_connection(struct image *image, int32_t index, int64_t now_ns);
/* The destination's explicit control address has changed. */
void image_receive_set_control(struct image *image, int32_t index,
                               const union net_address *control);
/* From now on the packets of the image are ignored and ERR frames say why. */
void image_receive_reject(struct image *image, const char *reason, int32_t length);

/* After an order, or when its time has come: what is due of status messages, NAKs, gap fills and
 * ERR frames; returns work done. */
int image_receive_send_feedback(struct image *image, int64_t now_ns);
/* When there will be something without an order of the conductor; INT64_MAX: never. */
int64_t image_receive_deadline_ns(const struct image *image);

#endif
