#include <criterion/criterion.h>

#include "sim/check_stream.h"

/* Messages at 0, 64, 128 and, behind the padding of a term, 256; an image that joined at 64. */
static struct check_stream make(void) {
    struct check_stream check = {0};
    struct tern_error problem;
    check_stream_on_publication(&check, 7, 1);
    check_stream_on_offer(&check, 0, 64);
    check_stream_on_offer(&check, 64, 128);
    check_stream_on_offer(&check, 128, 192);
    check_stream_on_offer(&check, 256, 320);
    cr_assert_eq(check_stream_find(&check, 7, 1), 0);
    cr_assert_eq(check_stream_find(&check, 7, 2), -1);
    cr_assert(check_stream_on_image(&check, 0, 64, &problem));
    return check;
}

static bool gets(struct check_stream *check, int64_t index, int64_t position) {
    struct tern_error problem;
    return check_stream_on_message(check, 0, index, position, &problem);
}

Test(check_stream, an_image_gives_all_from_where_it_joined) {
    struct check_stream check = make();
    struct tern_error problem;
    cr_assert(gets(&check, 1, 128));
    cr_assert(gets(&check, 2, 192));
    cr_assert(check_stream_on_image(&check, 0, 256, &problem));
    cr_assert(gets(&check, 3, 320));
    check_stream_close(&check);
}

Test(check_stream, gaps_repeats_and_wrong_places_are_caught) {
    static const struct {
        int64_t index;
        int64_t position;
    } wrong[] = {{0, 64}, {1, 128}, {3, 320}, {2, 128}, {4, 384}, {-1, 0}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct check_stream check = make();
        cr_assert(gets(&check, 1, 128));
        cr_assert_not(gets(&check, wrong[i].index, wrong[i].position), "case %d", (int)i);
        check_stream_close(&check);
    }
}

Test(check_stream, what_is_not_reliable_has_gaps_and_nothing_else) {
    struct check_stream check = make();
    check.is_lossy = true;
    cr_assert_not(gets(&check, 0, 64), "it is before the image");
    cr_assert(gets(&check, 2, 192), "the first one is missing");
    cr_assert_not(gets(&check, 1, 128), "it comes too late");
    cr_assert_not(gets(&check, 2, 192), "it comes again");
    cr_assert_not(gets(&check, 3, 384), "it is elsewhere");
    cr_assert(gets(&check, 3, 320));
    check_stream_close(&check);
}

Test(check_stream, an_image_begins_with_its_first_message_and_never_goes_back) {
    struct tern_error problem;
    struct check_stream check = make();
    cr_assert_not(gets(&check, 2, 192), "the first one is missing");
    cr_assert_not(gets(&check, 0, 64), "it is before the image");
    cr_assert(gets(&check, 1, 128));
    cr_assert(check_stream_on_image(&check, 0, 128, &problem));
    cr_assert_not(check_stream_on_image(&check, 0, 64, &problem));
    check_stream_on_subscriber(&check);
    cr_assert(check_stream_on_image(&check, 0, 64, &problem), "a new one has consumed nothing");
    cr_assert(gets(&check, 1, 128));
    const int64_t far = 320 + 2 * CHECK_STREAM_LAG_MAX;
    check_stream_on_offer(&check, far - 64, far);
    cr_assert(check_stream_on_image(&check, 0, far - 64, &problem));
    cr_assert(gets(&check, 4, far));
    check_stream_on_subscriber(&check);
    cr_assert(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX, &problem));
    cr_assert_not(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX - 32, &problem));
    check_stream_close(&check);
}
