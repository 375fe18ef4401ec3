/* Commands to the driver: encoding into the to-driver ring (shared-memory.md 2.3, 3.1).
 *
 * Requests fail at once when the ring stays full; removals and the close of the client are kept and
 * tried again by the conductor, for their callers have nothing to retry with. The caller holds the
 * client's lock, so the order in the ring is the order of calls.
 */
#include "client/core.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include "base/uri.h"

/* As the original: ten looks, then the caller learns that the driver does not keep up. */
#define SEND_ATTEMPTS 10
/* The longest command: a channel, or a key and a label, behind at most 40 bytes of fields. */
#define COMMAND_LENGTH_MAX (URI_LENGTH_MAX + 512)

static int try_send(struct tern_client *client, const struct command *command) {
    uint8_t payload[COMMAND_LENGTH_MAX] = {0};
    int32_t length = command_encode(command, payload, COMMAND_LENGTH_MAX);
    if (length < 0) {
        return length;
    }
    for (int attempt = 0; attempt < SEND_ATTEMPTS; attempt++) {
        enum ring_status status = ring_mpsc_write(&client->ring, command->type, payload, length);
        if (status == RING_OK) {
            return 0;
        }
        if (status == RING_ERROR) {
            return -EMSGSIZE;
        }
        (void)sched_yield();
    }
    return TERN_ERROR_DRIVER_BUFFER_FULL;
}

int client_send(struct tern_client *client, const struct command *command,
                struct tern_error *error) {
    int result = try_send(client, command);
    if (result == TERN_ERROR_DRIVER_BUFFER_FULL) {
        return error_set(error, result, "the driver does not take commands: its ring is full");
    }
    if (result != 0) {
        return error_set(error, result, "command 0x%02x is too long", (unsigned)command->type);
    }
    return 0;
}

void client_send_reliably(struct tern_client *client, const struct command *command) {
    assert(command->channel.length == 0);
    assert(command->text.length == 0);
    if (client->backlog == NULL && try_send(client, command) != TERN_ERROR_DRIVER_BUFFER_FULL) {
        return;
    }
    struct client_backlog *entry = calloc(1, sizeof *entry);
    if (entry == NULL) {
        return; /* the driver frees the resource when the client ends */
    }
    entry->command = *command;
    struct client_backlog **tail = &client->backlog;
    while (*tail != NULL) {
        tail = &(*tail)->next;
    }
    *tail = entry;
}

int client_send_backlog(struct tern_client *client) {
    int sent = 0;
    while (client->backlog != NULL) {
        struct client_backlog *entry = client->backlog;
        if (try_send(client, &entry->command) == TERN_ERROR_DRIVER_BUFFER_FULL) {
            break;
        }
        client->backlog = entry->next;
        free(entry);
        sent++;
    }
    return sent;
}
