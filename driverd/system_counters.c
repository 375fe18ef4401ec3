/* Labels of the system counters. Tools and users know them by these exact texts; those that depend
 * on the configuration have a format of their own. */
#include "driverd/system_counters.h"

#include <stdio.h>
#include <string.h>

#include "driverd/driver_context.h"

#define VERSION_TEXT "1.52.2" /* what clients expect of this protocol, not the version of Tern */

static const char *const labels[SYSTEM_COUNTER_COUNT] = {
    "Bytes sent",
    "Bytes received",
    "Failed offers to ReceiverProxy",
    "Failed offers to SenderProxy",
    "Failed offers to DriverConductorProxy",
    "NAKs sent",
    "NAKs received",
    "Status Messages sent",
    "Status Messages received",
    "Heartbeats sent",
    "Heartbeats received",
    "Retransmits sent",
    "Flow control under runs",
    "Flow control over runs",
    "Invalid packets",
    "Errors: version=" VERSION_TEXT " commit=tern-" TERN_VERSION,
    "Short sends",
    "Failed attempts to free log buffers",
    "Sender flow control limits, i.e. back-pressure events",
    "Unblocked Publications",
    "Unblocked Control Commands",
    "Possible TTL Asymmetry",
    "ControllableIdleStrategy status",
    "Loss gap fills",
    "Client liveness timeouts",
    "Resolution changes: driverName=",
    "Conductor max cycle time doing its work in ns: ",
    "Conductor work cycle exceeded threshold count: threshold=",
    "Sender max cycle time doing its work in ns: ",
    "Sender work cycle exceeded threshold count: threshold=",
    "Receiver max cycle time doing its work in ns: ",
    "Receiver work cycle exceeded threshold count: threshold=",
    "NameResolver max time in ns",
    "NameResolver exceeded threshold count: threshold=",
    "Aeron software: version=" VERSION_TEXT " commit=tern-" TERN_VERSION,
    "Bytes currently mapped",
    "Retransmitted bytes",
    "Retransmit Pool Overflow count",
    "Error Frames received",
    "Error Frames sent",
    "Publications Revoked",
    "Publication Images Revoked",
    "Images rejected",
    "Control protocol version",
    "Status Messages rejected",
    "Failed offers to NativeResourceAgentProxy",
};

static void format_duration(int64_t duration_ns, char *text, size_t size) {
    if (duration_ns % NS_PER_S == 0) {
        (void)snprintf(text, size, "%llds", (long long)(duration_ns / NS_PER_S));
    } else if (duration_ns % NS_PER_MS == 0) {
        (void)snprintf(text, size, "%lldms", (long long)(duration_ns / NS_PER_MS));
    } else if (duration_ns % NS_PER_US == 0) {
        (void)snprintf(text, size, "%lldus", (long long)(duration_ns / NS_PER_US));
    } else {
        (void)snprintf(text, size, "%lldns", (long long)duration_ns);
    }
}

/* The threshold that a label ends with; -1: none. */
static int64_t threshold_ns(const struct driver_conf *conf, int32_t id) {
    switch (id) {
    case SYSTEM_COUNTER_CONDUCTOR_CYCLE_TIME_EXCEEDED:
        return conf->conductor_cycle_threshold_ns;
    case SYSTEM_COUNTER_SENDER_CYCLE_TIME_EXCEEDED:
        return conf->sender_cycle_threshold_ns;
    case SYSTEM_COUNTER_RECEIVER_CYCLE_TIME_EXCEEDED:
        return conf->receiver_cycle_threshold_ns;
    case SYSTEM_COUNTER_NAME_RESOLVER_TIME_EXCEEDED:
        return conf->name_resolver_threshold_ns;
    default:
        return -1;
    }
}

static int32_t format_label(const struct driver_conf *conf, int32_t id, char *label, size_t size) {
    char threshold[32] = "";
    if (threshold_ns(conf, id) >= 0) {
        format_duration(threshold_ns(conf, id), threshold, sizeof threshold);
    }
    bool has_mode = id >= SYSTEM_COUNTER_CONDUCTOR_MAX_CYCLE_TIME &&
                    id <= SYSTEM_COUNTER_RECEIVER_CYCLE_TIME_EXCEEDED;
    const char *mode = has_mode ? driver_threading_name(conf->threading) : "";
    const char *space = has_mode && threshold[0] != '\0' ? " " : "";
    const char *name = id == SYSTEM_COUNTER_RESOLUTION_CHANGES ? conf->resolver_name : "";
    return snprintf(label, size, "%s%s%s%s%s", labels[id], threshold, space, mode, name);
}

int system_counters_create(struct driver_context *context, struct tern_error *error) {
    for (int32_t id = 0; id < SYSTEM_COUNTER_COUNT; id++) {
        char label[COUNTER_LABEL_LENGTH_MAX + 1];
        const struct counter_params params = {
            .type_id = COUNTER_TYPE_SYSTEM,
            .key = &id,
            .key_length = sizeof id,
            .label = label,
            .label_length = format_label(context->conf, id, label, sizeof label),
            .registration_id = id,
            .owner_id = -1,
        };
        int32_t counter_id = driver_context_allocate_counter(context, &params, error);
        if (counter_id < 0) {
            return counter_id;
        }
        assert(counter_id == id);
        context->system_counters[id] = driver_context_counter(context, counter_id);
    }
    counter_set_release(context->system_counters[SYSTEM_COUNTER_SOFTWARE_VERSION],
                        CNC_SOFTWARE_VERSION);
    counter_set_release(context->system_counters[SYSTEM_COUNTER_CONTROL_PROTOCOL_VERSION],
                        CNC_CONTROL_PROTOCOL_VERSION);
    counter_set_release(context->system_counters[SYSTEM_COUNTER_BYTES_MAPPED],
                        context->cnc.file.length + context->loss_report_file.length);
    return 0;
}
