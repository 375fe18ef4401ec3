/* loss-report.dat: who lost how much (shared-memory.md 7). One entry per image and life; the
 * receiver side writes, tools read. The observation count is stored last when an entry is made
 * (release), and is what ends the walk of a reader; every length read back is bounded.
 */
#include "shm/loss_report.h"

#include <errno.h>
#include <string.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/compiler.h"

#define ENTRY_ALIGNMENT 64
#define CHANNEL_LENGTH_OFFSET 40

struct loss_report_entry {
    int64_t observation_count;
    int64_t bytes_lost;
    int64_t first_ms;
    int64_t last_ms;
    int32_t session_id;
    int32_t stream_id;
    /* i32 channel length, channel, pad to 4, i32 source length, source */
};

_Static_assert(sizeof(struct loss_report_entry) == CHANNEL_LENGTH_OFFSET, "entry header");

/* Offset of the source's length within an entry. */
static int64_t source_length_offset(int64_t channel_length) {
    return CHANNEL_LENGTH_OFFSET + align_i64(4 + channel_length, 4);
}

static int64_t entry_length(int64_t channel_length, int64_t source_length) {
    return source_length_offset(channel_length) + 4 + source_length;
}

static const struct loss_report_entry *entry_at(const uint8_t *buffer, int64_t offset) {
    return (const struct loss_report_entry *)(const void *)(buffer + offset);
}

/* Read the texts of the entry at `offset`; returns the entry's length, or 0 when the entry does not
 * lie within the report. */
static int64_t read_texts(const uint8_t *buffer, int64_t length, int64_t offset,
                          struct loss_report_view *view) {
    const uint8_t *entry = buffer + offset;
    int64_t room = length - offset;
    if (entry_length(0, 0) > room) {
        return 0;
    }
    view->channel_length = get_i32(entry + CHANNEL_LENGTH_OFFSET);
    view->channel = (const char *)entry + CHANNEL_LENGTH_OFFSET + 4;
    if (view->channel_length < 0 || entry_length(view->channel_length, 0) > room) {
        return 0;
    }
    int64_t source_offset = source_length_offset(view->channel_length);
    view->source_length = get_i32(entry + source_offset);
    view->source = (const char *)entry + source_offset + 4;
    int64_t total = entry_length(view->channel_length, view->source_length);
    return view->source_length < 0 || total > room ? 0 : total;
}

/* Visit entries (`visit` may be NULL); returns the offset behind the last. */
static int64_t walk(const uint8_t *buffer, int64_t length, loss_report_visitor visit, void *context,
                    int *count) {
    int64_t offset = 0;
    *count = 0;
    while (offset + (int64_t)sizeof(struct loss_report_entry) <= length) {
        const struct loss_report_entry *entry = entry_at(buffer, offset);
        struct loss_report_view view = {0};
        /* Pairs with the release store in create. */
        view.observation_count = load_acquire_i64(&entry->observation_count);
        if (view.observation_count <= 0) {
            break;
        }
        int64_t total = read_texts(buffer, length, offset, &view);
        if (total == 0) {
            break;
        }
        view.bytes_lost = load_acquire_i64(&entry->bytes_lost);
        view.first_ms = load_plain_i64(&entry->first_ms);
        view.last_ms = load_acquire_i64(&entry->last_ms);
        view.session_id = entry->session_id;
        view.stream_id = entry->stream_id;
        if (visit != NULL) {
            visit(context, &view);
        }
        (*count)++;
        offset += align_i64(total, ENTRY_ALIGNMENT);
    }
    return offset;
}

int loss_report_init(struct loss_report *report, uint8_t *buffer, int64_t length) {
    if (buffer == NULL || length < ENTRY_ALIGNMENT || (uintptr_t)buffer % 8 != 0) {
        return -EINVAL;
    }
    int count;
    *report = (struct loss_report){.buffer = buffer, .length = length};
    report->next_offset = walk(buffer, length, NULL, NULL, &count);
    return 0;
}

struct loss_report_entry *loss_report_create_entry(struct loss_report *report,
                                                   const struct loss_report_params *params) {
    int64_t channel_length = (int64_t)strnlen(params->channel, INT32_MAX);
    int64_t source_length = (int64_t)strnlen(params->source, INT32_MAX);
    int64_t total = entry_length(channel_length, source_length);
    if (total > report->length - report->next_offset) {
        return NULL;
    }
    uint8_t *bytes = report->buffer + report->next_offset;
    struct loss_report_entry *entry = (struct loss_report_entry *)(void *)bytes;
    entry->bytes_lost = params->bytes_lost;
    entry->first_ms = params->now_epoch_ms;
    entry->last_ms = params->now_epoch_ms;
    entry->session_id = params->session_id;
    entry->stream_id = params->stream_id;
    put_i32(bytes + CHANNEL_LENGTH_OFFSET, (int32_t)channel_length);
    memcpy(bytes + CHANNEL_LENGTH_OFFSET + 4, params->channel, (size_t)channel_length);
    int64_t source_offset = source_length_offset(channel_length);
    put_i32(bytes + source_offset, (int32_t)source_length);
    memcpy(bytes + source_offset + 4, params->source, (size_t)source_length);
    store_release_i64(&entry->observation_count, 1);
    report->next_offset += align_i64(total, ENTRY_ALIGNMENT);
    return entry;
}

void loss_report_record(struct loss_report_entry *entry, int64_t bytes_lost, int64_t now_epoch_ms) {
    store_release_i64(&entry->last_ms, now_epoch_ms);
    (void)get_and_add_i64(&entry->bytes_lost, bytes_lost);
    (void)get_and_add_i64(&entry->observation_count, 1);
}

int loss_report_read(const uint8_t *buffer, int64_t length, loss_report_visitor visit,
                     void *context) {
    int count;
    (void)walk(buffer, length, visit, context, &count);
    return count;
}
