/* Integer arithmetic that the protocols share: alignment, powers of two, wrapping 32-bit ids, and
 * little-endian bytes at any alignment. Everything is pure. */
#ifndef TERN_BASE_BITS_H
#define TERN_BASE_BITS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool is_power_of_two(int64_t value) {
    return value > 0 && (value & (value - 1)) == 0;
}

/* The smallest multiple of `alignment` (a power of two) that is not below `value` (>= 0). */
static inline int64_t align_i64(int64_t value, int64_t alignment) {
    return (value + (alignment - 1)) & ~(alignment - 1);
}

static inline int32_t align_i32(int32_t value, int32_t alignment) {
    return (int32_t)align_i64(value, alignment);
}

/* log2 of a power of two. */
static inline int32_t trailing_zero_bits(int64_t value) {
    return (int32_t)__builtin_ctzll((unsigned long long)value);
}

static inline int32_t wrapping_add_i32(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a + (uint32_t)b);
}

static inline int32_t wrapping_sub_i32(int32_t a, int32_t b) {
    return (int32_t)((uint32_t)a - (uint32_t)b);
}

static inline int64_t min_i64(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static inline int64_t max_i64(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static inline int32_t min_i32(int32_t a, int32_t b) {
    return a < b ? a : b;
}

static inline int32_t max_i32(int32_t a, int32_t b) {
    return a > b ? a : b;
}

/* Tern runs on little-endian machines only (shared-memory.md 0), so a copy is a conversion. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "layouts are little-endian");

static inline int16_t get_i16(const void *p) {
    int16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline uint16_t get_u16(const void *p) {
    uint16_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline int32_t get_i32(const void *p) {
    int32_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline int64_t get_i64(const void *p) {
    int64_t value;
    memcpy(&value, p, sizeof value);
    return value;
}

static inline void put_i16(void *p, int16_t value) {
    memcpy(p, &value, sizeof value);
}

static inline void put_u16(void *p, uint16_t value) {
    memcpy(p, &value, sizeof value);
}

static inline void put_i32(void *p, int32_t value) {
    memcpy(p, &value, sizeof value);
}

static inline void put_i64(void *p, int64_t value) {
    memcpy(p, &value, sizeof value);
}

#endif
