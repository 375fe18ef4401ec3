#include <criterion/criterion.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/hex.h"
#include "shm/broadcast.h"

#define CAPACITY 1024
#define LENGTH (CAPACITY + BROADCAST_TRAILER_LENGTH)
#define GUARD 0xA5

struct fixture {
    uint8_t *block;
    uint8_t *memory;
    struct broadcast_transmitter transmitter;
    struct broadcast_receiver receiver;
};

static int64_t *trailer(struct fixture *f) {
    return (int64_t *)(void *)(f->memory + CAPACITY);
}

static void open_fixture(struct fixture *f, int64_t tail) {
    f->block = aligned_alloc(64, LENGTH + 128);
    memset(f->block, GUARD, LENGTH + 128);
    f->memory = f->block + 64;
    memset(f->memory, 0, LENGTH);
    for (int i = 0; i < 3; i++) {
        trailer(f)[i] = tail;
    }
    cr_assert_eq(broadcast_transmitter_init(&f->transmitter, f->memory, LENGTH), 0);
    cr_assert_eq(broadcast_receiver_init(&f->receiver, f->memory, LENGTH), 0);
}

static void close_fixture(struct fixture *f) {
    for (int i = 0; i < 64; i++) {
        cr_assert_eq(f->block[i], GUARD);
        cr_assert_eq(f->memory[LENGTH + i], GUARD);
    }
    free(f->block);
}

static int receive(struct fixture *f, int32_t *type, char text[256]) {
    int32_t length = -1;
    int result = broadcast_receive(&f->receiver, type, (uint8_t *)text, 255, &length);
    text[result == 1 ? length : 0] = '\0';
    return result;
}

Test(broadcast, positions_are_those_of_the_specification) {
    uint8_t payload[128] = {0};
    struct fixture f;
    /* shared-memory.md 10.8: tail intent, tail, latest */
    open_fixture(&f, 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 5, payload, 12), 0);
    assert_hex(f.memory, "14 00 00 00 05 00 00 00", "record");
    cr_assert_eq(trailer(&f)[0], 24);
    cr_assert_eq(trailer(&f)[1], 24);
    cr_assert_eq(trailer(&f)[2], 0);
    close_fixture(&f);

    open_fixture(&f, 1000);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 6, payload, 20), 0);
    assert_hex(f.memory + 1000, "18 00 00 00 ff ff ff ff", "padding");
    assert_hex(f.memory, "1c 00 00 00 06 00 00 00", "record");
    cr_assert_eq(trailer(&f)[0], 1056);
    cr_assert_eq(trailer(&f)[1], 1056);
    cr_assert_eq(trailer(&f)[2], 1024);
    int32_t type;
    char text[256];
    cr_assert_eq(receive(&f, &type, text), 1);
    cr_assert_eq(type, 6);
    cr_assert_eq(receive(&f, &type, text), 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 0, payload, 20), -EINVAL);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 1, payload, 129), -EINVAL);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 1, payload, -1), -EINVAL);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 1, payload, 128), 0);
    close_fixture(&f);
}

Test(broadcast, messages_of_all_lengths_arrive_in_order) {
    struct fixture f;
    open_fixture(&f, 0);
    uint8_t sent[128], got[128];
    for (int32_t i = 0; i < 20000; i++) {
        int32_t length = i * 7 % 129, type, got_length;
        for (int32_t k = 0; k < length; k++) {
            sent[k] = (uint8_t)(i + k);
        }
        cr_assert_eq(broadcast_transmit(&f.transmitter, 1 + i, sent, length), 0);
        cr_assert_eq(broadcast_receive(&f.receiver, &type, got, 128, &got_length), 1);
        cr_assert_eq(type, 1 + i);
        cr_assert_eq(got_length, length);
        cr_assert_eq(memcmp(sent, got, (size_t)length), 0);
    }
    cr_assert_eq(f.receiver.lapped_count, 0);
    close_fixture(&f);
}

Test(broadcast, a_new_receiver_begins_with_the_last_message) {
    struct fixture f;
    open_fixture(&f, 0);
    int32_t type;
    char text[256];
    cr_assert_eq(receive(&f, &type, text), 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 1, "one", 3), 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 2, "two", 3), 0);
    cr_assert_eq(broadcast_receiver_init(&f.receiver, f.memory, LENGTH), 0);
    cr_assert_eq(receive(&f, &type, text), 1);
    cr_assert_str_eq(text, "two");
    cr_assert_eq(receive(&f, &type, text), 0);
    close_fixture(&f);
}

Test(broadcast, a_lapped_receiver_is_told_and_goes_on_with_the_latest) {
    struct fixture f;
    open_fixture(&f, 0);
    int32_t type;
    char text[256] = {0};
    for (int32_t i = 1; i <= 17; i++) {
        cr_assert_eq(broadcast_transmit(&f.transmitter, i, text, 56), 0);
    }
    cr_assert_eq(receive(&f, &type, text), -EOVERFLOW);
    cr_assert_eq(f.receiver.lapped_count, 1);
    cr_assert_eq(receive(&f, &type, text), 1);
    cr_assert_eq(type, 17, "nothing is lost that is still there");
    cr_assert_eq(receive(&f, &type, text), 0);

    /* The transmitter announces that it writes over the record which is about to be copied. */
    cr_assert_eq(broadcast_transmit(&f.transmitter, 18, text, 56), 0);
    trailer(&f)[0] += CAPACITY;
    cr_assert_eq(receive(&f, &type, text), -EOVERFLOW);
    close_fixture(&f);

    open_fixture(&f, 0);
    for (int32_t i = 1; i <= 15; i++) {
        cr_assert_eq(broadcast_transmit(&f.transmitter, i, text, 56), 0);
    }
    cr_assert_eq(receive(&f, &type, text), 1);
    cr_assert_eq(type, 1, "15 of 16 are no lap");
    close_fixture(&f);
}

Test(broadcast, a_message_that_does_not_fit_the_buffer_is_skipped) {
    struct fixture f;
    open_fixture(&f, 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 1, "123456789", 9), 0);
    cr_assert_eq(broadcast_transmit(&f.transmitter, 2, "12345678", 8), 0);
    int32_t type, length;
    uint8_t buffer[8];
    cr_assert_eq(broadcast_receive(&f.receiver, &type, buffer, 8, &length), -ENOBUFS);
    cr_assert_eq(broadcast_receive(&f.receiver, &type, buffer, 8, &length), 1);
    cr_assert_eq(type, 2);
    cr_assert_eq(length, 8);
    close_fixture(&f);
}

Test(broadcast, damaged_records_and_trailers_do_no_harm) {
    static const int32_t lengths[] = {0, -1, 7, CAPACITY + 1, INT32_MAX, INT32_MIN};
    int32_t type;
    char text[256];
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        struct fixture f;
        open_fixture(&f, 0);
        cr_assert_eq(broadcast_transmit(&f.transmitter, 1, "one", 3), 0);
        cr_assert_eq(broadcast_transmit(&f.transmitter, 2, "two", 3), 0);
        memcpy(f.memory, &lengths[i], 4);
        cr_assert_eq(receive(&f, &type, text), -EOVERFLOW);
        cr_assert_eq(receive(&f, &type, text), 0, "skipped to the tail");
        cr_assert_eq(broadcast_transmit(&f.transmitter, 3, "three", 5), 0);
        cr_assert_eq(receive(&f, &type, text), 1);
        cr_assert_str_eq(text, "three");
        close_fixture(&f);
    }
    uint64_t state = 88172645463325252u;
    for (int round = 0; round < 20000; round++) {
        struct fixture f;
        open_fixture(&f, 0);
        for (int64_t i = 0; i < LENGTH; i += 8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            uint64_t word = state >> (state % 61);
            memcpy(f.memory + i, &word, 8);
        }
        cr_assert_eq(broadcast_receiver_init(&f.receiver, f.memory, LENGTH), 0);
        for (int i = 0; i < 3; i++) {
            (void)receive(&f, &type, text);
            (void)broadcast_transmit(&f.transmitter, 1, text, (int32_t)(state % 129));
        }
        close_fixture(&f);
    }
}

Test(broadcast, sections_that_are_no_power_of_two_are_refused) {
    static uint8_t memory[2048] __attribute__((aligned(64)));
    static const struct {
        int64_t length;
        int result;
    } rows[] = {{128 + 64, 0}, {128 + 8, -EINVAL}, {128, -EINVAL}, {0, -EINVAL}, {1128, -EINVAL}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct broadcast_receiver receiver;
        struct broadcast_transmitter transmitter;
        cr_assert_eq(broadcast_receiver_init(&receiver, memory, rows[i].length), rows[i].result);
        cr_assert_eq(broadcast_transmitter_init(&transmitter, memory, rows[i].length),
                     rows[i].result);
    }
}
