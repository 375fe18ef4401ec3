/* Floors: round trip of a 64-byte datagram over loopback, between two spinning threads and between
 * two that block, and how many 1408-byte datagrams per second one thread can hand to another, also
 * as messages: as many as fit a datagram with their 32-byte headers. */
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/bench.h"

#define ROUND_TRIPS 40000
#define WARM_UP 4000
#define STREAM_NS INT64_C(1000000000)
#define DATAGRAM_LENGTH_MAX 1408
#define BLOCKING_ROUND_TRIPS 4000
#define FRAME_ALIGNMENT 32
#define DATA_HEADER_LENGTH 32

struct pair {
    int near_fd;
    int far_fd;
    bool is_done;
    int64_t received_count;
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
    char datagram[DATAGRAM_LENGTH_MAX];
    bench_pin(1);
    while (!__atomic_load_n(&pair->is_done, __ATOMIC_ACQUIRE)) {
        ssize_t length = recv(pair->far_fd, datagram, sizeof datagram, 0);
        if (length > 0) {
            (void)send(pair->far_fd, datagram, (size_t)length, 0);
        }
    }
    return NULL;
}

static void *consume(void *argument) {
    struct pair *pair = argument;
    char datagram[DATAGRAM_LENGTH_MAX];
    bench_pin(1);
    while (!__atomic_load_n(&pair->is_done, __ATOMIC_ACQUIRE)) {
        if (recv(pair->far_fd, datagram, sizeof datagram, 0) > 0) {
            pair->received_count++;
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
    char datagram[DATAGRAM_LENGTH_MAX];
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

static void print_messages(const char *name, double datagrams, int length) {
    int frame_length =
        (DATA_HEADER_LENGTH + length + FRAME_ALIGNMENT - 1) / FRAME_ALIGNMENT * FRAME_ALIGNMENT;
    bench_print(name, datagrams * (DATAGRAM_LENGTH_MAX / frame_length), "msg/s", "-");
}

static void measure_stream(void) {
    struct pair pair;
    pthread_t thread;
    char datagram[DATAGRAM_LENGTH_MAX] = {0};
    open_pair(&pair);
    if (pthread_create(&thread, NULL, consume, &pair) != 0) {
        bench_fail("cannot start a thread");
    }
    int64_t start_ns = bench_now_ns();
    while (bench_now_ns() - start_ns < STREAM_NS) {
        (void)send(pair.near_fd, datagram, sizeof datagram, 0);
    }
    __atomic_store_n(&pair.is_done, true, __ATOMIC_RELEASE);
    (void)pthread_join(thread, NULL);
    double datagrams = (double)pair.received_count * 1e9 / (double)STREAM_NS;
    bench_print("floor_udp_stream", datagrams * DATAGRAM_LENGTH_MAX / 1e6, "MB/s", "-");
    print_messages("floor_udp_32", datagrams, 32);
    print_messages("floor_udp_1024", datagrams, 1024);
    close_pair(&pair);
}

int main(void) {
    measure_round_trip();
    measure_blocking_round_trip();
    measure_stream();
    return 0;
}
