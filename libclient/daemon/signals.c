/* The two statics here are the only mutable ones in the daemons: a signal handler has no other
 * way to reach the main loop. `running` is a bool accessed by atomic builtins because agent_run
 * watches it; both accesses are lock-free and so allowed in a handler.
 *
 * Only the main thread should be woken by a signal. Linux gives a signal of the process to the
 * main thread when that does not block it, which nobody does here.
 */
#include "daemon/signals.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include "base/compiler.h"

static bool running = true;
static volatile sig_atomic_t received;

static void on_signal(int number) {
    received = number;
    __atomic_store_n(&running, false, __ATOMIC_RELEASE);
}

int signals_install(struct tern_error *error) {
    static const struct {
        int number;
        void (*handler)(int);
    } handlers[] = {{SIGTERM, on_signal}, {SIGINT, on_signal}, {SIGPIPE, SIG_IGN}};
    for (size_t i = 0; i < ARRAY_COUNT(handlers); i++) {
        struct sigaction action;
        memset(&action, 0, sizeof action);
        action.sa_handler = handlers[i].handler; /* no SA_RESTART: a wait shall end early */
        if (sigaction(handlers[i].number, &action, NULL) != 0) {
            return error_set_errno(error, errno, "cannot handle signal %d", handlers[i].number);
        }
    }
    return 0;
}

const bool *signals_running(void) {
    return &running;
}

int signals_received(void) {
    return received;
}

void signals_stop(void) {
    __atomic_store_n(&running, false, __ATOMIC_RELEASE);
}
