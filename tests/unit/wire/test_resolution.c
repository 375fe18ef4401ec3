/* RES frames: the layout byte for byte, and what is refused at the door. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "wire/resolution.h"

static struct resolution_entry entry_of(const char *address, const char *name) {
    struct resolution_entry entry = {.name = name, .name_length = (int32_t)strlen(name)};
    cr_assert(net_address_parse(address, &entry.address) == 0);
    return entry;
}

Test(resolution, entries_are_laid_out_as_specified) {
    static const uint8_t expected[] = {
        64,  0,    0,    0,    0,    0,   7,   0, /* header */
        1,   0x80, 0x40, 0x1F, 0,    0,   0,   0, /* v4, self, 8000, 0 */
        127, 0,    0,    1,    5,    0,   'n', 'o',
        'd', 'e',  'A',  0,    0,    0,   0,   0, /* name, padding */
        2,   0,    0x41, 0x1F, 0xD2, 4,   0,   0, /* v6, 8001, 1234 ms */
        0,   0,    0,    0,    0,    0,   0,   0,
        0,   0,    0,    0,    0,    0,   0,   1, /* ::1 */
        6,   0,    'n',  'o',  'd',  'e', '-', 'B',
    };
    struct resolution_entry a = entry_of("127.0.0.1:8000", "nodeA");
    struct resolution_entry b = entry_of("[::1]:8001", "node-B");
    struct resolution_entry entry;
    uint8_t frame[64];
    int32_t offset = FRAME_COMMON_LENGTH;
    a.is_self = true;
    b.age_ms = 1234;
    memset(frame, 0xFF, sizeof frame);
    cr_assert(resolution_put(frame + 8, 23, &a) == 0, "it does not fit");
    cr_assert(resolution_put(frame + 8, 56, &a) == 24);
    cr_assert(resolution_put(frame + 32, 32, &b) == 32);
    resolution_put_header(frame, 64);
    cr_assert(sizeof expected == sizeof frame);
    cr_assert(memcmp(frame, expected, sizeof frame) == 0);

    cr_assert(resolution_validate(frame, sizeof frame) == FRAME_VALID);
    cr_assert(resolution_next(frame, &offset, &entry));
    cr_assert(entry.is_self && entry.age_ms == 0 && entry.name_length == 5);
    cr_assert(net_address_equal(&entry.address, &a.address));
    cr_assert(memcmp(entry.name, "nodeA", 5) == 0);
    cr_assert(resolution_next(frame, &offset, &entry));
    cr_assert(!entry.is_self && entry.age_ms == 1234 && entry.name_length == 6);
    cr_assert(net_address_equal(&entry.address, &b.address));
    cr_assert(memcmp(entry.name, "node-B", 6) == 0);
    cr_assert(!resolution_next(frame, &offset, &entry));
}

/* Two drivers of the original told each other these (tests/golden/transport/resolver.pcap). */
Test(resolution, the_original_writes_the_same) {
    static const struct {
        const char *hex, *address, *name;
        bool is_self;
        int32_t age_ms;
    } rows[] = {
        {"0180e19c000000007f00000108006472697665722d620000", "127.0.0.1:40161", "driver-b", true,
         0},
        {"0100e09cec0200007f00000108006472697665722d610000", "127.0.0.1:40160", "driver-a", false,
         748},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        uint8_t frame[32];
        char hex[49];
        struct resolution_entry entry = entry_of(rows[i].address, rows[i].name);
        entry.is_self = rows[i].is_self;
        entry.age_ms = rows[i].age_ms;
        cr_assert(resolution_put(frame, sizeof frame, &entry) == 24);
        for (int k = 0; k < 24; k++) {
            (void)snprintf(hex + 2 * (size_t)k, 3, "%02x", frame[k]);
        }
        cr_assert_str_eq(hex, rows[i].hex);
    }
}

Test(resolution, a_frame_whose_entries_do_not_fit_is_invalid) {
    struct resolution_entry a = entry_of("127.0.0.1:8000", "nodeA");
    struct resolution_entry b = entry_of("[::1]:8001", "node-B");
    uint8_t frame[64];
    (void)resolution_put(frame + 8, 56, &a);
    (void)resolution_put(frame + 32, 32, &b);
    for (int32_t length = 0; length <= 64; length++) { /* every cut */
        uint8_t cut[64];
        memcpy(cut, frame, sizeof cut);
        resolution_put_header(cut, length);
        bool is_whole = length == 8 || (length >= 8 + 19 && length <= 32) || length == 64;
        enum frame_verdict expected = is_whole ? FRAME_VALID : FRAME_INVALID;
        cr_assert(resolution_validate(cut, (uint32_t)length) == expected, "%d bytes", length);
    }
    static const int16_t name_lengths[] = {-1, -2, INT16_MIN, INT16_MAX, 1000, 0, 43};
    for (size_t i = 0; i < sizeof name_lengths / sizeof *name_lengths; i++) {
        resolution_put_header(frame, 64);
        memcpy(frame + 20, &name_lengths[i], sizeof name_lengths[i]);
        cr_assert(resolution_validate(frame, 64) == FRAME_INVALID, "%d", name_lengths[i]);
    }
    (void)resolution_put(frame + 8, 56, &a);
    frame[32] = 3;
    cr_assert(resolution_validate(frame, 64) == FRAME_INVALID, "no such type of address");
    frame[32] = 2;
    cr_assert(resolution_validate(frame, 64) == FRAME_VALID);
    cr_assert(resolution_validate(frame, 63) == FRAME_INVALID, "shorter than it says");
    frame[4] = 1;
    cr_assert(resolution_validate(frame, 64) == FRAME_INVALID, "another version");
    frame[4] = 0;
    frame[6] = FRAME_TYPE_SM;
    cr_assert(resolution_validate(frame, 64) == FRAME_INVALID, "another type");
}
