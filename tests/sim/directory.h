/* Real directories of a run: shared memory of drivers and mark files. */
#ifndef TERN_SIM_DIRECTORY_H
#define TERN_SIM_DIRECTORY_H

/* With all that is in it; nothing happens when it is not there. */
void directory_delete(const char *path);

#endif
