/* Datagrams that are lost on purpose, to try out what repairs them (media-driver.md 7.5): a net
 * seam around another one, which drops some of what is sent and received.
 *
 *     loss             each by chance: rate, seed, and a mask of frame types
 *     fixed-loss       one gap in the data of each stream, once
 *     multi-gap-loss   several such gaps
 *     debug_..._loss   by chance, separately for data and control in each direction
 */
#ifndef DRIVERD_INTERCEPTOR_H
#define DRIVERD_INTERCEPTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/net_layer.h"
#include "driverd/driver_conf.h"

#define INTERCEPTOR_STREAMS_MAX 64

enum interceptor_class { INTERCEPTOR_DATA, INTERCEPTOR_CONTROL, INTERCEPTOR_CLASSES };

struct interceptor_chance {
    double rate;
    int64_t state; /* atomic: a direction's control frames are of two threads */
};

/* Gaps of a term: at multiples of `radix`, each of `length` bytes; radix 0: one, at `offset`. */
struct interceptor_gaps {
    bool is_on;
    int32_t term_id;
    int32_t offset;
    int32_t radix;
    int32_t length;
    int32_t count;
    struct {
        int32_t session_id;
        int32_t stream_id;
        int32_t lost_up_to; /* what is before was lost, or came, once */
    } streams[INTERCEPTOR_STREAMS_MAX];
    int stream_count;
};

/* What happens in one direction. Gaps are of the thread that sends or receives data. */
struct interceptor_side {
    struct interceptor_chance all;
    uint32_t type_mask; /* of `all` */
    struct interceptor_chance classes[INTERCEPTOR_CLASSES];
    struct interceptor_gaps fixed;
    struct interceptor_gaps multi;
};

struct interceptor {
    struct net_layer layer; /* hand out &layer.table */
    struct interceptor_side outgoing;
    struct interceptor_side incoming;
};

/* Is it the name of one of these? The others are plug-ins (plugin_filter.h). */
bool interceptor_is_known(const char *name);

/* Read the options; false in *is_wanted when none is set, and nothing is to be intercepted. 0 or
 * -EINVAL with the option's key in *key. */
int interceptor_init(struct interceptor *interceptor, const struct driver_conf *conf,
                     const struct net *inner, bool *is_wanted, const char **key,
                     struct tern_error *error);

#endif
