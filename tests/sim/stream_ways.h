/* The ways that a stream can go, as tables: who publishes and who subscribes, on which machine, by
 * which channel, and what they are in the habit of doing meanwhile. */
#ifndef TERN_SIM_STREAM_WAYS_H
#define TERN_SIM_STREAM_WAYS_H

#include <stdbool.h>

#include "sim/dice.h"
#include "sim/sim.h"

#define STREAM_PUBLISHERS_MAX 2
#define STREAM_SUBSCRIBERS_MAX 3
#define STREAM_DESTINATIONS_MAX 3
#define STREAM_CHANNEL_MAX 200

/* Machines that not every run has. */
enum stream_machine {
    MACHINE_THIRD = -1, /* the first one when there are but two */
    MACHINE_LAST = -2,  /* that of the clients */
};

/* While the faults are on. */
enum stream_habit {
    HABIT_RENEWS = 1,  /* now and then closes what it has, and makes it anew */
    HABIT_REVOKES = 2, /* does so by revoking, now and then */
    HABIT_TURNS = 4,   /* takes destinations away and brings them back */
    HABIT_STALLS = 8,  /* does not poll for a while; nor after the faults, until all is sent */
};

/* In a channel %d is the host of the place's own machine, %l that of the clients' machine. */
struct stream_place {
    int machine; /* index or enum stream_machine */
    const char *channel;
    unsigned habits;  /* enum stream_habit */
    unsigned sources; /* a bit for each publisher that a subscriber is to hear; 0: all */
    const char *destinations[STREAM_DESTINATIONS_MAX];
};

struct stream_way {
    const char *name;
    bool is_lossy;  /* messages may be left out */
    bool is_shared; /* the publishers write to one log */
    bool is_twin;   /* ... publish the same, each from a driver of its own */
    bool has_names; /* drivers tell each other their names, m0 and so on */
    struct stream_place publishers[STREAM_PUBLISHERS_MAX];
    struct stream_place subscribers[STREAM_SUBSCRIBERS_MAX];
};

/* Of the stream beside the cluster. */
const struct stream_way *stream_way_draw(struct dice *dice);
/* Of the transport beside it; the count of them, and NULL behind the last. */
const struct stream_way *transport_way(int index);
const struct stream_way *transport_way_find(const char *name); /* NULL: no such one */
int transport_way_count(void);

int stream_machine_index(const struct sim *sim, int machine);
/* `text` of a place on a machine, into STREAM_CHANNEL_MAX bytes. */
void stream_expand(const struct sim *sim, const char *text, int machine, char *channel);

#endif
