#include <criterion/criterion.h>

#include <dirent.h>
#include <unistd.h>

#include "archived/archive_mark.h"
#include "tests/unit/archived/place.h"

static struct archive_mark_params vector_params(const struct place *place) {
    return (struct archive_mark_params){
        .store = store_system(),
        .directory = place->directory,
        .mark_directory = place->directory,
        .error_log_length = 1048576,
        .page_size = 4096,
        .now_epoch_ms = 1699999999000,
        .pid = 4242,
        .archive_id = 42,
        .control_stream_id = 10,
        .local_control_stream_id = 10,
        .events_stream_id = 30,
        .control_channel = "aeron:udp?endpoint=localhost:8010",
        .local_control_channel = "aeron:ipc?term-length=64k",
        .events_channel = "",
        .aeron_directory = "/dev/shm/aeron",
    };
}

Test(archive_mark, the_header_is_byte_for_byte_that_of_the_specification) {
    /* archive.md 10.4 */
    static const uint8_t wanted[] = {
        0x80, 0x00, 0xc8, 0x00, 0x64, 0x00, 0x02, 0x00, 0x00, 0x01, 0x03, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x68, 0xe5, 0xcf, 0x8b, 0x01, 0x00, 0x00, 0x18, 0x64, 0xe5, 0xcf, 0x8b, 0x01,
        0x00, 0x00, 0x92, 0x10, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x00, 0x00, 0x00, 0x0a,
        0x00, 0x00, 0x00, 0x1e, 0x00, 0x00, 0x00, 0x00, 0x20, 0x00, 0x00, 0x00, 0x00, 0x10, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x2a, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00};
    static const char texts[] = "\x21\0\0\0aeron:udp?endpoint=localhost:8010"
                                "\x19\0\0\0aeron:ipc?term-length=64k"
                                "\0\0\0\0"
                                "\x0e\0\0\0/dev/shm/aeron";
    struct place place;
    place_open(&place);
    const struct archive_mark_params params = vector_params(&place);
    struct archive_mark mark;
    struct tern_error error = {0};
    cr_assert_eq(archive_mark_open(&mark, &params, &error), 0, "%s", error.text);
    archive_mark_ready(&mark, 1700000000000);

    cr_assert_eq(place_length(&place, ARCHIVE_MARK_FILE_NAME), 1056768);
    uint8_t bytes[256];
    (void)place_read(&place, ARCHIVE_MARK_FILE_NAME, bytes, sizeof bytes);
    cr_assert_eq(memcmp(bytes, wanted, sizeof wanted), 0);
    for (size_t i = sizeof wanted; i < 136; i++) {
        cr_assert_eq(bytes[i], 0);
    }
    cr_assert_eq(memcmp(bytes + 136, texts, sizeof texts - 1), 0);

    archive_mark_close(&mark);
    (void)place_read(&place, ARCHIVE_MARK_FILE_NAME, bytes, sizeof bytes);
    for (int i = 16; i < 24; i++) {
        cr_assert_eq(bytes[i], 0xFF); /* signed off */
    }
    place_close(&place);
}

static int saved_logs(const struct place *place) {
    int count = 0;
    DIR *directory = opendir(place->directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        count += strstr(entry->d_name, "-error.log") != NULL;
    }
    (void)closedir(directory);
    return count;
}

Test(archive_mark, a_living_owner_is_respected_and_its_errors_are_saved_later) {
    struct place place;
    place_open(&place);
    struct archive_mark_params params = vector_params(&place);
    struct archive_mark mark;
    struct archive_mark other;
    cr_assert_eq(archive_mark_open(&mark, &params, NULL), 0);
    cr_assert_lt(archive_mark_open(&other, &params, NULL), 0);
    cr_assert(error_log_record(&mark.errors, -5, "broken", 1));
    cr_assert_not(error_log_record(&mark.errors, -5, "broken", 2));
    archive_mark_ready(&mark, params.now_epoch_ms);
    archive_mark_close(&mark);

    cr_assert_eq(saved_logs(&place), 0);
    cr_assert_eq(archive_mark_open(&mark, &params, NULL), 0);
    cr_assert_eq(saved_logs(&place), 1);
    cr_assert(error_log_record(&mark.errors, -5, "broken", 3)); /* the log is empty again */
    archive_mark_close(&mark);
    place_close(&place);
}

Test(archive_mark, a_link_tells_where_the_mark_file_is) {
    struct place place;
    struct place elsewhere;
    place_open(&place);
    place_open(&elsewhere);
    struct archive_mark_params params = vector_params(&place);
    params.mark_directory = elsewhere.directory;
    struct archive_mark mark;
    cr_assert_eq(archive_mark_open(&mark, &params, NULL), 0);
    char text[256] = {0};
    (void)place_read(&place, ARCHIVE_MARK_LINK_NAME, text, sizeof text - 1);
    cr_assert_str_eq(text, elsewhere.directory);
    cr_assert_not(place_has(&place, ARCHIVE_MARK_FILE_NAME));
    archive_mark_close(&mark);
    params.mark_directory = place.directory;
    cr_assert_eq(archive_mark_open(&mark, &params, NULL), 0);
    cr_assert_not(place_has(&place, ARCHIVE_MARK_LINK_NAME));
    archive_mark_close(&mark);
    place_close(&elsewhere);
    place_close(&place);
}
