/* Fuzz harness of who attaches to a cnc.dat: the input is laid over the file of a driver, eight
 * bytes at a time at places that it chooses. Opening it is refused or everything in it can be read:
 * counters, error log, ring, broadcast. */
#include "fuzz.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/counters.h"
#include "shm/error_log.h"
#include "shm/ring_mpsc.h"

#define PATCH_LENGTH 11 /* three bytes of place, eight of content */
#define DRAIN_MAX 64
#define COUNTERS_LENGTH 1024

static uint64_t accepted;

static const struct cnc_params params = {
    .to_driver_length = 1024 + RING_TRAILER_LENGTH,
    .to_clients_length = 1024 + BROADCAST_TRAILER_LENGTH,
    .counters_values_length = COUNTERS_LENGTH,
    .error_log_length = 1024,
    .client_liveness_timeout_ns = 1000,
    .start_timestamp_ms = 1,
    .pid = 1,
    .page_size = 4096,
};

static void on_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                     const char *text, int32_t length) {
    const struct cnc *cnc = context;
    (void)count, (void)first_ms, (void)last_ms;
    assert(length >= 0 && text + length <= (const char *)cnc->file.address + cnc->file.length);
    (void)cnc, (void)text, (void)length;
}

static void on_message(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    const struct cnc *cnc = context;
    (void)type;
    assert(length >= 0 && payload + length <= cnc->file.address + cnc->file.length);
    (void)cnc, (void)payload, (void)length;
}

static void read_counters(struct cnc *cnc) {
    struct counters_reader reader;
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    int result =
        counters_reader_init(&reader, cnc->counters_metadata, cnc->counters_metadata_length,
                             cnc->counters_values, cnc->counters_values_length);
    assert(result == 0);
    (void)result;
    for (int32_t id = -1; id <= cnc->counters_values_length / COUNTER_VALUE_LENGTH; id++) {
        (void)counters_reader_state(&reader, id);
        (void)counters_reader_value(&reader, id);
        int32_t type_id = counters_reader_type_id(&reader, id);
        (void)counters_reader_find(&reader, type_id, counters_reader_registration_id(&reader, id));
        int32_t length = counters_reader_label(&reader, id, label, sizeof label);
        assert(length >= 0 && length < (int32_t)sizeof label && label[length] == '\0');
        (void)length;
    }
}

static void drain(struct cnc *cnc) {
    struct ring_mpsc ring;
    if (ring_mpsc_init(&ring, cnc->to_driver, cnc->to_driver_length) == 0) {
        (void)ring_mpsc_read(&ring, on_message, cnc, DRAIN_MAX);
        (void)ring_mpsc_unblock(&ring);
        (void)ring_mpsc_write(&ring, 1, "command", 8);
    }
    struct broadcast_receiver receiver;
    uint8_t scratch[1024];
    int32_t type;
    int32_t length;
    if (broadcast_receiver_init(&receiver, cnc->to_clients, cnc->to_clients_length) == 0) {
        for (int i = 0; i < DRAIN_MAX &&
                        broadcast_receive(&receiver, &type, scratch, sizeof scratch, &length) != 0;
             i++) {
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    struct cnc cnc;
    struct cnc reader;
    (void)snprintf(path, sizeof path, "/dev/shm/tern-fuzz-cnc-%d", (int)getpid());
    int result = cnc_create(&cnc, path, &params, NULL);
    assert(result == 0);
    (void)result;
    cnc_publish(&cnc);
    for (size_t i = 0; i + PATCH_LENGTH <= size; i += PATCH_LENGTH) {
        size_t place = (size_t)data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16;
        memcpy(cnc.file.address + place % (size_t)(cnc.file.length - 8), data + i + 3, 8);
    }
    if (cnc_open(&reader, path, false, NULL) == 0) {
        accepted++;
        (void)cnc_driver_heartbeat_ms(&reader);
        (void)cnc_is_abandoned(&reader);
        (void)error_log_read(reader.error_log, reader.error_log_length, 0, on_error, &reader);
        read_counters(&reader);
        drain(&reader);
        cnc_close(&reader);
    }
    cnc_close(&cnc);
    (void)unlink(path);
    return 0;
}

/* A patch: `value` at `place`. */
static size_t put(uint8_t *data, size_t at, size_t place, int64_t value) {
    data[at] = (uint8_t)place;
    data[at + 1] = (uint8_t)(place >> 8);
    data[at + 2] = (uint8_t)(place >> 16);
    memcpy(data + at + 3, &value, sizeof value);
    return at + PATCH_LENGTH;
}

/* Records in the ring, the broadcast, the counters and the error log that are nearly right. */
size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    size_t ring = CNC_HEADER_LENGTH;
    size_t broadcast = ring + (size_t)params.to_driver_length;
    size_t metadata = broadcast + (size_t)params.to_clients_length;
    size_t errors = metadata + 5 * COUNTERS_LENGTH;
    size_t size = 0;
    assert(capacity >= 16 * PATCH_LENGTH);
    (void)capacity;
    switch (index % 4) {
    case 0: /* length 16, type 1; tail 16 */
        size = put(data, size, ring, INT64_C(1) << 32 | 16);
        return put(data, size, ring + 1024 + 2 * 64, 16);
    case 1:
        size = put(data, size, broadcast, INT64_C(1) << 32 | 16);
        size = put(data, size, broadcast + 1024, 16);
        return put(data, size, broadcast + 1024 + 8, 16);
    case 2: /* allocated, type 0, label of 4 */
        size = put(data, size, metadata, 1);
        size = put(data, size, metadata + 128, INT64_C(0x64636261) << 32 | 4);
        return put(data, size, metadata + 512, -1);
    default: /* length, count, times */
        size = put(data, size, errors, INT64_C(1) << 32 | 28);
        size = put(data, size, errors + 8, 5);
        return put(data, size, errors + 16, 5);
    }
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
