/* Sleeping on words of shared memory, and waking who sleeps there. */
#ifndef TERN_BASE_FUTEX_H
#define TERN_BASE_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#define FUTEX_WORDS_MAX 128 /* of the kernel's futex_waitv */

struct futex_word {
    int32_t *address;
    int32_t expected; /* sleep only while the word has this value */
    bool is_private;  /* of this process; false: in a shared mapping */
};

/* Sleep until somebody wakes one of the words or timeout_ns passed. 0: woken or a word had another
 * value; -ETIMEDOUT; -EINTR; -ENOSYS: more than one word, and the kernel (before 5.16) or a filter
 * of system calls has only the call for one. `count` is 1 to FUTEX_WORDS_MAX. */
int futex_wait(const struct futex_word *words, int count, int64_t timeout_ns);

/* Wake all that sleep on the word. Never blocks. */
void futex_wake(int32_t *address, bool is_private);

/* A full memory barrier on every thread that runs now, in every process that has called
 * futex_barrier_register. With it the one who goes to sleep pays for the order between its word
 * and the data, and the one who writes data and then looks at the word pays nothing. False: not
 * available here, so the order is not certain. */
bool futex_barrier(void);
/* For the process, before it writes; calls after the first change nothing. The first one takes 10
 * to 20 ms when the process has several threads, and nothing before. False: barriers of others do
 * not reach it (before Linux 4.16, or a filter of system calls). */
bool futex_barrier_register(void);

#endif
