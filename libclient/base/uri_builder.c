/* Deriving one channel text from another: add, replace or remove keys, leaving everything else
 * as the user wrote it. */
#include "base/uri.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

int uri_builder_init(struct uri_builder *builder, const char *channel) {
    size_t length = strlen(channel);
    if (length > URI_LENGTH_MAX) {
        return -ENAMETOOLONG;
    }
    memcpy(builder->text, channel, length + 1);
    builder->length = (int32_t)length;
    return 0;
}

/* The start of "key=" in the text, or NULL. */
static char *find_param(struct uri_builder *builder, const char *key) {
    size_t key_length = strlen(key);
    char *cursor = strchr(builder->text, '?');
    while (cursor != NULL) {
        cursor++;
        if (strncmp(cursor, key, key_length) == 0 && cursor[key_length] == '=') {
            return cursor;
        }
        cursor = strchr(cursor, '|');
    }
    return NULL;
}

/* Remove the parameter together with one separator. */
static void remove_param(struct uri_builder *builder, char *param) {
    char *end = strchr(param, '|');
    if (end != NULL) {
        memmove(param, end + 1, strlen(end + 1) + 1);
    } else {
        param[-1] = '\0'; /* the '?' or '|' before it */
    }
    builder->length = (int32_t)strlen(builder->text);
}

/* A channel may end with an empty list or an empty last parameter; a value may contain '?'. */
static const char *separator_after(const struct uri_builder *builder) {
    const char *list = strchr(builder->text, '?');
    if (list == NULL) {
        return "?";
    }
    bool ends_empty = list[1] == '\0' || builder->text[builder->length - 1] == '|';
    return ends_empty ? "" : "|";
}

int uri_builder_set(struct uri_builder *builder, const char *key, const char *value) {
    char *param = find_param(builder, key);
    size_t old_length = 0;
    if (param != NULL) {
        char *end = strchr(param, '|');
        old_length = (end != NULL ? (size_t)(end - param) : strlen(param)) + 1;
    }
    if (value == NULL) {
        if (param != NULL) {
            remove_param(builder, param);
        }
        return 0;
    }
    size_t added = strlen(key) + strlen(value) + 2; /* separator and '=' */
    if ((size_t)builder->length - old_length + added > URI_LENGTH_MAX) {
        return -ENAMETOOLONG;
    }
    if (param != NULL) {
        remove_param(builder, param);
    }
    size_t room = sizeof builder->text - (size_t)builder->length;
    builder->length += snprintf(builder->text + builder->length, room, "%s%s=%s",
                                separator_after(builder), key, value);
    return 0;
}

int uri_builder_set_i64(struct uri_builder *builder, const char *key, int64_t value) {
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, value);
    return uri_builder_set(builder, key, text);
}
