#include <criterion/criterion.h>

#include <string.h>

#include "archived/channel.h"

static void strip(const char *channel, struct uri_builder *stripped) {
    struct uri uri;
    cr_assert_eq(uri_parse(&uri, channel, (int32_t)strlen(channel), NULL), 0, "%s", channel);
    cr_assert_eq(channel_strip(&uri, stripped), 0);
}

Test(channel, stripping_keeps_what_identifies_a_channel_in_the_reference_order) {
    static const struct {
        const char *channel;
        const char *stripped;
    } cases[] = {
        {"aeron:ipc?term-length=64k|alias=x|mtu=1408", "aeron:ipc?alias=x"},
        {"aeron:ipc", "aeron:ipc"},
        {"aeron:ipc?term-length=64k", "aeron:ipc"},
        {"aeron-spy:aeron:udp?endpoint=localhost:1", "aeron:udp?endpoint=localhost:1"},
        {"aeron:udp?session-id=-5|sparse=true|endpoint=h:1|tags=1,2|eos=false|control-mode=dynamic|"
         "control=c:2|fc=max|cc=static|linger=5s|ssc=true",
         "aeron:udp?tags=1,2|endpoint=h:1|control=c:2|control-mode=dynamic|session-id=-5|cc=static|"
         "fc=max"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uri_builder stripped;
        strip(cases[i].channel, &stripped);
        cr_assert_str_eq(stripped.text, cases[i].stripped);
    }
}

Test(channel, only_some_parameters_tell_recording_subscriptions_apart) {
    static const struct {
        const char *channel;
        const char *key;
    } cases[] = {
        {"aeron:ipc", "7:ipc"},
        {"aeron:ipc?alias=a|mtu=1408", "7:ipc"},
        {"aeron:ipc?alias=a|session-id=5", "7:ipc?session-id=5"},
        {"aeron:udp?tags=3|control=c:2|interface=lo|endpoint=h:1|ttl=4",
         "7:udp?endpoint=h:1|interface=lo|control=c:2|tags=3"},
        {"aeron-spy:aeron:udp?endpoint=h:1", "7:udp?endpoint=h:1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct uri uri;
        char key[CHANNEL_KEY_MAX];
        cr_assert_eq(uri_parse(&uri, cases[i].channel, (int32_t)strlen(cases[i].channel), NULL), 0);
        channel_subscription_key(&uri, 7, key);
        cr_assert_str_eq(key, cases[i].key);
    }
}
