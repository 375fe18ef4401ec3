/* Congestion control of an image: the window that its status messages offer (media-driver.md 4.7).
 * Static only: the window never changes. Cubic is refused when the channel is parsed. */
#ifndef DRIVERD_CONGESTION_H
#define DRIVERD_CONGESTION_H

#include <stdint.h>

#include "base/error.h"

/* The window: min(configured or URI window, half the sender's term). */
int32_t congestion_static_window(int32_t window_bytes, int32_t term_length);

/* The value of the URI key `cc` (NULL: absent). */
int congestion_parse(const char *cc, struct tern_error *error);

#endif
