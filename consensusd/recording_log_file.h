/* Records of recording.log in the file: what recording_log.c and recording_log_change.c share. */
#ifndef TERN_CONSENSUSD_RECORDING_LOG_FILE_H
#define TERN_CONSENSUSD_RECORDING_LOG_FILE_H

#include "consensusd/recording_log.h"

#define RECORDING_LOG_ALIGNMENT 64
#define RECORDING_LOG_RECORD_LENGTH_MAX 4096

/* Insert into memory in sorted order; grows the array. */
int recording_log_insert(struct recording_log *log, const struct recording_log_entry *entry);
/* Order of readers: term, base, snapshots last, then file order or position and service. */
int recording_log_compare(const struct recording_log_entry *a, const struct recording_log_entry *b);
/* Write the record at entry->offset; forced by recording_log_sync. */
int recording_log_write(struct recording_log *log, const struct recording_log_entry *entry,
                        struct tern_error *error);
int recording_log_sync(struct recording_log *log, struct tern_error *error);
/* Length in the file, padding included. */
int64_t recording_log_record_length(const struct recording_log_entry *entry);

#endif
