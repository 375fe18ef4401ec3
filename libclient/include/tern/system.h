/* Helpers around the client: version, clocks, properties (shared-memory.md 9.2). Any thread, unless
 * said otherwise. */
#ifndef TERN_SYSTEM_H
#define TERN_SYSTEM_H

#include <stdint.h>

#include <tern/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A release, by semantic versioning. */
struct tern_version {
    int major;
    int minor;
    int patch;
};
/* Of the library that runs, which may be newer than the headers. */
TERN_API struct tern_version tern_version(void);
/* The same as "MAJOR.MINOR.PATCH"; static. */
TERN_API const char *tern_version_text(void);

/* CLOCK_MONOTONIC in ns: for durations and deadlines. Cannot fail, like the next. */
TERN_API int64_t tern_clock_nano_ns(void);
/* CLOCK_REALTIME in ms since 1970, the clock of heartbeats and logs. */
TERN_API int64_t tern_clock_epoch_ms(void);

/* Set environment variables from lines "name=value", as Aeron's property files have them: blanks
 * around both are dropped, empty lines and those that begin with # or ! are skipped, the name is
 * upper-cased with dots as underscores (aeron.dir is AERON_DIR). What is set already is replaced.
 * Before tern_context_create, and before there are other threads, for the environment has no lock.
 * Returns how many were set; -EINVAL names the first line that is not of this form (or longer than
 * 4096 bytes), and nothing is set then. Text: `length` bytes, at most TERN_PROPERTIES_LENGTH_MAX;
 * it needs no NUL and is copied. */
#define TERN_PROPERTIES_LENGTH_MAX 65536
TERN_API int tern_properties_load(const char *text, int32_t length, struct tern_error *error);
/* The same from a file of at most as many bytes; also -errno when it cannot be read, and -ENOMEM.
 */
TERN_API int tern_properties_load_file(const char *path, struct tern_error *error);
/* The same from a web server: http://host[:port][/path] or https. Blocks, up to 10 s (-ETIMEDOUT).
 * Loads libcurl.so.4 to do so; -ENOSYS without it. -EINVAL for another URL, -ENOENT for an unknown
 * host, -ECONNREFUSED, -EMSGSIZE for a longer text, TERN_ERROR_PROTOCOL for an answer that is not
 * 200 and for any other failure of the transfer. */
TERN_API int tern_properties_load_http(const char *url, struct tern_error *error);

#ifdef __cplusplus
}
#endif

#endif
