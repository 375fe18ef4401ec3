/* Events of the event log as text, for ternctl and for the driver's own log file. */
#ifndef DRIVERD_TRACE_FORMAT_H
#define DRIVERD_TRACE_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "shm/trace_file.h"

/* One line. The header has the base of its time; `data` is what was kept of the event. */
void trace_format_event(FILE *out, const struct trace_header *header, enum trace_kind kind,
                        const struct trace_event *event, const uint8_t *data, int32_t length);

/* Text of a client, control characters replaced. */
void trace_format_text(FILE *out, const char *text, int32_t length);
void trace_format_time(FILE *out, int64_t epoch_ms);

/* The type of the command or response "ADD_PUBLICATION"; 0: none has the name. */
int32_t trace_message_type(bool is_response, const char *name);

#endif
