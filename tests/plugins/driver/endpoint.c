/* guest_list: an endpoint that lets in and out only what belongs to streams 1000 to 1999, and
 * writes a line for each socket that ends to the file that the environment variable GUEST_LIST
 * names:
 *
 *     snd|rcv CHANNEL SENT RECEIVED REFUSED
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/driver_plugin.h>

#define TYPE_OFFSET 6
/* Where the stream id stands in PAD, DATA and SETUP frames, and in those that come back. */
#define STREAM_ID_OFFSET 16
#define STREAM_ID_OFFSET_BACK 12

struct guest_list {
    bool is_send;
    char channel[512];
    int64_t sent;
    int64_t received;
    int64_t refused;
};

static void *create(const struct tern_endpoint_params *params, struct tern_error *error) {
    struct guest_list *list = calloc(1, sizeof *list);
    (void)error;
    if (list != NULL) {
        list->is_send = params->is_send;
        (void)snprintf(list->channel, sizeof list->channel, "%s", params->channel);
    }
    return list;
}

static void destroy(void *state) {
    struct guest_list *list = state;
    const char *path = getenv("GUEST_LIST");
    FILE *file = path == NULL ? NULL : fopen(path, "a");
    if (file != NULL) {
        (void)fprintf(file, "%s %s %" PRId64 " %" PRId64 " %" PRId64 "\n",
                      list->is_send ? "snd" : "rcv", list->channel, list->sent, list->received,
                      list->refused);
        (void)fclose(file);
    }
    free(list);
}

static bool is_guest(struct guest_list *list, const struct tern_datagram *datagram) {
    const unsigned char *bytes = datagram->data;
    int32_t stream_id = 0;
    if (datagram->length >= STREAM_ID_OFFSET + sizeof stream_id) {
        int type = bytes[TYPE_OFFSET];
        bool is_forth = type == 0 || type == 1 || type == 5;
        size_t offset = is_forth ? STREAM_ID_OFFSET : STREAM_ID_OFFSET_BACK;
        memcpy(&stream_id, bytes + offset, sizeof stream_id);
    }
    bool is_welcome = stream_id >= 1000 && stream_id <= 1999;
    list->refused += !is_welcome;
    return is_welcome;
}

static bool on_send(void *state, const struct tern_datagram *datagram) {
    struct guest_list *list = state;
    bool is_welcome = is_guest(list, datagram);
    list->sent += is_welcome;
    return is_welcome;
}

static bool on_receive(void *state, const struct tern_datagram *datagram) {
    struct guest_list *list = state;
    bool is_welcome = is_guest(list, datagram);
    list->received += is_welcome;
    return is_welcome;
}

TERN_API const struct tern_endpoint_plugin guest_list = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_ENDPOINT, struct tern_endpoint_plugin,
                                    "guest_list", "1.0"),
    .create = create,
    .destroy = destroy,
    .on_send = on_send,
    .on_receive = on_receive,
};
