/* A network in memory: the net seam for tests and simulations. Sockets of all drivers in a process
 * share one struct sim_net; datagrams wait in their receiver's queue until their time has come.
 * What goes to a multicast group comes to every socket that joined it.
 *
 * What happens to a datagram is decided when it is sent: by a script (a filter function of the
 * test) or by rates and a seed. The same seed and the same steps give the same run. One thread
 * only.
 */
#ifndef TERN_TESTS_SIM_NET_H
#define TERN_TESTS_SIM_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/net.h"
#include "base/random.h"

#define SIM_SOCKETS_MAX 256
#define SIM_HOSTS_MAX 16

/* A clock that only the test moves. */
struct sim_clock {
    struct clock table; /* hand out &table */
    int64_t now_ns;
    int64_t epoch_ns;
};
void sim_clock_init(struct sim_clock *clock);
void sim_clock_advance(struct sim_clock *clock, int64_t duration_ns);

struct sim_random {
    struct random table; /* hand out &table */
    uint64_t state;
};
void sim_random_init(struct sim_random *random, uint64_t seed);

struct sim_packet {
    union net_address from;
    union net_address to;
    int64_t deliver_ns;
    uint64_t number; /* in the order of sending; ties of deliver_ns are broken by it */
    uint32_t length;
    uint8_t *data;
    struct sim_packet *next;
};

struct sim_socket {
    bool is_open;
    bool is_connected;
    bool has_arrival_times;
    bool joins_segments;
    union net_address bound;
    union net_address peer;
    struct sim_packet *queue;  /* ordered by deliver_ns, number */
    struct net_poller *poller; /* NULL: none */
    void *owner;
    bool has_group; /* and so shares its port with others that have one */
    union net_address group;
    uint8_t ttl; /* as asked for; the network does not look at it */
};

/* Rates from 0 to 1, for each receiver of a datagram by itself; delays are uniform between min and
 * max, so max > min reorders. */
struct sim_faults {
    double drop;
    double duplicate;
    int64_t delay_min_ns;
    int64_t delay_max_ns;
};

enum sim_verdict { SIM_PASS, SIM_DROP };
typedef enum sim_verdict (*sim_filter)(void *context, const struct sim_packet *packet);

struct sim_host {
    char name[64];
    union net_address address; /* port 0; family AF_UNSPEC: unknown */
};

struct sim_net {
    struct net table; /* hand out &table */
    const struct sim_clock *clock;
    struct sim_random random;
    struct sim_faults faults;
    sim_filter filter; /* asked first; NULL: none */
    void *filter_context;
    int send_count_max; /* datagrams that one send call takes; 0: all */
    int segment_error;  /* what a send with NET_SEND_SEGMENTED fails with; 0: it does not */
    bool has_gro;       /* sockets that want it get datagrams of one length joined */
    struct sim_socket sockets[SIM_SOCKETS_MAX];
    struct sim_host hosts[SIM_HOSTS_MAX];
    int host_count;
    uint16_t next_port;
    uint64_t next_number;
    /* what happened */
    int64_t send_calls;
    int64_t sent_count;
    int64_t dropped_count;
    int64_t duplicated_count;
    int64_t segmented_count; /* sends with NET_SEND_SEGMENTED */
    int64_t joined_count;    /* datagrams that came joined to the one before */
    int64_t receive_count;   /* calls */
    int64_t resolve_count;   /* calls */
    int receive_batch_max;   /* datagrams that a call asked for */
    int receive_batch_last;  /* those of the last call */
};

void sim_net_init(struct sim_net *net, const struct sim_clock *clock, uint64_t seed);
void sim_net_close(struct sim_net *net);

/* Make a name known, change its address, or (NULL) forget it. */
void sim_net_set_host(struct sim_net *net, const char *name, const char *address);
int sim_net_open_count(const struct sim_net *net);

/* A raw socket of the test. */
int sim_net_bind(struct sim_net *net, const char *address);
void sim_net_send(struct sim_net *net, int socket, const char *to, const void *data,
                  uint32_t length);
/* The next datagram that is due, or 0; `buffer` has 65536 bytes. */
uint32_t sim_net_receive(struct sim_net *net, int socket, void *buffer, union net_address *source);

#endif
