#include <criterion/criterion.h>

#include "sim/check_stream.h"

/* Messages at 0, 64, 128 and, behind the padding of a term, 256; an image that joined at 64. */
static struct check_stream make(void) {
    struct check_stream check = {0};
    struct tern_error problem;
    check_stream_on_publication(&check, 7, 1, 0);
    check_stream_on_offer(&check, 0, 0, 64);
    check_stream_on_offer(&check, 0, 64, 128);
    check_stream_on_offer(&check, 0, 128, 192);
    check_stream_on_offer(&check, 0, 256, 320);
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
    check_stream_on_offer(&check, 0, far - 64, far);
    cr_assert(check_stream_on_image(&check, 0, far - 64, &problem));
    cr_assert(gets(&check, 4, far));
    check_stream_on_subscriber(&check);
    cr_assert(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX, &problem));
    cr_assert_not(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX - 32, &problem));
    check_stream_close(&check);
}

Test(check_stream, each_publication_is_checked_by_itself) {
    struct tern_error problem;
    struct check_stream check = make();
    check_stream_on_publication(&check, 7, 2, 1);
    cr_assert_eq(check_stream_find(&check, 7, 2), 1);
    cr_assert_eq(check.publications[1].source, 1);
    check_stream_on_offer(&check, 1, 0, 96);
    check_stream_on_offer(&check, 0, 320, 416);
    cr_assert(check_stream_on_image(&check, 1, 0, &problem));
    cr_assert(check_stream_on_message(&check, 1, 0, 96, &problem));
    cr_assert(gets(&check, 1, 128), "the other one is where it was");
    cr_assert_not(check_stream_on_message(&check, 1, 4, 416, &problem), "of the other one");
    check_stream_close(&check);
}

Test(check_stream, a_stream_ends_behind_its_last_message) {
    struct tern_error problem;
    struct check_stream check = make();
    cr_assert(check_stream_on_end(&check, 0, 320, &problem));
    cr_assert(check_stream_on_end(&check, 0, 352, &problem), "padding");
    cr_assert_not(check_stream_on_end(&check, 0, 192, &problem));
    check_stream_on_publication(&check, 8, 1, 0);
    cr_assert(check_stream_on_end(&check, 1, 0, &problem), "nothing was published");
    check_stream_close(&check);
}

Test(check_stream, who_has_all_there_is_is_level) {
    struct tern_error problem;
    struct check_stream check = make();
    check_stream_on_publication(&check, 8, 1, 0);
    cr_assert_not(check_stream_is_level(&check, 1, 0), "nothing was published");
    cr_assert(gets(&check, 1, 128));
    cr_assert(gets(&check, 2, 192));
    cr_assert_not(check_stream_is_level(&check, 0, 320));
    cr_assert(gets(&check, 3, 320));
    cr_assert(check_stream_is_level(&check, 0, 0));
    cr_assert(check_stream_on_image(&check, 0, 320, &problem));
    cr_assert(check_stream_is_level(&check, 0, 0), "an image that joined at the end");
    check_stream_on_subscriber(&check);
    cr_assert_not(check_stream_is_level(&check, 0, 0), "a new subscriber has no image");
    check.is_lossy = true;
    cr_assert_not(check_stream_is_level(&check, 0, 192));
    cr_assert(check_stream_is_level(&check, 0, 320));
    check_stream_close(&check);
}

Test(check_stream, an_image_of_another_source_may_go_back_and_is_in_order) {
    struct tern_error problem;
    struct check_stream check = make();
    check.may_go_back = true;
    cr_assert(gets(&check, 1, 128));
    cr_assert(gets(&check, 2, 192));
    cr_assert(check_stream_on_image(&check, 0, 0, &problem));
    cr_assert_not(gets(&check, 1, 128), "the first one is missing");
    cr_assert(gets(&check, 0, 64));
    cr_assert(gets(&check, 1, 128));
    cr_assert_not(gets(&check, 1, 128), "again");
    cr_assert_not(gets(&check, 3, 320), "behind a gap");
    check_stream_close(&check);
}

Test(check_stream, a_spy_joins_again_at_most_a_term_before_what_it_consumed) {
    struct tern_error problem;
    struct check_stream check = make();
    const int64_t far = 320 + 2 * CHECK_STREAM_LAG_MAX;
    check.is_spy = true;
    check_stream_on_offer(&check, 0, far - 64, far);
    cr_assert(check_stream_on_image(&check, 0, far - 64, &problem));
    cr_assert(gets(&check, 4, far));
    cr_assert(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX, &problem));
    cr_assert_not(check_stream_on_image(&check, 0, far - CHECK_STREAM_LAG_MAX - 32, &problem));
    check_stream_close(&check);
}
