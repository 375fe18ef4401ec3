/* An image: the copy of a remote publication's stream (media-driver.md 3).
 *
 * The receiver inserts packets and sends feedback; the conductor rebuilds, detects loss, schedules
 * status messages and runs the life cycle. What one tells the other goes through the counters and
 * two hand-over records with a sequence pair each (3.7).
 *
 *     ACTIVE --revoked, lost, ended--> DRAINING --drained--> LINGER --liveness time-out--> DONE
 */
#ifndef DRIVERD_IMAGE_H
#define DRIVERD_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/net.h"
#include "driverd/congestion.h"
#include "driverd/driver_message.h"
#include "driverd/endpoint_recv.h"
#include "driverd/log_file.h"
#include "driverd/loss_detector.h"
#include "driverd/schedule.h"
#include "driverd/stream_index.h"
#include "driverd/subscribable.h"
#include "driverd/sweep.h"
#include "driverd/timestamp.h"
#include "driverd/watch.h"

struct driver_context;
struct loss_report_entry;
struct receiver;
struct subscription;

#define IMAGE_CONNECTION_TIMEOUT_NS (5 * NS_PER_S)
#define IMAGE_EOS_SM_MULTIPLE 5 /* status message time-outs that EOS is announced for */

#define IMAGE_NO_RESPONSE INT64_MIN

enum image_state {
    IMAGE_STATE_ACTIVE,
    IMAGE_STATE_DRAINING,
    IMAGE_STATE_LINGER,
    IMAGE_STATE_DONE,
};

/* The status message to send next; gaps to report. Conductor writes, receiver reads: valid when
 * both change numbers are equal. */
struct image_sm_order {
    int64_t begin_change;
    int64_t position;
    int64_t window_bytes;
    int64_t end_change;
};

struct image_loss_order {
    int64_t end_change; /* first: on the cache line that the receiver looks at */
    int64_t begin_change;
    int64_t count;
    struct {
        int64_t term_id;
        int64_t term_offset;
        int64_t length;
    } gaps[LOSS_REPORTS_MAX];
};

/* A path by which the frames come, and where its feedback goes to. */
struct image_connection {
    bool is_known;
    union net_address control;
    int64_t last_activity_ns;
    int64_t last_frame_ns;
    int64_t last_data_ns; /* or heartbeat: not of a SETUP */
    bool is_eos;
    bool is_revoked;
    int64_t eos_position;
};

struct image {
    /* conductor */
    struct driver_context *context;
    struct receiver *receiver;
    struct endpoint_recv *endpoint; /* one reference, given back on LINGER */
    int64_t id;                     /* correlation id of the image */
    struct stream_node stream_node;
    int64_t quiet_hwm;        /* while hwm is this, everybody has everything; -1: look */
    struct sweep_entry entry; /* sweep.h */
    enum image_state state;
    int64_t state_time_ns;
    bool is_rejoin;
    bool is_reliable;
    bool wants_response; /* its SETUP asked for a response channel */
    struct log_file *file;
    int32_t hwm_counter_id;
    int32_t position_counter_id;
    int32_t naks_counter_id;
    int32_t rtt_counter_id; /* cubic only, else -1 */
    int32_t window_counter_id;
    struct congestion congestion;
    int32_t window_bytes;    /* in force */
    int64_t *window_counter; /* NULL: none */
    int64_t position;        /* rcv-pos; counters are writable by clients, so this is the truth */
    int64_t *position_counter;
    int64_t next_sm_position;
    int32_t last_sm_window_bytes;
    int64_t sm_change;
    int64_t loss_change;
    struct loss_detector loss_detector;
    struct loss_report_entry *loss_entry;
    bool is_loss_entry_made;   /* or it was found that there is no room */
    int64_t reported_position; /* up to here gaps are entered in the loss report */
    struct subscribable subscribers;
    struct tether_params tether;
    char *channel; /* of the endpoint */
    union net_address source;

    /* set before the hand-over, read by both */
    struct log_buffer *log;
    int32_t session_id;
    int32_t stream_id;

    /* conductor writes, receiver reads (release / acquire) */
    CACHE_ALIGNED uint8_t is_sending_eos;
    uint8_t is_sm_enabled;
    uint8_t is_ordered;         /* in the receiver's stack of orders; both write, by exchange */
    struct image *next_ordered; /* below it */
    struct watch watch;         /* of its hwm; both write */
    int64_t response_session;   /* a session id to send in RSP_SETUP; IMAGE_NO_RESPONSE: none */
    struct image_sm_order sm_order;
    struct image_loss_order loss_order;

    /* receiver writes, conductor reads (release / acquire) */
    CACHE_ALIGNED int64_t last_packet_ns;
    int64_t hwm; /* the highest position received */
    uint8_t is_eos;
    uint8_t is_released;

    /* receiver; the bulk comes last */
    CACHE_ALIGNED struct endpoint_recv *receive_endpoint;
    struct stream_node receive_node;
    struct schedule_node node; /* when it has something to say by the clock */
    int32_t connection_limit;  /* beyond the highest index that was used */
    int64_t *hwm_counter;
    int64_t *naks_counter;
    int64_t reach;          /* the end of what came, with what a pad leaves out of its datagram */
    int64_t clean_position; /* beyond hwm: zero from there to here; image_receive.c */
    int64_t last_sm_position;
    int64_t last_sm_change;
    int64_t last_loss_change;
    int64_t sm_deadline_ns;
    struct congestion_rtt rtt; /* conductor reads rtt_ns */
    int64_t *rtt_counter;      /* NULL: none */
    int64_t rsp_setup_deadline_ns;
    int32_t window_max_bytes;
    struct timestamp_offsets timestamps;
    bool is_stamped;       /* with at least one of them */
    bool is_superseded;    /* a later image of the session speaks for this endpoint */
    bool is_gap_filled;    /* unreliable: fill instead of asking */
    int32_t reject_length; /* -1: not rejected */
    struct image_connection connections[ENDPOINT_DESTINATIONS_MAX]; /* by destination index */
    char reject_reason[FRAME_ERR_TEXT_MAX + 1];
};

struct image_spec {
    struct receiver *receiver;
    struct endpoint_recv *endpoint;
    int32_t destination_index; /* that the SETUP came by */
    const struct message_create_image *setup;
    const struct subscription *subscription; /* the oldest that wants it: options of the log */
    enum group_consideration group;          /* of the oldest that says it, else as configured */
    struct log_file *file; /* made; the image's from here on, also when it fails */
};

/* 3.3 step 2. */
int image_check_setup(const struct endpoint_recv *endpoint,
                      const struct message_create_image *setup, struct tern_error *error);
/* After that check, with a log file under the id of the image: counters; takes a reference of the
 * endpoint. Afterwards the caller attaches the subscriptions (subscribable_add at
 * image_join_position) and calls receiver_add_image. */
int image_create(struct image **image, struct driver_context *context,
                 const struct image_spec *spec, struct tern_error *error);
/* Only when is_done, or when the receiver does not run any more. */
void image_destroy(struct image *image, struct endpoint_recv_table *endpoints);

/* Each duty cycle in which it is awake (3.7); returns work done. */
int image_track_rebuild(struct image *image, int64_t now_ns);
/* It has nothing to do until the receiver stirs it (watch.h) or the conductor itself does
 * something with it; the answer of sweep.h. */
enum sweep_answer image_settle(struct image *image);
/* Tethers and life cycle (3.9). Ends subscribers, the receiver's part and the endpoint reference
 * as the states go by. */
void image_on_timer(struct image *image, struct endpoint_recv_table *endpoints, int64_t now_ns);
bool image_is_done(const struct image *image);

/* May a new subscription join, and where (3.9)? */
bool image_accepts_subscribers(const struct image *image);
int64_t image_join_position(const struct image *image);
/* Tell the sender of the stream by which session it is answered (3.10), until that is ended. */
void image_announce_response(struct image *image, int32_t session_id);
void image_end_response(struct image *image, int32_t session_id);
/* A newer image of the same session was made: no more status messages of this one (3.3 step 10). */
void image_disable_status_messages(struct image *image);

#endif
