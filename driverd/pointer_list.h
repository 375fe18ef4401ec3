/* A growing array of borrowed pointers: the conductor's lists of things. Order is not kept on
 * removal. A zeroed struct is an empty list. */
#ifndef DRIVERD_POINTER_LIST_H
#define DRIVERD_POINTER_LIST_H

#include <stdbool.h>
#include <stdint.h>

struct pointer_list {
    void **items;
    int32_t count;
    int32_t capacity;
};

/* Make room for one more; 0 or -ENOMEM. A following add cannot fail. */
int pointer_list_reserve(struct pointer_list *list);
int pointer_list_add(struct pointer_list *list, void *item);
/* The last item takes its place. */
void pointer_list_remove_at(struct pointer_list *list, int32_t index);
bool pointer_list_remove(struct pointer_list *list, const void *item);
void pointer_list_close(struct pointer_list *list);

#endif
