/* A growable array of borrowed pointers, for the handful of sessions that a server steps through.
 * Growth happens in the control plane only; order is not kept by removal. */
#ifndef TERN_ARCHIVED_SESSION_LIST_H
#define TERN_ARCHIVED_SESSION_LIST_H

#include <errno.h>
#include <stdlib.h>

#include "base/compiler.h"

struct session_list {
    void **items;
    int count;
    int capacity;
};

/* A zeroed struct is an empty list. 0 or -ENOMEM. */
static inline int session_list_add(struct session_list *list, void *item) {
    if (list->count == list->capacity) {
        int capacity = list->capacity == 0 ? 8 : 2 * list->capacity;
        void **items = realloc(list->items, (size_t)capacity * sizeof *items);
        if (items == NULL) {
            return -ENOMEM;
        }
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->count++] = item;
    return 0;
}

/* The last item takes the place, so walk from the end when removing. */
static inline void session_list_remove_at(struct session_list *list, int index) {
    assert(index >= 0 && index < list->count);
    list->items[index] = list->items[--list->count];
}

/* Keeps the order of the rest. */
static inline void session_list_remove_first(struct session_list *list) {
    assert(list->count > 0);
    list->count--;
    for (int i = 0; i < list->count; i++) {
        list->items[i] = list->items[i + 1];
    }
}

static inline void session_list_close(struct session_list *list) {
    free(list->items);
    *list = (struct session_list){0};
}

#endif
