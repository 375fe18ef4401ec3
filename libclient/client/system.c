/* Version, clocks, and properties for the environment.
 *
 * Properties are read twice: a first walk finds what is wrong, the second sets, so that a bad file
 * changes nothing.
 */
#include <tern/system.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"

#define LINE_LENGTH_MAX 4096

struct property {
    char name[LINE_LENGTH_MAX + 1];
    char value[LINE_LENGTH_MAX + 1];
};

struct tern_version tern_version(void) {
    struct tern_version version = {0};
    (void)sscanf(TERN_VERSION, "%d.%d.%d", &version.major, &version.minor, &version.patch);
    return version;
}

const char *tern_version_text(void) {
    return TERN_VERSION;
}

int64_t tern_clock_nano_ns(void) {
    return clock_now_ns(clock_system());
}

int64_t tern_clock_epoch_ms(void) {
    return clock_epoch_ms(clock_system());
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without blanks at both ends. */
static void copy_trimmed(char *to, const char *from, size_t length) {
    while (length > 0 && is_blank(from[0])) {
        from++;
        length--;
    }
    while (length > 0 && is_blank(from[length - 1])) {
        length--;
    }
    memcpy(to, from, length);
    to[length] = '\0';
}

/* Lower case and dots as an environment variable has them; false: no name of one. */
static bool name_to_environment(char *name) {
    for (char *c = name; *c != '\0'; c++) {
        bool is_lower = *c >= 'a' && *c <= 'z';
        bool is_other = (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || *c == '_';
        if (is_lower) {
            *c = (char)(*c - 'a' + 'A');
        } else if (*c == '.') {
            *c = '_';
        } else if (!is_other) {
            return false;
        }
    }
    return name[0] != '\0';
}

/* 1: a property, 0: nothing to set, -EINVAL. */
static int parse_line(const char *line, size_t length, struct property *property) {
    if (length > LINE_LENGTH_MAX || memchr(line, '\0', length) != NULL) {
        return -EINVAL;
    }
    copy_trimmed(property->name, line, length);
    if (property->name[0] == '\0' || property->name[0] == '#' || property->name[0] == '!') {
        return 0;
    }
    const char *separator = memchr(line, '=', length);
    if (separator == NULL) {
        return -EINVAL;
    }
    size_t name_length = (size_t)(separator - line);
    copy_trimmed(property->name, line, name_length);
    copy_trimmed(property->value, separator + 1, length - name_length - 1);
    return name_to_environment(property->name) ? 1 : -EINVAL;
}

/* Returns how many properties there are. */
static int walk(const char *text, size_t length, bool is_setting, struct tern_error *error) {
    struct property property;
    int count = 0;
    int line_number = 0;
    while (length > 0) {
        const char *end = memchr(text, '\n', length);
        size_t line_length = end == NULL ? length : (size_t)(end - text);
        line_number++;
        int result = parse_line(text, line_length, &property);
        if (result < 0) {
            return error_set(error, result, "line %d of the properties is not name=value: %.*s",
                             line_number, (int)(line_length < 60 ? line_length : 60), text);
        }
        if (result == 1 && is_setting && setenv(property.name, property.value, 1) != 0) {
            return error_set(error, -errno, "cannot set %s: %s", property.name, strerror(errno));
        }
        count += result;
        size_t consumed = end == NULL ? length : line_length + 1;
        text += consumed;
        length -= consumed;
    }
    return count;
}

int tern_properties_load(const char *text, int32_t length, struct tern_error *error) {
    if (length < 0 || length > TERN_PROPERTIES_LENGTH_MAX) {
        return error_set(error, -EINVAL, "properties of %d bytes; allowed are 0 to %d", length,
                         TERN_PROPERTIES_LENGTH_MAX);
    }
    int result = walk(text, (size_t)length, false, error);
    return result < 0 ? result : walk(text, (size_t)length, true, error);
}

/* Returns the bytes read, one more than allowed when there are more, or -errno. */
static ssize_t read_all(int descriptor, char *text) {
    ssize_t length = 0;
    while (length <= TERN_PROPERTIES_LENGTH_MAX) {
        ssize_t bytes =
            read(descriptor, text + length, (size_t)(TERN_PROPERTIES_LENGTH_MAX + 1 - length));
        if (bytes < 0 && errno == EINTR) {
            continue;
        }
        if (bytes <= 0) {
            return bytes < 0 ? -errno : length;
        }
        length += bytes;
    }
    return length;
}

int tern_properties_load_file(const char *path, struct tern_error *error) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) {
        return error_set(error, -errno, "cannot open %s: %s", path, strerror(errno));
    }
    int result = -ENOMEM;
    char *text = malloc(TERN_PROPERTIES_LENGTH_MAX + 1);
    if (text != NULL) {
        ssize_t length = read_all(descriptor, text);
        result = length < 0 ? error_set(error, (int)length, "cannot read %s: %s", path,
                                        strerror((int)-length))
                            : tern_properties_load(text, (int32_t)length, error);
    }
    free(text);
    (void)close(descriptor);
    return result;
}
