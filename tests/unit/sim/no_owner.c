/* What disk and network of the simulation need of owner.c and planted.c, without the wrapped heap.
 */
#include "sim/owner.h"
#include "sim/planted.h"

static int current;

int owner_switch(int owner) {
    int before = current;
    current = owner;
    return before;
}

int owner_current(void) {
    return current;
}

bool planted_skips_sync(const char *path) {
    (void)path;
    return false;
}
