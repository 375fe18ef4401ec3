/* A whole media driver: directory, conductor, sender, receiver, resolver, log agent.
 *
 * Nothing in here is static: several drivers live in one process in tests and in the simulator.
 *
 *     struct driver *driver;
 *     driver_open(&driver, &conf, &io, &error);
 *     while (!driver_is_terminated(driver)) driver_do_work(driver, now_ns);   // INVOKER
 *     driver_close(driver);
 *
 * With threads: driver_start instead of stepping, and the caller runs driver_main_agent.
 */
#ifndef DRIVERD_DRIVER_H
#define DRIVERD_DRIVER_H

#include "base/agent.h"
#include "driverd/conductor.h"
#include "driverd/driver_conf.h"
#include "driverd/driver_context.h"
#include "driverd/event_log.h"
#include "driverd/gossip_socket.h"
#include "driverd/interceptor.h"
#include "driverd/log_agent.h"
#include "driverd/plugin_filter.h"
#include "driverd/plugin_idle.h"
#include "driverd/plugin_transport.h"
#include "driverd/receiver.h"
#include "driverd/resolver.h"
#include "driverd/sender.h"
#include "driverd/thread_setup.h"
#include "driverd/trace.h"

#define DRIVER_THREADS_MAX 3 /* sender, receiver, log agent */

struct driver {
    const struct driver_conf *conf;
    bool has_directory; /* it is this driver's to clean up */
    /* The way of a datagram, from here to there: filter, interceptor, transport, system. Those that
     * are not configured are not open. */
    struct plugin_filter filter;
    struct interceptor interceptor; /* loses datagrams on purpose */
    struct plugin_transport transport;
    struct plugin_transport names_transport; /* of the gossip of names */
    const struct net *system_net;            /* outlives the driver */
    struct driver_context context;
    struct conductor conductor;
    struct sender sender;
    struct receiver receiver;
    struct log_agent log_agent;
    struct trace trace;         /* runs with the log agent */
    struct event_log event_log; /* likewise */
    struct resolver *resolver;  /* by itself: its thread may outlive the driver in a look-up */
    struct agent_runner *resolver_runners[RESOLVER_AGENT_COUNT];
    struct gossip_socket gossip;
    struct agent_runner *runners[DRIVER_THREADS_MAX];
    int runner_count;
    struct driver_cpus cpus;
    struct driver_plugins plugins;
    struct plugin_idle *idles[DRIVER_THREADS_MAX + 1]; /* of the runners and the main thread */
    int idle_count;
    struct plugin_idle *resolver_idles[RESOLVER_AGENT_COUNT]; /* NULL: built-in */
    driver_start_function on_thread_start;                    /* NULL: none */
};

/* Prepare the directory, make cnc.dat, publish it: clients may attach when it returns. `conf` is
 * borrowed until close. */
int driver_open(struct driver **driver, const struct driver_conf *conf, const struct io *io,
                struct tern_error *error);
/* One duty cycle of all agents, for INVOKER (names are looked up and files made in the call). Work
 * done. */
int driver_do_work(struct driver *driver, int64_t now_ns);

/* Start the threads that the threading mode wants besides the caller's. */
int driver_start(struct driver *driver, struct tern_error *error);
/* What the caller's own thread runs, with which idle strategy and on which processor. */
int driver_main_agent(struct driver *driver, struct agent_runner_params *params,
                      struct tern_error *error);

/* A client with permission asked for the end. Any thread. */
bool driver_is_terminated(const struct driver *driver);
/* False when an agent's duty cycle hangs. Any thread. */
bool driver_is_alive(const struct driver *driver, int64_t now_ns);

/* Stop threads, tell clients, delete all logs and (by configuration) the directory. NULL is fine.
 */
void driver_close(struct driver *driver);

#endif
