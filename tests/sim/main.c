/* sim: one run of a simulated cluster from a seed.
 *
 *   sim --seed N [--nodes 1|3|5] [--clients N] [--minutes M] [--workload list|register|auction]
 *       [--faults net,disk,clock,crash,corrupt|all|none] [--trace] [--runs N] [--quiet]
 *       [--beside stream,recorder,transport|all|none] [--transport WAY|none] [--timers on|off]
 *       [--plant BUG] [--list-planted] [--list-transports]
 *
 * Options that are not given are drawn from the seed and printed. The last line of a good run is
 * its hash: the same seed and the same program give the same. Exit code 1: a rule was broken.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "sim/planted.h"
#include "sim/run.h"

static _Noreturn void usage(const char *why) {
    (void)fprintf(stderr, "sim: %s (see the head of tests/sim/main.c)\n", why);
    exit(64);
}

static uint64_t number(const char *text, uint64_t min, uint64_t max) {
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < min || value > max) {
        usage("a number is out of bounds");
    }
    return value;
}

static double real_s(void) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void parse(int argc, char **argv, struct run_request *request) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--trace") == 0) {
            request->is_tracing = true;
            continue;
        }
        if (strcmp(name, "--list-planted") == 0) {
            for (int bug = 1; planted_name(bug) != NULL; bug++) {
                puts(planted_name(bug));
            }
            exit(0);
        }
        if (strcmp(name, "--list-transports") == 0) {
            for (int way = 0; run_transport_name(way) != NULL; way++) {
                puts(run_transport_name(way));
            }
            exit(0);
        }
        if (strcmp(name, "--quiet") == 0) {
            request->is_quiet = true;
            continue;
        }
        const char *value = ++i < argc ? argv[i] : "";
        if (strcmp(name, "--plant") == 0) {
            if (!planted_choose(value)) {
                usage("no such planted bug");
            }
            request->is_planted = true;
        } else if (strcmp(name, "--seed") == 0) {
            request->seed = number(value, 0, UINT64_MAX);
        } else if (strcmp(name, "--runs") == 0) {
            request->run_count = (int)number(value, 1, 1000000);
        } else if (strcmp(name, "--nodes") == 0) {
            request->node_count = (int)number(value, 1, SIM_NODES_MAX);
        } else if (strcmp(name, "--clients") == 0) {
            request->client_count = (int)number(value, 1, SIM_CLIENTS_MAX);
        } else if (strcmp(name, "--minutes") == 0) {
            request->minutes = atof(value);
        } else if (strcmp(name, "--workload") == 0) {
            request->workload = value;
        } else if (strcmp(name, "--faults") == 0) {
            if (!run_parse_faults(value, &request->faults)) {
                usage("faults are net, disk, clock, crash, corrupt, joined by commas, or all, or "
                      "none");
            }
            request->has_faults = true;
        } else if (strcmp(name, "--timers") == 0) {
            if (strcmp(value, "on") != 0 && strcmp(value, "off") != 0) {
                usage("timers are on or off");
            }
            request->timers = strcmp(value, "on") == 0 ? RUN_ON : RUN_OFF;
        } else if (strcmp(name, "--beside") == 0) {
            if (!run_parse_beside(value, &request->beside)) {
                usage("stream, recorder and transport can be beside the cluster, joined by commas, "
                      "or all, or none");
            }
            request->has_beside = true;
        } else if (strcmp(name, "--transport") == 0) {
            request->transport = value;
        } else {
            usage("unknown option");
        }
    }
}

int main(int argc, char **argv) {
    struct run_request request = {.run_count = 1};
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    parse(argc, argv, &request);
    for (int i = 0; i < request.run_count; i++, request.seed++) {
        struct run_result result;
        double started_s = real_s();
        run(&request, &result);
        double took_s = real_s() - started_s;
        printf("seed %llu: %s, %lld answers, %d leaders, %lld steps, %.0f s simulated in %.1f s "
               "(%.0f/s), hash %016llx\n",
               (unsigned long long)request.seed, result.is_good ? "good" : "BROKEN",
               (long long)result.answered, result.leader_count, (long long)result.step_count,
               (double)result.simulated_ns * 1e-9, took_s,
               (double)result.simulated_ns * 1e-9 / took_s, (unsigned long long)result.hash);
        if (!result.is_good) {
            return 1;
        }
    }
    return 0;
}
