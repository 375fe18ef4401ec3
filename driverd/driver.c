/* Putting the driver together.
 *
 * The directory is prepared before anything is made in it, and belongs to this driver from then on:
 * a failing start takes back what it has made, a refused one touches nothing.
 */
#include "driverd/driver.h"

#include <errno.h>

#include "driverd/driver_directory.h"
#include "driverd/log_file.h"

static int open_parts(struct driver *driver, const struct driver_conf *conf, const struct io *io,
                      struct tern_error *error) {
    int result = driver_context_open(&driver->context, conf, io, error);
    if (result == 0) {
        result = conductor_init(&driver->conductor, &driver->context, error);
    }
    return result;
}

int driver_open(struct driver *driver, const struct driver_conf *conf, const struct io *io,
                struct tern_error *error) {
    *driver = (struct driver){.conf = conf};
    int result = driver_directory_prepare(conf, io, error);
    if (result < 0) {
        return result;
    }
    driver->owns_directory = true;
    result = open_parts(driver, conf, io, error);
    if (result < 0) {
        driver_close(driver);
        return result;
    }
    driver_context_publish(&driver->context);
    return 0;
}

int driver_do_work(struct driver *driver, int64_t now_ns) {
    return conductor_do_work(&driver->conductor, now_ns);
}

int driver_start(struct driver *driver, struct tern_error *error) {
    (void)driver;
    (void)error;
    return 0;
}

static int do_work(void *context, int64_t now_ns) {
    return driver_do_work(context, now_ns);
}

int driver_main_agent(struct driver *driver, struct agent_runner_params *params,
                      struct tern_error *error) {
    const struct driver_conf *conf = driver->conf;
    params->agent = (struct agent){.name = "driverd", .context = driver, .do_work = do_work};
    params->clock = driver->context.io.clock;
    params->cpu = conf->conductor_cpu;
    return idle_strategy_parse(&params->idle, conf->shared_idle.name, conf->shared_idle.arguments,
                               error);
}

bool driver_is_terminated(const struct driver *driver) {
    return load_acquire_u8(&driver->conductor.is_termination_requested) != 0;
}

void driver_close(struct driver *driver) {
    if (!driver->owns_directory) {
        return;
    }
    driver_context_signal_end(&driver->context);
    conductor_close(&driver->conductor);
    driver_context_close(&driver->context);
    if (driver->conf->dir_delete_on_shutdown) {
        (void)driver_directory_delete(driver->conf->directory, NULL);
    }
    *driver = (struct driver){0};
}
