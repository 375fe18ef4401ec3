/* Memory for what threads use on the data path. */
#ifndef TERN_BASE_MEMORY_H
#define TERN_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed memory on cache lines that nothing else of the process is on, so that what its thread
 * writes for each message does not take a line away from another thread. NULL: there is none. To
 * be given back by free(). */
void *memory_allocate_lines(size_t length);

#endif
