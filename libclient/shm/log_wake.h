/* Sleeping until something is appended to a log, and waking who sleeps (our own extension).
 *
 * Three words in the padding of a log's metadata (144 to 255, which no other make reads or writes):
 *
 *     sleeper         1: somebody may sleep on this word. Who appends looks at it after its commit,
 *                     and when it is set clears it and wakes.
 *     writers         how many handles may append; kept by our driver, 0 below another make of
 *                     driver, negative when a writer died and the words below are not reliable.
 *     waking_writers  how many of them look at `sleeper`; kept by the writers themselves.
 *
 * A subscriber may sleep long only while both counts are equal: an Aeron client that adds the same
 * publication makes them differ, and the driver wakes the sleepers to let them see that. On joining
 * the driver counts first, on leaving the writer, so that the counts are never equal by accident.
 *
 * Order. A writer stores its frame, then loads `sleeper`; a sleeper stores `sleeper`, then loads
 * the frame. One of them must see the other, which takes a full barrier between store and load on
 * both sides. The writer's is paid by the sleeper (futex_barrier), so that looking costs the writer
 * one load of a line that does not change.
 */
#ifndef TERN_SHM_LOG_WAKE_H
#define TERN_SHM_LOG_WAKE_H

#include "base/atomic.h"
#include "base/compiler.h"
#include "shm/log_buffer.h"

#define LOG_WRITERS_UNRELIABLE INT32_MIN

/* The slow half of log_wake. */
void log_wake_sleepers(struct log_metadata *metadata);

/* A writer, after it committed a frame. */
static inline void log_wake(struct log_metadata *metadata) {
    fence_compiler(); /* the barrier of the sleeper does the rest */
    if (UNLIKELY(load_plain_i32(&metadata->sleeper) != 0)) {
        log_wake_sleepers(metadata);
    }
}

/* The same for one whom no barrier may reach: the driver, which is no counted writer of the log. */
void log_wake_by_driver(struct log_metadata *metadata);

/* Driver: a handle was linked, or unlinked in good order. */
void log_writers_change(struct log_metadata *metadata, int32_t delta);
/* Driver: a writer died, and nobody knows whether it was counted. For the rest of the log's life.
 */
void log_writers_distrust(struct log_metadata *metadata);
/* Driver: the log of an image, which only the driver writes. */
void log_writers_set_own(struct log_metadata *metadata);

/* Writer: it looks at `sleeper` from now on; false: it cannot be relied upon and was not counted.
 * Who was counted leaves when it looks no longer. */
bool log_waking_writer_join(struct log_metadata *metadata);
void log_waking_writer_leave(struct log_metadata *metadata);

/* Subscriber: announce the sleep. Then futex_barrier, a look at the data, log_wakes_reliably, and
 * the sleep while the word is LOG_SLEEPER. */
#define LOG_SLEEPER 1
static inline void log_sleeper_announce(struct log_metadata *metadata) {
    store_release_i32(&metadata->sleeper, LOG_SLEEPER);
}
bool log_wakes_reliably(const struct log_metadata *metadata);

#endif
