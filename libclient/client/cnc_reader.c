/* A driver's directory seen from outside, for tools: cnc.dat and loss-report.dat mapped read only,
 * plus the two things that are asked of a driver without being its client: is it alive, and please
 * stop (shared-memory.md 1.5, 2, 3.1, 7). */
#include "client/core.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shm/error_log.h"
#include "shm/loss_report.h"

#define PATH_LENGTH_MAX (CLIENT_DIRECTORY_MAX + 64)
#define TOKEN_LENGTH_MAX 4096
#define TERMINATE_LENGTH_MAX (TOKEN_LENGTH_MAX + 64)

struct tern_cnc {
    struct cnc cnc;
    struct tern_counters_reader counters;
    char directory[CLIENT_DIRECTORY_MAX];
    char path[PATH_LENGTH_MAX];
};

static int set_directory(char out[CLIENT_DIRECTORY_MAX], const char *directory,
                         struct tern_error *error) {
    if (directory == NULL) {
        cnc_default_directory(out, CLIENT_DIRECTORY_MAX);
        return 0;
    }
    if (strlen(directory) >= CLIENT_DIRECTORY_MAX) {
        return error_set(error, -ENAMETOOLONG, "driver directory has %zu bytes; at most %d",
                         strlen(directory), CLIENT_DIRECTORY_MAX - 1);
    }
    (void)snprintf(out, CLIENT_DIRECTORY_MAX, "%s", directory);
    return 0;
}

static int open_cnc(struct cnc *cnc, const char *directory, bool read_only,
                    struct tern_error *error) {
    char path[PATH_LENGTH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", directory, CNC_FILE_NAME);
    return cnc_open(cnc, path, read_only, error);
}

tern_cnc *tern_cnc_open(const char *directory, struct tern_error *error) {
    tern_cnc *cnc = calloc(1, sizeof *cnc);
    if (cnc == NULL) {
        (void)error_set(error, -ENOMEM, "no memory");
        return NULL;
    }
    if (set_directory(cnc->directory, directory, error) != 0 ||
        open_cnc(&cnc->cnc, cnc->directory, true, error) != 0) {
        free(cnc);
        return NULL;
    }
    (void)snprintf(cnc->path, sizeof cnc->path, "%s/%s", cnc->directory, CNC_FILE_NAME);
    const struct cnc *view = &cnc->cnc;
    if (counters_reader_init(&cnc->counters.reader, view->counters_metadata,
                             view->counters_metadata_length, view->counters_values,
                             view->counters_values_length) != 0) {
        (void)error_set(error, TERN_ERROR_PROTOCOL, "the counter sections of %s/%s do not match",
                        cnc->directory, CNC_FILE_NAME);
        tern_cnc_close(cnc);
        return NULL;
    }
    return cnc;
}

void tern_cnc_close(tern_cnc *cnc) {
    if (cnc != NULL) {
        cnc_close(&cnc->cnc);
        free(cnc);
    }
}

void tern_cnc_get_constants(const tern_cnc *cnc, struct tern_cnc_constants *constants) {
    const struct cnc_header *header = cnc->cnc.header;
    *constants = (struct tern_cnc_constants){
        .version = header->version,
        .page_size = header->page_size,
        .client_liveness_timeout_ns = header->client_liveness_timeout_ns,
        .start_timestamp_ms = header->start_timestamp_ms,
        .pid = header->pid,
        .to_driver_length = cnc->cnc.to_driver_length,
        .to_clients_length = cnc->cnc.to_clients_length,
        .counters_metadata_length = cnc->cnc.counters_metadata_length,
        .counters_values_length = cnc->cnc.counters_values_length,
        .error_log_length = cnc->cnc.error_log_length,
    };
}

const char *tern_cnc_path(const tern_cnc *cnc) {
    return cnc->path;
}

int64_t tern_cnc_driver_heartbeat_ms(const tern_cnc *cnc) {
    return cnc_driver_heartbeat_ms(&cnc->cnc);
}

const tern_counters_reader *tern_cnc_counters(const tern_cnc *cnc) {
    return &cnc->counters;
}

int tern_cnc_read_errors(const tern_cnc *cnc, int64_t since_ms, tern_error_log_visitor visit,
                         void *context) {
    return error_log_read(cnc->cnc.error_log, cnc->cnc.error_log_length, since_ms, visit, context);
}

struct loss_visit {
    tern_loss_visitor visitor;
    void *context;
};

static void visit_loss(void *argument, const struct loss_report_view *view) {
    const struct loss_visit *visit = argument;
    const struct tern_loss_entry entry = {
        .observation_count = view->observation_count,
        .bytes_lost = view->bytes_lost,
        .first_ms = view->first_ms,
        .last_ms = view->last_ms,
        .session_id = view->session_id,
        .stream_id = view->stream_id,
        .channel = view->channel,
        .channel_length = view->channel_length,
        .source = view->source,
        .source_length = view->source_length,
    };
    visit->visitor(visit->context, &entry);
}

int tern_cnc_read_losses(const tern_cnc *cnc, tern_loss_visitor visit, void *context,
                         struct tern_error *error) {
    char path[PATH_LENGTH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s", cnc->directory, LOSS_REPORT_FILE_NAME);
    struct mapped_file file;
    int result = mapped_file_open(&file, path, true, error);
    if (result != 0) {
        return result;
    }
    struct loss_visit state = {visit, context};
    result = loss_report_read(file.address, file.length, visit_loss, &state);
    mapped_file_close(&file);
    return result;
}

void tern_driver_default_directory(char *directory, int32_t size) {
    cnc_default_directory(directory, size);
}

bool tern_driver_is_active(const char *directory, int64_t driver_timeout_ms) {
    char resolved[CLIENT_DIRECTORY_MAX];
    return set_directory(resolved, directory, NULL) == 0 &&
           cnc_is_driver_active(resolved, clock_epoch_ms(clock_system()), driver_timeout_ms) == 1;
}

int tern_driver_request_termination(const char *directory, const void *token, int32_t token_length,
                                    struct tern_error *error) {
    char resolved[CLIENT_DIRECTORY_MAX];
    struct cnc cnc = {0};
    struct ring_mpsc ring;
    if (token_length < 0 || token_length > TOKEN_LENGTH_MAX) {
        return error_set(error, -EINVAL, "token of %d bytes; allowed are 0 to %d", token_length,
                         TOKEN_LENGTH_MAX);
    }
    int result = set_directory(resolved, directory, error);
    if (result == 0) {
        result = open_cnc(&cnc, resolved, false, error);
    }
    if (result != 0) {
        return result;
    }
    uint8_t payload[TERMINATE_LENGTH_MAX] = {0};
    result = ring_mpsc_init(&ring, cnc.to_driver, cnc.to_driver_length);
    if (result == 0) {
        const struct command command = {
            .type = COMMAND_TERMINATE_DRIVER,
            .client_id = ring_mpsc_next_correlation_id(&ring),
            .correlation_id = -1,
            .text = {token, token_length},
        };
        int32_t length = command_encode(&command, payload, TERMINATE_LENGTH_MAX);
        result = length < 0 ? length : (int)ring_mpsc_write(&ring, command.type, payload, length);
    }
    if (result != 0) {
        result = error_set(error, TERN_ERROR_DRIVER_BUFFER_FULL,
                           "the driver in %s does not take commands", resolved);
    }
    cnc_close(&cnc);
    return result;
}
