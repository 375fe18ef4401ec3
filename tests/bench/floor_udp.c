/* floor_udp [PART...]: what the kernel's loopback can do; all parts without an argument.
 *     rtt       round trip of a 64-byte datagram between two spinning threads
 *     block     the same between two that sleep in the kernel
 *     relay     the same between two that yield to each other on core 0 and hand words in memory to
 * a thread on core 1, which does nothing but send and receive for them stream    datagrams of MTU
 * 1408 that one thread can hand to another, one call each gso:MTU   the same in calls of many
 * (UDP_SEGMENT, UDP_GRO)
 *
 * Streams are printed as messages, too: as many as fit their datagrams with headers of 32 bytes.
 * What counts is what arrives; the sender does not wait for the receiver, so some may be lost. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"

#define ROUND_TRIPS 40000
#define WARM_UP 4000
#define STREAM_NS INT64_C(500000000)
#define DATAGRAM_LENGTH 1408
#define BATCH_LENGTH_MAX 65000 /* of one call with UDP_SEGMENT */
#define SEGMENTS_MAX 64
#define BUFFER_LENGTH 65536
#define BLOCKING_ROUND_TRIPS 4000
#define FRAME_ALIGNMENT 32
#define DATA_HEADER_LENGTH 32

struct pair {
    int near_fd;
    int far_fd;
    bool is_done;
    int64_t received_bytes;
};

static int open_socket(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    int buffer_bytes = 4 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *address = (struct sockaddr_in){.sin_family = AF_INET};
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, length) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &length) != 0) {
        bench_fail("cannot open a socket");
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    return fd;
}

static void open_pair(struct pair *pair) {
    struct sockaddr_in near_address;
    struct sockaddr_in far_address;
    *pair = (struct pair){0};
    pair->near_fd = open_socket(&near_address);
    pair->far_fd = open_socket(&far_address);
    if (connect(pair->near_fd, (struct sockaddr *)&far_address, sizeof far_address) != 0 ||
        connect(pair->far_fd, (struct sockaddr *)&near_address, sizeof near_address) != 0) {
        bench_fail("cannot connect a socket");
    }
}

static void close_pair(struct pair *pair) {
    (void)close(pair->near_fd);
    (void)close(pair->far_fd);
}

static void *echo(void *argument) {
    struct pair *pair = argument;
    char datagram[DATAGRAM_LENGTH];
    bench_pin(1);
    while (!__atomic_load_n(&pair->is_done, __ATOMIC_ACQUIRE)) {
        ssize_t length = recv(pair->far_fd, datagram, sizeof datagram, 0);
        if (length > 0) {
            (void)send(pair->far_fd, datagram, (size_t)length, 0);
        }
    }
    return NULL;
}

/* How many datagrams each end gave to the relay, and how many it got; a line each. */
struct relay {
    struct pair pair;
    alignas(BENCH_LINE_LENGTH) int64_t near_out;
    alignas(BENCH_LINE_LENGTH) int64_t near_in;
    alignas(BENCH_LINE_LENGTH) int64_t far_out;
    alignas(BENCH_LINE_LENGTH) int64_t far_in;
};

static int64_t load(const int64_t *word) {
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void add(int64_t *word) {
    __atomic_store_n(word, *word + 1, __ATOMIC_RELEASE);
}

static void relay_one_way(int from_fd, int to_fd, const int64_t *out, int64_t *sent, int64_t *in) {
    char datagram[DATAGRAM_LENGTH] = {0};
    if (load(out) > *sent) {
        *sent += send(from_fd, datagram, 64, 0) > 0;
    }
    if (recv(to_fd, datagram, sizeof datagram, 0) > 0) {
        add(in);
    }
}

static void *run_relay(void *argument) {
    struct relay *relay = argument;
    const struct pair *pair = &relay->pair;
    int64_t sent_near = 0;
    int64_t sent_far = 0;
    bench_pin(1);
    while (!__atomic_load_n(&pair->is_done, __ATOMIC_ACQUIRE)) {
        relay_one_way(pair->near_fd, pair->far_fd, &relay->near_out, &sent_near, &relay->far_in);
        relay_one_way(pair->far_fd, pair->near_fd, &relay->far_out, &sent_far, &relay->near_in);
    }
    return NULL;
}

static void *echo_by_relay(void *argument) {
    struct relay *relay = argument;
    bench_pin(0);
    while (!__atomic_load_n(&relay->pair.is_done, __ATOMIC_ACQUIRE)) {
        if (load(&relay->far_in) > relay->far_out) {
            add(&relay->far_out);
        } else {
            (void)sched_yield();
        }
    }
    return NULL;
}

static void measure_relayed_round_trip(void) {
    static struct relay relay;
    struct bench_samples samples;
    pthread_t threads[2];
    open_pair(&relay.pair);
    bench_samples_init(&samples, ROUND_TRIPS);
    if (pthread_create(&threads[0], NULL, run_relay, &relay) != 0 ||
        pthread_create(&threads[1], NULL, echo_by_relay, &relay) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    for (int64_t i = 1; i <= ROUND_TRIPS + WARM_UP; i++) {
        int64_t start_ns = bench_now_ns();
        add(&relay.near_out);
        while (load(&relay.near_in) < i) {
            (void)sched_yield();
        }
        if (i > WARM_UP) {
            bench_samples_add(&samples, bench_now_ns() - start_ns);
        }
    }
    __atomic_store_n(&relay.pair.is_done, true, __ATOMIC_RELEASE);
    for (int i = 0; i < 2; i++) {
        (void)pthread_join(threads[i], NULL);
    }
    bench_print_latency("floor_udp_relay_rtt", &samples, "-");
    bench_samples_close(&samples);
    close_pair(&relay.pair);
}

static void *consume(void *argument) {
    struct pair *pair = argument;
    static char buffer[BUFFER_LENGTH];
    bench_pin(1);
    while (!__atomic_load_n(&pair->is_done, __ATOMIC_ACQUIRE)) {
        ssize_t length = recv(pair->far_fd, buffer, sizeof buffer, 0);
        if (length > 0) {
            pair->received_bytes += length;
        }
    }
    return NULL;
}

static void measure_round_trip(void) {
    struct pair pair;
    struct bench_samples samples;
    pthread_t thread;
    char datagram[64] = {0};
    open_pair(&pair);
    bench_samples_init(&samples, ROUND_TRIPS);
    if (pthread_create(&thread, NULL, echo, &pair) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    for (int i = 0; i < ROUND_TRIPS + WARM_UP; i++) {
        int64_t start_ns = bench_now_ns();
        if (send(pair.near_fd, datagram, sizeof datagram, 0) < 0) {
            bench_fail("cannot send");
        }
        while (recv(pair.near_fd, datagram, sizeof datagram, 0) < 0) {
        }
        if (i >= WARM_UP) {
            bench_samples_add(&samples, bench_now_ns() - start_ns);
        }
    }
    __atomic_store_n(&pair.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    bench_print_latency("floor_udp_rtt", &samples, "-");
    bench_samples_close(&samples);
    close_pair(&pair);
}

/* As measure_round_trip, but a receiver sleeps until its datagram comes. */
static void *echo_blocking(void *argument) {
    struct pair *pair = argument;
    char datagram[DATAGRAM_LENGTH];
    bench_pin(1);
    for (int i = 0; i < BLOCKING_ROUND_TRIPS; i++) {
        ssize_t length = recv(pair->far_fd, datagram, sizeof datagram, 0);
        (void)send(pair->far_fd, datagram, length > 0 ? (size_t)length : 0, 0);
    }
    return NULL;
}

static void block(int fd) {
    if (fcntl(fd, F_SETFL, 0) != 0) {
        bench_fail("cannot make a socket blocking");
    }
}

static void measure_blocking_round_trip(void) {
    struct pair pair;
    struct bench_samples samples;
    pthread_t thread;
    char datagram[64] = {0};
    open_pair(&pair);
    block(pair.near_fd);
    block(pair.far_fd);
    bench_samples_init(&samples, BLOCKING_ROUND_TRIPS);
    if (pthread_create(&thread, NULL, echo_blocking, &pair) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    for (int i = 0; i < BLOCKING_ROUND_TRIPS; i++) {
        int64_t start_ns = bench_now_ns();
        if (send(pair.near_fd, datagram, sizeof datagram, 0) < 0 ||
            recv(pair.near_fd, datagram, sizeof datagram, 0) < 0) {
            bench_fail("cannot send and receive");
        }
        bench_samples_add(&samples, bench_now_ns() - start_ns);
    }
    (void)pthread_join(thread, NULL);
    bench_print_latency("floor_udp_block_rtt", &samples, "-");
    bench_samples_close(&samples);
    close_pair(&pair);
}

/* Datagrams that arrive per second when they are sent in calls of batch_length bytes. */
static double measure_datagrams(int mtu, size_t batch_length) {
    static const char batch[BATCH_LENGTH_MAX];
    struct pair pair;
    pthread_t thread;
    open_pair(&pair);
    if (batch_length > (size_t)mtu) {
        int on = 1;
        if (setsockopt(pair.near_fd, SOL_UDP, UDP_SEGMENT, &mtu, sizeof mtu) != 0 ||
            setsockopt(pair.far_fd, SOL_UDP, UDP_GRO, &on, sizeof on) != 0) {
            bench_fail("no UDP_SEGMENT and UDP_GRO");
        }
    }
    if (pthread_create(&thread, NULL, consume, &pair) != 0) {
        bench_fail("cannot start a thread");
    }
    bench_pin(0);
    int64_t start_ns = bench_now_ns();
    while (bench_now_ns() - start_ns < STREAM_NS) {
        (void)send(pair.near_fd, batch, batch_length, 0);
    }
    __atomic_store_n(&pair.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    close_pair(&pair);
    return (double)pair.received_bytes * 1e9 / (double)STREAM_NS / mtu;
}

/* Messages of a length in so many datagrams: many in one, or one in many. */
static double messages(double datagrams, int mtu, int length) {
    int payload_max = mtu - DATA_HEADER_LENGTH;
    if (length > payload_max) {
        return datagrams * payload_max / length;
    }
    int frame_length =
        (DATA_HEADER_LENGTH + length + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
    return datagrams * (mtu / frame_length);
}

static void measure_stream(void) {
    double datagrams = measure_datagrams(DATAGRAM_LENGTH, DATAGRAM_LENGTH);
    bench_print("floor_udp_stream", datagrams * DATAGRAM_LENGTH / 1e6, "MB/s", "-");
    bench_print("floor_udp_32", messages(datagrams, DATAGRAM_LENGTH, 32), "msg/s", "-");
    bench_print("floor_udp_1024", messages(datagrams, DATAGRAM_LENGTH, 1024), "msg/s", "-");
}

static void measure_segments(int mtu) {
    static const int lengths[] = {32, 100, 1024, 8192};
    int count = BATCH_LENGTH_MAX / mtu > SEGMENTS_MAX ? SEGMENTS_MAX : BATCH_LENGTH_MAX / mtu;
    double datagrams = measure_datagrams(mtu, (size_t)(mtu * count));
    char name[64];
    (void)snprintf(name, sizeof name, "floor_gso_mtu%d", mtu);
    bench_print(name, datagrams, "dgram/s", "-");
    (void)snprintf(name, sizeof name, "floor_plain_mtu%d", mtu);
    bench_print(name, measure_datagrams(mtu, (size_t)mtu), "dgram/s", "-");
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        (void)snprintf(name, sizeof name, "floor_gso_%d_mtu%d", lengths[i], mtu);
        bench_print(name, messages(datagrams, mtu, lengths[i]), "msg/s", "-");
    }
}

static void measure(const char *part) {
    if (strcmp(part, "rtt") == 0) {
        measure_round_trip();
    } else if (strcmp(part, "block") == 0) {
        measure_blocking_round_trip();
    } else if (strcmp(part, "relay") == 0) {
        measure_relayed_round_trip();
    } else if (strcmp(part, "stream") == 0) {
        measure_stream();
    } else if (strcmp(part, "gso:1408") == 0) {
        measure_segments(1408);
    } else if (strcmp(part, "gso:8192") == 0) {
        measure_segments(8192);
    } else {
        errno = EINVAL;
        bench_fail(part);
    }
}

int main(int argc, char **argv) {
    static char *const all[] = {"rtt", "block", "relay", "stream", "gso:1408", "gso:8192"};
    char *const *parts = argc > 1 ? argv + 1 : all;
    int count = argc > 1 ? argc - 1 : (int)(sizeof all / sizeof all[0]);
    for (int i = 0; i < count; i++) {
        measure(parts[i]);
    }
    return 0;
}
