/* Writers and a reader on one log, over many rotations: several concurrent appenders, one exclusive
 * one, one that zeroes its terms itself, then a receiver that inserts datagrams in any order while
 * the gap scan follows.
 *
 * The reader does what the driver does for a subscriber: it consumes, cleans what it consumed, and
 * then raises the limit by half a term. Were the limit raised before the cleaning, or by more, a
 * writer would meet old frames (known-bugs.md 27, the limit that wraps into a dirty term). */
#include "race.h"

#include "base/atomic.h"
#include "shm/append_short.h"
#include "shm/log_clearing.h"
#include "shm/term_append.h"
#include "shm/term_gap.h"
#include "shm/term_read.h"

#define T LOG_TERM_LENGTH_MIN
#define WINDOW (T / 2)
#define PRODUCER_COUNT 3
#define MESSAGE_COUNT 15000
#define LENGTH_MAX 3000 /* up to three fragments */

struct stream {
    uint8_t *memory;
    struct log_buffer log;
    struct term_appender appender;
    bool is_cleared_by_writer;
    int64_t limit;
    int64_t high_water; /* of the receiver */
};

struct producer {
    struct stream *stream;
    int32_t id;
    bool is_exclusive;
};

static void open_stream(struct stream *stream) {
    size_t length = 3 * T + LOG_METADATA_LENGTH;
    stream->memory = zeroed(4096, length);
    stream->log = (struct log_buffer){
        .terms = {stream->memory, stream->memory + T, stream->memory + 2 * T},
        .metadata = (struct log_metadata *)(void *)(stream->memory + 3 * T),
        .term_length = T,
        .position_bits = 16,
        .initial_term_id = INT32_MAX - 2, /* term ids wrap on the way */
        .mtu_length = 1408,
    };
    for (int32_t i = 0; i < 3; i++) {
        int32_t term_id = wrapping_add_i32(INT32_MAX - 2, i == 0 ? 0 : i - 3);
        stream->log.metadata->raw_tails[i] = log_raw_tail(term_id, 0);
    }
    term_appender_init(&stream->appender, &stream->log, 5, 6);
    stream->limit = WINDOW;
    stream->high_water = 0;
}

/* ---- producers ---- */

static int64_t offer(const struct producer *producer, struct exclusive_state *state,
                     const struct iovec *part, int32_t number) {
    struct stream *stream = producer->stream;
    int64_t length = (int64_t)part->iov_len;
    if (number % 4 == 0 && length <= stream->appender.payload_length_max) {
        struct frame_header *frame;
        int64_t position =
            producer->is_exclusive
                ? exclusive_append_claim(&stream->appender, state, (int32_t)length, &frame)
                : term_append_claim(&stream->appender, (int32_t)length, &frame);
        if (position > 0) {
            memcpy(frame + 1, part->iov_base, (size_t)length);
            term_claim_commit(frame);
        }
        return position;
    }
    if (number % 2 == 0) {
        int64_t position =
            producer->is_exclusive
                ? exclusive_append_short(&stream->appender, state, part->iov_base, (int32_t)length)
                : term_append_short(&stream->appender, part->iov_base, (int32_t)length);
        if (position != 0) {
            return position;
        }
    }
    return producer->is_exclusive
               ? exclusive_append_message(&stream->appender, state, part, 1, length, NULL, NULL)
               : term_append_message(&stream->appender, part, 1, length, NULL, NULL);
}

static void *produce(void *argument) {
    const struct producer *producer = argument;
    struct stream *stream = producer->stream;
    struct exclusive_state state;
    exclusive_state_init(&state, &stream->log);
    uint8_t message[LENGTH_MAX];
    for (int32_t number = 0; number < MESSAGE_COUNT;) {
        int32_t length = message_length(producer->id, number, LENGTH_MAX);
        message_fill(message, producer->id, number, length);
        struct iovec part = {message, (size_t)length};
        if (log_producer_position(&stream->log) >= load_acquire_i64(&stream->limit)) {
            (void)sched_yield();
            continue;
        }
        int64_t position = offer(producer, &state, &part, number);
        CHECK(position > 0 || position == TERM_APPEND_TRIPPED);
        number += position > 0;
    }
    return NULL;
}

/* ---- the reader ---- */

struct assembly {
    uint8_t bytes[LENGTH_MAX];
    int32_t length;
};

/* Fragments of one message are contiguous whoever else writes: the space was reserved at once. */
static int take(struct assembly *assembly, const struct frame_header *frame, int32_t *next) {
    int32_t length = frame->frame_length - LOG_FRAME_HEADER_LENGTH;
    if (frame->flags & FRAME_FLAG_BEGIN) {
        assembly->length = 0;
    }
    CHECK(assembly->length + length <= LENGTH_MAX);
    memcpy(assembly->bytes + assembly->length, frame + 1, (size_t)length);
    assembly->length += length;
    if (frame->flags & FRAME_FLAG_END) {
        message_check(assembly->bytes, assembly->length, next, PRODUCER_COUNT);
        return 1;
    }
    return 0;
}

static int32_t poll_term(const struct stream *stream, int64_t position, struct assembly *assembly,
                         int32_t *next, int *received) {
    int32_t offset = log_term_offset_of(position, T);
    int32_t begin = offset;
    uint8_t *term = stream->log.terms[log_index_of(position, 16)];
    while (offset < T) {
        int32_t length = term_frame_length_acquire(term, T, offset);
        if (length == 0) {
            break;
        }
        const struct frame_header *frame = (const struct frame_header *)(void *)(term + offset);
        CHECK(frame->term_offset == offset);
        CHECK(frame->term_id == log_term_id_of(position, 16, stream->log.initial_term_id));
        CHECK(frame->session_id == 5 && frame->stream_id == 6);
        if (frame->type == FRAME_TYPE_DATA) {
            *received += take(assembly, frame, next);
        }
        offset += length;
    }
    return offset - begin;
}

static void consume(struct stream *stream, int expected) {
    struct assembly assembly = {.length = 0};
    int32_t next[PRODUCER_COUNT] = {0};
    int received = 0;
    int64_t position = 0;
    while (received < expected) {
        int32_t bytes = poll_term(stream, position, &assembly, next, &received);
        if (bytes == 0) {
            (void)sched_yield();
            continue;
        }
        if (!stream->is_cleared_by_writer) {
            term_clean(stream->log.terms[log_index_of(position, 16)],
                       log_term_offset_of(position, T), bytes);
        }
        position += bytes;
        store_release_i64(&stream->limit, position + WINDOW);
    }
    CHECK(position > 4 * T); /* rotated through all partitions */
}

static void run_append(int32_t producer_count, bool is_exclusive, bool is_cleared_by_writer) {
    struct stream stream;
    open_stream(&stream);
    stream.is_cleared_by_writer = is_cleared_by_writer;
    if (is_cleared_by_writer) {
        log_clearing_offer(stream.log.metadata);
    }
    struct producer producers[PRODUCER_COUNT];
    pthread_t threads[PRODUCER_COUNT];
    for (int32_t i = 0; i < producer_count; i++) {
        producers[i] = (struct producer){&stream, i, is_exclusive};
        threads[i] = start(produce, &producers[i]);
    }
    consume(&stream, producer_count * MESSAGE_COUNT);
    for (int32_t i = 0; i < producer_count; i++) {
        join(threads[i]);
    }
    free(stream.memory);
}

/* ---- an image ---- */

#define PACKET_LENGTH 1024
#define PACKETS_PER_ROUND 16
#define ROUND_COUNT 400

/* Sixteen datagrams of one frame each, from the last to the first but for every third, then all
 * again as retransmissions. */
static void *insert(void *argument) {
    struct stream *stream = argument;
    static const int order[PACKETS_PER_ROUND] = {15, 12, 9, 6, 3,  0,  1,  2,
                                                 5,  4,  8, 7, 11, 10, 14, 13};
    uint8_t packet[PACKET_LENGTH] __attribute__((aligned(8)));
    for (int32_t i = 0; i < ROUND_COUNT * PACKETS_PER_ROUND * 2; i++) {
        int32_t round = i / (PACKETS_PER_ROUND * 2);
        int32_t number = round * PACKETS_PER_ROUND + order[i % PACKETS_PER_ROUND];
        int64_t position = (int64_t)number * PACKET_LENGTH;
        while (position + PACKET_LENGTH > load_acquire_i64(&stream->limit)) {
            (void)sched_yield();
        }
        if (position < load_acquire_i64(&stream->limit) - WINDOW) {
            continue; /* consumed already: the receiver's under-run check */
        }
        struct frame_header header = {
            .frame_length = PACKET_LENGTH,
            .flags = FRAME_FLAG_UNFRAGMENTED,
            .type = FRAME_TYPE_DATA,
            .term_offset = log_term_offset_of(position, T),
            .session_id = 5,
            .stream_id = 6,
            .term_id = log_term_id_of(position, 16, stream->log.initial_term_id)};
        memcpy(packet, &header, sizeof header);
        message_fill(packet + sizeof header, 0, number, PACKET_LENGTH - (int32_t)sizeof header);
        (void)term_insert_packet(stream->log.terms[log_index_of(position, 16)], header.term_offset,
                                 packet, PACKET_LENGTH);
        int64_t end = position + PACKET_LENGTH;
        if (end > load_plain_i64(&stream->high_water)) {
            store_release_i64(&stream->high_water, end);
        }
        if (i % PACKETS_PER_ROUND == 5) {
            (void)sched_yield(); /* let the others see the gaps */
        }
    }
    return NULL;
}

/* The conductor's walk and a subscriber in one: what is contiguous is consumed; images keep what
 * was consumed for a while, so cleaning lags by one round. */
static void run_image(void) {
    struct stream stream;
    open_stream(&stream);
    pthread_t thread = start(insert, &stream);
    struct assembly assembly = {.length = 0};
    int32_t next[PRODUCER_COUNT] = {0};
    int received = 0, gaps = 0;
    int64_t position = 0, cleaned = 0;
    while (received < ROUND_COUNT * PACKETS_PER_ROUND) {
        int64_t high_water = load_acquire_i64(&stream.high_water);
        int32_t offset = log_term_offset_of(position, T);
        bool is_same_term = (high_water >> 16) == (position >> 16);
        int32_t limit = is_same_term ? log_term_offset_of(high_water, T) : T;
        struct term_gap gap;
        uint8_t *term = stream.log.terms[log_index_of(position, 16)];
        int32_t contiguous =
            high_water > position ? term_gap_scan(term, T, offset, limit, &gap) : offset;
        if (contiguous > offset) {
            int32_t bytes = poll_term(&stream, position, &assembly, next, &received);
            CHECK(bytes >= contiguous - offset);
            position += bytes;
        } else {
            gaps += high_water > position && gap.length > 0;
            (void)sched_yield();
        }
        while (cleaned < position - T) {
            term_clean(stream.log.terms[log_index_of(cleaned, 16)], log_term_offset_of(cleaned, T),
                       PACKET_LENGTH);
            cleaned += PACKET_LENGTH;
        }
        store_release_i64(&stream.limit, position + WINDOW);
    }
    join(thread);
    (void)printf("image: %d packets, %d looks at a gap\n", received, gaps);
    free(stream.memory);
}

int main(void) {
    run_append(PRODUCER_COUNT, false, false);
    run_append(1, true, false);
    run_append(1, true, true);
    run_image();
    return 0;
}
