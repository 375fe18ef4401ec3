/* The pool of ports for wildcard addresses (media-driver.md 5.4). Conductor only. */
#ifndef DRIVERD_PORT_RANGE_H
#define DRIVERD_PORT_RANGE_H

#include <stdbool.h>
#include <stdint.h>

/* Both 0: the system chooses. */
struct port_range {
    uint16_t low;
    uint16_t high;
    uint16_t next;
    uint8_t used[65536 / 8];
};

void port_range_init(struct port_range *range, uint16_t low, uint16_t high);
static inline bool port_range_is_open(const struct port_range *range) {
    return range->high == 0;
}
/* The next free port of the range, marked as used; 0 when there is none. */
uint16_t port_range_take(struct port_range *range);
/* 0 is ignored. */
void port_range_give_back(struct port_range *range, uint16_t port);

#endif
