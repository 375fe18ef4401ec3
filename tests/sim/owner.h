/* What a process owns, for processes that are only structs of the simulator: heap blocks, mappings,
 * descriptors. Every allocation of the program goes through here by the linker's --wrap; it belongs
 * to whoever is being stepped. Killing an owner takes all of it back, as the kernel does, without a
 * line of the victim's code being run.
 *
 * System calls that would let an agent out of its seams (clocks, random bits, threads, sleeping)
 * are wrapped too: made by an agent they end the program with the name of the call.
 */
#ifndef TERN_SIM_OWNER_H
#define TERN_SIM_OWNER_H

#include <stdint.h>

#define OWNER_SIMULATOR 0
#define OWNERS_MAX 128

/* Who allocates from now on; returns who did before. */
int owner_switch(int owner);
int owner_current(void);

/* Free, unmap and close everything of it. */
void owner_kill(int owner);

struct owner_usage {
    int64_t block_count;
    int64_t block_bytes;
    int64_t mapping_count;
    int64_t descriptor_count;
    int64_t allocations; /* ever made */
};
struct owner_usage owner_usage(int owner);

#endif
