/* Keys and labels of the counters that the driver makes for streams, channels and addresses
 * (shared-memory.md 6.2, 6.3). Texts longer than a key or a label holds are cut; readers go by the
 * lengths in the key. Bytes behind the used part of a key are zeroed.
 */
#include "shm/counter_types.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"

/* Write an i32 length and as much of the text as the key still holds; returns the used length. */
static int32_t put_text(uint8_t *key, int32_t offset, const char *text) {
    int32_t room = COUNTER_KEY_LENGTH_MAX - offset - (int32_t)sizeof(int32_t);
    int32_t length = (int32_t)strnlen(text, (size_t)room);
    put_i32(key + offset, length);
    memcpy(key + offset + sizeof(int32_t), text, (size_t)length);
    return offset + (int32_t)sizeof(int32_t) + length;
}

int32_t counter_stream_key(uint8_t key[COUNTER_KEY_LENGTH_MAX], int64_t registration_id,
                           int32_t session_id, int32_t stream_id, const char *channel) {
    memset(key, 0, COUNTER_KEY_LENGTH_MAX);
    put_i64(key, registration_id);
    put_i32(key + 8, session_id);
    put_i32(key + 12, stream_id);
    return put_text(key, 16, channel);
}

int32_t counter_label_format(char label[COUNTER_LABEL_LENGTH_MAX + 1], const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(label, COUNTER_LABEL_LENGTH_MAX + 1, format, arguments);
    va_end(arguments);
    assert(length >= 0);
    return min_i32(length, COUNTER_LABEL_LENGTH_MAX);
}

int32_t counter_stream_label(char label[COUNTER_LABEL_LENGTH_MAX + 1], const char *name,
                             int64_t registration_id, int32_t session_id, int32_t stream_id,
                             const char *channel) {
    return counter_label_format(label, "%s: %lld %d %d %s", name, (long long)registration_id,
                                session_id, stream_id, channel);
}

int32_t counter_channel_key(uint8_t key[COUNTER_KEY_LENGTH_MAX], const char *channel) {
    memset(key, 0, COUNTER_KEY_LENGTH_MAX);
    return put_text(key, 0, channel);
}

int32_t counter_sockaddr_key(uint8_t key[COUNTER_KEY_LENGTH_MAX], int32_t status_counter_id,
                             const char *address) {
    memset(key, 0, COUNTER_KEY_LENGTH_MAX);
    put_i32(key, status_counter_id);
    return put_text(key, 4, address);
}

/* Read the text at `offset` of a key; the length in the key is not believed beyond the key. */
static int32_t get_text(const uint8_t *key, int32_t offset, const char **text) {
    int32_t room = COUNTER_KEY_LENGTH_MAX - offset - (int32_t)sizeof(int32_t);
    *text = (const char *)key + offset + sizeof(int32_t);
    return max_i32(0, min_i32(get_i32(key + offset), room));
}

void counter_stream_key_parse(const uint8_t key[COUNTER_KEY_LENGTH_MAX],
                              struct counter_stream *stream) {
    stream->registration_id = get_i64(key);
    stream->session_id = get_i32(key + 8);
    stream->stream_id = get_i32(key + 12);
    stream->channel_length = get_text(key, 16, &stream->channel);
}

int32_t counter_sockaddr_key_parse(const uint8_t key[COUNTER_KEY_LENGTH_MAX],
                                   int32_t *status_counter_id, const char **address) {
    *status_counter_id = get_i32(key);
    return get_text(key, 4, address);
}
