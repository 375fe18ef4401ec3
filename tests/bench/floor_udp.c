/* Floor: round trip of a 64-byte datagram over loopback between two spinning threads, and how many
 * 1408-byte datagrams per second one thread can hand to another. */
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
    double megabytes = (double)pair.received_count * DATAGRAM_LENGTH_MAX / 1e6;
    bench_print("floor_udp_stream", megabytes * 1e9 / (double)STREAM_NS, "MB/s", "-");
    close_pair(&pair);
}

int main(void) {
    measure_round_trip();
    measure_stream();
    return 0;
}
