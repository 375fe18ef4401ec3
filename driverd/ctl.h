/* What the files of ternctl-driver share. */
#ifndef DRIVERD_CTL_H
#define DRIVERD_CTL_H

#include <stdint.h>

#include "shm/cnc.h"

#define EXIT_USAGE 64
#define EXIT_UNAVAILABLE 69

/* Text of a client, control characters replaced. */
void ctl_print_text(const char *text, int32_t length);
void ctl_print_time(int64_t epoch_ms);

/* `what` is NULL, "frames" or "commands". */
int ctl_run_trace(const char *directory, const struct cnc *cnc, const char *what);

#endif
