/* See sim_net.h. Addressing follows what the kernel does as far as the driver depends on it: a
 * socket bound to the wildcard address sends from 127.0.0.1, a connected socket hears its peer
 * only, a port can be bound once, or by any number of sockets that join groups. */
#include "lib/sim_net.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"

#define FIRST_EPHEMERAL_PORT 40000
#define BUFFER_BYTES 212992 /* as Linux reports */

static int64_t clock_now(void *context) {
    return ((struct sim_clock *)context)->now_ns;
}

static int64_t clock_epoch(void *context) {
    return ((struct sim_clock *)context)->epoch_ns;
}

void sim_clock_init(struct sim_clock *clock) {
    *clock = (struct sim_clock){
        .table = {clock, clock_now, clock_epoch},
        .now_ns = NS_PER_S,
        .epoch_ns = INT64_C(1700000000) * NS_PER_S,
    };
}

void sim_clock_advance(struct sim_clock *clock, int64_t duration_ns) {
    assert(duration_ns >= 0);
    clock->now_ns += duration_ns;
    clock->epoch_ns += duration_ns;
}

/* splitmix64 */
static uint64_t random_next(void *context) {
    struct sim_random *random = context;
    uint64_t z = (random->state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

void sim_random_init(struct sim_random *random, uint64_t seed) {
    *random = (struct sim_random){.table = {random, random_next}, .state = seed};
}

static struct sim_socket *socket_at(struct sim_net *net, int socket) {
    assert(socket >= 0 && socket < SIM_SOCKETS_MAX);
    assert(net->sockets[socket].is_open);
    return &net->sockets[socket];
}

static bool is_taken(const struct sim_net *net, const union net_address *address, bool has_group) {
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        const struct sim_socket *socket = &net->sockets[i];
        if (socket->is_open && !(has_group && socket->has_group) &&
            net_address_port(&socket->bound) == net_address_port(address) &&
            (net_address_is_wildcard(&socket->bound) || net_address_is_wildcard(address) ||
             net_address_equal(&socket->bound, address))) {
            return true;
        }
    }
    return false;
}

static int connect_socket(void *context, int handle, const union net_address *address,
                          struct tern_error *error) {
    struct sim_socket *socket = socket_at(context, handle);
    (void)error;
    socket->is_connected = true;
    socket->peer = *address;
    return 0;
}

static int open_socket(void *context, const struct net_socket_params *params, int *handle,
                       union net_address *bound, struct tern_error *error) {
    struct sim_net *net = context;
    union net_address address = params->bind;
    bool has_group = params->group != NULL;
    while (net_address_port(&params->bind) == 0) {
        net_address_set_port(&address, net->next_port++);
        if (!is_taken(net, &address, has_group)) {
            break;
        }
    }
    if (is_taken(net, &address, has_group)) {
        return error_set_errno(error, EADDRINUSE, "cannot bind");
    }
    int free_index = 0;
    while (free_index < SIM_SOCKETS_MAX && net->sockets[free_index].is_open) {
        free_index++;
    }
    assert(free_index < SIM_SOCKETS_MAX);
    net->sockets[free_index] = (struct sim_socket){.is_open = true,
                                                   .has_arrival_times = params->has_arrival_times,
                                                   .joins_segments = params->joins_segments,
                                                   .bound = address,
                                                   .has_group = has_group,
                                                   .ttl = params->ttl};
    if (has_group) {
        net->sockets[free_index].group = *params->group;
        net_address_set_port(&net->sockets[free_index].group, net_address_port(&address));
    }
    if (params->connect != NULL) {
        (void)connect_socket(net, free_index, params->connect, error);
    }
    *handle = free_index;
    *bound = address;
    return 0;
}

static void destroy_packet(struct sim_packet *packet) {
    free(packet->data);
    free(packet);
}

static void close_socket(void *context, int handle) {
    struct sim_socket *socket = socket_at(context, handle);
    while (socket->queue != NULL) {
        struct sim_packet *next = socket->queue->next;
        destroy_packet(socket->queue);
        socket->queue = next;
    }
    *socket = (struct sim_socket){0};
}

static int note_arrivals(void *context, int handle, struct tern_error *error) {
    (void)error;
    socket_at(context, handle)->has_arrival_times = true;
    return 0;
}

static struct sim_socket *find_receiver(struct sim_net *net, const struct sim_packet *packet) {
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        struct sim_socket *socket = &net->sockets[i];
        bool is_addressed = socket->is_open &&
                            net_address_port(&socket->bound) == net_address_port(&packet->to) &&
                            (net_address_is_wildcard(&socket->bound) ||
                             net_address_equal(&socket->bound, &packet->to));
        if (is_addressed &&
            (!socket->is_connected || net_address_equal(&socket->peer, &packet->from))) {
            return socket;
        }
    }
    return NULL;
}

static void enqueue(struct sim_net *net, struct sim_socket *socket,
                    const struct sim_packet *packet) {
    struct sim_packet *copy = malloc(sizeof *copy);
    assert(copy != NULL);
    *copy = *packet;
    copy->data = malloc(packet->length + 1u); /* exact, so that a sanitizer sees over-reads */
    assert(copy->data != NULL);
    memcpy(copy->data, packet->data, packet->length);
    int64_t span_ns = net->faults.delay_max_ns - net->faults.delay_min_ns;
    copy->deliver_ns = net->clock->now_ns + net->faults.delay_min_ns +
                       (int64_t)(random_unit(&net->random.table) * (double)span_ns);
    copy->number = net->next_number++;
    struct sim_packet **link = &socket->queue;
    while (*link != NULL &&
           ((*link)->deliver_ns < copy->deliver_ns ||
            ((*link)->deliver_ns == copy->deliver_ns && (*link)->number < copy->number))) {
        link = &(*link)->next;
    }
    copy->next = *link;
    *link = copy;
}

/* `socket` may be NULL: nobody there. */
static void deliver(struct sim_net *net, struct sim_socket *socket,
                    const struct sim_packet *packet) {
    if (random_unit(&net->random.table) < net->faults.drop) {
        net->dropped_count++;
        return;
    }
    if (socket != NULL) {
        enqueue(net, socket, packet);
    }
    if (random_unit(&net->random.table) < net->faults.duplicate) {
        net->duplicated_count++;
        if (socket != NULL) {
            enqueue(net, socket, packet);
        }
    }
}

static void transmit(struct sim_net *net, const struct sim_packet *packet) {
    net->sent_count++;
    if (net->filter != NULL && net->filter(net->filter_context, packet) == SIM_DROP) {
        net->dropped_count++;
        return;
    }
    if (!net_address_is_multicast(&packet->to)) {
        deliver(net, find_receiver(net, packet), packet);
        return;
    }
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        struct sim_socket *socket = &net->sockets[i];
        if (socket->is_open && socket->has_group &&
            net_address_equal(&socket->group, &packet->to)) {
            deliver(net, socket, packet);
        }
    }
}

static union net_address source_of(const struct sim_socket *socket) {
    union net_address from = socket->bound;
    if (net_address_is_wildcard(&from)) {
        uint16_t port = net_address_port(&from);
        (void)net_address_parse(from.base.sa_family == AF_INET6 ? "[::1]:0" : "127.0.0.1:0", &from);
        net_address_set_port(&from, port);
    }
    return from;
}

static int send_datagrams(void *context, int handle, const struct net_datagram *datagrams,
                          int count, unsigned flags) {
    struct sim_net *net = context;
    struct sim_socket *socket = socket_at(net, handle);
    assert(count > 0 && count <= NET_BATCH_COUNT_MAX);
    bool use_address = (flags & NET_SEND_TO_ADDRESS) != 0;
    net->send_calls++;
    assert(use_address || socket->is_connected);
    if ((flags & NET_SEND_SEGMENTED) != 0) {
        net->segmented_count++;
        if (net->segment_error != 0) {
            return net->segment_error;
        }
    }
    if (net->send_count_max > 0 && count > net->send_count_max) {
        count = net->send_count_max;
    }
    for (int i = 0; i < count; i++) {
        struct sim_packet packet = {
            .from = source_of(socket),
            .to = use_address ? datagrams[i].address : socket->peer,
            .length = datagrams[i].length,
            .data = datagrams[i].data,
        };
        transmit(net, &packet);
    }
    return count;
}

/* As UDP_GRO does: what has the same source and length as the first, and one shorter, which ends
 * it. */
static void join_segments(struct sim_net *net, struct sim_socket *socket,
                          struct net_datagram *datagram) {
    uint32_t length = datagram->length;
    bool is_ended = length == 0;
    while (!is_ended && socket->queue != NULL && socket->queue->deliver_ns <= net->clock->now_ns &&
           socket->queue->length > 0 && socket->queue->length <= length &&
           datagram->length + socket->queue->length <= NET_DATAGRAM_LENGTH_MAX &&
           net_address_equal(&socket->queue->from, &datagram->address)) {
        struct sim_packet *packet = socket->queue;
        socket->queue = packet->next;
        memcpy((uint8_t *)datagram->data + datagram->length, packet->data, packet->length);
        datagram->length += packet->length;
        datagram->segment_length = length;
        is_ended = packet->length < length;
        net->joined_count++;
        destroy_packet(packet);
    }
}

static int receive_datagrams(void *context, int handle, struct net_datagram *datagrams, int count) {
    struct sim_net *net = context;
    struct sim_socket *socket = socket_at(net, handle);
    int received = 0;
    net->receive_count++;
    net->receive_batch_last = count;
    net->receive_batch_max = count > net->receive_batch_max ? count : net->receive_batch_max;
    while (received < count && socket->queue != NULL &&
           socket->queue->deliver_ns <= net->clock->now_ns) {
        struct sim_packet *packet = socket->queue;
        struct net_datagram *datagram = &datagrams[received++];
        socket->queue = packet->next;
        datagram->length =
            packet->length < datagram->capacity ? packet->length : datagram->capacity;
        datagram->address = packet->from;
        datagram->segment_length = 0;
        int64_t waited_ns = net->clock->now_ns - packet->deliver_ns;
        datagram->arrival_epoch_ns =
            socket->has_arrival_times ? net->clock->epoch_ns - waited_ns : 0;
        memcpy(datagram->data, packet->data, datagram->length);
        destroy_packet(packet);
        if (net->has_gro && socket->joins_segments) {
            join_segments(net, socket, datagram);
        }
    }
    return received;
}

/* What it knows stands in the sockets. */
struct net_poller {
    int next; /* socket to begin with, so that none is favoured */
};

static int open_poller(void *context, struct net_poller **poller, struct tern_error *error) {
    (void)context;
    (void)error;
    *poller = calloc(1, sizeof **poller);
    assert(*poller != NULL);
    return 0;
}

static void close_poller(void *context, struct net_poller *poller) {
    struct sim_net *net = context;
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        if (net->sockets[i].poller == poller) {
            net->sockets[i].poller = NULL;
        }
    }
    free(poller);
}

static int add_to_poller(void *context, struct net_poller *poller, int handle, void *owner,
                         struct tern_error *error) {
    struct sim_socket *socket = socket_at(context, handle);
    (void)error;
    assert(socket->poller == NULL);
    socket->poller = poller;
    socket->owner = owner;
    return 0;
}

static void remove_from_poller(void *context, struct net_poller *poller, int handle) {
    struct sim_socket *socket = socket_at(context, handle);
    assert(socket->poller == poller);
    socket->poller = NULL;
}

static int find_ready(void *context, struct net_poller *poller, void **owners, int count) {
    const struct sim_net *net = context;
    int found = 0;
    int start = poller->next;
    for (int i = 0; i < SIM_SOCKETS_MAX && found < count; i++) {
        const struct sim_socket *socket = &net->sockets[(start + i) % SIM_SOCKETS_MAX];
        if (socket->is_open && socket->poller == poller && socket->queue != NULL &&
            socket->queue->deliver_ns <= net->clock->now_ns) {
            owners[found++] = socket->owner;
            poller->next = (start + i + 1) % SIM_SOCKETS_MAX;
        }
    }
    return found;
}

static void wake_poller(void *context, struct net_poller *poller) {
    (void)context;
    assert(poller != NULL); /* nobody ever waits */
}

static int resolve_host(void *context, const char *name, union net_address *address,
                        struct tern_error *error) {
    struct sim_net *net = context;
    net->resolve_count++;
    for (int i = 0; i < net->host_count; i++) {
        if (strcmp(net->hosts[i].name, name) == 0 &&
            net->hosts[i].address.base.sa_family != AF_UNSPEC) {
            *address = net->hosts[i].address;
            return 0;
        }
    }
    return error_set(error, -ENOENT, "cannot resolve host '%s'", name);
}

static int list_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    (void)context;
    if (capacity < 1) {
        return 0;
    }
    interfaces[0] =
        (struct net_interface){.name = "lo", .index = 1, .prefix_length = 8, .is_loopback = true};
    (void)net_address_parse("127.0.0.1", &interfaces[0].address);
    return 1;
}

static int buffer_limits(void *context, struct net_buffer_limits *limits,
                         struct tern_error *error) {
    (void)context;
    (void)error;
    *limits =
        (struct net_buffer_limits){BUFFER_BYTES, 4 * BUFFER_BYTES, BUFFER_BYTES, 4 * BUFFER_BYTES};
    return 0;
}

void sim_net_init(struct sim_net *net, const struct sim_clock *clock, uint64_t seed) {
    *net = (struct sim_net){
        .table = {.context = net,
                  .open = open_socket,
                  .connect = connect_socket,
                  .note_arrivals = note_arrivals,
                  .close = close_socket,
                  .send = send_datagrams,
                  .receive = receive_datagrams,
                  .poller_open = open_poller,
                  .poller_close = close_poller,
                  .poller_add = add_to_poller,
                  .poller_remove = remove_from_poller,
                  .poller_ready = find_ready,
                  .wake = wake_poller,
                  .resolve = resolve_host,
                  .interfaces = list_interfaces,
                  .buffer_limits = buffer_limits},
        .clock = clock,
        .next_port = FIRST_EPHEMERAL_PORT,
    };
    sim_random_init(&net->random, seed);
}

void sim_net_close(struct sim_net *net) {
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        if (net->sockets[i].is_open) {
            close_socket(net, i);
        }
    }
}

void sim_net_set_host(struct sim_net *net, const char *name, const char *address) {
    int index = 0;
    while (index < net->host_count && strcmp(net->hosts[index].name, name) != 0) {
        index++;
    }
    assert(index < SIM_HOSTS_MAX);
    net->host_count += index == net->host_count;
    struct sim_host *host = &net->hosts[index];
    *host = (struct sim_host){0};
    strncpy(host->name, name, sizeof host->name - 1);
    if (address != NULL) {
        int result = net_address_parse(address, &host->address);
        assert(result == 0);
        (void)result;
    }
}

int sim_net_open_count(const struct sim_net *net) {
    int count = 0;
    for (int i = 0; i < SIM_SOCKETS_MAX; i++) {
        count += net->sockets[i].is_open;
    }
    return count;
}

int sim_net_bind(struct sim_net *net, const char *address) {
    struct net_socket_params params = {0};
    union net_address bound;
    int handle = -1;
    int result = net_address_parse(address, &params.bind);
    assert(result == 0);
    result = open_socket(net, &params, &handle, &bound, NULL);
    assert(result == 0);
    (void)result;
    return handle;
}

void sim_net_send(struct sim_net *net, int socket, const char *to, const void *data,
                  uint32_t length) {
    struct sim_packet packet = {
        .from = source_of(socket_at(net, socket)), .length = length, .data = (uint8_t *)data};
    int result = net_address_parse(to, &packet.to);
    assert(result == 0);
    (void)result;
    struct sim_socket *receiver = find_receiver(net, &packet);
    if (receiver != NULL) {
        enqueue(net, receiver, &packet);
    }
}

uint32_t sim_net_receive(struct sim_net *net, int socket, void *buffer, union net_address *source) {
    struct net_datagram datagram = {.data = buffer, .capacity = 65536};
    if (receive_datagrams(net, socket, &datagram, 1) == 0) {
        return 0;
    }
    *source = datagram.address;
    return datagram.length;
}
