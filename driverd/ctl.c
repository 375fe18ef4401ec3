/* ternctl-driver: what a person wants to know of a media driver, read from its directory.
 *
 * Only looks, but for trace: everything is mapped read-only, so it works on the directory of any
 * driver that speaks the protocol, living or dead. Counter labels and error texts come from clients
 * and are printed with control characters replaced.
 */
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "driverd/ctl.h"
#include "driverd/trace_format.h"
#include "shm/cnc.h"
#include "shm/counter_types.h"
#include "shm/error_log.h"
#include "shm/loss_report.h"

#define DIRECTORY_LENGTH_MAX 4096
#define STREAM_CHANNEL_MAX 93 /* 92 bytes fit the key */

/* The command line. */
struct invocation {
    char directory[DIRECTORY_LENGTH_MAX];
    const char *argument; /* NULL: none */
};

void ctl_print_text(const char *text, int32_t length) {
    trace_format_text(stdout, text, length);
}

void ctl_print_time(int64_t epoch_ms) {
    trace_format_time(stdout, epoch_ms);
}

static void open_reader(const struct cnc *cnc, struct counters_reader *reader) {
    int result = counters_reader_init(reader, cnc->counters_metadata, cnc->counters_metadata_length,
                                      cnc->counters_values, cnc->counters_values_length);
    assert(result == 0); /* cnc_open has checked the lengths */
    (void)result;
}

/* -- stat -- */

static int print_counter(void *context, int32_t id, const struct counter_metadata *metadata,
                         const struct counter_value *value) {
    (void)context;
    int32_t length = min_i32(metadata->label_length, COUNTER_LABEL_LENGTH_MAX);
    printf("%5d: %20" PRId64 " - ", id, load_acquire_i64(&value->value));
    ctl_print_text(metadata->label, length);
    (void)putchar('\n');
    return 0;
}

static int run_stat(const struct invocation *invocation, const struct cnc *cnc) {
    struct counters_reader reader;
    int64_t heartbeat_ms = cnc_driver_heartbeat_ms(cnc);
    printf("directory %s, layout %d.%d.%d, pid %" PRId64 ", started ", invocation->directory,
           cnc->header->version >> 16, (cnc->header->version >> 8) & 0xFF,
           cnc->header->version & 0xFF, cnc->header->pid);
    ctl_print_time(cnc->header->start_timestamp_ms);
    if (heartbeat_ms < 0) {
        printf(", has ended\n");
    } else {
        printf(", heartbeat %" PRId64 " ms ago\n", clock_epoch_ms(clock_system()) - heartbeat_ms);
    }
    open_reader(cnc, &reader);
    (void)counters_reader_for_each(&reader, print_counter, NULL);
    return EXIT_SUCCESS;
}

/* -- names -- */

static bool is_of_names(const struct counter_metadata *metadata) {
    switch (metadata->type_id) {
    case COUNTER_TYPE_NAME_RESOLVER_NEIGHBORS:
    case COUNTER_TYPE_NAME_RESOLVER_CACHE:
    case COUNTER_TYPE_NAME_RESOLVER_BOOTSTRAP:
    case COUNTER_TYPE_NAME_RESOLVER_TABLE:
        return true;
    case COUNTER_TYPE_SYSTEM: {
        int32_t id = get_i32(metadata->key);
        return id == SYSTEM_COUNTER_RESOLUTION_CHANGES ||
               id == SYSTEM_COUNTER_NAME_RESOLVER_MAX_TIME ||
               id == SYSTEM_COUNTER_NAME_RESOLVER_TIME_EXCEEDED;
    }
    default:
        return false;
    }
}

static int print_counter_of_names(void *context, int32_t id,
                                  const struct counter_metadata *metadata,
                                  const struct counter_value *value) {
    return is_of_names(metadata) ? print_counter(context, id, metadata, value) : 0;
}

static int run_names(const struct invocation *invocation, const struct cnc *cnc) {
    struct counters_reader reader;
    (void)invocation;
    open_reader(cnc, &reader);
    (void)counters_reader_for_each(&reader, print_counter_of_names, NULL);
    return EXIT_SUCCESS;
}

/* -- plug-ins -- */

static int print_counter_of_plugin(void *context, int32_t id,
                                   const struct counter_metadata *metadata,
                                   const struct counter_value *value) {
    int *count = context;
    if (metadata->type_id != COUNTER_TYPE_DRIVER_PLUGIN) {
        return 0;
    }
    (*count)++;
    return print_counter(NULL, id, metadata, value);
}

static int run_plugins(const struct invocation *invocation, const struct cnc *cnc) {
    struct counters_reader reader;
    int count = 0;
    (void)invocation;
    open_reader(cnc, &reader);
    (void)counters_reader_for_each(&reader, print_counter_of_plugin, &count);
    printf("%d plug-ins\n", count);
    return EXIT_SUCCESS;
}

/* -- errors -- */

static void print_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                        const char *text, int32_t text_length) {
    (void)context;
    printf("%d times from ", count);
    ctl_print_time(first_ms);
    printf(" to ");
    ctl_print_time(last_ms);
    printf(": ");
    ctl_print_text(text, text_length);
    (void)putchar('\n');
}

static int run_errors(const struct invocation *invocation, const struct cnc *cnc) {
    (void)invocation;
    int count = error_log_read(cnc->error_log, cnc->error_log_length, 0, print_error, NULL);
    printf("%d distinct errors\n", count);
    return EXIT_SUCCESS;
}

/* -- streams -- */

struct stream_counter {
    int32_t stream_id;
    int32_t session_id;
    int64_t registration_id;
    int32_t type_id;
    int64_t value;
    char channel[STREAM_CHANNEL_MAX];
    char name[32]; /* the label up to its colon */
};

struct streams {
    struct stream_counter *counters;
    int count;
    int capacity;
};

static bool is_stream_counter(int32_t type_id) {
    static const int32_t types[] = {
        COUNTER_TYPE_PUBLISHER_LIMIT,      COUNTER_TYPE_SENDER_POSITION,
        COUNTER_TYPE_RECEIVER_HWM,         COUNTER_TYPE_SUBSCRIBER_POSITION,
        COUNTER_TYPE_RECEIVER_POSITION,    COUNTER_TYPE_SENDER_LIMIT,
        COUNTER_TYPE_PUBLISHER_POSITION,   COUNTER_TYPE_SENDER_BPE,
        COUNTER_TYPE_SENDER_NAKS_RECEIVED, COUNTER_TYPE_RECEIVER_NAKS_SENT,
        COUNTER_TYPE_FC_RECEIVERS,         COUNTER_TYPE_PER_IMAGE,
    };
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        if (types[i] == type_id) {
            return true;
        }
    }
    return false;
}

static void decode(struct stream_counter *counter, const struct counter_metadata *metadata) {
    int32_t channel_length = get_i32(metadata->key + 16);
    channel_length = max_i32(min_i32(channel_length, STREAM_CHANNEL_MAX - 1), 0);
    counter->registration_id = get_i64(metadata->key);
    counter->session_id = get_i32(metadata->key + 8);
    counter->stream_id = get_i32(metadata->key + 12);
    memcpy(counter->channel, metadata->key + 20, (size_t)channel_length);
    counter->channel[channel_length] = '\0';
    int32_t label_length = min_i32(metadata->label_length, COUNTER_LABEL_LENGTH_MAX);
    int32_t name_length = 0;
    while (name_length < label_length && name_length < (int32_t)sizeof counter->name - 1 &&
           metadata->label[name_length] != ':') {
        counter->name[name_length] = metadata->label[name_length];
        name_length++;
    }
    counter->name[name_length] = '\0';
}

static int collect(void *context, int32_t id, const struct counter_metadata *metadata,
                   const struct counter_value *value) {
    struct streams *streams = context;
    (void)id;
    if (!is_stream_counter(metadata->type_id)) {
        return 0;
    }
    if (streams->count == streams->capacity) {
        int capacity = streams->capacity == 0 ? 64 : streams->capacity * 2;
        void *counters = realloc(streams->counters, (size_t)capacity * sizeof *streams->counters);
        if (counters == NULL) {
            return -1;
        }
        streams->counters = counters;
        streams->capacity = capacity;
    }
    struct stream_counter *counter = &streams->counters[streams->count++];
    counter->type_id = metadata->type_id;
    counter->value = load_acquire_i64(&value->value);
    decode(counter, metadata);
    return 0;
}

static int compare_i64(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

static int compare_streams(const struct stream_counter *a, const struct stream_counter *b) {
    int order = compare_i64(a->stream_id, b->stream_id);
    order = order != 0 ? order : compare_i64(a->session_id, b->session_id);
    return order != 0 ? order : strcmp(a->channel, b->channel);
}

static int compare(const void *left, const void *right) {
    const struct stream_counter *a = left;
    const struct stream_counter *b = right;
    int order = compare_streams(a, b);
    order = order != 0 ? order : compare_i64(a->type_id, b->type_id);
    return order != 0 ? order : compare_i64(a->registration_id, b->registration_id);
}

static int run_streams(const struct invocation *invocation, const struct cnc *cnc) {
    struct streams streams = {0};
    struct counters_reader reader;
    (void)invocation;
    open_reader(cnc, &reader);
    if (counters_reader_for_each(&reader, collect, &streams) != 0) {
        fprintf(stderr, "ternctl-driver: out of memory\n");
        free(streams.counters);
        return EXIT_FAILURE;
    }
    if (streams.count > 0) {
        qsort(streams.counters, (size_t)streams.count, sizeof *streams.counters, compare);
    }
    for (int i = 0; i < streams.count; i++) {
        const struct stream_counter *counter = &streams.counters[i];
        if (i == 0 || compare_streams(counter - 1, counter) != 0) {
            printf("stream %d session %d ", counter->stream_id, counter->session_id);
            ctl_print_text(counter->channel, (int32_t)strlen(counter->channel));
            (void)putchar('\n');
        }
        printf("  %20" PRId64 " ", counter->value);
        ctl_print_text(counter->name, (int32_t)strlen(counter->name));
        printf(" (%" PRId64 ")\n", counter->registration_id);
    }
    free(streams.counters);
    return EXIT_SUCCESS;
}

/* -- loss -- */

static void print_loss(void *context, const struct loss_report_view *entry) {
    (void)context;
    printf("%" PRId64 " times, %" PRId64 " bytes, from ", entry->observation_count,
           entry->bytes_lost);
    ctl_print_time(entry->first_ms);
    printf(" to ");
    ctl_print_time(entry->last_ms);
    printf(", stream %d session %d ", entry->stream_id, entry->session_id);
    ctl_print_text(entry->channel, entry->channel_length);
    printf(" from ");
    ctl_print_text(entry->source, entry->source_length);
    (void)putchar('\n');
}

static int run_loss(const struct invocation *invocation, const struct cnc *cnc) {
    char path[DIRECTORY_LENGTH_MAX + 32];
    struct mapped_file file;
    struct tern_error error;
    (void)cnc;
    (void)snprintf(path, sizeof path, "%s/%s", invocation->directory, LOSS_REPORT_FILE_NAME);
    if (mapped_file_open(&file, path, true, &error) < 0) {
        fprintf(stderr, "ternctl-driver: %s\n", error.text);
        return EXIT_UNAVAILABLE;
    }
    int count = loss_report_read(file.address, file.length, print_loss, NULL);
    printf("%d streams with loss\n", count);
    mapped_file_close(&file);
    return EXIT_SUCCESS;
}

/* -- trace -- */

static int run_trace(const struct invocation *invocation, const struct cnc *cnc) {
    return ctl_run_trace(invocation->directory, cnc, invocation->argument);
}

/* -- command line -- */

static const struct subcommand {
    const char *name;
    int (*run)(const struct invocation *invocation, const struct cnc *cnc);
    const char *doc;
    const char *arguments[2]; /* one of them may follow */
} subcommands[] = {
    {"stat", run_stat, "version, heartbeat and all counters", {0}},
    {"errors", run_errors, "the distinct error log", {0}},
    {"streams", run_streams, "positions by stream, session and channel", {0}},
    {"loss", run_loss, "the loss report", {0}},
    {"names", run_names, "how names are resolved: neighbors, names heard, changes, times", {0}},
    {"plugins", run_plugins, "options that name plug-ins, and how many instances there are", {0}},
    {"trace",
     run_trace,
     "frames and commands as they come and go, until ^C; with an\n"
     "            argument only \"frames\" or \"commands\"",
     {"frames", "commands"}},
};

static void print_usage(FILE *out) {
    fprintf(out, "usage: ternctl-driver [--dir DIR] COMMAND [ARGUMENT]\n\n"
                 "  --dir DIR   directory of the driver; default $AERON_DIR, else\n"
                 "              /dev/shm/aeron-<user>\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++) {
        fprintf(out, "  %-9s %s\n", subcommands[i].name, subcommands[i].doc);
    }
    fprintf(out,
            "\nPositions are bytes; the number in parentheses is the registration id. Nothing\n"
            "is written, but for trace: it works on the files of any driver, living or dead.\n"
            "Trace makes a file in the directory while it runs, for which the driver looks.\n\n"
            "exit codes: 0 printed, 64 command line, 69 there is no (readable) driver\n"
            "directory\n");
}

static bool accepts(const struct subcommand *subcommand, const char *argument) {
    bool is_known = argument == NULL;
    for (size_t i = 0; i < ARRAY_COUNT(subcommand->arguments) && !is_known; i++) {
        is_known =
            subcommand->arguments[i] != NULL && strcmp(argument, subcommand->arguments[i]) == 0;
    }
    return is_known;
}

static const struct subcommand *parse(int argc, char **argv, struct invocation *invocation) {
    static const struct option long_options[] = {
        {"dir", required_argument, NULL, 'd'}, {"help", no_argument, NULL, 'h'}, {0}};
    int choice;
    cnc_default_directory(invocation->directory, (int32_t)sizeof invocation->directory);
    while ((choice = getopt_long(argc, argv, "d:h", long_options, NULL)) != -1) {
        if (choice == 'd') {
            (void)snprintf(invocation->directory, sizeof invocation->directory, "%s", optarg);
        } else {
            print_usage(choice == 'h' ? stdout : stderr);
            exit(choice == 'h' ? EXIT_SUCCESS : EXIT_USAGE);
        }
    }
    int words = argc - optind;
    invocation->argument = words == 2 ? argv[optind + 1] : NULL;
    for (size_t i = 0; i < ARRAY_COUNT(subcommands); i++) {
        if ((words == 1 || words == 2) && strcmp(argv[optind], subcommands[i].name) == 0 &&
            accepts(&subcommands[i], invocation->argument)) {
            return &subcommands[i];
        }
    }
    print_usage(stderr);
    exit(EXIT_USAGE);
}

int main(int argc, char **argv) {
    char path[DIRECTORY_LENGTH_MAX + 16];
    struct invocation invocation;
    struct tern_error error;
    struct cnc cnc;
    const struct subcommand *subcommand = parse(argc, argv, &invocation);
    (void)snprintf(path, sizeof path, "%s/%s", invocation.directory, CNC_FILE_NAME);
    if (cnc_open(&cnc, path, true, &error) < 0) {
        fprintf(stderr, "ternctl-driver: %s\n", error.text);
        return EXIT_UNAVAILABLE;
    }
    int result = subcommand->run(&invocation, &cnc);
    cnc_close(&cnc);
    return result;
}
