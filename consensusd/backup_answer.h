/* Answers to the requests of backups (cluster.md 3.21). */
#ifndef TERN_CONSENSUSD_BACKUP_ANSWER_H
#define TERN_CONSENSUSD_BACKUP_ANSWER_H

#include <stdbool.h>

#include "consensusd/module_session.h"

struct consensus;

/* True when the session is done with: answered, or nothing to say. */
bool backup_answer(struct consensus *consensus, struct module_session *session);

#endif
