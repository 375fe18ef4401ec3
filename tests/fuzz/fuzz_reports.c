/* Fuzz harness of what tools read from files that others write: error log and loss report. The
 * input is the section; walks stay inside it and end. */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shm/error_log.h"
#include "shm/loss_report.h"

static uint64_t accepted;

struct section {
    const uint8_t *begin;
    size_t size;
};

static void check_slice(const struct section *section, const char *text, int32_t length) {
    assert(length >= 0);
    assert(text >= (const char *)section->begin);
    assert(text + length <= (const char *)section->begin + section->size);
    (void)section, (void)text, (void)length;
    accepted++;
}

static void on_error(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                     const char *text, int32_t length) {
    (void)count, (void)first_ms, (void)last_ms;
    check_slice(context, text, length);
}

static void on_loss(void *context, const struct loss_report_view *view) {
    check_slice(context, view->channel, view->channel_length);
    check_slice(context, view->source, view->source_length);
}

static void write_more(uint8_t *bytes, size_t size) {
    struct error_log log;
    if (error_log_init(&log, bytes, (int64_t)size) == 0) {
        (void)error_log_record(&log, 1, "one more error", 5);
    }
    struct loss_report report;
    const struct loss_report_params params = {.channel = "aeron:ipc", .source = "x"};
    if (loss_report_init(&report, bytes, (int64_t)size) == 0) {
        (void)loss_report_create_entry(&report, &params);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct section section = {data, size};
    (void)error_log_read(data, (int64_t)size, 0, on_error, &section);
    (void)loss_report_read(data, (int64_t)size, on_loss, &section);
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert(copy != NULL);
    memcpy(copy, data, size);
    write_more(copy, size);
    free(copy);
    return 0;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    memset(data, 0, capacity);
    if (index % 2 == 0) {
        struct error_log log;
        int result = error_log_init(&log, data, (int64_t)capacity);
        assert(result == 0);
        (void)result;
        for (int i = 0; i < 5; i++) {
            (void)error_log_record(&log, i, "some error", 1);
        }
    } else {
        struct loss_report report;
        int result = loss_report_init(&report, data, (int64_t)capacity);
        assert(result == 0);
        (void)result;
        const struct loss_report_params params = {
            .bytes_lost = 5, .channel = "aeron:udp?endpoint=localhost:20121", .source = "10.0.0.1"};
        while (loss_report_create_entry(&report, &params) != NULL) {
        }
    }
    return capacity;
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
