/* The system's files with a counter of calls that can fail, so that a test can fail the n-th call
 * of an operation for every n, and let each error path run. */
#ifndef TERN_TESTS_ARCHIVED_FAULTY_STORE_H
#define TERN_TESTS_ARCHIVED_FAULTY_STORE_H

#include "base/store.h"

struct faulty_store {
    struct store store; /* what the code under test gets */
    int calls;          /* changes (not reads) of files and directories so far */
    int fail_at;        /* the number of the call that fails first; 0: none */
    int fail_count;     /* how many fail from there on */
    int error;
};

/* All works until faulty_store_fail. The struct must not move. */
void faulty_store_init(struct faulty_store *faulty);

/* Count from 0 again; call `at` and the `count - 1` calls behind it fail with `error`. */
void faulty_store_fail(struct faulty_store *faulty, int at, int count, int error);

#endif
