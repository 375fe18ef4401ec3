/* Names of the error codes of <tern/error.h>: one table per range of codes, so that logs and tools
 * show words and not numbers. */
#include <stddef.h>
#include <stdint.h>

#include <tern/error.h>

#include "base/compiler.h"

static const char *const client_names[] = {
    "driver timeout",      "client timeout",       "conductor service timeout",
    "buffer full",         "driver buffer full",   "closed",
    "invalid channel URI", "incompatible version", "protocol error",
};

/* shared-memory.md 3.3 */
static const char *const driver_names[] = {
    "generic error (old driver)",
    "invalid channel",
    "unknown subscription",
    "unknown publication",
    "channel endpoint error",
    "unknown counter",
    "unknown command",
    "malformed command",
    "not supported",
    "unknown host",
    "resource temporarily unavailable",
    "generic error",
    "insufficient storage space",
    "image rejected",
    "publication revoked",
};

const char *tern_error_name(int code) {
    if (code >= 0) {
        return "no error";
    }
    int64_t magnitude = -(int64_t)code;
    if (magnitude < 1000) {
        return "system error";
    }
    if (magnitude < 2000) {
        size_t index = (size_t)(magnitude - 1000);
        return index < ARRAY_COUNT(client_names) ? client_names[index] : "client error";
    }
    if (magnitude < 3000) {
        size_t index = (size_t)(magnitude - 2000);
        return index < ARRAY_COUNT(driver_names) ? driver_names[index] : "driver error";
    }
    return magnitude < 4000 ? "archive error" : "cluster error";
}
