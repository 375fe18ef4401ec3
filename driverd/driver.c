/* Putting the driver together, and its threads.
 *
 * The directory is prepared before anything is made in it, and belongs to this driver from then on:
 * a failing start takes back what it has made, a refused one touches nothing.
 *
 * A thread that has nothing to do blocks on the sockets of the agents it runs; who puts something
 * into the queue of an agent wakes it. Commands and data of local clients come through shared
 * memory, which cannot wake anybody; so no wait for them is longer than the idle strategy's longest
 * park. Names are looked up and log files made on threads of their own, except in INVOKER.
 */
#include "driverd/driver.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "base/futex.h"
#include "driverd/driver_directory.h"
#include "driverd/endpoint_recv.h"
#include "driverd/endpoint_send.h"
#include "driverd/name_table.h"
#include "driverd/network.h"
#include "driverd/plugin_names.h"

/* The conductor wakes resolver and log agent for a request. */
#define HELPER_PARK_NS NS_PER_S
/* In INVOKER: log files made in one cycle; as many as the commands of a cycle ask for, and the
 * image of a SETUP. */
#define LOGS_PER_CYCLE_MAX 16
/* Of agents without streams: how long the first command may have to wait. Well below the cycle time
 * that counts as too long (6.9). */
#define QUIET_PARK_NS (20 * NS_PER_MS)
#define QUIET_FACTOR 5 /* of the parks that lead there to those of an agent with streams */
#define HANG_TIMEOUT_NS (10 * NS_PER_S)

static int open_name_table(struct driver *driver, struct tern_error *error) {
    struct driver_context *context = &driver->context;
    struct name_table *table =
        name_table_create(driver->conf->name_resolver_args, driver->system_net, error);
    if (table == NULL) {
        return error_prefix(error, "name_resolver_init_args");
    }
    resolver_set_table(driver->resolver, table);
    return name_table_add_counters(table, context, error);
}

static int open_name_plugin(struct driver *driver, struct tern_error *error) {
    const struct tern_driver_plugin_head *head = driver->plugins.heads[PLUGIN_USE_NAMES];
    struct plugin_names *names = plugin_names_create(
        (const void *)head, driver->conf->name_resolver_args, driver->system_net, error);
    if (names == NULL) {
        return error_prefix(error, "%s", driver_plugin_key(driver->conf, PLUGIN_USE_NAMES));
    }
    resolver_set_plugin(driver->resolver, names);
    driver_plugin_count(&driver->plugins, PLUGIN_USE_NAMES, 1);
    return 0;
}

static int open_names(struct driver *driver, struct tern_error *error) {
    switch (driver_conf_name_resolver(driver->conf)) {
    case DRIVER_NAME_RESOLVER_CSV_TABLE:
        return open_name_table(driver, error);
    case DRIVER_NAME_RESOLVER_PLUGIN:
        return open_name_plugin(driver, error);
    case DRIVER_NAME_RESOLVER_DEFAULT:
    case DRIVER_NAME_RESOLVER_DRIVER:
        break;
    }
    return 0;
}

static int open_agents(struct driver *driver, struct tern_error *error) {
    struct driver_context *context = &driver->context;
    int result = sender_init(&driver->sender, context, error);
    if (result == 0) {
        result = receiver_init(&driver->receiver, context, error);
    }
    if (result == 0) {
        result = log_agent_init(&driver->log_agent, context, error);
        context->log_agent = &driver->log_agent;
    }
    driver->resolver = result == 0 ? calloc(1, sizeof *driver->resolver) : NULL;
    if (result == 0 && driver->resolver == NULL) {
        result = error_set(error, -ENOMEM, "no memory for the resolver");
    }
    if (result == 0) {
        /* None of the layers above it, which go with the driver. */
        result = resolver_init(driver->resolver, driver->system_net, error);
    }
    result = result < 0 ? result : open_names(driver, error);
    bool has_gossip = gossip_is_enabled(driver->conf);
    if (result == 0 && has_gossip) {
        result = gossip_socket_open(&driver->gossip, context, driver->resolver, error);
    }
    if (result < 0) {
        return result;
    }
    const struct conductor_params params = {
        .context = context,
        .sender = &driver->sender,
        .receiver = &driver->receiver,
        .resolver = driver->resolver,
        .gossip = has_gossip ? &driver->gossip : NULL,
    };
    const struct duty_cycle *const cycles[] = {&driver->sender.cycle, &driver->receiver.cycle,
                                               &driver->conductor.cycle};
    trace_init(&driver->trace, context, cycles);
    result = event_log_open(&driver->event_log, driver->conf, context->io.clock, error);
    if (result < 0) {
        return result;
    }
    context->event_log = event_log_is_on(&driver->event_log) ? &driver->event_log.ring : NULL;
    return conductor_init(&driver->conductor, &params, error);
}

/* 7.12: what the system gives is known only now. */
static int check_buffers(const struct driver_context *context, struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    const struct net_buffer_limits *limits = &context->buffer_limits;
    int32_t sndbuf =
        conf->so_sndbuf_bytes > 0 ? conf->so_sndbuf_bytes : limits->sndbuf_default_bytes;
    int32_t rcvbuf =
        conf->so_rcvbuf_bytes > 0 ? conf->so_rcvbuf_bytes : limits->rcvbuf_default_bytes;
    if (conf->mtu_length > sndbuf && sndbuf > 0) {
        return error_set(error, -EINVAL, "mtu_length=%d is more than SO_SNDBUF=%d",
                         conf->mtu_length, sndbuf);
    }
    if (conf->initial_window_length > rcvbuf && rcvbuf > 0) {
        return error_set(error, -EINVAL, "rcv_initial_window_length=%d is more than SO_RCVBUF=%d",
                         conf->initial_window_length, rcvbuf);
    }
    return 0;
}

/* Before anything is made: what is named wrongly keeps the driver from starting. */
static int find_symbols(struct driver *driver, struct tern_error *error) {
    int result = driver_libraries_load(driver->conf, error);
    if (result < 0) {
        return error_prefix(error, "driver_dynamic_libraries");
    }
    result = driver_start_function_find(driver->conf, &driver->on_thread_start, error);
    if (result < 0) {
        return error_prefix(error, "agent_on_start_function");
    }
    return driver_plugins_find(&driver->plugins, driver->conf, error);
}

static int open_transport(struct driver *driver, struct plugin_transport *transport,
                          enum plugin_use use, const struct net **net, struct tern_error *error) {
    const void *plugin = driver->plugins.heads[use];
    if (plugin == NULL) {
        return 0;
    }
    int result = plugin_transport_open(transport, plugin, *net, error);
    *net = &transport->layer.table;
    return result < 0 ? error_prefix(error, "%s", driver_plugin_key(driver->conf, use)) : 0;
}

/* The net seam of everything but the gossip of names, and that one's. */
static int open_way(struct driver *driver, const struct net **net, const struct net **names_net,
                    struct tern_error *error) {
    const struct driver_conf *conf = driver->conf;
    const char *key;
    bool is_lossy;
    int result = open_transport(driver, &driver->transport, PLUGIN_USE_TRANSPORT, net, error);
    result = result < 0 ? result
                        : open_transport(driver, &driver->names_transport,
                                         PLUGIN_USE_NAMES_TRANSPORT, names_net, error);
    if (result < 0) {
        return result;
    }
    result = interceptor_init(&driver->interceptor, conf, *net, &is_lossy, &key, error);
    if (result < 0) {
        return error_prefix(error, "%s", key);
    }
    *net = is_lossy ? &driver->interceptor.layer.table : *net;
    if (plugin_filter_is_wanted(conf, &driver->plugins)) {
        result = plugin_filter_open(&driver->filter, conf, &driver->plugins, *net, error);
        *net = &driver->filter.layer.table;
    }
    return result;
}

static bool has_filter(const struct driver *driver) {
    return driver->filter.layer.inner != NULL;
}

static int announce_plugins(struct driver *driver, struct tern_error *error) {
    struct driver_plugins *plugins = &driver->plugins;
    int result = driver_plugins_announce(plugins, &driver->context, error);
    if (result == 0 && has_filter(driver)) {
        result = plugin_filter_announce(&driver->filter, &driver->context, error);
    }
    driver_plugin_count(plugins, PLUGIN_USE_TRANSPORT, 1);
    driver_plugin_count(plugins, PLUGIN_USE_NAMES_TRANSPORT, 1);
    return result;
}

static int open_parts(struct driver *driver, const struct io *io, struct tern_error *error) {
    struct tern_error warning = {0};
    int cpus = driver_cpus_choose(driver->conf, &driver->cpus, &warning);
    if (cpus < 0) {
        *error = warning;
        return cpus;
    }
    int result = find_symbols(driver, error);
    result = result < 0 ? result : driver_directory_prepare(driver->conf, io, error);
    if (result < 0) {
        return result;
    }
    driver->has_directory = true;
    struct io chosen = *io;
    const struct net *names_net = io->net;
    driver->system_net = io->net;
    result = open_way(driver, &chosen.net, &names_net, error);
    result =
        result < 0 ? result : driver_context_open(&driver->context, driver->conf, &chosen, error);
    driver->context.names_net = names_net;
    driver->context.plugins = &driver->plugins;
    driver->context.filter = has_filter(driver) ? &driver->filter : NULL;
    result = result < 0 ? result : check_buffers(&driver->context, error);
    result = result < 0 ? result : announce_plugins(driver, error);
    result = result < 0 ? result : open_agents(driver, error);
    if (result == 0 && cpus > 0) {
        driver_context_log_error(&driver->context, &warning);
    }
    return result;
}

/* Two drivers that start at the same moment can both find the directory unused, and the later one
 * deletes what the earlier one has made. Who does not find his own file any more gives way. */
static int check_ownership(struct driver *driver, struct tern_error *error) {
    char path[DRIVER_DIRECTORY_MAX + 16];
    struct cnc cnc;
    (void)snprintf(path, sizeof path, "%s/%s", driver->conf->directory, CNC_FILE_NAME);
    const struct cnc_header *own = driver->context.cnc.header;
    if (cnc_open(&cnc, path, true, NULL) == 0) {
        bool is_own = cnc.header->pid == own->pid &&
                      cnc.header->start_timestamp_ms == own->start_timestamp_ms;
        cnc_close(&cnc);
        if (is_own) {
            return 0;
        }
    }
    driver->has_directory = false;
    return error_set(error, -EBUSY, "another driver has taken the directory %s at the same time",
                     driver->conf->directory);
}

int driver_open(struct driver **driver, const struct driver_conf *conf, const struct io *io,
                struct tern_error *error) {
    struct driver *made = aligned_alloc(CACHE_LINE_LENGTH, sizeof *made);
    if (made == NULL) {
        return error_set(error, -ENOMEM, "no memory for the driver");
    }
    *made = (struct driver){.conf = conf};
    int result = open_parts(made, io, error);
    if (result == 0) {
        driver_context_publish(&made->context);
        result = check_ownership(made, error);
    }
    if (result < 0) {
        bool has_directory = made->has_directory;
        driver_close(made);
        if (has_directory) { /* half a cnc.dat would look like a driver that is starting */
            (void)driver_directory_delete(conf->directory, NULL);
        }
        return result;
    }
    *driver = made;
    return 0;
}

/* A cycle of several agents on one thread goes on until one of them had work or all of them have
 * looked at all streams (sweep.h): the thread may rest afterwards. */
static int do_network_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    int work;
    sender_begin(&driver->sender, now_ns);
    do {
        work = sender_do_work(&driver->sender, now_ns);
        work += receiver_do_work(&driver->receiver, now_ns);
    } while (work == 0 && !sweep_is_over(&driver->sender.sweep));
    return work;
}

static int do_shared_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    int work;
    sender_begin(&driver->sender, now_ns);
    conductor_begin(&driver->conductor, now_ns);
    do {
        work = sender_do_work(&driver->sender, now_ns);
        work += receiver_do_work(&driver->receiver, now_ns);
        work += conductor_do_work(&driver->conductor, now_ns);
    } while (work == 0 &&
             !(sweep_is_over(&driver->sender.sweep) && conductor_is_swept(&driver->conductor)));
    return work;
}

static int do_sender_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    int work;
    sender_begin(&driver->sender, now_ns);
    do {
        work = sender_do_work(&driver->sender, now_ns);
    } while (work == 0 && !sweep_is_over(&driver->sender.sweep));
    return work;
}

static int do_receiver_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    return receiver_do_work(&driver->receiver, now_ns);
}

static int do_conductor_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    int work;
    conductor_begin(&driver->conductor, now_ns);
    do {
        work = conductor_do_work(&driver->conductor, now_ns);
    } while (work == 0 && !conductor_is_swept(&driver->conductor));
    return work;
}

static int do_resolver_work(void *context, int64_t now_ns) {
    return resolver_agent_do_work(context, now_ns);
}

static int do_log_agent_work(void *context, int64_t now_ns) {
    struct driver *driver = context;
    int work = trace_do_work(&driver->trace, now_ns);
    work += event_log_do_work(&driver->event_log, now_ns);
    return work + log_agent_do_work(&driver->log_agent, now_ns);
}

/* What the commands of this cycle wait for, so that they are answered in it. */
static int make_logs(struct driver *driver) {
    int work = 0;
    for (int i = 0; i < LOGS_PER_CYCLE_MAX && log_agent_serve(&driver->log_agent) > 0; i++) {
        work += 1 + conductor_take_logs(&driver->conductor);
    }
    return work;
}

int driver_do_work(struct driver *driver, int64_t now_ns) {
    int work = do_shared_work(driver, now_ns);
    for (int i = 0; i < RESOLVER_AGENT_COUNT; i++) {
        work += resolver_agent_do_work(&driver->resolver->agents[i], now_ns);
    }
    work += make_logs(driver);
    work += trace_do_work(&driver->trace, now_ns);
    work += event_log_do_work(&driver->event_log, now_ns);
    work += log_agent_delete(&driver->log_agent, now_ns);
    return work > 0 ? work : log_agent_touch(&driver->log_agent);
}

/* -- waiting -- */

static void wait_for(const struct driver *driver, struct net_poller *const *pollers, int count,
                     int64_t timeout_ns) {
    const struct net *net = driver->context.io.net;
    net->wait(net->context, pollers, count, timeout_ns);
}

/* What clients write concerns the conductor, and the sender when it has publications. For the rest
 * there are wake-ups. Each function runs on the thread that owns what it looks at, and says how
 * long its agents may rest: who comes later than that is late (duty_cycle.h). */
static int64_t sender_rest_ns(const struct driver *driver, int64_t timeout_ns) {
    bool is_idle = driver->sender.publications.count == 0;
    return is_idle ? max_i64(timeout_ns, QUIET_PARK_NS) : timeout_ns;
}

/* Without streams only commands can come; a client that waits for one answer after the other still
 * finds a driver that parks for no longer than the pauses. */
static int64_t conductor_rest_ns(const struct driver *driver, int64_t timeout_ns) {
    const struct conductor *conductor = &driver->conductor;
    bool has_streams = conductor->publications_ipc.count > 0 ||
                       conductor->publications_net.count > 0 || conductor->images.count > 0;
    int64_t longer_ns = min_i64(timeout_ns, QUIET_PARK_NS / QUIET_FACTOR) * QUIET_FACTOR;
    return has_streams ? timeout_ns : max_i64(timeout_ns, longer_ns);
}

static void wait_for_sender(void *context, int64_t timeout_ns) {
    struct driver *driver = context;
    int64_t rest_ns = sender_rest_ns(driver, timeout_ns);
    duty_cycle_rest(&driver->sender.cycle, rest_ns);
    wait_for(driver, &driver->sender.poller, 1, rest_ns);
}

static void wait_for_receiver(void *context, int64_t timeout_ns) {
    struct driver *driver = context;
    int64_t rest_ns = receiver_begin_wait(&driver->receiver);
    (void)timeout_ns; /* clients cannot do anything that it would have to look for */
    duty_cycle_rest(&driver->receiver.cycle, rest_ns);
    wait_for(driver, &driver->receiver.poller, 1, rest_ns);
    receiver_end_wait(&driver->receiver);
}

static void wait_for_conductor(void *context, int64_t timeout_ns) {
    struct driver *driver = context;
    int64_t rest_ns = conductor_rest_ns(driver, timeout_ns);
    duty_cycle_rest(&driver->conductor.cycle, rest_ns);
    wait_for(driver, &driver->context.conductor_poller, 1, rest_ns);
}

static void wait_for_network(void *context, int64_t timeout_ns) {
    struct driver *driver = context;
    struct net_poller *const pollers[] = {driver->sender.poller, driver->receiver.poller};
    int64_t rest_ns =
        min_i64(sender_rest_ns(driver, timeout_ns), receiver_begin_wait(&driver->receiver));
    duty_cycle_rest(&driver->sender.cycle, rest_ns);
    duty_cycle_rest(&driver->receiver.cycle, rest_ns);
    wait_for(driver, pollers, ARRAY_COUNT(pollers), rest_ns);
    receiver_end_wait(&driver->receiver);
}

/* All agents share the thread, but for the log agent. */
static void wait_for_all(void *context, int64_t timeout_ns) {
    struct driver *driver = context;
    struct net_poller *const pollers[] = {driver->sender.poller, driver->receiver.poller,
                                          driver->context.conductor_poller};
    int64_t rest_ns = conductor_rest_ns(driver, timeout_ns);
    duty_cycle_rest(&driver->conductor.cycle, rest_ns);
    duty_cycle_rest(&driver->sender.cycle, rest_ns);
    duty_cycle_rest(&driver->receiver.cycle, rest_ns);
    wait_for(driver, pollers, ARRAY_COUNT(pollers), rest_ns);
}

static void wait_for_resolver(void *context, int64_t timeout_ns) {
    resolver_agent_wait(context, timeout_ns);
}

static void wait_for_log_agent(void *context, int64_t timeout_ns) {
    const struct driver *driver = context;
    wait_for(driver, &driver->log_agent.poller, 1, timeout_ns);
}

static void wake_poller(const struct driver *driver, struct net_poller *poller) {
    const struct net *net = driver->context.io.net;
    net->wake(net->context, poller);
}

static void wake_sender(void *context) {
    const struct driver *driver = context;
    wake_poller(driver, driver->sender.poller);
}

static void wake_receiver(void *context) {
    const struct driver *driver = context;
    wake_poller(driver, driver->receiver.poller);
}

static void wake_resolver(void *context) {
    resolver_agent_wake(context);
}

static void wake_log_agent(void *context) {
    const struct driver *driver = context;
    wake_poller(driver, driver->log_agent.poller);
}

/* -- threads -- */

static void on_thread_start(void *start_context, const char *role) {
    const struct driver *driver = start_context;
    if (driver->on_thread_start != NULL) {
        driver->on_thread_start(NULL, role);
    }
}

static int start_runner(struct driver *driver, struct agent_runner_params *params,
                        struct tern_error *error) {
    params->clock = driver->context.io.clock;
    params->on_start = on_thread_start;
    params->start_context = driver;
    params->agent.context = driver;
    assert(driver->runner_count < DRIVER_THREADS_MAX);
    int result = agent_runner_start(&driver->runners[driver->runner_count], params, error);
    driver->runner_count += result == 0;
    return result;
}

static int choose_idle(struct driver *driver, struct agent_runner_params *params,
                       enum plugin_use use, const struct driver_idle_conf *conf,
                       struct tern_error *error) {
    const struct plugin_idle_params wanted = {use, conf, params->agent.name};
    struct plugin_idle *made;
    int result = plugin_idle_choose(&made, &driver->plugins, &wanted, &params->idle, error);
    if (result == 0 && made != NULL) {
        assert((size_t)driver->idle_count < ARRAY_COUNT(driver->idles));
        driver->idles[driver->idle_count++] = made;
    }
    return result;
}

static int start(struct driver *driver, struct agent_runner_params *params, enum plugin_use use,
                 const struct driver_idle_conf *idle, struct tern_error *error) {
    int result = choose_idle(driver, params, use, idle, error);
    return result < 0 ? result : start_runner(driver, params, error);
}

/* Without arguments they sleep until they are woken, which is as good as any shorter period. */
static int choose_helper_idle(const struct driver *driver, struct plugin_idle **made,
                              struct agent_runner_params *params, struct tern_error *error) {
    const struct driver_idle_conf *conf = &driver->conf->helper_idle;
    const struct plugin_idle_params wanted = {PLUGIN_USE_HELPER_IDLE, conf, params->agent.name};
    struct idle_strategy *idle = &params->idle;
    int result = plugin_idle_choose(made, &driver->plugins, &wanted, idle, error);
    if (result == 0 && idle->kind == IDLE_SLEEP && conf->arguments[0] == '\0') {
        bool has_events = event_log_is_on(&driver->event_log);
        idle->park_max_ns = has_events ? EVENT_LOG_INTERVAL_NS : HELPER_PARK_NS;
    }
    return result;
}

static int start_log_agent(struct driver *driver, struct tern_error *error) {
    struct agent_runner_params params = {
        .agent = {.name = "log-agent", .do_work = do_log_agent_work, .wait = wait_for_log_agent},
        .wake = wake_log_agent,
        .cpu = driver->cpus.helper,
        .role = "aeron-md-nra",
    };
    struct plugin_idle *made;
    int result = choose_helper_idle(driver, &made, &params, error);
    if (result == 0 && made != NULL) {
        driver->idles[driver->idle_count++] = made;
    }
    return result < 0 ? result : start_runner(driver, &params, error);
}

static int start_resolver(struct driver *driver, struct tern_error *error) {
    static const char *const names[RESOLVER_AGENT_COUNT] = {"resolver", "resolver-again"};
    int result = 0;
    for (int i = 0; result == 0 && i < RESOLVER_AGENT_COUNT; i++) {
        struct agent_runner_params params = {
            .agent = {names[i], &driver->resolver->agents[i], do_resolver_work, wait_for_resolver},
            .wake = wake_resolver,
            .clock = driver->context.io.clock,
            .cpu = driver->cpus.helper,
            .on_start = on_thread_start,
            .start_context = driver,
        };
        result = choose_helper_idle(driver, &driver->resolver_idles[i], &params, error);
        result =
            result < 0 ? result : agent_runner_start(&driver->resolver_runners[i], &params, error);
    }
    return result;
}

int driver_start(struct driver *driver, struct tern_error *error) {
    const struct driver_conf *conf = driver->conf;
    struct agent_runner_params sender = {
        .agent = {.name = "sender", .do_work = do_sender_work, .wait = wait_for_sender},
        .cpu = driver->cpus.sender,
        .wake = wake_sender,
    };
    struct agent_runner_params receiver = {
        .agent = {.name = "receiver", .do_work = do_receiver_work, .wait = wait_for_receiver},
        .cpu = driver->cpus.receiver,
        .wake = wake_receiver,
    };
    struct agent_runner_params network = {
        .agent = {.name = "sender,receiver", .do_work = do_network_work, .wait = wait_for_network},
        .cpu = driver->cpus.sender,
        .wake = wake_sender,
        .role = "[sender, receiver]",
    };
    int result = 0;
    (void)futex_barrier_register(); /* not by the first image: with threads it is slow */
    if (conf->threading == DRIVER_THREADING_DEDICATED ||
        conf->threading == DRIVER_THREADING_SHARED_NETWORK) {
        network_on_threads_apart(&driver->conductor);
    }
    switch ((enum driver_threading)conf->threading) {
    case DRIVER_THREADING_DEDICATED:
        result = start(driver, &sender, PLUGIN_USE_SENDER_IDLE, &conf->sender_idle, error);
        if (result == 0) {
            result =
                start(driver, &receiver, PLUGIN_USE_RECEIVER_IDLE, &conf->receiver_idle, error);
        }
        break;
    case DRIVER_THREADING_SHARED_NETWORK:
        result = start(driver, &network, PLUGIN_USE_SHARED_NETWORK_IDLE, &conf->shared_network_idle,
                       error);
        break;
    case DRIVER_THREADING_SHARED:
        break;
    case DRIVER_THREADING_INVOKER:
        return 0;
    }
    if (result == 0) {
        result = start_log_agent(driver, error);
    }
    return result < 0 ? result : start_resolver(driver, error);
}

static int do_invoker_work(void *context, int64_t now_ns) {
    return driver_do_work(context, now_ns);
}

int driver_main_agent(struct driver *driver, struct agent_runner_params *params,
                      struct tern_error *error) {
    const struct driver_conf *conf = driver->conf;
    bool is_shared = conf->threading == DRIVER_THREADING_SHARED;
    bool is_invoker = conf->threading == DRIVER_THREADING_INVOKER;
    bool has_all = is_shared || is_invoker;
    params->clock = driver->context.io.clock;
    params->cpu = driver->cpus.conductor;
    params->on_start = on_thread_start;
    params->start_context = driver;
    params->role = has_all ? "[conductor, sender, receiver]" : "conductor";
    params->agent = (struct agent){
        .name = "driverd",
        .context = driver,
        .do_work = is_invoker  ? do_invoker_work
                   : is_shared ? do_shared_work
                               : do_conductor_work,
        .wait = has_all ? wait_for_all : wait_for_conductor,
    };
    return choose_idle(driver, params, has_all ? PLUGIN_USE_SHARED_IDLE : PLUGIN_USE_CONDUCTOR_IDLE,
                       has_all ? &conf->shared_idle : &conf->conductor_idle, error);
}

bool driver_is_terminated(const struct driver *driver) {
    return load_acquire_u8(&driver->conductor.is_termination_requested) != 0;
}

static bool is_running(const struct duty_cycle *cycle, int64_t now_ns) {
    int64_t last_ns = load_plain_i64(&cycle->last_ns);
    return last_ns == 0 || now_ns - last_ns < HANG_TIMEOUT_NS;
}

bool driver_is_alive(const struct driver *driver, int64_t now_ns) {
    return is_running(&driver->conductor.cycle, now_ns) &&
           is_running(&driver->sender.cycle, now_ns) && is_running(&driver->receiver.cycle, now_ns);
}

/* -- the end -- */

/* The name service may take longer than anybody wants to wait for an end. A look-up that is under
 * way is left behind with its thread and its memory: the process is about to go. */
static bool is_resolver_busy(const struct driver *driver) {
    return driver->resolver_runners[0] != NULL && resolver_is_busy(driver->resolver);
}

static void close_agents(struct driver *driver) {
    bool is_busy = is_resolver_busy(driver);
    for (int i = 0; !is_busy && i < RESOLVER_AGENT_COUNT; i++) {
        agent_runner_stop(driver->resolver_runners[i]);
        plugin_idle_destroy(driver->resolver_idles[i]);
    }
    conductor_close(&driver->conductor, is_busy);
    gossip_socket_close(&driver->gossip);
    receiver_close(&driver->receiver);
    sender_close(&driver->sender);
    if (!is_busy && driver->resolver != NULL) {
        resolver_close(driver->resolver);
        free(driver->resolver);
    }
}

void driver_close(struct driver *driver) {
    if (driver == NULL) {
        return;
    }
    while (driver->runner_count > 0) {
        agent_runner_stop(driver->runners[--driver->runner_count]);
    }
    while (driver->idle_count > 0) {
        plugin_idle_destroy(driver->idles[--driver->idle_count]);
    }
    driver_context_signal_end(&driver->context);
    close_agents(driver);
    trace_close(&driver->trace);
    event_log_close(&driver->event_log);
    log_agent_close(&driver->log_agent);
    driver_context_close(&driver->context);
    plugin_filter_close(&driver->filter);
    plugin_transport_close(&driver->transport);
    plugin_transport_close(&driver->names_transport);
    if (driver->has_directory && driver->conf->dir_delete_on_shutdown) {
        (void)driver_directory_delete(driver->conf->directory, NULL);
    }
    free(driver);
}
