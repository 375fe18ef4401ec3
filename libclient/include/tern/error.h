/* Errors of every Tern API.
 *
 * A function that can fail returns 0 (or a count) on success and a negative code on failure; the
 * text goes to the caller's struct tern_error, which is written only on failure. Passing NULL for
 * the error is allowed everywhere. Codes come in ranges, so that one switch can tell who refused:
 *
 *      -1 ..  -999   -errno of the operating system
 *   -1000 .. -1999   found by the client itself
 *   -2000 .. -2999   -(2000 + code) answered by the media driver (shared-memory.md 3.3)
 *   -3000 .. -3999   -(3000 + code) answered by the archive (archive.md 3.8)
 *   -4000 .. -4999   cluster: -(4000 + event code) of a session event (cluster.md 1.2)
 */
#ifndef TERN_ERROR_H
#define TERN_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define TERN_API __attribute__((visibility("default")))
#else
#define TERN_API
#endif

#define TERN_ERROR_TEXT_MAX 248

/* Plain data of the caller's, who need not initialise it. */
struct tern_error {
    int code;                       /* negative, from the ranges above */
    char text[TERN_ERROR_TEXT_MAX]; /* ends with a NUL, cut when it is longer */
};

enum tern_error_code {
    TERN_ERROR_DRIVER_TIMEOUT = -1000,            /* no driver, or its heartbeat stopped */
    TERN_ERROR_CLIENT_TIMEOUT = -1001,            /* the driver declared this client dead */
    TERN_ERROR_CONDUCTOR_SERVICE_TIMEOUT = -1002, /* the conductor was not run for too long */
    TERN_ERROR_DRIVER_BUFFER_FULL = -1004,        /* the to-driver ring stayed full */
    TERN_ERROR_CLOSED = -1005,                    /* the client or the handle is closed */
    TERN_ERROR_INVALID_URI = -1006,
    TERN_ERROR_VERSION = -1007, /* peer or file with an incompatible version */
    TERN_ERROR_PROTOCOL = -1008,
    TERN_ERROR_DRIVER_BASE = -2000,
    TERN_ERROR_ARCHIVE_BASE = -3000,
    TERN_ERROR_CLUSTER_BASE = -4000,
};

/* A short name of a code: "driver timeout", "unknown host"; its range alone where it has no name of
 * its own ("system error", "archive error"), "no error" for 0 and above. Never NULL; the string is
 * static. Any thread. */
TERN_API const char *tern_error_name(int code);

#ifdef __cplusplus
}
#endif

#endif
