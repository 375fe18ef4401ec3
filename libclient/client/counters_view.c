/* Reading everybody's counters, and what handles learn from them: channel status and the local
 * addresses of a channel (shared-memory.md 2.5, 2.6, 6.3). Any thread; nothing is cached. */
#include "client/core.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"
#include "shm/counter_types.h"

#define ADDRESS_OFFSET 8
#define ADDRESS_STATUS_ACTIVE 1

struct visit {
    tern_counter_visitor visitor;
    void *context;
};

static int visit_counter(void *argument, int32_t id, const struct counter_metadata *metadata,
                         const struct counter_value *value) {
    const struct visit *visit = argument;
    int32_t label_length = load_acquire_i32(&metadata->label_length);
    const struct tern_counter_info info = {
        .id = id,
        .type_id = metadata->type_id,
        .value = load_acquire_i64(&value->value),
        .registration_id = load_acquire_i64(&value->registration_id),
        .owner_id = load_plain_i64(&value->owner_id),
        .reference_id = load_plain_i64(&value->reference_id),
        .key = metadata->key,
        .label = metadata->label,
        .label_length = min_i32(max_i32(label_length, 0), COUNTER_LABEL_LENGTH_MAX),
    };
    return visit->visitor(visit->context, &info);
}

int tern_counters_for_each(const tern_counters_reader *counters, tern_counter_visitor visit,
                           void *context) {
    struct visit state = {visit, context};
    return counters_reader_for_each(&counters->reader, visit_counter, &state);
}

int32_t tern_counters_find(const tern_counters_reader *counters, int32_t type_id,
                           int64_t registration_id) {
    return counters_reader_find(&counters->reader, type_id, registration_id);
}

bool tern_counters_is_allocated(const tern_counters_reader *counters, int32_t id) {
    return counters_reader_state(&counters->reader, id) == COUNTER_STATE_ALLOCATED;
}

enum tern_counter_state tern_counters_state(const tern_counters_reader *counters, int32_t id) {
    return (enum tern_counter_state)counters_reader_state(&counters->reader, id);
}

int64_t tern_counters_reuse_deadline_ms(const tern_counters_reader *counters, int32_t id) {
    return id < 0 || id > counters->reader.id_max
               ? 0
               : load_plain_i64(&counters->reader.metadata[id].free_for_reuse_deadline_ms);
}

struct print {
    tern_text_visitor visit;
    void *context;
    int count;
};

static int print_counter(void *argument, const struct tern_counter_info *info) {
    struct print *print = argument;
    char text[TERN_COUNTER_LABEL_MAX + 64];
    (void)snprintf(text, sizeof text, "%5" PRId32 ": %20" PRId64 " - %.*s", info->id, info->value,
                   info->label_length, info->label);
    print->visit(print->context, text);
    print->count++;
    return 0;
}

int tern_counters_print(const tern_counters_reader *counters, tern_text_visitor visit,
                        void *context) {
    struct print print = {visit, context, 0};
    (void)tern_counters_for_each(counters, print_counter, &print);
    return print.count;
}

int64_t tern_counters_value(const tern_counters_reader *counters, int32_t id) {
    return tern_counters_is_allocated(counters, id) ? counters_reader_value(&counters->reader, id)
                                                    : 0;
}

int32_t tern_counters_type_id(const tern_counters_reader *counters, int32_t id) {
    return tern_counters_is_allocated(counters, id) ? counters_reader_type_id(&counters->reader, id)
                                                    : -1;
}

int64_t tern_counters_registration_id(const tern_counters_reader *counters, int32_t id) {
    return tern_counters_is_allocated(counters, id)
               ? counters_reader_registration_id(&counters->reader, id)
               : 0;
}

int64_t tern_counters_owner_id(const tern_counters_reader *counters, int32_t id) {
    return tern_counters_is_allocated(counters, id)
               ? counters_reader_owner_id(&counters->reader, id)
               : -1;
}

int64_t tern_counters_reference_id(const tern_counters_reader *counters, int32_t id) {
    return tern_counters_is_allocated(counters, id)
               ? load_plain_i64(&counters->reader.values[id].reference_id)
               : 0;
}

int32_t tern_counters_label(const tern_counters_reader *counters, int32_t id, char *label,
                            int32_t size) {
    if (tern_counters_is_allocated(counters, id)) {
        return counters_reader_label(&counters->reader, id, label, size);
    }
    if (size > 0) {
        label[0] = '\0';
    }
    return 0;
}

bool tern_counters_key(const tern_counters_reader *counters, int32_t id,
                       uint8_t key[TERN_COUNTER_KEY_MAX]) {
    if (!tern_counters_is_allocated(counters, id)) {
        return false;
    }
    memcpy(key, counters->reader.metadata[id].key, TERN_COUNTER_KEY_MAX);
    return true;
}

int64_t *tern_counters_address(const tern_counters_reader *counters, int32_t id) {
    return counters_reader_address(&counters->reader, id);
}

void tern_counters_get_buffers(const tern_counters_reader *counters,
                               struct tern_counters_buffers *buffers) {
    const struct counters_reader *reader = &counters->reader;
    int64_t count = (int64_t)reader->id_max + 1;
    *buffers = (struct tern_counters_buffers){
        .values = (const uint8_t *)reader->values,
        .metadata = (const uint8_t *)reader->metadata,
        .values_length = count * COUNTER_VALUE_LENGTH,
        .metadata_length = count * COUNTER_METADATA_LENGTH,
    };
}

int32_t tern_counters_id_max(const tern_counters_reader *counters) {
    return counters->reader.id_max;
}

int64_t client_channel_status(const struct tern_client *client, int32_t channel_status_id) {
    return channel_status_id == COUNTER_NULL_ID
               ? TERN_CHANNEL_STATUS_ACTIVE
               : counters_reader_value(&client->counters.reader, channel_status_id);
}

struct address_search {
    int32_t channel_status_id;
    char (*addresses)[TERN_ADDRESS_TEXT_MAX];
    int count_max;
    int count;
};

/* Bytes behind the used part of the key are not cleared by every driver: its lengths decide. */
static int visit_address(void *argument, int32_t id, const struct counter_metadata *metadata,
                         const struct counter_value *value) {
    (void)id;
    struct address_search *search = argument;
    if (metadata->type_id != COUNTER_TYPE_LOCAL_SOCKADDR ||
        get_i32(metadata->key) != search->channel_status_id ||
        load_acquire_i64(&value->value) != ADDRESS_STATUS_ACTIVE) {
        return 0;
    }
    int32_t length = get_i32(metadata->key + 4);
    if (length <= 0 || length > COUNTER_KEY_LENGTH_MAX - ADDRESS_OFFSET ||
        length >= TERN_ADDRESS_TEXT_MAX) {
        return 0;
    }
    if (search->count < search->count_max) {
        char *text = search->addresses[search->count];
        memcpy(text, metadata->key + ADDRESS_OFFSET, (size_t)length);
        text[length] = '\0';
    }
    search->count++;
    return 0;
}

int client_local_addresses(const struct tern_client *client, int32_t channel_status_id,
                           char (*addresses)[TERN_ADDRESS_TEXT_MAX], int count_max) {
    struct address_search search = {channel_status_id, addresses, count_max, 0};
    if (channel_status_id != COUNTER_NULL_ID) {
        (void)counters_reader_for_each(&client->counters.reader, visit_address, &search);
    }
    return search.count;
}
