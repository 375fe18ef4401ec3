/* Reading the names of events, and writing the file.
 *
 * A file that has reached its length becomes <name>.1, which replaces an older one of that name: a
 * log that nobody looks after takes twice the length at most.
 */
#include "driverd/event_log.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "daemon/options.h"
#include "driverd/trace_format.h"
#include "wire/command.h"

#define NAME_MAX_LENGTH 64
#define COMMAND_PREFIX "CMD_IN_"
#define RESPONSE_PREFIX "CMD_OUT_"
#define FRAMES (1 << TRACE_FRAME_SENT | 1 << TRACE_FRAME_RECEIVED)
#define MESSAGES (1 << TRACE_COMMAND | 1 << TRACE_RESPONSE)
#define ROLLED_SUFFIX ".1"

/* Names of the original that differ from those of the message. */
static const struct {
    const char *name;
    const char *message;
} aliases[] = {
    {"CMD_IN_KEEPALIVE_CLIENT", "CMD_IN_CLIENT_KEEPALIVE"},
    {"CMD_IN_ADD_RCV_DESTINATION", "CMD_IN_ADD_RECEIVE_DESTINATION"},
    {"CMD_IN_REMOVE_RCV_DESTINATION", "CMD_IN_REMOVE_RECEIVE_DESTINATION"},
    {"CMD_OUT_ON_OPERATION_SUCCESS", "CMD_OUT_OPERATION_SUCCESS"},
    {"CMD_OUT_ON_UNAVAILABLE_IMAGE", "CMD_OUT_UNAVAILABLE_IMAGE"},
    {"CMD_OUT_ON_UNAVAILABLE_COUNTER", "CMD_OUT_UNAVAILABLE_COUNTER"},
    {"CMD_OUT_ON_CLIENT_TIMEOUT", "CMD_OUT_CLIENT_TIMEOUT"},
};

static uint32_t bit_of(int32_t message_type) {
    return UINT32_C(1) << (message_type & 31); /* 0x01 to 0x12, 0x0F01 to 0x0F0D */
}

static bool parse_message(struct event_selection *event, const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(aliases); i++) {
        name = strcmp(aliases[i].name, name) == 0 ? aliases[i].message : name;
    }
    bool is_response = strncmp(name, RESPONSE_PREFIX, strlen(RESPONSE_PREFIX)) == 0;
    const char *prefix = is_response ? RESPONSE_PREFIX : COMMAND_PREFIX;
    if (strncmp(name, prefix, strlen(prefix)) != 0) {
        return false;
    }
    int32_t type = trace_message_type(is_response, name + strlen(prefix));
    if (type == 0) {
        return false;
    }
    event->kinds = 1 << (is_response ? TRACE_RESPONSE : TRACE_COMMAND);
    *(is_response ? &event->responses : &event->commands) = bit_of(type);
    return true;
}

static bool parse_event(struct event_selection *event, const char *name) {
    *event = (struct event_selection){0};
    if (strcasecmp(name, "all") == 0 || strcasecmp(name, "admin") == 0) {
        event->kinds = strcasecmp(name, "all") == 0 ? FRAMES | MESSAGES : MESSAGES;
        event->commands = UINT32_MAX;
        event->responses = UINT32_MAX;
        return true;
    }
    if (strcmp(name, "FRAME_IN") == 0 || strcmp(name, "FRAME_OUT") == 0) {
        event->kinds =
            1 << (strcmp(name, "FRAME_IN") == 0 ? TRACE_FRAME_RECEIVED : TRACE_FRAME_SENT);
        return true;
    }
    return parse_message(event, name);
}

/* Without what is empty. */
static void set_kinds(struct event_selection *selection) {
    selection->kinds &= FRAMES;
    selection->kinds |= selection->commands != 0 ? 1 << TRACE_COMMAND : 0;
    selection->kinds |= selection->responses != 0 ? 1 << TRACE_RESPONSE : 0;
}

static int parse_list(struct event_selection *selection, const char *list, bool is_adding,
                      struct tern_error *error) {
    char name[NAME_MAX_LENGTH];
    struct event_selection event;
    while (option_list_next(&list, name, sizeof name)) {
        if (!parse_event(&event, name)) {
            return error_set(error, -EINVAL,
                             "'%s' is no event: all, admin, FRAME_IN, FRAME_OUT, CMD_IN_<command>, "
                             "CMD_OUT_<response> are",
                             name);
        }
        if (is_adding) {
            selection->kinds |= event.kinds;
            selection->commands |= event.commands;
            selection->responses |= event.responses;
        } else {
            selection->kinds &= ~event.kinds;
            selection->commands &= ~event.commands;
            selection->responses &= ~event.responses;
        }
    }
    return 0;
}

int event_selection_parse(struct event_selection *selection, const char *enabled,
                          const char *disabled, struct tern_error *error) {
    *selection = (struct event_selection){0};
    int result = parse_list(selection, enabled, true, error);
    result = result < 0 ? result : parse_list(selection, disabled, false, error);
    set_kinds(selection);
    return result;
}

static int open_file(struct event_log *log, struct tern_error *error) {
    log->out = log->path == NULL ? stdout : fopen(log->path, "ae");
    return log->out != NULL
               ? 0
               : error_set_errno(error, errno, "cannot open the event log %s", log->path);
}

int event_log_open(struct event_log *log, const struct driver_conf *conf, const struct clock *clock,
                   struct tern_error *error) {
    *log = (struct event_log){
        .clock = clock,
        .path = conf->event_log_filename[0] == '\0' ? NULL : conf->event_log_filename,
        .length_max = conf->event_log_length_max,
    };
    int result =
        event_selection_parse(&log->selection, conf->event_log, conf->event_log_disable, error);
    if (result < 0 || log->selection.kinds == 0) {
        return result;
    }
    result = trace_file_create_private(&log->ring, log->selection.kinds, error);
    result = result < 0 ? result : open_file(log, error);
    if (result < 0) {
        event_log_close(log);
    }
    return result;
}

static void on_event(void *context, enum trace_kind kind, const struct trace_event *event,
                     const uint8_t *data, int32_t length) {
    const struct event_log *log = context;
    bool is_command = kind == TRACE_COMMAND;
    uint32_t wanted = is_command ? log->selection.commands : log->selection.responses;
    bool is_message = is_command || kind == TRACE_RESPONSE;
    if (!is_message || (wanted & bit_of(event->type)) != 0) {
        trace_format_event(log->out, log->ring.header, kind, event, data, length);
    }
}

static void tell_dropped(struct event_log *log) {
    int64_t count = load_acquire_i64(&log->ring.header->dropped_count);
    if (count != log->dropped_count) {
        fprintf(log->out, "%" PRId64 " events were lost: they came too fast\n",
                count - log->dropped_count);
        log->dropped_count = count;
    }
}

/* What cannot be opened again goes on where it was. */
static void roll(struct event_log *log) {
    char rolled[DRIVER_DIRECTORY_MAX + sizeof ROLLED_SUFFIX];
    if (log->path == NULL || log->length_max == 0 || ftell(log->out) < log->length_max) {
        return;
    }
    FILE *full = log->out;
    (void)snprintf(rolled, sizeof rolled, "%s" ROLLED_SUFFIX, log->path);
    if (rename(log->path, rolled) == 0 && open_file(log, NULL) == 0) {
        (void)fclose(full);
    } else {
        log->out = full;
    }
}

int event_log_do_work(struct event_log *log, int64_t now_ns) {
    if (!event_log_is_on(log) || now_ns < log->deadline_ns) {
        return 0;
    }
    struct trace_header *header = log->ring.header;
    log->deadline_ns = now_ns + EVENT_LOG_INTERVAL_NS;
    header->base_ns = clock_now_ns(log->clock);
    header->base_epoch_ms = clock_epoch_ms(log->clock);
    int count = trace_file_read(&log->ring, on_event, log);
    tell_dropped(log);
    if (count > 0) {
        (void)fflush(log->out);
        roll(log);
    }
    return count;
}

void event_log_close(struct event_log *log) {
    if (log->out != NULL) {
        log->deadline_ns = INT64_MIN;
        (void)event_log_do_work(log, 0);
        (void)(log->out == stdout ? fflush(stdout) : fclose(log->out));
    }
    trace_file_close(&log->ring);
    *log = (struct event_log){0};
}
