/* ternctl: one command for a person to type; each subcommand is a program of its own.
 *
 * `ternctl X ...` executes `ternctl-X ...`, as git does, so that the tool which reads the files of
 * a daemon is built in that daemon's folder and no include runs upward. Programs are searched in
 * $TERN_EXEC_PATH, beside ternctl, in the installed libexec directory, in the folders of a build
 * tree, and last in $PATH. Exit code 64 means a mistake on the command line; all others come from
 * the subcommand.
 */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/compiler.h"

#define EXIT_USAGE 64
#define PREFIX "ternctl-"
#define DIRECTORY_COUNT_MAX 64
#define COMMAND_COUNT_MAX 64

/* Words for what is typed most often. */
static const struct alias {
    const char *name;
    const char *command;
    const char *argument;
    const char *doc;
} aliases[] = {
    {"stat", "driver", "stat", "counters of a media driver"},
    {"errors", "driver", "errors", "its distinct error log"},
    {"streams", "driver", "streams", "positions of its streams"},
    {"loss", "driver", "loss", "what its streams lost"},
    {"names", "driver", "names", "how it resolves names"},
    {"trace", "driver", "trace", "its frames and commands as they come and go"},
};

static const struct command {
    const char *name;
    const char *doc;
} commands[] = {
    {"driver", "look into the directory of a media driver"},
    {"archive", "describe the recordings of an archive"},
    {"cluster", "members, leader, recording log; snapshot, shutdown"},
};

/* Where to look for subcommands, in order. */
struct search {
    int count;
    char directories[DIRECTORY_COUNT_MAX][PATH_MAX];
};

static void add_directory(struct search *search, const char *base, const char *rest) {
    if (search->count == DIRECTORY_COUNT_MAX) {
        return;
    }
    char *directory = search->directories[search->count];
    if (snprintf(directory, PATH_MAX, "%s%s", base, rest) < PATH_MAX) {
        search->count++;
    }
}

static void add_path_list(struct search *search, const char *list) {
    while (list != NULL && *list != '\0') {
        size_t length = strcspn(list, ":");
        char directory[PATH_MAX];
        if (length > 0 && length < sizeof directory) {
            memcpy(directory, list, length);
            directory[length] = '\0';
            add_directory(search, directory, "");
        }
        list += length + (list[length] == ':' ? 1 : 0);
    }
}

/* The directories that belong to this very program. */
static void add_own_directories(struct search *search) {
    char self[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    if (length <= 0) {
        return;
    }
    self[length] = '\0';
    *strrchr(self, '/') = '\0';
    add_directory(search, self, "");
    add_directory(search, self, "/../libexec/tern");
    char marker[PATH_MAX + 32];
    (void)snprintf(marker, sizeof marker, "%s/../../build.ninja", self);
    if (access(marker, F_OK) == 0) {
        static const char *const folders[] = {"driverd", "archived", "consensusd", "servicehost"};
        for (size_t i = 0; i < ARRAY_COUNT(folders); i++) {
            char folder[64];
            (void)snprintf(folder, sizeof folder, "/../../%s", folders[i]);
            add_directory(search, self, folder);
        }
    }
}

static void search_init(struct search *search) {
    search->count = 0;
    add_path_list(search, getenv("TERN_EXEC_PATH"));
    add_own_directories(search);
    add_path_list(search, getenv("PATH"));
}

/* Replace this process; returns only when there is no such subcommand. */
static void execute(const struct search *search, const char *name, char **arguments) {
    for (int i = 0; i < search->count; i++) {
        char path[PATH_MAX + 256];
        int length = snprintf(path, sizeof path, "%s/" PREFIX "%s", search->directories[i], name);
        if (length >= (int)sizeof path || access(path, X_OK) != 0) {
            continue;
        }
        (void)execv(path, arguments);
        fprintf(stderr, "ternctl: cannot execute %s: %s\n", path, strerror(errno));
        exit(EXIT_FAILURE);
    }
}

static bool is_listed(const char *name, char (*found)[NAME_MAX + 1], int found_count) {
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return true;
        }
    }
    for (int i = 0; i < found_count; i++) {
        if (strcmp(found[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Subcommands that somebody else put into one of the directories. */
static void list_others(const struct search *search, FILE *out) {
    char found[COMMAND_COUNT_MAX][NAME_MAX + 1];
    int found_count = 0;
    for (int i = 0; i < search->count; i++) {
        DIR *directory = opendir(search->directories[i]);
        const struct dirent *entry;
        while (directory != NULL && (entry = readdir(directory)) != NULL) {
            const char *name = entry->d_name + sizeof PREFIX - 1;
            bool is_ours = strncmp(entry->d_name, PREFIX, sizeof PREFIX - 1) == 0;
            /* Names with a dot are files of the build. */
            if (is_ours && strchr(name, '.') == NULL && found_count < COMMAND_COUNT_MAX &&
                !is_listed(name, found, found_count)) {
                memcpy(found[found_count++], name, strlen(name) + 1);
                fprintf(out, "  %-10s (%s)\n", name, search->directories[i]);
            }
        }
        if (directory != NULL) {
            (void)closedir(directory);
        }
    }
}

static void print_help(const struct search *search, FILE *out) {
    fprintf(out, "usage: ternctl COMMAND [ARGUMENT ...]\n\ncommands (each has --help):\n");
    for (size_t i = 0; i < ARRAY_COUNT(commands); i++) {
        fprintf(out, "  %-10s %s\n", commands[i].name, commands[i].doc);
    }
    list_others(search, out);
    fprintf(out, "\nshort for:\n");
    for (size_t i = 0; i < ARRAY_COUNT(aliases); i++) {
        fprintf(out, "  %-10s %s %s: %s\n", aliases[i].name, aliases[i].command,
                aliases[i].argument, aliases[i].doc);
    }
}

/* Expand an alias and execute. `argv` begins with the subcommand's name. */
static void dispatch(const struct search *search, int argc, char **argv) {
    const char *name = argv[0];
    char program[NAME_MAX + 1];
    char argument[64];
    char **arguments = calloc((size_t)argc + 2, sizeof *arguments);
    if (arguments == NULL) {
        fprintf(stderr, "ternctl: no memory\n");
        exit(EXIT_FAILURE);
    }
    int count = 1;
    for (size_t i = 0; i < ARRAY_COUNT(aliases); i++) {
        if (strcmp(aliases[i].name, argv[0]) == 0) {
            name = aliases[i].command;
            (void)snprintf(argument, sizeof argument, "%s", aliases[i].argument);
            arguments[count++] = argument;
        }
    }
    (void)snprintf(program, sizeof program, PREFIX "%s", name);
    arguments[0] = program;
    memcpy(&arguments[count], &argv[1], (size_t)(argc - 1) * sizeof *argv);
    execute(search, name, arguments);
    free(arguments);
}

int main(int argc, char **argv) {
    struct search *search = malloc(sizeof *search);
    if (search == NULL) {
        fprintf(stderr, "ternctl: no memory\n");
        return EXIT_FAILURE;
    }
    search_init(search);
    int code = EXIT_USAGE;
    if (argc < 2) {
        print_help(search, stderr);
    } else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(search, stdout);
        code = EXIT_SUCCESS;
    } else if (strcmp(argv[1], "--version") == 0) {
        printf("ternctl (tern) %s\n", TERN_VERSION);
        code = EXIT_SUCCESS;
    } else if (argv[1][0] == '-' || strchr(argv[1], '/') != NULL) {
        fprintf(stderr, "ternctl: \"%s\" is not a command; see ternctl --help\n", argv[1]);
    } else {
        dispatch(search, argc - 1, argv + 1);
        fprintf(stderr,
                "ternctl: no command \"%s\" (no program " PREFIX "%s); see ternctl --help\n",
                argv[1], argv[1]);
    }
    free(search);
    return code;
}
