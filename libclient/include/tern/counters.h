/* Counters: own ones, reading those of everybody, and a driver's directory for tools
 * (shared-memory.md 2.5 to 2.7, 6, 7, 9.5).
 */
#ifndef TERN_COUNTERS_H
#define TERN_COUNTERS_H

#include <tern/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TERN_COUNTER_KEY_MAX 112
#define TERN_COUNTER_LABEL_MAX 380
#define TERN_NULL_COUNTER_ID (-1)

/* For adding a counter (2.7, 3.1). Key and label are copied; longer ones are refused. */
struct tern_counter_params {
    int32_t type_id; /* >= 1000 for applications */
    const void *key;
    int32_t key_length; /* <= TERN_COUNTER_KEY_MAX */
    const char *label;
    int32_t label_length; /* <= TERN_COUNTER_LABEL_MAX */
};

/* An own counter. All but close are safe on any thread; set and add do nothing and value and add
 * return 0 once closed, for the driver may give the slot to somebody else then. */

/* Where it stands among all counters of the driver, also once closed. */
TERN_API int32_t tern_counter_id(const tern_counter *counter);
/* Correlation id of the command that added it; of a static counter: what the caller chose. */
TERN_API int64_t tern_counter_registration_id(const tern_counter *counter);
/* Its client ended, or the driver took it away; it never becomes false again. */
TERN_API bool tern_counter_is_closed(const tern_counter *counter);
/* Load with acquire order. */
TERN_API int64_t tern_counter_value(const tern_counter *counter);
/* Store with release order. */
TERN_API void tern_counter_set(tern_counter *counter, int64_t value);
/* Add atomically; returns the value before. */
TERN_API int64_t tern_counter_add(tern_counter *counter, int64_t delta);
/* The word itself, for atomic access in place. Valid memory until the handle is closed; do not
 * write to it when is_closed. */
TERN_API int64_t *tern_counter_address(tern_counter *counter);
/* Free the handle; the driver frees the counter, unless it is static. NULL is allowed. */
TERN_API void tern_counter_close(tern_counter *counter);

/* One allocated counter as a visitor sees it. Pointers are valid during the call. */
struct tern_counter_info {
    int32_t id;
    int32_t type_id;
    int64_t value;
    int64_t registration_id;
    int64_t owner_id;
    int64_t reference_id;
    const uint8_t *key; /* TERN_COUNTER_KEY_MAX bytes */
    const char *label;  /* not NUL-terminated */
    int32_t label_length;
};
/* A non-zero result stops the walk. */
typedef int (*tern_counter_visitor)(void *context, const struct tern_counter_info *info);

/* Readers, any thread. An id that is out of range or not allocated gives 0, -1 or NULL as said. */

/* Visit allocated counters in the order of their ids; returns the non-zero result that stopped the
 * walk, or 0. */
TERN_API int tern_counters_for_each(const tern_counters_reader *counters,
                                    tern_counter_visitor visit, void *context);
/* A NUL-terminated text, valid during the call. */
typedef void (*tern_text_visitor)(void *context, const char *text);
/* One text per allocated counter, "id: value - label" in columns, without a newline. Returns how
 * many. */
TERN_API int tern_counters_print(const tern_counters_reader *counters, tern_text_visitor visit,
                                 void *context);
/* The lowest id of an allocated counter with both, or TERN_NULL_COUNTER_ID. Walks all counters. */
TERN_API int32_t tern_counters_find(const tern_counters_reader *counters, int32_t type_id,
                                    int64_t registration_id);
/* In use now; false when out of range. */
TERN_API bool tern_counters_is_allocated(const tern_counters_reader *counters, int32_t id);
/* Of a slot (2.5). */
enum tern_counter_state {
    TERN_COUNTER_UNUSED = 0,
    TERN_COUNTER_ALLOCATED = 1,
    TERN_COUNTER_RECLAIMED = -1, /* freed; its slot is used again after the deadline */
};
/* UNUSED when out of range. */
TERN_API enum tern_counter_state tern_counters_state(const tern_counters_reader *counters,
                                                     int32_t id);
/* When the slot may be used again, in epoch ms; INT64_MAX while allocated, 0 when never used or out
 * of range. */
TERN_API int64_t tern_counters_reuse_deadline_ms(const tern_counters_reader *counters, int32_t id);
/* The value, loaded with acquire order; 0 when not allocated. */
TERN_API int64_t tern_counters_value(const tern_counters_reader *counters, int32_t id);
/* -1 when not allocated. */
TERN_API int32_t tern_counters_type_id(const tern_counters_reader *counters, int32_t id);
/* 0 when not allocated. */
TERN_API int64_t tern_counters_registration_id(const tern_counters_reader *counters, int32_t id);
/* The id of the client that added it; -1 when not allocated. */
TERN_API int64_t tern_counters_owner_id(const tern_counters_reader *counters, int32_t id);
/* 0 when not allocated. */
TERN_API int64_t tern_counters_reference_id(const tern_counters_reader *counters, int32_t id);
/* Copies at most size - 1 bytes of the label and a NUL (size > 0); returns the bytes copied, 0 when
 * not allocated. */
TERN_API int32_t tern_counters_label(const tern_counters_reader *counters, int32_t id, char *label,
                                     int32_t size);
/* Copies the key area; false when not allocated. */
TERN_API bool tern_counters_key(const tern_counters_reader *counters, int32_t id,
                                uint8_t key[TERN_COUNTER_KEY_MAX]);
/* The value's word, allocated or not; NULL when out of range. Mapped as long as the client or the
 * cnc that the reader is of. Writable only through a client; read it with acquire order. */
TERN_API int64_t *tern_counters_address(const tern_counters_reader *counters, int32_t id);
/* The highest id that there is room for. */
TERN_API int32_t tern_counters_id_max(const tern_counters_reader *counters);

/* The memory itself, as shared-memory.md 2.5 and 2.6 lay it out: 512 bytes of metadata and 128 of
 * values for each counter. Mapped as long as the client or the cnc that the reader is of. */
struct tern_counters_buffers {
    const uint8_t *values;
    const uint8_t *metadata;
    int64_t values_length;
    int64_t metadata_length;
};
/* Fill `buffers`. */
TERN_API void tern_counters_get_buffers(const tern_counters_reader *counters,
                                        struct tern_counters_buffers *buffers);

/* A driver's directory, read only: for tools, and for looking before connecting. Any thread. */

/* What the file's header says (2.1). */
struct tern_cnc_constants {
    int32_t version;
    int32_t page_size;
    int64_t client_liveness_timeout_ns;
    int64_t start_timestamp_ms;
    int64_t pid;
    int32_t to_driver_length; /* bytes of the sections, with their trailers (2.1) */
    int32_t to_clients_length;
    int32_t counters_metadata_length;
    int32_t counters_values_length;
    int32_t error_log_length;
};

/* Map cnc.dat of the directory (NULL: the default one), whether its driver lives or not. The caller
 * ends it with tern_cnc_close. NULL, with -EAGAIN when there is no (complete) file,
 * TERN_ERROR_VERSION, TERN_ERROR_PROTOCOL, -ENAMETOOLONG, -ENOMEM or -errno. */
TERN_API tern_cnc *tern_cnc_open(const char *directory, struct tern_error *error);
/* Unmap and free it; its counters reader ends with it. NULL is allowed. */
TERN_API void tern_cnc_close(tern_cnc *cnc);
/* Fill `constants`. */
TERN_API void tern_cnc_get_constants(const tern_cnc *cnc, struct tern_cnc_constants *constants);
/* The path of the mapped file; lives as long as the handle. */
TERN_API const char *tern_cnc_path(const tern_cnc *cnc);
/* Epoch ms of the driver's last heartbeat; -1 after a clean stop. */
TERN_API int64_t tern_cnc_driver_heartbeat_ms(const tern_cnc *cnc);
/* All counters; valid until tern_cnc_close. */
TERN_API const tern_counters_reader *tern_cnc_counters(const tern_cnc *cnc);

/* A distinct error, seen `count` times between both epoch ms; the text has no NUL and is valid
 * during the call. */
typedef void (*tern_error_log_visitor)(void *context, int32_t count, int64_t first_ms,
                                       int64_t last_ms, const char *text, int32_t text_length);
/* Visit the distinct errors last seen at or after since_ms (epoch) (7); returns how many. */
TERN_API int tern_cnc_read_errors(const tern_cnc *cnc, int64_t since_ms,
                                  tern_error_log_visitor visit, void *context);

/* What was lost of one stream of one source (7). */
struct tern_loss_entry {
    int64_t observation_count;
    int64_t bytes_lost;
    int64_t first_ms;
    int64_t last_ms;
    int32_t session_id;
    int32_t stream_id;
    const char *channel; /* not NUL-terminated */
    int32_t channel_length;
    const char *source; /* not NUL-terminated */
    int32_t source_length;
};
/* The entry and its texts are valid during the call. */
typedef void (*tern_loss_visitor)(void *context, const struct tern_loss_entry *entry);
/* Visit the entries of loss-report.dat of the directory, as it is now; returns how many, or -errno
 * (-ENOENT when there is no such file). */
TERN_API int tern_cnc_read_losses(const tern_cnc *cnc, tern_loss_visitor visit, void *context,
                                  struct tern_error *error);

/* The default directory (1.1) as a NUL-terminated text, truncated to `size` > 0 bytes. */
TERN_API void tern_driver_default_directory(char *directory, int32_t size);
/* A living driver is there now (1.5): its heartbeat is not older than the time-out. NULL for the
 * directory: the default one. */
TERN_API bool tern_driver_is_active(const char *directory, int64_t driver_timeout_ms);
/* Ask the driver to stop (3.1, 0x0E); it decides by the token, of at most 4096 bytes. 0 when the
 * command was written; -EINVAL for a longer token, TERN_ERROR_DRIVER_BUFFER_FULL, else as
 * tern_cnc_open. */
TERN_API int tern_driver_request_termination(const char *directory, const void *token,
                                             int32_t token_length, struct tern_error *error);

#ifdef __cplusplus
}
#endif

#endif
