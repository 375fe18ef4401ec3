/* A growing array of pointers; the simplest thing that the control plane can walk every cycle. */
#include "driverd/pointer_list.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#define CAPACITY_MIN 16

int pointer_list_reserve(struct pointer_list *list) {
    if (list->count < list->capacity) {
        return 0;
    }
    int32_t capacity = list->capacity == 0 ? CAPACITY_MIN : list->capacity * 2;
    void **items = realloc(list->items, (size_t)capacity * sizeof *items);
    if (items == NULL) {
        return -ENOMEM;
    }
    list->items = items;
    list->capacity = capacity;
    return 0;
}

int pointer_list_add(struct pointer_list *list, void *item) {
    int result = pointer_list_reserve(list);
    if (result == 0) {
        list->items[list->count++] = item;
    }
    return result;
}

void pointer_list_remove_at(struct pointer_list *list, int32_t index) {
    assert(index >= 0 && index < list->count);
    list->items[index] = list->items[--list->count];
}

bool pointer_list_remove(struct pointer_list *list, const void *item) {
    for (int32_t i = 0; i < list->count; i++) {
        if (list->items[i] == item) {
            pointer_list_remove_at(list, i);
            return true;
        }
    }
    return false;
}

void pointer_list_close(struct pointer_list *list) {
    free(list->items);
    *list = (struct pointer_list){0};
}
