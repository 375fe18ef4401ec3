/* What the four little programs publisher, subscriber, ping and pong share: options, a flag that
 * SIGINT and SIGTERM clear, a clock, and the exit with a message. */
#ifndef TERN_SAMPLES_SAMPLE_H
#define TERN_SAMPLES_SAMPLE_H

#include <tern/client.h>

#define SAMPLE_NS_PER_S INT64_C(1000000000)
#define SAMPLE_TIMEOUT_NS (10 * SAMPLE_NS_PER_S)

struct sample_options {
    const char *channel;       /* -c */
    const char *reply_channel; /* -r, ping and pong */
    int32_t stream_id;         /* -s; the reply has the next one */
    int32_t length;            /* -l, bytes per message */
    int64_t count;             /* -n; 0: without end */
    int64_t interval_us;       /* -i, pause between messages */
    bool is_exclusive;         /* -x */
    bool is_quiet;             /* -q */
};

/* Fill in what the arguments give and install the signal handlers; -h and mistakes print `usage`
 * and exit. */
void sample_init(struct sample_options *options, int argc, char **argv, const char *usage);
/* False once a signal came. */
bool sample_is_running(void);
int64_t sample_now_ns(void);
void sample_sleep_ns(int64_t duration_ns);
/* After a loop that found nothing to do: spins a while, then sleeps. *idle_count is the caller's.
 */
void sample_idle(int work, int *idle_count);
/* Connect with the default context; exits with the reason when there is no driver. */
tern_client *sample_connect(void);
/* Print "what: text" and exit with 1. */
_Noreturn void sample_fail(const char *what, const struct tern_error *error);

#endif
