/* Channel URIs: one pass that cuts the copied text into keys and values, then typed getters.
 *
 * Used by the driver for every add command and by archive and cluster to derive channels. Where the
 * original accepts nonsense (a size of "1k5", a boolean "yes"), the getters refuse it: a typing
 * error in a channel must not become a default (shared-memory.md 8.1).
 */
#include "base/uri.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"

#define SPY_PREFIX "aeron-spy:"
#define SCHEME "aeron:"

static int refuse(struct tern_error *error, const char *what, const char *text) {
    return error_set(error, TERN_ERROR_INVALID_URI, "%s: '%.160s'", what, text);
}

static bool skip_prefix(char **cursor, const char *prefix) {
    size_t length = strlen(prefix);
    if (strncmp(*cursor, prefix, length) != 0) {
        return false;
    }
    *cursor += length;
    return true;
}

/* Cut "key=value" in place and append it. */
static int add_param(struct uri *uri, char *param, struct tern_error *error) {
    char *equals = strchr(param, '=');
    if (equals == NULL) {
        return refuse(error, "channel parameter without '='", param);
    }
    if (equals == param) {
        return refuse(error, "channel parameter with an empty key", param);
    }
    if (equals[1] == '\0') {
        return refuse(error, "channel parameter with an empty value", param);
    }
    if (uri->param_count == URI_PARAM_COUNT_MAX) {
        return error_set(error, TERN_ERROR_INVALID_URI, "more than %d channel parameters",
                         URI_PARAM_COUNT_MAX);
    }
    *equals = '\0';
    uri->params[uri->param_count++] = (struct uri_param){param, equals + 1};
    return 0;
}

static int parse_params(struct uri *uri, char *cursor, struct tern_error *error) {
    while (*cursor != '\0') {
        char *bar = strchr(cursor, '|');
        if (bar != NULL) {
            *bar = '\0';
        }
        int result = add_param(uri, cursor, error);
        if (result != 0) {
            return result;
        }
        if (bar == NULL) {
            return 0;
        }
        cursor = bar + 1;
    }
    return 0;
}

int uri_parse(struct uri *uri, const char *text, int32_t length, struct tern_error *error) {
    if (length < 0 || length > URI_LENGTH_MAX) {
        return error_set(error, TERN_ERROR_INVALID_URI, "channel of %d bytes, allowed are 1 to %d",
                         length, URI_LENGTH_MAX);
    }
    if (memchr(text, '\0', (size_t)length) != NULL) {
        return error_set(error, TERN_ERROR_INVALID_URI, "channel contains a NUL byte");
    }
    memcpy(uri->text, text, (size_t)length);
    uri->text[length] = '\0';
    uri->param_count = 0;

    char *cursor = uri->text;
    uri->is_spy = skip_prefix(&cursor, SPY_PREFIX);
    if (!skip_prefix(&cursor, SCHEME)) {
        return refuse(error, "channel does not start with 'aeron:'", uri->text);
    }
    if (skip_prefix(&cursor, "udp")) {
        uri->media = URI_MEDIA_UDP;
    } else if (skip_prefix(&cursor, "ipc")) {
        uri->media = URI_MEDIA_IPC;
    } else {
        return refuse(error, "channel media is neither 'udp' nor 'ipc'", uri->text);
    }
    if (*cursor == '\0') {
        return 0;
    }
    if (*cursor != '?') {
        return refuse(error, "channel media is neither 'udp' nor 'ipc'", uri->text);
    }
    return parse_params(uri, cursor + 1, error);
}

const char *uri_get(const struct uri *uri, const char *key) {
    for (int i = 0; i < uri->param_count; i++) {
        if (strcmp(uri->params[i].key, key) == 0) {
            return uri->params[i].value;
        }
    }
    return NULL;
}

int parse_i64(const char *text, int64_t *value) {
    bool is_digit = *text >= '0' && *text <= '9';
    bool is_signed = (*text == '-' || *text == '+') && text[1] >= '0' && text[1] <= '9';
    if (!is_digit && !is_signed) {
        return -EINVAL; /* strtoll would skip white space */
    }
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (*end != '\0' || errno == ERANGE) {
        return -EINVAL;
    }
    *value = parsed;
    return 0;
}

/* A non-negative decimal and what follows it. */
static int parse_magnitude(const char *text, int64_t *value, const char **suffix) {
    if (*text < '0' || *text > '9') {
        return -EINVAL;
    }
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    *suffix = end;
    *value = parsed;
    return errno == ERANGE ? -ERANGE : 0;
}

int parse_size(const char *text, int64_t *bytes) {
    int64_t value;
    const char *suffix;
    if (parse_magnitude(text, &value, &suffix) != 0) {
        return -EINVAL;
    }
    int shift = 0;
    if (*suffix != '\0') {
        const char *letters = "kmg";
        const char *found = strchr(letters, *suffix | 0x20);
        if (found == NULL || suffix[1] != '\0') {
            return -EINVAL;
        }
        shift = 10 * (int)(found - letters + 1);
    }
    if (value > (INT64_MAX >> shift)) {
        return -EINVAL;
    }
    *bytes = value << shift;
    return 0;
}

static const struct {
    const char *suffix;
    int64_t unit_ns;
} units[] = {{"s", NS_PER_S}, {"ms", NS_PER_MS}, {"us", NS_PER_US}, {"ns", 1}, {"", 1}};

int parse_duration_ns(const char *text, int64_t *duration_ns) {
    int64_t value;
    const char *suffix;
    int result = parse_magnitude(text, &value, &suffix);
    if (result == -EINVAL) {
        return -EINVAL;
    }
    for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
        if (strcasecmp(suffix, units[i].suffix) == 0) {
            bool is_too_long = result == -ERANGE || value > INT64_MAX / units[i].unit_ns;
            *duration_ns = is_too_long ? INT64_MAX : value * units[i].unit_ns; /* saturates */
            return 0;
        }
    }
    return -EINVAL;
}

int duration_format(int64_t duration_ns, char *text, size_t size) {
    size_t i = 0;
    while (duration_ns % units[i].unit_ns != 0) {
        i++; /* ends at 1 ns */
    }
    return snprintf(text, size, "%lld%s", (long long)(duration_ns / units[i].unit_ns),
                    units[i].suffix);
}

static int refuse_value(struct tern_error *error, const char *key, const char *value,
                        const char *allowed) {
    return error_set(error, -EINVAL, "%s=%.100s is not %s", key, value, allowed);
}

int uri_get_i64(const struct uri *uri, const char *key, int64_t *value, struct tern_error *error) {
    const char *text = uri_get(uri, key);
    if (text == NULL) {
        return 0;
    }
    if (parse_i64(text, value) != 0) {
        return refuse_value(error, key, text, "a 64-bit integer");
    }
    return 1;
}

int uri_get_i32(const struct uri *uri, const char *key, int32_t *value, struct tern_error *error) {
    const char *text = uri_get(uri, key);
    int64_t wide;
    if (text == NULL) {
        return 0;
    }
    if (parse_i64(text, &wide) != 0 || wide < INT32_MIN || wide > INT32_MAX) {
        return refuse_value(error, key, text, "a 32-bit integer");
    }
    *value = (int32_t)wide;
    return 1;
}

int uri_get_bool(const struct uri *uri, const char *key, bool *value, struct tern_error *error) {
    const char *text = uri_get(uri, key);
    if (text == NULL) {
        return 0;
    }
    bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0) {
        return refuse_value(error, key, text, "'true' or 'false'");
    }
    *value = is_true;
    return 1;
}

int uri_get_size(const struct uri *uri, const char *key, int64_t *value, struct tern_error *error) {
    const char *text = uri_get(uri, key);
    if (text == NULL) {
        return 0;
    }
    if (parse_size(text, value) != 0) {
        return refuse_value(error, key, text, "a size (digits and an optional k, m or g)");
    }
    return 1;
}

int uri_get_duration_ns(const struct uri *uri, const char *key, int64_t *value,
                        struct tern_error *error) {
    const char *text = uri_get(uri, key);
    if (text == NULL) {
        return 0;
    }
    if (parse_duration_ns(text, value) != 0) {
        return refuse_value(error, key, text,
                            "a duration (digits and an optional s, ms, us or ns)");
    }
    return 1;
}
