/* Terms are used again without being cleared as a whole: what readers and the loss detector of an
 * image look at is zero until it is a frame, whatever order the frames come in. */
#include <criterion/criterion.h>

#include <string.h>
#include <sys/stat.h>

#include "driverd/image.h"
#include "driverd/image_receive.h"
#include "lib/sim_driver.h"

#define STREAM 1001
#define CHANNEL "aeron:udp?endpoint=127.0.0.1:24000"
#define TERM_LENGTH 65536
#define INITIAL_TERM_ID 5
#define TERMS 12
#define FRAME_LENGTH 224 /* does not divide a term: each ends with a pad */
#define FRAMES_PER_TERM (TERM_LENGTH / FRAME_LENGTH + 1)
#define FRAMES (TERMS * FRAMES_PER_TERM)
#define DATAGRAM_FRAMES_MAX 4
#define ROUND_FRAMES 24 /* well within the window */
/* The first frame of every second term is so much longer, so that the others begin inside of what
 * was there three terms before. */
#define SHIFT 96
#define FILLER 0x5A /* four of them look like a frame length */

struct stream {
    struct sim_world world;
    struct image *image;
    tern_subscription *subscription;
    union net_address source;
    bool is_there[FRAMES];
    int32_t end;  /* behind the last frame that is there */
    int32_t read; /* frames that the subscriber has seen */
    _Alignas(8) uint8_t datagram[DATAGRAM_FRAMES_MAX * FRAME_LENGTH + SHIFT];
};

static uint32_t any_below(struct stream *stream, uint32_t limit) {
    return (uint32_t)(random_u64(&stream->world.random.table) % limit);
}

static int64_t position_of(int32_t frame) {
    int32_t term = frame / FRAMES_PER_TERM;
    int32_t place = frame % FRAMES_PER_TERM;
    int32_t shift = place > 0 && term % 2 == 1 ? SHIFT : 0;
    return (int64_t)term * TERM_LENGTH + place * FRAME_LENGTH + shift;
}

/* What lay there before may look free or like a frame. */
static uint8_t filler_of(int32_t frame) {
    return frame % 5 == 0 ? 0 : FILLER;
}

static bool is_pad(int32_t frame) {
    return frame % FRAMES_PER_TERM == FRAMES_PER_TERM - 1;
}

static int32_t length_of(int32_t frame) {
    return (int32_t)(position_of(frame + 1) - position_of(frame));
}

static int32_t word_at(const struct stream *stream, int64_t position) {
    const struct log_buffer *log = stream->image->log;
    return get_i32(log->terms[log_index_of(position, log->position_bits)] +
                   log_term_offset_of(position, log->term_length));
}

static void open_stream(struct stream *stream, uint64_t seed) {
    const struct frame_setup setup = {.common = {.frame_length = 40, .type = FRAME_TYPE_SETUP},
                                      .session_id = 77,
                                      .stream_id = STREAM,
                                      .initial_term_id = INITIAL_TERM_ID,
                                      .active_term_id = INITIAL_TERM_ID,
                                      .term_length = TERM_LENGTH,
                                      .mtu = 1408};
    sim_world_init(&stream->world, seed);
    struct sim_node *node = sim_world_add(&stream->world);
    sim_world_start(&stream->world, node);
    /* In half of them the frames of a round go far beyond the window. */
    const char *channel = seed % 2 == 0 ? CHANNEL : CHANNEL "|rcv-wnd=2k";
    stream->subscription = sim_add_subscription(&stream->world, node, channel, STREAM);
    int socket = sim_net_bind(&stream->world.net, "127.0.0.1:30000");
    sim_net_send(&stream->world.net, socket, "127.0.0.1:24000", &setup, sizeof setup);
    sim_world_run(&stream->world, NS_PER_MS);
    stream->image = node->driver->conductor.images.items[0];
    stream->source = stream->image->source;
}

static void deliver(struct stream *stream, const void *frame, uint32_t length) {
    const struct image_path path = {0, &stream->source};
    (void)image_receive_on_data(stream->image, frame, length, &path, stream->world.clock.now_ns);
}

static struct frame_header header_of(int32_t frame) {
    return (struct frame_header){.frame_length = length_of(frame),
                                 .flags = FRAME_FLAG_UNFRAGMENTED,
                                 .type = is_pad(frame) ? FRAME_TYPE_PAD : FRAME_TYPE_DATA,
                                 .term_offset = (int32_t)(position_of(frame) % TERM_LENGTH),
                                 .session_id = 77,
                                 .stream_id = STREAM,
                                 .term_id = INITIAL_TERM_ID + frame / FRAMES_PER_TERM};
}

/* Frames of one term in one datagram, as many as there are until a pad. The image takes them all
 * unless it has the first. */
static int32_t send_frames(struct stream *stream, int32_t first, int32_t count) {
    uint32_t length = 0;
    bool is_new = !stream->is_there[first];
    for (int32_t i = first; i < first + count && (i == first || !is_pad(i - 1)); i++) {
        const struct frame_header header = header_of(i);
        uint32_t bytes = is_pad(i) ? LOG_FRAME_HEADER_LENGTH : (uint32_t)header.frame_length;
        memset(stream->datagram + length, filler_of(i), bytes);
        memcpy(stream->datagram + length, &header, sizeof header);
        length += bytes;
        stream->is_there[i] = stream->is_there[i] || is_new;
        stream->end = is_new && i >= stream->end ? i + 1 : stream->end;
    }
    deliver(stream, stream->datagram, length);
    return count;
}

static void send_heartbeat(struct stream *stream, int32_t frame) {
    struct frame_header header = header_of(frame);
    header.frame_length = 0;
    header.type = FRAME_TYPE_DATA;
    deliver(stream, &header, sizeof header);
}

static void check_frames(const struct stream *stream) {
    for (int32_t i = stream->read; i < FRAMES && position_of(i) < stream->image->hwm; i++) {
        if (stream->is_there[i]) {
            cr_assert_eq(word_at(stream, position_of(i)), length_of(i), "frame %d", i);
            continue;
        }
        int64_t end = position_of(i + 1);
        for (int64_t position = position_of(i); position < end && position < stream->image->hwm;
             position += LOG_FRAME_ALIGNMENT) {
            cr_assert_eq(word_at(stream, position), 0, "frame %d, position %lld", i,
                         (long long)position);
        }
    }
    cr_assert_eq(word_at(stream, position_of(stream->end)), 0, "behind frame %d", stream->end - 1);
    bool is_in_pad = stream->end > 0 && is_pad(stream->end - 1);
    cr_assert(is_in_pad || word_at(stream, stream->image->hwm) == 0, "hwm %lld",
              (long long)stream->image->hwm);
}

/* media-driver.md 3.7: what a sender was told that it may send. */
static void check_window(const struct stream *stream) {
    const struct image *image = stream->image;
    int64_t end = image->last_sm_position + image->window_bytes;
    for (int64_t position = image->hwm; position < end; position += LOG_FRAME_ALIGNMENT) {
        cr_assert_eq(word_at(stream, position), 0, "position %lld, highest %lld, window to %lld",
                     (long long)position, (long long)image->hwm, (long long)end);
    }
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct stream *stream = context;
    stream->read += is_pad(stream->read);
    cr_assert_eq(tern_header_position(header), position_of(stream->read + 1));
    cr_assert_eq(length, length_of(stream->read) - LOG_FRAME_HEADER_LENGTH);
    cr_assert_eq(buffer[0], filler_of(stream->read));
    stream->read++;
}

/* Some of the frames [first, end), in any order, as datagrams of any cut. */
static void send_some(struct stream *stream, int32_t first, int32_t end) {
    for (uint32_t i = 0; i < ROUND_FRAMES / 2; i++) {
        int32_t frame = first + (int32_t)any_below(stream, (uint32_t)(end - first));
        int32_t count = 1 + (int32_t)any_below(stream, DATAGRAM_FRAMES_MAX);
        if (any_below(stream, 8) == 0) {
            send_heartbeat(stream, frame);
        } else {
            (void)send_frames(stream, frame, min_i32(count, end - frame));
        }
        check_frames(stream);
    }
}

static void send_missing(struct stream *stream, int32_t first, int32_t end) {
    for (int32_t i = first; i < end; i++) {
        if (!stream->is_there[i]) {
            (void)send_frames(stream, i, 1);
            check_frames(stream);
        }
    }
}

Test(used_terms, what_is_not_a_frame_reads_as_nothing_in_any_order) {
    static struct stream stream;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        stream = (struct stream){0};
        open_stream(&stream, seed);
        for (int32_t first = 0; first < FRAMES; first += ROUND_FRAMES) {
            int32_t end = min_i32(first + ROUND_FRAMES, FRAMES);
            if (any_below(&stream, 3) > 0) {
                send_some(&stream, first, end);
            }
            send_missing(&stream, first, end);
            for (int i = 0; i < ROUND_FRAMES; i++) { /* a poll ends with a term */
                (void)tern_subscription_poll(stream.subscription, on_fragment, &stream, 5);
                check_frames(&stream);
            }
            cr_assert_geq(stream.read, end - 1, "of %d", end);
            sim_world_run(&stream.world, NS_PER_MS);
            check_window(&stream);
        }
        cr_assert_eq(stream.image->position, (int64_t)TERMS * TERM_LENGTH, "seed %d", (int)seed);
        tern_subscription_close(stream.subscription);
        sim_world_close(&stream.world);
    }
}

static int64_t memory_of_log(const struct stream *stream) {
    struct stat status;
    cr_assert_eq(stat(stream->image->file->path, &status), 0);
    return (int64_t)status.st_blocks * 512;
}

/* Many streams are quiet most of the time: their logs are holes until something comes. */
Test(used_terms, a_new_log_is_clear_without_being_written) {
    static struct stream stream;
    open_stream(&stream, 22);
    sim_world_run(&stream.world, NS_PER_S);
    cr_assert_gt(sim_system_counter(&stream.world.nodes[0], SYSTEM_COUNTER_STATUS_MESSAGES_SENT),
                 0);
    cr_assert_leq(memory_of_log(&stream), LOG_METADATA_LENGTH);
    check_window(&stream);
    tern_subscription_close(stream.subscription);
    sim_world_close(&stream.world);
}
