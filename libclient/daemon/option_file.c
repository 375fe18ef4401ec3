/* The .conf file: libconfig's tree walked against the option table.
 *
 * The file is read into memory and scanned first, because libconfig 1.5 silently reads an integer
 * above 31 bits modulo 2^32: such a literal is refused with its line. @include is refused, too:
 * one daemon has one file. Values are turned into the text that the environment would hold, so
 * that there is one grammar of values (option_value.c).
 */
#include "daemon/option_file.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <libconfig.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LENGTH_MAX (1024 * 1024)
#define KEY_LENGTH_MAX 128

struct walk {
    const struct option_table *table;
    const struct option_file_visitor *visitor;
};

int option_find(const struct option_table *table, const char *key) {
    for (int i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].key, key) == 0) {
            return i;
        }
    }
    return -1;
}

static int min3(int a, int b, int c) {
    int least = a < b ? a : b;
    return least < c ? least : c;
}

/* Optimal string alignment: insertion, deletion, substitution, swap of neighbours cost 1 each. */
static int edit_distance(const char *a, const char *b) {
    int rows[3][KEY_LENGTH_MAX + 1];
    int *before = rows[0];
    int *previous = rows[1];
    int *current = rows[2];
    int a_length = (int)strnlen(a, KEY_LENGTH_MAX);
    int b_length = (int)strnlen(b, KEY_LENGTH_MAX);
    for (int j = 0; j <= b_length; j++) {
        before[j] = 0;
        previous[j] = j;
    }
    for (int i = 1; i <= a_length; i++) {
        current[0] = i;
        for (int j = 1; j <= b_length; j++) {
            int cost = a[i - 1] == b[j - 1] ? 0 : 1;
            current[j] = min3(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + cost);
            bool is_swap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (is_swap && before[j - 2] + 1 < current[j]) {
                current[j] = before[j - 2] + 1;
            }
        }
        int *spare = before;
        before = previous;
        previous = current;
        current = spare;
    }
    return previous[b_length];
}

const char *option_nearest_key(const struct option_table *table, const char *key) {
    assert(table->count > 0);
    const char *nearest = table->rows[0].key;
    int least = edit_distance(key, nearest);
    for (int i = 1; i < table->count; i++) {
        int distance = edit_distance(key, table->rows[i].key);
        if (distance < least) {
            least = distance;
            nearest = table->rows[i].key;
        }
    }
    return nearest;
}

static void report(const struct walk *walk, int line, const char *format, ...) PRINTF_LIKE(3, 4);

static void report(const struct walk *walk, int line, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    walk->visitor->on_error(walk->visitor->context, line, text);
}

/* A scalar as text. False: not a scalar. */
static bool scalar_text(const config_setting_t *setting, char *text, size_t size) {
    switch (config_setting_type(setting)) {
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        (void)snprintf(text, size, "%lld", config_setting_get_int64(setting));
        return true;
    case CONFIG_TYPE_BOOL:
        (void)snprintf(text, size, "%s", config_setting_get_bool(setting) ? "true" : "false");
        return true;
    case CONFIG_TYPE_FLOAT:
        (void)snprintf(text, size, "%g", config_setting_get_float(setting));
        return true;
    case CONFIG_TYPE_STRING:
        return (size_t)snprintf(text, size, "%s", config_setting_get_string(setting)) < size;
    default:
        return false;
    }
}

/* ("a", "b") or ["a", "b"] as "a,b". */
static bool list_text(const config_setting_t *setting, char *text, size_t size) {
    size_t used = 0;
    *text = '\0';
    for (int i = 0; i < config_setting_length(setting); i++) {
        char item[OPTION_TEXT_MAX];
        const config_setting_t *element = config_setting_get_elem(setting, (unsigned)i);
        if (!scalar_text(element, item, sizeof item) || strchr(item, ',') != NULL) {
            return false;
        }
        int added = snprintf(text + used, size - used, "%s%s", i == 0 ? "" : ",", item);
        used += (size_t)added;
        if (used >= size) {
            return false;
        }
    }
    return true;
}

static void visit_value(const struct walk *walk, const config_setting_t *setting, const char *key) {
    char text[OPTION_TEXT_MAX];
    int line = (int)config_setting_source_line(setting);
    int index = option_find(walk->table, key);
    if (index < 0) {
        report(walk, line, "unknown key \"%s\"; the nearest is \"%s\"", key,
               option_nearest_key(walk->table, key));
        return;
    }
    bool is_list = walk->table->rows[index].type == OPTION_LIST &&
                   (config_setting_is_list(setting) || config_setting_is_array(setting));
    if (is_list ? !list_text(setting, text, sizeof text)
                : !scalar_text(setting, text, sizeof text)) {
        report(walk, line, "%s: is not a %s of at most %d bytes", key,
               walk->table->rows[index].type == OPTION_LIST ? "list" : "value",
               OPTION_TEXT_MAX - 1);
        return;
    }
    walk->visitor->on_value(walk->visitor->context, index, line, text);
}

/* Recursion depth is bounded by the key length. */
static void visit_group(const struct walk *walk, const config_setting_t *group,
                        const char *prefix) {
    for (int i = 0; i < config_setting_length(group); i++) {
        const config_setting_t *setting = config_setting_get_elem(group, (unsigned)i);
        char key[KEY_LENGTH_MAX];
        int length = snprintf(key, sizeof key, "%s%s%s", prefix, *prefix == '\0' ? "" : ".",
                              config_setting_name(setting));
        if (length >= (int)sizeof key) {
            report(walk, (int)config_setting_source_line(setting), "key too long: %.60s...", key);
        } else if (config_setting_is_group(setting) && option_find(walk->table, key) < 0) {
            visit_group(walk, setting, key);
        } else {
            visit_value(walk, setting, key);
        }
    }
}

/* The end of the comment or string that starts at `cursor`, or `cursor` itself. */
static const char *skip_opaque(const char *cursor) {
    if (*cursor == '#' || (cursor[0] == '/' && cursor[1] == '/')) {
        return cursor + strcspn(cursor, "\n");
    }
    if (cursor[0] == '/' && cursor[1] == '*') {
        const char *end = strstr(cursor + 2, "*/");
        return end == NULL ? cursor + strlen(cursor) : end + 2;
    }
    if (*cursor == '"') {
        cursor++;
        while (*cursor != '\0' && *cursor != '"') {
            cursor += cursor[0] == '\\' && cursor[1] != '\0' ? 2 : 1;
        }
        return *cursor == '"' ? cursor + 1 : cursor;
    }
    return cursor;
}

/* Check the word (name or number) of `length` bytes: an integer must not need more than 32 bits
 * unless it says so with an L. */
static void check_word(const struct walk *walk, int line, const char *word, size_t length) {
    char *end;
    errno = 0;
    bool is_integer = isdigit((unsigned char)*word) != 0;
    long long value = is_integer ? strtoll(word, &end, 0) : 0;
    is_integer = is_integer && end == word + length;
    if (is_integer && (errno == ERANGE || value > INT32_MAX)) {
        report(walk, line, "the integer %.*s needs a suffix: write %.*sL, or \"4g\", \"5s\"",
               (int)length, word, (int)length, word);
    }
}

/* True when the text can be given to libconfig. */
static bool scan(const struct walk *walk, const char *text) {
    int line = 1;
    while (*text != '\0') {
        const char *end = skip_opaque(text);
        if (end == text && (isalnum((unsigned char)*text) || *text == '_' || *text == '.')) {
            while (isalnum((unsigned char)*end) || (*end != '\0' && strchr("_.-*", *end))) {
                end++;
            }
            check_word(walk, line, text, (size_t)(end - text));
        } else if (*text == '@') {
            report(walk, line, "@include is not supported: one daemon has one file");
            return false;
        } else if (end == text) {
            end++;
        }
        for (; text < end; text++) {
            line += *text == '\n' ? 1 : 0;
        }
    }
    return true;
}

/* The whole file as a string to be freed, or NULL after a report. */
static char *read_text(const struct walk *walk, const char *path) {
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        report(walk, 0, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    char *text = malloc(FILE_LENGTH_MAX + 1);
    size_t length = text == NULL ? 0 : fread(text, 1, FILE_LENGTH_MAX + 1, file);
    bool is_bad = text == NULL || ferror(file) != 0;
    if (is_bad) {
        report(walk, 0, "cannot be read: %s", strerror(errno));
    } else if (length > FILE_LENGTH_MAX || memchr(text, '\0', length) != NULL) {
        report(walk, 0, "is not a text of at most %d bytes", FILE_LENGTH_MAX);
        is_bad = true;
    }
    (void)fclose(file);
    if (is_bad) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

void option_file_read(const struct option_table *table, const char *path,
                      const struct option_file_visitor *visitor) {
    const struct walk walk = {table, visitor};
    char *text = read_text(&walk, path);
    if (text == NULL) {
        return;
    }
    config_t config;
    config_init(&config);
    if (scan(&walk, text)) {
        if (config_read_string(&config, text) == CONFIG_TRUE) {
            visit_group(&walk, config_root_setting(&config), "");
        } else {
            const char *reason = config_error_text(&config);
            report(&walk, config_error_line(&config), "%s", reason == NULL ? "syntax" : reason);
        }
    }
    config_destroy(&config);
    free(text);
}
