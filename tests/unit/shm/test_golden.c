/* Files of a real Aeron 1.52.2 against what an independent reader found in them: our readers write
 * the same lines. */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/golden.h"
#include "lib/scratch.h"
#include "shm/broadcast.h"
#include "shm/cnc.h"
#include "shm/error_log.h"
#include "shm/log_buffer.h"
#include "shm/loss_report.h"
#include "shm/term_read.h"
#include "wire/command.h"

/* ---- listings ---- */

struct listing {
    char *text;
    char *next;
    int line_count;
    const char *name;
};

static void open_listing(struct listing *listing, const char *name, const char *suffix) {
    char path[128];
    int64_t length;
    (void)snprintf(path, sizeof path, "transport/%s%s", name, suffix);
    *listing = (struct listing){.text = (char *)golden_read(path, &length), .name = name};
    listing->next = listing->text;
}

static const char *next_line(struct listing *listing) {
    listing->line_count++;
    if (listing->next == NULL || listing->next[0] == '\0') {
        return NULL;
    }
    return strsep(&listing->next, "\n");
}

static void expect_line(struct listing *listing, const char *format, ...) {
    static char line[65536];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    const char *expected = next_line(listing);
    cr_assert_not_null(expected, "%s ends before '%s'", listing->name, line);
    cr_assert_str_eq(line, expected, "%s:%d:\n'%s'\n'%s'", listing->name, listing->line_count, line,
                     expected);
}

static void close_listing(struct listing *listing) {
    cr_assert_null(next_line(listing), "%s has more lines", listing->name);
    free(listing->text);
}

static const char *hex(const void *bytes, int32_t length, char *text) {
    for (int32_t i = 0; i < length; i++) {
        sprintf(text + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
    }
    text[2 * length] = '\0';
    return text;
}

/* Inflate a golden file to a scratch file that can be mapped. */
static const char *inflate_to(struct scratch *scratch, const char *name, const char *suffix) {
    char path[128];
    int64_t length;
    (void)snprintf(path, sizeof path, "transport/%s%s", name, suffix);
    uint8_t *bytes = golden_read(path, &length);
    const char *written = scratch_write(scratch, "golden", bytes, (size_t)length);
    free(bytes);
    return written;
}

/* ---- cnc.dat ---- */

static const char *command_name(int32_t type) {
    static const char *names[] = {"",
                                  "ADD_PUBLICATION",
                                  "REMOVE_PUBLICATION",
                                  "ADD_EXCLUSIVE_PUBLICATION",
                                  "ADD_SUBSCRIPTION",
                                  "REMOVE_SUBSCRIPTION",
                                  "CLIENT_KEEPALIVE",
                                  "ADD_DESTINATION",
                                  "REMOVE_DESTINATION",
                                  "ADD_COUNTER",
                                  "REMOVE_COUNTER",
                                  "CLIENT_CLOSE",
                                  "ADD_RCV_DESTINATION",
                                  "REMOVE_RCV_DESTINATION",
                                  "TERMINATE_DRIVER",
                                  "ADD_STATIC_COUNTER",
                                  "REJECT_IMAGE",
                                  "REMOVE_DESTINATION_BY_ID",
                                  "GET_NEXT_AVAILABLE_SESSION_ID"};
    cr_assert(type >= 1 && type <= 0x12);
    return names[type];
}

struct ring_walk {
    struct listing *listing;
    int64_t position;
};

/* What we decode and encode again is what the client sent. The original's reject is longer by a
 * NUL and padding, and its subscriptions leave zero where others write -1. */
static void expect_round_trip(int32_t type, const uint8_t *payload, int32_t length) {
    struct command command;
    uint8_t again[1024];
    cr_assert_eq(command_decode(&command, type, payload, length), 0);
    int32_t again_length = command_encode(&command, again, sizeof again);
    if (type == COMMAND_ADD_SUBSCRIPTION) {
        memset(again + 16, 0, 8);
    }
    cr_assert(again_length == length || (type == COMMAND_REJECT_IMAGE && again_length <= length));
    cr_assert_eq(memcmp(payload, again, (size_t)again_length), 0);
}

static void expect_command(void *context, int32_t type, const uint8_t *payload, int32_t length) {
    struct ring_walk *walk = context;
    char body[4096];
    expect_line(walk->listing, "  cmd pos=%lld length=%d type=0x%02x %s body=%s",
                (long long)walk->position, length + 8, type, command_name(type),
                hex(payload, length, body));
    expect_round_trip(type, payload, length);
    walk->position += align_i64(length + 8, 8);
}

static const char *response_name(int32_t type) {
    static const char *names[] = {"ON_ERROR",
                                  "ON_AVAILABLE_IMAGE",
                                  "ON_PUBLICATION_READY",
                                  "ON_OPERATION_SUCCESS",
                                  "ON_UNAVAILABLE_IMAGE",
                                  "ON_EXCLUSIVE_PUBLICATION_READY",
                                  "ON_SUBSCRIPTION_READY",
                                  "ON_COUNTER_READY",
                                  "ON_UNAVAILABLE_COUNTER",
                                  "ON_CLIENT_TIMEOUT",
                                  "ON_STATIC_COUNTER",
                                  "ON_PUBLICATION_ERROR",
                                  "ON_NEXT_AVAILABLE_SESSION_ID"};
    cr_assert(type >= RESPONSE_ERROR && type <= RESPONSE_NEXT_SESSION_ID);
    return names[type - RESPONSE_ERROR];
}

static void expect_responses(struct listing *listing, const struct cnc *cnc) {
    struct broadcast_receiver receiver;
    cr_assert_eq(broadcast_receiver_init(&receiver, cnc->to_clients, cnc->to_clients_length), 0);
    int64_t trailer[3];
    memcpy(trailer, cnc->to_clients + receiver.capacity, sizeof trailer);
    expect_line(listing,
                "to_clients broadcast: capacity=%lld tail_intent=%lld tail=%lld latest=%lld",
                (long long)receiver.capacity, (long long)trailer[0], (long long)trailer[1],
                (long long)trailer[2]);
    cr_assert_eq(receiver.next_record, trailer[2]);
    receiver.next_record = 0; /* nothing has been overwritten yet */
    int32_t type, length;
    static uint8_t payload[8192], again[8192];
    static char body[16384];
    while (broadcast_receive(&receiver, &type, payload, sizeof payload, &length) == 1) {
        expect_line(listing, "  rsp pos=%lld length=%d type=0x%x %s body=%s",
                    (long long)receiver.cursor, length + 8, type, response_name(type),
                    hex(payload, length, body));
        struct response response;
        cr_assert_eq(response_decode(&response, type, payload, length), 0);
        int32_t again_length = response_encode(&response, again, sizeof again);
        cr_assert_leq(again_length, length);
        /* The original does not clear the padding before the source identity. */
        int32_t pad_from = type == RESPONSE_AVAILABLE_IMAGE ? 32 + response.text.length : length;
        int32_t pad_to = min_i32(align_i32(pad_from, 4), length);
        memset(payload + pad_from, 0, (size_t)(pad_to - pad_from));
        cr_assert_eq(memcmp(payload, again, (size_t)again_length), 0);
    }
    cr_assert_eq(receiver.next_record, trailer[1]);
}

static void expect_counters(struct listing *listing, const struct cnc *cnc) {
    struct counters_reader reader;
    cr_assert_eq(counters_reader_init(&reader, cnc->counters_metadata,
                                      cnc->counters_metadata_length, cnc->counters_values,
                                      cnc->counters_values_length),
                 0);
    for (int32_t id = 0; id <= reader.id_max; id++) {
        enum counter_state state = counters_reader_state(&reader, id);
        if (state == COUNTER_STATE_UNUSED) {
            break;
        }
        char label[COUNTER_LABEL_LENGTH_MAX + 1], key[2 * COUNTER_KEY_LENGTH_MAX + 1];
        (void)counters_reader_label(&reader, id, label, sizeof label);
        int32_t key_length = COUNTER_KEY_LENGTH_MAX;
        while (key_length > 0 && reader.metadata[id].key[key_length - 1] == 0) {
            key_length--;
        }
        expect_line(listing,
                    "  counter id=%d state=%d type=%d value=%lld registration_id=%lld "
                    "owner_id=%lld reference_id=%lld deadline=%lld label='%s' key=%s",
                    id, state, counters_reader_type_id(&reader, id),
                    (long long)counters_reader_value(&reader, id),
                    (long long)counters_reader_registration_id(&reader, id),
                    (long long)counters_reader_owner_id(&reader, id),
                    (long long)counters_reader_reference_id(&reader, id),
                    (long long)reader.metadata[id].free_for_reuse_deadline_ms, label,
                    hex(reader.metadata[id].key, key_length, key));
    }
}

struct error_walk {
    struct listing *listing;
    int64_t offset;
};

/* The listing writes the text as a quoted string with \n for line ends. */
static void expect_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                         const char *text, int32_t text_length) {
    struct error_walk *walk = context;
    static char quoted[8192];
    int used = 0;
    char quote = memchr(text, '\'', (size_t)text_length) != NULL ? '"' : '\'';
    for (int32_t i = 0; i < text_length; i++) {
        used +=
            text[i] == '\n' ? sprintf(quoted + used, "\\n") : sprintf(quoted + used, "%c", text[i]);
    }
    quoted[used] = '\0';
    expect_line(walk->listing,
                "  error offset=%lld length=%d count=%d first_ms=%lld last_ms=%lld text=%c%s%c",
                (long long)walk->offset, 24 + text_length, count, (long long)first_ms,
                (long long)last_ms, quote, quoted, quote);
    walk->offset += align_i64(24 + text_length, 8);
}

static void expect_cnc(const char *name) {
    struct scratch scratch;
    struct listing listing;
    struct cnc cnc;
    struct tern_error error;
    scratch_open(&scratch);
    open_listing(&listing, name, ".cnc.dat.txt");
    cr_assert_eq(cnc_open(&cnc, inflate_to(&scratch, name, ".cnc.dat.gz"), false, &error), 0, "%s",
                 error.text);
    expect_line(&listing,
                "cnc_version=0.2.0 raw=%d to_driver=%d to_clients=%d counter_metadata=%d "
                "counter_values=%d error_log=%d client_liveness_timeout_ns=%lld "
                "start_timestamp_ms=%lld pid=%lld file_page_size=%d file_length=%lld",
                cnc.header->version, cnc.to_driver_length, cnc.to_clients_length,
                cnc.counters_metadata_length, cnc.counters_values_length, cnc.error_log_length,
                (long long)cnc.header->client_liveness_timeout_ns,
                (long long)cnc.header->start_timestamp_ms, (long long)cnc.header->pid,
                cnc.header->page_size, (long long)cnc.file.length);
    const uint8_t *start = cnc.file.address;
    expect_line(&listing,
                "sections start: to_driver=%lld to_clients=%lld counter_metadata=%lld "
                "counter_values=%lld error_log=%lld end=%lld",
                (long long)(cnc.to_driver - start), (long long)(cnc.to_clients - start),
                (long long)(cnc.counters_metadata - start),
                (long long)(cnc.counters_values - start), (long long)(cnc.error_log - start),
                (long long)(cnc.error_log + cnc.error_log_length - start));
    struct ring_mpsc ring;
    cr_assert_eq(ring_mpsc_init(&ring, cnc.to_driver, cnc.to_driver_length), 0);
    int64_t head_cache;
    memcpy(&head_cache, cnc.to_driver + ring.capacity + 256, sizeof head_cache);
    expect_line(&listing,
                "to_driver ring: capacity=%lld tail=%lld head_cache=%lld head=%lld "
                "correlation=%lld consumer_heartbeat_ms=%lld",
                (long long)ring.capacity, (long long)ring_mpsc_producer_position(&ring),
                (long long)head_cache, (long long)ring_mpsc_consumer_position(&ring),
                (long long)ring_mpsc_next_correlation_id(&ring),
                (long long)ring_mpsc_consumer_heartbeat(&ring));
    struct ring_walk walk = {&listing, ring_mpsc_consumer_position(&ring)};
    (void)ring_mpsc_read(&ring, expect_command, &walk, 1000);
    expect_responses(&listing, &cnc);
    expect_counters(&listing, &cnc);
    struct error_walk errors = {&listing, 0};
    (void)error_log_read(cnc.error_log, cnc.error_log_length, 0, expect_error, &errors);
    close_listing(&listing);
    cnc_close(&cnc);
    scratch_close(&scratch);
}

Test(golden, cnc_files_of_the_original_are_read_as_listed) {
    static const char *names[] = {"ipc", "udp-loss", "mdc-dynamic", "commands-stopped",
                                  "commands-after"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_cnc(names[i]);
    }
}

/* ---- log buffers ---- */

static void expect_meta(struct listing *listing, const char *name, int64_t value) {
    expect_line(listing, "meta %s = %lld", name, (long long)value);
}

static void expect_metadata(struct listing *listing, const struct log_buffer *log) {
    const struct log_metadata *m = log->metadata;
    char text[65];
    expect_meta(listing, "file_length", log->file.length);
    for (int i = 0; i < LOG_PARTITION_COUNT; i++) {
        expect_line(listing, "meta tail[%d] = term_id=%d offset=%d", i,
                    log_raw_tail_term_id(m->raw_tails[i]),
                    log_raw_tail_offset(m->raw_tails[i], INT32_MAX));
    }
    expect_meta(listing, "active_term_count", m->active_term_count);
    expect_meta(listing, "end_of_stream_position", m->end_of_stream_position);
    expect_meta(listing, "is_connected", m->is_connected);
    expect_meta(listing, "active_transport_count", m->active_transport_count);
    expect_meta(listing, "correlation_id", m->correlation_id);
    expect_meta(listing, "initial_term_id", log->initial_term_id);
    expect_meta(listing, "default_frame_header_length", m->default_header_length);
    expect_meta(listing, "mtu_length", log->mtu_length);
    expect_meta(listing, "term_length", log->term_length);
    expect_meta(listing, "page_size", m->page_size);
    expect_meta(listing, "publication_window_length", m->publication_window_length);
    expect_meta(listing, "receiver_window_length", m->receiver_window_length);
    expect_meta(listing, "socket_sndbuf_length", m->socket_sndbuf_length);
    expect_meta(listing, "os_default_socket_sndbuf_length", m->os_default_sndbuf_length);
    expect_meta(listing, "os_max_socket_sndbuf_length", m->os_max_sndbuf_length);
    expect_meta(listing, "socket_rcvbuf_length", m->socket_rcvbuf_length);
    expect_meta(listing, "os_default_socket_rcvbuf_length", m->os_default_rcvbuf_length);
    expect_meta(listing, "os_max_socket_rcvbuf_length", m->os_max_rcvbuf_length);
    expect_meta(listing, "max_resend", m->max_resend);
    expect_line(listing, "meta default_header = %s", hex(m->default_header, 32, text));
    expect_meta(listing, "entity_tag", m->entity_tag);
    expect_meta(listing, "response_correlation_id", m->response_correlation_id);
    expect_meta(listing, "linger_timeout_ns", m->linger_timeout_ns);
    expect_meta(listing, "untethered_window_limit_timeout_ns",
                m->untethered_window_limit_timeout_ns);
    expect_meta(listing, "untethered_resting_timeout_ns", m->untethered_resting_timeout_ns);
    expect_meta(listing, "group", m->group);
    expect_meta(listing, "is_response", m->is_response);
    expect_meta(listing, "rejoin", m->rejoin);
    expect_meta(listing, "reliable", m->reliable);
    expect_meta(listing, "sparse", m->sparse);
    expect_meta(listing, "signal_eos", m->signal_eos);
    expect_meta(listing, "spies_simulate_connection", m->spies_simulate_connection);
    expect_meta(listing, "tether", m->tether);
    expect_meta(listing, "is_publication_revoked", m->is_publication_revoked);
    expect_meta(listing, "type", m->log_type);
    expect_meta(listing, "untethered_linger_timeout_ns", get_i64(m->untethered_linger_timeout_ns));
}

/* One frame line: where it lies is the listing's word, the rest is read through our structs. */
static bool expect_frame(const struct log_buffer *log, const char *expected, const char *name) {
    int part, offset;
    cr_assert_eq(sscanf(expected, "frame part=%d off=%d", &part, &offset), 2, "%s", expected);
    const uint8_t *bytes = log->terms[part] + offset;
    struct frame_header h;
    memcpy(&h, bytes, sizeof h);
    int32_t length = abs(h.frame_length) - LOG_FRAME_HEADER_LENGTH;
    if (length < 0 || length > log->term_length - offset - LOG_FRAME_HEADER_LENGTH) {
        return false; /* bytes that are no frame; listed as they are */
    }
    char line[1024], head[33];
    (void)snprintf(
        line, sizeof line,
        "frame part=%d off=%d frame_length=%d ver=%u flags=0x%02x type=%u "
        "term_offset=%d session=%d stream=%d term_id=%d reserved=%lld position=%lld "
        "payload_len=%d crc32=%08lx head=%s",
        part, offset, h.frame_length, h.version, h.flags, h.type, h.term_offset, h.session_id,
        h.stream_id, h.term_id, (long long)h.reserved_value,
        (long long)log_position(h.term_id, h.term_offset, log->position_bits, log->initial_term_id),
        length, crc32(0, bytes + 32, (unsigned)length), hex(bytes + 32, min_i32(length, 16), head));
    cr_assert_str_eq(line, expected, "%s:\n'%s'\n'%s'", name, line, expected);
    int32_t aligned = term_frame_length_acquire(log->terms[part], log->term_length, offset);
    cr_assert_eq(aligned, h.frame_length > 0 ? log_aligned_frame_length(h.frame_length) : 0);
    return true;
}

Test(golden, log_buffers_of_the_original_are_read_as_listed) {
    static const struct {
        const char *name;
        int frame_count;
    } rows[] = {{"ipc-unread.publications-3", 9}, {"ipc.publications-5", 31},
                {"ipc.publications-6", 2},        {"ipc.publications-8", 0},
                {"udp-rotated.images-4", 70},     {"udp-rotated.publications-3", 64},
                {"udp-loss.images-5", 10},        {"mdc-dynamic.publications-14", 3}};
    struct scratch scratch;
    scratch_open(&scratch);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listing listing;
        struct log_buffer log;
        struct tern_error error;
        open_listing(&listing, rows[i].name, ".logbuffer.txt");
        cr_assert_eq(
            log_buffer_open(&log, inflate_to(&scratch, rows[i].name, ".logbuffer.gz"), &error), 0,
            "%s", error.text);
        (void)next_line(&listing); /* the name */
        expect_metadata(&listing, &log);
        const char *line;
        int count = 0;
        while ((line = next_line(&listing)) != NULL) {
            if (strncmp(line, "frame", 5) == 0) {
                count += expect_frame(&log, line, rows[i].name);
            }
        }
        cr_assert_eq(count, rows[i].frame_count, "%s: %d", rows[i].name, count);
        free(listing.text);
        log_buffer_close(&log);
    }
    /* Whole blocks: the unread log holds eight frames and an aborted claim of 96 bytes. */
    struct log_buffer log;
    const char *path = inflate_to(&scratch, "ipc-unread.publications-3", ".logbuffer.gz");
    cr_assert_eq(log_buffer_open(&log, path, NULL), 0);
    cr_assert_eq(term_block_scan(log.terms[0], log.term_length, 0, log.term_length), 5472);
    cr_assert_eq(term_block_scan(log.terms[0], log.term_length, 5472, log.term_length), 96);
    cr_assert_eq(log_producer_position(&log), 5568);
    log_buffer_close(&log);
    scratch_close(&scratch);
}

/* ---- loss reports ---- */

static void format_time(int64_t epoch_ms, char *text, size_t size) {
    time_t seconds = (time_t)(epoch_ms / 1000);
    struct tm parts;
    char date[32];
    (void)strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", gmtime_r(&seconds, &parts));
    (void)snprintf(text, size, "%s.%03d+0000", date, (int)(epoch_ms % 1000));
}

static void expect_loss(void *context, const struct loss_report_view *view) {
    char first[64], last[64];
    format_time(view->first_ms, first, sizeof first);
    format_time(view->last_ms, last, sizeof last);
    expect_line(context, "%lld,%lld,%s,%s,%d,%d,%.*s,%.*s", (long long)view->observation_count,
                (long long)view->bytes_lost, first, last, view->session_id, view->stream_id,
                view->channel_length, view->channel, view->source_length, view->source);
}

Test(golden, loss_reports_of_the_original_are_read_as_listed) {
    static const char *names[] = {"udp-loss", "udp-randomloss"};
    for (size_t i = 0; i < 2; i++) {
        struct listing listing;
        int64_t length;
        char path[128];
        open_listing(&listing, names[i], ".lossstat.txt");
        (void)snprintf(path, sizeof path, "transport/%s.loss-report.dat.gz", names[i]);
        uint8_t *report = golden_read(path, &length);
        (void)next_line(&listing);
        int count = loss_report_read(report, length, expect_loss, &listing);
        expect_line(&listing, "%d entries read", count);
        close_listing(&listing);
        free(report);
    }
}
