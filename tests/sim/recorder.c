/* See recorder.h. The model of what was published and reported is the simulator's and outlives the
 * process; everything else is forgotten when it dies. */
#include "sim/recorder.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <tern/archive.h>
#include <tern/client.h>
#include <tern/fragment.h>
#include <tern/image.h>
#include <tern/publication.h>
#include <tern/subscription.h>

#include "base/bits.h"
#include "client/seams.h"
#include "shm/log_buffer.h"
#include "sim/check_replay.h"
#include "sim/client.h"
#include "sim/owner.h"

#define CONTROL_PORT 9001 /* node.c */
#define RESPONSE_PORT 9302
#define RECORD_PORT 9300
#define REPLAY_PORT 9301
#define TERM_LENGTH (64 * 1024)
#define MTU_LENGTH 1408
#define PAYLOAD_MAX (MTU_LENGTH - LOG_FRAME_HEADER_LENGTH)
#define MESSAGE_MAX 4000
#define FRAGMENT_LIMIT 10
#define CHANNEL_MAX 256
#define LIST_MAX 1000
#define RECORDINGS_MAX 4
#define RECORDING_LENGTH_MAX (1024 * 1024)
#define RETRY_NS (100 * NS_PER_MS)
#define STEP_TIMEOUT_NS (8 * NS_PER_S)
#define ROUND_BYTES_MIN 2000
#define ROUND_BYTES_MAX 300000
#define ROUND_NS (4 * NS_PER_S)
#define NONE CHECK_REPLAY_NULL

struct recorder {
    struct sim *sim;
    struct dice dice;
    struct check_replay check;
    struct process *process;
    const struct machine *node; /* of the archive */
    bool is_local;
    bool is_sending;
    bool is_calm;
    int disk_count;     /* disks that the archive has had */
    int64_t highest_id; /* of all recordings ever seen */
    int64_t last_id;    /* what was written in the last round and not replayed yet; NONE */
    int64_t round_ns;   /* when the present round began */
    int64_t served_ns;  /* when the last one began that is over */
    int64_t replayed;   /* bytes */
    uint8_t message[MESSAGE_MAX];
};

enum step {
    STEP_ARCHIVE, /* a session */
    STEP_LIST,
    STEP_END_ACTIVE, /* a recording that an earlier life left going on */
    STEP_PAUSE,      /* then list */
    STEP_CHOOSE,
    STEP_PURGE,
    STEP_PUBLICATION,
    STEP_RECORD,
    STEP_WRITE,
    STEP_DRAIN,
    STEP_STOP,
    STEP_REPLAY,
    STEP_SUBSCRIPTION,
    STEP_READ,
    STEP_COUNT,
};

/* One life of the process. */
struct recorder_life {
    struct process *process;
    struct recorder *recorder;
    int disk_count; /* as it was when the session began */
    tern_client *client;
    int64_t retry_ns;   /* of looking for the driver */
    int64_t session_ns; /* when to try for a session again; of the simulation's time, as the next */
    struct tern_archive_connect *connecting;
    struct tern_archive *archive;
    enum step step;
    int64_t deadline_ns;
    /* the request under way */
    int64_t correlation_id; /* NONE: not sent yet */
    bool is_answered;
    enum tern_archive_response_code code;
    int64_t relevant_id;
    int64_t disk_errors_before; /* of the archive's disk, when it was sent */
    int64_t active_id;          /* found in a listing */
    /* publishing */
    tern_async *async;
    tern_exclusive_publication *publication;
    int64_t extended_id;           /* NONE: a new recording */
    int64_t start_position;        /* of the publication */
    int64_t record_correlation_id; /* of the recording's request */
    int64_t recording_id;          /* NONE: it has not begun */
    bool is_over;                  /* the archive says that it ended */
    int32_t counter_id;
    int64_t round_end;    /* position */
    int64_t round_end_ns; /* or time */
    int64_t due_ns;
    int64_t ask_ns;
    /* replaying recording_id */
    tern_subscription *subscription;
    tern_image *image;
    int32_t replay_session_id;
    int64_t replay_correlation_id;
    bool is_whole; /* from its start to its end */
    struct check_replay_cursor cursor;
};

/* -- lives -- */

static void enter(struct recorder_life *life, enum step step) {
    life->step = step;
    life->correlation_id = NONE;
    life->deadline_ns = life->recorder->sim->now_ns + STEP_TIMEOUT_NS;
}

static void pause_before_list(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    enter(life, STEP_PAUSE);
    life->deadline_ns = recorder->sim->now_ns + dice_between(&recorder->dice, 10, 300) * NS_PER_MS;
}

/* What belongs to a round. */
static void end_round(struct recorder_life *life) {
    tern_async_cancel(life->async);
    tern_exclusive_publication_close(life->publication);
    tern_image_release(life->image);
    tern_subscription_close(life->subscription);
    life->async = NULL;
    life->publication = NULL;
    life->image = NULL;
    life->subscription = NULL;
    life->recording_id = NONE;
    life->record_correlation_id = NONE;
    life->replay_correlation_id = NONE;
    life->is_over = false;
}

/* Begin again with a new session. */
static void lose(struct recorder_life *life, const char *why) {
    history_line(&life->recorder->sim->history, "recorder: in step %d: %s", (int)life->step, why);
    end_round(life);
    tern_archive_connect_cancel(life->connecting);
    tern_archive_close(life->archive);
    life->connecting = NULL;
    life->archive = NULL;
    enter(life, STEP_ARCHIVE);
    life->session_ns = life->recorder->sim->now_ns + RETRY_NS;
}

static void break_rule(const struct recorder_life *life, const struct tern_error *problem) {
    sim_fail(life->recorder->sim, "%s: %s", life->recorder->node->name, problem->text);
}

static struct check_replay_recording *recording_of(const struct recorder_life *life) {
    struct check_replay_recording *recording =
        check_replay_find(&life->recorder->check, life->recording_id);
    assert(recording != NULL);
    return recording;
}

static struct check_replay_recording *add_recording(struct recorder *recorder, int64_t id,
                                                    int32_t initial_term_id, int64_t start) {
    if (id <= recorder->highest_id) {
        sim_fail(recorder->sim, "%s: recording %lld, which is no new one, is there again",
                 recorder->node->name, (long long)id);
        return NULL;
    }
    recorder->highest_id = id;
    int owner = owner_switch(OWNER_SIMULATOR);
    struct check_replay_recording *added =
        check_replay_add(&recorder->check, id, initial_term_id, start);
    owner_switch(owner);
    return added;
}

/* -- what the archive says -- */

/* Refusals of what the model says is right. A recording may be active all the same: by a request of
 * an earlier life, which the archive has only now. */
static bool is_contradiction(int64_t error) {
    return error == TERN_ARCHIVE_ERROR_UNKNOWN_RECORDING ||
           error == TERN_ARCHIVE_ERROR_INVALID_EXTENSION ||
           error == TERN_ARCHIVE_ERROR_EMPTY_RECORDING ||
           error == TERN_ARCHIVE_ERROR_INVALID_POSITION;
}

static void check_refusal(struct recorder_life *life,
                          const struct tern_archive_response *response) {
    struct sim *sim = life->recorder->sim;
    history_line(&sim->history, "recorder: refused: %s", response->text);
    bool has_disk_failed = life->recorder->node->disk->error_count != life->disk_errors_before;
    if (is_contradiction(response->relevant_id) && !has_disk_failed) {
        sim_fail(sim, "%s: the archive refuses what is right: %s", life->recorder->node->name,
                 response->text);
    }
}

static void on_response(void *context, const struct tern_archive_response *response) {
    struct recorder_life *life = context;
    if (response->correlation_id < 0) {
        return;
    }
    if (response->code == TERN_ARCHIVE_ERROR) {
        check_refusal(life, response);
        life->is_over = life->is_over || response->correlation_id == life->record_correlation_id ||
                        response->correlation_id == life->replay_correlation_id;
    }
    if (response->correlation_id == life->correlation_id && !life->is_answered) {
        life->is_answered = true;
        life->code = response->code;
        life->relevant_id = response->relevant_id;
    }
}

/* One that is not known was made for a request whose answer got lost: nothing was published yet. */
static void adopt(struct recorder_life *life, const struct tern_archive_recording *found) {
    struct recorder *recorder = life->recorder;
    if (found->stop_position != found->start_position) {
        sim_fail(recorder->sim, "%s: recording %lld from %lld to %lld holds what nobody published",
                 recorder->node->name, (long long)found->recording_id,
                 (long long)found->start_position, (long long)found->stop_position);
        return;
    }
    struct check_replay_recording *added =
        add_recording(recorder, found->recording_id, found->initial_term_id, found->start_position);
    if (added != NULL) {
        added->is_listed = true;
        added->stop = found->stop_position;
    }
}

static void on_recording(void *context, const struct tern_archive_recording *found) {
    struct recorder_life *life = context;
    struct recorder *recorder = life->recorder;
    struct tern_error problem;
    struct check_replay_recording *known = check_replay_find(&recorder->check, found->recording_id);
    const struct check_replay_range told = {found->start_position, found->stop_position};
    if (found->correlation_id != life->correlation_id) {
        return;
    }
    if (known != NULL) {
        known->is_listed = true;
    }
    if (found->stop_position == TERN_ARCHIVE_NULL) {
        life->active_id = found->recording_id;
    } else if (known == NULL) {
        adopt(life, found);
    } else if (!check_replay_on_stop(&recorder->check, known, &told, &problem)) {
        break_rule(life, &problem);
    }
}

static void begin_recording(struct recorder_life *life, const struct tern_archive_signal *signal) {
    struct recorder *recorder = life->recorder;
    bool is_new = life->extended_id == NONE;
    if (signal->position != life->start_position ||
        (!is_new && signal->recording_id != life->extended_id)) {
        sim_fail(recorder->sim, "%s: recording %lld begins at %lld instead of %lld",
                 recorder->node->name, (long long)signal->recording_id, (long long)signal->position,
                 (long long)life->start_position);
        return;
    }
    struct tern_publication_constants constants;
    tern_exclusive_publication_get_constants(life->publication, &constants);
    struct check_replay_recording *recording =
        is_new ? add_recording(recorder, signal->recording_id, constants.initial_term_id,
                               signal->position)
               : check_replay_find(&recorder->check, signal->recording_id);
    if (recording != NULL) {
        check_replay_on_extend(recording);
        life->recording_id = signal->recording_id;
    }
}

static void report(struct recorder_life *life, int64_t position) {
    struct tern_error problem;
    if (!check_replay_on_report(recording_of(life), position, &problem)) {
        break_rule(life, &problem);
    }
}

static void stop_at(struct recorder_life *life, int64_t position) {
    struct tern_error problem;
    struct check_replay_recording *recording = recording_of(life);
    const struct check_replay_range told = {recording->start, position};
    if (!check_replay_on_stop(&life->recorder->check, recording, &told, &problem)) {
        break_rule(life, &problem);
    }
}

static void on_signal(void *context, const struct tern_archive_signal *signal) {
    struct recorder_life *life = context;
    if (life->record_correlation_id == NONE ||
        signal->correlation_id != life->record_correlation_id) {
        return;
    }
    if (signal->kind == TERN_ARCHIVE_SIGNAL_START || signal->kind == TERN_ARCHIVE_SIGNAL_EXTEND) {
        begin_recording(life, signal);
    } else if (signal->kind == TERN_ARCHIVE_SIGNAL_STOP) {
        life->is_over = true;
        if (life->recording_id != NONE) {
            stop_at(life, signal->position);
        }
    }
}

/* -- requests -- */

/* Note what a send function returned. True when it went out. */
static bool note_sent(struct recorder_life *life, int64_t sent) {
    if (sent == -EAGAIN) {
        return false;
    }
    if (sent < 0) {
        lose(life, "the archive has gone");
        return false;
    }
    life->correlation_id = sent;
    life->is_answered = false;
    life->disk_errors_before = life->recorder->node->disk->error_count;
    return true;
}

static bool needs_request(const struct recorder_life *life) {
    return life->correlation_id == NONE;
}

/* The archive answers at the recorder's address, or by a response channel of its own. */
static void print_channels(const struct recorder_life *life, char *request, char *response) {
    const struct recorder *recorder = life->recorder;
    int host = recorder->node->index + 1;
    bool is_by_response = recorder->sim->options.is_archive_by_response;
    if (recorder->is_local) {
        (void)snprintf(request, CHANNEL_MAX, "aeron:ipc?term-length=64k");
        (void)snprintf(response, CHANNEL_MAX, "aeron:ipc?term-length=64k%s",
                       is_by_response ? "|control-mode=response" : "");
        return;
    }
    (void)snprintf(request, CHANNEL_MAX, "aeron:udp?endpoint=10.0.0.%d:%d|term-length=64k", host,
                   CONTROL_PORT);
    if (is_by_response) {
        (void)snprintf(response, CHANNEL_MAX,
                       "aeron:udp?control=10.0.0.%d:%d|control-mode=response", host, RESPONSE_PORT);
    } else {
        (void)snprintf(response, CHANNEL_MAX, "aeron:udp?endpoint=10.0.0.%d:0",
                       life->process->machine->index + 1);
    }
}

static int step_archive(struct recorder_life *life, int64_t now_ns) {
    struct recorder *recorder = life->recorder;
    struct tern_error error;
    if (life->connecting == NULL) {
        if (recorder->sim->now_ns < life->session_ns) {
            return 0;
        }
        char request[CHANNEL_MAX];
        char response[CHANNEL_MAX];
        print_channels(life, request, response);
        const struct tern_archive_params params = {
            .client = life->client,
            .request_channel = request,
            .response_channel = response,
            .message_timeout_ns = STEP_TIMEOUT_NS,
            .client_name = "recorder",
            .handlers = {life, on_response, on_recording, NULL, on_signal},
        };
        life->session_ns = recorder->sim->now_ns + RETRY_NS;
        if (tern_archive_connect_begin(&life->connecting, &params, &error) != 0) {
            life->connecting = NULL;
        }
        return 1;
    }
    int result = tern_archive_connect_poll(life->connecting, now_ns, &life->archive, &error);
    life->connecting = result == 0 ? life->connecting : NULL;
    if (result > 0) {
        history_line(&recorder->sim->history, "recorder: has a session");
        enter(life, STEP_LIST);
    } else if (result < 0) {
        life->archive = NULL;
        lose(life, error.text);
    }
    return result != 0;
}

/* -- what there is -- */

static int step_list(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    struct tern_error problem;
    if (needs_request(life)) {
        check_replay_begin_listing(&recorder->check);
        life->active_id = NONE;
        return note_sent(life, tern_archive_send_list_recordings_for_uri(life->archive, 0, LIST_MAX,
                                                                         "", RECORDER_STREAM_ID));
    }
    if (!life->is_answered) {
        return 0;
    }
    if (life->code == TERN_ARCHIVE_ERROR) {
        lose(life, "no list");
    } else if (!check_replay_end_listing(&recorder->check, &problem)) {
        break_rule(life, &problem);
    } else {
        enter(life, life->active_id != NONE ? STEP_END_ACTIVE : STEP_CHOOSE);
    }
    return 1;
}

static int step_end_active(struct recorder_life *life) {
    if (needs_request(life)) {
        return note_sent(life,
                         tern_archive_send_stop_recording_by_id(life->archive, life->active_id));
    }
    if (life->is_answered) {
        pause_before_list(life);
    }
    return life->is_answered;
}

static int step_pause(struct recorder_life *life) {
    if (life->recorder->sim->now_ns < life->deadline_ns) {
        return 0;
    }
    enter(life, STEP_LIST);
    return 1;
}

static int step_purge(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    if (needs_request(life)) {
        bool is_sent =
            note_sent(life, tern_archive_send_purge_recording(life->archive, life->recording_id));
        recording_of(life)->may_be_gone = true;
        return is_sent;
    }
    if (!life->is_answered) {
        return 0;
    }
    recording_of(life)->may_be_gone = false;
    if (life->code == TERN_ARCHIVE_OK) {
        history_line(&recorder->sim->history, "recorder: recording %lld is purged",
                     (long long)life->recording_id);
        check_replay_remove(&recorder->check, life->recording_id);
    }
    end_round(life);
    pause_before_list(life);
    return 1;
}

/* -- replay -- */

static void begin_replay(struct recorder_life *life, int64_t id) {
    life->recording_id = id;
    enter(life, STEP_REPLAY);
}

static int64_t draw_boundary(struct recorder *recorder,
                             const struct check_replay_recording *recording, int64_t from) {
    return check_replay_boundary(&recorder->check, recording,
                                 dice_between(&recorder->dice, from, recording->stop));
}

/* From where to where; the length as the request has it. */
static int64_t draw_range(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    const struct check_replay_recording *recording = recording_of(life);
    int64_t position = recording->start;
    int64_t end = recording->stop;
    bool is_whole = !recorder->is_sending || dice_chance(&recorder->dice, 0.4);
    if (!is_whole) {
        position = draw_boundary(recorder, recording, position);
        position = position >= end ? recording->start : position;
    }
    bool has_length = !is_whole && dice_chance(&recorder->dice, 0.5);
    if (has_length) {
        end = draw_boundary(recorder, recording, position + 1);
    }
    life->is_whole = is_whole;
    life->cursor = check_replay_begin(recording, position, end);
    return has_length                          ? end - position
           : dice_chance(&recorder->dice, 0.5) ? TERN_ARCHIVE_REPLAY_ALL_AND_FOLLOW
                                               : TERN_ARCHIVE_REPLAY_ALL_AND_STOP;
}

static void replay_channel(const struct recorder_life *life, char *channel) {
    const char *ipc = "aeron:ipc";
    if (life->recorder->is_local) {
        (void)snprintf(channel, CHANNEL_MAX, "%s", ipc);
    } else {
        (void)snprintf(channel, CHANNEL_MAX, "aeron:udp?endpoint=10.0.0.%d:%d",
                       life->process->machine->index + 1, REPLAY_PORT);
    }
}

static void end_replay(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    struct check_replay_recording *recording = recording_of(life);
    recording->is_replayed = recording->is_replayed || life->is_whole;
    if (recording->id == recorder->last_id) {
        recorder->last_id = NONE;
        recorder->served_ns = recorder->round_ns;
    }
    end_round(life);
    enter(life, STEP_CHOOSE);
}

static int step_replay(struct recorder_life *life) {
    if (needs_request(life)) {
        const struct check_replay_recording *recording = recording_of(life);
        if (recording->stop == recording->start) {
            life->is_whole = true;
            end_replay(life);
            return 1;
        }
        struct tern_archive_replay_params params;
        char channel[CHANNEL_MAX];
        replay_channel(life, channel);
        tern_archive_replay_params_init(&params, life->recording_id, channel,
                                        RECORDER_REPLAY_STREAM_ID);
        params.length = draw_range(life);
        params.position = life->cursor.position;
        bool is_sent = note_sent(life, tern_archive_send_replay(life->archive, &params));
        life->replay_correlation_id = is_sent ? life->correlation_id : NONE;
        return is_sent;
    }
    if (!life->is_answered) {
        return 0;
    }
    if (life->code != TERN_ARCHIVE_OK) {
        end_round(life);
        pause_before_list(life);
        return 1;
    }
    life->replay_session_id = tern_archive_replay_session_id(life->relevant_id);
    enter(life, STEP_SUBSCRIPTION);
    return 1;
}

/* The first image begins where the replay does. One that comes after it was lost does not matter.
 */
static void on_image(void *context, tern_subscription *subscription, tern_image *image) {
    struct recorder_life *life = context;
    (void)subscription;
    if (life->image != NULL) {
        return;
    }
    tern_image_retain(image);
    life->image = image;
    if (tern_image_join_position(image) != life->cursor.position) {
        sim_fail(life->recorder->sim, "%s: a replay of recording %lld begins at %lld, not at %lld",
                 life->recorder->node->name, (long long)life->recording_id,
                 (long long)tern_image_join_position(image), (long long)life->cursor.position);
    }
}

static void on_image_gone(void *context, tern_subscription *subscription, tern_image *image) {
    (void)context, (void)subscription, (void)image;
}

static int step_subscription(struct recorder_life *life) {
    struct tern_error error;
    if (life->async == NULL) {
        char channel[CHANNEL_MAX];
        char text[CHANNEL_MAX];
        replay_channel(life, text);
        int result = tern_archive_channel_with_session(text, life->replay_session_id, channel,
                                                       sizeof channel);
        assert(result == 0);
        (void)result;
        const struct tern_subscription_params params = {.channel = channel,
                                                        .stream_id = RECORDER_REPLAY_STREAM_ID,
                                                        .on_available_image = on_image,
                                                        .on_unavailable_image = on_image_gone,
                                                        .handler_context = life};
        life->async = tern_client_async_add_subscription(life->client, &params, &error);
        return 0;
    }
    int result = tern_async_poll_subscription(life->async, &life->subscription, &error);
    life->async = result == 0 ? life->async : NULL;
    if (result > 0) {
        enter(life, STEP_READ);
    } else if (result < 0) {
        lose(life, error.text);
    }
    return result != 0;
}

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    struct recorder_life *life = context;
    struct recorder *recorder = life->recorder;
    struct tern_error problem;
    uint8_t flags = tern_header_flags(header);
    const struct check_replay_frame frame = {
        .end = tern_header_position(header),
        .payload = buffer,
        .length = length,
        .is_begin = (flags & TERN_FLAG_BEGIN) != 0,
        .is_end = (flags & TERN_FLAG_END) != 0,
    };
    if (!check_replay_on_frame(&recorder->check, recording_of(life), &life->cursor, &frame,
                               &problem)) {
        break_rule(life, &problem);
    }
    recorder->replayed += length;
}

static int step_read(struct recorder_life *life) {
    struct sim *sim = life->recorder->sim;
    struct tern_error problem;
    if (life->image == NULL) {
        return 0;
    }
    bool is_closed = tern_image_is_closed(life->image);
    int work = tern_image_poll(life->image, on_fragment, life, FRAGMENT_LIMIT);
    if (work > 0) {
        life->deadline_ns = sim->now_ns + STEP_TIMEOUT_NS;
    }
    if (tern_image_position(life->image) >= life->cursor.end) {
        if (!check_replay_on_end(recording_of(life), &life->cursor, &problem)) {
            break_rule(life, &problem);
        }
        end_replay(life);
        return 1;
    }
    if (is_closed || life->is_over) {
        history_line(&sim->history, "recorder: the replay of recording %lld broke off at %lld",
                     (long long)life->recording_id, (long long)tern_image_position(life->image));
        end_round(life);
        pause_before_list(life);
        return 1;
    }
    return work;
}

/* -- publish -- */

static void record_channel(const struct recorder_life *life, char *channel) {
    if (life->recorder->is_local) {
        (void)snprintf(channel, CHANNEL_MAX, "aeron:ipc?term-length=%d|mtu=%d", TERM_LENGTH,
                       MTU_LENGTH);
    } else {
        (void)snprintf(channel, CHANNEL_MAX,
                       "aeron:udp?endpoint=10.0.0.%d:%d|term-length=%d|mtu=%d",
                       life->recorder->node->index + 1, RECORD_PORT, TERM_LENGTH, MTU_LENGTH);
    }
}

/* A publication whose first frame stands at start_position. */
static void begin_publication(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    struct tern_error error;
    char base[CHANNEL_MAX];
    char channel[2 * CHANNEL_MAX];
    int32_t initial_term_id = (int32_t)dice_next(&recorder->dice);
    life->start_position = dice_between(&recorder->dice, 0, 3 * TERM_LENGTH / 32) * 32;
    if (life->extended_id != NONE) {
        const struct check_replay_recording *extended =
            check_replay_find(&recorder->check, life->extended_id);
        initial_term_id = extended->initial_term_id;
        life->start_position = extended->stop;
    }
    record_channel(life, base);
    (void)snprintf(
        channel, sizeof channel, "%s|init-term-id=%d|term-id=%d|term-offset=%d", base,
        initial_term_id,
        (int32_t)((uint32_t)initial_term_id + (uint32_t)(life->start_position / TERM_LENGTH)),
        (int32_t)(life->start_position % TERM_LENGTH));
    life->async = tern_client_async_add_exclusive_publication(life->client, channel,
                                                              RECORDER_STREAM_ID, &error);
}

static int step_publication(struct recorder_life *life) {
    struct tern_error error;
    if (life->async == NULL) {
        begin_publication(life);
        return 0;
    }
    int result = tern_async_poll_exclusive_publication(life->async, &life->publication, &error);
    life->async = result == 0 ? life->async : NULL;
    if (result > 0) {
        enter(life, STEP_RECORD);
    } else if (result < 0) {
        lose(life, error.text);
    }
    return result != 0;
}

static int64_t send_record(struct recorder_life *life) {
    char base[CHANNEL_MAX];
    char channel[CHANNEL_MAX];
    record_channel(life, base);
    int result = tern_archive_channel_with_session(
        base, tern_exclusive_publication_session_id(life->publication), channel, sizeof channel);
    assert(result == 0);
    (void)result;
    enum tern_archive_source_location location =
        life->recorder->is_local ? TERN_ARCHIVE_SOURCE_LOCAL : TERN_ARCHIVE_SOURCE_REMOTE;
    const struct tern_archive_extend_params params = {life->extended_id, channel,
                                                      RECORDER_STREAM_ID, location, true};
    return life->extended_id == NONE
               ? tern_archive_send_start_recording(life->archive, channel, RECORDER_STREAM_ID,
                                                   location, true)
               : tern_archive_send_extend_recording(life->archive, &params);
}

/* Nothing is published before the archive says that it records. */
static int step_record(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    if (needs_request(life)) {
        bool is_sent = note_sent(life, send_record(life));
        life->record_correlation_id = is_sent ? life->correlation_id : NONE;
        return is_sent;
    }
    if (life->is_over) {
        end_round(life);
        pause_before_list(life);
        return 1;
    }
    if (life->recording_id == NONE) {
        return 0;
    }
    enter(life, STEP_WRITE);
    recorder->last_id = life->recording_id;
    life->counter_id = tern_archive_find_counter_by_recording(life->client, life->recording_id,
                                                              tern_archive_id(life->archive));
    life->round_end =
        life->start_position + dice_scale(&recorder->dice, ROUND_BYTES_MIN, ROUND_BYTES_MAX);
    life->round_end_ns = recorder->sim->now_ns + dice_between(&recorder->dice, 0, 2 * ROUND_NS);
    history_line(&recorder->sim->history, "recorder: recording %lld %s at %lld",
                 (long long)life->recording_id,
                 life->extended_id == NONE ? "begins" : "is extended",
                 (long long)life->start_position);
    return 1;
}

static int64_t framed_length(int32_t length) {
    int64_t rest = length % PAYLOAD_MAX;
    return length / PAYLOAD_MAX * (int64_t)MTU_LENGTH +
           (rest > 0 ? align_i64(rest + LOG_FRAME_HEADER_LENGTH, LOG_FRAME_ALIGNMENT) : 0);
}

static int publish(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    struct check_replay_recording *recording = recording_of(life);
    if (recorder->sim->now_ns < life->due_ns) {
        return 0;
    }
    int64_t longest = dice_chance(&recorder->dice, 0.3) ? MESSAGE_MAX : 300;
    int32_t length = (int32_t)dice_between(&recorder->dice, 1, longest);
    uint64_t salt = dice_chance(&recorder->dice, 0.05) ? 0 : dice_next(&recorder->dice);
    check_replay_fill(recorder->message, length, salt);
    int64_t mean_ns = NS_PER_S / recorder->sim->options.record_hz;
    life->due_ns = recorder->sim->now_ns + dice_between(&recorder->dice, 0, 2 * mean_ns);
    int64_t end = tern_exclusive_publication_offer(life->publication, recorder->message, length);
    int owner = owner_switch(OWNER_SIMULATOR);
    if (end > 0) {
        const struct check_replay_message message = {end - framed_length(length), end, length,
                                                     salt};
        check_replay_on_offer(recording, &message);
    }
    check_replay_on_published(recording, tern_exclusive_publication_position(life->publication));
    owner_switch(owner);
    return end > 0;
}

/* By the counter, which the archive's own driver has, and by the archive's answers. */
static int ask_position(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    if (recorder->is_local &&
        tern_archive_counter_recording_id(life->client, life->counter_id) == life->recording_id) {
        report(life, tern_counters_value(tern_client_counters(life->client), life->counter_id));
    }
    if (needs_request(life)) {
        return recorder->sim->now_ns < life->ask_ns
                   ? 0
                   : note_sent(life, tern_archive_send_recording_position(life->archive,
                                                                          life->recording_id));
    }
    if (!life->is_answered) {
        return 0;
    }
    if (life->code == TERN_ARCHIVE_OK && life->relevant_id != TERN_ARCHIVE_NULL) {
        report(life, life->relevant_id);
    } else {
        life->is_over = true;
    }
    life->correlation_id = NONE;
    life->deadline_ns = recorder->sim->now_ns + STEP_TIMEOUT_NS;
    life->ask_ns = recorder->sim->now_ns + dice_between(&recorder->dice, 5, 150) * NS_PER_MS;
    return 1;
}

/* All that was published is recorded; or the recording is ended at once; or its stream is. */
static void end_write(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    int64_t way = dice_between(&recorder->dice, 0, 2);
    if (way == 0 || !recorder->is_sending) {
        enter(life, STEP_DRAIN);
    } else if (way == 1) {
        enter(life, STEP_STOP);
    } else {
        end_round(life);
        pause_before_list(life);
    }
}

static int step_write(struct recorder_life *life) {
    const struct recorder *recorder = life->recorder;
    int work = ask_position(life);
    if (life->step != STEP_WRITE) {
        return work;
    }
    if (life->is_over) {
        history_line(&recorder->sim->history, "recorder: recording %lld has ended",
                     (long long)life->recording_id);
        end_round(life);
        pause_before_list(life);
        return 1;
    }
    work += publish(life);
    bool is_enough = recording_of(life)->published >= life->round_end ||
                     recorder->sim->now_ns >= life->round_end_ns;
    if (needs_request(life) && ((is_enough && !recorder->is_calm) || !recorder->is_sending)) {
        end_write(life);
    }
    return work;
}

static int step_drain(struct recorder_life *life) {
    int work = ask_position(life);
    if (life->step == STEP_DRAIN && needs_request(life) &&
        (life->is_over || recording_of(life)->reported == recording_of(life)->published)) {
        enter(life, STEP_STOP);
    }
    return work;
}

static int step_stop(struct recorder_life *life) {
    if (needs_request(life)) {
        return note_sent(life,
                         tern_archive_send_stop_recording_by_id(life->archive, life->recording_id));
    }
    if (!life->is_answered) {
        return publish(life);
    }
    end_round(life);
    pause_before_list(life);
    return 1;
}

/* -- what is next -- */

static void begin_purge(struct recorder_life *life, int64_t id) {
    life->recording_id = id;
    enter(life, STEP_PURGE);
}

/* One whose purge was not answered; NULL: none. */
static const struct check_replay_recording *find_doubtful(const struct recorder *recorder) {
    for (int i = 0; i < recorder->check.count; i++) {
        if (recorder->check.recordings[i].may_be_gone) {
            return &recorder->check.recordings[i];
        }
    }
    return NULL;
}

/* The first that was not replayed yet; NULL: all were. */
static const struct check_replay_recording *find_unreplayed(const struct recorder *recorder) {
    for (int i = 0; i < recorder->check.count; i++) {
        if (!recorder->check.recordings[i].is_replayed) {
            return &recorder->check.recordings[i];
        }
    }
    return NULL;
}

static int64_t lowest_id(const struct recorder *recorder) {
    int64_t lowest = INT64_MAX;
    for (int i = 0; i < recorder->check.count; i++) {
        lowest = min_i64(lowest, recorder->check.recordings[i].id);
    }
    return lowest;
}

static void choose_round(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    const struct check_replay *check = &recorder->check;
    const struct check_replay_recording *one =
        check->count == 0 ? NULL
                          : &check->recordings[dice_between(&recorder->dice, 0, check->count - 1)];
    if (one != NULL && dice_chance(&recorder->dice, 0.2)) {
        begin_replay(life, one->id);
    } else if (check->count >= RECORDINGS_MAX && dice_chance(&recorder->dice, 0.3)) {
        begin_purge(life, lowest_id(recorder));
    } else {
        bool is_extended = one != NULL && one->stop - one->start < RECORDING_LENGTH_MAX &&
                           (check->count >= RECORDINGS_MAX || dice_chance(&recorder->dice, 0.7));
        if (is_extended || check->count < RECORDINGS_MAX) {
            life->extended_id = is_extended ? one->id : NONE;
            recorder->round_ns = recorder->sim->now_ns;
            enter(life, STEP_PUBLICATION);
        }
    }
}

static int step_choose(struct recorder_life *life) {
    struct recorder *recorder = life->recorder;
    const struct check_replay_recording *unreplayed = find_unreplayed(recorder);
    life->deadline_ns = recorder->sim->now_ns + STEP_TIMEOUT_NS;
    if (recorder->is_calm) {
        return 0;
    }
    const struct check_replay_recording *doubtful = find_doubtful(recorder);
    if (doubtful != NULL) {
        begin_purge(life, doubtful->id);
    } else if (check_replay_find(&recorder->check, recorder->last_id) != NULL) {
        begin_replay(life, recorder->last_id);
    } else if (recorder->is_sending) {
        choose_round(life);
    } else if (unreplayed != NULL) {
        begin_replay(life, unreplayed->id);
    }
    return life->step != STEP_CHOOSE;
}

/* -- the process -- */

static int do_step(struct recorder_life *life, int64_t now_ns) {
    static int (*const steps[STEP_COUNT])(struct recorder_life *) = {
        [STEP_LIST] = step_list,     [STEP_END_ACTIVE] = step_end_active,
        [STEP_PAUSE] = step_pause,   [STEP_CHOOSE] = step_choose,
        [STEP_PURGE] = step_purge,   [STEP_PUBLICATION] = step_publication,
        [STEP_RECORD] = step_record, [STEP_WRITE] = step_write,
        [STEP_DRAIN] = step_drain,   [STEP_STOP] = step_stop,
        [STEP_REPLAY] = step_replay, [STEP_SUBSCRIPTION] = step_subscription,
        [STEP_READ] = step_read,
    };
    if (life->step == STEP_ARCHIVE) {
        life->disk_count = life->recorder->disk_count;
        return step_archive(life, now_ns);
    }
    if (life->disk_count != life->recorder->disk_count) {
        lose(life, "the disk is lost");
        return 1;
    }
    int work = tern_archive_poll(life->archive, NULL);
    if (work < 0) {
        lose(life, "the session is lost");
        return 1;
    }
    if (life->step != STEP_PAUSE && life->recorder->sim->now_ns > life->deadline_ns) {
        lose(life, "it takes too long");
        return 1;
    }
    return work + steps[life->step](life);
}

static int open_recorder(struct process *process, struct tern_error *error) {
    struct recorder_life *life = calloc(1, sizeof *life);
    (void)error;
    assert(life != NULL);
    life->process = process;
    life->recorder = process->sim->recorder;
    life->recording_id = NONE;
    life->record_correlation_id = NONE;
    life->replay_correlation_id = NONE;
    process->instance = life;
    enter(life, STEP_ARCHIVE);
    return 0;
}

static int work_recorder(struct process *process, int64_t now_ns, struct tern_error *error) {
    struct recorder_life *life = process->instance;
    if (life->client == NULL) {
        return sim_connect_driver(process, &life->retry_ns, &life->client, now_ns, error);
    }
    if (tern_client_is_closed(life->client)) {
        (void)tern_client_status(life->client, error);
        return error->code < 0 ? error->code : -1;
    }
    int work = tern_client_do_work_at(life->client, now_ns);
    return work + do_step(life, now_ns);
}

static void close_recorder(struct process *process) {
    struct recorder_life *life = process->instance;
    end_round(life);
    tern_archive_connect_cancel(life->connecting);
    tern_archive_close(life->archive);
    tern_client_close(life->client);
    free(life);
}

static const struct process_operations recorder_operations = {"recorder", open_recorder,
                                                              work_recorder, close_recorder};

void recorder_add(struct sim *sim) {
    if (sim->options.record_hz == 0) {
        return;
    }
    struct recorder *recorder = calloc(1, sizeof *recorder);
    assert(recorder != NULL);
    recorder->sim = sim;
    recorder->dice.state = dice_next(&sim->dice);
    recorder->check.payload_max = PAYLOAD_MAX;
    recorder->node = &sim->machines[dice_between(&recorder->dice, 0, sim->options.node_count - 1)];
    recorder->is_local = dice_chance(&recorder->dice, 0.5);
    recorder->highest_id = NONE;
    recorder->last_id = NONE;
    recorder->served_ns = -1;
    int machine = recorder->is_local ? recorder->node->index : sim->options.node_count;
    sim->recorder = recorder;
    recorder->process =
        process_add(&sim->machines[machine], PROCESS_RECORDER, &recorder_operations);
}

void recorder_destroy(struct recorder *recorder) {
    if (recorder != NULL) {
        check_replay_close(&recorder->check);
        free(recorder);
    }
}

void recorder_set_sending(struct recorder *recorder, bool is_sending) {
    if (recorder != NULL) {
        recorder->is_sending = is_sending;
        for (int i = 0; i < recorder->check.count; i++) {
            recorder->check.recordings[i].is_replayed = false;
        }
    }
}

void recorder_set_calm(struct recorder *recorder, bool is_calm) {
    if (recorder != NULL) {
        recorder->is_calm = is_calm;
    }
}

void recorder_on_disk_lost(struct recorder *recorder, const struct machine *machine) {
    if (recorder != NULL && recorder->node == machine) {
        check_replay_forget(&recorder->check);
        recorder->disk_count++;
        recorder->highest_id = NONE;
        recorder->last_id = NONE;
    }
}

static const struct recorder_life *life_of(const struct recorder *recorder) {
    return recorder->process->is_up ? recorder->process->instance : NULL;
}

bool recorder_is_served(const struct recorder *recorder, int64_t since_ns) {
    return recorder == NULL || recorder->served_ns >= since_ns;
}

bool recorder_is_calm(const struct recorder *recorder) {
    const struct recorder_life *life = recorder == NULL ? NULL : life_of(recorder);
    return recorder == NULL ||
           (life != NULL && (life->step == STEP_WRITE || life->step == STEP_CHOOSE));
}

bool recorder_is_level(const struct recorder *recorder) {
    const struct recorder_life *life = recorder == NULL ? NULL : life_of(recorder);
    return recorder == NULL ||
           (life != NULL && life->step == STEP_CHOOSE && find_unreplayed(recorder) == NULL);
}

int64_t recorder_replayed(const struct recorder *recorder) {
    return recorder == NULL ? 0 : recorder->replayed;
}
