/* The real random source: the kernel's generator, a few bytes at a time. It is asked in the
 * control plane only (ids, jitter), so a system call per number is fine. */
#include "base/random.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/random.h>

static uint64_t system_next(void *context) {
    (void)context;
    uint64_t value = 0;
    while (getrandom(&value, sizeof value, 0) != (ssize_t)sizeof value) {
        if (errno != EINTR) {
            abort(); /* Linux promises 8 bytes once the pool is seeded */
        }
    }
    return value;
}

const struct random *random_system(void) {
    static const struct random table = {NULL, system_next};
    return &table;
}
