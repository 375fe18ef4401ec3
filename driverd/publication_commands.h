/* What adding IPC and network publications has in common, between publication_commands.c and
 * network.c. Conductor only. */
#ifndef DRIVERD_PUBLICATION_COMMANDS_H
#define DRIVERD_PUBLICATION_COMMANDS_H

#include "driverd/publication.h"
#include "wire/command.h"

struct conductor;
struct pointer_list;

/* The next session id that no publication of the stream uses (media-driver.md 2.2). */
int32_t publication_commands_next_session_id(struct conductor *conductor, int32_t stream_id);
/* The publication that session-id=tag:<n> names, of the network or IPC; NULL and an error. */
const struct publication *publication_commands_find_tagged(const struct conductor *conductor,
                                                           int64_t entity_tag,
                                                           struct tern_error *error);
/* session-id=tag:<n>: copy session id, MTU and term length of the publication with the tag; what
 * the URI says of the latter must agree. */
int publication_commands_apply_session_tag(const struct conductor *conductor,
                                           struct publication_params *params,
                                           enum publication_kind kind, struct tern_error *error);
/* An explicit session id is in use on the stream. */
int publication_commands_refuse_clash(const struct command *command, int32_t session_id,
                                      struct tern_error *error);
/* The session id of a new publication: the URI's, else the next one. */
int32_t publication_commands_session_id(struct conductor *conductor,
                                        const struct publication_params *params, int32_t stream_id);
/* Give the client its handle and answer ready. */
int publication_commands_link(struct conductor *conductor, const struct command *command,
                              struct publication *publication, struct tern_error *error);

#endif
