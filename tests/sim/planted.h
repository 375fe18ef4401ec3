/* Known-bad behaviours that can be planted into the daemons of a run, so that every check is seen
 * to catch something. They are wrapped around functions of the daemons when the simulation is
 * linked, or done to the disk: no daemon that is installed has a line of them. */
#ifndef TERN_SIM_PLANTED_H
#define TERN_SIM_PLANTED_H

#include <stdbool.h>

enum planted_bug {
    PLANTED_NONE,
    PLANTED_OWN_VOTE_SUFFICES,        /* a candidate waits for nobody's vote */
    PLANTED_SHORTER_LOG_ELECTED,      /* a member votes whatever the candidate's log lacks */
    PLANTED_NODE_STATE_NOT_WRITTEN,   /* votes are forgotten in a crash */
    PLANTED_RECORDING_LOG_NOT_SYNCED, /* terms and snapshots are forgotten by a loss of power */
    PLANTED_SEGMENTS_NOT_SYNCED,      /* positions are reported before they are durable */
    PLANTED_MINORITY_COMMITS,         /* what one member holds is committed */
    PLANTED_UNCOMMITTED_SERVED,       /* services are given what is not committed */
    PLANTED_TRUNCATION_FORGOTTEN,     /* a tail that the leader does not have stays */
    PLANTED_GAP_NOT_REBUILT,          /* what a datagram lost is never asked for */
    PLANTED_SNAPSHOT_MESSAGE_LOST,    /* a service loads a snapshot but for one message */
    PLANTED_ENTRY_APPLIED_TWICE,      /* once in a while */
    PLANTED_CATALOG_LEAKED,           /* an archive does not close its catalog */
    PLANTED_ALLOCATION_IN_CYCLE,      /* a duty cycle uses the heap */
    PLANTED_REPEATED_BID_COUNTED,     /* the auction counts a bid as often as it is sent */
    PLANTED_STALE_BEST_ANSWERED,      /* ... answers as if nobody had bid before, now and then */
    PLANTED_LATER_BID_WINS,           /* ... gives a later bid of the same price the place */
    PLANTED_FRAME_FLIPPED,            /* the driver writes a bit of the stream wrong */
    PLANTED_GAP_SKIPPED,              /* ... fills gaps of a reliable stream with padding */
    PLANTED_IMAGE_JOINED_EARLY,       /* ... lets subscribers join where others were long ago */
    PLANTED_MESSAGE_GIVEN_TWICE,      /* a subscriber is given a message of the stream again */
    PLANTED_REPORTED_BEFORE_SYNC,     /* an archive tells a position that is not durable */
    PLANTED_WRITE_ERROR_IGNORED,      /* ... that could not be written */
    PLANTED_WHOLE_SEGMENTS_KEPT,      /* ... finds too early an end after a crash */
    PLANTED_ZEROES_KEPT,              /* ... too late a one */
    PLANTED_EXTENSION_FORGOTTEN,      /* ... leaves the old stop position in the catalog */
    PLANTED_REPLAY_STARTED_EARLY,     /* ... replays from the beginning of the term */
    PLANTED_REPLAY_FLIPPED,           /* ... replays a bit wrong */
    PLANTED_TIMER_NOT_IN_SNAPSHOT,    /* a module's snapshot leaves the timers out */
    PLANTED_TIMER_FIRED_TWICE,        /* a follower does not see that timers fired */
    PLANTED_TIMER_NOT_CANCELLED,      /* what a service cancels fires nevertheless */
    PLANTED_SERVICE_MESSAGE_TWICE,    /* a follower does not see that messages are in the log */
    PLANTED_SERVICE_MESSAGE_LOST,     /* ... takes the one after it from the queue as well */
    PLANTED_GROUP_NAK_IGNORED,        /* a driver resends nothing to a multicast group */
    PLANTED_RESPONSES_MIXED_UP,       /* ... gives a client the responses to another one */
    PLANTED_NEW_SOURCE_IGNORED,       /* ... knows a sender by its first address only */
    PLANTED_UNTETHERED_WAITED_FOR,    /* ... waits for an untethered subscriber as for any other */
    PLANTED_END_TOLD_EARLY,           /* a client says that a stream ends before it does */
    PLANTED_NAMES_MIXED_UP,           /* a driver believes that all names are its own */
    PLANTED_COUNT,
};

/* False when there is no such bug. */
bool planted_choose(const char *name);
const char *planted_name(int bug); /* NULL behind the last */
bool planted_is(enum planted_bug bug);
/* The disk asks whether it is to pass over the sync of a file. */
bool planted_skips_sync(const char *path);

#endif
