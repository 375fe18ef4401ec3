/* The daemons of a node, configured as scripts/cluster does it but for short terms, and the driver
 * of a client machine. A daemon that ends by itself is started again after a while, as its unit
 * would have it. */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "archived/archive_server.h"
#include "consensusd/consensus.h"
#include "daemon/options.h"
#include "driverd/driver.h"
#include "servicehost/service_host.h"
#include "sim/checks.h"
#include "sim/observer.h"
#include "sim/sim.h"
#include "sim/stream_ways.h"

#define SETTINGS_MAX 24
#define SETTING_LENGTH 512

struct node_conf {
    struct driver_conf driver;
    struct archive_conf archive;
    struct consensus_conf consensus;
    struct service_conf service;
};

/* An environment being put together. */
struct settings {
    char texts[SETTINGS_MAX][SETTING_LENGTH];
    char *list[SETTINGS_MAX + 1];
    int count;
};

static void add(struct settings *settings, const char *format, ...) PRINTF_LIKE(2, 3);
static void add(struct settings *settings, const char *format, ...) {
    assert(settings->count < SETTINGS_MAX);
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(settings->texts[settings->count], SETTING_LENGTH, format, arguments);
    va_end(arguments);
    assert(length < SETTING_LENGTH);
    (void)length;
    settings->list[settings->count] = settings->texts[settings->count];
    settings->list[++settings->count] = NULL;
}

static void load(const struct option_table *table, void *conf, struct settings *settings) {
    struct options *options = calloc(1, sizeof *options);
    assert(options != NULL);
    if (options_load(options, table, conf, NULL, settings->list) != 0) {
        (void)fprintf(stderr, "sim: %s\n", options->errors);
        abort();
    }
    free(options);
}

/* -- driver -- */

static void configure_driver(struct driver_conf *conf, const struct machine *machine) {
    struct settings settings = {.count = 0};
    add(&settings, "AERON_DIR=%s/driver", machine->directory);
    add(&settings, "AERON_DIR_DELETE_ON_START=true");
    add(&settings, "AERON_THREADING_MODE=INVOKER");
    add(&settings, "AERON_TERM_BUFFER_LENGTH=64k");
    add(&settings, "AERON_IPC_TERM_BUFFER_LENGTH=64k");
    add(&settings, "AERON_COUNTERS_BUFFER_LENGTH=1m");
    add(&settings, "AERON_PERFORM_STORAGE_CHECKS=false");
    const struct stream_way *way = transport_way_find(machine->sim->options.transport);
    if (way != NULL && way->has_names) {
        add(&settings, "AERON_NAME_RESOLVER_SUPPLIER=driver");
        add(&settings, "AERON_DRIVER_RESOLVER_NAME=m%d", machine->index);
        add(&settings, "AERON_DRIVER_RESOLVER_INTERFACE=10.0.0.%d:8050", machine->index + 1);
        add(&settings, "AERON_DRIVER_RESOLVER_BOOTSTRAP_NEIGHBOR=10.0.0.%d:8050",
            machine->index == 0 ? 2 : machine->index);
    }
    load(&driver_option_table, conf, &settings);
}

static int open_driver(struct process *process, struct tern_error *error) {
    const struct node_conf *conf = process->machine->conf;
    struct driver *driver = NULL;
    int result = driver_open(&driver, &conf->driver, &process->machine->io, error);
    process->instance = driver;
    return result;
}

static int work_driver(struct process *process, int64_t now_ns, struct tern_error *error) {
    (void)error;
    return driver_do_work(process->instance, now_ns);
}

static void close_driver(struct process *process) {
    driver_close(process->instance);
}

static const struct process_operations driver_operations = {"driverd", open_driver, work_driver,
                                                            close_driver};

/* -- archive -- */

static void configure_archive(struct archive_conf *conf, const struct machine *machine) {
    struct settings settings = {.count = 0};
    int address = machine->index + 1;
    int level = machine->sim->options.sync_level;
    add(&settings, "AERON_DIR=%s/driver", machine->directory);
    add(&settings, "AERON_ARCHIVE_DIR=%s/archive", machine->directory);
    add(&settings,
        "AERON_ARCHIVE_CONTROL_CHANNEL=aeron:udp?endpoint=10.0.0.%d:9001|term-length=64k", address);
    add(&settings, "AERON_ARCHIVE_REPLICATION_CHANNEL=aeron:udp?endpoint=10.0.0.%d:0", address);
    add(&settings, "AERON_ARCHIVE_SEGMENT_FILE_LENGTH=%d", NODE_SEGMENT_LENGTH);
    add(&settings, "AERON_ARCHIVE_LOW_STORAGE_SPACE_THRESHOLD=0");
    add(&settings, "AERON_ARCHIVE_FILE_SYNC_LEVEL=%d", level);
    add(&settings, "AERON_ARCHIVE_CATALOG_FILE_SYNC_LEVEL=%d", level);
    add(&settings, "AERON_ARCHIVE_CATALOG_CAPACITY=64k");
    if (machine->sim->options.checksum != NULL) {
        add(&settings, "AERON_ARCHIVE_RECORD_CHECKSUM=%s", machine->sim->options.checksum);
        add(&settings, "AERON_ARCHIVE_REPLAY_CHECKSUM=%s", machine->sim->options.checksum);
    }
    load(&archive_option_table, conf, &settings);
}

static void log_archive(void *context, bool is_error, const char *text) {
    const struct process *process = context;
    history_line(&process->sim->history, "%s: archived %s: %s", process->machine->name,
                 is_error ? "error" : "info", text);
}

static int open_archive(struct process *process, struct tern_error *error) {
    const struct node_conf *conf = process->machine->conf;
    struct archive_server_params params = {
        .conf = &conf->archive,
        .io = process->machine->io,
        .pid = getpid(),
        .log = log_archive,
        .log_context = process,
    };
    struct archive_server *server = calloc(1, sizeof *server);
    assert(server != NULL);
    params.io.store = &process->machine->disk->table;
    process->instance = server;
    return archive_server_init(server, &params, error);
}

static int work_archive(struct process *process, int64_t now_ns, struct tern_error *error) {
    int work = archive_server_do_work(process->instance, now_ns);
    if (work < 0) {
        *error = *archive_server_failure(process->instance);
        if (error->code == -EBADMSG) {
            checks_on_refusal(process, error);
        }
    }
    return work;
}

static void close_archive(struct process *process) {
    archive_server_close(process->instance);
    free(process->instance);
}

static const struct process_operations archive_operations = {"archived", open_archive, work_archive,
                                                             close_archive};

/* -- consensus module -- */

static void configure_consensus(struct consensus_conf *conf, const struct machine *machine) {
    struct settings settings = {.count = 0};
    int address = machine->index + 1;
    char members[SETTING_LENGTH] = "";
    size_t used = 0;
    for (int i = 0; i < machine->sim->options.node_count; i++) {
        int a = i + 1;
        used += (size_t)snprintf(members + used, sizeof members - used,
                                 "%s%d,10.0.0.%d:9002,10.0.0.%d:9003,10.0.0.%d:9004,"
                                 "10.0.0.%d:9005,10.0.0.%d:9001",
                                 i == 0 ? "" : "|", i, a, a, a, a, a);
        assert(used < sizeof members);
    }
    add(&settings, "AERON_DIR=%s/driver", machine->directory);
    add(&settings, "AERON_CLUSTER_DIR=%s/cluster", machine->directory);
    add(&settings, "AERON_CLUSTER_MEMBER_ID=%d", machine->index);
    add(&settings, "AERON_CLUSTER_MEMBERS=%s", members);
    add(&settings, "AERON_CLUSTER_INGRESS_CHANNEL=aeron:udp?term-length=64k");
    add(&settings, "AERON_CLUSTER_LOG_CHANNEL=aeron:udp?term-length=128k");
    add(&settings, "AERON_CLUSTER_REPLICATION_CHANNEL=aeron:udp?endpoint=10.0.0.%d:0", address);
    add(&settings, "AERON_CLUSTER_STARTUP_CANVASS_TIMEOUT=5s");
    add(&settings, "AERON_CLUSTER_AUTHORISATION_SERVICE_SUPPLIER=ALLOW_ALL");
    add(&settings, "AERON_CLUSTER_MAX_SESSIONS=64");
    add(&settings, "TERN_CLUSTER_MAX_TIMERS=16384"); /* here every page of calloc is touched */
    load(&consensus_option_table, conf, &settings);
}

static void log_consensus(void *context, enum consensus_log_level level, const char *text) {
    const struct process *process = context;
    history_line(&process->sim->history, "%s: consensusd %d: %s", process->machine->name,
                 (int)level, text);
}

static int open_consensus(struct process *process, struct tern_error *error) {
    const struct node_conf *conf = process->machine->conf;
    struct consensus_params params = {
        .conf = &conf->consensus,
        .io = process->machine->io,
        .log = log_consensus,
        .log_context = process,
    };
    struct consensus *consensus = calloc(1, sizeof *consensus);
    assert(consensus != NULL);
    params.io.store = &process->machine->disk->table;
    process->instance = consensus;
    int result = consensus_init(consensus, &params, error);
    if (result < 0) {
        consensus_close(consensus);
        checks_on_refusal(process, error);
    }
    return result;
}

static int work_consensus(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct consensus *consensus = process->instance;
    int work = consensus_do_work(consensus, now_ns);
    if (!consensus->is_done) {
        return work;
    }
    *error = consensus->exit_error;
    if (consensus->exit_status == CONSENSUS_EXIT_REFUSED) {
        checks_on_refusal(process, error);
    }
    return -1;
}

static void close_consensus(struct process *process) {
    consensus_close(process->instance);
    free(process->instance);
}

static const struct process_operations consensus_operations = {"consensusd", open_consensus,
                                                               work_consensus, close_consensus};

/* -- service -- */

static void configure_service(struct service_conf *conf, const struct machine *machine) {
    struct settings settings = {.count = 0};
    add(&settings, "AERON_DIR=%s/driver", machine->directory);
    add(&settings, "AERON_CLUSTER_DIR=%s/cluster", machine->directory);
    add(&settings, "TERN_SERVICE_PLUGIN=simulated");
    load(&service_option_table, conf, &settings);
}

static void log_service(void *context, enum tern_service_log_level level, const char *text) {
    const struct process *process = context;
    history_line(&process->sim->history, "%s: servicehost %d: %s", process->machine->name,
                 (int)level, text);
}

/* The plugin waits for room: others run, this one does not. */
static void idle_service(void *context, int work_count) {
    struct process *process = context;
    if (work_count == 0) {
        process_idle(process, dice_between(&process->sim->dice, 10, 500) * NS_PER_US);
    }
}

static int open_service(struct process *process, struct tern_error *error) {
    const struct node_conf *conf = process->machine->conf;
    struct service_host_params params = {
        .conf = &conf->service,
        .io = process->machine->io,
        .plugin = observer_plugin(process),
        .log = log_service,
        .log_context = process,
        .idle = idle_service,
        .idle_context = process,
    };
    struct tern_service_host *host = calloc(1, sizeof *host);
    assert(host != NULL);
    params.io.store = &process->machine->disk->table;
    process->instance = host;
    int result = service_host_init(host, &params, error);
    if (result < 0) {
        service_host_close(host);
    }
    return result;
}

static int work_service(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct tern_service_host *host = process->instance;
    int work = service_host_do_work(host, now_ns);
    if (!host->is_done) {
        return work;
    }
    /* Whatever its end, its unit starts it again; one that never comes up is found by the check
     * that all services come to the end of the log. */
    *error = host->exit_error;
    return -1;
}

static void close_service(struct process *process) {
    service_host_close(process->instance);
    free(process->instance);
}

static const struct process_operations service_operations = {"servicehost", open_service,
                                                             work_service, close_service};

/* -- machines -- */

struct machine *node_add(struct sim *sim) {
    struct machine *machine = machine_add(sim, true);
    struct node_conf *conf = calloc(1, sizeof *conf);
    assert(conf != NULL);
    machine->conf = conf;
    machine->disk->has_checksums = sim->options.checksum != NULL;
    configure_driver(&conf->driver, machine);
    configure_archive(&conf->archive, machine);
    configure_consensus(&conf->consensus, machine);
    configure_service(&conf->service, machine);
    (void)process_add(machine, PROCESS_DRIVER, &driver_operations);
    (void)process_add(machine, PROCESS_ARCHIVE, &archive_operations);
    (void)process_add(machine, PROCESS_CONSENSUS, &consensus_operations);
    (void)process_add(machine, PROCESS_SERVICE, &service_operations);
    return machine;
}

struct machine *client_machine_add(struct sim *sim) {
    struct machine *machine = machine_add(sim, false);
    struct node_conf *conf = calloc(1, sizeof *conf);
    assert(conf != NULL);
    machine->conf = conf;
    configure_driver(&conf->driver, machine);
    (void)process_add(machine, PROCESS_DRIVER, &driver_operations);
    return machine;
}
