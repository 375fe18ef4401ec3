/* loss-report.dat (shared-memory.md 7). One writer (the receiver side), any reader. */
#ifndef TERN_SHM_LOSS_REPORT_H
#define TERN_SHM_LOSS_REPORT_H

#include <stdint.h>

#define LOSS_REPORT_FILE_NAME "loss-report.dat"

struct loss_report {
    uint8_t *buffer;
    int64_t length;
    int64_t next_offset;
};

struct loss_report_entry; /* the record in the file */

/* `buffer` starts at a multiple of 8; entries that are there already are kept. */
int loss_report_init(struct loss_report *report, uint8_t *buffer, int64_t length);

struct loss_report_params {
    int64_t bytes_lost;
    int64_t now_epoch_ms;
    int32_t session_id;
    int32_t stream_id;
    const char *channel;
    const char *source;
};

/* A new entry with one observation; NULL when there is no room. */
struct loss_report_entry *loss_report_create_entry(struct loss_report *report,
                                                   const struct loss_report_params *params);
void loss_report_record(struct loss_report_entry *entry, int64_t bytes_lost,
                        int64_t now_epoch_ms);

struct loss_report_view {
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
typedef void (*loss_report_visitor)(void *context, const struct loss_report_view *entry);
/* Returns the number of entries. The texts point into the buffer. */
int loss_report_read(const uint8_t *buffer, int64_t length, loss_report_visitor visit,
                     void *context);

#endif
