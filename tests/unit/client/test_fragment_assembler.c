#include <criterion/criterion.h>

#include <string.h>

#include "client/image.h"

#define BITS 16
#define INITIAL 7

struct fragment {
    int32_t session_id;
    int32_t offset;
    uint8_t flags;
    const char *text;
};

struct seen {
    char text[256];
    int aborts; /* how many deliveries to abort */
    int64_t position;
    int32_t frame_length;
    int32_t term_offset;
    uint8_t flags;
};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct seen *seen = context;
    strncat(seen->text, (const char *)buffer, (size_t)length);
    strcat(seen->text, ".");
    seen->position = tern_header_position(header);
    seen->frame_length = tern_header_frame_length(header);
    seen->term_offset = tern_header_term_offset(header);
    seen->flags = tern_header_flags(header);
    cr_assert_eq(tern_header_term_id(header), INITIAL + 1);
    cr_assert_eq(tern_header_initial_term_id(header), INITIAL);
}

static enum tern_controlled_action on_controlled(void *context, const uint8_t *buffer,
                                                 int32_t length, const tern_header *header) {
    struct seen *seen = context;
    on_message(context, buffer, length, header);
    return seen->aborts-- > 0 ? TERN_ACTION_ABORT : TERN_ACTION_COMMIT;
}

static struct tern_header header_of(struct frame_header *frame, const struct fragment *fragment) {
    *frame = (struct frame_header){
        .frame_length = 32 + (int32_t)strlen(fragment->text),
        .flags = fragment->flags,
        .type = FRAME_TYPE_DATA,
        .term_offset = fragment->offset,
        .session_id = fragment->session_id,
        .term_id = INITIAL + 1,
    };
    return (struct tern_header){frame, INITIAL, BITS, -1, NULL};
}

static const struct {
    struct fragment fragments[8];
    const char *expected;
    int64_t dropped;
} cases[] = {
    {{{1, 0, 0xC0, "a"}, {1, 64, 0xC0, "b"}}, "a.b.", 0},
    {{{1, 0, 0x80, "a"}, {1, 64, 0x00, "b"}, {1, 128, 0x40, "c"}}, "abc.", 0},
    {{{1, 0, 0x80, "a"}, {2, 0, 0x80, "x"}, {1, 64, 0x40, "b"}, {2, 64, 0x40, "y"}}, "ab.xy.", 0},
    {{{1, 0, 0x80, "a"}, {2, 0, 0xC0, "x"}, {1, 64, 0x40, "b"}}, "x.ab.", 0},
    {{{1, 0, 0x80, "a"}, {1, 128, 0x40, "c"}}, "", 1},                         /* a hole */
    {{{1, 64, 0x00, "b"}, {1, 128, 0x40, "c"}, {1, 192, 0xC0, "d"}}, "d.", 1}, /* no begin */
    {{{1, 0, 0x80, "a"}, {1, 64, 0x80, "b"}, {1, 128, 0x40, "c"}}, "bc.", 1},  /* no end */
    {{{1, 0, 0x80, "a"}, {1, 128, 0x00, "c"}, {1, 192, 0x80, "d"}, {1, 256, 0x40, "e"}}, "de.", 1},
};

Test(fragment_assembler, puts_messages_together_and_drops_what_has_holes) {
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct seen plain = {0};
        struct seen controlled = {0};
        tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &plain);
        tern_controlled_fragment_assembler *second =
            tern_controlled_fragment_assembler_create(on_controlled, &controlled);
        for (const struct fragment *f = cases[i].fragments; f->text != NULL; f++) {
            struct frame_header frame;
            struct tern_header header = header_of(&frame, f);
            int32_t length = (int32_t)strlen(f->text);
            tern_fragment_assembler_on_fragment(assembler, (const uint8_t *)f->text, length,
                                                &header);
            (void)tern_controlled_fragment_assembler_on_fragment(second, (const uint8_t *)f->text,
                                                                 length, &header);
        }
        cr_assert_str_eq(plain.text, cases[i].expected, "case %zu: %s", i, plain.text);
        cr_assert_str_eq(controlled.text, cases[i].expected, "case %zu", i);
        cr_assert_eq(tern_fragment_assembler_dropped_count(assembler), cases[i].dropped, "case %zu",
                     i);
        cr_assert_eq(tern_controlled_fragment_assembler_dropped_count(second), cases[i].dropped);
        tern_fragment_assembler_destroy(assembler);
        tern_controlled_fragment_assembler_destroy(second);
    }
}

static struct tern_header_values last_values;

static void keep_values(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)length;
    tern_header_get_values(header, &last_values);
    cr_assert_eq(last_values.next_term_offset, tern_header_next_term_offset(header));
    cr_assert_eq(last_values.position, tern_header_position(header));
}

Test(fragment_assembler, gives_the_values_of_the_whole_message) {
    static const struct fragment fragments[] = {{1, 64, 0x80, "0123456789"}, {1, 128, 0x40, "01"}};
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(keep_values, NULL);
    for (int i = 0; i < 2; i++) {
        struct frame_header frame;
        struct tern_header header = header_of(&frame, &fragments[i]);
        tern_fragment_assembler_on_fragment(assembler, (const uint8_t *)fragments[i].text,
                                            (int32_t)strlen(fragments[i].text), &header);
    }
    cr_assert_eq(last_values.term_offset, 64);
    cr_assert_eq(last_values.next_term_offset, 192);
    cr_assert_eq(last_values.position, 65536 + 192);
    cr_assert_eq(last_values.frame_length, 32 + 12);
    cr_assert_eq(last_values.flags, 0xC0);
    cr_assert_eq(last_values.session_id, 1);
    cr_assert_eq(last_values.term_id, INITIAL + 1);
    cr_assert_eq(last_values.initial_term_id, INITIAL);
    cr_assert_eq(last_values.position_bits, BITS);
    cr_assert_eq(last_values.type, FRAME_TYPE_DATA);
    tern_fragment_assembler_destroy(assembler);
}

Test(fragment_assembler, gives_the_header_of_the_whole_message) {
    static const struct fragment fragments[] = {
        {1, 64, 0x80, "0123456789"}, {1, 128, 0x00, "0123456789"}, {1, 192, 0x40, "01"}};
    struct seen seen = {0};
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &seen);
    for (int i = 0; i < 3; i++) {
        struct frame_header frame;
        struct tern_header header = header_of(&frame, &fragments[i]);
        tern_fragment_assembler_on_fragment(assembler, (const uint8_t *)fragments[i].text,
                                            (int32_t)strlen(fragments[i].text), &header);
    }
    cr_assert_eq(seen.position, 65536 + 256);
    cr_assert_eq(seen.frame_length, 32 + 22);
    cr_assert_eq(seen.term_offset, 64);
    cr_assert_eq(seen.flags, 0xC0);
    tern_fragment_assembler_destroy(assembler);
}

Test(fragment_assembler, delivers_the_last_fragment_again_when_the_message_was_aborted) {
    static const struct fragment fragments[] = {{1, 0, 0x80, "ab"}, {1, 64, 0x40, "cd"}};
    struct seen seen = {.aborts = 2};
    tern_controlled_fragment_assembler *assembler =
        tern_controlled_fragment_assembler_create(on_controlled, &seen);
    struct frame_header frame;
    struct tern_header header = header_of(&frame, &fragments[0]);
    cr_assert_eq(tern_controlled_fragment_assembler_on_fragment(assembler, (const uint8_t *)"ab", 2,
                                                                &header),
                 TERN_ACTION_CONTINUE);
    static const enum tern_controlled_action expected[] = {TERN_ACTION_ABORT, TERN_ACTION_ABORT,
                                                           TERN_ACTION_COMMIT};
    for (int i = 0; i < 3; i++) {
        header = header_of(&frame, &fragments[1]);
        cr_assert_eq(tern_controlled_fragment_assembler_on_fragment(
                         assembler, (const uint8_t *)"cd", 2, &header),
                     expected[i]);
        cr_assert_eq(seen.position, 65536 + 128);
    }
    cr_assert_str_eq(seen.text, "abcd.abcd.abcd.");
    cr_assert_eq(tern_controlled_fragment_assembler_dropped_count(assembler), 0);
    tern_controlled_fragment_assembler_destroy(assembler);
}

static int64_t bytes_seen;
static void on_big(void *context, const uint8_t *buffer, int32_t length,
                   const tern_header *header) {
    (void)context;
    (void)buffer;
    (void)header;
    bytes_seen += length;
}

/* Feed `count` fragments of 64 KiB - 64 bytes as one message. */
static void feed(tern_fragment_assembler *assembler, int count) {
    static uint8_t payload[65504 - 32];
    int32_t offset = 0;
    for (int i = 0; i < count; i++) {
        struct frame_header frame = {
            .frame_length = 65504,
            .flags = (uint8_t)((i == 0 ? 0x80 : 0) | (i == count - 1 ? 0x40 : 0)),
            .type = FRAME_TYPE_DATA,
            .term_offset = offset,
            .session_id = 5,
            .term_id = INITIAL,
        };
        struct tern_header header = {&frame, INITIAL, 30, -1, NULL};
        tern_fragment_assembler_on_fragment(assembler, payload, sizeof payload, &header);
        offset += 65504;
    }
}

Test(fragment_assembler, bounds_a_message_and_forgets_sessions) {
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_big, NULL);
    feed(assembler, 256);
    cr_assert_eq(bytes_seen, 256 * (65504 - 32));
    feed(assembler, 300); /* beyond 16 MiB */
    cr_assert_eq(bytes_seen, 256 * (65504 - 32));
    cr_assert_geq(tern_fragment_assembler_dropped_count(assembler), 1);
    tern_fragment_assembler_remove_session(assembler, 5);
    tern_fragment_assembler_remove_session(assembler, 6);
    feed(assembler, 2);
    cr_assert_eq(bytes_seen, 258 * (65504 - 32));
    tern_fragment_assembler_destroy(assembler);
    tern_fragment_assembler_destroy(NULL);
}
