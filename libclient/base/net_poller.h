/* The pollers of net_system: the functions behind the poller_ members of struct net. */
#ifndef TERN_BASE_NET_POLLER_H
#define TERN_BASE_NET_POLLER_H

#include <stdint.h>

#include "base/error.h"

struct net_poller;

int net_poller_open(void *context, struct net_poller **poller, struct tern_error *error);
void net_poller_close(void *context, struct net_poller *poller);
int net_poller_add(void *context, struct net_poller *poller, int socket, void *owner,
                   struct tern_error *error);
void net_poller_remove(void *context, struct net_poller *poller, int socket);
int net_poller_ready(void *context, struct net_poller *poller, void **owners, int count);
void net_poller_wait(void *context, struct net_poller *const *pollers, int count,
                     int64_t timeout_ns);
void net_poller_wake(void *context, struct net_poller *poller);

#endif
