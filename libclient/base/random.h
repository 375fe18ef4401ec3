/* The random seam. Nothing below a runner calls the operating system for random bits. */
#ifndef TERN_BASE_RANDOM_H
#define TERN_BASE_RANDOM_H

#include <stdint.h>

struct random {
    void *context;
    uint64_t (*next_u64)(void *context);
};

static inline uint64_t random_u64(const struct random *random) {
    return random->next_u64(random->context);
}

static inline int32_t random_i32(const struct random *random) {
    return (int32_t)(uint32_t)(random_u64(random) >> 32);
}

/* Uniform in [0, 1). */
static inline double random_unit(const struct random *random) {
    return (double)(random_u64(random) >> 11) * 0x1.0p-53;
}

/* The operating system's generator. The returned table is static and immutable. */
const struct random *random_system(void);

#endif
