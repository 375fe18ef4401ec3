/* ternctl-archive: look into an archive directory, whether its archive runs or not.
 *
 *     ternctl archive describe DIRECTORY [RECORDING_ID]
 *
 * Nothing is written, and the files are believed no more than the daemon does. Descriptors and the
 * mark file's header are printed as the original's tool prints them, one line each.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "archived/archive_mark.h"
#include "archived/catalog.h"
#include "base/clock.h"
#include "base/uri.h"
#include "daemon/exit_code.h"

#define PATH_LENGTH_MAX 4096

struct view {
    const char *directory;
    struct checksum checksum;
    struct catalog catalog;
    struct mapped_file mark; /* closed when there is none */
    int64_t wanted_id;       /* ARCHIVE_NULL: all */
    bool all_states;
    int printed;
};

/* ---- printing
 * --------------------------------------------------------------------------------------- */

static const struct sbe_layout *layout_of(int32_t template_id) {
    for (int i = 0; i < archive_messages.count; i++) {
        if (archive_messages.all[i]->template_id == template_id) {
            return archive_messages.all[i];
        }
    }
    return NULL;
}

static void print_message(const struct sbe_layout *layout, const void *message) {
    const uint8_t *bytes = message;
    printf("[%s](sbeTemplateId=%u|sbeSchemaId=%u|sbeSchemaVersion=%u|sbeBlockLength=%u):",
           layout->name, layout->template_id, layout->schema_id, layout->version,
           layout->block_length);
    const char *separator = "";
    for (int i = 0; i < layout->field_count; i++, separator = "|") {
        const struct sbe_field *field = &layout->fields[i];
        int64_t value = field->type == SBE_I64 ? get_i64(bytes + field->member)
                                               : (int64_t)get_i32(bytes + field->member);
        printf("%s%s=%" PRId64, separator, field->name, value);
    }
    for (int i = 0; i < layout->data_count; i++) {
        struct text_slice text;
        memcpy(&text, bytes + layout->data[i].member, sizeof text);
        printf("|%s='%.*s'", layout->data[i].name, text.length, text.text);
    }
}

static void print_record(void *context, const struct archive_catalog_record *record) {
    struct view *view = context;
    bool is_wanted = view->wanted_id == record->recording_id ||
                     (view->wanted_id == ARCHIVE_NULL &&
                      (view->all_states || record->state == ARCHIVE_RECORDING_STATE_VALID));
    if (!is_wanted) {
        return;
    }
    const struct archive_recording_descriptor descriptor = {
        .control_session_id = record->control_session_id,
        .correlation_id = record->correlation_id,
        .recording_id = record->recording_id,
        .start_timestamp = record->start_timestamp,
        .stop_timestamp = record->stop_timestamp,
        .start_position = record->start_position,
        .stop_position = record->stop_position,
        .initial_term_id = record->initial_term_id,
        .segment_file_length = record->segment_file_length,
        .term_buffer_length = record->term_buffer_length,
        .mtu_length = record->mtu_length,
        .session_id = record->session_id,
        .stream_id = record->stream_id,
        .stripped_channel = record->stripped_channel,
        .original_channel = record->original_channel,
        .source_identity = record->source_identity,
    };
    print_message(layout_of(ARCHIVE_TEMPLATE_RECORDING_DESCRIPTOR), &descriptor);
    printf(view->all_states ? "|%s\n" : "\n", archive_recording_state_name(record->state));
    view->printed++;
}

static void format_time(int64_t epoch_ms, char text[32]) {
    time_t seconds = (time_t)(epoch_ms / 1000);
    struct tm parts;
    (void)localtime_r(&seconds, &parts);
    (void)strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts);
}

/* ---- files
 * ------------------------------------------------------------------------------------------ */

/* The mark file, in this directory or where the link file says. */
static int open_mark(struct view *view, struct tern_error *error) {
    char path[PATH_LENGTH_MAX + 64];
    char place[PATH_LENGTH_MAX];
    (void)snprintf(place, sizeof place, "%s", view->directory);
    (void)snprintf(path, sizeof path, "%s/" ARCHIVE_MARK_LINK_NAME, view->directory);
    FILE *link = fopen(path, "r");
    if (link != NULL) {
        char line[PATH_LENGTH_MAX];
        if (fgets(line, sizeof line, link) != NULL) {
            line[strcspn(line, " \t\r\n")] = '\0';
            (void)snprintf(place, sizeof place, "%s", line);
        }
        (void)fclose(link);
    }
    (void)snprintf(path, sizeof path, "%s/" ARCHIVE_MARK_FILE_NAME, place);
    return mapped_file_open(&view->mark, path, true, error);
}

static int decode_mark(const struct view *view, struct archive_mark_file_header *header,
                       struct tern_error *error) {
    int32_t length = (int32_t)min_i64(view->mark.length, ARCHIVE_MARK_HEADER_LENGTH);
    int result = archive_mark_file_header_decode(header, view->mark.address, length);
    return result == 0 ? 0 : error_set(error, result, "the mark file has no readable header");
}

static int open_catalog(struct view *view, struct tern_error *error) {
    checksum_init(&view->checksum, CHECKSUM_NONE);
    const struct catalog_params params = {.store = store_system(),
                                          .directory = view->directory,
                                          .checksum = &view->checksum,
                                          .capacity = CATALOG_CAPACITY_MIN,
                                          .is_read_only = true};
    return catalog_open(&view->catalog, &params, error);
}

/* ---- commands
 * --------------------------------------------------------------------------------------- */

static int describe(struct view *view, struct tern_error *error) {
    int result = open_catalog(view, error);
    if (result != 0) {
        return result;
    }
    struct archive_mark_file_header header;
    if (view->wanted_id == ARCHIVE_NULL && open_mark(view, NULL) == 0 &&
        decode_mark(view, &header, NULL) == 0) {
        char now[32];
        char start[32];
        char activity[32];
        format_time(clock_epoch_ms(clock_system()), now);
        format_time(header.start_timestamp, start);
        format_time(header.activity_timestamp, activity);
        printf("%s (start: %s, activity: %s)\n", now, start, activity);
        print_message(layout_of(ARCHIVE_TEMPLATE_MARK_FILE_HEADER), &header);
        printf("\n");
    }
    if (view->wanted_id == ARCHIVE_NULL) {
        printf("Catalog capacity in bytes: %" PRId64 "\n", view->catalog.capacity);
    }
    catalog_for_each(&view->catalog, print_record, view);
    if (view->wanted_id != ARCHIVE_NULL && view->printed == 0) {
        return error_set(error, -ENOENT, "no recording %" PRId64, view->wanted_id);
    }
    return 0;
}

static int describe_all(struct view *view, struct tern_error *error) {
    view->all_states = true;
    return describe(view, error);
}

static int count_entries(struct view *view, struct tern_error *error) {
    int result = open_catalog(view, error);
    if (result == 0) {
        printf("%d\n", view->catalog.count);
    }
    return result;
}

static int print_pid(struct view *view, struct tern_error *error) {
    struct archive_mark_file_header header;
    int result = open_mark(view, error);
    if (result == 0) {
        result = decode_mark(view, &header, error);
    }
    if (result == 0) {
        printf("%" PRId64 "\n", header.pid);
    }
    return result;
}

static void print_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                        const char *text, int32_t text_length) {
    (void)context;
    char first[32];
    char last[32];
    format_time(first_ms, first);
    format_time(last_ms, last);
    printf("%d observations from %s to %s: %.*s\n", count, first, last, text_length, text);
}

static int print_errors(struct view *view, struct tern_error *error) {
    struct archive_mark_file_header header;
    int result = open_mark(view, error);
    if (result == 0) {
        result = decode_mark(view, &header, error);
    }
    if (result != 0) {
        return result;
    }
    int64_t length = view->mark.length - ARCHIVE_MARK_HEADER_LENGTH;
    int count = length <= 0 ? 0
                            : error_log_read(view->mark.address + ARCHIVE_MARK_HEADER_LENGTH,
                                             length, 0, print_error, NULL);
    printf("%d distinct errors observed\n", count);
    return 0;
}

static const struct {
    const char *name;
    int (*run)(struct view *view, struct tern_error *error);
    bool takes_id;
    const char *doc;
} commands[] = {
    {"describe", describe, true, "the mark file and all valid recordings, or one recording"},
    {"describe-all", describe_all, false, "the same with the state of every record"},
    {"count-entries", count_entries, false, "number of valid recordings"},
    {"errors", print_errors, false, "the archive's distinct error log"},
    {"pid", print_pid, false, "process id of the archive that owns the directory"},
};

static int usage(FILE *out, int code) {
    fprintf(out, "usage: ternctl archive COMMAND DIRECTORY [RECORDING_ID]\n\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-14s %s\n", commands[i].name, commands[i].doc);
    }
    fprintf(out,
            "\nNothing is written: it works whether the archive runs or not, and on directories\n"
            "of the original. Positions are bytes.\n\n"
            "exit codes: 0 printed, 64 command line, 74 the directory cannot be read or has no\n"
            "such recording\n");
    fprintf(out, "\nNot yet: dump, verify, checksum, compact, delete-orphaned-segments,\n"
                 "mark-invalid, mark-valid, migrate.\n");
    return code;
}

static int run(size_t command, int argc, char **argv) {
    struct view view = {.directory = argv[2], .catalog = {.file = -1}, .wanted_id = ARCHIVE_NULL};
    if (argc == 4 && (parse_i64(argv[3], &view.wanted_id) != 0 || view.wanted_id < 0)) {
        fprintf(stderr, "ternctl archive: \"%s\" is not a recording id\n", argv[3]);
        return EXIT_CODE_USAGE;
    }
    struct tern_error error = {0};
    int result = commands[command].run(&view, &error);
    if (result != 0) {
        fprintf(stderr, "ternctl archive: %s\n", error.text);
    }
    if (view.catalog.store != NULL) {
        catalog_close(&view.catalog);
    }
    mapped_file_close(&view.mark);
    return result == 0 ? EXIT_CODE_OK : EXIT_CODE_IO;
}

int main(int argc, char **argv) {
    if (argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        return usage(stdout, EXIT_CODE_OK);
    }
    for (size_t i = 0; argc > 1 && i < ARRAY_COUNT(commands); i++) {
        if (strcmp(argv[1], commands[i].name) == 0 && argc >= 3 &&
            argc <= (commands[i].takes_id ? 4 : 3)) {
            return run(i, argc, argv);
        }
    }
    return usage(stderr, EXIT_CODE_USAGE);
}
