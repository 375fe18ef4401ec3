/* The only place for compiler extensions (style rule 1). */
#ifndef TERN_BASE_COMPILER_H
#define TERN_BASE_COMPILER_H

#include <assert.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#define CACHE_LINE_LENGTH 64

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define PRINTF_LIKE(format_index, first_arg)                                                       \
    __attribute__((format(printf, format_index, first_arg)))
/* For what seldom happens in a short function, which then needs no registers saved. */
#define NOINLINE __attribute__((noinline))
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

/* ThreadSanitizer does not see streaming stores: it is given ordinary ones. */
#if defined(__SANITIZE_THREAD__)
#define HAS_STREAMING_STORES 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HAS_STREAMING_STORES 0
#endif
#endif
#if !defined(HAS_STREAMING_STORES) && defined(__x86_64__)
#define HAS_STREAMING_STORES 1
#endif

/* Zero whole cache lines in memory, past the caches, for whoever writes them next on any core. They
 * are zero before any later store is seen. */
static inline void zero_lines_streaming(void *start, size_t length) {
#if HAS_STREAMING_STORES
    const __m128i zero = _mm_setzero_si128();
    __m128i *end = (__m128i *)(void *)((char *)start + length);
    for (__m128i *at = start; at < end; at++) {
        _mm_stream_si128(at, zero);
    }
    _mm_sfence();
#else
    memset(start, 0, length);
#endif
}

/* Asserts stay on in release builds; debug_assert is for per-byte and per-frame loops only. */
#ifdef TERN_DEBUG_ASSERT
#define debug_assert(condition) assert(condition)
#else
#define debug_assert(condition) ((void)0)
#endif

#endif
