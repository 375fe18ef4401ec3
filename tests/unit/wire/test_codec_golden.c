/* The codecs against what a real Aeron 1.52.2 sent and wrote (tests/golden/wire): each message is
 * printed as the original prints it, and encodes again to the same bytes; the headers of the files
 * hold what the archive and the cluster had in them. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "lib/codec_tools.h"
#include "wire/archive_codec.h"
#include "wire/cluster_codec.h"

#define BYTES_MAX 8192
#define LINE_MAX_LENGTH (4 * BYTES_MAX)

/* The original's text in the form of our printer. */
static void translate(const char *golden, char *text) {
    static const char raw[] = " of raw data";
    bool is_quoted = false;
    const char *blank = strchr(golden, ' ');
    text += sprintf(text, "%.*s: ", (int)(blank - golden), golden);
    for (const char *at = blank + 1; *at != '\0' && *at != '\n'; at++) {
        is_quoted ^= *at == '\'';
        if (!is_quoted && strncmp(at, raw, sizeof raw - 1) == 0) {
            at += sizeof raw - 2;
        } else {
            *text++ = !is_quoted && *at == '|' ? ' ' : *at;
        }
    }
    *text = '\0';
}

static void check_message(const struct sbe_layouts *layouts, const char *line) {
    static uint8_t bytes[BYTES_MAX], again[BYTES_MAX];
    static char want[LINE_MAX_LENGTH], found[LINE_MAX_LENGTH];
    static struct codec_message message;
    struct sbe_header header;
    int32_t length = codec_from_hex(line, bytes, sizeof bytes);
    cr_assert_gt(length, 0, "%s", line);
    cr_assert_eq(sbe_peek(&header, bytes, length), 0);
    cr_assert_eq(sbe_format(layouts, bytes, length, found, sizeof found), 0, "%s", found);
    translate(line + 2 * length + 1, want);
    cr_assert_str_eq(found, want);
    const struct sbe_layout *layout = NULL;
    for (int32_t i = 0; i < layouts->count; i++) {
        layout = layouts->all[i]->template_id == header.template_id ? layouts->all[i] : layout;
    }
    uint8_t *copy = codec_exact_copy(bytes, length);
    cr_assert_eq(codec_decode(layout, &message, copy, length), 0);
    int32_t encoded = sbe_encode(layout, message.message, again, sizeof again);
    free(copy);
    cr_assert_arr_eq(again, bytes, (size_t)encoded, "%s", found);
    bool has_more = strcmp(layout->name, "RecordingDescriptor") == 0 ||
                    strcmp(layout->name, "SessionMessageHeader") == 0;
    cr_assert(has_more || encoded == length, "%s", found);
}

static FILE *open_golden(const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/wire/%s", GOLDEN_DIR, name);
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file, "%s", path);
    return file;
}

Test(codec_golden, captured_messages_print_as_the_original_does_and_encode_to_the_same_bytes) {
    static const struct {
        const char *file;
        const struct sbe_layouts *layouts;
        int32_t count_min;
    } rows[] = {
        {"archive_messages.txt", &archive_messages, 94},
        {"cluster_messages.txt", &cluster_messages, 94},
    };
    static char line[LINE_MAX_LENGTH];
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        FILE *file = open_golden(rows[i].file);
        int32_t count = 0;
        while (fgets(line, sizeof line, file) != NULL) {
            check_message(rows[i].layouts, line);
            count += 1;
        }
        fclose(file);
        cr_assert_geq(count, rows[i].count_min, "%s", rows[i].file);
    }
}

static bool is_text(struct text_slice slice, const char *text) {
    return slice.length == (int32_t)strlen(text) &&
           memcmp(slice.text, text, (size_t)slice.length) == 0;
}

static void check_archive_mark(const uint8_t *bytes, int32_t length) {
    struct archive_mark_file_header mark;
    uint8_t again[512] = {0};
    cr_assert_eq(archive_mark_file_header_decode(&mark, bytes, length), 0);
    cr_assert_eq(mark.version, 196864);
    cr_assert_eq(mark.archive_id, 77);
    cr_assert_eq(mark.header_length, 8192);
    cr_assert_eq(mark.error_buffer_length, 1048576);
    cr_assert_eq(mark.control_stream_id, 10);
    cr_assert_eq(mark.events_stream_id, 30);
    cr_assert(is_text(mark.control_channel, "aeron:udp?endpoint=localhost:18010|term-length=64k"));
    cr_assert_gt(archive_mark_file_header_encode(&mark, again, sizeof again), 0);
    cr_assert_arr_eq(again, bytes, (size_t)length);
}

/* MANIFEST of the archive: recording 4 was purged, 7 was live when the archive was killed. */
static void check_catalog(const uint8_t *bytes, int32_t length) {
    static const int64_t stops[] = {64768, 37056, 24640, 528352, 928, 2528, 64768, -1};
    static const int32_t streams[] = {1001, 1002, 1003, 1004, 1005, 1006, 1001, 1007};
    struct archive_catalog_header header;
    cr_assert_eq(archive_catalog_header_decode(&header, bytes, length), 0);
    cr_assert_eq(header.version, 196864);
    cr_assert_eq(header.next_recording_id, 8);
    cr_assert_eq(header.alignment, 64);
    int32_t at = ARCHIVE_CATALOG_HEADER_BLOCK_LENGTH;
    for (int32_t i = 0; i < 8; i++) {
        struct archive_catalog_record record;
        uint8_t again[1024] = {0};
        int32_t whole = 32 + get_i32(bytes + at);
        uint8_t *copy = codec_exact_copy(bytes + at, whole);
        cr_assert_eq(archive_catalog_record_decode(&record, copy, whole), 0, "record %d", i);
        cr_assert_eq(record.recording_id, i);
        cr_assert_eq(record.state,
                     i == 4 ? ARCHIVE_RECORDING_STATE_DELETED : ARCHIVE_RECORDING_STATE_VALID);
        cr_assert_eq(record.start_position, i == 3 ? 458752 : 0);
        cr_assert_eq(record.stop_position, stops[i]);
        cr_assert_eq(record.stream_id, streams[i]);
        cr_assert_eq(record.segment_file_length, 65536);
        cr_assert_gt(archive_catalog_record_encode(&record, again, sizeof again), 0);
        int32_t used = ARCHIVE_CATALOG_RECORD_LENGTH_MIN + record.stripped_channel.length +
                       record.original_channel.length + record.source_identity.length;
        cr_assert_arr_eq(again, copy, (size_t)used, "record %d", i);
        at += whole;
        free(copy);
    }
    cr_assert_eq(get_i32(bytes + at), 0);
}

static void check_cluster_mark(const uint8_t *bytes, int32_t length) {
    struct cluster_mark_file_header mark;
    uint8_t again[512] = {0};
    cr_assert_eq(cluster_mark_file_header_decode(&mark, bytes, length), 0);
    bool is_module = mark.component_type == CLUSTER_CLUSTER_COMPONENT_TYPE_CONSENSUS_MODULE;
    cr_assert_eq(mark.version, 768);
    cr_assert_eq(mark.activity_timestamp, -1, "an orderly stop");
    cr_assert_eq(mark.service_id, is_module ? -1 : 0);
    cr_assert_eq(mark.ingress_stream_id, is_module ? 101 : -1);
    cr_assert_eq(mark.consensus_module_stream_id, 105);
    cr_assert_eq(mark.header_length, 8192);
    cr_assert_gt(cluster_mark_file_header_encode(&mark, again, sizeof again), 0);
    cr_assert_arr_eq(again, bytes, (size_t)length);
}

static void check_node_state(const uint8_t *bytes, int32_t node) {
    struct cluster_candidate_term term;
    struct cluster_node_state_footer footer;
    cr_assert_eq(get_i32(bytes), 768);
    cr_assert_eq(cluster_candidate_term_decode(&term, bytes + 8, 120), 0);
    cr_assert_eq(term.candidate_term_id, node == 0 ? 0 : 1);
    cr_assert_eq(cluster_node_state_footer_decode(&footer, bytes + 48, 80), 0);
}

/* MANIFEST of the cluster, state E: two terms, snapshots at 15072 and 21440. Node 2, the leader,
 * left its last term open; the followers committed theirs. */
static void check_recording_log(const uint8_t *bytes, int32_t node) {
    static const int64_t positions[] = {15072, 15072, 15072, 21440, 21440, 21440};
    static const int64_t recordings[] = {0, 1, 2, 0, 3, 4};
    for (int32_t i = 0; i < 6; i++) {
        struct cluster_recording_log_entry entry;
        cr_assert_eq(cluster_recording_log_entry_decode(&entry, bytes + 64 * i, 64), 0);
        cr_assert_eq(entry.recording_id, recordings[i]);
        cr_assert_eq(entry.log_position, i == 3 && node == 2 ? -1 : positions[i]);
        cr_assert_eq(entry.leadership_term_id, i < 3 ? 0 : 1);
        cr_assert_eq(entry.type, i % 3 == 0 ? 0 : 1);
        cr_assert_eq(entry.service_id, i % 3 == 1 ? 0 : -1);
    }
}

Test(codec_golden, files_of_the_original_hold_what_their_manifests_say) {
    static char line[LINE_MAX_LENGTH];
    static uint8_t bytes[BYTES_MAX];
    int32_t count = 0, node = 0;
    FILE *file = open_golden("records.txt");
    while (fgets(line, sizeof line, file) != NULL) {
        char *hex = strchr(line, ' ') + 1;
        int32_t length = codec_from_hex(hex, bytes, sizeof bytes);
        cr_assert_gt(length, 0);
        hex[-1] = '\0';
        if (strcmp(line, "archive-mark") == 0) {
            check_archive_mark(bytes, length);
        } else if (strcmp(line, "archive-catalog") == 0) {
            check_catalog(bytes, length);
        } else if (strcmp(line, "cluster-mark") == 0) {
            check_cluster_mark(bytes, length);
        } else if (strcmp(line, "node-state") == 0) {
            check_node_state(bytes, node++);
        } else {
            cr_assert_str_eq(line, "recording-log");
            check_recording_log(bytes, node - 1); /* stands behind the node's state */
        }
        count += 1;
    }
    fclose(file);
    cr_assert_eq(count, 2 + 3 * 4);
}
