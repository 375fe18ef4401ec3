/* See stream_ways.h. */
#include "sim/stream_ways.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/bits.h"

#define AT(index, ...)                                                                             \
    { .machine = (index), .channel = __VA_ARGS__ }

#define SOURCE "aeron:udp?control=10.0.0.1:9101|control-mode=dynamic"
#define MEMBER "aeron:udp?endpoint=10.0.0.%d:9100|control=10.0.0.1:9101|control-mode=dynamic"
#define UNICAST "aeron:udp?endpoint=10.0.0.2:9100"

static const struct stream_way ways[] = {
    {.name = "unicast", .publishers = {AT(0, UNICAST)}, .subscribers = {AT(1, UNICAST)}},
    {.name = "unreliable",
     .is_lossy = true,
     .publishers = {AT(0, UNICAST)},
     .subscribers = {AT(1, UNICAST "|reliable=false")}},
    {.name = "destinations, min",
     .publishers = {AT(0, SOURCE "|fc=min,g:/1")},
     .subscribers = {AT(1, MEMBER), AT(MACHINE_THIRD, MEMBER)}},
    {.name = "destinations, tagged",
     .publishers = {AT(0, SOURCE "|fc=tagged,g:7/1")},
     .subscribers = {AT(1, MEMBER "|gtag=7"), AT(MACHINE_THIRD, MEMBER "|gtag=7")}},
    {.name = "receiver and spy",
     .publishers = {AT(0, UNICAST "|ssc=true")},
     .subscribers = {AT(1, UNICAST), AT(0, "aeron-spy:" UNICAST "|ssc=true")}},
};

#define GROUP "aeron:udp?endpoint=224.20.30.39:9208|interface=10.0.0.%d/24"
#define GROUP6 "aeron:udp?endpoint=[ff05::4:39]:9208|interface=[fd00::%d]/64"

#define OWN "aeron:udp?endpoint=10.0.0.%d:9200"
#define OWN2 "aeron:udp?endpoint=10.0.0.2:9200"
#define DYNAMIC "aeron:udp?control=10.0.0.1:9201|control-mode=dynamic"
#define JOINING OWN "|control=10.0.0.1:9201|control-mode=dynamic"
#define NAMED OWN "|control=m0:9201|control-mode=dynamic"
#define MANUAL "aeron:udp?control-mode=manual"
#define IPC "aeron:ipc?term-length=64k"

static const struct stream_way transport_ways[] = {
    {.name = "multicast-max",
     .publishers = {AT(0, GROUP "|fc=max")},
     .subscribers = {AT(1, GROUP), AT(MACHINE_LAST, GROUP, .habits = HABIT_RENEWS), AT(0, GROUP)}},
    {.name = "multicast-min",
     .publishers = {AT(0, GROUP "|fc=min,g:/2,t:4s")},
     .subscribers = {AT(1, GROUP), AT(MACHINE_THIRD, GROUP),
                     AT(MACHINE_LAST, GROUP, .habits = HABIT_RENEWS)}},
    {.name = "multicast-tagged",
     .publishers = {AT(0, GROUP "|fc=tagged,g:7/1,t:4s", .habits = HABIT_RENEWS | HABIT_REVOKES)},
     .subscribers = {AT(1, GROUP "|gtag=7"), AT(0, GROUP "|gtag=8", .habits = HABIT_RENEWS)}},
    {.name = "multicast-many",
     .publishers = {AT(0, GROUP "|fc=min", .habits = HABIT_RENEWS), AT(1, GROUP "|fc=min")},
     .subscribers = {AT(0, GROUP), AT(1, GROUP, .habits = HABIT_RENEWS), AT(MACHINE_LAST, GROUP)}},
    {.name = "multicast-ipv6",
     .publishers = {AT(0, GROUP6 "|fc=min,g:/1")},
     .subscribers = {AT(1, GROUP6), AT(MACHINE_LAST, GROUP6, .habits = HABIT_RENEWS)}},
    {.name = "destinations-dynamic",
     .publishers = {AT(0, DYNAMIC "|fc=min,g:/1", .habits = HABIT_RENEWS)},
     .subscribers = {AT(1, JOINING, .habits = HABIT_RENEWS), AT(MACHINE_THIRD, JOINING),
                     AT(MACHINE_LAST, JOINING, .habits = HABIT_RENEWS)}},
    {.name = "destinations-manual",
     .publishers = {AT(0, "aeron:udp?control-mode=manual|fc=max", .habits = HABIT_TURNS,
                       .destinations = {OWN2, "aeron:udp?endpoint=10.0.0.%l:9200"})},
     .subscribers = {AT(1, OWN), AT(MACHINE_LAST, OWN, .habits = HABIT_RENEWS)}},
    {.name = "sources",
     .publishers = {AT(0, DYNAMIC "|fc=min"), AT(MACHINE_LAST, GROUP, .habits = HABIT_RENEWS)},
     .subscribers = {AT(1, MANUAL, .habits = HABIT_TURNS, .destinations = {JOINING, GROUP}),
                     AT(MACHINE_THIRD, MANUAL, .habits = HABIT_RENEWS,
                        .destinations = {JOINING, GROUP})}},
    {.name = "sources-local",
     .publishers = {AT(0, "aeron:ipc?term-length=64k", .habits = HABIT_RENEWS),
                    AT(0, OWN2 "|ssc=true")},
     .subscribers = {AT(0, MANUAL, .habits = HABIT_TURNS,
                        .destinations = {"aeron:ipc", "aeron-spy:" OWN2}),
                     AT(0, "aeron:ipc", .sources = 1), AT(1, OWN, .sources = 2)}},
    {.name = "twins",
     .is_twin = true,
     .publishers = {AT(0, "aeron:udp?endpoint=10.0.0.2:9201", .habits = HABIT_RENEWS),
                    AT(MACHINE_LAST, "aeron:udp?endpoint=10.0.0.2:9202", .habits = HABIT_RENEWS)},
     .subscribers = {AT(1, MANUAL, .habits = HABIT_TURNS,
                        .destinations = {"aeron:udp?endpoint=10.0.0.2:9201",
                                         "aeron:udp?endpoint=10.0.0.2:9202"})}},
    {.name = "untethered",
     .publishers = {AT(0, OWN2)},
     .subscribers = {AT(1, OWN), AT(1, OWN "|tether=false", .habits = HABIT_STALLS),
                     AT(1, OWN, .habits = HABIT_RENEWS)}},
    {.name = "untethered-spies",
     .publishers = {AT(0, OWN2 "|ssc=true")},
     .subscribers = {AT(0, "aeron-spy:" OWN2),
                     AT(0, "aeron-spy:" OWN2 "|tether=false", .habits = HABIT_STALLS)}},
    {.name = "untethered-ipc",
     .is_shared = true,
     .publishers = {AT(0, IPC), AT(0, IPC)},
     .subscribers = {AT(0, IPC), AT(0, IPC "|tether=false", .habits = HABIT_STALLS),
                     AT(0, IPC, .habits = HABIT_RENEWS)}},
    {.name = "shared",
     .is_shared = true,
     .publishers = {AT(0, OWN2 "|max-resend=2", .habits = HABIT_RENEWS),
                    AT(0, OWN2 "|max-resend=2", .habits = HABIT_RENEWS)},
     .subscribers = {AT(1, OWN "|cc=cubic|nak-delay=1ms"),
                     AT(1, OWN "|cc=cubic|nak-delay=1ms", .habits = HABIT_RENEWS)}},
    {.name = "sessions",
     .publishers = {AT(0, OWN2 "|session-id=4711|eos=false|linger=100ms", .habits = HABIT_RENEWS),
                    AT(0, OWN2 "|session-id=-4712", .habits = HABIT_RENEWS | HABIT_REVOKES)},
     .subscribers = {AT(1, OWN "|session-id=4711", .sources = 1),
                     AT(1, OWN "|session-id=-4712", .sources = 2, .habits = HABIT_RENEWS)}},
    {.name = "tags",
     .publishers = {AT(0, OWN2 "|tags=901"), AT(0, "aeron:udp?tags=901")},
     .subscribers = {AT(1, OWN "|tags=902"), AT(1, "aeron:udp?tags=902")}},
    {.name = "names",
     .has_names = true,
     .publishers = {AT(0, "aeron:udp?endpoint=m1:9200"),
                    AT(MACHINE_LAST, "aeron:udp?endpoint=m1:9200", .habits = HABIT_RENEWS)},
     .subscribers = {AT(1, OWN)}},
    {.name = "names-control",
     .has_names = true,
     .publishers = {AT(0, DYNAMIC "|fc=max")},
     .subscribers = {AT(1, NAMED), AT(MACHINE_LAST, NAMED, .habits = HABIT_RENEWS)}},
};

/* By dice of their own: the messages of a seed do not depend on their way. */
const struct stream_way *stream_way_draw(struct dice *dice) {
    return dice_chance(dice, 0.3) ? &ways[0] : &ways[dice_between(dice, 1, ARRAY_COUNT(ways) - 1)];
}

const struct stream_way *transport_way(int index) {
    return index < (int)ARRAY_COUNT(transport_ways) ? &transport_ways[index] : NULL;
}

const struct stream_way *transport_way_find(const char *name) {
    for (size_t i = 0; name != NULL && i < ARRAY_COUNT(transport_ways); i++) {
        if (strcmp(transport_ways[i].name, name) == 0) {
            return &transport_ways[i];
        }
    }
    return NULL;
}

int transport_way_count(void) {
    return ARRAY_COUNT(transport_ways);
}

int stream_machine_index(const struct sim *sim, int machine) {
    return machine == MACHINE_LAST    ? sim->machine_count - 1
           : machine != MACHINE_THIRD ? machine
           : sim->machine_count > 2   ? 2
                                      : 0;
}

void stream_expand(const struct sim *sim, const char *text, int machine, char *channel) {
    int length = 0;
    for (; *text != '\0'; text++) {
        assert(length < STREAM_CHANNEL_MAX - 4);
        if (*text != '%') {
            channel[length++] = *text;
            continue;
        }
        char whose = *++text;
        int host = whose == 'd' ? machine + 1 : stream_machine_index(sim, MACHINE_LAST) + 1;
        length += snprintf(channel + length, (size_t)(STREAM_CHANNEL_MAX - length), "%d", host);
    }
    channel[length] = '\0';
}
