/* Whether a client may end the driver (media-driver.md 6.11): the conductor asks. */
#ifndef DRIVERD_TERMINATION_VALIDATOR_H
#define DRIVERD_TERMINATION_VALIDATOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct driver_context;
struct tern_termination_plugin;

struct termination_validator {
    bool is_allowed;                              /* when there is no plug-in */
    const struct tern_termination_plugin *plugin; /* NULL: none */
    void *state;
};

int termination_validator_open(struct termination_validator *validator,
                               const struct driver_context *context, struct tern_error *error);
/* The token is from outside. */
bool termination_validator_is_allowed(const struct termination_validator *validator,
                                      const void *token, int32_t length);
/* Idempotent. */
void termination_validator_close(struct termination_validator *validator);

#endif
