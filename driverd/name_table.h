/* Names that stand for other hosts by a table (name_resolver_supplier=csv_table, media-driver.md
 * 5.9): an aid for tests of re-resolution, which change what a name means by a counter.
 *
 * Made and refreshed by the conductor; used as a net seam for look-ups by the resolver agent, whose
 * it is, since that may outlive the driver's shared memory.
 */
#ifndef DRIVERD_NAME_TABLE_H
#define DRIVERD_NAME_TABLE_H

#include <stdint.h>

#include "base/error.h"
#include "base/net.h"

struct driver_context;

#define NAME_TABLE_ROWS_MAX 64
#define NAME_TABLE_TEXT_MAX 256

/* Value of a row's counter; others mean the initial host. */
enum name_table_state {
    NAME_TABLE_UNKNOWN = -1, /* the name does not resolve */
    NAME_TABLE_INITIAL = 0,
    NAME_TABLE_AGAIN = 1, /* the host of the re-resolution */
};

struct name_table_row {
    char name[NAME_TABLE_TEXT_MAX];
    char hosts[2][NAME_TABLE_TEXT_MAX]; /* initial, re-resolution: names or numeric addresses */
    /* conductor */
    const int64_t *counter; /* in shared memory; NULL: none */
    /* conductor writes, resolver reads: the counter's value as of the last request */
    int32_t state;
};

struct name_table {
    const struct net *base;
    struct net net; /* resolve and interfaces only */
    struct name_table_row rows[NAME_TABLE_ROWS_MAX];
    int32_t count;
};

/* "name,initial_host,re_resolution_host|...". `base` looks up what the table says, and all names
 * that it does not have. NULL and *error: the text is wrong, or no memory. */
struct name_table *name_table_create(const char *text, const struct net *base,
                                     struct tern_error *error);
void name_table_destroy(struct name_table *table);
/* A counter per row (type 2001). */
int name_table_add_counters(struct name_table *table, struct driver_context *context,
                            struct tern_error *error);
/* Take over the values of the counters. */
void name_table_refresh(struct name_table *table);

#endif
