/* See fuzz_codec.h. The template and schema in the header are believed for printing only; for
 * decoding they are overwritten, so that no mutation is lost to a wrong id. */
#include "fuzz_codec.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/codec_tools.h"

#define LENGTH_MAX 65536

static void check_line(const struct sbe_layouts *messages, const uint8_t *data, int32_t length) {
    char line[300];
    int32_t capacity = length % (int32_t)sizeof line;
    memset(line, '#', sizeof line);
    int result = sbe_format(messages, data, length, line, capacity);
    assert(result == 0 || result == -EBADMSG);
    assert(capacity == 0 || memchr(line, '\0', (size_t)capacity) != NULL);
    assert(line[capacity] == '#');
    for (int32_t i = 0; i < capacity && line[i] != '\0'; i++) {
        assert(line[i] >= ' ' && line[i] <= '~');
    }
}

static uint64_t try_layout(const struct sbe_layout *layout, const uint8_t *data, int32_t length) {
    static struct codec_message message, again;
    static uint8_t first[LENGTH_MAX], second[LENGTH_MAX];
    int result = codec_decode(layout, &message, data, length);
    if (result != 0) {
        assert(result == -EBADMSG || result == -E2BIG);
        return 0;
    }
    int32_t encoded = sbe_encode(layout, message.message, first, sizeof first);
    assert(encoded > 0);
    result = codec_decode(layout, &again, first, encoded);
    assert(result == 0);
    assert(sbe_encode(layout, again.message, second, sizeof second) == encoded);
    assert(memcmp(first, second, (size_t)encoded) == 0);
    return 1;
}

uint64_t fuzz_codec_run(const struct sbe_layouts *messages, const struct sbe_layouts *records,
                        const uint8_t *data, size_t size) {
    uint64_t accepted = 0;
    struct sbe_header header;
    int32_t frame_length = 0, length = (int32_t)(size < LENGTH_MAX / 2 ? size : LENGTH_MAX / 2);
    sbe_peek(&header, data, length);
    sbe_peek_framed(&header, &frame_length, data, length);
    check_line(messages, data, length);
    for (int32_t i = 0; i < records->count; i++) {
        accepted += try_layout(records->all[i], data, length);
    }
    if (length < SBE_HEADER_LENGTH) {
        return accepted;
    }
    uint8_t *copy = codec_exact_copy(data, length);
    for (int32_t i = 0; i < messages->count; i++) {
        put_u16(copy + 2, messages->all[i]->template_id);
        put_u16(copy + 4, messages->all[i]->schema_id);
        accepted += try_layout(messages->all[i], copy, length);
        check_line(messages, copy, length);
    }
    free(copy);
    return accepted;
}

size_t fuzz_codec_seed(const struct sbe_layouts *messages, const struct sbe_layouts *records,
                       uint64_t index, uint8_t *data, size_t capacity) {
    static struct codec_message message;
    uint64_t which = index % (uint64_t)(messages->count + records->count);
    const struct sbe_layout *layout = which < (uint64_t)messages->count
                                          ? messages->all[which]
                                          : records->all[which - (uint64_t)messages->count];
    codec_sample(layout, (int32_t)(index / 64 % 8), &message);
    int32_t length = sbe_encode(layout, message.message, data, (int32_t)capacity);
    assert(length > 0);
    return (size_t)length;
}
