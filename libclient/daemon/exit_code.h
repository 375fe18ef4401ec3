/* Exit codes of all daemons (sysexits-like; users.md section 2). systemd does not restart after
 * EXIT_CODE_USAGE and EXIT_CODE_CONFIG. */
#ifndef TERN_DAEMON_EXIT_CODE_H
#define TERN_DAEMON_EXIT_CODE_H

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_USAGE = 64,       /* command line */
    EXIT_CODE_UNAVAILABLE = 69, /* what the daemon stands on is dead or never came */
    EXIT_CODE_OS = 71,          /* the operating system refused */
    EXIT_CODE_IO = 74,          /* disk: full, broken, damaged file */
    EXIT_CODE_TEMPORARY = 75,   /* try again: address or directory in use */
    EXIT_CODE_CONFIG = 78,      /* configuration */
};

/* The exit code that fits a negative error code of base or of the client. */
enum exit_code exit_code_of(int error_code);

#endif
