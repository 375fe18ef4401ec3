/* The list behind snapshots: append, then read once in the same order. */
#include "base/message_list.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"

#define CAPACITY_MIN 65536
#define PREFIX_LENGTH ((int64_t)sizeof(int32_t))

static int grow(struct message_list *list, int64_t needed) {
    int64_t capacity = max_i64(list->capacity, CAPACITY_MIN);
    while (capacity < needed) {
        capacity += capacity / 2;
    }
    uint8_t *bigger = realloc(list->bytes, (size_t)capacity);
    if (bigger == NULL) {
        return -ENOMEM;
    }
    list->bytes = bigger;
    list->capacity = capacity;
    return 0;
}

int message_list_append(struct message_list *list, const void *buffer, int32_t length) {
    if (length < 0 || length > list->message_length_max) {
        return -EMSGSIZE;
    }
    int64_t needed = list->length + PREFIX_LENGTH + length;
    if (needed > list->capacity && grow(list, needed) != 0) {
        return -ENOMEM;
    }
    put_i32(list->bytes + list->length, length);
    if (length > 0) {
        memcpy(list->bytes + list->length + PREFIX_LENGTH, buffer, (size_t)length);
    }
    list->length = needed;
    return 0;
}

int message_list_peek(const struct message_list *list, const void **buffer, int32_t *length) {
    if (list->cursor == list->length) {
        return 0;
    }
    *length = get_i32(list->bytes + list->cursor);
    *buffer = list->bytes + list->cursor + PREFIX_LENGTH;
    return 1;
}

void message_list_advance(struct message_list *list) {
    assert(list->cursor < list->length);
    list->cursor += PREFIX_LENGTH + get_i32(list->bytes + list->cursor);
}

void message_list_close(struct message_list *list) {
    free(list->bytes);
    *list = (struct message_list){.message_length_max = list->message_length_max};
}
