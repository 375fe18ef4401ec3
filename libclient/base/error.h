/* Composing a struct tern_error: once, by the function that knows the user's words (style 12). */
#ifndef TERN_BASE_ERROR_H
#define TERN_BASE_ERROR_H

#include <tern/error.h>

#include "base/compiler.h"

/* Write code and text (truncated to fit); `error` may be NULL. Returns `code`, which is negative.
 */
int error_set(struct tern_error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* As error_set with code -errno_value; appends ": " and the system's text for it. */
int error_set_errno(struct tern_error *error, int errno_value, const char *format, ...)
    PRINTF_LIKE(3, 4);

/* Put "prefix: " before the text that is there. Returns error->code, or -1 for a NULL error. */
int error_prefix(struct tern_error *error, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
