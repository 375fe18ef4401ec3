/* What a service that starts makes of messages of a consensus module that has ended, which are
 * still in the control stream (cluster.md 3.4, 4.1): nothing. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "base/io.h"
#include "servicehost/service_host.h"

#define STALE_POSITION 56864

static struct service_control_handlers handlers;
static int32_t stale_count; /* messages in the control stream */
static int32_t start_count;

int __wrap_service_control_open(struct service_control *control, tern_client *client,
                                const struct service_control_params *params,
                                struct tern_error *error) {
    (void)control, (void)client, (void)error;
    handlers = params->handlers;
    return 0;
}

static void say_all(int64_t log_position) {
    const struct cluster_join_log join = {.log_position = log_position,
                                          .log_channel = {"aeron:ipc", 9}};
    handlers.on_join_log(handlers.context, &join);
    handlers.on_termination_position(handlers.context, log_position);
    handlers.on_ack_requested(handlers.context, log_position);
}

int __wrap_service_control_poll(struct service_control *control) {
    (void)control;
    if (stale_count == 0) {
        return 0;
    }
    stale_count--;
    say_all(STALE_POSITION);
    return 1;
}

tern_async *__wrap_tern_client_async_add_counter(tern_client *client,
                                                 const struct tern_counter_params *params,
                                                 struct tern_error *error) {
    (void)client, (void)params, (void)error;
    return (tern_async *)&stale_count; /* not looked at */
}

int64_t __wrap_tern_client_id(const tern_client *client) {
    (void)client;
    return 5;
}

tern_client *__wrap_tern_client_try_connect(tern_context *context, struct tern_error *error) {
    (void)context, (void)error;
    return (tern_client *)&stale_count; /* not looked at */
}

void __wrap_tern_client_succeed(tern_client *client, struct mark_file *mark) {
    (void)client, (void)mark;
}

static int on_start(void *service, struct tern_service_snapshot *snapshot,
                    struct tern_error *error) {
    (void)service, (void)snapshot, (void)error;
    start_count++;
    return 0;
}

static void expect_nothing_heard(const struct tern_service_host *host) {
    cr_assert_not(host->join.is_pending);
    cr_assert_not(host->is_terminating);
    cr_assert_eq(host->requested_ack_position, -1);
}

Test(service_start, messages_before_the_recovery_is_acknowledged_are_of_a_past_module) {
    static struct service_conf conf = {.aeron_dir = "/dev/shm/none",
                                       .driver_timeout_ns = 10 * NS_PER_S};
    struct tern_service_host *host = calloc(1, sizeof *host);
    host->conf = &conf;
    host->params.io = io_system();
    host->requested_ack_position = -1;
    host->plugin.table.on_start = on_start;
    host->driver_deadline_ns = 0;
    cr_assert_eq(service_host_start_step(host, 1), 1);
    cr_assert_eq(host->state, SERVICE_HOST_ADD_STREAMS);

    host->state = SERVICE_HOST_AWAIT_RECOVERY;
    say_all(STALE_POSITION);
    expect_nothing_heard(host);

    host->state = SERVICE_HOST_START;
    stale_count = 3;
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(service_host_start_step(host, 2), 1);
        cr_assert_not(host->has_pending_ack, "what is in the stream comes first");
        expect_nothing_heard(host);
    }
    cr_assert_eq(service_host_start_step(host, 3), 1);
    cr_assert_eq(host->state, SERVICE_HOST_FOLLOW);
    cr_assert(host->has_pending_ack);
    cr_assert_eq(start_count, 1);
    expect_nothing_heard(host);

    say_all(0);
    cr_assert(host->join.is_pending);
    cr_assert(host->is_terminating);
    cr_assert_eq(host->requested_ack_position, 0);
    free(host);
}
