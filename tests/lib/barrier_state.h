/* Do barriers of other processes reach this one? Also true where the kernel does not tell (before
 * Linux 6.3). */
#ifndef TESTS_LIB_BARRIER_STATE_H
#define TESTS_LIB_BARRIER_STATE_H

#include <linux/membarrier.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <unistd.h>

#define GET_REGISTRATIONS (1 << 9) /* missing in older headers */

static inline bool is_reached_by_barriers(void) {
    long registered = syscall(SYS_membarrier, GET_REGISTRATIONS, 0, 0);
    return registered < 0 || (registered & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0;
}

#endif
