/* A growing list of messages in one buffer: a snapshot between plugin and archive. It is the
 * struct tern_service_snapshot that plugins see. */
#ifndef TERN_SERVICEHOST_MESSAGE_LIST_H
#define TERN_SERVICEHOST_MESSAGE_LIST_H

#include <stdint.h>

#include <tern/service.h>

struct tern_service_snapshot {
    uint8_t *bytes; /* each message: i32 length, then the bytes */
    int64_t length;
    int64_t capacity;
    int64_t cursor; /* of the reader */
    int32_t message_length_max;
};

/* 0, -EMSGSIZE above message_length_max, -ENOMEM. */
int message_list_append(struct tern_service_snapshot *list, const void *buffer, int32_t length);
/* The message at the cursor; 1, or 0 at the end. The pointer is valid until the next append. */
int message_list_peek(const struct tern_service_snapshot *list, const void **buffer,
                      int32_t *length);
/* Move the cursor behind the message that peek returned. */
void message_list_advance(struct tern_service_snapshot *list);
void message_list_close(struct tern_service_snapshot *list);

#endif
