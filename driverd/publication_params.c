/* Parameters of a publication: what the URI says over what the driver is configured for
 * (media-driver.md 2.1 to 2.3). Pure; errors name the key, the value and what is allowed. */
#include "driverd/publication.h"

#include <errno.h>
#include <string.h>

#include "driverd/driver_conf.h"
#include "driverd/driver_context.h"
#include "driverd/timestamp.h"

#define MAX_RESEND_LIMIT 256
#define SESSION_TAG_PREFIX "tag:"

static int refuse(struct tern_error *error, const char *key, const char *value,
                  const char *allowed) {
    return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC), "%s=%.60s: %s", key, value,
                     allowed);
}

static void set_defaults(struct publication_params *params, enum publication_kind kind,
                         const struct driver_conf *conf) {
    bool is_ipc = kind == PUBLICATION_IPC;
    *params = (struct publication_params){
        .term_length = is_ipc ? conf->ipc_term_buffer_length : conf->term_buffer_length,
        .mtu_length = is_ipc ? conf->ipc_mtu_length : conf->mtu_length,
        .max_resend = conf->max_resend,
        .linger_timeout_ns = conf->linger_timeout_ns,
        .untethered_window_limit_timeout_ns = conf->untethered_window_limit_timeout_ns,
        .untethered_linger_timeout_ns = driver_conf_untethered_linger_ns(conf),
        .untethered_resting_timeout_ns = conf->untethered_resting_timeout_ns,
        .signal_eos = true,
        .is_sparse = conf->term_buffer_sparse,
        .spies_simulate_connection = conf->spies_simulate_connection,
        .send_timestamp_offset = TIMESTAMP_NONE,
        .entity_tag = -1,
        .response_correlation_id = RESPONSE_CORRELATION_NONE,
    };
}

static int parse_term_length(struct publication_params *params, const struct uri *uri,
                             struct tern_error *error) {
    int64_t value;
    int result = uri_get_size(uri, "term-length", &value, error);
    bool is_prototype = params->response_correlation_id == RESPONSE_CORRELATION_PROTOTYPE;
    if (result == 0 && is_prototype) {
        params->term_length = LOG_TERM_LENGTH_MIN;
    }
    if (result <= 0) {
        return result;
    }
    if (!log_term_length_is_valid(value)) {
        return refuse(error, "term-length", uri_get(uri, "term-length"),
                      "must be a power of two from 64k to 1g");
    }
    params->term_length = is_prototype ? LOG_TERM_LENGTH_MIN : (int32_t)value;
    params->has_term_length = !is_prototype;
    return 0;
}

/* Before the term length: a prototype holds no data (2.13). */
static int parse_response(struct publication_params *params, const struct uri *uri,
                          struct tern_error *error) {
    const char *mode = uri_get(uri, "control-mode");
    const char *id = uri_get(uri, "response-correlation-id");
    params->is_response = mode != NULL && strcmp(mode, "response") == 0;
    if (id == NULL) {
        return params->is_response ? error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                                               "control-mode=response of a publication needs "
                                               "response-correlation-id")
                                   : 0;
    }
    if (strcmp(id, "prototype") == 0) {
        params->response_correlation_id = RESPONSE_CORRELATION_PROTOTYPE;
    } else if (parse_i64(id, &params->response_correlation_id) != 0 ||
               params->response_correlation_id < 0) {
        return refuse(error, "response-correlation-id", id, "expected an id or prototype");
    }
    return 0;
}

static int parse_mtu(struct publication_params *params, const struct uri *uri,
                     struct tern_error *error) {
    int64_t value;
    int result = uri_get_size(uri, "mtu", &value, error);
    if (result <= 0) {
        return result;
    }
    if (!log_mtu_is_valid(value)) {
        return refuse(error, "mtu", uri_get(uri, "mtu"),
                      "must be a multiple of 32 from 64 to 65504");
    }
    params->mtu_length = (int32_t)value;
    params->has_mtu_length = true;
    return 0;
}

static int32_t configured_window(enum publication_kind kind, const struct driver_conf *conf) {
    return kind == PUBLICATION_IPC ? conf->ipc_publication_window_length
                                   : conf->publication_window_length;
}

/* `wanted` is the URI's, else there is the configured. */
static int set_window(struct publication_params *params, int64_t wanted, int32_t configured,
                      struct tern_error *error) {
    int32_t window_max = params->term_length / 2;
    if (!params->has_window_length) {
        wanted = configured == 0 ? window_max : min_i32(configured, window_max);
        wanted = max_i64(wanted, min_i32(params->mtu_length, window_max));
    } else if (wanted < params->mtu_length || wanted > window_max) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "pub-wnd=%lld: must be from mtu=%d to half of term-length=%d",
                         (long long)wanted, params->mtu_length, params->term_length);
    }
    params->window_length = (int32_t)wanted;
    return 0;
}

/* After term length and MTU, which bound it; with session-id=tag: they are not known yet. */
static int parse_window(struct publication_params *params, const struct uri *uri,
                        int32_t configured, struct tern_error *error) {
    int64_t value = 0;
    int result = uri_get_size(uri, "pub-wnd", &value, error);
    params->has_window_length = result == 1;
    if (result >= 0 && params->has_session_tag) {
        params->window_length = (int32_t)min_i64(value, INT32_MAX);
        return 0; /* publication_params_take_geometry goes on */
    }
    return result < 0 ? result : set_window(params, value, configured, error);
}

static int parse_session(struct publication_params *params, const struct uri *uri,
                         struct tern_error *error) {
    const char *value = uri_get(uri, "session-id");
    size_t prefix_length = strlen(SESSION_TAG_PREFIX);
    if (value != NULL && strncmp(value, SESSION_TAG_PREFIX, prefix_length) == 0) {
        if (parse_i64(value + prefix_length, &params->session_tag) != 0) {
            return refuse(error, "session-id", value, "expected tag:<number>");
        }
        params->has_session_tag = true;
        return 0;
    }
    int result = uri_get_i32(uri, "session-id", &params->session_id, error);
    params->has_session_id = result == 1;
    return result;
}

static int check_position(const struct publication_params *params, struct tern_error *error) {
    if (log_term_count(params->term_id, params->initial_term_id) < 0) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "term-id=%d: must not be before init-term-id=%d", params->term_id,
                         params->initial_term_id);
    }
    if (params->term_offset < 0 || params->term_offset > params->term_length ||
        params->term_offset % LOG_FRAME_ALIGNMENT != 0) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "term-offset=%d: must be a multiple of 32 from 0 to term-length=%d",
                         params->term_offset, params->term_length);
    }
    return 0;
}

/* All three keys or none. */
static int parse_position(struct publication_params *params, const struct uri *uri,
                          struct tern_error *error) {
    int initial = uri_get_i32(uri, "init-term-id", &params->initial_term_id, error);
    int term = initial < 0 ? initial : uri_get_i32(uri, "term-id", &params->term_id, error);
    int offset = term < 0 ? term : uri_get_i32(uri, "term-offset", &params->term_offset, error);
    if (offset < 0) {
        return offset;
    }
    int count = initial + term + offset;
    if (count != 0 && count != 3) {
        const char *missing = initial == 0 ? "init-term-id" : term == 0 ? "term-id" : "term-offset";
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "%s is missing: init-term-id, term-id and term-offset come together",
                         missing);
    }
    params->has_position = count == 3;
    bool is_checked = params->has_position && !params->has_session_tag;
    return is_checked ? check_position(params, error) : 0;
}

static int parse_times(struct publication_params *params, const struct uri *uri,
                       struct tern_error *error) {
    static const char window_key[] = "untethered-window-limit-timeout";
    int64_t linger_ns = -1;
    int result = uri_get_duration_ns(uri, "linger", &params->linger_timeout_ns, error);
    int window = result < 0
                     ? result
                     : uri_get_duration_ns(uri, window_key,
                                           &params->untethered_window_limit_timeout_ns, error);
    result = window < 0 ? window
                        : uri_get_duration_ns(uri, "untethered-linger-timeout", &linger_ns, error);
    result = result < 0 ? result
                        : uri_get_duration_ns(uri, "untethered-resting-timeout",
                                              &params->untethered_resting_timeout_ns, error);
    if (result < 0) {
        return result;
    }
    if (linger_ns >= 0) {
        params->untethered_linger_timeout_ns = linger_ns;
    } else if (window == 1) {
        params->untethered_linger_timeout_ns = params->untethered_window_limit_timeout_ns;
    }
    return 0;
}

static int parse_flags(struct publication_params *params, const struct uri *uri,
                       struct tern_error *error) {
    int result = uri_get_bool(uri, "eos", &params->signal_eos, error);
    result = result < 0 ? result : uri_get_bool(uri, "sparse", &params->is_sparse, error);
    result =
        result < 0 ? result : uri_get_bool(uri, "ssc", &params->spies_simulate_connection, error);
    params->has_spies_simulate_connection = result == 1;
    return result;
}

/* `tags=<channel tag>[,<entity tag>]`. */
static int parse_tags(struct publication_params *params, const struct uri *uri,
                      struct tern_error *error) {
    const char *tags = uri_get(uri, "tags");
    const char *comma = tags == NULL ? NULL : strchr(tags, ',');
    if (comma != NULL && parse_i64(comma + 1, &params->entity_tag) != 0) {
        return refuse(error, "tags", tags, "expected <number>[,<number>]");
    }
    return 0;
}

static int parse_buffer(const struct uri *uri, const char *key, int32_t *bytes,
                        struct tern_error *error) {
    int64_t value = 0;
    int result = uri_get_size(uri, key, &value, error);
    if (result == 1 && value > INT32_MAX) {
        return refuse(error, key, uri_get(uri, key), "must be below 2g");
    }
    *bytes = (int32_t)value;
    return result;
}

static int parse_timestamp(struct publication_params *params, const struct uri *uri,
                           struct tern_error *error) {
    struct timestamp_offsets offsets;
    int result = timestamp_offsets_parse(&offsets, uri, error);
    if (result == 0) {
        params->send_timestamp_offset = offsets.channel_send;
        params->has_send_timestamp = offsets.channel_send != TIMESTAMP_NONE;
    }
    return result;
}

/* Keys that only network publications use. */
static int parse_net(struct publication_params *params, const struct uri *uri,
                     struct tern_error *error) {
    int result = uri_get_i32(uri, "max-resend", &params->max_resend, error);
    if (result == 1 && (params->max_resend < 1 || params->max_resend > MAX_RESEND_LIMIT)) {
        return refuse(error, "max-resend", uri_get(uri, "max-resend"), "must be from 1 to 256");
    }
    params->has_max_resend = result == 1;
    result = result < 0 ? result : parse_buffer(uri, "so-sndbuf", &params->so_sndbuf_bytes, error);
    result = result < 0 ? result : parse_buffer(uri, "so-rcvbuf", &params->so_rcvbuf_bytes, error);
    return result < 0 ? result : parse_timestamp(params, uri, error);
}

int publication_params_parse(struct publication_params *params, const struct uri *uri,
                             enum publication_kind kind, const struct driver_conf *conf,
                             struct tern_error *error) {
    bool is_ipc = kind == PUBLICATION_IPC;
    int32_t window = configured_window(kind, conf);
    set_defaults(params, kind, conf);
    int result = parse_response(params, uri, error);
    result = result < 0 ? result : parse_term_length(params, uri, error);
    result = result < 0 ? result : parse_mtu(params, uri, error);
    result = result < 0 ? result : parse_session(params, uri, error);
    result = result < 0 ? result : parse_window(params, uri, window, error);
    result = result < 0 ? result : parse_position(params, uri, error);
    result = result < 0 ? result : parse_times(params, uri, error);
    result = result < 0 ? result : parse_flags(params, uri, error);
    result = result < 0 ? result : parse_tags(params, uri, error);
    result = result < 0 || is_ipc ? result : parse_net(params, uri, error);
    return result < 0 ? result : 0;
}

static int check_same(const char *key, bool is_given, int32_t given, int32_t taken,
                      struct tern_error *error) {
    return !is_given || given == taken
               ? 0
               : error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                           "%s=%d: the publication that session-id=tag: names has %d", key, given,
                           taken);
}

int publication_params_take_geometry(struct publication_params *params,
                                     const struct publication_params *from,
                                     enum publication_kind kind, const struct driver_conf *conf,
                                     struct tern_error *error) {
    int result =
        check_same("mtu", params->has_mtu_length, params->mtu_length, from->mtu_length, error);
    if (result == 0) {
        result = check_same("term-length", params->has_term_length, params->term_length,
                            from->term_length, error);
    }
    if (result < 0) {
        return result;
    }
    params->mtu_length = from->mtu_length;
    params->term_length = from->term_length;
    result = set_window(params, params->window_length, configured_window(kind, conf), error);
    return result == 0 && params->has_position ? check_position(params, error) : result;
}
