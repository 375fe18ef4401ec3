/* A borrowed run of bytes inside somebody else's buffer: text or opaque data, not NUL-terminated.
 * It lives as long as that buffer does. Text from outside may hold any byte, NUL included. */
#ifndef TERN_WIRE_SLICE_H
#define TERN_WIRE_SLICE_H

#include <stdint.h>

struct text_slice {
    const char *text;
    int32_t length;
};

#endif
