/* Counters that this client added: a word in cnc.dat that the application writes.
 *
 * Once the client ended, the driver frees the counter and may give its slot to somebody else, so
 * the value functions check is_closed first. Static counters are owned by nobody and stay.
 */
#include "client/counter.h"

#include <errno.h>
#include <stdlib.h>

#include "base/atomic.h"

struct tern_counter *client_counter_create(struct tern_client *client, const struct response *ready,
                                           int64_t registration_id, struct tern_error *error) {
    int64_t *address = counters_reader_address(&client->counters.reader, ready->counter_id);
    if (address == NULL) {
        (void)error_set(error, TERN_ERROR_PROTOCOL,
                        "the driver named counter %d, which is out of range", ready->counter_id);
        return NULL;
    }
    struct tern_counter *counter = calloc(1, sizeof *counter);
    if (counter == NULL ||
        hash_map_put(&client->own_counters, ready->correlation_id, counter) != 0) {
        free(counter);
        (void)error_set(error, -ENOMEM, "no memory for a counter");
        return NULL;
    }
    *counter = (struct tern_counter){
        .address = address,
        .id = ready->counter_id,
        .client = client,
        .registration_id = registration_id,
        .correlation_id = ready->correlation_id,
        .is_static = ready->type == RESPONSE_STATIC_COUNTER,
    };
    client_retain(client);
    return counter;
}

void tern_counter_close(tern_counter *counter) {
    if (counter == NULL) {
        return;
    }
    struct tern_client *client = counter->client;
    client_lock(client);
    (void)hash_map_remove(&client->own_counters, counter->correlation_id);
    if (!counter->is_static && load_plain_i32(&client->is_closed) == 0) {
        client_send_reliably(client, &(struct command){
                                         .type = COMMAND_REMOVE_COUNTER,
                                         .client_id = client->id,
                                         .correlation_id = tern_client_next_correlation_id(client),
                                         .registration_id = counter->registration_id,
                                     });
    }
    client_unlock(client);
    free(counter);
    client_release(client);
}

int32_t tern_counter_id(const tern_counter *counter) {
    return counter->id;
}

int64_t tern_counter_registration_id(const tern_counter *counter) {
    return counter->registration_id;
}

bool tern_counter_is_closed(const tern_counter *counter) {
    return load_acquire_i32(&counter->is_closed) != 0;
}

int64_t tern_counter_value(const tern_counter *counter) {
    return tern_counter_is_closed(counter) ? 0 : load_acquire_i64(counter->address);
}

void tern_counter_set(tern_counter *counter, int64_t value) {
    if (!tern_counter_is_closed(counter)) {
        store_release_i64(counter->address, value);
    }
}

int64_t tern_counter_add(tern_counter *counter, int64_t delta) {
    return tern_counter_is_closed(counter) ? 0 : get_and_add_i64(counter->address, delta);
}

int64_t *tern_counter_address(tern_counter *counter) {
    return counter->address;
}
