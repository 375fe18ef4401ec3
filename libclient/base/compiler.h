/* The only place for compiler extensions (style rule 1). */
#ifndef TERN_BASE_COMPILER_H
#define TERN_BASE_COMPILER_H

#include <assert.h>
#include <stddef.h>

#define CACHE_LINE_LENGTH 64

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(format_index, first_arg)                                                       \
    __attribute__((format(printf, format_index, first_arg)))
#define UNUSED __attribute__((unused))
#define CACHE_ALIGNED __attribute__((aligned(CACHE_LINE_LENGTH)))
#define PACKED __attribute__((packed))

/* The struct that holds `member` at `pointer`. */
#define CONTAINER_OF(pointer, type, member)                                                        \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

static inline void cpu_relax(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Asserts stay on in release builds; debug_assert is for per-byte and per-frame loops only. */
#ifdef TERN_DEBUG_ASSERT
#define debug_assert(condition) assert(condition)
#else
#define debug_assert(condition) ((void)0)
#endif

#endif
