/* One value of the option table: text to member, member to text, and what is allowed. Internal to
 * libclient/daemon. */
#ifndef TERN_DAEMON_OPTION_VALUE_H
#define TERN_DAEMON_OPTION_VALUE_H

#include "daemon/options.h"

#define OPTION_RANGE_TEXT_MAX 512

/* Parse `text` as the row says, check the bounds and store it in `conf`. On failure nothing is
 * stored and the error says what is wrong and what is allowed, without naming the key. `user` is
 * what {user} in a path becomes. */
int option_value_set(const struct option_row *row, void *conf, const char *text, const char *user,
                     struct tern_error *error);

/* The stored value as option_value_set would read it ("64k", "5s", "true"). */
void option_value_format(const struct option_row *row, const void *conf, char *text, size_t size);

/* "64k..1g, a power of two"; "SHARED, DEDICATED"; "true or false". */
void option_range_format(const struct option_row *row, char *text, size_t size);

/* Whether a .conf writes the value between quotes. */
bool option_value_is_quoted(const struct option_row *row, const char *text);

bool option_is_number(const struct option_row *row);

#endif
