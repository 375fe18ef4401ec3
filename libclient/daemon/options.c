/* Loading: the order of the sources and the list of errors.
 *
 * The profile row is read first, from environment or file, because it changes the defaults of
 * other rows; then profile, file and environment are laid over the defaults. The file is read
 * twice for that, which costs nothing at start and keeps one path for values. A value that is
 * refused leaves the row as it was, so that all errors of a file are reported at once.
 */
#include "daemon/options.h"

#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/agent.h"
#include "base/uri.h"
#include "daemon/option_file.h"
#include "daemon/option_value.h"

#define USER_LENGTH_MAX 64
#define SHOWN_VALUE_MAX 200

enum pass { PASS_PROFILE_ONLY, PASS_ALL_BUT_PROFILE };

struct loading {
    struct options *options;
    enum pass pass;
    int profile_index; /* -1: no profiles */
    char user[USER_LENGTH_MAX];
};

static void add_error(struct options *options, const char *format, ...) PRINTF_LIKE(2, 3);

static void add_error(struct options *options, const char *format, ...) {
    options->error_count++;
    size_t room = sizeof options->errors - options->errors_length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(options->errors + options->errors_length, room, format, arguments);
    va_end(arguments);
    if (length + 2 > (int)room) {
        options->errors[options->errors_length] = '\0'; /* full: counted, not shown */
        return;
    }
    options->errors_length += (size_t)length;
    options->errors[options->errors_length++] = '\n';
    options->errors[options->errors_length] = '\0';
}

/* "FILE:LINE: key = " or "VARIABLE=": what stands before the value in a message. */
static void format_where(const struct options *options, int index,
                         const struct option_origin *origin, char *text, size_t size) {
    const char *key = options->table->rows[index].key;
    switch (origin->kind) {
    case ORIGIN_FILE:
        (void)snprintf(text, size, "%s:%d: %s = ", options->path, origin->line, key);
        break;
    case ORIGIN_ENVIRONMENT:
        (void)snprintf(text, size, "%s (option %s) = ", origin->variable, key);
        break;
    case ORIGIN_PROFILE:
        (void)snprintf(text, size, "profile: %s = ", key);
        break;
    case ORIGIN_DEFAULT:
        (void)snprintf(text, size, "%s = ", key);
        break;
    }
}

static void set_row(struct loading *loading, int index, const char *text,
                    const struct option_origin *origin) {
    struct options *options = loading->options;
    struct tern_error error;
    const struct option_row *row = &options->table->rows[index];
    if (option_value_set(row, options->conf, text, loading->user, &error) != 0) {
        char where[512];
        format_where(options, index, origin, where, sizeof where);
        add_error(options, "%s\"%.*s\" %s", where, SHOWN_VALUE_MAX, text, error.text);
        return;
    }
    options->origins[index] = *origin;
}

static bool is_in_pass(const struct loading *loading, int index) {
    return (index == loading->profile_index) == (loading->pass == PASS_PROFILE_ONLY);
}

static void on_file_value(void *context, int index, int line, const char *text) {
    struct loading *loading = context;
    if (is_in_pass(loading, index)) {
        const struct option_origin origin = {.kind = ORIGIN_FILE, .line = line};
        set_row(loading, index, text, &origin);
    }
}

static void on_file_error(void *context, int line, const char *text) {
    struct loading *loading = context;
    struct options *options = loading->options;
    if (loading->pass == PASS_PROFILE_ONLY) {
        return; /* the second reading reports it */
    }
    if (line == 0) {
        add_error(options, "%s: %s", options->path, text);
    } else {
        add_error(options, "%s:%d: %s", options->path, line, text);
    }
}

static const char *environment_value(char *const *environment, const char *name) {
    size_t length = name == NULL ? 0 : strlen(name);
    for (; name != NULL && environment != NULL && *environment != NULL; environment++) {
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') {
            return *environment + length + 1;
        }
    }
    return NULL;
}

static void apply_environment(struct loading *loading, char *const *environment) {
    const struct option_table *table = loading->options->table;
    for (int i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        struct option_origin origin = {.kind = ORIGIN_ENVIRONMENT, .variable = row->env};
        const char *text = environment_value(environment, row->env);
        if (text == NULL) {
            origin.variable = row->env_alias;
            text = environment_value(environment, row->env_alias);
        }
        if (text != NULL && is_in_pass(loading, i)) {
            set_row(loading, i, text, &origin);
        }
    }
}

static void apply_sources(struct loading *loading, enum pass pass, char *const *environment) {
    const struct option_file_visitor visitor = {loading, on_file_value, on_file_error};
    loading->pass = pass;
    if (loading->options->path != NULL) {
        option_file_read(loading->options->table, loading->options->path, &visitor);
    }
    apply_environment(loading, environment);
}

static void apply_profile(struct loading *loading) {
    const struct option_table *table = loading->options->table;
    char name[OPTION_TEXT_MAX];
    option_value_format(&table->rows[loading->profile_index], loading->options->conf, name,
                        sizeof name);
    const struct option_origin origin = {.kind = ORIGIN_PROFILE};
    for (int i = 0; i < table->profile_count; i++) {
        const struct option_profile *profile = &table->profiles[i];
        for (int j = 0; j < profile->count && strcmp(profile->name, name) == 0; j++) {
            int index = option_find(table, profile->overrides[j].key);
            assert(index >= 0);
            set_row(loading, index, profile->overrides[j].text, &origin);
        }
    }
}

/* As the C client does it (shared-memory.md 1.1): $USER, the password database, "default". */
static void find_user(char *user, size_t size, char *const *environment) {
    const char *name = environment_value(environment, "USER");
    if (name == NULL || *name == '\0') {
        const struct passwd *entry = getpwuid(getuid());
        name = entry == NULL ? "default" : entry->pw_name;
    }
    (void)snprintf(user, size, "%s", name);
}

static void check_required(struct options *options) {
    for (int i = 0; i < options->table->count; i++) {
        const struct option_row *row = &options->table->rows[i];
        const char *member = (const char *)options->conf + row->offset;
        if ((row->flags & OPTION_REQUIRED) == 0 || *member != '\0') {
            continue;
        }
        if (options->origins[i].kind != ORIGIN_DEFAULT) {
            options_refuse(options, row->key, "must not be empty");
            continue;
        }
        add_error(options, "%s: %s is required: set it in the file%s%s",
                  options->path == NULL ? options->table->daemon : options->path, row->key,
                  row->env == NULL ? "" : " or by ", row->env == NULL ? "" : row->env);
    }
}

int options_load(struct options *options, const struct option_table *table, void *conf,
                 const char *path, char *const *environment) {
    assert(table->count <= OPTION_COUNT_MAX);
    *options = (struct options){.table = table, .conf = conf, .path = path};
    struct loading loading = {.options = options, .profile_index = -1};
    find_user(loading.user, sizeof loading.user, environment);
    memset(conf, 0, table->conf_size);
    for (int i = 0; i < table->count; i++) {
        struct tern_error error;
        const struct option_row *row = &table->rows[i];
        const char *text = row->default_text == NULL ? "" : row->default_text;
        int result = option_value_set(row, conf, text, loading.user, &error);
        assert(result == 0); /* option_table_check is part of every table's unit test */
        (void)result;
    }
    if (table->profile_key != NULL) {
        loading.profile_index = option_find(table, table->profile_key);
        apply_sources(&loading, PASS_PROFILE_ONLY, environment);
        apply_profile(&loading);
    }
    apply_sources(&loading, PASS_ALL_BUT_PROFILE, environment);
    check_required(options);
    if (options->error_count == 0 && table->check != NULL) {
        table->check(conf, options);
    }
    return options->error_count;
}

void options_refuse(struct options *options, const char *key, const char *format, ...) {
    char text[512];
    char where[512];
    char value[OPTION_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    int index = option_find(options->table, key);
    assert(index >= 0);
    format_where(options, index, &options->origins[index], where, sizeof where);
    option_value_format(&options->table->rows[index], options->conf, value, sizeof value);
    add_error(options, "%s\"%.*s\" %s", where, SHOWN_VALUE_MAX, value, text);
}

void options_check_channel(struct options *options, const char *key, const char *channel) {
    struct uri uri;
    struct tern_error error;
    if (channel[0] != '\0' && uri_parse(&uri, channel, (int32_t)strlen(channel), &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

void options_check_idle(struct options *options, const char *key, const char *name,
                        const char *arguments) {
    struct idle_strategy idle;
    struct tern_error error;
    if (idle_strategy_parse(&idle, name, arguments, &error) != 0) {
        options_refuse(options, key, "%s", error.text);
    }
}

bool option_list_next(const char **cursor, char *item, size_t item_size) {
    const char *start = *cursor;
    while (*start == ',' || *start == ' ') {
        start++;
    }
    size_t length = strcspn(start, ",");
    *cursor = start + length;
    while (length > 0 && start[length - 1] == ' ') {
        length--;
    }
    if (length == 0) {
        return false;
    }
    (void)snprintf(item, item_size, "%.*s", (int)length, start);
    return true;
}

int32_t option_parse_version(const char *text) {
    unsigned parts[3];
    char extra;
    if (sscanf(text, "%3u.%3u.%3u%c", &parts[0], &parts[1], &parts[2], &extra) != 3) {
        return -1;
    }
    if (parts[0] > 255 || parts[1] > 255 || parts[2] > 255) {
        return -1;
    }
    return (int32_t)(parts[0] << 16 | parts[1] << 8 | parts[2]);
}
