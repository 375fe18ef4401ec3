/* Texts and members of option rows.
 *
 * All sources of values (default text, profile, file, environment) come through
 * option_value_set, so that one grammar and one set of bounds holds for all of them. Numbers go
 * through int64_t and are narrowed on storing; option_table_check has made sure that the bounds fit
 * the member.
 */
#include "daemon/option_value.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/uri.h"

bool option_is_number(const struct option_row *row) {
    return row->type == OPTION_I32 || row->type == OPTION_I64 || row->type == OPTION_SIZE ||
           row->type == OPTION_DURATION;
}

static bool is_text(const struct option_row *row) {
    return row->type == OPTION_STRING || row->type == OPTION_PATH || row->type == OPTION_LIST;
}

static void format_size(int64_t bytes, char *text, size_t size) {
    static const char letters[] = "gmk";
    int shift = 30;
    const char *letter = letters;
    while (shift > 0 && bytes % (INT64_C(1) << shift) != 0) {
        shift -= 10;
        letter++;
    }
    (void)snprintf(text, size, "%" PRId64 "%.1s", bytes >> shift, letter);
}

static void format_number(const struct option_row *row, int64_t value, char *text, size_t size) {
    if (value <= 0 || value == INT64_MAX) {
        (void)snprintf(text, size, "%" PRId64, value); /* no unit would make it more readable */
    } else if (row->type == OPTION_SIZE) {
        format_size(value, text, size);
    } else if (row->type == OPTION_DURATION) {
        (void)duration_format(value, text, size);
    } else {
        (void)snprintf(text, size, "%" PRId64, value);
    }
}

/* The member of a number, a bool or an enum. */
static int64_t load_member(const struct option_row *row, const void *conf) {
    const char *member = (const char *)conf + row->offset;
    int32_t narrow;
    int64_t wide;
    if (row->type == OPTION_BOOL) {
        bool value;
        memcpy(&value, member, sizeof value);
        return value;
    }
    if (row->size == sizeof narrow) {
        memcpy(&narrow, member, sizeof narrow);
        return narrow;
    }
    memcpy(&wide, member, sizeof wide);
    return wide;
}

static void store_member(const struct option_row *row, void *conf, int64_t value) {
    char *member = (char *)conf + row->offset;
    if (row->type == OPTION_BOOL) {
        bool flag = value != 0;
        memcpy(member, &flag, sizeof flag);
    } else if (row->size == sizeof(int32_t)) {
        int32_t narrow = (int32_t)value;
        memcpy(member, &narrow, sizeof narrow);
    } else {
        memcpy(member, &value, sizeof value);
    }
}

static void append(char *text, size_t size, const char *piece) {
    size_t used = strlen(text);
    (void)snprintf(text + used, size - used, "%s", piece);
}

static void format_number_range(const struct option_row *row, char *text, size_t size) {
    char low[32];
    char high[32];
    format_number(row, row->min, low, sizeof low);
    format_number(row, row->max, high, sizeof high);
    if (row->max == INT64_MAX) {
        (void)snprintf(text, size, "%s or more", low);
    } else {
        (void)snprintf(text, size, "%s..%s", low, high);
    }
    if ((row->flags & OPTION_POWER_OF_TWO) != 0) {
        append(text, size, ", a power of two");
    }
    if ((row->flags & OPTION_MULTIPLE_OF_32) != 0) {
        append(text, size, ", a multiple of 32");
    }
}

void option_range_format(const struct option_row *row, char *text, size_t size) {
    *text = '\0';
    if (option_is_number(row)) {
        format_number_range(row, text, size);
    } else if (row->type == OPTION_BOOL) {
        append(text, size, "true or false");
    } else if (row->type == OPTION_ENUM) {
        for (int i = 0; row->names[i] != NULL; i++) {
            append(text, size, i == 0 ? "" : ", ");
            append(text, size, row->names[i]);
        }
    } else if (is_text(row)) {
        const char *kind = row->type == OPTION_LIST ? "items separated by commas, " : "";
        (void)snprintf(text, size, "%s%sat most %zu bytes", kind,
                       (row->flags & OPTION_REQUIRED) != 0 ? "not empty, " : "", row->size - 1);
    }
}

static int refuse(const struct option_row *row, const char *what, struct tern_error *error) {
    char range[OPTION_RANGE_TEXT_MAX];
    option_range_format(row, range, sizeof range);
    return error_set(error, -EINVAL, "%s; allowed: %s", what, range);
}

static int parse_duration(const struct option_row *row, const char *text, int64_t *value) {
    int64_t bare;
    if (parse_i64(text, &bare) != 0) {
        return parse_duration_ns(text, value);
    }
    int64_t factor = row->unit == OPTION_UNIT_MS ? NS_PER_MS : 1;
    if (bare > INT64_MAX / factor || bare < INT64_MIN / factor) {
        return -ERANGE;
    }
    *value = bare * factor;
    return 0;
}

static int set_number(const struct option_row *row, void *conf, const char *text,
                      struct tern_error *error) {
    int64_t value;
    int result;
    const char *malformed = "is not an integer";
    if (row->type == OPTION_DURATION) {
        malformed = "is not a duration (5s, 200ms, 1us, 9ns)";
        result = parse_duration(row, text, &value);
    } else {
        result = parse_i64(text, &value);
        if (result != 0 && row->type == OPTION_SIZE) {
            malformed = "is not a size (65536, 64k, 16m, 1g)";
            result = parse_size(text, &value);
        }
    }
    if (result != 0) {
        return refuse(row, malformed, error);
    }
    if (value < row->min || value > row->max) {
        return refuse(row, "is out of range", error);
    }
    if ((row->flags & OPTION_POWER_OF_TWO) != 0 && (value & (value - 1)) != 0) {
        return refuse(row, "is not a power of two", error);
    }
    if ((row->flags & OPTION_MULTIPLE_OF_32) != 0 && value % 32 != 0) {
        return refuse(row, "is not a multiple of 32", error);
    }
    store_member(row, conf, value);
    return 0;
}

static int set_bool(const struct option_row *row, void *conf, const char *text,
                    struct tern_error *error) {
    static const char *const words[][2] = {
        {"false", "true"}, {"off", "on"}, {"no", "yes"}, {"0", "1"}};
    for (size_t i = 0; i < ARRAY_COUNT(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                store_member(row, conf, value);
                return 0;
            }
        }
    }
    return refuse(row, "is not a truth value", error);
}

static int set_enum(const struct option_row *row, void *conf, const char *text,
                    struct tern_error *error) {
    for (int i = 0; row->names[i] != NULL; i++) {
        if (strcasecmp(text, row->names[i]) == 0) {
            store_member(row, conf, i);
            return 0;
        }
    }
    return refuse(row, "is unknown", error);
}

/* Copy `text` with every {user} replaced. False: does not fit. */
static bool expand_user(const char *text, const char *user, char *out, size_t size) {
    static const char placeholder[] = "{user}";
    size_t used = 0;
    while (*text != '\0') {
        bool is_user = strncmp(text, placeholder, sizeof placeholder - 1) == 0;
        const char *piece = is_user ? user : text;
        size_t length = is_user ? strlen(user) : 1;
        if (used + length >= size) {
            return false;
        }
        memcpy(out + used, piece, length);
        used += length;
        text += is_user ? sizeof placeholder - 1 : 1;
    }
    out[used] = '\0';
    return true;
}

static int set_text(const struct option_row *row, void *conf, const char *text, const char *user,
                    struct tern_error *error) {
    char value[OPTION_TEXT_MAX];
    assert(row->size <= sizeof value);
    if (!expand_user(text, row->type == OPTION_PATH ? user : "{user}", value, row->size)) {
        return refuse(row, "is too long", error);
    }
    char *member = (char *)conf + row->offset;
    memset(member, 0, row->size); /* equal values are equal bytes */
    memcpy(member, value, strlen(value));
    return 0;
}

int option_value_set(const struct option_row *row, void *conf, const char *text, const char *user,
                     struct tern_error *error) {
    switch (row->type) {
    case OPTION_BOOL:
        return set_bool(row, conf, text, error);
    case OPTION_I32:
    case OPTION_I64:
    case OPTION_SIZE:
    case OPTION_DURATION:
        return set_number(row, conf, text, error);
    case OPTION_STRING:
    case OPTION_PATH:
    case OPTION_LIST:
        return set_text(row, conf, text, user, error);
    case OPTION_ENUM:
        return set_enum(row, conf, text, error);
    case OPTION_NOT_YET:
    case OPTION_REFUSED:
        break;
    }
    if (strcasecmp(text, row->default_text == NULL ? "" : row->default_text) == 0) {
        return 0;
    }
    const char *default_text = row->default_text == NULL ? "" : row->default_text;
    return row->type == OPTION_REFUSED
               ? error_set(error, -EINVAL, "is refused: %s Leave it at \"%s\".", row->doc,
                           default_text)
               : error_set(error, -EINVAL, "is not supported yet; leave it at \"%s\"",
                           default_text);
}

void option_value_format(const struct option_row *row, const void *conf, char *text, size_t size) {
    if (is_text(row)) {
        (void)snprintf(text, size, "%s", (const char *)conf + row->offset);
    } else if (option_is_refused(row)) {
        (void)snprintf(text, size, "%s", row->default_text == NULL ? "" : row->default_text);
    } else if (row->type == OPTION_BOOL) {
        (void)snprintf(text, size, "%s", load_member(row, conf) != 0 ? "true" : "false");
    } else if (row->type == OPTION_ENUM) {
        (void)snprintf(text, size, "%s", row->names[load_member(row, conf)]);
    } else {
        format_number(row, load_member(row, conf), text, size);
    }
}

bool option_value_is_quoted(const struct option_row *row, const char *text) {
    if (row->type == OPTION_BOOL) {
        return false;
    }
    int64_t value;
    /* libconfig 1.5 reads a bare integer above 31 bits modulo 2^32. */
    bool is_plain = parse_i64(text, &value) == 0 && value >= INT32_MIN && value <= INT32_MAX;
    return !(option_is_number(row) && is_plain);
}
