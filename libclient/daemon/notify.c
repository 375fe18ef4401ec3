/* sd_notify: one datagram per message to the socket in $NOTIFY_SOCKET, '@' meaning an abstract
 * name. The socket is connected once; every send is MSG_DONTWAIT, so a manager that does not read
 * costs a lost status line and never a stalled duty cycle. */
#include "daemon/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uri.h"

#define MESSAGE_LENGTH_MAX 512

static const char *find_variable(char *const *environment, const char *name) {
    size_t length = strlen(name);
    for (; environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return NULL;
}

static int connect_socket(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if ((*path != '/' && *path != '@') || length >= sizeof address.sun_path) {
        return -1;
    }
    memcpy(address.sun_path, path, length);
    if (*path == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -1;
    }
    socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
    if (connect(fd, (const struct sockaddr *)&address, address_length) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* The watchdog is meant for this process unless $WATCHDOG_PID names another. */
static int64_t watchdog_interval_ns(char *const *environment) {
    const char *period = find_variable(environment, "WATCHDOG_USEC");
    const char *pid = find_variable(environment, "WATCHDOG_PID");
    int64_t period_us;
    int64_t process;
    if (period == NULL || parse_i64(period, &period_us) != 0 || period_us <= 0) {
        return 0;
    }
    if (pid != NULL && (parse_i64(pid, &process) != 0 || process != getpid())) {
        return 0;
    }
    return period_us * NS_PER_US / 2;
}

void notifier_open(struct notifier *notifier, char *const *environment) {
    const char *path = find_variable(environment, "NOTIFY_SOCKET");
    *notifier = (struct notifier){.fd = path == NULL ? -1 : connect_socket(path)};
    if (notifier->fd >= 0) {
        notifier->watchdog_interval_ns = watchdog_interval_ns(environment);
    }
}

void notifier_close(struct notifier *notifier) {
    if (notifier->fd >= 0) {
        (void)close(notifier->fd);
    }
    *notifier = (struct notifier){.fd = -1};
}

void notifier_send(struct notifier *notifier, const char *format, ...) {
    if (notifier->fd < 0) {
        return;
    }
    char message[MESSAGE_LENGTH_MAX];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (length < 0) {
        return;
    }
    size_t used = (size_t)length < sizeof message ? (size_t)length : sizeof message - 1;
    ssize_t sent = send(notifier->fd, message, used, MSG_DONTWAIT | MSG_NOSIGNAL);
    (void)sent; /* full or gone: the next message may get through */
}

void notifier_watchdog(struct notifier *notifier, int64_t now_ns) {
    if (notifier->watchdog_interval_ns == 0 || now_ns - notifier->watchdog_deadline_ns < 0) {
        return;
    }
    notifier->watchdog_deadline_ns = now_ns + notifier->watchdog_interval_ns;
    notifier_send(notifier, "WATCHDOG=1");
}
