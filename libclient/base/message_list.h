/* A growing list of messages in one buffer: a snapshot between the state it was taken of and the
 * archive that records it. Owned by one agent; a zeroed struct is an empty list that takes nothing
 * until message_length_max is set. */
#ifndef TERN_BASE_MESSAGE_LIST_H
#define TERN_BASE_MESSAGE_LIST_H

#include <stdint.h>

struct message_list {
    uint8_t *bytes; /* each message: i32 length, then the bytes */
    int64_t length;
    int64_t capacity;
    int64_t cursor; /* of the reader */
    int32_t message_length_max;
};

/* 0, -EMSGSIZE above message_length_max, -ENOMEM. */
int message_list_append(struct message_list *list, const void *buffer, int32_t length);
/* The message at the cursor; 1, or 0 at the end. The pointer is valid until the next append. */
int message_list_peek(const struct message_list *list, const void **buffer, int32_t *length);
/* Move the cursor behind the message that peek returned. */
void message_list_advance(struct message_list *list);
void message_list_close(struct message_list *list);

#endif
