/* The engine, on every message of both schemas: what a sender writes comes back, in the form of
 * every version that ever was, and no broken message is believed or read behind its end. Each input
 * is a copy that ends at the end of its allocation, for AddressSanitizer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "lib/codec_tools.h"
#include "wire/archive_codec.h"
#include "wire/cluster_codec.h"

#define BUFFER_LENGTH 4096

static const struct sbe_layouts *const all_layouts[] = {&archive_messages, &archive_records,
                                                        &cluster_messages, &cluster_records};

typedef void (*body_test)(const struct sbe_layout *layout, int32_t seed);

static void for_each(body_test test) {
    for (size_t i = 0; i < 4; i++) {
        for (int32_t k = 0; k < all_layouts[i]->count; k++) {
            for (int32_t seed = 0; seed < 4; seed++) {
                test(all_layouts[i]->all[k], seed);
            }
        }
    }
}

/* Slices of the result are gone with the copy: only their lengths may be looked at. */
static int decode_exact(const struct sbe_layout *layout, struct codec_message *message,
                        const uint8_t *bytes, int32_t length) {
    uint8_t *copy = codec_exact_copy(bytes, length);
    int result = codec_decode(layout, message, copy, length);
    free(copy);
    return result;
}

/* Encode a sample; its length. */
static int32_t sample(const struct sbe_layout *layout, int32_t seed, uint8_t *buffer) {
    struct codec_message message;
    codec_sample(layout, seed, &message);
    int32_t length = sbe_encode(layout, message.message, buffer, BUFFER_LENGTH);
    cr_assert_gt(length, 0, "%s", layout->name);
    return length;
}

static void round_trip(const struct sbe_layout *layout, int32_t seed) {
    uint8_t first[BUFFER_LENGTH], second[BUFFER_LENGTH];
    struct codec_message message;
    int32_t length = sample(layout, seed, first);
    cr_assert_eq(codec_decode(layout, &message, first, length), 0, "%s", layout->name);
    cr_assert_eq(sbe_encode(layout, message.message, second, BUFFER_LENGTH), length);
    cr_assert_arr_eq(first, second, (size_t)length, "%s", layout->name);
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        int64_t want = 1 + i + seed * 16;
        if (field->type == SBE_I64) {
            cr_assert_eq(get_i64(first + layout->header_length + field->offset), want | want << 40,
                         "%s.%s", layout->name, field->name);
        }
    }
}

Test(sbe, every_message_comes_back_as_it_was_sent) {
    for_each(round_trip);
}

static void fits(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message message;
    int32_t length = sample(layout, seed, buffer);
    codec_sample(layout, seed, &message);
    for (int32_t capacity = 0; capacity < length; capacity++) {
        uint8_t *small = codec_exact_copy(buffer, capacity);
        cr_assert_eq(sbe_encode(layout, message.message, small, capacity), -EMSGSIZE);
        cr_assert_arr_eq(small, buffer, (size_t)capacity, "%s writes before it checks",
                         layout->name);
        free(small);
    }
    uint8_t *exact = malloc((size_t)length);
    cr_assert_eq(sbe_encode(layout, message.message, exact, length), length);
    cr_assert_arr_eq(exact, buffer, (size_t)length);
    free(exact);
}

Test(sbe, encoding_is_refused_whole_when_the_buffer_is_too_small) {
    for_each(fits);
    struct cluster_backup_response_snapshots element = {.service_id = -1};
    struct cluster_backup_response message = {.snapshots = {.elements = &element, .count = 1}};
    uint8_t buffer[256];
    cr_assert_gt(cluster_backup_response_encode(&message, buffer, sizeof buffer), 0);
    static struct cluster_backup_response_snapshots many[SBE_GROUP_COUNT_MAX + 1];
    static uint8_t room[4 << 20];
    message.snapshots = (struct sbe_group){.elements = many, .count = SBE_GROUP_COUNT_MAX};
    cr_assert_gt(cluster_backup_response_encode(&message, room, sizeof room), 44 * 65534);
    message.snapshots.count += 1;
    cr_assert_eq(cluster_backup_response_encode(&message, room, sizeof room), -EMSGSIZE);
    struct archive_control_response large = {.error_message = {(const char *)buffer, INT32_MAX}};
    cr_assert_eq(archive_control_response_encode(&large, buffer, sizeof buffer), -EMSGSIZE);
    cr_assert_eq(archive_control_response_encode(&large, buffer, -1), -EMSGSIZE);
}

static void truncated(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message message;
    int32_t length = sample(layout, seed, buffer);
    for (int32_t cut = 0; cut < length; cut++) {
        memset(&message, 0x5a, sizeof message);
        cr_assert_eq(decode_exact(layout, &message, buffer, cut), -EBADMSG, "%s cut to %d of %d",
                     layout->name, cut, length);
        for (size_t i = 0; i < sizeof message.message; i++) {
            cr_assert_eq(message.message[i], 0x5a, "%s writes a part", layout->name);
        }
    }
    cr_assert_eq(decode_exact(layout, &message, buffer, length), 0);
    cr_assert_eq(sbe_decode(layout, message.message, buffer, -1), -EBADMSG);
}

Test(sbe, a_message_cut_short_anywhere_is_refused_and_writes_nothing) {
    for_each(truncated);
}

/* The same message as a sender of `version` writes it: shorter block, fewer data. */
static int32_t as_version(const struct sbe_layout *layout, int32_t seed, uint16_t version,
                          uint8_t *out) {
    uint8_t full[BUFFER_LENGTH];
    int32_t length = sample(layout, seed, full);
    int32_t block = layout->block_length;
    for (int32_t i = layout->field_count - 1; i >= 0; i--) {
        if (layout->fields[i].since > version) {
            block = layout->fields[i].offset;
        }
    }
    int32_t at = layout->header_length + layout->block_length;
    int32_t to = layout->header_length + block;
    memcpy(out, full, (size_t)to);
    put_u16(out, (uint16_t)block);
    put_u16(out + 6, version);
    if (layout->group_count > 0) { /* neither they nor the data behind them have versions */
        memcpy(out + to, full + at, (size_t)(length - at));
        return to + length - at;
    }
    for (int32_t i = 0; i < layout->data_count; i++) {
        int32_t whole = 4 + get_i32(full + at);
        if (layout->data[i].since <= version) {
            memcpy(out + to, full + at, (size_t)whole);
            to += whole;
        }
        at += whole;
    }
    return to;
}

static void check_version(const struct sbe_layout *layout, int32_t seed, uint16_t version) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message found, want;
    int32_t length = as_version(layout, seed, version, buffer);
    codec_sample(layout, seed, &want);
    cr_assert_eq(decode_exact(layout, &found, buffer, length), 0, "%s version %d", layout->name,
                 version);
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        const uint8_t *member = found.message + field->member;
        if (field->since <= version) {
            size_t size = field->type == SBE_I64 ? 8 : field->type == SBE_U8 ? 1 : 4;
            cr_assert_arr_eq(member, want.message + field->member, size, "%s.%s at version %d",
                             layout->name, field->name, version);
        } else {
            int64_t value = field->type == SBE_I64  ? get_i64(member)
                            : field->type == SBE_U8 ? *member
                                                    : get_i32(member);
            cr_assert_eq(value, field->absent, "%s.%s", layout->name, field->name);
        }
    }
    for (int32_t i = 0; i < layout->data_count; i++) {
        struct text_slice a, b;
        memcpy(&a, found.message + layout->data[i].member, sizeof a);
        memcpy(&b, want.message + layout->data[i].member, sizeof b);
        cr_assert_eq(a.length, layout->data[i].since <= version ? b.length : 0);
    }
    /* an old version in a header before a full block: the new fields do not count */
    if (layout->header_length == SBE_HEADER_LENGTH && layout->group_count == 0) {
        for (int32_t cut = layout->header_length; cut < length; cut++) {
            cr_assert_eq(decode_exact(layout, &found, buffer, cut), -EBADMSG, "%s version %d",
                         layout->name, version);
        }
    }
}

static void every_version(const struct sbe_layout *layout, int32_t seed) {
    for (uint16_t version = 0; layout->header_length > 0 && version <= layout->version; version++) {
        bool has_block = false; /* of this version: else the message did not exist yet */
        for (int32_t i = 0; i < layout->field_count; i++) {
            has_block = has_block || layout->fields[i].since <= version;
        }
        if (has_block) {
            check_version(layout, seed, version);
        }
    }
}

Test(sbe, a_message_of_any_older_version_gives_absent_values_for_what_it_lacks) {
    for_each(every_version);
}

static void newer_version(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH], longer[BUFFER_LENGTH], again[BUFFER_LENGTH];
    struct codec_message message;
    if (layout->header_length != SBE_HEADER_LENGTH) {
        return;
    }
    int32_t length = sample(layout, seed, buffer);
    int32_t block_end = SBE_HEADER_LENGTH + layout->block_length;
    memcpy(longer, buffer, (size_t)block_end);
    memset(longer + block_end, 0xee, 12); /* fields of the future */
    memcpy(longer + block_end + 12, buffer + block_end, (size_t)(length - block_end));
    memset(longer + length + 12, 0xdd, 7); /* and bytes behind the end */
    put_u16(longer, (uint16_t)(layout->block_length + 12));
    put_u16(longer + 6, (uint16_t)(layout->version + 1));
    cr_assert_eq(codec_decode(layout, &message, longer, length + 19), 0, "%s", layout->name);
    cr_assert_eq(sbe_encode(layout, message.message, again, sizeof again), length);
    cr_assert_arr_eq(again, buffer, (size_t)length, "%s", layout->name);
}

Test(sbe, a_message_of_a_newer_version_is_read_as_far_as_it_is_known) {
    for_each(newer_version);
}

static void short_block(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message message;
    if (layout->header_length != SBE_HEADER_LENGTH || layout->data_count > 0 ||
        layout->group_count > 0) {
        return;
    }
    sample(layout, seed, buffer);
    int32_t required = 0; /* end of the last field that was there from the start */
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        if (field->since == 0) {
            required = field->offset + (field->type == SBE_I64 ? 8 : field->type == SBE_U8 ? 1 : 4);
        }
    }
    for (int32_t block = 0; block < layout->block_length; block++) {
        put_u16(buffer, (uint16_t)block);
        int result = decode_exact(layout, &message, buffer, SBE_HEADER_LENGTH + block);
        cr_assert_eq(result, block < required ? -EBADMSG : 0, "%s with a block of %d", layout->name,
                     block);
    }
}

Test(sbe, a_block_that_lacks_a_field_of_the_first_version_is_refused) {
    for_each(short_block);
}

static const uint32_t lies[] = {0x7fffffff, 0xffffffff, 0x80000000, 0x40000000,
                                0xfffffff8, 0x7ffffff0, 0xfffffffc, 100000};

static void lying_lengths(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message message;
    int32_t length = sample(layout, seed, buffer);
    int32_t at = layout->header_length + layout->block_length;
    if (layout->header_length > 0) {
        uint16_t block_length = get_u16(buffer);
        put_u16(buffer, (uint16_t)(length - layout->header_length + 1));
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
        put_u16(buffer, UINT16_MAX);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
        put_u16(buffer, block_length);
    }
    for (int32_t i = 0; i < layout->data_count && layout->group_count == 0; i++) {
        int32_t truth = get_i32(buffer + at);
        for (size_t k = 0; k < ARRAY_COUNT(lies); k++) {
            put_i32(buffer + at, (int32_t)lies[k]);
            cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG, "%s.%s of %u",
                         layout->name, layout->data[i].name, lies[k]);
        }
        put_i32(buffer + at, length - at - 4 + 1);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
        put_i32(buffer + at, truth);
        at += 4 + truth;
    }
    if (layout->group_count > 0) {
        uint16_t counts[] = {3, 1000, UINT16_MAX};
        for (size_t k = 0; k < ARRAY_COUNT(counts); k++) {
            put_u16(buffer + at + 2, counts[k]);
            cr_assert_neq(decode_exact(layout, &message, buffer, length), 0, "%s", layout->name);
        }
        put_u16(buffer + at + 2, 2);
        for (uint16_t block = 0; block < layout->groups[0]->block_length; block++) {
            put_u16(buffer + at, block);
            cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
        }
        put_u16(buffer + at, UINT16_MAX);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
    }
}

Test(sbe, no_length_or_count_is_believed) {
    for_each(lying_lengths);
}

static void foreign(const struct sbe_layout *layout, int32_t seed) {
    uint8_t buffer[BUFFER_LENGTH];
    struct codec_message message;
    int32_t length = sample(layout, seed, buffer);
    for (int32_t i = 2; i < 6 && layout->header_length > 0; i++) {
        buffer[i] ^= 0x40;
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG, "%s", layout->name);
        buffer[i] ^= 0x40;
    }
    for (int32_t i = 0; i < layout->field_count; i++) {
        uint8_t *value = buffer + layout->header_length + layout->fields[i].offset;
        if (layout->fields[i].values == NULL) {
            continue;
        }
        int32_t truth = get_i32(value);
        put_i32(value, SBE_NULL_I32);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), 0);
        put_i32(value, 77);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG, "%s.%s",
                     layout->name, layout->fields[i].name);
        put_i32(value, -1);
        cr_assert_eq(decode_exact(layout, &message, buffer, length), -EBADMSG);
        put_i32(value, truth);
    }
}

Test(sbe, foreign_schemas_templates_and_enum_values_are_refused) {
    for_each(foreign);
}

Test(sbe, peek_checks_that_header_and_block_are_there) {
    uint8_t buffer[] = {3, 0, 2, 0, 101, 0, 13, 0, 1, 2, 3};
    struct sbe_header header = {0};
    for (int32_t length = -1; length < 11; length++) {
        cr_assert_eq(sbe_peek(&header, buffer, length), -EBADMSG);
    }
    cr_assert_eq(header.template_id, 0);
    cr_assert_eq(sbe_peek(&header, buffer, 11), 0);
    cr_assert_eq(header.block_length, 3);
    cr_assert_eq(header.template_id, 2);
    cr_assert_eq(header.schema_id, 101);
    cr_assert_eq(header.version, 13);

    uint8_t framed[24] = {8, 0, 0x2d, 1, 112, 0, 10, 0, 24};
    int32_t frame_length = 0;
    for (int32_t length = -1; length < 24; length++) {
        cr_assert_eq(sbe_peek_framed(&header, &frame_length, framed, length), -EBADMSG);
    }
    cr_assert_eq(sbe_peek_framed(&header, &frame_length, framed, 24), 0);
    cr_assert_eq(frame_length, 24);
    int32_t wrong[] = {23, 25, 0, -1, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        put_i32(framed + 8, wrong[i]);
        cr_assert_eq(sbe_peek_framed(&header, &frame_length, framed, 24), -EBADMSG);
    }
}

Test(sbe, a_line_is_cut_to_its_buffer_and_shows_no_control_characters) {
    struct archive_control_response message = {
        .control_session_id = -1,
        .code = ARCHIVE_CONTROL_RESPONSE_CODE_ERROR,
        .error_message = {"it's\n\0\xff\x1b[0m", 12},
    };
    const char *want = "ControlResponse: controlSessionId=-1 correlationId=0 relevantId=0 "
                       "code=ERROR version=0 errorMessage='it\\x27s\\x0a\\x00\\xff\\x1b[0m\\x00'";
    uint8_t buffer[128];
    int32_t length = archive_control_response_encode(&message, buffer, sizeof buffer);
    for (int32_t capacity = 0; capacity < 200; capacity++) {
        char *text = malloc((size_t)capacity + 1);
        memset(text, '#', (size_t)capacity + 1);
        cr_assert_eq(archive_message_format(buffer, length, text, capacity), 0);
        cr_assert_eq(text[capacity], '#');
        if (capacity > 0) {
            cr_assert_lt(strlen(text), (size_t)capacity);
            cr_assert_eq(strncmp(text, want, strlen(text)), 0);
        }
        free(text);
    }
    char text[256];
    cr_assert_eq(archive_message_format(buffer, length, text, sizeof text), 0);
    cr_assert_str_eq(text, want);
}

Test(sbe, bytes_that_are_no_message_are_described) {
    char text[128];
    uint8_t buffer[16] = {32, 0, 1, 0, 101, 0, 13, 0};
    cr_assert_eq(archive_message_format(buffer, 7, text, sizeof text), -EBADMSG);
    cr_assert_str_eq(text, "7 bytes, shorter than a message header");
    cr_assert_eq(archive_message_format(buffer, 16, text, sizeof text), -EBADMSG);
    cr_assert_str_eq(text, "malformed ControlResponse: block 32 version 13, 16 bytes");
    cr_assert_eq(cluster_message_format(buffer, 16, text, sizeof text), -EBADMSG);
    cr_assert_str_eq(text, "unknown message: schema 101 template 1 version 13, 16 bytes");
    cr_assert_str_eq(archive_template_name(63), "StartRecordingRequest2");
    cr_assert_str_eq(cluster_template_name(53), "NewLeadershipTerm");
    cr_assert_str_eq(cluster_template_name(9999), "?");
    cr_assert_str_eq(archive_recording_signal_name(ARCHIVE_RECORDING_SIGNAL_REPLICATE_END),
                     "REPLICATE_END");
    cr_assert_str_eq(archive_recording_signal_name(SBE_NULL_I32), "NULL");
    cr_assert_str_eq(archive_recording_signal_name(8), "?");
}
