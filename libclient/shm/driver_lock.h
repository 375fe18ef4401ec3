/* driver.lock: tells a killed driver from a living one at once.
 *
 * A killed driver leaves a cnc.dat whose heartbeat is young for the whole driver timeout; its
 * successor would have to wait, and clients would attach to files that nobody serves. The recorded
 * process id does not help where containers share a directory. So our driver holds a lock on a file
 * of its own in its directory, which the kernel ends with the process. A directory without the file
 * belongs to another make of driver, for which the heartbeat alone counts (shared-memory.md 1.5).
 */
#ifndef TERN_SHM_DRIVER_LOCK_H
#define TERN_SHM_DRIVER_LOCK_H

#include <stdbool.h>

#define DRIVER_LOCK_FILE_NAME "driver.lock"

/* Driver: make the file and lock it, before cnc.dat is there. A descriptor to keep open for life,
 * -EBUSY when somebody holds it, or -errno. */
int driver_lock_acquire(const char *directory);
/* Release; a descriptor below 0 is allowed. */
void driver_lock_close(int descriptor);

/* The file is there and nobody holds it: whatever cnc.dat says, its driver has gone. */
bool driver_lock_is_abandoned(const char *directory);

#endif
