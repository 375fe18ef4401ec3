/* A shared object that is no plugin, for the test that it is refused. */
#include <tern/service.h>

TERN_API int something_else(void);

int something_else(void) {
    return 1;
}
