/* See sample.h. */
#include "sample.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LENGTH_MIN 8 /* a sequence number or a time stamp */
#define SPINS_MAX 1000
#define NAP_NS 50000

static volatile sig_atomic_t is_stopped;

static void on_signal(int signal_number) {
    (void)signal_number;
    is_stopped = 1;
}

static int64_t number(const char *text, int64_t min, int64_t max, const char *usage) {
    char *end = NULL;
    long long value = strtoll(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        (void)fprintf(stderr, "'%s' is not a number from %" PRId64 " to %" PRId64 "\n%s", text, min,
                      max, usage);
        exit(64);
    }
    return value;
}

void sample_init(struct sample_options *options, int argc, char **argv, const char *usage) {
    int option;
    while ((option = getopt(argc, argv, "c:r:s:l:n:i:xqh")) != -1) {
        switch (option) {
        case 'c':
            options->channel = optarg;
            break;
        case 'r':
            options->reply_channel = optarg;
            break;
        case 's':
            options->stream_id = (int32_t)number(optarg, INT32_MIN, INT32_MAX - 1, usage);
            break;
        case 'l':
            options->length = (int32_t)number(optarg, LENGTH_MIN, 16 << 20, usage);
            break;
        case 'n':
            options->count = number(optarg, 0, INT64_MAX, usage);
            break;
        case 'i':
            options->interval_us = number(optarg, 0, INT32_MAX, usage);
            break;
        case 'x':
            options->is_exclusive = true;
            break;
        case 'q':
            options->is_quiet = true;
            break;
        default:
            (void)fputs(usage, option == 'h' ? stdout : stderr);
            exit(option == 'h' ? 0 : 64);
        }
    }
    if (optind < argc) {
        (void)fprintf(stderr, "unexpected argument '%s'\n%s", argv[optind], usage);
        exit(64);
    }
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    (void)signal(SIGINT, on_signal);
    (void)signal(SIGTERM, on_signal);
}

bool sample_is_running(void) {
    return is_stopped == 0;
}

int64_t sample_now_ns(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SAMPLE_NS_PER_S + now.tv_nsec;
}

void sample_sleep_ns(int64_t duration_ns) {
    struct timespec duration = {duration_ns / SAMPLE_NS_PER_S, duration_ns % SAMPLE_NS_PER_S};
    (void)nanosleep(&duration, NULL);
}

void sample_idle(int work, int *idle_count) {
    if (work > 0) {
        *idle_count = 0;
    } else if (++*idle_count > SPINS_MAX) {
        sample_sleep_ns(NAP_NS);
    }
}

tern_client *sample_connect(void) {
    struct tern_error error;
    tern_context *context = tern_context_create(&error);
    if (context == NULL) {
        sample_fail("settings", &error);
    }
    tern_client *client = tern_client_connect(context, &error);
    if (client == NULL) {
        sample_fail("no media driver", &error);
    }
    tern_context_destroy(context);
    return client;
}

_Noreturn void sample_fail(const char *what, const struct tern_error *error) {
    (void)fprintf(stderr, "%s: %s (%d)\n", what, error->text, error->code);
    exit(1);
}
