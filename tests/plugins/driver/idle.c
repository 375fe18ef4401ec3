/* napping: an idle strategy that sleeps 200 us when there was nothing to do, unless the driver
 * wakes it, and says at its end what it saw. The argument is the path of a file, to which it
 * appends
 *
 *     AGENT CYCLES CYCLES_WITH_WORK
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tern/driver_plugin.h>

#define NAP_NS 200000

struct napping {
    int report;
    char agent[32];
    int64_t cycle_count;
    int64_t working_count;
};

static void *create(const char *arguments, const char *agent, struct tern_error *error) {
    struct napping *napping = calloc(1, sizeof *napping);
    if (napping == NULL) {
        return NULL;
    }
    napping->report = open(arguments, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (napping->report < 0) {
        error->code = -errno;
        (void)snprintf(error->text, sizeof error->text, "napping cannot write '%.150s'", arguments);
        free(napping);
        return NULL;
    }
    (void)snprintf(napping->agent, sizeof napping->agent, "%s", agent);
    return napping;
}

static void destroy(void *state) {
    struct napping *napping = state;
    (void)dprintf(napping->report, "%s %" PRId64 " %" PRId64 "\n", napping->agent,
                  napping->cycle_count, napping->working_count);
    (void)close(napping->report);
    free(napping);
}

static void idle(void *state, int work_count, const struct tern_idle_wait *wait) {
    struct napping *napping = state;
    napping->cycle_count++;
    if (work_count > 0) {
        napping->working_count++;
    } else {
        wait->wait(wait->context, NAP_NS);
    }
}

TERN_API const struct tern_idle_plugin napping = {
    .head =
        TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_IDLE, struct tern_idle_plugin, "napping", "1.0"),
    .create = create,
    .destroy = destroy,
    .idle = idle,
};
