/* every_third: an interceptor that loses every third datagram with data, in the direction in whose
 * list it stands. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <tern/driver_plugin.h>

#define TYPE_OFFSET 6
#define TYPE_DATA 1
#define HEADER_LENGTH 32

struct every_third {
    atomic_uint count; /* of two threads */
};

static void *create(bool is_outgoing, struct tern_error *error) {
    (void)is_outgoing;
    (void)error;
    return calloc(1, sizeof(struct every_third));
}

static bool passes(void *state, const struct tern_datagram *datagram) {
    struct every_third *every_third = state;
    const unsigned char *bytes = datagram->data;
    bool is_data = datagram->length > HEADER_LENGTH && bytes[TYPE_OFFSET] == TYPE_DATA;
    return !is_data || (atomic_fetch_add(&every_third->count, 1) + 1) % 3 != 0;
}

TERN_API const struct tern_interceptor_plugin every_third = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_INTERCEPTOR, struct tern_interceptor_plugin,
                                    "every_third", "1.0"),
    .create = create,
    .destroy = free,
    .passes = passes,
};
