/* A plugin of another ABI version, for the test that it is refused. */
#include <tern/service.h>

TERN_API const struct tern_service_plugin tern_service_plugin = {
    .abi_version = 99,
    .size = sizeof(struct tern_service_plugin),
    .name = "bad_abi",
};
