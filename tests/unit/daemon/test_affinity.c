#include <criterion/criterion.h>

#include <errno.h>
#include <sched.h>

#include "daemon/affinity.h"

Test(affinity, a_configured_processor_is_the_machines_or_the_nth_of_the_cpuset) {
    struct tern_error error;
    int cpu = 77;
    cr_assert_eq(affinity_resolve(-1, true, &cpu, &error), 0);
    cr_assert_eq(cpu, -1);
    cr_assert_eq(affinity_pin(-1, &error), 0);
    int last = -1;
    for (int i = 0; i < affinity_count(); i++) {
        cr_assert_eq(affinity_resolve(i, true, &cpu, &error), 0, "%s", error.text);
        cr_assert_gt(cpu, last);
        last = cpu;
    }
    cr_assert_eq(affinity_resolve(affinity_count(), true, &cpu, &error), -EINVAL);
    cr_assert_eq(affinity_resolve(CPU_SETSIZE + 1, false, &cpu, &error), -EINVAL);
    cr_assert_neq(strstr(error.text, "may not be used; allowed: "), NULL);

    cr_assert_eq(affinity_pin(last, &error), 0, "%s", error.text);
    cr_assert_eq(affinity_count(), 1);
    cr_assert_eq(affinity_resolve(0, true, &cpu, &error), 0);
    cr_assert_eq(cpu, last); /* the first of what is left */
    cr_assert_eq(affinity_resolve(last, false, &cpu, &error), 0);
    cr_assert_eq(affinity_pin(CPU_SETSIZE, &error), -EINVAL);
}
