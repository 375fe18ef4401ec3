/* Reading a .conf into a table's rows. Internal to libclient/daemon. */
#ifndef TERN_DAEMON_OPTION_FILE_H
#define TERN_DAEMON_OPTION_FILE_H

#include "daemon/options.h"

/* Called for each setting with the row's index and the value as text. */
struct option_file_visitor {
    void *context;
    void (*on_value)(void *context, int index, int line, const char *text);
    /* `line` 0: the whole file. */
    void (*on_error)(void *context, int line, const char *text);
};

/* Read and walk the file. Syntax errors, unknown keys and values of a wrong kind go to on_error. */
void option_file_read(const struct option_table *table, const char *path,
                      const struct option_file_visitor *visitor);

/* The row with that key, or -1. */
int option_find(const struct option_table *table, const char *key);

/* The key of the table that is most like `key` (edit distance with transpositions). */
const char *option_nearest_key(const struct option_table *table, const char *key);

#endif
