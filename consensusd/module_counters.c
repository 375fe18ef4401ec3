/* Allocation of the module's counters (see module_counters.h). */
#include "consensusd/module_counters.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/clock.h"
#include "base/uri.h"
#include "shm/counter_types.h"

enum label_kind { LABEL_PLAIN, LABEL_VERSIONED, LABEL_CYCLE_THRESHOLD, LABEL_SNAPSHOT_THRESHOLD };

static const struct {
    int32_t type_id;
    enum label_kind kind;
    const char *label;
} kinds[MODULE_COUNTER_COUNT] = {
    [MODULE_COUNTER_ERRORS] = {COUNTER_TYPE_CLUSTER_ERRORS, LABEL_VERSIONED, "Cluster Errors"},
    [MODULE_COUNTER_STATE] = {COUNTER_TYPE_CLUSTER_STATE, LABEL_PLAIN, "Consensus Module state"},
    [MODULE_COUNTER_ELECTION_STATE] = {COUNTER_TYPE_CLUSTER_ELECTION_STATE, LABEL_PLAIN,
                                       "Cluster election state"},
    [MODULE_COUNTER_ELECTION_COUNT] = {COUNTER_TYPE_CLUSTER_ELECTION_COUNT, LABEL_PLAIN,
                                       "Cluster election count"},
    [MODULE_COUNTER_TERM_ID] = {COUNTER_TYPE_CLUSTER_LEADERSHIP_TERM_ID, LABEL_PLAIN,
                                "Cluster leadership term id"},
    [MODULE_COUNTER_ROLE] = {COUNTER_TYPE_CLUSTER_ROLE, LABEL_PLAIN, "Cluster node role"},
    [MODULE_COUNTER_COMMIT_POSITION] = {COUNTER_TYPE_CLUSTER_COMMIT_POSITION, LABEL_PLAIN,
                                        "Cluster commit-pos:"},
    [MODULE_COUNTER_CONTROL_TOGGLE] = {COUNTER_TYPE_CLUSTER_CONTROL_TOGGLE, LABEL_PLAIN,
                                       "Cluster control toggle"},
    [MODULE_COUNTER_NODE_TOGGLE] = {COUNTER_TYPE_CLUSTER_NODE_TOGGLE, LABEL_PLAIN,
                                    "Node control toggle"},
    [MODULE_COUNTER_SNAPSHOTS] = {COUNTER_TYPE_CLUSTER_SNAPSHOT_COUNT, LABEL_PLAIN,
                                  "Cluster snapshot count"},
    [MODULE_COUNTER_TIMED_OUT_CLIENTS] = {COUNTER_TYPE_CLUSTER_CLIENT_TIMEOUTS, LABEL_PLAIN,
                                          "Cluster timed out client count"},
    [MODULE_COUNTER_CYCLE_TIME_MAX] = {COUNTER_TYPE_CLUSTER_MAX_CYCLE_TIME, LABEL_PLAIN,
                                       "Cluster max cycle time in ns"},
    [MODULE_COUNTER_CYCLE_TIME_EXCEEDED] = {COUNTER_TYPE_CLUSTER_CYCLE_TIME_EXCEEDED,
                                            LABEL_CYCLE_THRESHOLD,
                                            "Cluster work cycle time exceeded count: threshold="},
    [MODULE_COUNTER_SNAPSHOT_TIME_MAX] = {COUNTER_TYPE_CLUSTER_SNAPSHOT_DURATION_MAX, LABEL_PLAIN,
                                          "Total max snapshot duration in ns"},
    [MODULE_COUNTER_SNAPSHOT_TIME_EXCEEDED] =
        {COUNTER_TYPE_CLUSTER_SNAPSHOT_DURATION_EXCEEDED, LABEL_SNAPSHOT_THRESHOLD,
         "Total max snapshot duration exceeded count: threshold="},
    [MODULE_COUNTER_TIMERS] = {COUNTER_TYPE_CLUSTER_TIMERS, LABEL_PLAIN, "Cluster timers"},
    [MODULE_COUNTER_SERVICE_MESSAGES] = {COUNTER_TYPE_CLUSTER_SERVICE_MESSAGES, LABEL_PLAIN,
                                         "Cluster service messages waiting"},
};

struct search {
    int32_t cluster_id;
};

static int is_module_of_cluster(void *context, const struct tern_counter_info *info) {
    const struct search *search = context;
    return info->type_id == COUNTER_TYPE_CLUSTER_STATE && get_i32(info->key) == search->cluster_id;
}

static int request_next(struct module_counters *counters, struct tern_error *error) {
    const struct consensus_conf *conf = counters->conf;
    enum label_kind kind = kinds[counters->next].kind;
    uint8_t key[4];
    char label[TERN_COUNTER_LABEL_MAX];
    char threshold[32] = "";
    put_i32(key, conf->cluster_id);
    if (kind == LABEL_CYCLE_THRESHOLD) {
        duration_format(conf->cycle_threshold_ns, threshold, sizeof threshold);
    } else if (kind == LABEL_SNAPSHOT_THRESHOLD) {
        duration_format(conf->snapshot_threshold_ns, threshold, sizeof threshold);
    }
    int length = snprintf(label, sizeof label, "%s%s - clusterId=%d%s", kinds[counters->next].label,
                          threshold, conf->cluster_id,
                          kind == LABEL_VERSIONED ? " version=" TERN_VERSION " commit=tern" : "");
    const struct tern_counter_params params = {
        .type_id = kinds[counters->next].type_id,
        .key = key,
        .key_length = sizeof key,
        .label = label,
        .label_length = length,
    };
    counters->request = tern_client_async_add_counter(counters->client, &params, error);
    return counters->request == NULL ? error->code : 0;
}

int module_counters_open(struct module_counters *counters, tern_client *client,
                         const struct consensus_conf *conf, struct tern_error *error) {
    struct search search = {conf->cluster_id};
    memset(counters, 0, sizeof *counters);
    counters->client = client;
    counters->conf = conf;
    if (tern_counters_for_each(tern_client_counters(client), is_module_of_cluster, &search) != 0) {
        return error_set(error, -EEXIST, "cluster %d already has a consensus module on this driver",
                         conf->cluster_id);
    }
    return request_next(counters, error);
}

int module_counters_step(struct module_counters *counters, struct tern_error *error) {
    if (counters->next == MODULE_COUNTER_COUNT) {
        return 1;
    }
    int result =
        tern_async_poll_counter(counters->request, &counters->counters[counters->next], error);
    if (result == 0) {
        return 0;
    }
    counters->request = NULL;
    if (result < 0) {
        return result;
    }
    counters->next++;
    return counters->next == MODULE_COUNTER_COUNT ? 1 : request_next(counters, error);
}

void module_counters_close(struct module_counters *counters) {
    tern_async_cancel(counters->request);
    counters->request = NULL;
    for (int i = 0; i < MODULE_COUNTER_COUNT; i++) {
        tern_counter_close(counters->counters[i]);
        counters->counters[i] = NULL;
    }
}

void module_counters_max(struct module_counters *counters, enum module_counter which,
                         int64_t value) {
    counter_propose_max(tern_counter_address(counters->counters[which]), value);
}

bool module_counters_exchange(struct module_counters *counters, enum module_counter which,
                              int64_t expected, int64_t value) {
    return compare_and_set_i64(tern_counter_address(counters->counters[which]), expected, value);
}
