/* A kernel or a sandbox without one system call: it fails for the rest of the process. */
#ifndef TESTS_LIB_REFUSED_CALL_H
#define TESTS_LIB_REFUSED_CALL_H

#include <assert.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/prctl.h>

static inline void refuse_call(long number, int code) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)code),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof filter / sizeof *filter, filter};
    int result = prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL);
    assert(result == 0);
    result = prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
    assert(result == 0);
    (void)result;
}

#endif
