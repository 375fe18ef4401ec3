/* Lines of the event log: time, direction, peer, and what a frame, command or response says. */
#include "driverd/trace_format.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "base/bits.h"
#include "base/clock.h"
#include "base/compiler.h"
#include "base/net.h"
#include "wire/command.h"
#include "wire/frame.h"

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

int32_t trace_message_type(bool is_response, const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(message_names); i++) {
        bool is_other = (message_names[i].type >= RESPONSE_ERROR) != is_response;
        if (!is_other && strcmp(message_names[i].text, name) == 0) {
            return message_names[i].type;
        }
    }
    return 0;
}

static void print_name(FILE *out, int32_t type) {
    for (size_t i = 0; i < ARRAY_COUNT(message_names); i++) {
        if (message_names[i].type == type) {
            fprintf(out, "%s", message_names[i].text);
            return;
        }
    }
    fprintf(out, "type 0x%x", (unsigned)type);
}

void trace_format_text(FILE *out, const char *text, int32_t length) {
    for (int32_t i = 0; i < length && text[i] != '\0'; i++) {
        (void)putc(isprint((unsigned char)text[i]) ? text[i] : '?', out);
    }
}

void trace_format_time(FILE *out, int64_t epoch_ms) {
    time_t seconds = (time_t)(epoch_ms / MS_PER_S);
    struct tm utc;
    char text[32];
    (void)gmtime_r(&seconds, &utc);
    (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc);
    fprintf(out, "%s.%03dZ", text, (int)(epoch_ms % MS_PER_S));
}

static void print_text(FILE *out, const char *name, struct text_slice text) {
    if (text.length > 0) {
        fprintf(out, " %s ", name);
        trace_format_text(out, text.text, text.length);
    }
}

static void print_command(FILE *out, const struct trace_event *event, const uint8_t *data,
                          int32_t length) {
    struct command command;
    fprintf(out, "command  ");
    print_name(out, event->type);
    int result = command_decode(&command, event->type, data, length);
    fprintf(out, " client %" PRId64 " correlation %" PRId64, command.client_id,
            command.correlation_id);
    if (result < 0) {
        fprintf(out, " (%d of %d bytes, not understood)", length, event->length);
        return;
    }
    if (command.registration_id != 0) {
        fprintf(out, " registration %" PRId64, command.registration_id);
    }
    if (command.destination_id != 0) {
        fprintf(out, " destination %" PRId64, command.destination_id);
    }
    if (command.stream_id != 0) {
        fprintf(out, " stream %d", command.stream_id);
    }
    if (command.counter_type_id != 0) {
        fprintf(out, " counter type %d", command.counter_type_id);
    }
    print_text(out, "channel", command.channel);
    print_text(out, "label", command.label);
    print_text(out, "text", command.text);
}

static void print_response(FILE *out, const struct trace_event *event, const uint8_t *data,
                           int32_t length) {
    struct response response;
    fprintf(out, "response ");
    print_name(out, event->type);
    if (response_decode(&response, event->type, data, length) < 0) {
        fprintf(out, " (%d of %d bytes, not understood)", length, event->length);
        return;
    }
    fprintf(out, " correlation %" PRId64, response.correlation_id);
    if (response.registration_id != 0) {
        fprintf(out, " registration %" PRId64, response.registration_id);
    }
    if (response.stream_id != 0 || response.session_id != 0) {
        fprintf(out, " stream %d session %d", response.stream_id, response.session_id);
    }
    if (event->type == RESPONSE_ERROR || event->type == RESPONSE_PUBLICATION_ERROR) {
        fprintf(out, " code %d", response.error_code);
    }
    print_text(out, "text", response.text);
    print_text(out, "source", response.source_identity);
}

static void print_address(FILE *out, const struct trace_event *event) {
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
    fprintf(out, "%s", text);
}

/* Each with the bytes of its frame, of which there are enough. */
static void print_data(FILE *out, const uint8_t *data) {
    struct frame_header frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d term %d offset %d length %d", frame.stream_id,
            frame.session_id, frame.term_id, frame.term_offset, frame.frame_length);
}

static void print_nak(FILE *out, const uint8_t *data) {
    struct frame_nak frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d term %d offset %d length %d", frame.stream_id,
            frame.session_id, frame.term_id, frame.term_offset, frame.length);
}

static void print_sm(FILE *out, const uint8_t *data) {
    struct frame_sm frame = {0};
    memcpy(&frame, data, FRAME_SM_LENGTH);
    fprintf(out, " stream %d session %d term %d offset %d window %d receiver %" PRId64,
            frame.stream_id, frame.session_id, frame.consumption_term_id,
            frame.consumption_term_offset, frame.receiver_window, frame.receiver_id);
}

static void print_setup(FILE *out, const uint8_t *data) {
    struct frame_setup frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d initial %d term %d offset %d term-length %d mtu %d",
            frame.stream_id, frame.session_id, frame.initial_term_id, frame.active_term_id,
            frame.term_offset, frame.term_length, frame.mtu);
}

static void print_rttm(FILE *out, const uint8_t *data) {
    struct frame_rttm frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d delta %" PRId64 " receiver %" PRId64, frame.stream_id,
            frame.session_id, frame.reception_delta, frame.receiver_id);
}

static void print_err(FILE *out, const uint8_t *data) {
    struct frame_err frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d code %d receiver %" PRId64, frame.stream_id,
            frame.session_id, frame.error_code, frame.receiver_id);
}

static void print_rsp_setup(FILE *out, const uint8_t *data) {
    struct frame_rsp_setup frame;
    memcpy(&frame, data, sizeof frame);
    fprintf(out, " stream %d session %d response-session %d", frame.stream_id, frame.session_id,
            frame.response_session_id);
}

static void print_nothing(FILE *out, const uint8_t *data) {
    (void)out, (void)data;
}

static const struct frame_row {
    uint16_t type;
    const char *name;
    int32_t length;
    void (*print)(FILE *out, const uint8_t *data);
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

static void print_frame(FILE *out, const struct trace_event *event, const uint8_t *data,
                        int32_t length) {
    struct frame_common common;
    print_address(out, event);
    fprintf(out, " %d bytes", event->length);
    if (length < (int32_t)sizeof common) {
        fprintf(out, ", too short for a frame");
        return;
    }
    memcpy(&common, data, sizeof common);
    for (size_t i = 0; i < ARRAY_COUNT(frame_rows); i++) {
        const struct frame_row *row = &frame_rows[i];
        if (row->type == common.type && length >= row->length) {
            fprintf(out, " %s flags 0x%02x", row->name, common.flags);
            row->print(out, data);
            return;
        }
    }
    fprintf(out, " type %d flags 0x%02x", common.type, common.flags);
}

void trace_format_event(FILE *out, const struct trace_header *header, enum trace_kind kind,
                        const struct trace_event *event, const uint8_t *data, int32_t length) {
    int64_t elapsed_ns = event->time_ns - header->base_ns;
    trace_format_time(out, header->base_epoch_ms + elapsed_ns / NS_PER_MS);
    (void)putc(' ', out);
    switch (kind) {
    case TRACE_FRAME_SENT:
        fprintf(out, "sent     to ");
        print_frame(out, event, data, length);
        break;
    case TRACE_FRAME_RECEIVED:
        fprintf(out, "received from ");
        print_frame(out, event, data, length);
        break;
    case TRACE_COMMAND:
        print_command(out, event, data, length);
        break;
    case TRACE_RESPONSE:
        print_response(out, event, data, length);
        break;
    }
    (void)putc('\n', out);
}
