/* ternctl-driver trace: switch the driver's event log on, print what comes, switch it off.
 *
 * On is a file in the driver directory, off is without it (shm/trace_file.h). The file goes with
 * the program, whatever ends it; when it is killed the driver deletes the file a little later.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/net.h"
#include "driverd/ctl.h"
#include "shm/trace_file.h"
#include "wire/command.h"
#include "wire/frame.h"

#define DIRECTORY_LENGTH_MAX 4096
#define READ_INTERVAL_NS (20 * NS_PER_MS)
#define DRIVER_TIMEOUT_MS 10000
#define ATTACH_TIMEOUT_MS                                                                          \
    8000 /* the driver looks once per second, and ends an earlier trace first */

#define FRAMES (1 << TRACE_FRAME_SENT | 1 << TRACE_FRAME_RECEIVED)
#define COMMANDS (1 << TRACE_COMMAND | 1 << TRACE_RESPONSE)

struct name {
    int32_t type;
    const char *text;
};

static const struct name message_names[] = {
    {COMMAND_ADD_PUBLICATION, "ADD_PUBLICATION"},
    {COMMAND_REMOVE_PUBLICATION, "REMOVE_PUBLICATION"},
    {COMMAND_ADD_EXCLUSIVE_PUBLICATION, "ADD_EXCLUSIVE_PUBLICATION"},
    {COMMAND_ADD_SUBSCRIPTION, "ADD_SUBSCRIPTION"},
    {COMMAND_REMOVE_SUBSCRIPTION, "REMOVE_SUBSCRIPTION"},
    {COMMAND_CLIENT_KEEPALIVE, "CLIENT_KEEPALIVE"},
    {COMMAND_ADD_DESTINATION, "ADD_DESTINATION"},
    {COMMAND_REMOVE_DESTINATION, "REMOVE_DESTINATION"},
    {COMMAND_ADD_COUNTER, "ADD_COUNTER"},
    {COMMAND_REMOVE_COUNTER, "REMOVE_COUNTER"},
    {COMMAND_CLIENT_CLOSE, "CLIENT_CLOSE"},
    {COMMAND_ADD_RECEIVE_DESTINATION, "ADD_RECEIVE_DESTINATION"},
    {COMMAND_REMOVE_RECEIVE_DESTINATION, "REMOVE_RECEIVE_DESTINATION"},
    {COMMAND_TERMINATE_DRIVER, "TERMINATE_DRIVER"},
    {COMMAND_ADD_STATIC_COUNTER, "ADD_STATIC_COUNTER"},
    {COMMAND_REJECT_IMAGE, "REJECT_IMAGE"},
    {COMMAND_REMOVE_DESTINATION_BY_ID, "REMOVE_DESTINATION_BY_ID"},
    {COMMAND_NEXT_SESSION_ID, "NEXT_SESSION_ID"},
    {RESPONSE_ERROR, "ERROR"},
    {RESPONSE_AVAILABLE_IMAGE, "AVAILABLE_IMAGE"},
    {RESPONSE_PUBLICATION_READY, "PUBLICATION_READY"},
    {RESPONSE_OPERATION_SUCCESS, "OPERATION_SUCCESS"},
    {RESPONSE_UNAVAILABLE_IMAGE, "UNAVAILABLE_IMAGE"},
    {RESPONSE_EXCLUSIVE_PUBLICATION_READY, "EXCLUSIVE_PUBLICATION_READY"},
    {RESPONSE_SUBSCRIPTION_READY, "SUBSCRIPTION_READY"},
    {RESPONSE_COUNTER_READY, "COUNTER_READY"},
    {RESPONSE_UNAVAILABLE_COUNTER, "UNAVAILABLE_COUNTER"},
    {RESPONSE_CLIENT_TIMEOUT, "CLIENT_TIMEOUT"},
    {RESPONSE_STATIC_COUNTER, "STATIC_COUNTER"},
    {RESPONSE_PUBLICATION_ERROR, "PUBLICATION_ERROR"},
    {RESPONSE_NEXT_SESSION_ID, "NEXT_SESSION_ID"},
};

static void print_name(int32_t type) {
    for (size_t i = 0; i < ARRAY_COUNT(message_names); i++) {
        if (message_names[i].type == type) {
            printf("%s", message_names[i].text);
            return;
        }
    }
    printf("type 0x%x", (unsigned)type);
}

static void print_text(const char *name, struct text_slice text) {
    if (text.length > 0) {
        printf(" %s ", name);
        ctl_print_text(text.text, text.length);
    }
}

static void print_command(const struct trace_event *event, const uint8_t *data, int32_t length) {
    struct command command;
    printf("command  ");
    print_name(event->type);
    int result = command_decode(&command, event->type, data, length);
    printf(" client %" PRId64 " correlation %" PRId64, command.client_id, command.correlation_id);
    if (result < 0) {
        printf(" (%d of %d bytes, not understood)", length, event->length);
        return;
    }
    if (command.registration_id != 0) {
        printf(" registration %" PRId64, command.registration_id);
    }
    if (command.destination_id != 0) {
        printf(" destination %" PRId64, command.destination_id);
    }
    if (command.stream_id != 0) {
        printf(" stream %d", command.stream_id);
    }
    if (command.counter_type_id != 0) {
        printf(" counter type %d", command.counter_type_id);
    }
    print_text("channel", command.channel);
    print_text("label", command.label);
    print_text("text", command.text);
}

static void print_response(const struct trace_event *event, const uint8_t *data, int32_t length) {
    struct response response;
    printf("response ");
    print_name(event->type);
    if (response_decode(&response, event->type, data, length) < 0) {
        printf(" (%d of %d bytes, not understood)", length, event->length);
        return;
    }
    printf(" correlation %" PRId64, response.correlation_id);
    if (response.registration_id != 0) {
        printf(" registration %" PRId64, response.registration_id);
    }
    if (response.stream_id != 0 || response.session_id != 0) {
        printf(" stream %d session %d", response.stream_id, response.session_id);
    }
    if (event->type == RESPONSE_ERROR || event->type == RESPONSE_PUBLICATION_ERROR) {
        printf(" code %d", response.error_code);
    }
    print_text("text", response.text);
    print_text("source", response.source_identity);
}

static void print_address(const struct trace_event *event) {
    union net_address address = {0};
    char text[NET_ADDRESS_TEXT_MAX];
    if (event->address_type == 1) {
        address.v4.sin_family = AF_INET;
        memcpy(&address.v4.sin_addr, event->address, sizeof address.v4.sin_addr);
    } else {
        address.v6.sin6_family = AF_INET6;
        memcpy(&address.v6.sin6_addr, event->address, sizeof address.v6.sin6_addr);
    }
    net_address_set_port(&address, event->port);
    (void)net_address_format(&address, text);
    printf("%s", text);
}

/* Each with the bytes of its frame, of which there are enough. */
static void print_data(const uint8_t *data) {
    struct frame_header frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d term %d offset %d length %d", frame.stream_id, frame.session_id,
           frame.term_id, frame.term_offset, frame.frame_length);
}

static void print_nak(const uint8_t *data) {
    struct frame_nak frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d term %d offset %d length %d", frame.stream_id, frame.session_id,
           frame.term_id, frame.term_offset, frame.length);
}

static void print_sm(const uint8_t *data) {
    struct frame_sm frame = {0};
    memcpy(&frame, data, FRAME_SM_LENGTH);
    printf(" stream %d session %d term %d offset %d window %d receiver %" PRId64, frame.stream_id,
           frame.session_id, frame.consumption_term_id, frame.consumption_term_offset,
           frame.receiver_window, frame.receiver_id);
}

static void print_setup(const uint8_t *data) {
    struct frame_setup frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d initial %d term %d offset %d term-length %d mtu %d",
           frame.stream_id, frame.session_id, frame.initial_term_id, frame.active_term_id,
           frame.term_offset, frame.term_length, frame.mtu);
}

static void print_rttm(const uint8_t *data) {
    struct frame_rttm frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d delta %" PRId64 " receiver %" PRId64, frame.stream_id,
           frame.session_id, frame.reception_delta, frame.receiver_id);
}

static void print_err(const uint8_t *data) {
    struct frame_err frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d code %d receiver %" PRId64, frame.stream_id, frame.session_id,
           frame.error_code, frame.receiver_id);
}

static void print_rsp_setup(const uint8_t *data) {
    struct frame_rsp_setup frame;
    memcpy(&frame, data, sizeof frame);
    printf(" stream %d session %d response-session %d", frame.stream_id, frame.session_id,
           frame.response_session_id);
}

static void print_nothing(const uint8_t *data) {
    (void)data;
}

static const struct frame_row {
    uint16_t type;
    const char *name;
    int32_t length;
    void (*print)(const uint8_t *data);
} frame_rows[] = {
    {FRAME_TYPE_PAD, "PAD", LOG_FRAME_HEADER_LENGTH, print_data},
    {FRAME_TYPE_DATA, "DATA", LOG_FRAME_HEADER_LENGTH, print_data},
    {FRAME_TYPE_NAK, "NAK", FRAME_NAK_LENGTH, print_nak},
    {FRAME_TYPE_SM, "SM", FRAME_SM_LENGTH, print_sm},
    {FRAME_TYPE_ERR, "ERR", FRAME_ERR_LENGTH, print_err},
    {FRAME_TYPE_SETUP, "SETUP", FRAME_SETUP_LENGTH, print_setup},
    {FRAME_TYPE_RTTM, "RTTM", FRAME_RTTM_LENGTH, print_rttm},
    {FRAME_TYPE_RES, "RES", FRAME_COMMON_LENGTH, print_nothing},
    {FRAME_TYPE_RSP_SETUP, "RSP_SETUP", FRAME_RSP_SETUP_LENGTH, print_rsp_setup},
};

static void print_frame(const struct trace_event *event, const uint8_t *data, int32_t length) {
    struct frame_common common;
    print_address(event);
    printf(" %d bytes", event->length);
    if (length < (int32_t)sizeof common) {
        printf(", too short for a frame");
        return;
    }
    memcpy(&common, data, sizeof common);
    for (size_t i = 0; i < ARRAY_COUNT(frame_rows); i++) {
        const struct frame_row *row = &frame_rows[i];
        if (row->type == common.type && length >= row->length) {
            printf(" %s flags 0x%02x", row->name, common.flags);
            row->print(data);
            return;
        }
    }
    printf(" type %d flags 0x%02x", common.type, common.flags);
}

static void on_event(void *context, enum trace_kind kind, const struct trace_event *event,
                     const uint8_t *data, int32_t length) {
    const struct trace_header *header = context;
    int64_t elapsed_ns = event->time_ns - header->base_ns;
    ctl_print_time(header->base_epoch_ms + elapsed_ns / NS_PER_MS);
    (void)putchar(' ');
    switch (kind) {
    case TRACE_FRAME_SENT:
        printf("sent     to ");
        print_frame(event, data, length);
        break;
    case TRACE_FRAME_RECEIVED:
        printf("received from ");
        print_frame(event, data, length);
        break;
    case TRACE_COMMAND:
        print_command(event, data, length);
        break;
    case TRACE_RESPONSE:
        print_response(event, data, length);
        break;
    }
    (void)putchar('\n');
}

/* Who may write cnc.dat may write this file, too: the driver may be another user than we are. */
static void share_file(const char *directory, const char *path) {
    char cnc_path[DIRECTORY_LENGTH_MAX + 16];
    struct stat status;
    (void)snprintf(cnc_path, sizeof cnc_path, "%s/%s", directory, CNC_FILE_NAME);
    if (stat(cnc_path, &status) == 0 &&
        (chown(path, status.st_uid, status.st_gid) != 0 || chmod(path, status.st_mode) != 0)) {
        fprintf(stderr, "ternctl-driver: cannot share %s with the driver: %s\n", path,
                strerror(errno));
    }
}

static bool is_driver_alive(const struct cnc *cnc, int64_t now_ms) {
    int64_t heartbeat_ms = cnc_driver_heartbeat_ms(cnc);
    return heartbeat_ms >= 0 && now_ms - heartbeat_ms < DRIVER_TIMEOUT_MS;
}

/* Blocked, so that they are met where the program waits; a closed pipe ends it as well. */
static sigset_t block_signals(void) {
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    sigset_t signals;
    (void)sigemptyset(&signals);
    for (size_t i = 0; i < ARRAY_COUNT(numbers); i++) {
        (void)sigaddset(&signals, numbers[i]);
    }
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    return signals;
}

static bool is_stopped(const sigset_t *signals, int64_t timeout_ns) {
    const struct timespec timeout = {.tv_nsec = timeout_ns};
    return sigtimedwait(signals, NULL, &timeout) > 0;
}

/* Until we are stopped, the driver ends, or something deletes the file. */
static bool follow(struct trace_file *trace, const struct cnc *cnc, const char *path,
                   const sigset_t *signals) {
    const int64_t start_ms = clock_epoch_ms(clock_system());
    bool is_announced = false;
    int64_t rest_ns = 0;
    while (!is_stopped(signals, rest_ns)) {
        int64_t now_ms = clock_epoch_ms(clock_system());
        if (!is_driver_alive(cnc, now_ms) || access(path, F_OK) != 0) {
            return false;
        }
        store_release_i64(&trace->header->reader_heartbeat_ms, now_ms);
        if (!is_announced && load_acquire_i32(&trace->header->is_attached) != 0) {
            fprintf(stderr, "tracing; stop with ^C\n");
            is_announced = true;
        }
        if (!is_announced && now_ms - start_ms > ATTACH_TIMEOUT_MS) {
            return false; /* a driver that does not know of this */
        }
        rest_ns = 0;
        if (trace_file_read(trace, on_event, trace->header) == 0) {
            (void)fflush(stdout);
            rest_ns = READ_INTERVAL_NS;
        }
    }
    return true;
}

int ctl_run_trace(const char *directory, const struct cnc *cnc, const char *what) {
    char path[DIRECTORY_LENGTH_MAX + 16];
    struct trace_file trace;
    struct tern_error error = {0};
    int32_t kinds = FRAMES | COMMANDS;
    int64_t now_ms = clock_epoch_ms(clock_system());
    if (what != NULL) {
        kinds = strcmp(what, "frames") == 0 ? FRAMES : COMMANDS;
    }
    (void)snprintf(path, sizeof path, "%s/%s", directory, TRACE_FILE_NAME);
    if (!is_driver_alive(cnc, now_ms)) {
        fprintf(stderr, "ternctl-driver: no driver is alive in %s\n", directory);
        return EXIT_UNAVAILABLE;
    }
    const sigset_t signals = block_signals();
    int result = trace_file_create(&trace, path, kinds, now_ms, &error);
    if (result < 0) {
        fprintf(stderr, "ternctl-driver: %s%s\n", error.text,
                result == -EEXIST ? ": somebody traces already" : "");
        return EXIT_UNAVAILABLE;
    }
    share_file(directory, path);
    bool was_stopped = follow(&trace, cnc, path, &signals);
    trace_file_end(&trace, path);
    (void)trace_file_read(&trace, on_event, trace.header);
    int64_t dropped = load_acquire_i64(&trace.header->dropped_count);
    if (dropped > 0) {
        fprintf(stderr, "%" PRId64 " events were lost: they came too fast\n", dropped);
    }
    if (!was_stopped) {
        fprintf(stderr, "ternctl-driver: the driver has ended, or does not trace\n");
    }
    trace_file_close(&trace);
    return was_stopped ? EXIT_SUCCESS : EXIT_UNAVAILABLE;
}
