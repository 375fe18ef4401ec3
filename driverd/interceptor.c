/* The decision per datagram. */
#include "driverd/interceptor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"
#include "base/uri.h"
#include "daemon/options.h"
#include "wire/frame.h"

#define NAME_LENGTH_MAX 64

/* -- deciding -- */

static bool is_lost_by_chance(struct interceptor_chance *chance) {
    if (chance->rate <= 0) {
        return false;
    }
    const int64_t step = (int64_t)UINT64_C(0x9E3779B97F4A7C15);
    uint64_t z = (uint64_t)get_and_add_i64(&chance->state, step); /* splitmix64 */
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (double)(z >> 11) * 0x1.0p-53 < chance->rate;
}

static int32_t *find_stream(struct interceptor_gaps *gaps, const struct frame_header *header) {
    for (int i = 0; i < gaps->stream_count; i++) {
        if (gaps->streams[i].session_id == header->session_id &&
            gaps->streams[i].stream_id == header->stream_id) {
            return &gaps->streams[i].lost_up_to;
        }
    }
    if (gaps->stream_count == INTERCEPTOR_STREAMS_MAX) {
        return NULL;
    }
    int i = gaps->stream_count++;
    gaps->streams[i].session_id = header->session_id;
    gaps->streams[i].stream_id = header->stream_id;
    gaps->streams[i].lost_up_to = 0;
    return &gaps->streams[i].lost_up_to;
}

static bool touches_gap(const struct interceptor_gaps *gaps, int64_t offset, int64_t end) {
    if (gaps->radix == 0) {
        return offset < (int64_t)gaps->offset + gaps->length && end > gaps->offset;
    }
    int64_t first = offset / gaps->radix; /* the gap that begins at or before it */
    for (int64_t i = first; i <= first + 1 && i < gaps->count; i++) {
        int64_t begin = i * gaps->radix;
        if (offset < begin + gaps->length && end > begin) {
            return true;
        }
    }
    return false;
}

/* The first time only: what is sent again passes. */
static bool is_in_gap(struct interceptor_gaps *gaps, const uint8_t *data, uint32_t length) {
    struct frame_header header;
    if (!gaps->is_on || length <= sizeof header) {
        return false;
    }
    memcpy(&header, data, sizeof header);
    int64_t end = (int64_t)header.term_offset + length;
    if (header.type != FRAME_TYPE_DATA || header.term_id != gaps->term_id ||
        header.term_offset < 0 || !touches_gap(gaps, header.term_offset, end)) {
        return false;
    }
    int32_t *lost_up_to = find_stream(gaps, &header);
    if (lost_up_to == NULL || header.term_offset < *lost_up_to) {
        return false;
    }
    *lost_up_to = (int32_t)min_i64(end, INT32_MAX);
    return true;
}

static bool is_lost(struct interceptor_side *side, const uint8_t *data, uint32_t length) {
    struct frame_common common;
    if (length < sizeof common) {
        return false;
    }
    memcpy(&common, data, sizeof common);
    if (common.type == FRAME_TYPE_RES) {
        return false; /* names are another matter */
    }
    bool is_data = common.type == FRAME_TYPE_DATA || common.type == FRAME_TYPE_PAD ||
                   common.type == FRAME_TYPE_SETUP;
    bool is_masked = common.type < 32 && (side->type_mask & (UINT32_C(1) << common.type)) != 0;
    return is_in_gap(&side->fixed, data, length) || is_in_gap(&side->multi, data, length) ||
           (is_masked && is_lost_by_chance(&side->all)) ||
           is_lost_by_chance(&side->classes[is_data ? INTERCEPTOR_DATA : INTERCEPTOR_CONTROL]);
}

/* -- the seam -- */

static bool may_go(void *context, int socket, const struct net_datagram *datagram, unsigned flags) {
    struct interceptor *interceptor = context;
    (void)socket;
    (void)flags;
    return !is_lost(&interceptor->outgoing, datagram->data, datagram->length);
}

static bool may_come(void *context, int socket, const struct net_datagram *datagram) {
    struct interceptor *interceptor = context;
    (void)socket;
    return !is_lost(&interceptor->incoming, datagram->data, datagram->length);
}

/* -- options -- */

static int parse_rate(const char *text, double *rate, struct tern_error *error) {
    char *end;
    errno = 0;
    *rate = *text == '\0' ? 0 : strtod(text, &end);
    bool is_number = *text == '\0' || (errno == 0 && end != text && *end == '\0');
    return is_number && *rate >= 0 && *rate <= 1
               ? 0
               : error_set(error, -EINVAL, "'%.40s' is not a rate of 0 to 1", text);
}

/* The value of `name` in "name=value|name=value"; an empty text when it is not there. */
static void find_argument(const char *arguments, const char *name, char value[NAME_LENGTH_MAX]) {
    size_t length = strlen(name);
    value[0] = '\0';
    while (*arguments != '\0') {
        size_t end = strcspn(arguments, "|,");
        if (end > length && strncmp(arguments, name, length) == 0 && arguments[length] == '=' &&
            end - length - 1 < NAME_LENGTH_MAX) {
            memcpy(value, arguments + length + 1, end - length - 1);
            value[end - length - 1] = '\0';
        }
        arguments += end + (arguments[end] != '\0');
    }
}

static int find_number(const char *arguments, const char *name, int64_t *number,
                       struct tern_error *error) {
    char value[NAME_LENGTH_MAX];
    find_argument(arguments, name, value);
    return value[0] != '\0' && parse_i64(value, number) == 0 && *number >= INT32_MIN &&
                   *number <= INT32_MAX
               ? 0
               : error_set(error, -EINVAL, "'%.80s' has no number for %s", arguments, name);
}

static int parse_loss(struct interceptor_side *side, const char *arguments,
                      struct tern_error *error) {
    char value[NAME_LENGTH_MAX];
    char *end;
    find_argument(arguments, "rate", value);
    int result = parse_rate(value, &side->all.rate, error);
    find_argument(arguments, "seed", value);
    side->all.state = (int64_t)strtoull(value, NULL, 10);
    find_argument(arguments, "recv-msg-mask", value);
    side->type_mask = value[0] == '\0' ? UINT32_MAX : (uint32_t)strtoul(value, &end, 16);
    return result < 0 || value[0] == '\0' || *end == '\0'
               ? result
               : error_set(error, -EINVAL, "'%s' is no mask in hexadecimal", value);
}

static int parse_gaps(struct interceptor_gaps *gaps, const char *arguments, bool is_multi,
                      struct tern_error *error) {
    const char *const names[] = {"term-id", is_multi ? "gap-radix" : "term-offset",
                                 is_multi ? "gap-length" : "length", "total-gaps"};
    int64_t numbers[4] = {0, 0, 0, 1};
    int result = 0;
    for (int i = 0; result == 0 && i < (is_multi ? 4 : 3); i++) {
        result = find_number(arguments, names[i], &numbers[i], error);
    }
    if (result < 0) {
        return result;
    }
    if (numbers[1] < is_multi || numbers[2] < 1 || numbers[3] < 1) {
        return error_set(error, -EINVAL, "'%.80s' names no gap", arguments);
    }
    gaps->is_on = true;
    gaps->term_id = (int32_t)numbers[0];
    gaps->offset = is_multi ? 0 : (int32_t)numbers[1];
    gaps->radix = is_multi ? (int32_t)numbers[1] : 0;
    gaps->length = (int32_t)numbers[2];
    gaps->count = (int32_t)numbers[3];
    return 0;
}

bool interceptor_is_known(const char *name) {
    return strcmp(name, "loss") == 0 || strcmp(name, "fixed-loss") == 0 ||
           strcmp(name, "multi-gap-loss") == 0;
}

static bool is_any_known(const char *list) {
    char name[DRIVER_PLUGIN_NAME_MAX];
    bool is_found = false;
    while (!is_found && option_list_next(&list, name, sizeof name)) {
        is_found = interceptor_is_known(name);
    }
    return is_found;
}

static int add_named(struct interceptor_side *side, const char *name,
                     const struct driver_conf *conf, const char **key, struct tern_error *error) {
    if (strcmp(name, "loss") == 0) {
        *key = "udp_channel_transport_bindings_loss_args";
        return parse_loss(side, conf->loss_args, error);
    }
    if (strcmp(name, "fixed-loss") == 0) {
        *key = "udp_channel_transport_bindings_fixed_loss_args";
        return parse_gaps(&side->fixed, conf->fixed_loss_args, false, error);
    }
    if (strcmp(name, "multi-gap-loss") == 0) {
        *key = "udp_channel_transport_bindings_multi_gap_loss_args";
        return parse_gaps(&side->multi, conf->multi_gap_loss_args, true, error);
    }
    return 0; /* a plug-in */
}

static int add_list(struct interceptor_side *side, const char *list, const struct driver_conf *conf,
                    const char **key, struct tern_error *error) {
    char name[DRIVER_PLUGIN_NAME_MAX];
    int result = 0;
    while (result == 0 && option_list_next(&list, name, sizeof name)) {
        result = add_named(side, name, conf, key, error);
    }
    return result;
}

int interceptor_init(struct interceptor *interceptor, const struct driver_conf *conf,
                     const struct net *inner, bool *is_wanted, const char **key,
                     struct tern_error *error) {
    *interceptor = (struct interceptor){0};
    net_layer_init(&interceptor->layer, inner);
    net_layer_drop(&interceptor->layer, &(struct net_filter){may_go, may_come});
    const struct {
        struct interceptor_chance *chance;
        const struct driver_loss_conf *loss;
        const char *key;
    } chances[] = {
        {&interceptor->outgoing.classes[INTERCEPTOR_DATA], &conf->send_data_loss,
         "debug_send_data_loss_rate"},
        {&interceptor->outgoing.classes[INTERCEPTOR_CONTROL], &conf->send_control_loss,
         "debug_send_control_loss_rate"},
        {&interceptor->incoming.classes[INTERCEPTOR_DATA], &conf->receive_data_loss,
         "debug_receive_data_loss_rate"},
        {&interceptor->incoming.classes[INTERCEPTOR_CONTROL], &conf->receive_control_loss,
         "debug_receive_control_loss_rate"},
    };
    *is_wanted =
        is_any_known(conf->outgoing_interceptors) || is_any_known(conf->incoming_interceptors);
    for (size_t i = 0; i < ARRAY_COUNT(chances); i++) {
        *key = chances[i].key;
        int result = parse_rate(chances[i].loss->rate, &chances[i].chance->rate, error);
        if (result < 0) {
            return result;
        }
        chances[i].chance->state = chances[i].loss->seed;
        *is_wanted = *is_wanted || chances[i].chance->rate > 0;
    }
    *key = "udp_channel_outgoing_interceptors";
    int result = add_list(&interceptor->outgoing, conf->outgoing_interceptors, conf, key, error);
    if (result == 0) {
        *key = "udp_channel_incoming_interceptors";
        result = add_list(&interceptor->incoming, conf->incoming_interceptors, conf, key, error);
    }
    return result;
}
