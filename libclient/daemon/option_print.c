/* Documents made from an option table: the effective values, the sample .conf, the man page.
 *
 * Rows of one libconfig group stand together in the table (option_table_check), so groups are
 * opened and closed by comparing the path of a row with that of the row before it.
 */
#include <errno.h>
#include <string.h>

#include "daemon/option_file.h"
#include "daemon/option_value.h"

#define DEPTH_MAX 4
#define COMMENT_COLUMN_MAX 96

/* The groups that are open; `path` is the dotted prefix without the last word of the key. */
struct groups {
    FILE *out;
    int depth;
    char path[128];
};

static size_t group_length(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot == NULL ? 0 : (size_t)(dot - key);
}

static const char *last_word(const char *key) {
    const char *dot = strrchr(key, '.');
    return dot == NULL ? key : dot + 1;
}

static void indent(FILE *out, int depth) {
    fprintf(out, "%*s", 4 * depth, "");
}

static void close_groups(struct groups *groups, int depth) {
    while (groups->depth > depth) {
        groups->depth--;
        indent(groups->out, groups->depth);
        fputs("};\n", groups->out);
    }
}

/* Length of the common prefix of whole words, and in *depth how many words it has. */
static size_t common_prefix(const char *a, const char *b, size_t b_length, int *depth) {
    size_t common = 0;
    *depth = 0;
    for (size_t i = 0;; i++) {
        bool is_end_a = a[i] == '\0' || a[i] == '.';
        bool is_end_b = i >= b_length || b[i] == '.';
        if (is_end_a && is_end_b && i > 0) {
            common = i;
            (*depth)++;
        }
        if (a[i] == '\0' || i >= b_length || a[i] != b[i]) {
            return common;
        }
    }
}

/* Close and open groups so that the row `key` can be written. */
static void enter_group(struct groups *groups, const char *key) {
    int depth;
    size_t length = group_length(key);
    size_t cursor = common_prefix(groups->path, key, length, &depth);
    close_groups(groups, depth);
    while (cursor < length) {
        cursor += key[cursor] == '.' ? 1 : 0;
        size_t word = strcspn(key + cursor, ".");
        indent(groups->out, groups->depth++);
        fprintf(groups->out, "%.*s: {\n", (int)word, key + cursor);
        cursor += word;
    }
    (void)snprintf(groups->path, sizeof groups->path, "%.*s", (int)length, key);
}

static void print_quoted(FILE *out, const char *text) {
    fputc('"', out);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\') {
            fputc('\\', out);
        }
        fputc(*text, out);
    }
    fputc('"', out);
}

static void print_value(FILE *out, const struct option_row *row, const char *text) {
    if (option_value_is_quoted(row, text)) {
        print_quoted(out, text);
    } else {
        fputs(text, out);
    }
}

static void print_origin(const struct options *options, int index, FILE *out) {
    const struct option_origin *origin = &options->origins[index];
    switch (origin->kind) {
    case ORIGIN_DEFAULT:
        fputs("default", out);
        break;
    case ORIGIN_PROFILE:
        fputs("profile", out);
        break;
    case ORIGIN_FILE:
        fprintf(out, "file %s:%d", options->path, origin->line);
        break;
    case ORIGIN_ENVIRONMENT:
        fprintf(out, "environment %s", origin->variable);
        break;
    }
}

void options_print(const struct options *options, FILE *out) {
    struct groups groups = {.out = out};
    fprintf(out, "# effective configuration of %s\n", options->table->daemon);
    for (int i = 0; i < options->table->count; i++) {
        const struct option_row *row = &options->table->rows[i];
        if (option_is_refused(row)) {
            continue;
        }
        char text[OPTION_TEXT_MAX];
        option_value_format(row, options->conf, text, sizeof text);
        enter_group(&groups, row->key);
        indent(out, groups.depth);
        fprintf(out, "%s = ", last_word(row->key));
        print_value(out, row, text);
        fputs("; # ", out);
        print_origin(options, i, out);
        fputc('\n', out);
    }
    close_groups(&groups, 0);
}

/* Words of `text` in comment lines that end before column COMMENT_COLUMN_MAX. */
static void print_comment(FILE *out, int depth, const char *text) {
    int column = 0;
    while (*text != '\0') {
        size_t word = strcspn(text, " ");
        if (column != 0 && column + (int)word + 1 > COMMENT_COLUMN_MAX) {
            fputc('\n', out);
            column = 0;
        }
        if (column == 0) {
            indent(out, depth);
            fputc('#', out);
            column = 4 * depth + 1;
        }
        fprintf(out, " %.*s", (int)word, text);
        column += (int)word + 1;
        text += word;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

/* The default text of a row under the profile that is the default. */
static const char *default_of(const struct option_table *table, const struct option_row *row) {
    int profile_row = table->profile_key == NULL ? -1 : option_find(table, table->profile_key);
    for (int i = 0; i < table->profile_count && profile_row >= 0; i++) {
        const struct option_profile *profile = &table->profiles[i];
        bool is_default = strcmp(profile->name, table->rows[profile_row].default_text) == 0;
        for (int j = 0; j < profile->count && is_default; j++) {
            if (strcmp(profile->overrides[j].key, row->key) == 0) {
                return profile->overrides[j].text;
            }
        }
    }
    return row->default_text == NULL ? "" : row->default_text;
}

static void print_sample_row(struct groups *groups, const struct option_table *table,
                             const struct option_row *row) {
    const char *default_text = default_of(table, row);
    char range[OPTION_RANGE_TEXT_MAX];
    char comment[2048];
    option_range_format(row, range, sizeof range);
    enter_group(groups, row->key);
    (void)snprintf(comment, sizeof comment, "%s Allowed: %s.%s%s%s%s", row->doc, range,
                   row->unit == OPTION_UNIT_MS ? " A bare number is in ms." : "",
                   row->env == NULL ? "" : " [", row->env == NULL ? "" : row->env,
                   row->env == NULL ? "" : "]");
    fputc('\n', groups->out);
    print_comment(groups->out, groups->depth, comment);
    indent(groups->out, groups->depth);
    bool is_set_by_hand = (row->flags & OPTION_REQUIRED) != 0 && *default_text == '\0';
    fprintf(groups->out, "#%s = ", last_word(row->key));
    print_value(groups->out, row, default_text);
    fputs(is_set_by_hand ? "; # required\n" : ";\n", groups->out);
}

void options_print_sample(const struct option_table *table, FILE *out) {
    struct groups groups = {.out = out};
    fprintf(out,
            "# %s.conf: %s\n"
            "#\n"
            "# Every option is here, commented out, with its default. The environment variable in\n"
            "# brackets wins over this file. `%s --config FILE --check-config` finds mistakes,\n"
            "# --print-config shows the effective values and where each comes from.\n",
            table->daemon, table->summary, table->daemon);
    for (int i = 0; i < table->count; i++) {
        if (!option_is_refused(&table->rows[i])) {
            print_sample_row(&groups, table, &table->rows[i]);
        }
    }
    close_groups(&groups, 0);
}

/* Text for the man page: '\' and leading '.' or '\'' mean something to the formatter. */
static void print_roff(FILE *out, const char *text) {
    if (*text == '.' || *text == '\'') {
        fputs("\\&", out);
    }
    for (; *text != '\0'; text++) {
        if (*text == '\\') {
            fputs("\\e", out);
        } else if (*text == '-') {
            fputs("\\-", out);
        } else {
            fputc(*text, out);
        }
    }
}

static void print_man_row(FILE *out, const struct option_table *table,
                          const struct option_row *row) {
    const char *default_text = default_of(table, row);
    char range[OPTION_RANGE_TEXT_MAX];
    option_range_format(row, range, sizeof range);
    fputs(".TP\n.B ", out);
    print_roff(out, row->key);
    fputc('\n', out);
    print_roff(out, row->doc);
    if (*range != '\0') {
        fputs("\n.br\nAllowed: ", out);
        print_roff(out, range);
        fputc('.', out);
    }
    fputs("\n.br\nDefault: ", out);
    print_roff(out, *default_text == '\0' ? "(empty)" : default_text);
    fputc('.', out);
    if (row->unit == OPTION_UNIT_MS) {
        fputs(" A bare number is in milliseconds.", out);
    }
    if (row->env != NULL) {
        fprintf(out, "\n.br\nEnvironment: %s%s%s.", row->env, row->env_alias == NULL ? "" : ", ",
                row->env_alias == NULL ? "" : row->env_alias);
    }
    fputc('\n', out);
}

static void print_man_profiles(const struct option_table *table, FILE *out) {
    if (table->profile_count == 0) {
        return;
    }
    fputs(".SH PROFILES\nA profile changes the defaults of other options; the file and the "
          "environment still win.\n",
          out);
    for (int i = 0; i < table->profile_count; i++) {
        fprintf(out, ".TP\n.B %s\n", table->profiles[i].name);
        for (int j = 0; j < table->profiles[i].count; j++) {
            print_roff(out, table->profiles[i].overrides[j].key);
            fputs(" = ", out);
            print_roff(out, table->profiles[i].overrides[j].text);
            fputs("\n.br\n", out);
        }
        if (table->profiles[i].count == 0) {
            fputs("The defaults as listed.\n", out);
        }
    }
}

static void print_man_rows(const struct option_table *table, FILE *out) {
    for (int i = 0; i < table->count; i++) {
        if (!option_is_refused(&table->rows[i])) {
            print_man_row(out, table, &table->rows[i]);
        }
    }
}

static void print_man_refused(const struct option_table *table, enum option_type type,
                              const char *title, FILE *out) {
    bool is_first = true;
    for (int i = 0; i < table->count; i++) {
        if (table->rows[i].type != type) {
            continue;
        }
        if (is_first) {
            fprintf(out,
                    ".SH %s\nKnown options of the original that are refused when they are set to "
                    "anything but the default.\n",
                    title);
            is_first = false;
        }
        print_man_row(out, table, &table->rows[i]);
    }
}

void options_print_man(const struct option_table *table, FILE *out) {
    fprintf(out,
            ".TH %s.CONF 5 \"\" \"tern %s\" \"Tern\"\n.SH NAME\n%s.conf \\- configuration of %s\n"
            ".SH DESCRIPTION\n%s\n.PP\nThe file is in the syntax of libconfig: settings are "
            "\\fIname = value;\\fR, a dot in the names below is a group \\fIname: { ... };\\fR. "
            "Values come from the defaults, then the file, then the environment; the last one "
            "wins. Sizes take the suffixes k, m, g; durations ns, us, ms, s, in quotes. Unknown "
            "names are errors.\n",
            table->daemon, TERN_VERSION, table->daemon, table->daemon, table->summary);
    fputs(".SH OPTIONS\n", out);
    print_man_rows(table, out);
    print_man_profiles(table, out);
    print_man_refused(table, OPTION_NOT_YET, "NOT YET", out);
    print_man_refused(table, OPTION_REFUSED, "NOT HERE", out);
    fprintf(out, ".SH SEE ALSO\n.BR %s (8)\n", table->daemon);
}
