/* Checks of an option table itself, for the unit test of each daemon: what the loader relies on. */
#include <errno.h>
#include <string.h>

#include "daemon/option_file.h"
#include "daemon/option_value.h"

static bool has_right_size(const struct option_row *row) {
    bool is_narrow = row->size == sizeof(int32_t);
    switch (row->type) {
    case OPTION_BOOL:
        return row->size == sizeof(bool);
    case OPTION_I32:
    case OPTION_ENUM:
        return is_narrow;
    case OPTION_I64:
    case OPTION_DURATION:
        return row->size == sizeof(int64_t);
    case OPTION_SIZE:
        return is_narrow || row->size == sizeof(int64_t);
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_LIST:
        return row->size > 1 && row->size <= OPTION_TEXT_MAX;
    case OPTION_NOT_YET:
    case OPTION_REFUSED:
        return row->size == 0;
    }
    return false;
}

static bool has_right_bounds(const struct option_row *row) {
    if (!option_is_number(row)) {
        return row->min == 0 && row->max == 0;
    }
    bool fits = row->size > sizeof(int32_t) || (row->min >= INT32_MIN && row->max <= INT32_MAX);
    return row->min < row->max && fits;
}

/* A group left and entered again would be written twice, which libconfig refuses to read. */
static bool is_group_torn(const struct option_table *table, int index) {
    const char *key = table->rows[index].key;
    for (const char *dot = strchr(key, '.'); dot != NULL; dot = strchr(dot + 1, '.')) {
        size_t length = (size_t)(dot - key) + 1;
        bool is_left = false;
        for (int i = index - 1; i >= 0; i--) {
            bool is_member = strncmp(table->rows[i].key, key, length) == 0;
            if (is_member && is_left) {
                return true;
            }
            is_left = is_left || !is_member;
        }
    }
    return false;
}

static const char *row_mistake(const struct option_table *table, int index) {
    const struct option_row *row = &table->rows[index];
    if (row->doc == NULL || *row->doc == '\0' || row->doc[strlen(row->doc) - 1] != '.') {
        return "the doc is not a sentence";
    }
    if (option_find(table, row->key) != index) {
        return "the key is there twice";
    }
    if (is_group_torn(table, index)) {
        return "the rows of its group do not stand together";
    }
    if (!has_right_size(row)) {
        return "the member's size does not fit the type";
    }
    if (!option_is_refused(row) && row->offset + row->size > table->conf_size) {
        return "the member lies outside of the conf struct";
    }
    if (!has_right_bounds(row)) {
        return "min and max do not fit the type";
    }
    if ((row->type == OPTION_ENUM) != (row->names != NULL)) {
        return "names belong to an enum and only to it";
    }
    return NULL;
}

static const char *env_mistake(const struct option_table *table, int index) {
    for (int i = 0; i < index; i++) {
        const char *env = table->rows[index].env;
        if (env != NULL && table->rows[i].env != NULL && strcmp(env, table->rows[i].env) == 0) {
            return "the environment name is there twice";
        }
    }
    return NULL;
}

static int check_text(const struct option_table *table, const char *key, const char *text,
                      struct tern_error *error) {
    char scratch[OPTION_TEXT_MAX];
    int index = option_find(table, key);
    if (index < 0) {
        return error_set(error, -EINVAL, "%s: no such row", key);
    }
    struct option_row row = table->rows[index];
    row.offset = 0;
    int result = option_value_set(&row, scratch, text == NULL ? "" : text, "user", error);
    if (result != 0) {
        (void)error_prefix(error, "%s: \"%s\"", key, text == NULL ? "" : text);
    }
    return result;
}

int option_table_check(const struct option_table *table, struct tern_error *error) {
    if (table->count > OPTION_COUNT_MAX) {
        return error_set(error, -EINVAL, "more than %d rows", OPTION_COUNT_MAX);
    }
    for (int i = 0; i < table->count; i++) {
        const struct option_row *row = &table->rows[i];
        const char *mistake = row_mistake(table, i);
        mistake = mistake == NULL ? env_mistake(table, i) : mistake;
        if (mistake != NULL) {
            return error_set(error, -EINVAL, "%s: %s", row->key, mistake);
        }
        if (check_text(table, row->key, row->default_text, error) != 0) {
            return -EINVAL;
        }
    }
    int profile = table->profile_key == NULL ? -1 : option_find(table, table->profile_key);
    if (table->profile_key != NULL && (profile < 0 || table->rows[profile].type != OPTION_ENUM)) {
        return error_set(error, -EINVAL, "%s: is not an enum row", table->profile_key);
    }
    for (int i = 0; i < table->profile_count; i++) {
        if (check_text(table, table->profile_key, table->profiles[i].name, error) != 0) {
            return -EINVAL;
        }
        for (int j = 0; j < table->profiles[i].count; j++) {
            const struct option_override *override = &table->profiles[i].overrides[j];
            if (check_text(table, override->key, override->text, error) != 0) {
                return -EINVAL;
            }
        }
    }
    return 0;
}
