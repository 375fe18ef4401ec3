/* The table of names: its text, and what a name stands for as its counter changes. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "driverd/name_table.h"

/* The system: knows one name. */
static int resolve(void *context, const char *host, union net_address *address,
                   struct tern_error *error) {
    int *calls = context;
    ++*calls;
    if (strcmp(host, "known") != 0) {
        return error_set(error, -ENOENT, "cannot resolve %s", host);
    }
    return net_address_parse("10.0.0.9", address);
}

static bool finds(const struct name_table *table, const char *name, const char *expected) {
    union net_address address = {0};
    union net_address wanted = {0};
    struct tern_error error;
    cr_assert(net_address_parse(expected, &wanted) == 0);
    return table->net.resolve(table->net.context, name, &address, &error) == 0 &&
           net_address_equal(&address, &wanted);
}

Test(name_table, a_counter_chooses_what_a_name_stands_for) {
    int calls = 0;
    int64_t counter = 0;
    const struct net base = {.context = &calls, .resolve = resolve};
    struct tern_error error = {0};
    union net_address address;
    struct name_table *table =
        name_table_create("a,10.0.0.1,10.0.0.2|b,known,[fd00::1]|", &base, &error);
    cr_assert_not_null(table, "%s", error.text);
    cr_assert_eq(table->count, 2);
    cr_assert(finds(table, "a", "10.0.0.1"));
    cr_assert_eq(calls, 0, "an address needs no look-up");
    cr_assert(finds(table, "b", "10.0.0.9"));
    cr_assert(finds(table, "known", "10.0.0.9"), "names that are not in the table");
    cr_assert_eq(calls, 2);
    table->rows[0].counter = table->rows[1].counter = &counter;
    counter = 1;
    cr_assert(finds(table, "a", "10.0.0.1"), "until it is refreshed");
    name_table_refresh(table);
    cr_assert(finds(table, "a", "10.0.0.2"));
    cr_assert(finds(table, "b", "[fd00::1]"));
    counter = -1;
    name_table_refresh(table);
    cr_assert_lt(table->net.resolve(table->net.context, "a", &address, &error), 0);
    counter = 77;
    name_table_refresh(table);
    cr_assert(finds(table, "a", "10.0.0.1"));
    name_table_destroy(table);
}

Test(name_table, damaged_texts_are_refused) {
    static const char *const bad[] = {"a",    "a,b",  "a,b,",    "a,b,c,d",
                                      ",b,c", "a,,c", "a,b,c||", "|"};
    struct tern_error error;
    char text[4096] = "";
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        error.text[0] = '\0';
        cr_assert_null(name_table_create(bad[i], NULL, &error), "%s", bad[i]);
        cr_assert_str_neq(error.text, "");
    }
    for (int i = 0; i < NAME_TABLE_ROWS_MAX; i++) {
        strcat(text, "name,host,host|");
    }
    struct name_table *table = name_table_create(text, NULL, &error);
    cr_assert_not_null(table);
    name_table_destroy(table);
    strcat(text, "name,host,host");
    cr_assert_null(name_table_create(text, NULL, &error), "one too many");
    memset(text, 'x', NAME_TABLE_TEXT_MAX);
    strcpy(text + NAME_TABLE_TEXT_MAX, ",b,c");
    cr_assert_null(name_table_create(text, NULL, &error), "too long a name");
    cr_assert_not_null(table = name_table_create(text + 1, NULL, &error));
    name_table_destroy(table);
}
