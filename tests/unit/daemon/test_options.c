/* The option machinery on a small table: sources and their order, every type's grammar and
 * bounds, every kind of mistake with its place, and that what is printed can be read again. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/logger.h"
#include "daemon/options.h"

struct sample_conf {
    char dir[64];
    int32_t term_length;
    int64_t store_length;
    int32_t mtu;
    int64_t linger_ns;
    int64_t driver_timeout_ns;
    bool is_sparse;
    int profile;
    char bootstrap[64];
    char members[32];
    int64_t limit;
    int log_level;
};

static const char *const profile_names[] = {"lowcpu", "lowlatency", NULL};

static const struct option_row rows[] = {
    {.key = "dir",
     .env = "AERON_DIR",
     OPTION_STORE(struct sample_conf, dir),
     .type = OPTION_PATH,
     .default_text = "/dev/shm/aeron-{user}",
     .doc = "Directory shared with clients."},
    {.key = "profile",
     OPTION_STORE(struct sample_conf, profile),
     .type = OPTION_ENUM,
     .default_text = "lowcpu",
     .names = profile_names,
     .doc = "Set of defaults."},
    {.key = "term.length",
     .env = "AERON_TERM_BUFFER_LENGTH",
     OPTION_STORE(struct sample_conf, term_length),
     .type = OPTION_SIZE,
     .default_text = "16m",
     .min = 65536,
     .max = 1 << 30,
     .flags = OPTION_POWER_OF_TWO,
     .doc = "Term length."},
    {.key = "term.sparse",
     .env = "AERON_TERM_BUFFER_SPARSE_FILE",
     OPTION_STORE(struct sample_conf, is_sparse),
     .type = OPTION_BOOL,
     .default_text = "true",
     .doc = "Sparse files."},
    {.key = "term.net.mtu",
     .env = "AERON_MTU_LENGTH",
     OPTION_STORE(struct sample_conf, mtu),
     .type = OPTION_SIZE,
     .default_text = "1408",
     .min = 64,
     .max = 65504,
     .flags = OPTION_MULTIPLE_OF_32,
     .doc = "Largest datagram."},
    {.key = "store_length",
     .env = "TEST_STORE",
     OPTION_STORE(struct sample_conf, store_length),
     .type = OPTION_SIZE,
     .default_text = "8g",
     .min = 0,
     .max = INT64_MAX,
     .doc = "Store."},
    {.key = "linger",
     .env = "TEST_LINGER",
     .env_alias = "TEST_LINGER_OLD",
     OPTION_STORE(struct sample_conf, linger_ns),
     .type = OPTION_DURATION,
     .default_text = "5s",
     .min = -1,
     .max = INT64_MAX,
     .doc = "Linger."},
    {.key = "driver_timeout",
     .env = "AERON_DRIVER_TIMEOUT",
     OPTION_STORE(struct sample_conf, driver_timeout_ns),
     .type = OPTION_DURATION,
     .unit = OPTION_UNIT_MS,
     .default_text = "10000",
     .min = 0,
     .max = INT64_MAX,
     .doc = "Driver timeout."},
    {.key = "bootstrap",
     .env = "TEST_BOOTSTRAP",
     OPTION_STORE(struct sample_conf, bootstrap),
     .type = OPTION_LIST,
     .doc = "Neighbours."},
    {.key = "members",
     .env = "TEST_MEMBERS",
     OPTION_STORE(struct sample_conf, members),
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED,
     .doc = "Members."},
    {.key = "limit",
     .env = "TEST_LIMIT",
     OPTION_STORE(struct sample_conf, limit),
     .type = OPTION_I64,
     .default_text = "7",
     .min = -5,
     .max = INT64_MAX,
     .doc = "Limit."},
    {.key = "resolver", .env = "TEST_RESOLVER", .type = OPTION_NOT_YET, .doc = "Gossip."},
    {.key = "class", .env = "TEST_CLASS", .type = OPTION_REFUSED, .doc = "There are no classes."},
    LOGGER_LEVEL_OPTION(struct sample_conf, log_level),
};

static const struct option_override lowcpu[] = {{"store_length", "1g"}};
static const struct option_override lowlatency[] = {{"term.length", "64m"}, {"linger", "1s"}};
static const struct option_profile profiles[] = {
    {.name = "lowcpu", .overrides = lowcpu, .count = 1},
    {.name = "lowlatency", .overrides = lowlatency, .count = 2}};

static void check_conf(const void *conf, struct options *options) {
    const struct sample_conf *sample = conf;
    if (sample->limit == 13) {
        options_refuse(options, "limit", "is an unlucky number");
    }
}

static struct option_table make_table(void) {
    return (struct option_table){.daemon = "sampled",
                                 .summary = "A sample.",
                                 .rows = rows,
                                 .count = ARRAY_COUNT(rows),
                                 .conf_size = sizeof(struct sample_conf),
                                 .profile_key = "profile",
                                 .profiles = profiles,
                                 .profile_count = 2,
                                 .check = check_conf};
}

#define ENVIRONMENT(...) ((char *[]){"USER=jo", "TEST_MEMBERS=a,b", __VA_ARGS__, NULL})

struct loaded {
    char path[64]; /* of the .conf; "" none */
    struct option_table table;
    struct options options;
    struct sample_conf conf;
};

static void write_file(char *path, const char *text) {
    strcpy(path, "/tmp/tern-options-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    cr_assert_eq(close(fd), 0);
}

static int load(struct loaded *loaded, const char *file_text, char *const *environment) {
    loaded->path[0] = '\0';
    loaded->table = make_table();
    if (file_text != NULL) {
        write_file(loaded->path, file_text);
    }
    return options_load(&loaded->options, &loaded->table, &loaded->conf,
                        file_text == NULL ? NULL : loaded->path, environment);
}

static void unload(struct loaded *loaded) {
    if (loaded->path[0] != '\0') {
        cr_assert_eq(unlink(loaded->path), 0);
    }
}

Test(options, the_sample_table_is_sound_and_mistakes_in_tables_are_found) {
    struct tern_error error = {0};
    struct option_table table = make_table();
    cr_assert_eq(option_table_check(&table, &error), 0, "%s", error.text);

    struct option_row broken[ARRAY_COUNT(rows)];
    table.rows = broken;
    const struct {
        int row;
        struct option_row change;
        const char *expected;
    } cases[] = {
        {1, rows[0], "dir: the key is there twice"},
        {6,
         {.key = "term.late", .type = OPTION_NOT_YET, .doc = "Late."},
         "term.late: the rows of its group do not stand together"},
        {0,
         {.key = "dir", .type = OPTION_I32, .size = 8, .max = 1, .doc = "D."},
         "dir: the member's size does not fit the type"},
        {0,
         {.key = "dir", .type = OPTION_I32, .size = 4, .max = INT64_MAX, .doc = "D."},
         "dir: min and max do not fit the type"},
        {0,
         {.key = "dir", .type = OPTION_I32, .size = 4, .max = 9, .doc = "D."},
         "dir: \"\": is not an integer; allowed: 0..9"},
        {0,
         {.key = "dir", .type = OPTION_BOOL, .size = 1, .doc = "no sentence"},
         "dir: the doc is not a sentence"},
        {0,
         {.key = "dir", .type = OPTION_BOOL, .size = 1, .offset = 100000, .doc = "D."},
         "dir: the member lies outside of the conf struct"},
        {5,
         {.key = "x", .env = "AERON_DIR", .type = OPTION_NOT_YET, .doc = "X."},
         "x: the environment name is there twice"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        memcpy(broken, rows, sizeof rows);
        broken[cases[i].row] = cases[i].change;
        cr_assert_lt(option_table_check(&table, &error), 0, "case %zu", i);
        cr_assert_str_eq(error.text, cases[i].expected);
    }
}

Test(options, values_come_from_default_then_profile_then_file_then_environment) {
    struct loaded loaded;
    cr_assert_eq(load(&loaded, NULL, ENVIRONMENT("OTHER=1")), 0, "%s", loaded.options.errors);
    cr_assert_str_eq(loaded.conf.dir, "/dev/shm/aeron-jo");
    cr_assert_eq(loaded.conf.term_length, 16 << 20);
    cr_assert_eq(loaded.conf.store_length, INT64_C(1) << 30); /* of the default profile */
    cr_assert_eq(loaded.conf.driver_timeout_ns, 10 * NS_PER_S);
    cr_assert(loaded.conf.is_sparse);
    cr_assert_str_eq(loaded.conf.members, "a,b");
    cr_assert_eq(logger_level_of(loaded.conf.log_level), LOGGER_INFO);

    const char *file = "profile = \"LowLatency\"; linger = \"2s\";\n"
                       "term: { sparse = false; net: { mtu = 4096; }; };\n"
                       "bootstrap = (\"x:1\", \"y:2\"); store_length = 6000000000L;\n"
                       "limit = 9; driver_timeout = 500;";
    cr_assert_eq(load(&loaded, file, ENVIRONMENT("TEST_LIMIT=11", "TEST_LINGER_OLD=7ms")), 0, "%s",
                 loaded.options.errors);
    cr_assert_eq(loaded.conf.term_length, 64 << 20);             /* profile */
    cr_assert_eq(loaded.conf.mtu, 4096);                         /* file */
    cr_assert_eq(loaded.conf.linger_ns, 7 * NS_PER_MS);          /* alias in the environment */
    cr_assert_eq(loaded.conf.limit, 11);                         /* environment over file */
    cr_assert_eq(loaded.conf.store_length, INT64_C(6000000000)); /* not truncated */
    cr_assert_eq(loaded.conf.driver_timeout_ns, 500 * NS_PER_MS);
    cr_assert_not(loaded.conf.is_sparse);
    cr_assert_str_eq(loaded.conf.bootstrap, "x:1,y:2");
    unload(&loaded);
}

Test(options, each_type_accepts_its_texts_only) {
    static const struct {
        char *variable;
        int64_t expected;
        size_t offset;
        size_t size;
    } good[] = {
        {"AERON_TERM_BUFFER_LENGTH=64K", 65536, offsetof(struct sample_conf, term_length), 4},
        {"AERON_TERM_BUFFER_LENGTH=1g", 1 << 30, offsetof(struct sample_conf, term_length), 4},
        {"AERON_MTU_LENGTH=65504", 65504, offsetof(struct sample_conf, mtu), 4},
        {"TEST_LINGER=-1", -1, offsetof(struct sample_conf, linger_ns), 8},
        {"TEST_LINGER=3us", 3000, offsetof(struct sample_conf, linger_ns), 8},
        {"TEST_LINGER=12", 12, offsetof(struct sample_conf, linger_ns), 8},
        {"AERON_DRIVER_TIMEOUT=12", 12000000, offsetof(struct sample_conf, driver_timeout_ns), 8},
        {"AERON_DRIVER_TIMEOUT=1s", NS_PER_S, offsetof(struct sample_conf, driver_timeout_ns), 8},
        {"TEST_LIMIT=-5", -5, offsetof(struct sample_conf, limit), 8},
        {"AERON_TERM_BUFFER_SPARSE_FILE=off", 0, offsetof(struct sample_conf, is_sparse), 1},
        {"TERN_LOG_LEVEL=DEBUG", 4, offsetof(struct sample_conf, log_level), 4},
    };
    struct loaded loaded;
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        int64_t value = 0;
        cr_assert_eq(load(&loaded, NULL, ENVIRONMENT(good[i].variable)), 0, "%s: %s",
                     good[i].variable, loaded.options.errors);
        memcpy(&value, (char *)&loaded.conf + good[i].offset, good[i].size);
        value = good[i].size == 4 ? (int32_t)value : value;
        cr_assert_eq(value, good[i].expected, "%s gave %ld", good[i].variable, (long)value);
    }
    static const char *const bad[][2] = {
        {"AERON_TERM_BUFFER_LENGTH=100000",
         "AERON_TERM_BUFFER_LENGTH (option term.length) = \"100000\" is not a power of two; "
         "allowed: 64k..1g, a power of two\n"},
        {"AERON_TERM_BUFFER_LENGTH=2g", "allowed: 64k..1g"},
        {"AERON_TERM_BUFFER_LENGTH=64q", "is not a size"},
        {"AERON_TERM_BUFFER_LENGTH=", "is not a size"},
        {"AERON_MTU_LENGTH=1400", "is not a multiple of 32"},
        {"TEST_LINGER=5 s", "is not a duration"},
        {"TEST_LINGER=-2", "is out of range; allowed: -1 or more"},
        {"AERON_DRIVER_TIMEOUT=9223372036854775807", "is not a duration"},
        {"TEST_LIMIT=9223372036854775808", "is not an integer"},
        {"AERON_TERM_BUFFER_SPARSE_FILE=maybe", "allowed: true or false"},
        {"TERN_LOG_LEVEL=loud", "allowed: error, warning, notice, info, debug"},
        {"TEST_RESOLVER=gossip", "(option resolver) = \"gossip\" is not supported yet"},
        {"TEST_CLASS=a.B", "(option class) = \"a.B\" is refused: There are no classes. Leave"},
        {"TEST_BOOTSTRAP=0123456789012345678901234567890123456789012345678901234567890123456789",
         "is too long"},
        {"TEST_LIMIT=13", "TEST_LIMIT (option limit) = \"13\" is an unlucky number"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        char *variables[] = {(char *)bad[i][0], "TEST_MEMBERS=a", NULL};
        cr_assert_eq(load(&loaded, NULL, variables), 1, "%s: %s", bad[i][0], loaded.options.errors);
        cr_assert_neq(strstr(loaded.options.errors, bad[i][1]), NULL, "%s: %s", bad[i][0],
                      loaded.options.errors);
    }
}

Test(options, mistakes_in_a_file_are_all_reported_with_their_lines) {
    struct loaded loaded;
    char *environment[] = {NULL};
    const char *file = "linger = 5.5;\n"         /* 1 */
                       "term: {\n"               /* 2 */
                       "  lenght = \"64k\";\n"   /* 3 */
                       "  net: { mtu = 63; };\n" /* 4 */
                       "};\n"                    /* 5 */
                       "store_length = 5000000000; /* over 31 bits */\n"
                       "limit = [1, 2];\n"     /* 7 */
                       "profile = \"fast\";\n" /* 8 */
                       "dir: { a = 1; };\n"    /* 9 */
                       "members = \"\";";      /* 10 */
    static const char *const expected[] = {
        ":1: linger = \"5.5\" is not a duration",
        ":3: unknown key \"term.lenght\"; the nearest is \"term.length\"",
        ":4: term.net.mtu = \"63\" is out of range; allowed: 64..65504, a multiple of 32",
        ":6: the integer 5000000000 needs a suffix",
        ":7: limit: is not a value",
        ":8: profile = \"fast\" is unknown; allowed: lowcpu, lowlatency",
        ":9: dir: is not a value",
        ":10: members = \"\" must not be empty",
    };
    int errors = load(&loaded, file, environment);
    cr_assert_eq(errors, ARRAY_COUNT(expected), "%s", loaded.options.errors);
    for (size_t i = 0; i < ARRAY_COUNT(expected); i++) {
        cr_assert_neq(strstr(loaded.options.errors, expected[i]), NULL, "missing %s in\n%s",
                      expected[i], loaded.options.errors);
    }
    cr_assert_eq(loaded.conf.term_length, 16 << 20); /* defaults stand */
    unload(&loaded);

    static const char *const broken[][2] = {
        {"limit = 1;\nlimit = 2;", ":2: "},
        {"limit = 1\n\nterm: {", ":3: "},
        {"# c\n@include \"other.conf\"", ":2: @include is not supported"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(broken); i++) {
        cr_assert_eq(load(&loaded, broken[i][0], ENVIRONMENT("A=B")), 1, "%s",
                     loaded.options.errors);
        cr_assert_neq(strstr(loaded.options.errors, broken[i][1]), NULL, "%s",
                      loaded.options.errors);
        unload(&loaded);
    }
    struct option_table table = make_table();
    cr_assert_eq(options_load(&loaded.options, &table, &loaded.conf, "/nonexistent/x.conf",
                              ENVIRONMENT("A=B")),
                 1);
    cr_assert_str_eq(loaded.options.errors,
                     "/nonexistent/x.conf: cannot be opened: No such file or directory\n");
    cr_assert_eq(load(&loaded, NULL, environment), 1);
    cr_assert_str_eq(loaded.options.errors, "sampled: members is required: set it in the file or "
                                            "by TEST_MEMBERS\n");
}

Test(options, what_is_inside_strings_and_comments_is_not_taken_for_a_number) {
    struct loaded loaded;
    const char *file = "# 5000000000\n// 5000000000\n/* 5000000000\n 5000000000 */\n"
                       "members = \"5000000000 \\\" 5000000000\"; limit = 0x7fffffff;";
    cr_assert_eq(load(&loaded, file, ENVIRONMENT("A=B")), 0, "%s", loaded.options.errors);
    cr_assert_eq(loaded.conf.limit, INT32_MAX);
    unload(&loaded);
}

static void print(char **text, void (*printer)(const void *, FILE *), const void *argument) {
    size_t length;
    FILE *out = open_memstream(text, &length);
    printer(argument, out);
    cr_assert_eq(fclose(out), 0);
}

static void print_options(const void *options, FILE *out) {
    options_print(options, out);
}

static void print_sample(const void *table, FILE *out) {
    options_print_sample(table, out);
}

static void print_man(const void *table, FILE *out) {
    options_print_man(table, out);
}

Test(options, the_printed_configuration_is_a_conf_with_the_same_values) {
    struct loaded first;
    struct loaded second;
    char *text;
    const char *file = "dir = \"/a \\\"b\\\" \\\\c\"; store_length = \"5g\";\nlinger = \"90s\";";
    cr_assert_eq(load(&first, file, ENVIRONMENT("AERON_MTU_LENGTH=9216")), 0);
    print(&text, print_options, &first.options);
    cr_assert_neq(strstr(text, "mtu = \"9k\"; # environment AERON_MTU_LENGTH\n"), NULL, "%s", text);
    cr_assert_neq(strstr(text, ":2\n"), NULL, "%s", text);
    cr_assert_neq(strstr(text, "# default\n"), NULL);
    char *nothing[] = {NULL};
    cr_assert_eq(load(&second, text, nothing), 0, "%s\n%s", second.options.errors, text);
    cr_assert_str_eq(second.conf.dir, "/a \"b\" \\c");
    cr_assert_eq(memcmp(&first.conf, &second.conf, sizeof first.conf), 0);
    free(text);
    unload(&first);
    unload(&second);
}

/* Remove the '#' before every assignment, as a user would. */
static void uncomment(char *text) {
    for (char *line = text; line != NULL; line = strchr(line + 1, '\n')) {
        char *hash = line + strspn(line, "\n ");
        if (hash[0] == '#' && hash[1] != ' ' && hash[1] != '\n') {
            hash[0] = ' ';
        }
    }
}

Test(options, the_sample_conf_is_valid_as_it_is_and_with_every_line_in_force) {
    struct loaded loaded;
    struct option_table table = make_table();
    char *text;
    print(&text, print_sample, &table);
    cr_assert_eq(load(&loaded, text, ENVIRONMENT("A=B")), 0, "%s", loaded.options.errors);
    unload(&loaded);
    cr_assert_neq(strstr(text, "#store_length = \"1g\";"), NULL, "%s", text);
    uncomment(text);
    cr_assert_eq(load(&loaded, text, ENVIRONMENT("A=B")), 0, "%s\n%s", loaded.options.errors, text);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        bool is_from_file = loaded.options.origins[i].kind == ORIGIN_FILE;
        bool is_exception = option_is_refused(&rows[i]) || strcmp(rows[i].key, "members") == 0;
        cr_assert_neq(is_from_file, is_exception, "%s", rows[i].key);
    }
    free(text);
    unload(&loaded);

    print(&text, print_man, &table);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        cr_assert(rows[i].env == NULL || strstr(text, rows[i].env) != NULL, "%s", rows[i].env);
    }
    cr_assert_neq(strstr(text, "TEST_LINGER, TEST_LINGER_OLD"), NULL);
    free(text);
}

Test(options, a_list_is_walked_item_by_item) {
    const char *cursor = " a:1, b ,,c";
    char items[64] = "";
    char item[16];
    while (option_list_next(&cursor, item, sizeof item)) {
        strcat(items, "[");
        strcat(items, item);
        strcat(items, "]");
    }
    cr_assert_str_eq(items, "[a:1][b][c]");
}

Test(options, versions_are_three_bytes) {
    struct {
        const char *text;
        int32_t version;
    } cases[] = {{"0.0.1", 1},   {"1.2.3", 0x10203}, {"255.255.255", 0xffffff},
                 {"", -1},       {"1.2", -1},        {"1.2.256", -1},
                 {"1.2.3x", -1}, {"-1.2.3", -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cr_assert_eq(option_parse_version(cases[i].text), cases[i].version, "%s", cases[i].text);
    }
}
