/* The parts that every noun of the driver uses: counters by stream, responses to clients, the error
 * log, messages to the conductor; and the making of cnc.dat at start.
 *
 * The order at start follows shared-memory.md 1.4: everything that a client may look at is there
 * before the version is published. All functions but the posting ones belong to the conductor.
 */
#include "driverd/driver_context.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/error.h"
#include "driverd/driver_message.h"
#include "driverd/system_counters.h"
#include "driverd/trace.h"

/* Longest response: an error or a path with its fixed part. */
#define RESPONSE_LENGTH_MAX 8192

static int create_cnc(struct driver_context *context, struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    char path[DRIVER_DIRECTORY_MAX + 16];
    (void)snprintf(path, sizeof path, "%s/%s", conf->directory, CNC_FILE_NAME);
    const struct cnc_params params = {
        .to_driver_length = conf->conductor_buffer_length,
        .to_clients_length = conf->clients_buffer_length,
        .counters_values_length = conf->counters_buffer_length,
        .error_log_length = conf->error_buffer_length,
        .client_liveness_timeout_ns = conf->client_liveness_timeout_ns,
        .start_timestamp_ms = context->now_epoch_ms,
        .pid = getpid(),
        .page_size = conf->file_page_size,
    };
    return cnc_create(&context->cnc, path, &params, error);
}

static int create_loss_report(struct driver_context *context, struct tern_error *error) {
    const struct driver_conf *conf = context->conf;
    char path[DRIVER_DIRECTORY_MAX + 32];
    (void)snprintf(path, sizeof path, "%s/%s", conf->directory, LOSS_REPORT_FILE_NAME);
    int64_t length = align_i64(conf->loss_report_buffer_length, conf->file_page_size);
    int result = mapped_file_create(&context->loss_report_file, path, length, false, error);
    if (result < 0) {
        return result;
    }
    return loss_report_init(&context->loss_report, context->loss_report_file.address, length);
}

/* Views over what was just made: their lengths are valid, so none of them can fail. */
static void open_sections(struct driver_context *context) {
    struct cnc *cnc = &context->cnc;
    int result = ring_mpsc_init(&context->to_driver, cnc->to_driver, cnc->to_driver_length);
    assert(result == 0);
    result =
        broadcast_transmitter_init(&context->to_clients, cnc->to_clients, cnc->to_clients_length);
    assert(result == 0);
    result = error_log_init(&context->error_log, cnc->error_log, cnc->error_log_length);
    assert(result == 0);
    (void)result;
}

static int open_queue(struct driver_context *context, struct tern_error *error) {
    const size_t length = DRIVER_QUEUE_LENGTH + RING_TRAILER_LENGTH;
    context->to_conductor_memory = aligned_alloc(CACHE_LINE_LENGTH, length);
    if (context->to_conductor_memory == NULL) {
        return error_set(error, -ENOMEM, "no memory for the conductor's queue");
    }
    memset(context->to_conductor_memory, 0, length);
    return ring_mpsc_init(&context->to_conductor, context->to_conductor_memory, (int64_t)length);
}

int driver_context_open(struct driver_context *context, const struct driver_conf *conf,
                        const struct io *io, struct tern_error *error) {
    *context = (struct driver_context){.conf = conf, .io = *io, .names_net = io->net};
    context->now_ns = clock_now_ns(io->clock);
    context->now_epoch_ms = clock_epoch_ms(io->clock);
    context->next_session_id = random_i32(io->random);
    if (io->net->buffer_limits(io->net->context, &context->buffer_limits, NULL) < 0) {
        context->buffer_limits = (struct net_buffer_limits){0}; /* informative: no reason to fail */
    }
    int result = create_cnc(context, error);
    if (result == 0) {
        open_sections(context);
        result = create_loss_report(context, error);
    }
    if (result == 0) {
        result = open_queue(context, error);
    }
    if (result == 0) {
        result = io->net->poller_open(io->net->context, &context->conductor_poller, error);
    }
    if (result == 0) {
        const struct cnc *cnc = &context->cnc;
        result = counters_manager_init(&context->counters, cnc->counters_metadata,
                                       cnc->counters_metadata_length, cnc->counters_values,
                                       cnc->counters_values_length,
                                       conf->counters_reuse_timeout_ns / NS_PER_MS);
    }
    if (result == 0) {
        result = system_counters_create(context, error);
    }
    if (result < 0) {
        driver_context_close(context);
    }
    return result;
}

void driver_context_publish(struct driver_context *context) {
    /* No client id or registration id is ever 0: that value means "none" in places. */
    (void)driver_context_next_id(context);
    ring_mpsc_set_consumer_heartbeat(&context->to_driver, context->now_epoch_ms);
    cnc_publish(&context->cnc);
}

void driver_context_signal_end(struct driver_context *context) {
    if (context->cnc.header != NULL && context->to_driver.trailer != NULL) {
        ring_mpsc_set_consumer_heartbeat(&context->to_driver, -1);
        (void)mapped_file_sync(&context->cnc.file);
    }
}

void driver_context_close(struct driver_context *context) {
    if (context->conf == NULL) {
        return;
    }
    counters_manager_close(&context->counters);
    mapped_file_close(&context->loss_report_file);
    cnc_close(&context->cnc);
    free(context->to_conductor_memory);
    if (context->conductor_poller != NULL) {
        context->io.net->poller_close(context->io.net->context, context->conductor_poller);
    }
    *context = (struct driver_context){0};
}

bool driver_context_post(struct driver_context *context, int32_t type, const void *message,
                         int32_t length) {
    const struct net *net = context->io.net;
    if (ring_mpsc_write(&context->to_conductor, type, message, length) == RING_OK) {
        net->wake(net->context, context->conductor_poller);
        return true;
    }
    context_count(context, SYSTEM_COUNTER_CONDUCTOR_PROXY_FAILS, 1);
    return false;
}

void driver_context_post_error(struct driver_context *context, const struct tern_error *error) {
    struct message_error message = {.code = error->code};
    (void)snprintf(message.text, sizeof message.text, "%s", error->text);
    (void)driver_context_post(context, DRIVER_MESSAGE_ERROR, &message, sizeof message);
}

/* Number in the log: the driver's code or the errno, both positive. */
static int log_code(int code) {
    if (code <= TERN_ERROR_DRIVER_BASE && code > TERN_ERROR_ARCHIVE_BASE) {
        return TERN_ERROR_DRIVER_BASE - code;
    }
    return code < 0 && code > -1000 ? -code : code;
}

void driver_context_log_error(struct driver_context *context, const struct tern_error *error) {
    int code = log_code(error->code);
    context_count(context, SYSTEM_COUNTER_ERRORS, 1);
    int result = error_log_record(&context->error_log, code, error->text, context->now_epoch_ms);
    /* Once: a client that errs without end must not fill the journal, too. */
    bool is_first_lost = result < 0 && !context->is_error_log_full;
    context->is_error_log_full = context->is_error_log_full || result < 0;
    if ((result > 0 || is_first_lost) && context->on_new_error != NULL) {
        context->on_new_error(context->on_new_error_context, error);
    }
}

int64_t driver_context_next_id(struct driver_context *context) {
    return ring_mpsc_next_correlation_id(&context->to_driver);
}

void driver_context_respond(struct driver_context *context, const struct response *response) {
    uint8_t payload[RESPONSE_LENGTH_MAX];
    int32_t length = response_encode(response, payload, sizeof payload);
    assert(length > 0);
    trace_message(context, TRACE_RESPONSE,
                  (struct trace_message){response->type, length, payload, context->now_ns});
    int result = broadcast_transmit(&context->to_clients, response->type, payload, length);
    assert(result == 0);
    (void)result;
}

void driver_context_respond_success(struct driver_context *context, int64_t correlation_id) {
    const struct response response = {.type = RESPONSE_OPERATION_SUCCESS,
                                      .correlation_id = correlation_id};
    driver_context_respond(context, &response);
}

void driver_context_respond_error(struct driver_context *context, int64_t correlation_id,
                                  const struct tern_error *error) {
    const struct response response = {
        .type = RESPONSE_ERROR,
        .correlation_id = correlation_id,
        .error_code = driver_error_code(error),
        .text = {error->text, (int32_t)strnlen(error->text, sizeof error->text)},
    };
    driver_context_respond(context, &response);
}

int32_t driver_context_allocate_counter(struct driver_context *context,
                                        const struct counter_params *params,
                                        struct tern_error *error) {
    int32_t id = counters_manager_allocate(&context->counters, params, context->now_epoch_ms);
    if (id < 0) {
        return error_set(error, DRIVER_ERROR(DRIVER_ERROR_GENERIC),
                         "unable to allocate a counter of type %d: all %d are in use",
                         params->type_id, context->counters.id_max + 1);
    }
    return id;
}

void driver_context_free_counter(struct driver_context *context, int32_t *counter_id) {
    if (*counter_id >= 0) {
        counters_manager_free(&context->counters, *counter_id, context->now_epoch_ms);
        *counter_id = COUNTER_NULL_ID;
    }
}

int32_t driver_context_stream_counter(struct driver_context *context,
                                      const struct stream_counter_params *params,
                                      struct tern_error *error) {
    uint8_t key[COUNTER_KEY_LENGTH_MAX];
    char label[COUNTER_LABEL_LENGTH_MAX + 1];
    int32_t label_length =
        counter_stream_label(label, params->name, params->key_id, params->session_id,
                             params->stream_id, params->channel);
    if (params->label_suffix != NULL) {
        int room = (int)sizeof label - label_length;
        int added = snprintf(label + label_length, (size_t)room, "%s", params->label_suffix);
        label_length += min_i32(added, room - 1);
    }
    const struct counter_params counter = {
        .type_id = (int32_t)params->type,
        .key = key,
        .key_length = counter_stream_key(key, params->key_id, params->session_id, params->stream_id,
                                         params->channel),
        .label = label,
        .label_length = label_length,
        .registration_id = params->registration_id,
        .owner_id = params->owner_id,
        .reference_id = params->reference_id,
        .initial_value = params->initial_value,
    };
    return driver_context_allocate_counter(context, &counter, error);
}

int32_t driver_error_code(const struct tern_error *error) {
    int code = error->code;
    if (code < TERN_ERROR_DRIVER_BASE && code > TERN_ERROR_ARCHIVE_BASE) {
        return TERN_ERROR_DRIVER_BASE - code;
    }
    if (code == TERN_ERROR_INVALID_URI) {
        return DRIVER_ERROR_INVALID_CHANNEL;
    }
    return code == -ENOSPC ? DRIVER_ERROR_STORAGE_SPACE : DRIVER_ERROR_GENERIC;
}
