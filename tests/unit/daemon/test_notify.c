#include <criterion/criterion.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/notify.h"

/* A manager's socket with an abstract name; the variable goes to `variable`. */
static int open_manager(char *variable, size_t size) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int length = snprintf(address.sun_path + 1, sizeof address.sun_path - 1, "tern-notify-%d",
                          (int)getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    socklen_t address_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, address_length), 0);
    (void)snprintf(variable, size, "NOTIFY_SOCKET=@%s", address.sun_path + 1);
    return fd;
}

static void expect_message(int fd, const char *expected) {
    char text[600];
    ssize_t length = recv(fd, text, sizeof text - 1, 0);
    if (expected == NULL) {
        cr_assert(length < 0 && errno == EAGAIN);
        return;
    }
    cr_assert_geq(length, 0, "%s", strerror(errno));
    text[length] = '\0';
    cr_assert_str_eq(text, expected);
}

Test(notify, messages_reach_the_manager_and_the_watchdog_is_fed_at_half_its_period) {
    char variable[128];
    char pid[64];
    struct notifier notifier;
    int manager = open_manager(variable, sizeof variable);
    (void)snprintf(pid, sizeof pid, "WATCHDOG_PID=%d", (int)getpid());
    notifier_open(&notifier, (char *[]){variable, "WATCHDOG_USEC=2000000", pid, NULL});
    notifier_send(&notifier, "READY=1\nSTATUS=%s", "serving");
    expect_message(manager, "READY=1\nSTATUS=serving");
    const struct {
        int64_t now_ns;
        const char *expected;
    } steps[] = {{5 * NS_PER_S, "WATCHDOG=1"},
                 {6 * NS_PER_S - 1, NULL},
                 {6 * NS_PER_S, "WATCHDOG=1"},
                 {6 * NS_PER_S, NULL}};
    for (size_t i = 0; i < ARRAY_COUNT(steps); i++) {
        notifier_watchdog(&notifier, steps[i].now_ns);
        expect_message(manager, steps[i].expected);
    }
    notifier_close(&notifier);
    notifier_send(&notifier, "STATUS=after close");
    expect_message(manager, NULL);

    notifier_open(&notifier, (char *[]){variable, "WATCHDOG_USEC=2000000", "WATCHDOG_PID=1", NULL});
    cr_assert_eq(notifier.watchdog_interval_ns, 0); /* meant for another process */
    notifier_close(&notifier);
    cr_assert_eq(close(manager), 0);
}

Test(notify, nobody_listening_or_a_manager_that_does_not_read_never_blocks) {
    static char *const sets[][2] = {{NULL, NULL},
                                    {"NOTIFY_SOCKET=/nonexistent/socket", NULL},
                                    {"NOTIFY_SOCKET=relative", NULL}};
    struct notifier notifier;
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++) {
        notifier_open(&notifier, sets[i]);
        cr_assert_eq(notifier.fd, -1);
        notifier_send(&notifier, "READY=1");
        notifier_close(&notifier);
    }
    char variable[128];
    int manager = open_manager(variable, sizeof variable);
    notifier_open(&notifier, (char *[]){variable, NULL});
    for (int i = 0; i < 10000; i++) {
        notifier_send(&notifier, "STATUS=%d", i); /* a blocking send would hang the test here */
    }
    expect_message(manager, "STATUS=0");
    notifier_close(&notifier);
    cr_assert_eq(close(manager), 0);
}
