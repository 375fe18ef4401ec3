/* SIGTERM and SIGINT end the main loop; SIGPIPE is ignored.
 *
 * A signal handler can only reach static data, so this file has the one mutable static of the
 * daemons: the flag that the main loop watches. It belongs to the process, never to a node.
 */
#ifndef TERN_DAEMON_SIGNALS_H
#define TERN_DAEMON_SIGNALS_H

#include <stdbool.h>

#include "base/error.h"

int signals_install(struct tern_error *error);

/* True until a signal came or signals_stop was called. Read with acquire; fits agent_run. */
const bool *signals_running(void);
/* The signal that ended the loop; 0: none. */
int signals_received(void);
/* End the main loop from inside. */
void signals_stop(void);

#endif
