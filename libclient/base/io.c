/* The operating system behind all four seams. */
#include "base/io.h"

struct io io_system(void) {
    return (struct io){clock_system(), random_system(), net_system(), store_system()};
}
