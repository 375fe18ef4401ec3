/* Client messages: the ingress subscriptions and what becomes of each message (cluster.md 3.10). */
#ifndef TERN_CONSENSUSD_MODULE_INGRESS_H
#define TERN_CONSENSUSD_MODULE_INGRESS_H

#include <tern/client.h>

#include "base/error.h"

struct consensus;

struct module_ingress {
    tern_async *requests[2]; /* UDP, and IPC where it is allowed */
    tern_subscription *subscriptions[2];
    tern_controlled_fragment_assembler *assembler;
};

/* Subscribe, when an election is over. */
int module_ingress_open(struct consensus *consensus, struct tern_error *error);
/* Poll up to the fragment limit. A message for which the log has no room stays where it is. */
int module_ingress_poll(struct consensus *consensus);
/* The image of an ingress stream, with a reference for the caller; or NULL. */
tern_image *module_ingress_image(struct module_ingress *ingress, int32_t session_id);
void module_ingress_close(struct module_ingress *ingress);

#endif
