/* Fuzz harness of the driver's door: a datagram that is accepted is inserted into a term and found
 * there again by the walks of receiver, sender and subscriber, without leaving the term. */
#include "fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "shm/term_append.h"
#include "shm/term_gap.h"
#include "shm/term_read.h"
#include "wire/frame.h"
#include "wire/resolution.h"

#define TERM_LENGTH 65536
#define RES_LENGTH (FRAME_COMMON_LENGTH + 24 + 32)

static uint64_t accepted;

static void insert(const uint8_t *datagram, uint32_t length) {
    const struct frame_header *header = (const struct frame_header *)(const void *)datagram;
    if (!frame_data_fits(header, length, TERM_LENGTH) || frame_is_heartbeat(header, length)) {
        return;
    }
    uint8_t *term = aligned_alloc(64, TERM_LENGTH);
    assert(term != NULL);
    memset(term, 0, TERM_LENGTH);
    int32_t offset = header->term_offset;
    bool is_inserted = term_insert_packet(term, offset, datagram, (int32_t)length);
    assert(is_inserted);
    (void)is_inserted;
    struct term_gap gap;
    int32_t limit = offset + (int32_t)length;
    int32_t end = term_gap_scan(term, TERM_LENGTH, offset, limit, &gap);
    assert(gap.length == 0 && end >= limit && end <= TERM_LENGTH);
    int32_t sent = 0;
    while (sent < end - offset) {
        struct term_scan scan =
            term_scan_for_sending(term, TERM_LENGTH, offset + sent, LOG_MTU_LENGTH_MAX);
        assert(scan.available > 0);
        sent += scan.available + scan.padding;
    }
    assert(sent == end - offset);
    free(term);
}

static void read_names(const uint8_t *datagram, size_t size) {
    struct resolution_entry entry;
    int32_t offset = FRAME_COMMON_LENGTH;
    int names = 0;
    while (resolution_next(datagram, &offset, &entry)) {
        const char *end = (const char *)datagram + size;
        assert(entry.name_length > 0 && entry.name_length <= end - entry.name);
        names += memchr(entry.name, '\0', (size_t)entry.name_length) == NULL;
        (void)end;
    }
    accepted += names > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint16_t type = 0;
    enum frame_verdict receiver = frame_validate(FRAME_ROLE_RECEIVER, data, (uint32_t)size);
    enum frame_verdict sender = frame_validate(FRAME_ROLE_SENDER, data, (uint32_t)size);
    if (receiver == FRAME_VALID || sender == FRAME_VALID) {
        memcpy(&type, data + offsetof(struct frame_common, type), sizeof type);
        accepted++;
    }
    if (resolution_validate(data, (uint32_t)size) == FRAME_VALID) {
        read_names(data, size);
    }
    if (receiver == FRAME_VALID && type <= FRAME_TYPE_DATA) {
        insert(data, (uint32_t)size);
    }
    if (sender == FRAME_VALID && type == FRAME_TYPE_ERR) {
        struct frame_err err;
        memcpy(&err, data, sizeof err);
        int32_t length = frame_err_text_length(&err, (uint32_t)size);
        assert(length >= 0 && length <= (int32_t)size - FRAME_ERR_LENGTH);
        (void)length;
    }
    return 0;
}

static size_t put_data(uint8_t *data, uint64_t index) {
    static const int32_t lengths[] = {37, 64, 200, 32};
    size_t size = 0;
    for (uint64_t i = 0; i <= index % 4; i++) {
        struct frame_header header = {.frame_length = lengths[(index + i) % 4],
                                      .flags = FRAME_FLAG_UNFRAGMENTED,
                                      .type = FRAME_TYPE_DATA,
                                      .term_offset = 4096 + (int32_t)size,
                                      .session_id = 1,
                                      .stream_id = 2,
                                      .term_id = 3};
        memcpy(data + size, &header, sizeof header);
        size += (size_t)log_aligned_frame_length(header.frame_length);
        if (i == 3) { /* end with a pad */
            header.term_offset = 4096 + (int32_t)size;
            header.type = FRAME_TYPE_PAD;
            header.frame_length = 1024;
            memcpy(data + size, &header, sizeof header);
            size += sizeof header;
        }
    }
    return size;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    static const struct frame_common kinds[] = {
        {FRAME_NAK_LENGTH, 0, 0, FRAME_TYPE_NAK},
        {FRAME_SM_LENGTH, 0, 0, FRAME_TYPE_SM},
        {FRAME_SM_GROUP_TAG_LENGTH, 0, 0, FRAME_TYPE_SM},
        {FRAME_ERR_LENGTH + 9, 0, 0, FRAME_TYPE_ERR},
        {FRAME_RTTM_LENGTH, 0, 0, FRAME_TYPE_RTTM},
        {FRAME_RSP_SETUP_LENGTH, 0, 0, FRAME_TYPE_RSP_SETUP},
        {FRAME_SETUP_LENGTH, 0, 0, FRAME_TYPE_SETUP},
        {RES_LENGTH, 0, 0, FRAME_TYPE_RES},
    };
    size_t kind_count = sizeof kinds / sizeof kinds[0];
    memset(data, 0, capacity);
    if (index % 2 == 0) {
        return put_data(data, index / 2);
    }
    const struct frame_common *kind = &kinds[index / 2 % kind_count];
    memcpy(data, kind, sizeof *kind);
    if (kind->type == FRAME_TYPE_SETUP) {
        const struct frame_setup setup = {.common = *kind, .term_length = 65536, .mtu = 1408};
        memcpy(data, &setup, sizeof setup);
    }
    if (kind->type == FRAME_TYPE_RES) {
        struct resolution_entry entry = {.is_self = true, .name = "node-b", .name_length = 5};
        entry.address.base.sa_family = AF_INET;
        int32_t length = resolution_put(data + FRAME_COMMON_LENGTH, 24, &entry);
        entry.address.base.sa_family = AF_INET6;
        (void)resolution_put(data + FRAME_COMMON_LENGTH + length, 32, &entry);
    }
    return (size_t)kind->frame_length;
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
