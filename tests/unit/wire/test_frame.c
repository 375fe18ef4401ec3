#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "lib/golden.h"
#include "lib/hex.h"
#include "wire/frame.h"

#define SESSION 0x11223344
#define INITIAL ((int32_t)0xBEBDBCBC)
#define TERM ((int32_t)0xBEBDBCBF)
#define RECEIVER INT64_C(0x0102030405060708)
#define COMMON(length, frame_flags, frame_type)                                                    \
    .common = {.frame_length = length, .flags = frame_flags, .type = frame_type}

/* A datagram at an aligned address with nothing readable behind it but these bytes. */
static uint8_t datagram[65536] __attribute__((aligned(64)));

static uint32_t load(const char *hex) {
    return (uint32_t)hex_decode(hex, datagram, sizeof datagram);
}

static enum frame_verdict validate(enum frame_socket_role role, uint32_t length) {
    /* A heap copy of the exact length lets sanitizers see any read beyond it. */
    uint8_t *copy = malloc(length + 1);
    memcpy(copy, datagram, length);
    enum frame_verdict verdict = frame_validate(role, copy, length);
    free(copy);
    return verdict;
}

/* media-driver.md 9.1: each vector is valid in its role, and its struct has exactly its bytes. */
Test(frame, frames_have_the_bytes_of_the_specification) {
    const struct frame_header data = {37, 0, 0xC0, FRAME_TYPE_DATA, 0x1240, SESSION, 1001, TERM, 0};
    const struct frame_header first = {
        1408, 0, 0x80, FRAME_TYPE_DATA, 0x1240, SESSION, 1001, TERM, INT64_C(0x1122334455667788)};
    const struct frame_header pad = {4096, 0, 0xC0, FRAME_TYPE_PAD, 61440, SESSION, 1001, TERM, 0};
    const struct frame_header heartbeat = {0, 0, 0xC0, 1, 0x1280, SESSION, 1001, TERM, 0};
    const struct frame_header eos = {0, 0, 0xE0, 1, 0x1280, SESSION, 1001, TERM, 0};
    const struct frame_header revoked = {0, 0, 0xF0, 1, 0x1280, SESSION, 1001, TERM, 0};
    const struct frame_nak nak = {COMMON(28, 0, FRAME_TYPE_NAK), SESSION, 1001, TERM, 0x1240, 2816};
    const struct frame_sm sm = {
        COMMON(36, 0, FRAME_TYPE_SM), SESSION, 1001, TERM, 0x1240, 131072, RECEIVER, 0};
    const struct frame_sm sm_tag = {
        COMMON(44, 0, FRAME_TYPE_SM), SESSION, 1001, TERM, 0x1240, 131072, RECEIVER, 7};
    const struct frame_sm sm_tag_minus = {
        COMMON(44, 0, FRAME_TYPE_SM), SESSION, 1001, TERM, 0x1240, 131072, RECEIVER, -1};
    const struct frame_sm sm_setup = {
        COMMON(36, FRAME_SM_FLAG_SEND_SETUP, FRAME_TYPE_SM), SESSION, 1001, 0, 0, 0, RECEIVER, 0};
    const struct frame_sm sm_elicit = {
        COMMON(36, FRAME_SM_FLAG_SEND_SETUP, FRAME_TYPE_SM), 0, 0, 0, 0, 0, RECEIVER, 0};
    const struct frame_sm sm_eos = {COMMON(36, FRAME_SM_FLAG_EOS, FRAME_TYPE_SM),
                                    SESSION,
                                    1001,
                                    TERM,
                                    0x1280,
                                    131072,
                                    RECEIVER,
                                    0};
    const struct {
        struct frame_err header;
        char text[8];
    } err_tag = {{COMMON(48, FRAME_ERR_FLAG_GROUP_TAG, FRAME_TYPE_ERR), SESSION, 1001, RECEIVER, 7,
                  13, 8},
                 "rejected"},
      err = {{COMMON(48, 0, FRAME_TYPE_ERR), SESSION, 1001, RECEIVER, 0, 13, 8}, "rejected"};
    const struct frame_setup setup = {
        COMMON(40, 0, FRAME_TYPE_SETUP), 0x1240, SESSION, 1001, INITIAL, TERM, 65536, 1408, 0};
    const struct frame_setup setup_group = {
        COMMON(40, FRAME_SETUP_FLAG_GROUP | FRAME_SETUP_FLAG_SEND_RESPONSE, FRAME_TYPE_SETUP),
        0,
        SESSION,
        1001,
        INITIAL,
        INITIAL,
        16777216,
        1408,
        4};
    const struct frame_rttm request = {COMMON(40, FRAME_RTTM_FLAG_REPLY, FRAME_TYPE_RTTM),
                                       SESSION,
                                       1001,
                                       123456789012345,
                                       0,
                                       RECEIVER};
    const struct frame_rttm reply = {
        COMMON(40, 0, FRAME_TYPE_RTTM), SESSION, 1001, 123456789012345, 0, RECEIVER};
    const struct frame_rsp_setup rsp = {COMMON(20, 0, FRAME_TYPE_RSP_SETUP), SESSION, 1001,
                                        0x55667788};
    const struct {
        const char *hex;
        const void *frame;
        uint32_t length; /* of the struct's part */
        enum frame_socket_role role;
        enum frame_verdict verdict;
    } rows[] = {
        {"25 00 00 00 00 c0 01 00 40 12 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 00 00 00 00 00 00"
         "00 00 68 65 6c 6c 6f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
         "00 00 00 00",
         &data, 32, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"80 05 00 00 00 80 01 00 40 12 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 88 77 66 55 44 33"
         "22 11",
         &first, 32, FRAME_ROLE_RECEIVER, FRAME_INVALID /* the header only */},
        {"00 10 00 00 00 c0 00 00 00 f0 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 00 00 00 00 00 00"
         "00 00",
         &pad, 32, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"00 00 00 00 00 c0 01 00 80 12 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 00 00 00 00 00 00"
         "00 00",
         &heartbeat, 32, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"00 00 00 00 00 e0 01 00 80 12 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 00 00 00 00 00 00"
         "00 00",
         &eos, 32, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"00 00 00 00 00 f0 01 00 80 12 00 00 44 33 22 11 e9 03 00 00 bf bc bd be 00 00 00 00 00 00"
         "00 00",
         &revoked, 32, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"1c 00 00 00 00 00 02 00 44 33 22 11 e9 03 00 00 bf bc bd be 40 12 00 00 00 0b 00 00",
         &nak, 28, FRAME_ROLE_SENDER, FRAME_VALID},
        {"24 00 00 00 00 00 03 00 44 33 22 11 e9 03 00 00 bf bc bd be 40 12 00 00 00 00 02 00"
         "08 07 06 05 04 03 02 01",
         &sm, 36, FRAME_ROLE_SENDER, FRAME_VALID},
        {"2c 00 00 00 00 00 03 00 44 33 22 11 e9 03 00 00 bf bc bd be 40 12 00 00 00 00 02 00"
         "08 07 06 05 04 03 02 01 07 00 00 00 00 00 00 00",
         &sm_tag, 44, FRAME_ROLE_SENDER, FRAME_VALID},
        {"2c 00 00 00 00 00 03 00 44 33 22 11 e9 03 00 00 bf bc bd be 40 12 00 00 00 00 02 00"
         "08 07 06 05 04 03 02 01 ff ff ff ff ff ff ff ff",
         &sm_tag_minus, 44, FRAME_ROLE_SENDER, FRAME_VALID},
        {"24 00 00 00 00 80 03 00 44 33 22 11 e9 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
         "08 07 06 05 04 03 02 01",
         &sm_setup, 36, FRAME_ROLE_SENDER, FRAME_VALID},
        {"24 00 00 00 00 80 03 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00"
         "08 07 06 05 04 03 02 01",
         &sm_elicit, 36, FRAME_ROLE_SENDER, FRAME_VALID},
        {"24 00 00 00 00 40 03 00 44 33 22 11 e9 03 00 00 bf bc bd be 80 12 00 00 00 00 02 00"
         "08 07 06 05 04 03 02 01",
         &sm_eos, 36, FRAME_ROLE_SENDER, FRAME_VALID},
        {"30 00 00 00 00 08 04 00 44 33 22 11 e9 03 00 00 08 07 06 05 04 03 02 01 07 00 00 00"
         "00 00 00 00 0d 00 00 00 08 00 00 00 72 65 6a 65 63 74 65 64",
         &err_tag, 48, FRAME_ROLE_SENDER, FRAME_VALID},
        {"30 00 00 00 00 00 04 00 44 33 22 11 e9 03 00 00 08 07 06 05 04 03 02 01 00 00 00 00"
         "00 00 00 00 0d 00 00 00 08 00 00 00 72 65 6a 65 63 74 65 64",
         &err, 48, FRAME_ROLE_SENDER, FRAME_VALID},
        {"28 00 00 00 00 00 05 00 40 12 00 00 44 33 22 11 e9 03 00 00 bc bc bd be bf bc bd be"
         "00 00 01 00 80 05 00 00 00 00 00 00",
         &setup, 40, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"28 00 00 00 00 c0 05 00 00 00 00 00 44 33 22 11 e9 03 00 00 bc bc bd be bc bc bd be"
         "00 00 00 01 80 05 00 00 04 00 00 00",
         &setup_group, 40, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"28 00 00 00 00 80 06 00 44 33 22 11 e9 03 00 00 79 df 0d 86 48 70 00 00 00 00 00 00"
         "00 00 00 00 08 07 06 05 04 03 02 01",
         &request, 40, FRAME_ROLE_SENDER, FRAME_VALID},
        {"28 00 00 00 00 00 06 00 44 33 22 11 e9 03 00 00 79 df 0d 86 48 70 00 00 00 00 00 00"
         "00 00 00 00 08 07 06 05 04 03 02 01",
         &reply, 40, FRAME_ROLE_RECEIVER, FRAME_VALID},
        {"14 00 00 00 00 00 0b 00 44 33 22 11 e9 03 00 00 88 77 66 55", &rsp, 20, FRAME_ROLE_SENDER,
         FRAME_VALID},
        /* RES frames belong to neither socket */
        {"20 00 00 00 00 00 07 00 01 80 72 1f 00 00 00 00 c0 a8 01 0a 05 00 6e 6f 64 65 41 00 00 00"
         "00 00",
         NULL, 0, FRAME_ROLE_RECEIVER, FRAME_IGNORED},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        uint32_t length = load(rows[i].hex);
        if (rows[i].length > 0) {
            cr_assert_eq(memcmp(datagram, rows[i].frame, rows[i].length), 0, "row %zu", i);
        }
        cr_assert_eq(validate(rows[i].role, length), rows[i].verdict, "row %zu", i);
        /* One byte less is not enough for any of them. */
        if (rows[i].verdict == FRAME_VALID) {
            cr_assert_eq(validate(rows[i].role, length - 1), FRAME_INVALID, "row %zu", i);
        }
    }
    /* known-bugs.md 27: flags are tested one by one, also when others are set. */
    cr_assert(frame_is_heartbeat(&heartbeat, 32) && frame_is_heartbeat(&revoked, 32));
    cr_assert((eos.flags & FRAME_FLAG_EOS) && !(eos.flags & FRAME_FLAG_REVOKED));
    cr_assert((revoked.flags & FRAME_FLAG_EOS) && (revoked.flags & FRAME_FLAG_REVOKED));
    cr_assert_not(frame_is_heartbeat(&pad, 32));
}

Test(frame, types_of_the_other_role_and_reserved_ones_are_ignored) {
    static const struct {
        uint16_t type;
        bool receiver, sender; /* known to the role */
    } rows[] = {{0, true, false},      {1, true, false},  {2, false, true},   {3, false, true},
                {4, false, true},      {5, true, false},  {6, true, true},    {7, false, false},
                {8, false, false},     {9, false, false}, {10, false, false}, {11, false, true},
                {0xFFFF, false, false}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        memset(datagram, 0, 64);
        memcpy(datagram + 6, &rows[i].type, 2);
        cr_assert_eq(validate(FRAME_ROLE_RECEIVER, 8) != FRAME_IGNORED, rows[i].receiver);
        cr_assert_eq(validate(FRAME_ROLE_SENDER, 8) != FRAME_IGNORED, rows[i].sender);
        cr_assert_eq(validate(FRAME_ROLE_SENDER, 7), FRAME_INVALID);
        datagram[4] = 1; /* version */
        cr_assert_eq(validate(FRAME_ROLE_RECEIVER, 64), FRAME_INVALID);
        cr_assert_eq(validate(FRAME_ROLE_SENDER, 64), FRAME_INVALID);
    }
}

struct frame_row {
    int32_t frame_length, type, offset_delta, session_delta;
};

Test(frame, the_frames_of_a_datagram_must_make_it_up) {
    static const struct {
        struct frame_row frames[4];
        uint32_t length;
        enum frame_verdict verdict;
    } rows[] = {
        {{{37, 1, 0, 0}}, 64, FRAME_VALID},
        {{{37, 1, 0, 0}}, 37, FRAME_INVALID},
        {{{37, 1, 0, 0}}, 96, FRAME_INVALID},
        {{{37, 1, 0, 0}, {32, 1, 0, 0}, {100, 1, 0, 0}}, 64 + 32 + 128, FRAME_VALID},
        {{{37, 1, 0, 0}, {352, 0, 0, 0}}, 96, FRAME_VALID}, /* a pad's header last */
        {{{352, 0, 0, 0}}, 32, FRAME_VALID},
        {{{352, 0, 0, 0}}, 352, FRAME_INVALID},
        {{{352, 0, 0, 0}, {32, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{0, 1, 0, 0}}, 32, FRAME_VALID}, /* a heartbeat */
        {{{0, 0, 0, 0}}, 32, FRAME_INVALID},
        {{{0, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{37, 1, 0, 0}, {0, 1, 0, 0}}, 96, FRAME_INVALID},
        {{{-37, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{31, 1, 0, 0}}, 32, FRAME_INVALID},
        {{{65, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{INT32_MAX, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{INT32_MIN, 1, 0, 0}}, 64, FRAME_INVALID},
        {{{INT32_MAX, 0, 0, 0}}, 32, FRAME_INVALID},
        {{{1073741824, 0, 0, 0}}, 32, FRAME_VALID},
        {{{37, 1, 0, 0}, {37, 5, 0, 0}}, 128, FRAME_INVALID},  /* a SETUP among data */
        {{{37, 1, 0, 0}, {37, 1, 32, 0}}, 128, FRAME_INVALID}, /* not consecutive */
        {{{37, 1, 0, 0}, {37, 1, 0, 1}}, 128, FRAME_INVALID},  /* another stream */
        {{{65504, 1, 0, 0}}, 65504, FRAME_VALID},
        {{{65504, 1, 0, 0}, {0, 0, 0, 0}}, 65507, FRAME_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        memset(datagram, 0, sizeof datagram);
        int32_t offset = 0;
        for (int k = 0; k < 4 && (k == 0 || rows[i].frames[k].frame_length != 0); k++) {
            const struct frame_row *row = &rows[i].frames[k];
            struct frame_header header = {.frame_length = row->frame_length,
                                          .flags = 0xC0,
                                          .type = (uint16_t)row->type,
                                          .term_offset = 1024 + offset + row->offset_delta,
                                          .session_id = 7 + row->session_delta,
                                          .stream_id = 8,
                                          .term_id = 9};
            memcpy(datagram + offset, &header, sizeof header);
            offset += row->type == 0 || row->frame_length <= 0 || row->frame_length > 4096
                          ? 32
                          : log_aligned_frame_length(row->frame_length);
        }
        cr_assert_eq(validate(FRAME_ROLE_RECEIVER, rows[i].length), rows[i].verdict, "row %zu", i);
    }
    cr_assert_eq(frame_validate(FRAME_ROLE_RECEIVER, datagram + 4, 32), FRAME_INVALID,
                 "not where a correct batch puts it");
}

Test(frame, setups_with_impossible_geometry_are_refused) {
    static const struct {
        struct frame_setup setup;
        enum frame_verdict verdict;
    } rows[] = {
        {{.term_length = 65536, .mtu = 1408}, FRAME_VALID},
        {{.term_length = 65536, .mtu = 1408, .term_offset = 65504}, FRAME_VALID},
        {{.term_length = 65536, .mtu = 1408, .term_offset = 65536}, FRAME_INVALID},
        {{.term_length = 65536, .mtu = 1408, .term_offset = 33}, FRAME_INVALID},
        {{.term_length = 65536, .mtu = 1408, .term_offset = -32}, FRAME_INVALID},
        {{.term_length = 32768, .mtu = 1408}, FRAME_INVALID},
        {{.term_length = 65537, .mtu = 1408}, FRAME_INVALID},
        {{.term_length = INT32_MIN, .mtu = 1408}, FRAME_INVALID},
        {{.term_length = 1073741824, .mtu = 65504}, FRAME_VALID},
        {{.term_length = 65536, .mtu = 32}, FRAME_INVALID},
        {{.term_length = 65536, .mtu = 1400}, FRAME_INVALID},
        {{.term_length = 65536, .mtu = 65536}, FRAME_INVALID},
        {{.term_length = 65536, .mtu = 1408, .initial_term_id = 5, .active_term_id = 4},
         FRAME_INVALID},
        {{.term_length = 65536,
          .mtu = 1408,
          .initial_term_id = INT32_MAX,
          .active_term_id = INT32_MIN},
         FRAME_VALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct frame_setup setup = rows[i].setup;
        setup.common = (struct frame_common){.frame_length = 40, .type = FRAME_TYPE_SETUP};
        memcpy(datagram, &setup, sizeof setup);
        cr_assert_eq(validate(FRAME_ROLE_RECEIVER, 40), rows[i].verdict, "row %zu", i);
    }
}

Test(frame, control_frames_that_claim_more_than_they_bring_are_refused) {
    static const struct {
        uint16_t type;
        int32_t frame_length;
        uint32_t length;
        int at; /* store `value` here */
        int32_t value;
        enum frame_verdict verdict;
    } rows[] = {
        {FRAME_TYPE_NAK, 28, 28, 0, 28, FRAME_VALID},
        {FRAME_TYPE_NAK, 29, 28, 0, 29, FRAME_INVALID},
        {FRAME_TYPE_NAK, 28, 27, 0, 28, FRAME_INVALID},
        {FRAME_TYPE_SM, 44, 40, 0, 44, FRAME_INVALID},
        {FRAME_TYPE_SM, 36, 36, 24, 0, FRAME_VALID},
        {FRAME_TYPE_SM, 36, 36, 24, -1, FRAME_INVALID}, /* window */
        {FRAME_TYPE_SM, 36, 36, 24, INT32_MIN, FRAME_INVALID},
        {FRAME_TYPE_ERR, 40, 40, 36, 0, FRAME_VALID},
        {FRAME_TYPE_ERR, 40, 40, 36, -1, FRAME_INVALID},
        {FRAME_TYPE_ERR, 40, 40, 36, INT32_MAX, FRAME_VALID}, /* clamped, see below */
        {FRAME_TYPE_ERR, 41, 40, 36, 1, FRAME_INVALID},
        {FRAME_TYPE_RTTM, 40, 39, 0, 40, FRAME_INVALID},
        {FRAME_TYPE_RSP_SETUP, 20, 20, 0, 20, FRAME_VALID},
        {FRAME_TYPE_RSP_SETUP, 20, 19, 0, 20, FRAME_INVALID},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        memset(datagram, 0, 64);
        memcpy(datagram, &rows[i].frame_length, 4);
        memcpy(datagram + 6, &rows[i].type, 2);
        memcpy(datagram + rows[i].at, &rows[i].value, 4);
        cr_assert_eq(validate(FRAME_ROLE_SENDER, rows[i].length), rows[i].verdict, "row %zu", i);
    }
    static const struct {
        int32_t error_length;
        uint32_t received;
        int32_t length;
    } texts[] = {{8, 48, 8},
                 {8, 40, 0},
                 {8, 44, 4},
                 {0, 48, 0},
                 {-1, 48, 0},
                 {1023, 1063, 1023},
                 {INT32_MAX, 2000, 1023},
                 {INT32_MAX, 50, 10}};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct frame_err err = {.error_length = texts[i].error_length};
        cr_assert_eq(frame_err_text_length(&err, texts[i].received), texts[i].length);
    }
}

Test(frame, data_must_fit_its_term) {
    static const struct {
        int32_t term_offset, frame_length, type;
        uint32_t length;
        bool fits;
    } rows[] = {
        {0, 37, 1, 64, true},
        {65536 - 64, 37, 1, 64, true},
        {65536 - 32, 37, 1, 64, false},
        {65536, 37, 1, 64, false},
        {-32, 37, 1, 64, false},
        {33, 37, 1, 64, false},
        {INT32_MAX - 31, 37, 1, 64, false},
        {65536 - 32, 0, 1, 32, true}, /* heartbeat */
        {65536, 0, 1, 32, false},
        {61440, 4096, 0, 32, true},
        {61440, 4097, 0, 32, false},
        {61440, 1073741824, 0, 32, false},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct frame_header *header = (struct frame_header *)(void *)datagram;
        memset(datagram, 0, 128);
        *header = (struct frame_header){.frame_length = rows[i].frame_length,
                                        .type = (uint16_t)rows[i].type,
                                        .term_offset = rows[i].term_offset};
        cr_assert_eq(frame_data_fits(header, rows[i].length, 65536), rows[i].fits, "row %zu", i);
    }
    /* A pad behind data; and payload that only looks like one. */
    struct frame_header *frames = (struct frame_header *)(void *)datagram;
    memset(datagram, 0, 128);
    frames[0] = (struct frame_header){.frame_length = 64, .type = 1, .term_offset = 65536 - 128};
    frames[2] = (struct frame_header){.frame_length = 64, .type = 0, .term_offset = 65536 - 64};
    cr_assert(frame_data_fits(frames, 96, 65536));
    frames[2].frame_length = 96;
    cr_assert_not(frame_data_fits(frames, 96, 65536));
    frames[0].frame_length = 96;
    cr_assert(frame_data_fits(frames, 96, 65536));
}

/* ---- captures of the original ---- */

static const uint8_t *at(uint32_t offset) {
    return datagram + offset;
}

static int print_data(char *line, uint32_t length) {
    int used = 0;
    for (uint32_t offset = 0; offset < length;) {
        struct frame_header h;
        memcpy(&h, at(offset), sizeof h);
        bool is_pad = h.type == FRAME_TYPE_PAD;
        int32_t payload = is_pad || h.frame_length == 0 ? 0 : h.frame_length - 32;
        used += sprintf(line + used,
                        "%s%s len=%d ver=%u flags=0x%02x off=%d ses=%d str=%d term=%d rsv=%lld "
                        "payload=%dB head=",
                        offset > 0 ? " ; " : " ", is_pad ? "PAD" : "DATA", h.frame_length,
                        h.version, h.flags, h.term_offset, h.session_id, h.stream_id, h.term_id,
                        (long long)h.reserved_value, payload);
        for (int32_t i = 0; i < payload && i < 8; i++) {
            used += sprintf(line + used, "%02x", at(offset)[32 + i]);
        }
        if (frame_is_heartbeat(&h, length)) {
            used += sprintf(line + used, " HEARTBEAT");
        }
        offset +=
            is_pad || h.frame_length == 0 ? 32 : (uint32_t)log_aligned_frame_length(h.frame_length);
    }
    return used;
}

/* One line of the listing, without time and addresses. */
static void print_datagram(char *line, uint32_t length) {
    struct frame_common common;
    memcpy(&common, datagram, sizeof common);
    int used = sprintf(line, "udp=%u", length);
    static const char *names[] = {"PAD",  "DATA", "NAK", "SM", "ERR", "SETUP",
                                  "RTTM", "RES",  "",    "",   "",    "RSP_SETUP"};
    if (common.type <= FRAME_TYPE_DATA) {
        (void)print_data(line + used, length);
        return;
    }
    used += sprintf(line + used, " %s len=%d flags=0x%02x", names[common.type], common.frame_length,
                    common.flags);
    if (common.type == FRAME_TYPE_NAK) {
        struct frame_nak f;
        memcpy(&f, datagram, sizeof f);
        sprintf(line + used, " ses=%d str=%d term=%d off=%d length=%d", f.session_id, f.stream_id,
                f.term_id, f.term_offset, f.length);
    } else if (common.type == FRAME_TYPE_SM) {
        struct frame_sm f;
        memcpy(&f, datagram, sizeof f);
        used += sprintf(line + used, " ses=%d str=%d term=%d off=%d win=%d rcvid=%lld",
                        f.session_id, f.stream_id, f.consumption_term_id, f.consumption_term_offset,
                        f.receiver_window, (long long)f.receiver_id);
        if (f.common.frame_length == FRAME_SM_GROUP_TAG_LENGTH) {
            sprintf(line + used, " gtag=%lld", (long long)f.group_tag);
        }
    } else if (common.type == FRAME_TYPE_ERR) {
        struct frame_err f;
        memcpy(&f, datagram, sizeof f);
        sprintf(line + used, " ses=%d str=%d rcvid=%lld gtag=%lld code=%d msg=b'%.*s'",
                f.session_id, f.stream_id, (long long)f.receiver_id, (long long)f.group_tag,
                f.error_code, frame_err_text_length(&f, length), (const char *)at(40));
    } else if (common.type == FRAME_TYPE_SETUP) {
        struct frame_setup f;
        memcpy(&f, datagram, sizeof f);
        sprintf(line + used, " off=%d ses=%d str=%d init=%d active=%d termlen=%d mtu=%d ttl=%d",
                f.term_offset, f.session_id, f.stream_id, f.initial_term_id, f.active_term_id,
                f.term_length, f.mtu, f.ttl);
    } else if (common.type == FRAME_TYPE_RTTM) {
        struct frame_rttm f;
        memcpy(&f, datagram, sizeof f);
        sprintf(line + used, " ses=%d str=%d echo_ts=%lld rx_delta=%lld rcvid=%lld", f.session_id,
                f.stream_id, (long long)f.echo_timestamp, (long long)f.reception_delta,
                (long long)f.receiver_id);
    } else if (common.type == FRAME_TYPE_RSP_SETUP) {
        struct frame_rsp_setup f;
        memcpy(&f, datagram, sizeof f);
        sprintf(line + used, " ses=%d str=%d rspses=%d", f.session_id, f.stream_id,
                f.response_session_id);
    } else if (common.type == FRAME_TYPE_RES) {
        used += sprintf(line + used, " raw=");
        for (uint32_t i = 8; i < length; i++) {
            used += sprintf(line + used, "%02x", datagram[i]);
        }
    }
}

/* Copy the UDP payload of an Ethernet packet to `datagram`. */
static uint32_t unwrap(const uint8_t *packet, uint32_t length) {
    uint32_t ip_length = packet[12] == 0x86 ? 40 : (packet[14] & 15u) * 4u;
    uint32_t header_length = 14 + ip_length + 8;
    memcpy(datagram, packet + header_length, length - header_length);
    return length - header_length;
}

Test(frame, what_the_original_sends_is_valid_and_read_as_it_was_meant) {
    static const char *names[] = {"udp",      "udp-loss",        "udp-mtu8k",
                                  "udp-ipv6", "mdc-dynamic",     "mds-reject-revoke",
                                  "response", "mcast-tagged-fc", "resolver"};
    static char line[65536];
    int total = 0;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char name[128];
        int64_t length, listing_length;
        sprintf(name, "transport/%s.pcap.gz", names[i]);
        uint8_t *capture = golden_read(name, &length);
        sprintf(name, "transport/%s.pcap.frames.txt.gz", names[i]);
        char *listing = (char *)golden_read(name, &listing_length);
        char *next = listing;
        for (int64_t offset = 24; offset < length;) {
            uint32_t captured;
            memcpy(&captured, capture + offset + 8, 4);
            uint32_t bytes = unwrap(capture + offset + 16, captured);
            offset += 16 + (int64_t)captured;
            char *expected = strsep(&next, "\n");
            cr_assert_not_null(expected);
            expected = strstr(expected, "udp=");
            print_datagram(line, bytes);
            cr_assert_str_eq(line, expected);
            enum frame_verdict receiver = validate(FRAME_ROLE_RECEIVER, bytes);
            enum frame_verdict sender = validate(FRAME_ROLE_SENDER, bytes);
            bool is_resolution = get_u16(datagram + 6) == FRAME_TYPE_RES;
            cr_assert_eq(receiver == FRAME_VALID || sender == FRAME_VALID, !is_resolution);
            cr_assert(receiver != FRAME_INVALID && sender != FRAME_INVALID);
            total++;
        }
        free(capture);
        free(listing);
    }
    cr_assert_eq(total, 751);
}
