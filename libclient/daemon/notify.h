/* The service manager's notification socket (sd_notify protocol), written here rather than taken
 * from libsystemd so that it never blocks and works the same without that library. Messages are
 * datagrams to $NOTIFY_SOCKET; without the variable every function does nothing.
 */
#ifndef TERN_DAEMON_NOTIFY_H
#define TERN_DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"

struct notifier {
    int fd;                       /* connected datagram socket; -1: nobody listens */
    int64_t watchdog_interval_ns; /* half of $WATCHDOG_USEC; 0: no watchdog wanted */
    int64_t watchdog_deadline_ns;
};

/* Never fails: a socket that cannot be reached is nobody listening. */
void notifier_open(struct notifier *notifier, char *const *environment);
void notifier_close(struct notifier *notifier);

/* Send "NAME=value[\nNAME=value...]"; dropped when the socket is full. */
void notifier_send(struct notifier *notifier, const char *format, ...) PRINTF_LIKE(2, 3);

/* WATCHDOG=1 when half of the period has passed since the last one. */
void notifier_watchdog(struct notifier *notifier, int64_t now_ns);

#endif
