#include <criterion/criterion.h>

#include <string.h>
#include <unistd.h>

#include "daemon/logger.h"

static int64_t fixed_epoch_ns(void *context) {
    (void)context;
    return INT64_C(1795201680123) * NS_PER_MS; /* 2026-11-20T19:08:00.123Z */
}

static const struct clock fixed_clock = {.epoch_ns = fixed_epoch_ns};

static void read_line(int fd, char *text, size_t size) {
    ssize_t length = read(fd, text, size - 1);
    cr_assert_gt(length, 0);
    text[length] = '\0';
}

Test(logger, a_line_carries_time_name_and_level_or_a_priority_for_the_journal) {
    int ends[2];
    char text[2048];
    struct logger logger;
    cr_assert_eq(pipe(ends), 0);
    logger_init(&logger, "driverd", &fixed_clock, (char *[]){"A=1", NULL});
    cr_assert_eq(logger.fd, STDERR_FILENO);
    logger.fd = ends[1];
    logger_warning(&logger, "port %d in\nuse\t!", 80);
    read_line(ends[0], text, sizeof text);
    cr_assert_str_eq(text, "2026-11-20T19:08:00.123Z driverd warning: port 80 in use !\n");

    logger_init(&logger, "driverd", &fixed_clock, (char *[]){"JOURNAL_STREAM=8:9", NULL});
    logger.fd = ends[1];
    logger_debug(&logger, "dropped: above the level");
    logger_error(&logger, "shown");
    read_line(ends[0], text, sizeof text);
    cr_assert_str_eq(text, "<3>shown\n");

    char big[4000];
    memset(big, 'x', sizeof big);
    big[sizeof big - 1] = '\0';
    logger_info(&logger, "%s", big);
    read_line(ends[0], text, sizeof text);
    cr_assert_eq(strlen(text), 1024);
    cr_assert_eq(text[1023], '\n');
    cr_assert_eq(strchr(text, '\n'), text + 1023);
    cr_assert_eq(close(ends[0]) + close(ends[1]), 0);
}
