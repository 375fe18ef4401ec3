/* Fuzz harness of a whole driver: the input is a script of datagrams from the network, records in
 * the command ring and time that passes, played to a driver with streams in both directions. It
 * must live on and still serve a client.
 *
 *   step = kind, length, bytes:  datagram to a receiving socket | datagram to a sending socket |
 *                                command (type, payload) | milliseconds |
 *                                datagram to the control socket of a publication of the script
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
#define CONTROL "127.0.0.1:20005"   /* where a script may let a publication listen */
#define PEER "127.0.0.1:20002"      /* where its publication sends to */
#define PUBLICATION_CHANNEL                                                                        \
    "aeron:udp?endpoint=" PEER "|session-id=9|init-term-id=0|term-id=0|term-offset=0"
#define RESPONSE_CHANNEL "aeron:udp?control=" PEER "|control-mode=response"

enum step {
    STEP_TO_RECEIVER,
    STEP_TO_SENDER,
    STEP_COMMAND,
    STEP_TIME,
    STEP_TO_CONTROL,
    STEP_COUNT
};

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

/* What the defaults keep from the network and from clients. */
static void open_doors(struct driver_conf *conf) {
    /* Sets a flag that nobody looks at here. */
    (void)snprintf(conf->termination, sizeof conf->termination, "allow");
    conf->cubic_measures_rtt = true;
}

/* What ends by itself ends within a script. */
static void short_lives(struct driver_conf *conf) {
    conf->timer_interval_ns = 5 * NS_PER_MS;
    conf->linger_timeout_ns = 20 * NS_PER_MS;
    conf->image_liveness_timeout_ns = 100 * NS_PER_MS;
    conf->connection_timeout_ns = 100 * NS_PER_MS;
    conf->counters_reuse_timeout_ns = 20 * NS_PER_MS;
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
    open_doors(&scene->node->conf);
    short_lives(&scene->node->conf);
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

static const char *addressee(const struct scene *scene, enum step step) {
    return step == STEP_TO_RECEIVER ? RECEIVING : step == STEP_TO_SENDER ? scene->sender : CONTROL;
}

static void play(struct scene *scene, const uint8_t *data, size_t size) {
    while (size >= 2) {
        size_t length = data[1] < size - 2 ? data[1] : size - 2;
        const uint8_t *bytes = data + 2;
        switch (data[0] % STEP_COUNT) {
        case STEP_TO_RECEIVER:
        case STEP_TO_SENDER:
        case STEP_TO_CONTROL:
            sim_net_send(&scene->world.net, scene->peer, addressee(scene, data[0] % STEP_COUNT),
                         bytes, (uint32_t)length);
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

/* -- seeds: short scripts of all that peers and clients can send, see fuzz_seed -- */

#define CLIENT_ID 77      /* of the client that commands come from */
#define OTHER_STREAM_ID 3 /* of what it adds */
#define SCENE_IDS 16 /* ids that the driver gave away before the script begins, and some more */

struct script {
    uint8_t *data;
    size_t size;
    int64_t correlation_id; /* of the latest command */
};

static void put(struct script *script, enum step step, const void *bytes, size_t length) {
    assert(length <= UINT8_MAX && script->size + 2 + length <= FUZZ_INPUT_MAX);
    uint8_t *at = script->data + script->size;
    at[0] = (uint8_t)step;
    at[1] = (uint8_t)length;
    memcpy(at + 2, bytes, length);
    script->size += 2 + length;
}

static void put_time(struct script *script, size_t duration_ms) {
    static const uint8_t bytes[UINT8_MAX];
    put(script, STEP_TIME, bytes, duration_ms);
}

/* A command with whatever of it counts; ids and stream are the script's. `text` is what it has of
 * it: a channel, a label, a reason, a token. Gives its correlation id, which is the registration id
 * of what it adds. */
static int64_t put_command(struct script *script, struct command command, const char *text) {
    const struct text_slice slice = {text, (int32_t)strlen(text)};
    uint8_t bytes[UINT8_MAX] = {(uint8_t)command.type};
    command.client_id = CLIENT_ID;
    command.correlation_id = ++script->correlation_id;
    command.stream_id = command.stream_id == 0 ? OTHER_STREAM_ID : command.stream_id;
    command.channel = command.key = command.label = command.text = slice;
    int32_t length = command_encode(&command, bytes + 1, (int32_t)sizeof bytes - 1);
    assert(length > 0);
    put(script, STEP_COMMAND, bytes, (size_t)length + 1);
    return command.correlation_id;
}

static int64_t put_add(struct script *script, int32_t type, const char *text) {
    return put_command(script, (struct command){.type = type, .counter_type_id = 1001}, text);
}

/* A command about something that was added. */
static void put_about(struct script *script, int32_t type, int64_t registration_id,
                      const char *text) {
    const struct command command = {.type = type, .registration_id = registration_id};
    (void)put_command(script, command, text);
}

static void put_setup(struct script *script, int32_t stream_id) {
    const struct frame_setup setup = {.common = {FRAME_SETUP_LENGTH, 0, 0, FRAME_TYPE_SETUP},
                                      .session_id = SESSION_ID,
                                      .stream_id = stream_id,
                                      .term_length = 65536,
                                      .mtu = 1408};
    put(script, STEP_TO_RECEIVER, &setup, FRAME_SETUP_LENGTH);
}

static void put_data(struct script *script, int32_t stream_id) {
    struct {
        struct frame_header header;
        uint8_t payload[32];
    } frame = {{.frame_length = 64,
                .flags = FRAME_FLAG_UNFRAGMENTED,
                .type = FRAME_TYPE_DATA,
                .session_id = SESSION_ID,
                .stream_id = stream_id},
               {0}};
    put(script, STEP_TO_RECEIVER, &frame, sizeof frame);
    frame.header.term_offset = 128; /* and a gap */
    put(script, STEP_TO_RECEIVER, &frame, sizeof frame);
    put_time(script, 32);
}

static void put_adds(struct script *script, uint64_t variant) {
    static const char *const channels[] = {
        "aeron:udp?endpoint=127.0.0.1:7",
        "aeron:ipc",
        "aeron:udp?endpoint=224.0.1.1:7|interface=127.0.0.1",
        "aeron:udp?control=127.0.0.1:8|control-mode=response|response-correlation-id=prototype",
        "aeron:ipc?control-mode=response|response-correlation-id=prototype",
        "aeron:udp?control=127.0.0.1:8|control-mode=dynamic|fc=tagged,g:5/1,t:1s",
        "aeron:udp?control=127.0.0.1:8|control-mode=manual|alias=%20",
    };
    const char *channel = channels[variant % ARRAY_COUNT(channels)];
    (void)put_add(script, COMMAND_ADD_PUBLICATION, channel);
    (void)put_add(script, COMMAND_ADD_SUBSCRIPTION, channel);
    (void)put_add(script, COMMAND_ADD_EXCLUSIVE_PUBLICATION, channel);
}

static void put_feedback(struct script *script, uint64_t variant) {
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
    (void)variant;
    put_data(script, STREAM_ID);
    put(script, STEP_TO_SENDER, &sm, FRAME_SM_LENGTH);
    put(script, STEP_TO_SENDER, &nak, FRAME_NAK_LENGTH);
    put(script, STEP_TO_SENDER, &response, FRAME_RSP_SETUP_LENGTH);
}

static void put_data_and_adds(struct script *script, uint64_t variant) {
    put_data(script, STREAM_ID);
    put_adds(script, variant);
}

/* Round trips asked for and answered, in both roles. */
static void put_round_trips(struct script *script, uint64_t variant) {
    const uint8_t flags = variant % 2 == 0 ? FRAME_RTTM_FLAG_REPLY : 0;
    struct frame_rttm rttm = {.common = {FRAME_RTTM_LENGTH, 0, flags, FRAME_TYPE_RTTM},
                              .session_id = SESSION_ID,
                              .stream_id = OTHER_STREAM_ID,
                              .reception_delta = 1000};
    (void)put_add(script, COMMAND_ADD_SUBSCRIPTION, "aeron:udp?endpoint=" RECEIVING "|cc=cubic");
    put_setup(script, OTHER_STREAM_ID);
    put_data(script, OTHER_STREAM_ID);
    put(script, STEP_TO_RECEIVER, &rttm, FRAME_RTTM_LENGTH);
    rttm.stream_id = STREAM_ID;
    put(script, STEP_TO_RECEIVER, &rttm, FRAME_RTTM_LENGTH);
    put(script, STEP_TO_SENDER, &rttm, FRAME_RTTM_LENGTH);
    put_time(script, 200);
}

/* A receiver that rejects the image it has of our publication. */
static void put_error(struct script *script, uint64_t variant) {
    struct {
        struct frame_err frame;
        char text[20];
    } error = {.frame = {.common = {sizeof error, 0, 0, FRAME_TYPE_ERR},
                         .session_id = SESSION_ID,
                         .stream_id = STREAM_ID,
                         .receiver_id = 1,
                         .error_code = DRIVER_ERROR_IMAGE_REJECTED,
                         .error_length = sizeof error.text},
               .text = "what a peer dislikes"};
    if (variant % 2 != 0) {
        error.frame.common.flags = FRAME_ERR_FLAG_GROUP_TAG;
        error.frame.group_tag = 5;
    }
    put_feedback(script, variant); /* it is a receiver that the sender knows */
    put(script, STEP_TO_SENDER, &error, sizeof error);
    put(script, STEP_TO_RECEIVER, &error, sizeof error);
}

static void put_destinations(struct script *script, uint64_t variant) {
    const bool sends = variant % 2 == 0;
    const int32_t add = sends ? COMMAND_ADD_DESTINATION : COMMAND_ADD_RECEIVE_DESTINATION;
    const int32_t remove = sends ? COMMAND_REMOVE_DESTINATION : COMMAND_REMOVE_RECEIVE_DESTINATION;
    const char *first = sends ? "aeron:udp?endpoint=" PEER : "aeron:udp?endpoint=127.0.0.1:20003";
    int64_t resource = put_add(script, sends ? COMMAND_ADD_PUBLICATION : COMMAND_ADD_SUBSCRIPTION,
                               "aeron:udp?control-mode=manual");
    put_about(script, add, resource, first);
    put_about(script, add, resource, "aeron:ipc");
    put_about(script, add, resource, "aeron:udp?endpoint=127.0.0.1:20004");
    const struct command by_id = {.type = COMMAND_REMOVE_DESTINATION_BY_ID,
                                  .registration_id = resource,
                                  .destination_id = script->correlation_id};
    (void)put_command(script, by_id, "");
    put_time(script, 8);
    put_about(script, remove, resource, first);
    put_about(script, remove, resource, first); /* it is gone already */
    put_about(script, sends ? COMMAND_REMOVE_PUBLICATION : COMMAND_REMOVE_SUBSCRIPTION, resource,
              "");
}

static void put_rejects(struct script *script, uint64_t variant) {
    (void)put_add(script, COMMAND_ADD_SUBSCRIPTION, "aeron:udp?endpoint=" RECEIVING);
    put_setup(script, OTHER_STREAM_ID);
    put_data(script, OTHER_STREAM_ID);
    for (int64_t id = 1; id < SCENE_IDS; id++) { /* the images' among them */
        struct command command = {.type = COMMAND_REJECT_IMAGE, .registration_id = id};
        command.position = (int64_t)variant;
        (void)put_command(script, command, "no");
    }
}

static void put_counters(struct script *script, uint64_t variant) {
    (void)variant;
    int64_t counter = put_add(script, COMMAND_ADD_COUNTER, "label");
    int64_t fixed = put_command(script,
                                (struct command){.type = COMMAND_ADD_STATIC_COUNTER,
                                                 .counter_type_id = 1002,
                                                 .registration_id = 5},
                                "fixed");
    put_about(script, COMMAND_NEXT_SESSION_ID, 0, "");
    put_about(script, COMMAND_REMOVE_COUNTER, counter, "");
    put_about(script, COMMAND_REMOVE_COUNTER, fixed, "");
    put_about(script, COMMAND_REMOVE_COUNTER, counter, ""); /* it is gone already */
}

/* A client's whole life, at whose end something is left for the driver to remove. */
static void put_life(struct script *script, uint64_t variant) {
    const char *channel = variant % 2 == 0 ? "aeron:ipc" : "aeron:udp?endpoint=" RECEIVING;
    put_about(script, COMMAND_CLIENT_KEEPALIVE, 0, "");
    int64_t publication = put_add(script, COMMAND_ADD_PUBLICATION, channel);
    int64_t subscription = put_add(script, COMMAND_ADD_SUBSCRIPTION, channel);
    (void)put_add(script, COMMAND_ADD_EXCLUSIVE_PUBLICATION, channel);
    (void)put_add(script, COMMAND_ADD_COUNTER, "label");
    put_time(script, 8);
    const struct command remove = {.type = COMMAND_REMOVE_PUBLICATION,
                                   .registration_id = publication,
                                   .flags = variant % 4 < 2 ? COMMAND_FLAG_REVOKE : 0};
    (void)put_command(script, remove, "");
    put_about(script, COMMAND_REMOVE_SUBSCRIPTION, subscription, "");
    put_about(script, COMMAND_CLIENT_CLOSE, 0, "");
    put_about(script, COMMAND_CLIENT_KEEPALIVE, 0, "");
    put_time(script, 200);
}

/* Publications that others refer to: spies, by session, by tag, with receivers that form a group.
 */
static void put_references(struct script *script, uint64_t variant) {
    static const char *const flows[] = {"|fc=min,g:/1", "|fc=tagged,g:5/1,t:1s", "|fc=max", ""};
    char channel[128];
    (void)snprintf(channel, sizeof channel,
                   "aeron:udp?control=" CONTROL "|control-mode=dynamic|tags=1,2|session-id=5%s",
                   flows[variant % ARRAY_COUNT(flows)]);
    const struct command spy = {.type = COMMAND_ADD_SUBSCRIPTION, .stream_id = STREAM_ID};
    int64_t spied = put_command(script, spy, "aeron-spy:aeron:udp?endpoint=" PEER);
    (void)put_add(script, COMMAND_ADD_PUBLICATION, channel);
    (void)put_add(script, COMMAND_ADD_PUBLICATION, channel);
    (void)put_add(script, COMMAND_ADD_SUBSCRIPTION, "aeron-spy:aeron:udp?tags=1,2");
    const struct command other = {.type = COMMAND_ADD_PUBLICATION, .stream_id = 4};
    (void)put_command(script, other, "aeron:udp?endpoint=127.0.0.1:7|session-id=tag:2");
    const struct frame_sm sm = {.common = {FRAME_SM_GROUP_TAG_LENGTH, 0, 0, FRAME_TYPE_SM},
                                .session_id = 5,
                                .stream_id = OTHER_STREAM_ID,
                                .receiver_window = 65536,
                                .receiver_id = 1,
                                .group_tag = 5};
    put(script, STEP_TO_CONTROL, &sm, FRAME_SM_GROUP_TAG_LENGTH);
    put_time(script, 8);
    put_about(script, COMMAND_REMOVE_SUBSCRIPTION, spied, "");
}

static void put_termination(struct script *script, uint64_t variant) {
    put_about(script, COMMAND_TERMINATE_DRIVER, 0, variant % 2 == 0 ? "token" : "");
    put_adds(script, variant);
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    static void (*const scripts[])(struct script *, uint64_t) = {
        put_adds,  put_feedback,     put_data_and_adds, put_round_trips,
        put_error, put_destinations, put_rejects,       put_counters,
        put_life,  put_termination,  put_references,
    };
    struct script script = {.data = data, .correlation_id = 100};
    assert(capacity >= FUZZ_INPUT_MAX);
    (void)capacity;
    scripts[index % ARRAY_COUNT(scripts)](&script, index / ARRAY_COUNT(scripts));
    return script.size;
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
