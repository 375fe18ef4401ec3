/* Random numbers from a seed (splitmix64). Whatever is drawn for a different purpose has dice of
 * its own, so that one more draw here changes nothing there. */
#ifndef TERN_SIM_DICE_H
#define TERN_SIM_DICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/random.h"

struct dice {
    uint64_t state;
};

static inline uint64_t dice_next(void *context) {
    struct dice *dice = context;
    uint64_t z = (dice->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static inline struct random dice_random(struct dice *dice) {
    return (struct random){dice, dice_next};
}

static inline double dice_unit(struct dice *dice) {
    return (double)(dice_next(dice) >> 11) * 0x1.0p-53;
}

static inline bool dice_chance(struct dice *dice, double chance) {
    return dice_unit(dice) < chance;
}

/* Uniform from min to max, both included. */
static inline int64_t dice_between(struct dice *dice, int64_t min, int64_t max) {
    return min + (int64_t)(dice_next(dice) % (uint64_t)(max - min + 1));
}

/* From min to max with the same chance for each order of magnitude. */
static inline int64_t dice_scale(struct dice *dice, int64_t min, int64_t max) {
    int64_t value = min;
    while (value < max && dice_chance(dice, 0.75)) {
        value *= 2;
    }
    value = dice_between(dice, value / 2 + 1, value);
    return value < min ? min : value > max ? max : value;
}

#endif
