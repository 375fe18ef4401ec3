/* See list_service.h: the plugin itself, under another name, so that several can be linked. */
#define tern_service_plugin list_service_plugin
#include "sim/list_service.h"

#include "../plugins/list.c"

#define HASH_STEP(hash, word) (((hash) ^ (uint64_t)(word)) * HASH_PRIME)

uint64_t list_service_hash(const void *service) {
    const struct list *list = service;
    uint64_t hash = list->hash;
    hash = HASH_STEP(hash, list->length);
    hash = HASH_STEP(hash, list->message_count);
    hash = HASH_STEP(hash, list->timers_fired);
    hash = HASH_STEP(hash, list->service_message_count);
    for (int64_t i = 0; i < list->owner_count; i++) {
        hash = HASH_STEP(hash, list->owners[i].timer_id);
        hash = HASH_STEP(hash, list->owners[i].session_id);
    }
    return hash;
}

const int64_t *list_service_values(const void *service, int64_t *count) {
    const struct list *list = service;
    *count = list->length;
    return list->values;
}
