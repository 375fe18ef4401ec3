/* One table of options per daemon: defaults, file, environment, bounds, documents (style rule 25).
 *
 * A daemon declares a conf struct and a table of rows that say where each option is stored in it.
 * options_load fills the struct: default texts, then the overrides of the chosen profile, then the
 * libconfig file, then the environment. What is out of bounds or unknown is reported with file and
 * line (or the variable), the value and what is allowed; all errors are collected, none stops the
 * reading. Everything here runs before the first agent and may allocate.
 *
 *     struct driver_conf { char dir[4096]; int32_t term_length; int64_t linger_timeout_ns; };
 *     static const struct option_row rows[] = {
 *         {.key = "dir", .env = "AERON_DIR", OPTION_STORE(struct driver_conf, dir),
 *          .type = OPTION_PATH, .default_text = "/dev/shm/aeron-{user}", .doc = "Directory ..."},
 *         {.key = "term_buffer_length", .env = "AERON_TERM_BUFFER_LENGTH",
 *          OPTION_STORE(struct driver_conf, term_length), .type = OPTION_SIZE,
 *          .default_text = "16m", .min = 65536, .max = 1 << 30, .flags = OPTION_POWER_OF_TWO, ...
 */
#ifndef TERN_DAEMON_OPTIONS_H
#define TERN_DAEMON_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"
#include "base/error.h"

#define OPTION_COUNT_MAX 256
#define OPTION_TEXT_MAX 4096 /* capacity of the longest string option, NUL included */

/* The member's C type is in the comment; int32_t is allowed wherever min and max fit. */
enum option_type {
    OPTION_BOOL,     /* bool: true, on, yes, 1; false, off, no, 0 */
    OPTION_I32,      /* int32_t */
    OPTION_I64,      /* int64_t */
    OPTION_SIZE,     /* int64_t or int32_t, bytes: 65536, "64k", "16m", "1g" */
    OPTION_DURATION, /* int64_t, ns: "5s", "200ms", "1us", "9ns"; a bare number is in `unit` */
    OPTION_STRING,   /* char[] */
    OPTION_PATH,     /* char[]; {user} in the text becomes the user's name */
    OPTION_ENUM,     /* an enum or int: index in `names`, compared without case */
    OPTION_LIST,     /* char[]: the items joined by commas; in the file also ("a", "b") */
    /* No member; any other value than the default is refused, naming the row: */
    OPTION_NOT_YET, /* what is not built yet */
    OPTION_REFUSED, /* what can mean nothing here; the doc says why */
};

/* Unit of a bare number of a duration; Aeron has variables in ms. The stored value is in ns. */
enum option_unit { OPTION_UNIT_NS, OPTION_UNIT_MS };

enum option_flags {
    OPTION_REQUIRED = 1,       /* strings: must not be empty */
    OPTION_POWER_OF_TWO = 2,   /* numbers */
    OPTION_MULTIPLE_OF_32 = 4, /* numbers: frame alignment */
};

struct option_row {
    const char *key;       /* dotted path of libconfig groups; rows of a group stand together */
    const char *env;       /* e.g. "AERON_DIR"; NULL: file only */
    const char *env_alias; /* another spelling, used when `env` is absent; NULL: none */
    enum option_type type;
    enum option_unit unit;
    unsigned flags;
    size_t offset;
    size_t size;              /* of the member; capacity of a char[] */
    const char *default_text; /* as it would stand in the environment; NULL is "" */
    int64_t min;              /* numbers; durations in ns */
    int64_t max;
    const char *const *names; /* enum: NULL-terminated */
    const char *doc;          /* one sentence */
};

#define OPTION_STORE(type_, member)                                                                \
    .offset = offsetof(type_, member), .size = sizeof(((type_ *)0)->member)

static inline bool option_is_refused(const struct option_row *row) {
    return row->type == OPTION_NOT_YET || row->type == OPTION_REFUSED;
}

/* Other defaults for some rows; applied before the values of the file. */
struct option_override {
    const char *key;
    const char *text;
};

struct option_profile {
    const char *name; /* one of the names of the profile row */
    const struct option_override *overrides;
    int count;
};

struct options;

struct option_table {
    const char *daemon;  /* "driverd": name of the program, of the .conf and of the man page */
    const char *summary; /* one line: what the daemon is */
    const struct option_row *rows;
    int count;
    size_t conf_size;
    const char *profile_key; /* the enum row that chooses a profile; NULL: no profiles */
    const struct option_profile *profiles;
    int profile_count;
    /* Optional cross checks, run when every single value is sound; reports by options_refuse. */
    void (*check)(const void *conf, struct options *options);
};

enum option_origin_kind { ORIGIN_DEFAULT, ORIGIN_PROFILE, ORIGIN_FILE, ORIGIN_ENVIRONMENT };

struct option_origin {
    enum option_origin_kind kind;
    int line;             /* ORIGIN_FILE */
    const char *variable; /* ORIGIN_ENVIRONMENT */
};

#define OPTIONS_ERRORS_LENGTH_MAX 16384

/* The result of a load; owns nothing that must be freed. Big: keep it static-free, on main's
 * stack. */
struct options {
    const struct option_table *table;
    void *conf;       /* the caller's struct, table->conf_size bytes */
    const char *path; /* the .conf file, borrowed; NULL: none */
    struct option_origin origins[OPTION_COUNT_MAX];
    int error_count;
    size_t errors_length;
    char errors[OPTIONS_ERRORS_LENGTH_MAX]; /* one line each, with newline */
};

/* Fill `conf` (zeroed first). `environment` is an environ-like array. Returns the number of
 * errors, whose lines are in options->errors; the rows in error keep their default. */
int options_load(struct options *options, const struct option_table *table, void *conf,
                 const char *path, char *const *environment);

/* Report that the value of row `key` is refused: "FILE:LINE: key = value: <text>". */
void options_refuse(struct options *options, const char *key, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* For cross checks: refuse a channel that does not parse ("" is none), and what idle strategy
 * nobody knows or with such arguments (NULL: none). */
void options_check_channel(struct options *options, const char *key, const char *channel);
void options_check_idle(struct options *options, const char *key, const char *name,
                        const char *arguments);

/* "1.2.3" as (major << 16) | (minor << 8) | patch; negative when it is none. */
int32_t option_parse_version(const char *text);

/* The effective values as a valid .conf with the origin of each in a comment. */
void options_print(const struct options *options, FILE *out);
/* A commented .conf with all defaults, and a man page of section 5, both from the table alone. */
void options_print_sample(const struct option_table *table, FILE *out);
void options_print_man(const struct option_table *table, FILE *out);

/* Mistakes of the programmer in a table: duplicate keys, member sizes, defaults out of bounds,
 * groups torn apart, missing docs. Every daemon's unit tests call it. 0 or -EINVAL. */
int option_table_check(const struct option_table *table, struct tern_error *error);

/* Walk the items of an OPTION_LIST: *cursor starts as the stored text. False at the end. */
bool option_list_next(const char **cursor, char *item, size_t item_size);

#endif
