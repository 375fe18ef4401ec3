/* Congestion control of an image: the window that its status messages offer (media-driver.md 4.7).
 *
 * Two pure cores. struct congestion is the conductor's: what the rebuild of the stream found goes
 * in, the window comes out. "static" never changes it; "cubic" starts small, grows along a cubic
 * curve and falls to 0.8 with each loss. struct congestion_rtt is the receiver's: when to measure
 * the round trip, and what it was. Only rtt_ns passes from one to the other.
 */
#ifndef DRIVERD_CONGESTION_H
#define DRIVERD_CONGESTION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define CONGESTION_CUBIC_INITIAL_PACKETS 10
#define CONGESTION_RTT_TIMEOUT_MULTIPLE 4
/* A round trip beyond this is no measurement but an old or forged answer. */
#define CONGESTION_RTT_MAX_NS INT64_C(10000000000)

enum congestion_strategy { CONGESTION_STATIC, CONGESTION_CUBIC, CONGESTION_PLUGIN };

struct tern_congestion_params;
struct tern_congestion_plugin;

/* The value of the URI key `cc`; NULL (absent) leaves *strategy as it is. */
int congestion_parse(const char *cc, enum congestion_strategy *strategy, struct tern_error *error);

struct congestion_params {
    enum congestion_strategy strategy;
    int32_t window_bytes; /* configured, or the URI's */
    int32_t term_length;  /* of the sender */
    int32_t mtu_length;   /* of the sender */
    int64_t initial_rtt_ns;
    bool is_tcp_mode;
};

struct congestion {
    enum congestion_strategy strategy;
    const struct tern_congestion_plugin *plugin; /* CONGESTION_PLUGIN only */
    void *plugin_state;
    int32_t plugin_window_bytes;
    int32_t window_max_bytes; /* min(configured, half a term) */
    /* cubic; windows in packets of one MTU */
    bool is_tcp_mode;
    int32_t mtu_length;
    int32_t packets;
    int32_t packets_max;
    int32_t packets_at_loss;  /* w_max */
    double seconds_to_regain; /* k: until the curve is back at packets_at_loss */
    int64_t update_interval_ns;
    int64_t last_loss_ns;
    int64_t last_update_ns;
};

void congestion_init(struct congestion *congestion, const struct congestion_params *params,
                     int64_t now_ns);
/* The strategy is a plug-in from now on, after init. `params` lacks the window. 0 or a negative
 * code. */
int congestion_open_plugin(struct congestion *congestion,
                           const struct tern_congestion_plugin *plugin,
                           const struct tern_congestion_params *params, struct tern_error *error);
/* Ends the plug-in's instance, if there is one. */
void congestion_close(struct congestion *congestion);
/* The window in force. */
int32_t congestion_window(const struct congestion *congestion);

/* Does the window stay as it is as long as nothing happens? */
bool congestion_is_settled(const struct congestion *congestion);

/* What one look at the stream found. */
struct congestion_event {
    bool is_loss_found;       /* a gap that was not known before */
    int64_t consumed;         /* the slowest subscriber */
    int64_t last_sm_position; /* of the last status message ordered */
    int64_t rtt_ns;           /* measured, or assumed */
};

/* True when a status message has to go out now, whatever the window is. */
bool congestion_on_rebuild(struct congestion *congestion, const struct congestion_event *event,
                           int64_t now_ns);

struct congestion_rtt {
    bool is_measured; /* requests are wanted */
    int64_t initial_ns;
    int64_t timeout_ns; /* from one request to the next */
    int64_t next_request_ns;
    int64_t rtt_ns; /* store release, load acquire */
};

void congestion_rtt_init(struct congestion_rtt *rtt, bool is_measured, int64_t initial_ns);
/* Is a request due? Then it counts as sent. */
bool congestion_rtt_is_due(struct congestion_rtt *rtt, int64_t now_ns);
/* An answer; false when it says nothing. */
bool congestion_rtt_on_reply(struct congestion_rtt *rtt, int64_t echo_ns, int64_t delta_ns,
                             int64_t now_ns);

#endif
