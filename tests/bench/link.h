/* The client side of benchmark programs: a client of the driver in AERON_DIR, publications and
 * subscriptions that are there when the functions return. They end the program when they cannot. */
#ifndef TERN_BENCH_LINK_H
#define TERN_BENCH_LINK_H

#include <tern/client.h>

#define LINK_TIMEOUT_NS INT64_C(20000000000)

tern_client *link_client(void);
tern_subscription *link_subscribe(tern_client *client, const char *channel, int32_t stream_id);
tern_exclusive_publication *link_publish_exclusive(tern_client *client, const char *channel,
                                                   int32_t stream_id);
tern_publication *link_publish_shared(tern_client *client, const char *channel, int32_t stream_id);

/* A number from the command line. */
int64_t link_number(const char *text, int64_t min, int64_t max);

/* Seconds, with a fraction, from the command line. */
int64_t link_seconds_ns(const char *text);

/* Ends the program with the error's text. */
_Noreturn void link_fail(const char *what, const struct tern_error *error);

#endif
