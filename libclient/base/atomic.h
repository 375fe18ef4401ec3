/* Named memory orders on words that another thread or process shares.
 *
 * Shared-memory files hold plain integers at fixed offsets, so _Atomic types cannot be used: these
 * functions give a plain word the order that the layout's document demands. Fields that are only
 * 4-aligned (shared-memory.md 4.2, offset 500) are never accessed through them.
 */
#ifndef TERN_BASE_ATOMIC_H
#define TERN_BASE_ATOMIC_H

#include <stdbool.h>
#include <stdint.h>

static inline int32_t load_acquire_i32(const int32_t *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline int64_t load_acquire_i64(const int64_t *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline uint8_t load_acquire_u8(const uint8_t *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

/* Pointers between the threads of one process. */
static inline void *load_acquire_pointer(void *const *p) {
    return __atomic_load_n(p, __ATOMIC_ACQUIRE);
}

static inline void store_release_pointer(void **p, void *value) {
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* "Plain" accesses of the documents: no order, but never torn and never merged by the compiler. */
static inline int32_t load_plain_i32(const int32_t *p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline int64_t load_plain_i64(const int64_t *p) {
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static inline void store_plain_i32(int32_t *p, int32_t value) {
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void store_plain_i64(int64_t *p, int64_t value) {
    __atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static inline void store_release_i32(int32_t *p, int32_t value) {
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline void store_release_i64(int64_t *p, int64_t value) {
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

static inline void store_release_u8(uint8_t *p, uint8_t value) {
    __atomic_store_n(p, value, __ATOMIC_RELEASE);
}

/* Returns the value before the addition. Full barrier on x86-64. */
static inline int64_t get_and_add_i64(int64_t *p, int64_t delta) {
    return __atomic_fetch_add(p, delta, __ATOMIC_ACQ_REL);
}

static inline int32_t get_and_add_i32(int32_t *p, int32_t delta) {
    return __atomic_fetch_add(p, delta, __ATOMIC_ACQ_REL);
}

/* The old value; acquire and release. */
static inline uint8_t exchange_u8(uint8_t *p, uint8_t value) {
    return __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL);
}

static inline void *exchange_pointer(void **p, void *value) {
    return __atomic_exchange_n(p, value, __ATOMIC_ACQ_REL);
}

static inline bool compare_and_set_pointer(void **p, void *expected, void *value) {
    return __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static inline bool compare_and_set_i64(int64_t *p, int64_t expected, int64_t value) {
    return __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

static inline bool compare_and_set_i32(int32_t *p, int32_t expected, int32_t value) {
    return __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_ACQ_REL,
                                       __ATOMIC_ACQUIRE);
}

/* Keeps the compiler from reordering, not the processor. */
static inline void fence_compiler(void) {
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static inline void fence_acquire(void) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
}

static inline void fence_release(void) {
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void fence_full(void) {
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

#endif
