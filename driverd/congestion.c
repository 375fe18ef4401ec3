/* Static congestion control, the default of the protocol (media-driver.md 4.7): the initial window,
 * the maximum window and the current one are the same, no status message is ever forced and no
 * round trip is measured. Cubic would keep its state per image beside this. */
#include "driverd/congestion.h"

#include <assert.h>
#include <string.h>

#include "base/bits.h"
#include "wire/command.h"

int32_t congestion_static_window(int32_t window_bytes, int32_t term_length) {
    assert(window_bytes >= 0);
    assert(is_power_of_two(term_length));
    return min_i32(window_bytes, term_length / 2);
}

int congestion_parse(const char *cc, struct tern_error *error) {
    if (cc == NULL || strcmp(cc, "static") == 0) {
        return 0;
    }
    if (strcmp(cc, "cubic") == 0) {
        return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_NOT_SUPPORTED,
                         "cc=cubic is not supported yet");
    }
    return error_set(error, TERN_ERROR_DRIVER_BASE - DRIVER_ERROR_GENERIC,
                     "cc must be 'static' or 'cubic', came '%s'", cc);
}
