/* See codec_tools.h. The value given to a field is its index, shifted by the seed, so that two
 * fields that were swapped, or read at a wrong offset, show up; an enum gets one of its values. */
#include "lib/codec_tools.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char *const texts[] = {"aeron:udp?endpoint=localhost:8010", "", "x",
                                    "aeron:ipc?term-length=64k"};
#define TEXT_COUNT 4

static void sample_body(const struct sbe_layout *layout, int32_t seed, uint8_t *message) {
    memset(message, 0, layout->struct_length);
    for (int32_t i = 0; i < layout->field_count; i++) {
        const struct sbe_field *field = &layout->fields[i];
        int64_t value = 1 + i + seed * 16;
        if (field->values != NULL) {
            value = field->values->values[(i + seed) % field->values->count].value;
        }
        if (field->type == SBE_I64) {
            put_i64(message + field->member, value | value << 40);
        } else if (field->type == SBE_U8) {
            message[field->member] = (uint8_t)value;
        } else {
            put_i32(message + field->member, (int32_t)value);
        }
    }
    for (int32_t i = 0; i < layout->data_count; i++) {
        const char *text = texts[(i + seed) % TEXT_COUNT];
        struct text_slice slice = {text, (int32_t)strlen(text)};
        memcpy(message + layout->data[i].member, &slice, sizeof slice);
    }
}

void codec_sample(const struct sbe_layout *layout, int32_t seed, struct codec_message *message) {
    sample_body(layout, seed, message->message);
    assert(layout->group_count <= CODEC_GROUPS_MAX);
    for (int32_t i = 0; i < layout->group_count; i++) {
        const struct sbe_layout *inner = layout->groups[i];
        struct sbe_group group = {.elements = message->elements[i], .count = 2};
        for (int32_t k = 0; k < group.count; k++) {
            sample_body(inner, seed + k + 1, message->elements[i] + k * inner->struct_length);
        }
        memcpy(message->message + inner->member, &group, sizeof group);
    }
}

int codec_decode(const struct sbe_layout *layout, struct codec_message *message, const void *buffer,
                 int32_t length) {
    int result = sbe_decode(layout, message->message, buffer, length);
    for (int32_t i = 0; i < layout->group_count && result == 0; i++) {
        const struct sbe_layout *inner = layout->groups[i];
        uint8_t *element = message->elements[i];
        struct sbe_group group;
        memcpy(&group, message->message + inner->member, sizeof group);
        if (group.count > CODEC_ELEMENTS_MAX) {
            return -E2BIG;
        }
        while (sbe_group_next(inner, &group, element)) {
            element += inner->struct_length;
        }
        group.elements = message->elements[i];
        memcpy(message->message + inner->member, &group, sizeof group);
    }
    return result;
}

const struct sbe_layout *codec_find(const struct sbe_layouts *layouts, const char *name) {
    for (int32_t i = 0; i < layouts->count; i++) {
        if (strcmp(layouts->all[i]->name, name) == 0) {
            return layouts->all[i];
        }
    }
    return NULL;
}

static int32_t hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int32_t codec_from_hex(const char *hex, uint8_t *bytes, int32_t capacity) {
    int32_t length = 0;
    for (; hex_digit(hex[0]) >= 0; hex += 2) {
        if (hex_digit(hex[1]) < 0 || length == capacity) {
            return -1;
        }
        bytes[length++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
    }
    return length;
}

uint8_t *codec_exact_copy(const void *bytes, int32_t length) {
    uint8_t *copy = malloc(length > 0 ? (size_t)length : 1);
    assert(copy != NULL);
    memcpy(copy, bytes, (size_t)length);
    return copy;
}
