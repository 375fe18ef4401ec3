/* Waiting for kernel sockets: an epoll descriptor (level-triggered) per poller, and an eventfd by
 * which other threads end a wait.
 *
 * The eventfd is not in the epoll set: a look at the sockets must not swallow a wake-up that came
 * after the agent had looked for what it was woken for. Only the wait takes it.
 *
 * A wait tells which sockets have nothing to receive, and an agent looks at them right after it:
 * that look is left out, as a system call of a processor that was asleep is dear.
 */
#include "base/net_poller.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/net.h"

struct net_poller {
    int sockets; /* epoll */
    int socket_count;
    int waker;      /* eventfd */
    bool is_silent; /* a wait has just found nothing at the sockets */
};

int net_poller_open(void *context, struct net_poller **poller, struct tern_error *error) {
    struct net_poller *made = malloc(sizeof *made);
    if (made == NULL) {
        return error_set_errno(error, ENOMEM, "cannot make a poller");
    }
    *made = (struct net_poller){
        .sockets = epoll_create1(EPOLL_CLOEXEC),
        .waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK),
    };
    if (made->sockets < 0 || made->waker < 0) {
        int failure = errno;
        net_poller_close(context, made);
        return error_set_errno(error, failure, "cannot make a poller");
    }
    *poller = made;
    return 0;
}

void net_poller_close(void *context, struct net_poller *poller) {
    (void)context;
    if (poller == NULL) {
        return;
    }
    if (poller->sockets >= 0) {
        (void)close(poller->sockets);
    }
    if (poller->waker >= 0) {
        (void)close(poller->waker);
    }
    free(poller);
}

int net_poller_add(void *context, struct net_poller *poller, int socket, void *owner,
                   struct tern_error *error) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = owner};
    (void)context;
    if (epoll_ctl(poller->sockets, EPOLL_CTL_ADD, socket, &event) != 0) {
        return error_set_errno(error, errno, "cannot poll a UDP socket");
    }
    poller->socket_count++;
    return 0;
}

void net_poller_remove(void *context, struct net_poller *poller, int socket) {
    (void)context;
    if (epoll_ctl(poller->sockets, EPOLL_CTL_DEL, socket, NULL) == 0) {
        poller->socket_count--;
    }
}

int net_poller_ready(void *context, struct net_poller *poller, void **owners, int count) {
    struct epoll_event events[NET_BATCH_COUNT_MAX];
    (void)context;
    assert(count > 0 && count <= NET_BATCH_COUNT_MAX);
    if (poller->socket_count == 0 || poller->is_silent) {
        poller->is_silent = false;
        return 0;
    }
    int found = epoll_wait(poller->sockets, events, count, 0);
    for (int i = 0; i < found; i++) {
        owners[i] = events[i].data.ptr;
    }
    return found < 0 ? 0 : found; /* EINTR is the only error left */
}

void net_poller_wait(void *context, struct net_poller *const *pollers, int count,
                     int64_t timeout_ns) {
    struct pollfd wakers[2 * NET_POLLERS_MAX];
    struct pollfd *sockets = wakers + count;
    struct timespec timeout = {timeout_ns / NS_PER_S, timeout_ns % NS_PER_S};
    (void)context;
    assert(count > 0 && count <= NET_POLLERS_MAX);
    for (int i = 0; i < count; i++) {
        bool has_sockets = pollers[i]->socket_count > 0;
        wakers[i] = (struct pollfd){pollers[i]->waker, POLLIN, 0};
        sockets[i] = (struct pollfd){has_sockets ? pollers[i]->sockets : -1, POLLIN, 0};
    }
    int found = ppoll(wakers, 2 * (nfds_t)count, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        eventfd_t wakes;
        pollers[i]->is_silent = found >= 0 && sockets[i].revents == 0;
        if ((wakers[i].revents & POLLIN) != 0) {
            (void)eventfd_read(wakers[i].fd, &wakes);
        }
    }
}

void net_poller_wake(void *context, struct net_poller *poller) {
    (void)context;
    /* It can only fail when it has been woken 2^64 times before. */
    (void)eventfd_write(poller->waker, 1);
}
