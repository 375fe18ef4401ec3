/* The words of log_wake.h: counts of writers, and the wake-up itself. */
#include "shm/log_wake.h"

#include "base/futex.h"

void log_wake_sleepers(struct log_metadata *metadata) {
    /* Of several writers one wakes. Later sleepers announce themselves anew. */
    if (__atomic_exchange_n(&metadata->sleeper, 0, __ATOMIC_ACQ_REL) != 0) {
        futex_wake(&metadata->sleeper, false);
    }
}

void log_wake_by_driver(struct log_metadata *metadata) {
    fence_full();
    log_wake(metadata);
}

void log_writers_change(struct log_metadata *metadata, int32_t delta) {
    int32_t writers = load_plain_i32(&metadata->writers);
    if (writers != LOG_WRITERS_UNRELIABLE) {
        store_release_i32(&metadata->writers, writers + delta);
        log_wake_by_driver(metadata);
    }
}

void log_writers_distrust(struct log_metadata *metadata) {
    store_release_i32(&metadata->writers, LOG_WRITERS_UNRELIABLE);
    log_wake_by_driver(metadata);
}

/* Whom barriers of sleepers do not reach is no waking writer: sleepers of other processes have
 * them, and would rely on them. */
void log_writers_set_own(struct log_metadata *metadata) {
    store_plain_i32(&metadata->waking_writers, futex_barrier_register());
    store_release_i32(&metadata->writers, 1);
}

bool log_waking_writer_join(struct log_metadata *metadata) {
    bool is_reached = futex_barrier_register();
    if (is_reached) {
        (void)get_and_add_i32(&metadata->waking_writers, 1);
    }
    return is_reached;
}

void log_waking_writer_leave(struct log_metadata *metadata) {
    (void)get_and_add_i32(&metadata->waking_writers, -1);
}

bool log_wakes_reliably(const struct log_metadata *metadata) {
    int32_t writers = load_acquire_i32(&metadata->writers);
    return writers > 0 && writers == load_acquire_i32(&metadata->waking_writers);
}
