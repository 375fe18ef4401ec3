/* Composing errors. The text is built in place, truncated to the struct's fixed size; there is no
 * hidden state, so the functions are safe from any thread on different structs. */
#include "base/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int error_set(struct tern_error *error, int code, const char *format, ...) {
    assert(code < 0);
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        error->code = code;
    }
    return code;
}

int error_set_errno(struct tern_error *error, int errno_value, const char *format, ...) {
    assert(errno_value > 0);
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        (void)vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
        char system_text[96];
        size_t used = strlen(error->text);
        (void)snprintf(error->text + used, sizeof error->text - used, ": %s",
                       strerror_r(errno_value, system_text, sizeof system_text));
        error->code = -errno_value;
    }
    return -errno_value;
}

int error_prefix(struct tern_error *error, const char *format, ...) {
    if (error == NULL) {
        return -1;
    }
    char text[2 * TERN_ERROR_TEXT_MAX];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, TERN_ERROR_TEXT_MAX, format, arguments);
    va_end(arguments);
    size_t used = strlen(text);
    (void)snprintf(text + used, sizeof text - used, ": %s", error->text);
    memcpy(error->text, text, TERN_ERROR_TEXT_MAX - 1);
    error->text[TERN_ERROR_TEXT_MAX - 1] = '\0';
    return error->code;
}
