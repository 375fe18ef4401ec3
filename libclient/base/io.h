/* The four seams together: the only way out of an agent (design.md, decision 2). */
#ifndef TERN_BASE_IO_H
#define TERN_BASE_IO_H

#include "base/clock.h"
#include "base/net.h"
#include "base/random.h"
#include "base/store.h"

/* Borrowed tables; they outlive every agent that was given them. */
struct io {
    const struct clock *clock;
    const struct random *random;
    const struct net *net;
    const struct store *store;
};

/* The operating system's four tables. */
struct io io_system(void);

#endif
