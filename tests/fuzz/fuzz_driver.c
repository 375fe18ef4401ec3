/* Fuzz harness of a whole driver: the input is a script of datagrams from the network, records in
 * the command ring and time that passes, played to a driver with streams in both directions. It
 * must live on and still serve a client.
 *
 *   step = kind, length, bytes:  datagram to a receiving socket | datagram to a sending socket |
 *                                command (type, payload) | milliseconds
 */
#include "fuzz.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/seams.h"
#include "lib/sim_driver.h"
#include "wire/command.h"
#include "wire/frame.h"

#define STREAM_ID 7
#define SESSION_ID 9
#define RECEIVING "127.0.0.1:20001" /* where the driver's subscription listens */
#define PEER "127.0.0.1:20002"      /* where its publication sends to */
#define PUBLICATION_CHANNEL                                                                        \
    "aeron:udp?endpoint=" PEER "|session-id=9|init-term-id=0|term-id=0|term-offset=0"
#define RESPONSE_CHANNEL "aeron:udp?control=" PEER "|control-mode=response"

enum step { STEP_TO_RECEIVER, STEP_TO_SENDER, STEP_COMMAND, STEP_TIME, STEP_COUNT };

struct scene {
    struct sim_world world;
    struct sim_node *node;
    int peer; /* a raw socket, the far end of both streams */
    char sender[NET_ADDRESS_TEXT_MAX];
    struct ring_mpsc commands;
    tern_subscription *subscription;
    tern_subscription *responses;
    tern_publication *publication;
};

static uint64_t accepted;

static void small_buffers(struct driver_conf *conf) {
    conf->conductor_buffer_length = 65536 + RING_TRAILER_LENGTH;
    conf->clients_buffer_length = 65536 + BROADCAST_TRAILER_LENGTH;
    conf->counters_buffer_length = 65536;
    conf->error_buffer_length = 65536;
    conf->loss_report_buffer_length = 65536;
}

static void send_setup(struct scene *scene) {
    const struct frame_setup setup = {
        .common = {FRAME_SETUP_LENGTH, 0, 0, FRAME_TYPE_SETUP},
        .session_id = SESSION_ID,
        .stream_id = STREAM_ID,
        .term_length = 65536,
        .mtu = 1408,
    };
    sim_net_send(&scene->world.net, scene->peer, RECEIVING, &setup, FRAME_SETUP_LENGTH);
}

/* What the driver sent to the peer tells where its sending socket is. */
static void find_sender(struct scene *scene) {
    static uint8_t buffer[65536];
    union net_address source;
    while (sim_net_receive(&scene->world.net, scene->peer, buffer, &source) > 0) {
        (void)net_address_format(&source, scene->sender);
    }
}

static void open_scene(struct scene *scene) {
    *scene = (struct scene){0};
    sim_world_init(&scene->world, 1);
    scene->node = sim_world_add(&scene->world);
    small_buffers(&scene->node->conf);
    sim_world_start(&scene->world, scene->node);
    scene->peer = sim_net_bind(&scene->world.net, PEER);
    scene->subscription = sim_add_subscription(&scene->world, scene->node,
                                               "aeron:udp?endpoint=" RECEIVING, STREAM_ID);
    send_setup(scene);
    sim_world_run(&scene->world, NS_PER_MS);
    find_sender(scene); /* takes the status message of the image; the next is a setup */
    char channel[256];
    scene->responses =
        sim_add_subscription(&scene->world, scene->node, RESPONSE_CHANNEL, STREAM_ID);
    (void)snprintf(channel, sizeof channel, PUBLICATION_CHANNEL "|response-correlation-id=%" PRId64,
                   tern_subscription_registration_id(scene->responses));
    scene->publication = sim_add_publication(&scene->world, scene->node, channel, STREAM_ID);
    sim_world_run(&scene->world, NS_PER_MS);
    find_sender(scene);
    const struct cnc *cnc = &scene->node->driver->context.cnc;
    int result = ring_mpsc_init(&scene->commands, cnc->to_driver, cnc->to_driver_length);
    assert(result == 0 && scene->sender[0] != '\0');
    (void)result;
}

static void close_scene(struct scene *scene) {
    tern_publication_close(scene->publication);
    tern_subscription_close(scene->subscription);
    tern_subscription_close(scene->responses);
    sim_world_close(&scene->world);
}

static void ignore(void *context, const uint8_t *buffer, int32_t length,
                   const tern_header *header) {
    (void)context, (void)buffer, (void)length, (void)header;
    accepted++;
}

static void run(struct scene *scene, int64_t duration_ms) {
    for (int64_t i = 0; i < duration_ms; i++) {
        sim_world_step(&scene->world, NS_PER_MS);
        (void)tern_publication_offer(scene->publication, "message", 7);
        (void)tern_subscription_poll(scene->subscription, ignore, NULL, 10);
    }
}

static void play(struct scene *scene, const uint8_t *data, size_t size) {
    while (size >= 2) {
        size_t length = data[1] < size - 2 ? data[1] : size - 2;
        const uint8_t *bytes = data + 2;
        switch (data[0] % STEP_COUNT) {
        case STEP_TO_RECEIVER:
        case STEP_TO_SENDER:
            sim_net_send(&scene->world.net, scene->peer,
                         data[0] % STEP_COUNT == STEP_TO_SENDER ? scene->sender : RECEIVING, bytes,
                         (uint32_t)length);
            break;
        case STEP_COMMAND:
            if (length > 0 && bytes[0] != 0) {
                (void)ring_mpsc_write(&scene->commands, bytes[0], bytes + 1, (int32_t)length - 1);
            }
            break;
        default:
            run(scene, (int64_t)length);
        }
        run(scene, 1);
        data += 2 + length;
        size -= 2 + length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct scene scene;
    open_scene(&scene);
    play(&scene, data, size);
    run(&scene, 20);
    close_scene(&scene);
    return 0;
}

/* -- seeds -- */

static size_t put(uint8_t *data, enum step step, const void *bytes, size_t length) {
    data[0] = (uint8_t)step;
    data[1] = (uint8_t)length;
    memcpy(data + 2, bytes, length);
    return length + 2;
}

static size_t put_data(uint8_t *data) {
    struct {
        struct frame_header header;
        uint8_t payload[32];
    } frame = {{.frame_length = 64,
                .flags = FRAME_FLAG_UNFRAGMENTED,
                .type = FRAME_TYPE_DATA,
                .session_id = SESSION_ID,
                .stream_id = STREAM_ID},
               {0}};
    size_t size = put(data, STEP_TO_RECEIVER, &frame, sizeof frame);
    frame.header.term_offset = 128; /* and a gap */
    size += put(data + size, STEP_TO_RECEIVER, &frame, sizeof frame);
    return size + put(data + size, STEP_TIME, frame.payload, sizeof frame.payload);
}

static size_t put_feedback(uint8_t *data) {
    const struct frame_sm sm = {.common = {FRAME_SM_LENGTH, 0, 0, FRAME_TYPE_SM},
                                .session_id = SESSION_ID,
                                .stream_id = STREAM_ID,
                                .receiver_window = 65536};
    const struct frame_nak nak = {.common = {FRAME_NAK_LENGTH, 0, 0, FRAME_TYPE_NAK},
                                  .session_id = SESSION_ID,
                                  .stream_id = STREAM_ID,
                                  .length = 64};
    const struct frame_rsp_setup response = {
        .common = {FRAME_RSP_SETUP_LENGTH, 0, 0, FRAME_TYPE_RSP_SETUP},
        .session_id = SESSION_ID,
        .stream_id = STREAM_ID,
        .response_session_id = 5};
    size_t size = put(data, STEP_TO_SENDER, &sm, FRAME_SM_LENGTH);
    size += put(data + size, STEP_TO_SENDER, &nak, FRAME_NAK_LENGTH);
    return size + put(data + size, STEP_TO_SENDER, &response, FRAME_RSP_SETUP_LENGTH);
}

static size_t put_command(uint8_t *data, uint64_t index) {
    static const struct command commands[] = {
        {.type = COMMAND_ADD_PUBLICATION, .stream_id = 3},
        {.type = COMMAND_ADD_SUBSCRIPTION, .stream_id = 3},
        {.type = COMMAND_ADD_EXCLUSIVE_PUBLICATION, .stream_id = 3},
        {.type = COMMAND_ADD_COUNTER, .counter_type_id = 1001},
    };
    static const char *const channels[] = {
        "aeron:udp?endpoint=127.0.0.1:7",
        "aeron:ipc",
        "aeron:udp?endpoint=224.0.1.1:7|interface=127.0.0.1",
        "aeron:udp?control=127.0.0.1:8|control-mode=response|response-correlation-id=prototype",
        "aeron:ipc?control-mode=response|response-correlation-id=prototype",
    };
    struct command command = commands[index % 4];
    uint8_t bytes[255] = {(uint8_t)command.type};
    command.client_id = 77;
    command.correlation_id = 100 + (int64_t)index;
    if (command.type == COMMAND_ADD_COUNTER) {
        command.label = (struct text_slice){"label", 5};
    } else {
        const char *channel = channels[index / 4 % ARRAY_COUNT(channels)];
        command.channel = (struct text_slice){channel, (int32_t)strlen(channel)};
    }
    int32_t length = command_encode(&command, bytes + 1, (int32_t)sizeof bytes - 1);
    assert(length > 0);
    return put(data, STEP_COMMAND, bytes, (size_t)length + 1);
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    assert(capacity >= FUZZ_INPUT_MAX);
    (void)capacity;
    size_t size = index % 3 == 0 ? put_command(data, index / 3) : put_data(data);
    return size + (index % 3 == 1 ? put_feedback(data + size) : put_command(data + size, index));
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
