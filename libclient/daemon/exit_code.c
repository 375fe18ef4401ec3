/* Which exit code an error means to a service manager and to the person who reads its log. */
#include "daemon/exit_code.h"

#include <errno.h>

#include <tern/error.h>

enum exit_code exit_code_of(int error_code) {
    switch (error_code) {
    case TERN_ERROR_DRIVER_TIMEOUT:
    case TERN_ERROR_CLIENT_TIMEOUT:
    case TERN_ERROR_CLOSED:
    case -ECONNREFUSED:
        return EXIT_CODE_UNAVAILABLE;
    case -EIO:
    case -ENOSPC:
    case -EDQUOT:
    case -EROFS:
        return EXIT_CODE_IO;
    case -EAGAIN:
    case -EBUSY:
    case -EADDRINUSE:
    case -EADDRNOTAVAIL:
        return EXIT_CODE_TEMPORARY;
    case -EINVAL:
    case TERN_ERROR_INVALID_URI:
    case TERN_ERROR_VERSION:
        return EXIT_CODE_CONFIG;
    default:
        return EXIT_CODE_OS;
    }
}
