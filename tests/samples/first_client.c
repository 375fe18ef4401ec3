/* A first program: send a greeting through a media driver and receive it. */
#include <inttypes.h>
#include <stdio.h>

#include <tern/client.h>

#define TIMEOUT_NS INT64_C(5000000000)

static void on_fragment(void *context, const uint8_t *buffer, int32_t length,
                        const tern_header *header) {
    (void)header;
    printf("received: %.*s\n", (int)length, (const char *)buffer);
    *(bool *)context = true;
}

int main(void) {
    struct tern_error error = {0};
    const struct tern_subscription_params inbox = {.channel = "aeron:udp?endpoint=localhost:20121",
                                                   .stream_id = 1001};
    tern_subscription *subscription = NULL;
    tern_publication *publication = NULL;
    bool is_received = false;

    tern_context *context = tern_context_create(&error); /* AERON_DIR or /dev/shm/aeron-<user> */
    tern_client *client = context == NULL ? NULL : tern_client_connect(context, &error);
    if (client != NULL) {
        subscription = tern_client_add_subscription(client, &inbox, TIMEOUT_NS, &error);
        publication = tern_client_add_publication(client, inbox.channel, 1001, TIMEOUT_NS, &error);
    }
    if (subscription == NULL || publication == NULL) {
        fprintf(stderr, "first-client: %s\n", error.text);
    } else {
        while (tern_publication_offer(publication, "hello", 5) < 0) {
            /* not connected yet, or back-pressured: try again */
        }
        while (!is_received && tern_subscription_wait(subscription, TIMEOUT_NS) >= 0) {
            (void)tern_subscription_poll(subscription, on_fragment, &is_received, 10);
        }
    }
    tern_publication_close(publication);
    tern_subscription_close(subscription);
    tern_client_close(client);
    tern_context_destroy(context);
    return is_received ? 0 : 1;
}
