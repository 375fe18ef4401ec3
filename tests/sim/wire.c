/* See wire.h. Addressing follows the kernel as far as drivers depend on it: a socket bound to the
 * wildcard sends from the host's address, a connected socket hears its peer only, a port is bound
 * once per host and family, but by any number of sockets that joined a group. */
#include "sim/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/clock.h"
#include "sim/owner.h"
#include "wire/frame.h"

#define FIRST_EPHEMERAL_PORT 40000
#define BUFFER_BYTES 212992 /* as Linux reports */
#define LOCAL_DELAY_NS (10 * NS_PER_US)
#define GARBAGE_LENGTH_MAX 256
#define FLIPS_LENGTH 24 /* of a frame: up to its term id */

#define INTERFACE_INDEX 2

enum spoiling { SPOIL_NOTHING, SPOIL_FLIP, SPOIL_ALL };

struct arrival {
    const union net_address *from;
    enum spoiling spoiling;
};

static struct wire_socket *socket_at(struct wire *wire, int handle) {
    assert(handle >= 0 && handle < wire->socket_count);
    assert(wire->sockets[handle].is_open);
    return &wire->sockets[handle];
}

static bool is_bound(const struct wire_socket *socket, int host, const union net_address *address) {
    return socket->is_open && socket->host == host &&
           socket->bound.base.sa_family == address->base.sa_family &&
           net_address_port(&socket->bound) == net_address_port(address);
}

static bool is_taken(const struct wire_host *host, const union net_address *address,
                     bool has_group) {
    const struct wire *wire = host->wire;
    for (int i = 0; i < wire->socket_count; i++) {
        const struct wire_socket *socket = &wire->sockets[i];
        if (is_bound(socket, host->index, address) && !(has_group && socket->has_group)) {
            return true;
        }
    }
    return false;
}

static int connect_socket(void *context, int handle, const union net_address *address,
                          struct tern_error *error) {
    const struct wire_host *host = context;
    struct wire_socket *socket = socket_at(host->wire, handle);
    (void)error;
    socket->is_connected = true;
    socket->peer = *address;
    return 0;
}

static union net_address own_address(const struct wire_host *host, int family, uint16_t port) {
    union net_address own = family == AF_INET6 ? host->address6 : host->address;
    net_address_set_port(&own, port);
    return own;
}

static bool is_own_address(const struct wire_host *host, const union net_address *address) {
    const union net_address own =
        own_address(host, address->base.sa_family, net_address_port(address));
    return net_address_is_wildcard(address) || net_address_equal(&own, address);
}

/* A group is joined on an interface, which has to be there. */
static int check_group(const struct wire_host *host, const struct net_socket_params *params,
                       struct tern_error *error) {
    const union net_address *interface = &params->group_interface;
    bool is_named = interface->base.sa_family != AF_UNSPEC && !net_address_is_wildcard(interface);
    bool is_other_index =
        params->group_interface_index != 0 && params->group_interface_index != INTERFACE_INDEX;
    if (params->group == NULL) {
        return 0;
    }
    if (host->is_gone || is_other_index || (is_named && !is_own_address(host, interface))) {
        return error_set_errno(error, ENODEV, "cannot join the group");
    }
    return 0;
}

static int note_arrivals(void *context, int handle, struct tern_error *error) {
    (void)context, (void)handle, (void)error; /* they stay "not known" */
    return 0;
}

static int open_socket(void *context, const struct net_socket_params *params, int *handle,
                       union net_address *bound, struct tern_error *error) {
    struct wire_host *host = context;
    struct wire *wire = host->wire;
    union net_address address = params->bind;
    if (!is_own_address(host, &address) || host->is_gone) {
        return error_set_errno(error, EADDRNOTAVAIL, "cannot bind");
    }
    int result = check_group(host, params, error);
    if (result != 0) {
        return result;
    }
    while (net_address_port(&params->bind) == 0) {
        net_address_set_port(&address, host->next_port++);
        host->next_port = host->next_port == 0 ? FIRST_EPHEMERAL_PORT : host->next_port;
        if (!is_taken(host, &address, false)) {
            break;
        }
    }
    if (is_taken(host, &address, params->group != NULL)) {
        return error_set_errno(error, EADDRINUSE, "cannot bind");
    }
    int index = 0;
    while (wire->sockets[index].is_open) {
        index++;
        assert(index < WIRE_SOCKETS_MAX);
    }
    wire->socket_count = max_i32(wire->socket_count, index + 1);
    wire->sockets[index] = (struct wire_socket){
        .is_open = true, .host = host->index, .owner = owner_current(), .bound = address};
    if (params->group != NULL) {
        wire->sockets[index].has_group = true;
        wire->sockets[index].group = *params->group;
        net_address_set_port(&wire->sockets[index].group, net_address_port(&address));
    }
    if (params->connect != NULL) {
        (void)connect_socket(host, index, params->connect, error);
    }
    *handle = index;
    *bound = address;
    return 0;
}

static void drop_queue(struct wire_socket *socket) {
    while (socket->queue != NULL) {
        struct wire_packet *next = socket->queue->next;
        free(socket->queue);
        socket->queue = next;
    }
}

static void close_socket(void *context, int handle) {
    const struct wire_host *host = context;
    struct wire_socket *socket = socket_at(host->wire, handle);
    drop_queue(socket);
    *socket = (struct wire_socket){0};
}

/* -- sending -- */

static union net_address source_of(const struct wire_host *host, const struct wire_socket *socket) {
    return own_address(host, socket->bound.base.sa_family, net_address_port(&socket->bound));
}

/* The host that has an address; a loopback address is the sender's own. -1: nobody. */
static int host_of(const struct wire_host *sender, const union net_address *to) {
    if (to->base.sa_family == AF_INET && (ntohl(to->v4.sin_addr.s_addr) >> 24) == 127) {
        return sender->index;
    }
    for (int i = 0; i < sender->wire->host_count; i++) {
        if (is_own_address(&sender->wire->hosts[i], to)) {
            return i;
        }
    }
    return -1;
}

static bool is_in_group(const struct wire_socket *socket, int host,
                        const union net_address *group) {
    return socket->is_open && socket->has_group && socket->host == host &&
           net_address_equal(&socket->group, group);
}

static bool is_host_in_group(const struct wire *wire, int host, const union net_address *group) {
    for (int i = 0; i < wire->socket_count; i++) {
        if (is_in_group(&wire->sockets[i], host, group)) {
            return true;
        }
    }
    return false;
}

static struct wire_socket *find_receiver(struct wire *wire, int host, const union net_address *to,
                                         const union net_address *from) {
    for (int i = 0; i < wire->socket_count; i++) {
        struct wire_socket *socket = &wire->sockets[i];
        if (is_bound(socket, host, to)) {
            return !socket->is_connected || net_address_equal(&socket->peer, from) ? socket : NULL;
        }
    }
    return NULL;
}

static double chance(struct wire *wire) {
    return random_unit(&wire->random);
}

static void deliver(struct wire *wire, struct wire_socket *socket, struct wire_packet *packet) {
    struct wire_packet **link = &socket->queue;
    while (*link != NULL &&
           ((*link)->deliver_ns < packet->deliver_ns ||
            ((*link)->deliver_ns == packet->deliver_ns && (*link)->number < packet->number))) {
        link = &(*link)->next;
    }
    packet->next = *link;
    *link = packet;
    socket->queued_bytes += packet->length;
    if (wire->on_arrival != NULL) {
        wire->on_arrival(wire->context, socket->host, packet->deliver_ns);
    }
}

static int64_t arrival_time(struct wire *wire, int from_host, int to_host, uint32_t length) {
    struct wire_link *link = &wire->links[from_host][to_host];
    if (from_host == to_host) {
        return wire->now_ns + LOCAL_DELAY_NS;
    }
    int64_t left_ns = wire->now_ns;
    if (link->bytes_per_s > 0) {
        link->busy_until_ns = max_i64(link->busy_until_ns, wire->now_ns) +
                              (int64_t)length * NS_PER_S / link->bytes_per_s;
        left_ns = link->busy_until_ns;
    }
    int64_t span_ns = link->delay_max_ns - link->delay_min_ns;
    return left_ns + link->delay_min_ns + (int64_t)(chance(wire) * (double)span_ns);
}

/* -- flipped bits -- */

/* The bits of byte `index` of a datagram whose flip its receiver can tell. Of a frame of data:
 * version, unknown types, lengths that are not those of the datagram, a stream, session or term
 * that is not there, an offset that is not aligned or not in the term. Of the others the version,
 * and the session of those for a sender. Nobody can tell the low bits of a length, or that batched
 * frames became one, flags, the offset within the term, the reserved value, and the payload. */
static uint8_t checked_bits(const struct wire_datagram *datagram, uint32_t index) {
    static const uint8_t data[FLIPS_LENGTH] = {
        [4] = 0xFF,  [6] = 0xF0,  [7] = 0xFF,  [8] = 0x1F,  [10] = 0xFE, [11] = 0xFF,
        [12] = 0xFF, [13] = 0xFF, [14] = 0xFF, [15] = 0xFF, [16] = 0xFF, [17] = 0xFF,
        [18] = 0xFF, [19] = 0xFF, [20] = 0xFF, [21] = 0xFF, [22] = 0xFF, [23] = 0xFF,
    };
    struct frame_common common;
    memcpy(&common, datagram->data, sizeof common);
    if (common.type == FRAME_TYPE_SM || common.type == FRAME_TYPE_NAK) {
        return index >= 8 && index < 12 ? 0xFF : index == 4 ? 0xFF : 0;
    }
    if (common.type != FRAME_TYPE_DATA) {
        return index == 4 ? 0xFF : 0;
    }
    bool is_alone =
        common.frame_length > 0 &&
        (uint32_t)align_i32(common.frame_length, LOG_FRAME_ALIGNMENT) == datagram->length;
    if (is_alone && index < 4) {
        return index == 0 ? 0xE0 : 0xFF;
    }
    return data[index];
}

static void flip_bit(struct wire *wire, const struct wire_datagram *datagram, uint8_t *bytes) {
    if (datagram->length < FLIPS_LENGTH) {
        return; /* no frame */
    }
    uint32_t room = wire->flips_anywhere ? datagram->length : FLIPS_LENGTH;
    for (;;) {
        uint64_t drawn = random_u64(&wire->random);
        uint32_t index = (uint32_t)((drawn >> 8) % room);
        uint8_t bit = (uint8_t)(1U << (drawn & 7));
        if (wire->flips_anywhere || (checked_bits(datagram, index) & bit) != 0) {
            bytes[index] ^= bit;
            wire->flipped_count++;
            return;
        }
    }
}

static void spoil(struct wire *wire, const struct wire_datagram *datagram, enum spoiling spoiling,
                  struct wire_packet *packet) {
    if (spoiling == SPOIL_FLIP) {
        flip_bit(wire, datagram, packet->data);
    }
    if (spoiling == SPOIL_ALL) {
        uint32_t length = 1 + (uint32_t)(chance(wire) * GARBAGE_LENGTH_MAX);
        packet->length = length < packet->length ? length : packet->length;
        for (uint32_t i = 0; i < packet->length; i++) {
            packet->data[i] = (uint8_t)random_u64(&wire->random);
        }
    }
}

/* It arrives at one socket. */
static void enqueue(struct wire *wire, const struct wire_datagram *datagram,
                    const struct arrival *arrival, struct wire_socket *socket) {
    if (socket->queued_bytes + datagram->length > WIRE_RECEIVE_BUFFER_BYTES) {
        wire->lost_count++;
        return;
    }
    int owner = owner_switch(OWNER_SIMULATOR);
    struct wire_packet *packet = malloc(sizeof *packet + datagram->length + 1);
    owner_switch(owner);
    assert(packet != NULL);
    packet->from = *arrival->from;
    packet->length = datagram->length;
    packet->number = wire->next_number++;
    packet->deliver_ns =
        arrival_time(wire, datagram->from_host, datagram->to_host, datagram->length);
    memcpy(packet->data, datagram->data, datagram->length);
    spoil(wire, datagram, arrival->spoiling, packet);
    deliver(wire, socket, packet);
}

/* It arrives at a host: at all sockets of a group there, else at one or none. */
static void arrive(struct wire *wire, const struct wire_datagram *datagram,
                   const union net_address *from, enum spoiling spoiling) {
    const struct arrival arrival = {from, spoiling};
    if (!net_address_is_multicast(datagram->to)) {
        struct wire_socket *socket = find_receiver(wire, datagram->to_host, datagram->to, from);
        if (socket != NULL) {
            enqueue(wire, datagram, &arrival, socket);
        }
        return;
    }
    for (int i = 0; i < wire->socket_count; i++) {
        if (is_in_group(&wire->sockets[i], datagram->to_host, datagram->to)) {
            enqueue(wire, datagram, &arrival, &wire->sockets[i]);
        }
    }
}

static void transmit(struct wire *wire, const struct wire_datagram *datagram,
                     const union net_address *from) {
    wire->sent_count++;
    if (wire->on_send != NULL) {
        wire->on_send(wire->context, datagram);
    }
    if (datagram->to_host < 0) {
        return;
    }
    bool is_local = datagram->from_host == datagram->to_host;
    const struct wire_link *link = &wire->links[datagram->from_host][datagram->to_host];
    bool is_gone =
        wire->hosts[datagram->from_host].is_gone || wire->hosts[datagram->to_host].is_gone;
    if (is_gone || (!is_local && (link->is_cut || (link->loss > 0 && chance(wire) < link->loss)))) {
        wire->lost_count++;
        return;
    }
    if (!is_local && link->garbage > 0 && chance(wire) < link->garbage) {
        wire->garbage_count++;
        arrive(wire, datagram, from, SPOIL_ALL);
        return;
    }
    bool is_flipped = !is_local && link->flip > 0 && chance(wire) < link->flip;
    arrive(wire, datagram, from, is_flipped ? SPOIL_FLIP : SPOIL_NOTHING);
    if (!is_local && link->duplication > 0 && chance(wire) < link->duplication) {
        wire->duplicated_count++;
        arrive(wire, datagram, from, SPOIL_NOTHING);
    }
}

static bool is_too_long(const struct wire *wire, const struct wire_datagram *datagram) {
    uint32_t length_max =
        datagram->to_host < 0 ? 0 : wire->links[datagram->from_host][datagram->to_host].length_max;
    return length_max > 0 && datagram->length > length_max;
}

/* Nobody tells the sender which of the group's hosts are behind a small MTU. */
static void transmit_to_group(struct wire *wire, struct wire_datagram datagram,
                              const union net_address *from) {
    for (int i = 0; i < wire->host_count; i++) {
        if (!is_host_in_group(wire, i, datagram.to)) {
            continue;
        }
        datagram.to_host = i;
        if (is_too_long(wire, &datagram)) {
            wire->lost_count++;
        } else {
            transmit(wire, &datagram, from);
        }
    }
}

static int send_datagrams(void *context, int handle, const struct net_datagram *datagrams,
                          int count, unsigned flags) {
    const struct wire_host *host = context;
    struct wire *wire = host->wire;
    const struct wire_socket *socket = socket_at(wire, handle);
    bool use_address = (flags & NET_SEND_TO_ADDRESS) != 0;
    assert(count > 0 && count <= NET_BATCH_COUNT_MAX);
    assert(use_address || socket->is_connected);
    const union net_address from = source_of(host, socket);
    for (int i = 0; i < count; i++) {
        const union net_address *to = use_address ? &datagrams[i].address : &socket->peer;
        struct wire_datagram datagram = {host->index, -1, to, datagrams[i].data,
                                         datagrams[i].length};
        if (net_address_is_multicast(to)) {
            transmit_to_group(wire, datagram, &from);
            continue;
        }
        datagram.to_host = host_of(host, to);
        if (is_too_long(wire, &datagram)) {
            return i > 0 ? i : -EMSGSIZE;
        }
        transmit(wire, &datagram, &from);
    }
    return count;
}

static int receive_datagrams(void *context, int handle, struct net_datagram *datagrams, int count) {
    const struct wire_host *host = context;
    struct wire_socket *socket = socket_at(host->wire, handle);
    int received = 0;
    while (received < count && socket->queue != NULL &&
           socket->queue->deliver_ns <= host->wire->now_ns) {
        struct wire_packet *packet = socket->queue;
        struct net_datagram *datagram = &datagrams[received++];
        socket->queue = packet->next;
        socket->queued_bytes -= packet->length;
        datagram->length =
            packet->length < datagram->capacity ? packet->length : datagram->capacity;
        datagram->address = packet->from;
        datagram->segment_length = 0;
        memcpy(datagram->data, packet->data, datagram->length);
        free(packet);
    }
    return received;
}

/* -- pollers -- */

#define POLLER_SOCKETS_MAX WIRE_SOCKETS_MAX

/* Of the process that opened it, as are the sockets in it. */
struct net_poller {
    struct {
        int handle;
        void *owner;
    } entries[POLLER_SOCKETS_MAX];
    int count;
    int next; /* entry to begin with, so that none is favoured */
};

static int open_poller(void *context, struct net_poller **poller, struct tern_error *error) {
    (void)context;
    (void)error;
    *poller = calloc(1, sizeof **poller);
    assert(*poller != NULL);
    return 0;
}

static void close_poller(void *context, struct net_poller *poller) {
    (void)context;
    free(poller);
}

static int add_to_poller(void *context, struct net_poller *poller, int handle, void *owner,
                         struct tern_error *error) {
    (void)context;
    (void)error;
    assert(poller->count < POLLER_SOCKETS_MAX);
    poller->entries[poller->count].handle = handle;
    poller->entries[poller->count++].owner = owner;
    return 0;
}

static void remove_from_poller(void *context, struct net_poller *poller, int handle) {
    (void)context;
    for (int i = 0; i < poller->count; i++) {
        if (poller->entries[i].handle == handle) {
            poller->entries[i] = poller->entries[--poller->count];
            return;
        }
    }
    assert(false);
}

static int find_ready(void *context, struct net_poller *poller, void **owners, int count) {
    const struct wire_host *host = context;
    int found = 0;
    int start = poller->next;
    for (int i = 0; i < poller->count && found < count; i++) {
        int index = (start + i) % poller->count;
        const struct wire_socket *socket = socket_at(host->wire, poller->entries[index].handle);
        if (socket->queue != NULL && socket->queue->deliver_ns <= host->wire->now_ns) {
            owners[found++] = poller->entries[index].owner;
            poller->next = index + 1;
        }
    }
    return found;
}

static void wake_poller(void *context, struct net_poller *poller) {
    (void)context;
    assert(poller != NULL); /* nobody ever waits */
}

/* -- names, interfaces -- */

static int resolve_host(void *context, const char *name, union net_address *address,
                        struct tern_error *error) {
    const struct wire_host *host = context;
    if (strcmp(name, "localhost") == 0) {
        *address = host->address;
        return 0;
    }
    return error_set(error, -ENOENT, "cannot resolve host '%s'", name);
}

static int list_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    const struct wire_host *host = context;
    int count = host->is_gone ? 0 : min_i32(capacity, 2);
    for (int i = 0; i < count; i++) {
        interfaces[i] = (struct net_interface){.name = "eth0",
                                               .index = INTERFACE_INDEX,
                                               .prefix_length = i == 0 ? 24 : 64,
                                               .is_multicast = true,
                                               .address = i == 0 ? host->address : host->address6};
    }
    return count;
}

static int buffer_limits(void *context, struct net_buffer_limits *limits,
                         struct tern_error *error) {
    (void)context;
    (void)error;
    *limits =
        (struct net_buffer_limits){BUFFER_BYTES, 4 * BUFFER_BYTES, BUFFER_BYTES, 4 * BUFFER_BYTES};
    return 0;
}

/* -- the network itself -- */

void wire_init(struct wire *wire, struct random random) {
    memset(wire, 0, sizeof *wire);
    wire->random = random;
}

struct wire_host *wire_add_host(struct wire *wire) {
    assert(wire->host_count < WIRE_HOSTS_MAX);
    struct wire_host *host = &wire->hosts[wire->host_count];
    char text[32];
    *host = (struct wire_host){.table = {.context = host,
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
                               .wire = wire,
                               .index = wire->host_count++,
                               .next_port = FIRST_EPHEMERAL_PORT};
    (void)snprintf(text, sizeof text, "10.0.0.%d:0", host->index + 1);
    int result = net_address_parse(text, &host->address);
    assert(result == 0);
    (void)snprintf(text, sizeof text, "[fd00::%d]:0", host->index + 1);
    result = net_address_parse(text, &host->address6);
    assert(result == 0);
    (void)result;
    return host;
}

void wire_drop_owner(struct wire *wire, int owner) {
    for (int i = 0; i < wire->socket_count; i++) {
        if (wire->sockets[i].is_open && wire->sockets[i].owner == owner) {
            close_socket(&wire->hosts[wire->sockets[i].host], i);
        }
    }
}

int wire_open_count(const struct wire *wire, int owner) {
    int count = 0;
    for (int i = 0; i < wire->socket_count; i++) {
        count += wire->sockets[i].is_open && wire->sockets[i].owner == owner;
    }
    return count;
}

void wire_close(struct wire *wire) {
    for (int i = 0; i < wire->socket_count; i++) {
        drop_queue(&wire->sockets[i]);
    }
}
