/* Ports for wildcard addresses: a cursor goes round, so that a port rests before it is used again
 * (media-driver.md 5.4). Pure. */
#include "driverd/port_range.h"

#include <assert.h>

void port_range_init(struct port_range *range, uint16_t low, uint16_t high) {
    assert(low <= high);
    *range = (struct port_range){.low = low, .high = high, .next = low};
}

static bool is_used(const struct port_range *range, uint16_t port) {
    return (range->used[port / 8] >> (port % 8) & 1) != 0;
}

uint16_t port_range_take(struct port_range *range) {
    assert(!port_range_is_open(range));
    int32_t count = range->high - range->low + 1;
    for (int32_t i = 0; i < count; i++) {
        uint16_t port = range->next;
        range->next = port == range->high ? range->low : (uint16_t)(port + 1);
        if (port != 0 && !is_used(range, port)) {
            range->used[port / 8] |= (uint8_t)(1u << (port % 8));
            return port;
        }
    }
    return 0;
}

void port_range_give_back(struct port_range *range, uint16_t port) {
    if (port != 0) {
        assert(is_used(range, port));
        range->used[port / 8] &= (uint8_t) ~(1u << (port % 8));
    }
}
