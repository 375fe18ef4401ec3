/* A library to be loaded by a driver: notes which threads called its function. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

__attribute__((visibility("default"))) void note_start(void *state, const char *role_name);
__attribute__((visibility("default"))) const char *noted_starts(void);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char notes[512];

void note_start(void *state, const char *role_name) {
    (void)pthread_mutex_lock(&lock);
    size_t length = strlen(notes);
    (void)snprintf(notes + length, sizeof notes - length, "<%s%s>", state == NULL ? "" : "state ",
                   role_name);
    (void)pthread_mutex_unlock(&lock);
}

const char *noted_starts(void) {
    static char copy[sizeof notes];
    (void)pthread_mutex_lock(&lock);
    memcpy(copy, notes, sizeof notes);
    (void)pthread_mutex_unlock(&lock);
    return copy;
}
