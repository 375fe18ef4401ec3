/* Is every name of the original's options a row of the table, used or refused? */
#ifndef TERN_TESTS_OPTION_NAMES_H
#define TERN_TESTS_OPTION_NAMES_H

#include <criterion/criterion.h>
#include <string.h>

#include "daemon/options.h"

static inline void expect_option_names(const struct option_table *table, const char *const *names,
                                       size_t count) {
    for (size_t i = 0; i < count; i++) {
        bool is_found = false;
        for (int j = 0; j < table->count && !is_found; j++) {
            const struct option_row *row = &table->rows[j];
            is_found = (row->env != NULL && strcmp(row->env, names[i]) == 0) ||
                       (row->env_alias != NULL && strcmp(row->env_alias, names[i]) == 0);
        }
        cr_assert(is_found, "%s has no row for %s", table->daemon, names[i]);
    }
}

#endif
