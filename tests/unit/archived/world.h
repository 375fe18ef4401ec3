/* A whole small world in one thread: a media driver, an archive and a client with an archive
 * session, all stepped by hand on a clock that only the test moves. Files are real. */
#ifndef TERN_TESTS_ARCHIVED_WORLD_H
#define TERN_TESTS_ARCHIVED_WORLD_H

#include <tern/archive.h>
#include <tern/client.h>

#include "archived/archive_server.h"
#include "driverd/driver.h"
#include "tests/unit/archived/place.h"

#define WORLD_RESPONSES_MAX 64
#define WORLD_STEP_NS NS_PER_MS

struct world {
    struct place place;
    struct clock clock;
    struct store store; /* of the archive: the system's, for the test to break */
    int64_t now_ns;
    struct io io;
    struct driver_conf driver_conf;
    struct driver *driver;
    struct archive_conf conf;
    struct archive_server server;
    bool has_server;
    tern_client *client;
    struct tern_archive *archive;
    /* what the session heard, texts left out */
    struct tern_archive_response responses[WORLD_RESPONSES_MAX];
    int response_count;
    struct tern_archive_signal signals[WORLD_RESPONSES_MAX];
    int signal_count;
    struct tern_archive_recording recordings[WORLD_RESPONSES_MAX];
    int recording_count;
};

/* `settings` is an environment, NULL-terminated, for the archive. */
void world_open(struct world *world, char *const *settings);
/* The same but for the session, for clients by hand. */
void world_open_server(struct world *world, char *const *settings);
void world_close(struct world *world);

/* Start (again) the archive on its directory, until it serves; connect a session. */
void world_start_archive(struct world *world);
/* End it in order, or as a crash would: nothing is written any more. */
void world_stop_archive(struct world *world);
void world_crash_archive(struct world *world);

/* Everybody takes one step, a millisecond passes. */
void world_step(struct world *world);
#define world_wait(world, condition)                                                               \
    do {                                                                                           \
        for (int steps_ = 0; !(condition); steps_++) {                                             \
            cr_assert_lt(steps_, 20000, "20 s passed waiting for %s", #condition);                 \
            world_step(world);                                                                     \
        }                                                                                          \
    } while (0)

/* The answer to `sent`: 0 and *relevant_id, or the negative code. */
int world_answer(struct world *world, int64_t sent, int64_t *relevant_id);
/* The signal of this kind for the recording, awaited; it is taken off the list. */
struct tern_archive_signal world_signal(struct world *world, enum tern_archive_signal_kind kind);

tern_exclusive_publication *world_publish(struct world *world, const char *channel,
                                          int32_t stream_id);
tern_subscription *world_subscribe(struct world *world, const char *channel, int32_t stream_id);
/* Offer until taken; the position behind. */
int64_t world_offer(struct world *world, tern_exclusive_publication *publication, const void *data,
                    int32_t length);

#define WORLD_STREAM 1001
#define WORLD_REPLAY_STREAM 2002

/* Record `count` messages of 992 bytes (frames of 1 KiB), the first full of 'a', the next of 'b'
 * and so on; the recording stays active. */
tern_exclusive_publication *world_record(struct world *world, const char *channel, int count,
                                         int64_t *recording_id);
/* The greatest recorded position, as the archive tells it. */
int64_t world_position(struct world *world, int64_t recording_id);
/* Close the publication; the position of the STOP signal that follows. */
int64_t world_stop(struct world *world, tern_exclusive_publication *publication);
/* Replay everything and compare it with what world_record published. */
void world_expect_replay(struct world *world, int64_t recording_id, int count);

#endif
