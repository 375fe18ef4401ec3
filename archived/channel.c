/* Channels: stripping and keys. Both are walks over fixed lists of parameter names; the lists are
 * the contract (archive.md 5.1.2 and 5.1.3) and their order makes catalogs byte-identical with
 * those of the original.
 *
 * Values are copied as they are: a kept size such as so-rcvbuf=128k is not rewritten, which every
 * reader of a catalog accepts.
 */
#include "archived/channel.h"

#include <stdio.h>
#include <string.h>

#include "base/compiler.h"

static const char *const kept_keys[] = {
    "tags",
    "endpoint",
    "interface",
    "control",
    "control-mode",
    "session-id",
    "ttl",
    "alias",
    "cc",
    "fc",
    "gtag",
    "tether",
    "group",
    "rejoin",
    "so-sndbuf",
    "so-rcvbuf",
    "rcv-wnd",
    "media-rcv-ts-offset",
    "channel-rcv-ts-offset",
    "channel-snd-ts-offset",
    "response-endpoint",
    "response-correlation-id",
    "stream-id",
};

static const char *const identity_keys[] = {"endpoint", "interface", "control", "session-id",
                                            "tags"};

static const char *media_name(const struct uri *uri) {
    return uri->media == URI_MEDIA_IPC ? "ipc" : "udp";
}

int channel_strip(const struct uri *uri, struct uri_builder *stripped) {
    char start[16];
    (void)snprintf(start, sizeof start, "aeron:%s", media_name(uri));
    int result = uri_builder_init(stripped, start);
    for (size_t i = 0; i < ARRAY_COUNT(kept_keys) && result == 0; i++) {
        const char *value = uri_get(uri, kept_keys[i]);
        if (value != NULL) {
            result = uri_builder_set(stripped, kept_keys[i], value);
        }
    }
    return result;
}

void channel_subscription_key(const struct uri *uri, int32_t stream_id, char *key) {
    int used = snprintf(key, CHANNEL_KEY_MAX, "%d:%s?", stream_id, media_name(uri));
    assert(used > 0);
    for (size_t i = 0; i < ARRAY_COUNT(identity_keys); i++) {
        const char *value = uri_get(uri, identity_keys[i]);
        if (value != NULL) {
            used += snprintf(key + used, (size_t)(CHANNEL_KEY_MAX - used), "%s=%s|",
                             identity_keys[i], value);
        }
    }
    assert(used < CHANNEL_KEY_MAX);
    key[used - 1] = '\0'; /* the last '|', or the '?' */
}
