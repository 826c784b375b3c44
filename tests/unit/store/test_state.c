/* The table of states. */
#include <errno.h>
#include <string.h>

#include "store/state.h"
#include "unit.h"

static void every_name_is_parsed_back(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++) {
        enum task_state parsed = TASK_STATE_COUNT;
        assert_int_equal(task_state_parse(task_state_name((enum task_state)i), &parsed), 0);
        assert_int_equal(parsed, i);
    }
}

static void an_unknown_name_is_refused_and_changes_nothing(void **state)
{
    enum task_state parsed = TASK_HELD;
    (void)state;
    assert_int_equal(task_state_parse("canceled", &parsed), -EINVAL);
    assert_int_equal(task_state_parse("", &parsed), -EINVAL);
    assert_int_equal(parsed, TASK_HELD);
}

static void the_stored_numbers_are_frozen(void **state)
{
    (void)state;
    assert_int_equal(TASK_SCHEDULED, 0);
    assert_int_equal(TASK_QUEUED, 1);
    assert_int_equal(TASK_RETRYING, 2);
    assert_int_equal(TASK_RUNNING, 3);
    assert_int_equal(TASK_SUCCEEDED, 4);
    assert_int_equal(TASK_FAILED, 5);
    assert_int_equal(TASK_CANCELLED, 6);
    assert_int_equal(TASK_HELD, 7);
}

static void states_are_waiting_running_or_final(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++) {
        enum task_state it = (enum task_state)i;
        int sorts = task_state_is_waiting(it) + (it == TASK_RUNNING) + task_state_is_final(it);
        assert_int_equal(sorts, 1);
    }
    assert_true(task_state_is_waiting(TASK_HELD));
    assert_true(task_state_is_final(TASK_CANCELLED));
}

static void only_the_legal_moves_are_allowed(void **state)
{
    // From each state: the states that it may become, as the design lists them.
    static const char *const legal[TASK_STATE_COUNT] = {
        [TASK_SCHEDULED] = "queued cancelled held",
        [TASK_QUEUED] = "running cancelled held scheduled",
        [TASK_RETRYING] = "queued cancelled held scheduled",
        [TASK_RUNNING] = "succeeded failed cancelled retrying queued",
        [TASK_SUCCEEDED] = "",
        [TASK_FAILED] = "queued",
        [TASK_CANCELLED] = "queued",
        [TASK_HELD] = "queued cancelled scheduled",
    };
    (void)state;
    for (unsigned from = 0; from < TASK_STATE_COUNT; from++)
        for (unsigned to = 0; to < TASK_STATE_COUNT; to++) {
            bool wanted = strstr(legal[from], task_state_name((enum task_state)to)) != NULL;
            assert_int_equal(task_state_may_become((enum task_state)from, (enum task_state)to),
                             wanted);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_name_is_parsed_back),
        cmocka_unit_test(an_unknown_name_is_refused_and_changes_nothing),
        cmocka_unit_test(the_stored_numbers_are_frozen),
        cmocka_unit_test(states_are_waiting_running_or_final),
        cmocka_unit_test(only_the_legal_moves_are_allowed),
    };
    return cmocka_run_group_tests_name("state", tests, NULL, NULL);
}
