/* recording.log: the terms of the log and the snapshots of a node (cluster.md 5.1, 3.6.4).
 *
 * Entries are kept in memory in the order in which readers sort them. Every change is on disk when
 * the function returns: the file is small and written a few times per term and snapshot, and what
 * follows (votes, positions, recovery) depends on it.
 */
#ifndef TERN_CONSENSUSD_RECORDING_LOG_H
#define TERN_CONSENSUSD_RECORDING_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/store.h"

#define RECORDING_LOG_FILE_NAME "recording.log"
#define RECORDING_LOG_NULL (-1)
#define RECORDING_LOG_ENDPOINT_MAX 4044
#define RECORDING_LOG_MODULE_SERVICE_ID (-1)

enum recording_log_entry_type {
    RECORDING_LOG_TERM = 0,
    RECORDING_LOG_SNAPSHOT = 1,
    RECORDING_LOG_STANDBY_SNAPSHOT = 2,
};

struct recording_log_entry {
    int64_t recording_id;
    int64_t leadership_term_id;
    int64_t term_base_log_position;
    int64_t log_position; /* TERM: end of the term, RECORDING_LOG_NULL while open */
    int64_t timestamp;
    int32_t service_id;
    enum recording_log_entry_type type;
    bool is_valid;
    int32_t index;  /* ordinal in the file, removed ones counted */
    int64_t offset; /* in the file */
    char *endpoint; /* STANDBY_SNAPSHOT only; owned */
};

/* Owned by the consensus module (or by a tool, which only reads). The store is borrowed. */
struct recording_log {
    const struct store *store;
    int file;
    bool is_open;
    struct recording_log_entry *entries; /* sorted */
    int32_t count;
    int32_t capacity;
    int32_t next_index;
    int64_t file_length; /* where the next record goes */
    bool has_torn_tail;  /* bytes behind the last whole record were left out */
};

/* Open, for writing also create, the file in `directory`. -EBADMSG: damaged. */
int recording_log_open(struct recording_log *log, const struct store *store, const char *directory,
                       bool is_writable, struct tern_error *error);
void recording_log_close(struct recording_log *log);

/* Queries. NULL when there is none. Pointers are valid until the next change. */
const struct recording_log_entry *recording_log_find_term(const struct recording_log *log,
                                                          int64_t term_id);
const struct recording_log_entry *recording_log_last_term(const struct recording_log *log);
/* A valid module snapshot at `index` whose services stand before it, all valid. */
bool recording_log_is_complete_set(const struct recording_log *log, int32_t index,
                                   int32_t service_count);
/* The newest valid module snapshot that has all its services: its index in entries, else -1. The
 * services' entries stand before it: service i at index - 1 - i. */
int32_t recording_log_latest_snapshot(const struct recording_log *log, int32_t service_count);

/* Changes; 0 or a negative code with its text. */
struct recording_log_coherence {
    int64_t recording_id; /* RECORDING_LOG_NULL: do nothing */
    int64_t initial_term_id;
    int64_t initial_base_position;
    int64_t term_id;
    int64_t base_position; /* RECORDING_LOG_NULL: not known */
    int64_t log_position;  /* end of the term, RECORDING_LOG_NULL: not known */
    int64_t timestamp;
};
/* One TERM entry for every term number up to term_id (3.6.4). */
int recording_log_ensure_coherent(struct recording_log *log,
                                  const struct recording_log_coherence *want,
                                  struct tern_error *error);
int recording_log_commit_term(struct recording_log *log, int64_t term_id, int64_t log_position,
                              struct tern_error *error);
/* The log was cut at `position`: terms end there, and later ones have no bytes. */
int recording_log_truncate(struct recording_log *log, int64_t position, struct tern_error *error);
/* A set of snapshots: `entries` in the order in which they are to stand in the file. */
int recording_log_append_snapshots(struct recording_log *log,
                                   const struct recording_log_entry *entries, int32_t count,
                                   struct tern_error *error);
int recording_log_invalidate(struct recording_log *log, int32_t index, struct tern_error *error);

#endif
