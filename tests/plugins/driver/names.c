/* phone_book: resolves names that end with ".book" by itself, and leaves the others to the system.
 * The argument is the domain's address, e.g. 127.0.0.1; "no.book" is not in the book, and
 * "slow.book" is found when there is a file of the name that SLOW_BOOK has in the environment. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tern/driver_plugin.h>

static void *create(const char *arguments, struct tern_error *error) {
    struct sockaddr_in *address = calloc(1, sizeof *address);
    if (address == NULL) {
        return NULL;
    }
    address->sin_family = AF_INET;
    if (inet_pton(AF_INET, arguments, &address->sin_addr) != 1) {
        (void)snprintf(error->text, sizeof error->text, "'%.100s' is no address", arguments);
        free(address);
        return NULL;
    }
    return address;
}

static int resolve(void *state, const char *name, struct sockaddr_storage *address,
                   struct tern_error *error) {
    size_t length = strlen(name);
    if (length < 5 || strcmp(name + length - 5, ".book") != 0) {
        return TERN_NAME_ASK_SYSTEM;
    }
    if (strcmp(name, "no.book") == 0) {
        (void)snprintf(error->text, sizeof error->text, "it is not in the book");
        return -ENOENT;
    }
    if (strcmp(name, "slow.book") == 0) {
        const struct timespec pause = {0, 10000000};
        const char *path = getenv("SLOW_BOOK");
        while (path != NULL && access(path, F_OK) != 0) {
            (void)nanosleep(&pause, NULL);
        }
    }
    memcpy(address, state, sizeof(struct sockaddr_in));
    return TERN_NAME_FOUND;
}

TERN_API const struct tern_name_resolver_plugin phone_book = {
    .head = TERN_DRIVER_PLUGIN_HEAD(TERN_DRIVER_PLUGIN_NAMES, struct tern_name_resolver_plugin,
                                    "phone_book", "1.0"),
    .create = create,
    .destroy = free,
    .resolve = resolve,
};
