/* Clients that are killed at any instruction: in the middle of an offer, of a claim, of an add, of
 * anything. What they leave must go with their liveness time-out, and nobody else may be held up
 * for longer: a survivor publishes and receives on the same log all the time.
 *
 * usage: client_victims DRIVER [TEST]; each test has a driver of its own. The victims are this
 * program again: client_victims --victim DIRECTORY SEED.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/driver_process.h"

#define STREAM 1001
#define CHANNEL "aeron:ipc"
#define OWN_CHANNEL "aeron:udp?endpoint=127.0.0.1:20177|term-length=64k"
#define ROUNDS 12
#define VICTIMS 2 /* at a time */
#define LIFE_MS_MAX 40
#define MESSAGE_LENGTH_MAX 6000 /* several fragments */
#define UNBLOCKED_PUBLICATIONS 19
#define CLIENT_TIMEOUTS 24
#define SURVIVOR 0
#define HELD_NUMBER 10
#define CLAIMER 1 /* a number of a victim that lives by claiming */

static const char *self;

static uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* Who, the how manieth of his, how long; the rest is a pattern of these. */
struct message {
    uint32_t writer;
    uint32_t length;
    int64_t number;
};

static uint8_t pattern(const struct message *head, uint32_t i) {
    return (uint8_t)(head->writer * 31 + (uint32_t)head->number * 7 + i);
}

static void fill(uint8_t *buffer, uint32_t writer, int64_t number, uint32_t length) {
    const struct message head = {writer, length, number};
    memcpy(buffer, &head, sizeof head);
    for (uint32_t i = sizeof head; i < length; i++) {
        buffer[i] = pattern(&head, i);
    }
}

/* -- a victim -- */

struct victim {
    tern_client *client;
    uint64_t random;
    uint32_t id;
    int64_t number;
    uint8_t buffer[MESSAGE_LENGTH_MAX];
};

static uint32_t random_length(struct victim *victim, uint32_t max) {
    const uint32_t min = sizeof(struct message);
    return min + (uint32_t)(next_random(&victim->random) % (max - min));
}

static void offer_for_ever(struct victim *victim) {
    tern_publication *publication =
        tern_client_add_publication(victim->client, CHANNEL, STREAM, TEST_TIMEOUT_NS, NULL);
    while (publication != NULL) {
        uint32_t length = random_length(victim, MESSAGE_LENGTH_MAX);
        fill(victim->buffer, victim->id, victim->number, length);
        victim->number += tern_publication_offer(publication, victim->buffer, length) > 0;
    }
}

/* Most of the time with a claim in hand; from its HELD_NUMBER on for ever. */
static void claim_for_ever(struct victim *victim) {
    tern_publication *publication =
        tern_client_add_publication(victim->client, CHANNEL, STREAM, TEST_TIMEOUT_NS, NULL);
    while (publication != NULL) {
        struct tern_buffer_claim claim;
        uint32_t length = random_length(victim, 1000);
        if (tern_publication_try_claim(publication, (int32_t)length, &claim) > 0) {
            fill(claim.data, victim->id, victim->number++, length);
            test_sleep_ms(victim->number == HELD_NUMBER ? 1000000 : 2);
            tern_buffer_claim_commit(&claim);
        }
    }
}

static void on_nothing(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    (void)context, (void)buffer, (void)length, (void)header;
}

static void add_for_ever(struct victim *victim) {
    struct tern_error error;
    for (;;) {
        const char *channel = next_random(&victim->random) % 2 == 0 ? CHANNEL : OWN_CHANNEL;
        const struct tern_subscription_params params = {.channel = channel,
                                                        .stream_id = STREAM + 1};
        const struct tern_counter_params counter_params = {1001, "key", 3, "of a victim", 11};
        tern_exclusive_publication *publication = tern_client_add_exclusive_publication(
            victim->client, channel, STREAM + 1, TEST_TIMEOUT_NS, &error);
        tern_subscription *subscription =
            tern_client_add_subscription(victim->client, &params, TEST_TIMEOUT_NS, &error);
        tern_counter *counter =
            tern_client_add_counter(victim->client, &counter_params, TEST_TIMEOUT_NS, &error);
        for (int i = 0; i < 20 && publication != NULL && subscription != NULL; i++) {
            fill(victim->buffer, victim->id, i, sizeof(struct message));
            (void)tern_exclusive_publication_offer(publication, victim->buffer,
                                                   sizeof(struct message));
            (void)tern_subscription_poll(subscription, on_nothing, NULL, 10);
        }
        if (next_random(&victim->random) % 2 == 0) {
            tern_exclusive_publication_close(publication);
        }
        tern_subscription_close(subscription);
        tern_counter_close(counter);
    }
}

static int run_victim(const char *directory, const char *seed) {
    static struct victim victim;
    struct driver_process driver = {.pid = 0};
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)snprintf(driver.directory, sizeof driver.directory, "%s", directory);
    victim.random = strtoull(seed, NULL, 10);
    victim.id = (uint32_t)victim.random;
    victim.client = driver_process_connect(&driver);
    void (*const lives[])(struct victim *) = {offer_for_ever, claim_for_ever, add_for_ever};
    lives[victim.id % 3](&victim);
    return 1;
}

/* -- the survivor -- */

struct survivor {
    tern_client *client;
    tern_publication *publication;
    tern_subscription *subscription;
    tern_fragment_assembler *assembler;
    int64_t sent;
    int64_t received;                      /* of its own */
    int64_t numbers[ROUNDS * VICTIMS + 1]; /* the next of each writer */
    int64_t aim;
    int idle_counters;
    struct driver_process driver;
};

static void on_message(void *context, const uint8_t *buffer, int32_t length,
                       const tern_header *header) {
    struct survivor *survivor = context;
    struct message head;
    (void)header;
    REQUIRE(length >= (int32_t)sizeof head, "%d bytes", length);
    memcpy(&head, buffer, sizeof head);
    REQUIRE(head.length == (uint32_t)length, "%d of %u bytes of writer %u", length, head.length,
            head.writer);
    REQUIRE(head.writer <= ROUNDS * VICTIMS, "writer %u", head.writer);
    REQUIRE(head.number == survivor->numbers[head.writer],
            "message %" PRId64 " of writer %u, not %" PRId64, head.number, head.writer,
            survivor->numbers[head.writer]);
    survivor->numbers[head.writer]++;
    for (uint32_t i = sizeof head; i < head.length; i++) {
        REQUIRE(buffer[i] == pattern(&head, i), "byte %u of writer %u", i, head.writer);
    }
    survivor->received += head.writer == SURVIVOR;
}

static void exchange(struct survivor *survivor) {
    uint8_t buffer[256];
    fill(buffer, SURVIVOR, survivor->sent, sizeof buffer);
    int64_t result = tern_publication_offer(survivor->publication, buffer, sizeof buffer);
    REQUIRE(result > 0 || result == TERN_PUBLICATION_BACK_PRESSURED ||
                result == TERN_PUBLICATION_ADMIN_ACTION || result == TERN_PUBLICATION_NOT_CONNECTED,
            "%s", tern_publication_result_name(result));
    survivor->sent += result > 0;
    (void)tern_subscription_poll(survivor->subscription, tern_fragment_assembler_on_fragment,
                                 survivor->assembler, 100);
}

static bool has_reached_aim(void *context) {
    struct survivor *survivor = context;
    for (int i = 0; i < 100 && survivor->received < survivor->aim; i++) {
        exchange(survivor);
    }
    return survivor->received >= survivor->aim;
}

/* What was sent before comes, and more: nobody blocks the log for ever. */
static void require_progress(struct survivor *survivor, int64_t count) {
    survivor->aim = survivor->sent + count;
    REQUIRE(test_wait(has_reached_aim, survivor), "%" PRId64 " of %" PRId64 " messages",
            survivor->received, survivor->aim);
}

/* Somebody has claimed what nobody can read yet. */
static bool is_claimed(void *context) {
    struct survivor *survivor = context;
    while (tern_subscription_poll(survivor->subscription, tern_fragment_assembler_on_fragment,
                                  survivor->assembler, 100) > 0) {
    }
    tern_image *image = tern_subscription_image_at_index(survivor->subscription, 0);
    int64_t position = tern_image_position(image);
    tern_image_release(image);
    return survivor->numbers[CLAIMER] == HELD_NUMBER - 1 &&
           tern_publication_position(survivor->publication) > position;
}

static int count_counter(void *context, const struct tern_counter_info *counter) {
    (void)counter;
    *(int *)context += 1;
    return 0;
}

static int count_counters(const struct survivor *survivor) {
    int count = 0;
    (void)tern_counters_for_each(tern_client_counters(survivor->client), count_counter, &count);
    return count;
}

static int64_t system_counter(const struct survivor *survivor, int32_t id) {
    return tern_counters_value(tern_client_counters(survivor->client), id);
}

static bool is_clean(void *context) {
    struct survivor *survivor = context;
    for (int i = 0; i < 20; i++) {
        exchange(survivor); /* a log that nobody reads does not get unblocked */
    }
    return count_counters(survivor) == survivor->idle_counters &&
           driver_process_file_count(&survivor->driver, "publications") == 1 &&
           driver_process_file_count(&survivor->driver, "images") == 0;
}

static pid_t start_victim(const struct survivor *survivor, int number) {
    char seed[16];
    (void)snprintf(seed, sizeof seed, "%d", number);
    pid_t pid = fork();
    REQUIRE(pid >= 0, "fork");
    if (pid == 0) {
        (void)execl(self, self, "--victim", survivor->driver.directory, seed, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void end_victim(pid_t pid) {
    int status;
    REQUIRE(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid, "kill");
    REQUIRE(WIFSIGNALED(status), "a victim has ended by itself: status %d", status);
}

static void start_survivor(struct survivor *survivor, const char *program) {
    static const char *const settings[] = {
        "AERON_CLIENT_LIVENESS_TIMEOUT=1s",           "AERON_PUBLICATION_UNBLOCK_TIMEOUT=1100ms",
        "AERON_PUBLICATION_LINGER_TIMEOUT=100ms",     "AERON_IMAGE_LIVENESS_TIMEOUT=500ms",
        "AERON_COUNTERS_FREE_TO_REUSE_TIMEOUT=100ms", NULL};
    struct tern_error error = {0};
    const struct tern_subscription_params params = {.channel = CHANNEL, .stream_id = STREAM};
    driver_process_start(&survivor->driver, program, settings);
    survivor->client = driver_process_connect(&survivor->driver);
    survivor->publication =
        tern_client_add_publication(survivor->client, CHANNEL, STREAM, TEST_TIMEOUT_NS, &error);
    survivor->subscription =
        tern_client_add_subscription(survivor->client, &params, TEST_TIMEOUT_NS, &error);
    REQUIRE(survivor->publication != NULL && survivor->subscription != NULL, "%s", error.text);
    survivor->assembler = tern_fragment_assembler_create(on_message, survivor);
    require_progress(survivor, 100);
    survivor->idle_counters = count_counters(survivor);
}

static void clients_killed_at_any_instruction_leave_nothing(const char *program) {
    static struct survivor survivor;
    struct tern_error error = {0};
    start_survivor(&survivor, program);
    uint64_t random = (uint64_t)getpid();
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pids[VICTIMS];
        for (int i = 0; i < VICTIMS; i++) {
            pids[i] = start_victim(&survivor, 1 + round * VICTIMS + i);
        }
        for (int i = 0; i < VICTIMS; i++) {
            int64_t life_ns = (int64_t)(next_random(&random) % LIFE_MS_MAX + 2) * TEST_NS_PER_MS;
            int64_t end_ns = test_now_ns() + life_ns;
            while (test_now_ns() < end_ns) {
                exchange(&survivor);
            }
            end_victim(pids[i]);
        }
        require_progress(&survivor, 1000); /* else a claim of the first would shield the others */
    }
    REQUIRE(test_wait(is_clean, &survivor), "%d counters, %d before; %d logs, %d images",
            count_counters(&survivor), survivor.idle_counters,
            driver_process_file_count(&survivor.driver, "publications"),
            driver_process_file_count(&survivor.driver, "images"));
    printf("# %" PRId64 " clients timed out, %" PRId64 " claims unblocked, %" PRId64 " sent\n",
           system_counter(&survivor, CLIENT_TIMEOUTS),
           system_counter(&survivor, UNBLOCKED_PUBLICATIONS), survivor.sent);
    REQUIRE(system_counter(&survivor, CLIENT_TIMEOUTS) > 0, "no victim had lived");
    REQUIRE(!tern_client_is_closed(survivor.client), "closed");
    /* The driver takes commands and hands out what it did before. */
    tern_exclusive_publication *another = tern_client_add_exclusive_publication(
        survivor.client, OWN_CHANNEL, STREAM + 1, TEST_TIMEOUT_NS, &error);
    REQUIRE(another != NULL, "%s", error.text);
    tern_exclusive_publication_close(another);
    tern_fragment_assembler_destroy(survivor.assembler);
    tern_client_close(survivor.client);
    driver_process_close(&survivor.driver);
}

/* Not by chance: a victim that holds a claim when it dies. */
static void a_claim_of_a_dead_client_is_given_up(const char *program) {
    static struct survivor survivor;
    start_survivor(&survivor, program);
    pid_t pid = start_victim(&survivor, CLAIMER);
    REQUIRE(test_wait(is_claimed, &survivor), "no claim");
    end_victim(pid);
    require_progress(&survivor, 1000);
    REQUIRE(system_counter(&survivor, UNBLOCKED_PUBLICATIONS) == 1, "%" PRId64,
            system_counter(&survivor, UNBLOCKED_PUBLICATIONS));
    REQUIRE(test_wait(is_clean, &survivor), "%d counters, %d before", count_counters(&survivor),
            survivor.idle_counters);
    REQUIRE(system_counter(&survivor, CLIENT_TIMEOUTS) == 1, "timeouts");
    tern_fragment_assembler_destroy(survivor.assembler);
    tern_client_close(survivor.client);
    driver_process_close(&survivor.driver);
}

int main(int argc, char **argv) {
    static const struct system_test tests[] = {
        {"clients killed at any instruction leave nothing",
         clients_killed_at_any_instruction_leave_nothing},
        {"a claim of a dead client is given up", a_claim_of_a_dead_client_is_given_up},
    };
    self = argv[0];
    if (argc == 4 && strcmp(argv[1], "--victim") == 0) {
        return run_victim(argv[2], argv[3]);
    }
    return system_test_main(argc, argv, tests, (int)(sizeof tests / sizeof tests[0]));
}
