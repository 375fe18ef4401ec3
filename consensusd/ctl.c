/* ternctl-cluster: look at a cluster node and steer it, from the machine it runs on.
 *
 *     ternctl cluster members|leader|recording-log|snapshot|shutdown|pid [CLUSTER-DIRECTORY]
 *
 * The directory's mark file says which driver and which control channel belong to the node, so
 * nothing else must be given. recording-log reads files only; members and leader ask the consensus
 * module; snapshot and shutdown turn its control toggle, which works on the leader (cluster.md
 * 3.12, 3.18).
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <tern/client.h>

#include "base/clock.h"
#include "base/store.h"
#include "base/uri.h"
#include "daemon/exit_code.h"
#include "shm/counter_types.h"
#include "wire/cluster_codec.h"

#define PATH_LENGTH_MAX 4096
#define MARK_HEADER_LENGTH 8192
#define ENTRY_LENGTH 64
#define ANSWER_TIMEOUT_NS (5 * NS_PER_S)
#define TOGGLE_TIMEOUT_NS (60 * NS_PER_S)
#define TYPE_INVALID_FLAG UINT32_C(0x80000000)
#define TYPE_REMOVED UINT32_MAX
#define TYPE_STANDBY_SNAPSHOT 2

enum toggle { TOGGLE_INACTIVE, TOGGLE_NEUTRAL, TOGGLE_SNAPSHOT = 4, TOGGLE_SHUTDOWN = 5 };

struct node {
    const char *directory;
    uint8_t mark[MARK_HEADER_LENGTH];
    struct cluster_mark_file_header header; /* its texts point into `mark` */
    tern_client *client;
    int64_t correlation_id;
    bool is_answered;
    bool only_leader;
    int exit_code;
};

static void complain(const char *format, const char *what, const char *why) {
    fprintf(stderr, "ternctl-cluster: ");
    fprintf(stderr, format, what, why);
    fputc('\n', stderr);
}

/* The first bytes of a file; how many, or -errno. */
static int64_t read_start(const char *path, void *buffer, int64_t length) {
    const struct store *store = store_system();
    int file;
    int result = store->open(store->context, path, STORE_READ, &file);
    if (result != 0) {
        return result;
    }
    int64_t count = store->pread(store->context, file, buffer, length, 0);
    (void)store->close(store->context, file);
    return count;
}

/* Where the mark file is: a link file in the directory may point elsewhere. */
static void find_mark_file(const char *directory, char *path, size_t size) {
    char link[PATH_LENGTH_MAX];
    char target[PATH_LENGTH_MAX];
    (void)snprintf(link, sizeof link, "%s/cluster-mark.lnk", directory);
    int64_t length = read_start(link, target, sizeof target - 1);
    if (length > 0) {
        target[length] = '\0';
        (void)snprintf(path, size, "%s/cluster-mark.dat", target);
    } else {
        (void)snprintf(path, size, "%s/cluster-mark.dat", directory);
    }
}

static bool read_mark(struct node *node) {
    char path[PATH_LENGTH_MAX + 32];
    find_mark_file(node->directory, path, sizeof path);
    int64_t length = read_start(path, node->mark, sizeof node->mark);
    if (length < 0) {
        complain("cannot read %s: %s", path, strerror((int)-length));
        return false;
    }
    if (cluster_mark_file_header_decode(&node->header, node->mark, (int32_t)length) != 0) {
        complain("%s is no mark file of a cluster%s", path, "");
        return false;
    }
    return true;
}

static int print_pid(struct node *node) {
    printf("%" PRId64 "\n", node->header.pid);
    return EXIT_CODE_OK;
}

/* -- recording.log -- */

static const char *type_name(uint32_t type) {
    static const char *const names[] = {"TERM", "SNAPSHOT", "STANDBY_SNAPSHOT"};
    uint32_t plain = type & ~TYPE_INVALID_FLAG;
    return plain < ARRAY_COUNT(names) ? names[plain] : "?";
}

static void print_entry(int index, const struct cluster_recording_log_entry *entry) {
    printf("%-5d %-16s %-7s recording %" PRId64 "  term %" PRId64 "  base %" PRId64
           "  position %" PRId64 "  service %d  time %" PRId64 "\n",
           index, type_name(entry->type),
           (entry->type & TYPE_INVALID_FLAG) != 0 ? "invalid" : "valid", entry->recording_id,
           entry->leadership_term_id, entry->term_base_log_position, entry->log_position,
           entry->service_id, entry->timestamp);
}

/* Length of the record with what follows an entry of a standby snapshot, or 0 at the end. */
static int64_t record_length(const struct cluster_recording_log_entry *entry, const uint8_t *bytes,
                             int64_t left) {
    if ((entry->type & ~TYPE_INVALID_FLAG) != TYPE_STANDBY_SNAPSHOT) {
        return ENTRY_LENGTH;
    }
    int32_t endpoint_length = left >= 52 ? get_i32(bytes + 48) : -1;
    if (endpoint_length < 0 || endpoint_length > left - 52) {
        return 0;
    }
    return align_i64(52 + endpoint_length, ENTRY_LENGTH);
}

static int print_recording_log(struct node *node) {
    const struct store *store = store_system();
    char path[PATH_LENGTH_MAX + 32];
    uint8_t record[PATH_LENGTH_MAX];
    int file;
    (void)snprintf(path, sizeof path, "%s/recording.log", node->directory);
    int result = store->open(store->context, path, STORE_READ, &file);
    if (result != 0) {
        complain("cannot read %s: %s", path, strerror(-result));
        return EXIT_CODE_IO;
    }
    int64_t offset = 0;
    int64_t count;
    for (int index = 0;
         (count = store->pread(store->context, file, record, sizeof record, offset)) >= 48;
         index++) {
        struct cluster_recording_log_entry entry;
        if (cluster_recording_log_entry_decode(&entry, record, (int32_t)count) != 0) {
            break;
        }
        int64_t length = record_length(&entry, record, count);
        if (length == 0) {
            break;
        }
        if (entry.type != TYPE_REMOVED) {
            print_entry(index, &entry);
        }
        offset += length;
    }
    (void)store->close(store->context, file);
    return EXIT_CODE_OK;
}

/* -- asking the consensus module -- */

static int connect_node(struct node *node) {
    struct tern_error error;
    char directory[PATH_LENGTH_MAX];
    const struct text_slice *text = &node->header.aeron_directory;
    (void)snprintf(directory, sizeof directory, "%.*s", text->length, text->text);
    tern_context *context = tern_context_create(&error);
    if (context != NULL && tern_context_set_directory(context, directory, &error) == 0) {
        tern_context_set_driver_timeout_ms(context, 2000);
        tern_context_set_use_invoker(context, true);
        (void)tern_context_set_client_name(context, "ternctl-cluster", NULL);
        node->client = tern_client_connect(context, &error);
    }
    tern_context_destroy(context);
    if (node->client == NULL) {
        complain("the node of %s does not run: %s", node->directory, error.text);
        return EXIT_CODE_UNAVAILABLE;
    }
    return EXIT_CODE_OK;
}

static void print_members(const struct node *node,
                          struct cluster_cluster_members_extended_response *response) {
    struct cluster_cluster_members_extended_response_active_members member;
    if (node->only_leader) {
        printf("%d\n", response->leader_member_id);
        return;
    }
    while (cluster_cluster_members_extended_response_active_members_next(&response->active_members,
                                                                         &member)) {
        printf("member %d%s  term %" PRId64 "  position %" PRId64
               "  ingress %.*s  consensus %.*s  log %.*s  catchup %.*s  archive %.*s\n",
               member.member_id, member.member_id == response->leader_member_id ? " (leader)" : "",
               member.leadership_term_id, member.log_position, member.ingress_endpoint.length,
               member.ingress_endpoint.text, member.consensus_endpoint.length,
               member.consensus_endpoint.text, member.log_endpoint.length, member.log_endpoint.text,
               member.catchup_endpoint.length, member.catchup_endpoint.text,
               member.archive_endpoint.length, member.archive_endpoint.text);
    }
}

static void on_answer(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    (void)header;
    struct node *node = context;
    struct cluster_cluster_members_extended_response response;
    if (!node->is_answered &&
        cluster_cluster_members_extended_response_decode(&response, buffer, length) == 0 &&
        response.correlation_id == node->correlation_id) {
        node->is_answered = true;
        print_members(node, &response);
    }
}

static void pause_briefly(void) {
    const struct timespec pause = {0, NS_PER_MS};
    (void)nanosleep(&pause, NULL);
}

static bool exchange(struct node *node, tern_publication *publication,
                     tern_subscription *subscription) {
    uint8_t query[CLUSTER_CLUSTER_MEMBERS_QUERY_LENGTH_MIN];
    int64_t deadline_ns = clock_now_ns(clock_system()) + ANSWER_TIMEOUT_NS;
    bool is_sent = false;
    node->correlation_id = tern_client_next_correlation_id(node->client);
    const struct cluster_cluster_members_query message = {.correlation_id = node->correlation_id,
                                                          .extended = CLUSTER_BOOLEAN_TYPE_TRUE};
    int32_t length = cluster_cluster_members_query_encode(&message, query, sizeof query);
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_answer, node);
    while (assembler != NULL && !node->is_answered && clock_now_ns(clock_system()) < deadline_ns) {
        is_sent = is_sent || (tern_subscription_is_connected(subscription) &&
                              tern_publication_offer(publication, query, length) > 0);
        int work = tern_client_do_work(node->client);
        work += tern_subscription_poll(subscription, tern_fragment_assembler_on_fragment, assembler,
                                       10);
        if (work == 0) {
            pause_briefly();
        }
    }
    tern_fragment_assembler_destroy(assembler);
    return node->is_answered;
}

static int ask_members(struct node *node) {
    struct tern_error error;
    char channel[URI_LENGTH_MAX + 1];
    const struct text_slice *text = &node->header.control_channel;
    int exit_code = connect_node(node);
    if (exit_code != EXIT_CODE_OK) {
        return exit_code;
    }
    (void)snprintf(channel, sizeof channel, "%.*s", text->length, text->text);
    struct tern_subscription_params params = {.channel = channel,
                                              .stream_id = node->header.service_stream_id};
    tern_subscription *subscription =
        tern_client_add_subscription(node->client, &params, ANSWER_TIMEOUT_NS, &error);
    tern_publication *publication =
        subscription == NULL ? NULL
                             : tern_client_add_publication(node->client, channel,
                                                           node->header.consensus_module_stream_id,
                                                           ANSWER_TIMEOUT_NS, &error);
    if (publication == NULL) {
        complain("%s: %s", channel, error.text);
        exit_code = EXIT_CODE_UNAVAILABLE;
    } else if (!exchange(node, publication, subscription)) {
        complain("the consensus module of %s does not answer%s", node->directory, "");
        exit_code = EXIT_CODE_UNAVAILABLE;
    }
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    return exit_code;
}

static int ask_leader(struct node *node) {
    node->only_leader = true;
    return ask_members(node);
}

/* -- the control toggle -- */

struct toggle_search {
    int32_t cluster_id;
    int32_t counter_id;
};

static int visit_toggle(void *context, const struct tern_counter_info *info) {
    struct toggle_search *search = context;
    if (info->type_id == COUNTER_TYPE_CLUSTER_CONTROL_TOGGLE &&
        get_i32(info->key) == search->cluster_id) {
        search->counter_id = info->id;
        return 1;
    }
    return 0;
}

/* Done when the toggle is neutral again, or when the node has gone. */
static int await_toggle(struct node *node, const tern_counters_reader *counters,
                        int32_t counter_id) {
    int64_t deadline_ns = clock_now_ns(clock_system()) + TOGGLE_TIMEOUT_NS;
    while (clock_now_ns(clock_system()) < deadline_ns) {
        (void)tern_client_do_work(node->client);
        if (tern_client_is_closed(node->client) ||
            !tern_counters_is_allocated(counters, counter_id) ||
            tern_counters_value(counters, counter_id) <= TOGGLE_NEUTRAL) {
            return EXIT_CODE_OK;
        }
        pause_briefly();
    }
    complain("the cluster of %s has not finished%s", node->directory, " within a minute");
    return EXIT_CODE_TEMPORARY;
}

static int set_toggle(struct node *node, enum toggle value) {
    struct toggle_search search = {node->header.cluster_id, TERN_NULL_COUNTER_ID};
    int exit_code = connect_node(node);
    if (exit_code != EXIT_CODE_OK) {
        return exit_code;
    }
    const tern_counters_reader *counters = tern_client_counters(node->client);
    if (tern_counters_for_each(counters, visit_toggle, &search) == 0) {
        complain("no consensus module runs for %s%s", node->directory, "");
        return EXIT_CODE_UNAVAILABLE;
    }
    int64_t *toggle = tern_counters_address(counters, search.counter_id);
    if (!compare_and_set_i64(toggle, TOGGLE_NEUTRAL, value)) {
        complain("the node of %s %s", node->directory,
                 load_acquire_i64(toggle) == TOGGLE_INACTIVE ? "does not lead: ask the leader's"
                                                             : "is busy with another request");
        return EXIT_CODE_TEMPORARY;
    }
    return await_toggle(node, counters, search.counter_id);
}

static int take_snapshot(struct node *node) {
    return set_toggle(node, TOGGLE_SNAPSHOT);
}

static int shut_down(struct node *node) {
    return set_toggle(node, TOGGLE_SHUTDOWN);
}

static const struct {
    const char *name;
    int (*run)(struct node *node);
    bool needs_mark;
    const char *doc;
} commands[] = {
    {"members", ask_members, true, "list the members with their endpoints and positions"},
    {"leader", ask_leader, true, "print the member id of the leader"},
    {"recording-log", print_recording_log, false, "print the entries of recording.log"},
    {"snapshot", take_snapshot, true, "have the cluster take a snapshot (on the leader's node)"},
    {"shutdown", shut_down, true, "take a snapshot and stop the cluster (on the leader's node)"},
    {"pid", print_pid, true, "print the pid of the consensus module"},
};

static void print_usage(FILE *out) {
    fprintf(out, "usage: ternctl cluster COMMAND [CLUSTER-DIRECTORY]\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].doc);
    }
    fprintf(out, "\nWithout a directory $AERON_CLUSTER_DIR counts, else \"aeron-cluster\".\n");
}

int main(int argc, char **argv) {
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        print_usage(stdout);
        return EXIT_CODE_OK;
    }
    const char *directory = getenv("AERON_CLUSTER_DIR");
    struct node node = {.directory = directory == NULL ? "aeron-cluster" : directory};
    for (size_t i = 0; (argc == 2 || argc == 3) && i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, argv[1]) != 0) {
            continue;
        }
        node.directory = argc == 3 ? argv[2] : node.directory;
        if (commands[i].needs_mark && !read_mark(&node)) {
            return EXIT_CODE_IO;
        }
        int exit_code = commands[i].run(&node);
        tern_client_close(node.client);
        return exit_code;
    }
    print_usage(stderr);
    return EXIT_CODE_USAGE;
}
