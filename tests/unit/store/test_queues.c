/* Queues that a store gets by their first use. */
#include <stdio.h>
#include <string.h>

#include "fault_vfs.h"
#include "support.h"

static int queues_teardown(void **state)
{
    (void)fault_memory_reset();
    return store_teardown(state);
}

/* A store whose queues have a gap in their numbers would not open again. */
static void a_queue_whose_first_put_fails_leaves_no_gap(void **state)
{
    struct fixture *fixture = *state;
    unsigned refusals = 0;
    char name[16];

    for (int nth = 1; nth < 40; nth++) {
        (void)snprintf(name, sizeof(name), "q%d", nth);
        struct record *record = new_record(name, "k", "1");
        struct store_op op = {.type = STORE_PUT, .put.records = &record, .put.count = 1};
        fault_memory_fail_from(nth); // else it is tried once more, and done
        int r = run_op(fixture, &op);
        refusals += r < 0;
        (void)fault_memory_reset();
        record_free(record);
    }
    assert_true(refusals > 0 && refusals < 39);

    close_store(fixture);
    open_store(fixture);

    check_counts(fixture);
    assert_int_equal(query(fixture, "SELECT max(number) - count(*) FROM queues"), 0);
    // Those that were refused can be used.
    (void)put_many(fixture, "q1", 1);
    close_store(fixture);
    open_store(fixture);
    check_counts(fixture);
}

int main(void)
{
    fault_memory_install(); // before anything of SQLite runs
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_queue_whose_first_put_fails_leaves_no_gap, store_setup,
                                        queues_teardown),
    };
    return cmocka_run_group_tests_name("queues", tests, NULL, NULL);
}
