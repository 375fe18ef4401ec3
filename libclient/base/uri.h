/* Channel URIs: "[aeron-spy:]aeron:udp|ipc[?key=value|key=value...]" (shared-memory.md 8).
 *
 * struct uri owns a copy of the text; parameter keys and values are NUL-terminated slices of it.
 * Only syntax is checked here; what a value means is the business of the caller, who uses the typed
 * getters. Each getter returns 1 when the key is there and valid, 0 when absent (*value untouched)
 * and a negative code with the key, the value and what is allowed in `error`.
 */
#ifndef TERN_BASE_URI_H
#define TERN_BASE_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define URI_LENGTH_MAX 4095
#define URI_PARAM_COUNT_MAX 64

enum uri_media { URI_MEDIA_UDP, URI_MEDIA_IPC };

struct uri_param {
    const char *key;
    const char *value;
};

struct uri {
    enum uri_media media;
    bool is_spy;
    int param_count;
    struct uri_param params[URI_PARAM_COUNT_MAX];
    char text[URI_LENGTH_MAX + 1];
};

/* `length` bytes of text, not necessarily NUL-terminated. 0, or TERN_ERROR_INVALID_URI. */
int uri_parse(struct uri *uri, const char *text, int32_t length, struct tern_error *error);

/* The value of the exactly equal key, or NULL. The first one wins when a key repeats. */
const char *uri_get(const struct uri *uri, const char *key);

int uri_get_i32(const struct uri *uri, const char *key, int32_t *value, struct tern_error *error);
int uri_get_i64(const struct uri *uri, const char *key, int64_t *value, struct tern_error *error);
int uri_get_bool(const struct uri *uri, const char *key, bool *value, struct tern_error *error);
/* "64k", "1m", "2G", plain bytes. */
int uri_get_size(const struct uri *uri, const char *key, int64_t *value, struct tern_error *error);
/* "10s", "5ms", "7us", "9ns", plain nanoseconds. */
int uri_get_duration_ns(const struct uri *uri, const char *key, int64_t *value,
                        struct tern_error *error);

/* Parse a size or a duration that stands outside a URI (configuration, fc=). 0 or -EINVAL. */
int parse_size(const char *text, int64_t *bytes);
int parse_duration_ns(const char *text, int64_t *duration_ns);
int parse_i64(const char *text, int64_t *value);
/* "100ms", "5s", "1us", "9ns": the largest unit that divides it. Returns the length as snprintf. */
int duration_format(int64_t duration_ns, char *text, size_t size);

/* Write a channel text from parts: start with "aeron:udp" or "aeron:ipc" (or any channel), then
 * add or replace keys; a NULL value removes the key. Both return 0 or -ENAMETOOLONG. */
struct uri_builder {
    int32_t length;
    char text[URI_LENGTH_MAX + 1];
};
int uri_builder_init(struct uri_builder *builder, const char *channel);
int uri_builder_set(struct uri_builder *builder, const char *key, const char *value);
int uri_builder_set_i64(struct uri_builder *builder, const char *key, int64_t value);

#endif
