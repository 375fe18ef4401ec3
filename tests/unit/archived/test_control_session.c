/* Control sessions on the wire: what is answered, what is not, and who is cut off. */
#include <criterion/criterion.h>

#include <errno.h>

#include "archived/control_session.h"
#include "tests/unit/archived/world.h"
#include "wire/archive_codec.h"

#define CONTROL_STREAM 10
#define RESPONSE_STREAM 555

static char *const no_settings[] = {NULL};

/* A client by hand. */
struct peer {
    struct world *world;
    tern_exclusive_publication *requests;
    tern_subscription *answers;
    struct archive_control_response last;
    int count; /* of control responses */
    int pings;
};

static void on_answer(void *context, const uint8_t *buffer, int32_t length,
                      const tern_header *header) {
    (void)header;
    struct peer *peer = context;
    struct archive_ping ping;
    if (archive_control_response_decode(&peer->last, buffer, length) == 0) {
        peer->count++;
    } else if (archive_ping_decode(&ping, buffer, length) == 0) {
        peer->pings++;
    }
}

static void peer_open(struct peer *peer, struct world *world) {
    *peer = (struct peer){.world = world};
    peer->requests = world_publish(world, "aeron:ipc?term-length=64k", CONTROL_STREAM);
    peer->answers = world_subscribe(world, "aeron:ipc", RESPONSE_STREAM);
}

static void peer_close(struct peer *peer) {
    tern_exclusive_publication_close(peer->requests);
    tern_subscription_close(peer->answers);
}

static void peer_send(struct peer *peer, const uint8_t *message, int32_t length) {
    cr_assert_gt(length, 0);
    (void)world_offer(peer->world, peer->requests, message, length);
}

/* Steps of a millisecond, reading what comes. */
static void peer_run(struct peer *peer, int steps) {
    for (int i = 0; i < steps; i++) {
        world_step(peer->world);
        (void)tern_subscription_poll(peer->answers, on_answer, peer, 10);
    }
}

static void peer_connect(struct peer *peer, int32_t version) {
    static const char channel[] = "aeron:ipc?term-length=64k";
    const struct archive_auth_connect_request connect = {
        .correlation_id = 77,
        .response_stream_id = RESPONSE_STREAM,
        .version = version,
        .response_channel = {channel, (int32_t)sizeof channel - 1},
        .client_info = {"name=peer", 9},
    };
    uint8_t message[512];
    peer_send(peer, message,
              archive_auth_connect_request_encode(&connect, message, (int32_t)sizeof message));
}

static void peer_ask_id(struct peer *peer, int64_t session_id, int64_t correlation_id) {
    const struct archive_archive_id_request request = {session_id, correlation_id};
    uint8_t message[64];
    peer_send(peer, message,
              archive_archive_id_request_encode(&request, message, (int32_t)sizeof message));
}

Test(control_session, the_connect_answer_is_repeated_until_the_first_request) {
    struct world world;
    struct peer peer;
    world_open(&world, no_settings);
    peer_open(&peer, &world);
    peer_connect(&peer, ARCHIVE_SERVER_PROTOCOL_VERSION);
    peer_run(&peer, 1000);
    cr_assert_geq(peer.count, 4);
    cr_assert_leq(peer.count, 6);
    cr_assert_eq(peer.last.correlation_id, 77);
    cr_assert_eq(peer.last.code, ARCHIVE_CONTROL_RESPONSE_CODE_OK);
    cr_assert_eq(peer.last.relevant_id, peer.last.control_session_id);
    cr_assert_eq(peer.last.version, 68608);
    cr_assert_eq(peer.pings, 0);
    int64_t session_id = peer.last.control_session_id;
    peer.count = 0;
    peer_ask_id(&peer, session_id, 78);
    peer_run(&peer, 2500);
    cr_assert_eq(peer.count, 1);
    cr_assert_eq(peer.last.correlation_id, 78);
    cr_assert_eq(peer.last.relevant_id, 42);
    cr_assert_eq(peer.pings, 2);
    peer_close(&peer);
    world_wait(&world, world.server.sessions.count == 1);
    world_close(&world);
}

Test(control_session, another_major_version_is_told_so_and_not_served) {
    struct world world;
    struct peer peer;
    world_open(&world, no_settings);
    peer_open(&peer, &world);
    peer_connect(&peer, 2 << 16);
    peer_run(&peer, 300);
    cr_assert_eq(peer.count, 2);
    cr_assert_eq(peer.last.code, ARCHIVE_CONTROL_RESPONSE_CODE_ERROR);
    cr_assert_eq(peer.last.correlation_id, 77);
    peer_ask_id(&peer, peer.last.control_session_id, 78);
    peer_run(&peer, 100);
    cr_assert_neq(peer.last.correlation_id, 78);
    peer_run(&peer, 6000);
    cr_assert_eq(world.server.sessions.count, 1, "it timed out");
    peer_close(&peer);
    world_close(&world);
}

Test(control_session, requests_of_unknown_sessions_and_garbage_are_not_answered) {
    struct world world;
    struct peer peer;
    world_open(&world, no_settings);
    peer_open(&peer, &world);
    int64_t errors = tern_counter_value(world.server.counters[ARCHIVE_COUNTER_ERRORS]);
    peer_ask_id(&peer, 123456789, 78);
    static const uint8_t garbage[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    peer_send(&peer, garbage, (int32_t)sizeof garbage);
    /* a good header, and a string that says it is a gigabyte long */
    uint8_t lying[64];
    const struct archive_stop_recording_request request = {1, 2, 3, {"aeron:ipc", 9}};
    int32_t length = archive_stop_recording_request_encode(&request, lying, (int32_t)sizeof lying);
    put_i32(lying + length - 9 - 4, 0x3fffffff);
    peer_send(&peer, lying, length);
    peer_run(&peer, 100);
    cr_assert_eq(peer.count, 0);
    cr_assert_geq(tern_counter_value(world.server.counters[ARCHIVE_COUNTER_ERRORS]), errors + 1);
    int64_t id;
    cr_assert_eq(world_answer(&world, tern_archive_send_archive_id(world.archive), &id), 0);
    peer_close(&peer);
    world_close(&world);
}

Test(control_session, a_client_that_does_not_read_is_cut_off_and_others_are_served) {
    struct world world;
    struct peer peer;
    world_open(&world, no_settings);
    peer_open(&peer, &world);
    peer_connect(&peer, ARCHIVE_SERVER_PROTOCOL_VERSION);
    peer_run(&peer, 100);
    int64_t session_id = peer.last.control_session_id;
    for (int i = 0; i < 3000 && world.server.sessions.count == 2; i++) {
        if (tern_exclusive_publication_is_connected(peer.requests)) {
            const struct archive_archive_id_request request = {session_id, 100 + i};
            uint8_t message[64];
            int32_t length = archive_archive_id_request_encode(&request, message, 64);
            (void)tern_exclusive_publication_offer(peer.requests, message, length);
        }
        world_step(&world); /* and nothing is read */
    }
    world_wait(&world, world.server.sessions.count == 1);
    int64_t id;
    cr_assert_eq(world_answer(&world, tern_archive_send_archive_id(world.archive), &id), 0);
    peer_close(&peer);
    world_close(&world);
}

Test(control_session, a_session_that_shares_its_stream_does_not_suffer_for_the_other) {
    struct world world;
    struct peer peer;
    world_open(&world, no_settings);
    peer_open(&peer, &world);
    peer_connect(&peer, ARCHIVE_SERVER_PROTOCOL_VERSION);
    peer_run(&peer, 100);
    int64_t session_id = peer.last.control_session_id;
    peer_ask_id(&peer, session_id, 78);
    /* the same client again, with a response stream to which nobody listens */
    static const char channel[] = "aeron:ipc?alias=nobody";
    const struct archive_auth_connect_request connect = {
        .correlation_id = 79,
        .response_stream_id = RESPONSE_STREAM + 1,
        .version = ARCHIVE_SERVER_PROTOCOL_VERSION,
        .response_channel = {channel, (int32_t)sizeof channel - 1},
    };
    uint8_t message[512];
    peer_send(&peer, message,
              archive_auth_connect_request_encode(&connect, message, (int32_t)sizeof message));
    peer_run(&peer, 100);
    cr_assert_eq(world.server.sessions.count, 3);
    peer_run(&peer, 6000);
    cr_assert_eq(world.server.sessions.count, 2);
    cr_assert(tern_exclusive_publication_is_connected(peer.requests));
    peer_ask_id(&peer, session_id, 80);
    peer_run(&peer, 20);
    cr_assert_eq(peer.last.correlation_id, 80);
    peer_close(&peer);
    world_close(&world);
}

Test(control_session, denied_by_the_configuration_is_an_error_with_its_code) {
    static char *const settings[] = {"AERON_ARCHIVE_AUTHORISATION_SERVICE_SUPPLIER=DENY_ALL", NULL};
    struct world world;
    struct peer peer;
    world_open_server(&world, settings);
    peer_open(&peer, &world);
    peer_connect(&peer, ARCHIVE_SERVER_PROTOCOL_VERSION);
    peer_run(&peer, 100);
    cr_assert_eq(peer.last.code, ARCHIVE_CONTROL_RESPONSE_CODE_OK);
    peer_ask_id(&peer, peer.last.control_session_id, 78);
    peer_run(&peer, 20);
    cr_assert_eq(peer.last.correlation_id, 78);
    cr_assert_eq(peer.last.relevant_id, TERN_ARCHIVE_ERROR_UNAUTHORISED_ACTION);
    peer_close(&peer);
    world_close(&world);
}
