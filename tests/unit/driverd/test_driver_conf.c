/* The driver's option table: sound in itself, complete defaults, refusals that name what is wrong.
 */
#include <stdio.h>
#include <string.h>

#include <criterion/criterion.h>

#include "daemon/options.h"
#include "driverd/driver_conf.h"

static int load(struct driver_conf *conf, struct options *options, char *variable) {
    char *environment[] = {variable, NULL};
    return options_load(options, &driver_option_table, conf, NULL, environment);
}

Test(driver_conf, table_and_defaults_are_sound) {
    struct tern_error error = {0};
    struct driver_conf conf;
    cr_assert(option_table_check(&driver_option_table, &error) == 0, "%s", error.text);
    driver_conf_defaults(&conf);
    cr_assert(conf.mtu_length == 1408);
    cr_assert(conf.conductor_buffer_length == 1049344);
    cr_assert(conf.clients_buffer_length == 1048704);
    cr_assert(conf.threading == DRIVER_THREADING_SHARED);
    cr_assert(conf.driver_timeout_ns == 10000000000);
    cr_assert(driver_conf_untethered_linger_ns(&conf) == 5000000000);
    int64_t tag;
    cr_assert(!driver_conf_receiver_group_tag(&conf, &tag));
}

Test(driver_conf, profiles_and_environment_change_values) {
    static struct driver_conf conf;
    static struct options options;
    cr_assert(load(&conf, &options, "TERN_DRIVER_PROFILE=lowlatency") == 0);
    cr_assert(conf.threading == DRIVER_THREADING_DEDICATED);
    cr_assert(!conf.term_buffer_sparse);
    cr_assert(load(&conf, &options, "AERON_DRIVER_TIMEOUT=2500") == 0);
    cr_assert(conf.driver_timeout_ns == 2500000000, "a bare number is in ms");
    cr_assert(load(&conf, &options, "AERON_UNTETHERED_LINGER_TIMEOUT=7s") == 0);
    cr_assert(driver_conf_untethered_linger_ns(&conf) == 7000000000);
    cr_assert(load(&conf, &options, "AERON_RECEIVER_GROUP_TAG=-9") == 0);
    int64_t tag = 0;
    cr_assert(driver_conf_receiver_group_tag(&conf, &tag) && tag == -9);
}

Test(driver_conf, bad_and_unsupported_values_are_refused_by_name) {
    static char *const variables[] = {
        "AERON_TERM_BUFFER_LENGTH=100000",
        "AERON_TERM_BUFFER_LENGTH=2g",
        "AERON_IPC_TERM_BUFFER_LENGTH=70000",
        "AERON_MTU_LENGTH=1000",
        "AERON_FILE_PAGE_SIZE=5000",
        "AERON_PUBLICATION_UNBLOCK_TIMEOUT=5s",
        "AERON_CLIENT_LIVENESS_TIMEOUT=1s", /* not above timer_interval */
        "AERON_CONDUCTOR_BUFFER_LENGTH=1100000",
        "AERON_CLIENTS_BUFFER_LENGTH=1m",
        "AERON_THREADING_MODE=MANY",
        "AERON_SHARED_IDLE_STRATEGY=nap",
        "AERON_PUBLICATION_RESERVED_SESSION_ID_LOW=2000",
        "AERON_SENDER_WILDCARD_PORT_RANGE=9 5",
        "AERON_RECEIVER_GROUP_TAG=red",
        "AERON_UNTETHERED_LINGER_TIMEOUT=1ms",
        "AERON_MULTICAST_FLOWCONTROL_SUPPLIER=multicast_tagged",
        "AERON_DRIVER_RESOLVER_NAME=node0",
        "AERON_SOCKET_MULTICAST_TTL=3",
        "AERON_CUBICCONGESTIONCONTROL_MEASURERTT=true",
        "AERON_COUNTERS_BUFFER_LENGTH=500m", /* cnc.dat above 2^31-1 */
    };
    static struct driver_conf conf;
    static struct options options;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "%s", variables[i]);
        cr_assert(load(&conf, &options, text) > 0, "%s", variables[i]);
        *strchr(text, '=') = '\0';
        cr_assert(strstr(options.errors, text) != NULL, "%s: %s", variables[i], options.errors);
    }
}

Test(driver_conf, port_ranges_are_two_ports_or_two_zeroes) {
    uint16_t low;
    uint16_t high;
    cr_assert(driver_conf_port_range("28770 28772", &low, &high, NULL) == 0);
    cr_assert(low == 28770 && high == 28772);
    cr_assert(driver_conf_port_range("0 0", &low, &high, NULL) == 0);
    cr_assert(low == 0 && high == 0);
    static const char *const bad[] = {"", "5", "x y", "5 4", "0 9", "1 70000", "-1 4", "1 2 3"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cr_assert(driver_conf_port_range(bad[i], &low, &high, NULL) < 0, "%s", bad[i]);
    }
}
