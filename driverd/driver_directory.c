/* What stands between a driver and somebody else's files.
 *
 * The directory of a dead driver is deleted and made anew. A path that was mistyped must not cost a
 * home directory: a directory that is not empty and has nothing in it that a driver makes is
 * refused, whatever the options say.
 */
#include "driverd/driver_directory.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/io.h"
#include "driverd/driver_conf.h"
#include "shm/cnc.h"
#include "shm/error_log.h"
#include "shm/loss_report.h"

#define TREE_FDS_MAX 16

static const char *const driver_names[] = {CNC_FILE_NAME, LOSS_REPORT_FILE_NAME, "publications",
                                           "images"};

static bool is_driver_name(const char *name) {
    for (size_t i = 0; i < ARRAY_COUNT(driver_names); i++) {
        if (strcmp(driver_names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Nothing in it, or at least one thing that a driver makes. */
static bool looks_like_ours(const char *directory) {
    DIR *stream = opendir(directory);
    if (stream == NULL) {
        return errno == ENOENT;
    }
    int count = 0;
    bool is_ours = false;
    const struct dirent *entry;
    while (!is_ours && (entry = readdir(stream)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            count++;
            is_ours = is_driver_name(entry->d_name);
        }
    }
    (void)closedir(stream);
    return is_ours || count == 0;
}

static int delete_entry(const char *path, const struct stat *status, int type, struct FTW *walk) {
    (void)status;
    (void)type;
    (void)walk;
    return remove(path) == 0 || errno == ENOENT ? 0 : errno;
}

int driver_directory_delete(const char *directory, struct tern_error *error) {
    if (!looks_like_ours(directory)) {
        return error_set(error, -EEXIST, "%s has files but none of a driver: refusing to delete it",
                         directory);
    }
    int failure = nftw(directory, delete_entry, TREE_FDS_MAX, FTW_DEPTH | FTW_PHYS);
    failure = failure == -1 ? errno : failure;
    if (failure != 0 && failure != ENOENT) {
        return error_set_errno(error, failure, "cannot delete %s", directory);
    }
    return 0;
}

/* 1.5: while the version is 0 another driver may just be starting. */
static bool is_active(const struct driver_conf *conf, const struct io *io) {
    const int64_t timeout_ms = conf->driver_timeout_ns / NS_PER_MS;
    const struct timespec step = {0, NS_PER_MS};
    for (int64_t i = 0; i <= timeout_ms; i++) {
        int result = cnc_is_driver_active(conf->directory, clock_epoch_ms(io->clock), timeout_ms);
        if (result != -EAGAIN) {
            return result == 1;
        }
        (void)nanosleep(&step, NULL);
    }
    return false;
}

static void write_entry(void *context, int32_t count, int64_t first_ms, int64_t last_ms,
                        const char *text, int32_t text_length) {
    fprintf(context, "%d observations from %lld to %lld (epoch ms):\n%.*s\n\n", count,
            (long long)first_ms, (long long)last_ms, text_length, text);
}

/* Errors of the driver that was here before go to a text file beside the directory. Best effort: an
 * unreadable old cnc.dat must not prevent a start. */
static void save_error_log(const struct driver_conf *conf, const struct io *io) {
    char path[DRIVER_DIRECTORY_MAX + 64];
    struct cnc cnc;
    (void)snprintf(path, sizeof path, "%s/%s", conf->directory, CNC_FILE_NAME);
    if (cnc_open(&cnc, path, true, NULL) != 0) {
        return;
    }
    if (get_i32(cnc.error_log) != 0) {
        int64_t epoch_ms = clock_epoch_ms(io->clock);
        time_t seconds = (time_t)(epoch_ms / MS_PER_S);
        struct tm local;
        char date[48];
        (void)localtime_r(&seconds, &local);
        (void)strftime(date, sizeof date, "%Y-%m-%d-%H-%M-%S", &local);
        (void)snprintf(path, sizeof path, "%s-%s-%03d-error.log", conf->directory, date,
                       (int)(epoch_ms % MS_PER_S));
        FILE *out = fopen(path, "wx");
        if (out != NULL) {
            int count = error_log_read(cnc.error_log, cnc.error_log_length, 0, write_entry, out);
            if (fclose(out) == 0) {
                fprintf(stderr, "driverd: saved %d errors of the previous driver in %s\n", count,
                        path);
            }
        }
    }
    cnc_close(&cnc);
}

static int make(const struct driver_conf *conf, const char *folder, const struct io *io,
                struct tern_error *error) {
    char path[DRIVER_DIRECTORY_MAX + 32];
    (void)snprintf(path, sizeof path, "%s%s", conf->directory, folder);
    int result = io->store->make_directory(io->store->context, path);
    return result == 0 ? 0 : error_set_errno(error, -result, "cannot make directory %s", path);
}

static int clear_existing(const struct driver_conf *conf, const struct io *io,
                          struct tern_error *error) {
    if (conf->dir_warn_if_exists) {
        fprintf(stderr, "WARNING: %s exists\n", conf->directory);
    }
    if (!conf->dir_delete_on_start) {
        if (is_active(conf, io)) {
            return error_set(error, -EBUSY, "an active driver uses the directory %s",
                             conf->directory);
        }
        save_error_log(conf, io);
    }
    return driver_directory_delete(conf->directory, error);
}

int driver_directory_prepare(const struct driver_conf *conf, const struct io *io,
                             struct tern_error *error) {
    struct stat status;
    int result = 0;
    if (lstat(conf->directory, &status) == 0) {
        if (!S_ISDIR(status.st_mode)) {
            return error_set(error, -ENOTDIR, "%s is not a directory", conf->directory);
        }
        result = clear_existing(conf, io, error);
    }
    if (result == 0) {
        result = make(conf, "", io, error);
    }
    if (result == 0) {
        result = make(conf, "/publications", io, error);
    }
    if (result == 0) {
        result = make(conf, "/images", io, error);
    }
    return result;
}
