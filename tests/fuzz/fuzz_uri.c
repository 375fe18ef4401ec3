/* Fuzz harness of channel URIs: the first byte chooses the role of the channel, the rest is the
 * text. What the parser takes for good can be built again and is then parsed to the same. */
#include "fuzz.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/uri.h"
#include "driverd/udp_channel.h"

static uint64_t accepted;

static void check_parameters(const struct uri *uri) {
    struct tern_error error = {0};
    int64_t number;
    int32_t small;
    bool flag;
    for (int i = 0; i < uri->param_count; i++) {
        const char *key = uri->params[i].key;
        assert(key != NULL && key[0] != '\0');
        assert(uri_get(uri, key) != NULL);
        (void)uri_get_i32(uri, key, &small, &error);
        (void)uri_get_i64(uri, key, &number, &error);
        (void)uri_get_bool(uri, key, &flag, &error);
        (void)uri_get_size(uri, key, &number, &error);
        (void)uri_get_duration_ns(uri, key, &number, &error);
    }
}

/* Set each parameter to what it is: the text stays a URI with the same values. */
static void rebuild(const struct uri *uri, const char *text, size_t length) {
    static struct uri_builder builder;
    static struct uri again;
    char copy[FUZZ_INPUT_MAX + 1];
    struct tern_error error = {0};
    if (length > FUZZ_INPUT_MAX || memchr(text, '\0', length) != NULL) {
        return;
    }
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (uri_builder_init(&builder, copy) != 0) {
        return;
    }
    for (int i = 0; i < uri->param_count; i++) {
        const char *key = uri->params[i].key;
        int result = uri_builder_set(&builder, key, uri_get(uri, key));
        if (result == -ENAMETOOLONG) {
            return; /* repeated keys take the value of the first, which may be longer */
        }
        assert(result == 0);
    }
    int result = uri_parse(&again, builder.text, builder.length, &error);
    assert(result == 0);
    (void)result;
    for (int i = 0; i < uri->param_count; i++) {
        const char *key = uri->params[i].key;
        assert(strcmp(uri_get(uri, key), uri_get(&again, key)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct uri uri;
    struct tern_error error = {0};
    if (size == 0) {
        return 0;
    }
    const char *text = (const char *)data + 1;
    if (uri_parse(&uri, text, (int32_t)size - 1, &error) == 0) {
        accepted++;
        check_parameters(&uri);
        rebuild(&uri, text, size - 1);
    } else {
        assert(error.text[0] != '\0');
    }
    struct udp_channel *channel = NULL;
    int32_t next_suffix = 0;
    enum udp_channel_role role = data[0] % (UDP_CHANNEL_RECEIVE_DESTINATION + 1);
    if (udp_channel_create(&channel, text, (int32_t)size - 1, role, &next_suffix, &error) == 0) {
        (void)udp_channel_needs_resolver(channel);
        udp_channel_destroy(channel);
    }
    return 0;
}

size_t fuzz_seed(uint64_t index, uint8_t *data, size_t capacity) {
    static const char *const texts[] = {
        "aeron:udp?endpoint=localhost:40123",
        "aeron:udp?endpoint=[::1]:40456|interface=[::1]/64|mtu=1408|term-length=64k",
        "aeron-spy:aeron:udp?endpoint=127.0.0.1:20121|alias=a b",
        "aeron:udp?control=127.0.0.1:20122|control-mode=dynamic|fc=min,g:3/2,t:5s",
        "aeron:udp?control-mode=manual|tags=1001,1002|session-id=tag:7|linger=1s|eos=false",
        "aeron:ipc?term-length=128k|init-term-id=3|term-id=4|term-offset=64|sparse=true",
        "aeron:udp?endpoint=224.0.1.1:40456|interface=127.0.0.0/8|ttl=4|cc=cubic|rcv-wnd=128k",
        "aeron:udp?endpoint=localhost:0|media-rcv-ts-offset=reserved|reliable=false|group=true",
    };
    const char *text = texts[index % (sizeof texts / sizeof texts[0])];
    size_t length = strlen(text);
    assert(capacity > length);
    data[0] = (uint8_t)(index / 8);
    memcpy(data + 1, text, length);
    return length + 1;
}

uint64_t fuzz_accepted(void) {
    return accepted;
}
