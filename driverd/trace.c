/* Switching the event log on and off, and writing it.
 *
 *     OFF --trace.dat is there--> ON --it went, its reader ends or is silent--> ENDING --> OFF
 *
 * In ON a pointer in the driver's context leads the agents to the file. It is taken away first;
 * the mapping goes when every agent has begun a duty cycle since, hence cannot be writing any more.
 */
#include "driverd/trace.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "driverd/duty_cycle.h"

#define CHECK_INTERVAL_NS NS_PER_S

void trace_init(struct trace *trace, struct driver_context *context,
                const struct duty_cycle *const agents[TRACE_AGENTS_COUNT]) {
    *trace = (struct trace){.context = context};
    memcpy(trace->agents, agents, sizeof trace->agents);
    (void)snprintf(trace->path, sizeof trace->path, "%s/%s", context->conf->directory,
                   TRACE_FILE_NAME);
}

static void set_state(struct trace *trace, enum trace_state state) {
    assert(state == (trace->state + 1) % 3);
    trace->state = state;
}

static void delete_file(const struct trace *trace) {
    const struct store *store = trace->context->io.store;
    (void)store->unlink(store->context, trace->path);
}

void trace_close(struct trace *trace) {
    if (trace->context == NULL) {
        return;
    }
    if (trace->state != TRACE_STATE_OFF) {
        store_release_pointer(&trace->context->trace_file, NULL);
        trace_file_close(&trace->file);
    }
    delete_file(trace);
    *trace = (struct trace){0};
}

static bool is_reader_dead(const struct trace *trace, const struct trace_header *header) {
    int64_t heartbeat_ms = load_acquire_i64(&header->reader_heartbeat_ms);
    return clock_epoch_ms(trace->context->io.clock) - heartbeat_ms > TRACE_READER_TIMEOUT_MS;
}

static void begin(struct trace *trace) {
    const struct clock *clock = trace->context->io.clock;
    struct tern_error error = {0};
    int result = trace_file_open(&trace->file, trace->path, &error);
    if (result == -EAGAIN || result == -ENOENT) {
        return;
    }
    if (result < 0) { /* once: what cannot be used does not stay */
        driver_context_post_error(trace->context, &error);
        delete_file(trace);
        return;
    }
    struct trace_header *header = trace->file.header;
    header->base_ns = clock_now_ns(clock);
    header->base_epoch_ms = clock_epoch_ms(clock);
    store_release_i32(&header->is_attached, 1);
    store_release_pointer(&trace->context->trace_file, &trace->file);
    set_state(trace, TRACE_STATE_ON);
}

static void end(struct trace *trace) {
    store_release_pointer(&trace->context->trace_file, NULL);
    fence_full(); /* pairs with the agents: cycles that begin after this time see NULL */
    trace->ended_ns = clock_now_ns(trace->context->io.clock);
    set_state(trace, TRACE_STATE_ENDING);
}

static bool are_agents_past(const struct trace *trace) {
    for (int i = 0; i < TRACE_AGENTS_COUNT; i++) {
        if (load_acquire_i64(&trace->agents[i]->last_ns) <= trace->ended_ns) {
            return false;
        }
    }
    return true;
}

int trace_do_work(struct trace *trace, int64_t now_ns) {
    const struct store *store = trace->context->io.store;
    if (now_ns < trace->deadline_ns) {
        return 0;
    }
    trace->deadline_ns = now_ns + CHECK_INTERVAL_NS;
    bool exists = store->exists(store->context, trace->path);
    switch (trace->state) {
    case TRACE_STATE_OFF:
        if (exists) {
            begin(trace);
        }
        break;
    case TRACE_STATE_ON:
        if (!exists || load_acquire_i32(&trace->file.header->is_ended) != 0) {
            end(trace);
        } else if (is_reader_dead(trace, trace->file.header)) {
            delete_file(trace);
            end(trace);
        }
        break;
    case TRACE_STATE_ENDING:
        if (are_agents_past(trace)) {
            trace_file_close(&trace->file);
            set_state(trace, TRACE_STATE_OFF);
        }
        break;
    }
    return 0; /* looking is no work */
}

/* -- writing -- */

static void put_address(struct trace_event *event, const union net_address *address) {
    if (address->base.sa_family == AF_INET) {
        event->address_type = 1;
        memcpy(event->address, &address->v4.sin_addr, sizeof address->v4.sin_addr);
    } else {
        event->address_type = 2;
        memcpy(event->address, &address->v6.sin6_addr, sizeof address->v6.sin6_addr);
    }
    event->port = net_address_port(address);
}

void trace_write_frames(struct trace_file *file, enum trace_kind kind,
                        const struct trace_frames *frames) {
    struct trace_event event = {.time_ns = frames->now_ns};
    for (int i = 0; i < frames->count; i++) {
        const struct net_datagram *datagram = &frames->datagrams[i];
        bool is_joined = kind == TRACE_FRAME_RECEIVED && datagram->segment_length > 0;
        uint32_t segment = is_joined ? datagram->segment_length : datagram->length;
        uint32_t offset = 0;
        put_address(&event, frames->address != NULL ? frames->address : &datagram->address);
        do {
            uint32_t length =
                datagram->length - offset < segment ? datagram->length - offset : segment;
            event.length = (int32_t)length;
            trace_file_write(file, kind, &event, (const uint8_t *)datagram->data + offset,
                             TRACE_FRAME_BYTES_MAX);
            offset += length;
        } while (offset < datagram->length);
    }
}

void trace_write_message(struct trace_file *file, enum trace_kind kind,
                         const struct trace_message *message) {
    const struct trace_event event = {
        .time_ns = message->now_ns, .type = message->type, .length = message->length};
    trace_file_write(file, kind, &event, message->payload, TRACE_COMMAND_BYTES_MAX);
}
