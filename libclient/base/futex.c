/* Futexes and the process-wide barrier: thin wrappers of three Linux calls that libc lacks.
 *
 * futex_waitv takes absolute times and shared and private words at once. For a single word the old
 * FUTEX_WAIT serves, which every kernel has.
 */
#include "base/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/compiler.h"

static int wait_one(const struct futex_word *word, int64_t timeout_ns) {
    struct timespec timeout = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    int operation = FUTEX_WAIT | (word->is_private ? FUTEX_PRIVATE_FLAG : 0);
    long result = syscall(SYS_futex, word->address, operation, word->expected, &timeout, NULL, 0);
    return result == 0 || errno == EAGAIN ? 0 : -errno;
}

static int wait_many(const struct futex_word *words, int count, int64_t timeout_ns) {
    struct futex_waitv vector[FUTEX_WORDS_MAX];
    for (int i = 0; i < count; i++) {
        vector[i] = (struct futex_waitv){
            .val = (uint32_t)words[i].expected,
            .uaddr = (uint64_t)(uintptr_t)words[i].address,
            .flags = FUTEX_32 | (words[i].is_private ? FUTEX_PRIVATE_FLAG : 0U),
        };
    }
    struct timespec deadline;
    (void)clock_gettime(CLOCK_MONOTONIC, &deadline);
    int64_t ns = deadline.tv_nsec + timeout_ns % NS_PER_S;
    deadline.tv_sec += timeout_ns / NS_PER_S + ns / NS_PER_S;
    deadline.tv_nsec = ns % NS_PER_S;
    long result = syscall(SYS_futex_waitv, vector, count, 0, &deadline, CLOCK_MONOTONIC);
    if (result >= 0 || errno == EAGAIN) {
        return 0;
    }
    return errno == EPERM ? -ENOSYS : -errno;
}

int futex_wait(const struct futex_word *words, int count, int64_t timeout_ns) {
    assert(count >= 1);
    assert(count <= FUTEX_WORDS_MAX);
    timeout_ns = max_i64(timeout_ns, 0);
    return count == 1 ? wait_one(words, timeout_ns) : wait_many(words, count, timeout_ns);
}

void futex_wake(int32_t *address, bool is_private) {
    int operation = FUTEX_WAKE | (is_private ? FUTEX_PRIVATE_FLAG : 0);
    (void)syscall(SYS_futex, address, operation, INT32_MAX, NULL, NULL, 0);
}

bool futex_barrier(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

bool futex_barrier_register(void) {
    return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
}
