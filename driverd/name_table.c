/* The table of names: parsing, its counters, and looking up what a name stands for. */
#include "driverd/name_table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "driverd/driver_context.h"
#include "wire/command.h"

#define FIELD_COUNT 3

/* The fields of one row; `text` is not terminated behind `length`. */
static int parse_row(struct name_table_row *row, const char *text, size_t length,
                     struct tern_error *error) {
    char *const fields[FIELD_COUNT] = {row->name, row->hosts[0], row->hosts[1]};
    const char *end = text + length;
    const char *start = text;
    for (int i = 0; i < FIELD_COUNT; i++) {
        const char *comma = memchr(start, ',', (size_t)(end - start));
        const char *field_end = comma == NULL ? end : comma;
        size_t field_length = (size_t)(field_end - start);
        bool is_last = i == FIELD_COUNT - 1;
        if (field_length == 0 || field_length >= NAME_TABLE_TEXT_MAX ||
            (comma == NULL) != is_last) {
            return error_set(error, -EINVAL, "'%.*s' is not name,host,host",
                             min_i32((int32_t)length, 120), text);
        }
        memcpy(fields[i], start, field_length);
        start = is_last ? end : field_end + 1;
    }
    return 0;
}

static int parse(struct name_table *table, const char *text, struct tern_error *error) {
    while (*text != '\0') {
        size_t length = strcspn(text, "|");
        if (table->count == NAME_TABLE_ROWS_MAX) {
            return error_set(error, -EINVAL, "more than %d rows", NAME_TABLE_ROWS_MAX);
        }
        int result = parse_row(&table->rows[table->count], text, length, error);
        if (result != 0) {
            return result;
        }
        table->count++;
        text += length + (text[length] == '|');
    }
    return 0;
}

static const struct name_table_row *find(const struct name_table *table, const char *name) {
    for (int32_t i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0) {
            return &table->rows[i];
        }
    }
    return NULL;
}

static int resolve(void *context, const char *name, union net_address *address,
                   struct tern_error *error) {
    const struct name_table *table = context;
    const struct net *base = table->base;
    const struct name_table_row *row = find(table, name);
    if (row == NULL) {
        return base->resolve(base->context, name, address, error);
    }
    int32_t state = load_acquire_i32(&row->state);
    if (state == NAME_TABLE_UNKNOWN) {
        return error_set(error, -ENOENT, "cannot resolve host '%.200s': by the table", name);
    }
    const char *host = row->hosts[state == NAME_TABLE_AGAIN];
    return net_address_parse(host, address) == 0
               ? 0
               : base->resolve(base->context, host, address, error);
}

static int list_interfaces(void *context, struct net_interface *interfaces, int capacity) {
    const struct name_table *table = context;
    return table->base->interfaces(table->base->context, interfaces, capacity);
}

struct name_table *name_table_create(const char *text, const struct net *base,
                                     struct tern_error *error) {
    struct name_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        (void)error_set_errno(error, ENOMEM, "cannot make the table of names");
        return NULL;
    }
    table->base = base;
    table->net = (struct net){
        .context = table,
        .resolve = resolve,
        .interfaces = list_interfaces,
    };
    if (parse(table, text, error) != 0) {
        name_table_destroy(table);
        return NULL;
    }
    return table;
}

void name_table_destroy(struct name_table *table) {
    free(table);
}

int name_table_add_counters(struct name_table *table, struct driver_context *context,
                            struct tern_error *error) {
    for (int32_t i = 0; i < table->count; i++) {
        struct name_table_row *row = &table->rows[i];
        char label[COUNTER_LABEL_LENGTH_MAX + 1];
        const struct counter_params params = {
            .type_id = COUNTER_TYPE_NAME_RESOLVER_TABLE,
            .label = label,
            .label_length =
                counter_label_format(label, "Name table: name=%s initial=%s re-resolution=%s",
                                     row->name, row->hosts[0], row->hosts[1]),
            .owner_id = -1,
        };
        int32_t id = driver_context_allocate_counter(context, &params, error);
        if (id < 0) {
            return id;
        }
        row->counter = driver_context_counter(context, id);
    }
    return 0;
}

void name_table_refresh(struct name_table *table) {
    for (int32_t i = 0; i < table->count; i++) {
        struct name_table_row *row = &table->rows[i];
        int64_t value = row->counter == NULL ? 0 : counter_get_acquire(row->counter);
        bool is_known = value == NAME_TABLE_UNKNOWN || value == NAME_TABLE_AGAIN;
        store_release_i32(&row->state, is_known ? (int32_t)value : NAME_TABLE_INITIAL);
    }
}
