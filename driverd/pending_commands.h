/* Clients whose command waits for a host name, a log file or a channel that is being closed, and
 * what they sent since (media-driver.md 6.4, 8.2 item 12). The commands of one client are effected
 * in the order in which it sent them; other clients do not wait for it. Conductor only. */
#ifndef DRIVERD_PENDING_COMMANDS_H
#define DRIVERD_PENDING_COMMANDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

struct log_file;
struct udp_channel;

#define PENDING_CLIENTS_MAX 64  /* the commands of others stay in the ring */
#define PENDING_NAMES_MAX 16    /* of them wait for a name; others are to try again */
#define PENDING_COMMANDS_MAX 64 /* of one client; more stay in the ring, with all behind them */

struct waiting_command {
    struct waiting_command *next;
    int32_t type;
    int32_t length;
    uint8_t payload[];
};

struct pending_client {
    bool is_used;
    bool is_waiting;  /* for resolver or log agent; else its commands can be run */
    bool is_naming;   /* the channel is the resolver's */
    bool is_resolved; /* the channel is here, for the first command */
    int64_t client_id;
    int64_t request_id;
    struct udp_channel *channel; /* lent to the resolver, then ours again */
    struct tern_error error;     /* code 0: resolved */
    struct log_file *file;       /* made or failed, for the first command; else NULL */
    int64_t deadline_ns;         /* for the first command to be retried; 0: it was not yet */
    struct waiting_command *first;
    struct waiting_command *last;
    int32_t count;
};

struct pending_commands {
    struct pending_client clients[PENDING_CLIENTS_MAX];
    int32_t count;
    int64_t next_request_id;
};

/* NULL: the client does not wait. Cheap while nobody does. */
struct pending_client *pending_commands_find(struct pending_commands *pending, int64_t client_id);
struct pending_client *pending_commands_by_request(struct pending_commands *pending,
                                                   int64_t request_id);
/* The client's entry, the one that it has or a new one, waits with a new request id: for a name or
 * for a log file. NULL when too many wait. */
struct pending_client *pending_commands_name(struct pending_commands *pending, int64_t client_id,
                                             struct udp_channel *channel);
struct pending_client *pending_commands_log(struct pending_commands *pending, int64_t client_id);
/* It could not be asked for: the entry waits no more, and goes when it has no commands. */
void pending_commands_give_up(struct pending_commands *pending, struct pending_client *client);
/* An entry for the client, whose first command is to be run again in the next cycle. NULL when too
 * many wait. */
struct pending_client *pending_commands_hold(struct pending_commands *pending, int64_t client_id);
/* Copy a command to the end of the client's queue; -ENOSPC at the limit, or -ENOMEM. */
int pending_commands_append(struct pending_client *client, int32_t type, const uint8_t *payload,
                            int32_t length);
/* Take the first one out; the caller frees it. */
struct waiting_command *pending_commands_pop(struct pending_client *client);
/* The client waits no more; its queue is empty, and what it waited for was taken. */
void pending_commands_end(struct pending_commands *pending, struct pending_client *client);
/* Frees all; channels that were resolved or that nobody else has any more, unless abandoned. */
void pending_commands_close(struct pending_commands *pending, bool is_resolver_busy);

#endif
