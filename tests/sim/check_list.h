/* Whether what clients of the list service were told can be explained by one list that everybody
 * appended to and read one after the other: nothing acknowledged is lost, nothing applied twice,
 * real time and the order of each session are kept (linearizability). */
#ifndef TERN_SIM_CHECK_LIST_H
#define TERN_SIM_CHECK_LIST_H

#include <stdbool.h>

#include "base/error.h"
#include "system/list_history.h"

/* history->final is the list at the end. Operations without answer may or may not be in it. */
bool check_list(const struct list_history *history, struct tern_error *problem);

#endif
