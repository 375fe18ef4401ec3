/* A log and a counters file that Aeron 1.52.2 wrote, used through the client's public functions. */
#include <criterion/criterion.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/fake_driver.h"
#include "lib/golden.h"

#define IMAGE_ID 4
#define JOIN_POSITION 65536

static struct fake_driver driver;

static void write_file(const char *path, const char *golden) {
    int64_t length;
    uint8_t *bytes = golden_read(golden, &length);
    FILE *file = fopen(path, "wb");
    cr_assert_not_null(file);
    cr_assert_eq(fwrite(bytes, 1, (size_t)length, file), (size_t)length);
    cr_assert_eq(fclose(file), 0);
    free(bytes);
}

struct expected {
    char *text;
    char *next;
    int fragments;
    int messages;
    int64_t bytes;
};

/* The next data frame of the listing. */
static void next_frame(struct expected *expected, int64_t *position, int32_t *length,
                       char head[33]) {
    int type = 0;
    do {
        char *line = strsep(&expected->next, "\n");
        cr_assert_not_null(line, "more fragments than in the listing");
        const char *tail = strstr(line, " position=");
        const char *kind = strstr(line, " type=");
        type = strncmp(line, "frame part=0", 12) != 0 && strncmp(line, "frame ", 6) == 0
                   ? atoi(kind + 6)
                   : 0;
        if (type == FRAME_TYPE_DATA) {
            cr_assert_eq(sscanf(tail, " position=%" SCNd64 " payload_len=%d crc32=%*8s head=%32s",
                                position, length, head),
                         3, "%s", line);
        }
    } while (type != FRAME_TYPE_DATA);
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct expected *expected = context;
    int64_t position = 0;
    int32_t expected_length = 0;
    char head[33] = "";
    char own_head[33] = "";
    next_frame(expected, &position, &expected_length, head);
    for (int i = 0; i < 16; i++) {
        (void)snprintf(own_head + 2 * i, 3, "%02x", buffer[i]);
    }
    cr_assert_eq(length, expected_length);
    cr_assert_eq(tern_header_position(header), position + log_aligned_frame_length(length + 32));
    cr_assert_str_eq(own_head, head);
    cr_assert_eq(tern_header_session_id(header), 101);
    expected->fragments++;
}

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct expected *expected = context;
    (void)buffer;
    (void)header;
    cr_assert_eq(length, 3000);
    expected->messages++;
    expected->bytes += length;
}

/* Read the image of a stream that had gone round all three terms. */
static int64_t read_image(tern_fragment_handler handler, void *context) {
    fake_driver_open(&driver, "golden");
    tern_client *client = fake_driver_connect(&driver);
    char path[512];
    fake_driver_log_path(&driver, IMAGE_ID, path);
    write_file(path, "transport/udp-rotated.images-4.logbuffer.gz");
    tern_subscription *subscription = fake_driver_add_subscription(
        &driver, client,
        &(struct tern_subscription_params){.channel = "aeron:udp?endpoint=localhost:20121",
                                           .stream_id = 1001});
    (void)fake_driver_send_image(&driver, IMAGE_ID, tern_subscription_registration_id(subscription),
                                 101, JOIN_POSITION);
    (void)tern_client_do_work(client);
    tern_image *image = tern_subscription_image_by_session_id(subscription, 101);
    cr_assert_eq(tern_image_mtu_length(image), 1408);
    cr_assert_eq(tern_image_initial_term_id(image), 7);
    cr_assert_eq(tern_image_active_transport_count(image), 1);
    for (int i = 0; i < 200; i++) {
        (void)tern_subscription_poll(subscription, handler, context, 1);
    }
    int64_t position = tern_image_position(image);
    tern_image_release(image);
    tern_subscription_close(subscription);
    tern_client_close(client);
    fake_driver_close(&driver);
    return position;
}

Test(golden, image_of_the_original_is_read_to_its_last_frame) {
    int64_t length;
    struct expected expected = {
        .text = (char *)golden_read("transport/udp-rotated.images-4.logbuffer.txt", &length)};
    expected.next = expected.text;
    int64_t position = read_image(on_fragment, &expected);
    cr_assert_eq(expected.fragments, 69, "%d", expected.fragments);
    cr_assert_eq(position, 136992 + 288);
    free(expected.text);

    struct expected messages = {0};
    tern_fragment_assembler *assembler = tern_fragment_assembler_create(on_message, &messages);
    (void)read_image(tern_fragment_assembler_on_fragment, assembler);
    cr_assert_eq(messages.messages, 23, "%d", messages.messages);
    cr_assert_eq(tern_fragment_assembler_dropped_count(assembler), 0);
    tern_fragment_assembler_destroy(assembler);
}

struct listing {
    char *next;
    int count;
};

static int on_counter(void *context, const struct tern_counter_info *info) {
    struct listing *listing = context;
    char *line;
    do {
        line = strsep(&listing->next, "\n");
        cr_assert_not_null(line, "more counters than in the listing");
    } while (strncmp(line, "  counter ", 10) != 0 || strstr(line, " state=1 ") == NULL);
    char own[1024];
    (void)snprintf(own, sizeof own,
                   "  counter id=%d state=1 type=%d value=%" PRId64 " registration_id=%" PRId64
                   " owner_id=%" PRId64 " reference_id=%" PRId64 " deadline=%" PRId64
                   " label='%.*s'",
                   info->id, info->type_id, info->value, info->registration_id, info->owner_id,
                   info->reference_id, INT64_MAX, info->label_length, info->label);
    cr_assert_eq(strncmp(own, line, strlen(own)), 0, "\n%s\n%s", own, line);
    listing->count++;
    return 0;
}

static void on_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                     const char *text, int32_t length) {
    cr_assert_eq(count, 1);
    cr_assert_leq(first_ms, last_ms);
    cr_assert_gt(length, 20);
    cr_assert_eq(text[0], '(');
    *(int *)context += 1;
}

Test(golden, counters_and_errors_of_the_original_are_listed) {
    int64_t length;
    int errors = 0;
    char path[512];
    struct tern_error error = {0};
    fake_driver_open(&driver, "golden-cnc"); /* for its directory */
    (void)snprintf(path, sizeof path, "%s/%s", driver.directory, CNC_FILE_NAME);
    cr_assert_eq(remove(path), 0);
    write_file(path, "transport/ipc.cnc.dat.gz");
    char *text = (char *)golden_read("transport/ipc.cnc.dat.txt", &length);
    struct listing listing = {text, 0};
    tern_cnc *cnc = tern_cnc_open(driver.directory, &error);
    cr_assert_neq(cnc, NULL, "%s", error.text);
    cr_assert_eq(tern_cnc_driver_heartbeat_ms(cnc), INT64_C(1795196117297));
    cr_assert_eq(tern_counters_for_each(tern_cnc_counters(cnc), on_counter, &listing), 0);
    cr_assert_gt(listing.count, 50, "%d", listing.count);
    cr_assert_eq(tern_cnc_read_errors(cnc, 0, on_error, &errors), errors);
    cr_assert_eq(errors, 2);
    tern_cnc_close(cnc);
    free(text);
    fake_driver_close(&driver);
}
