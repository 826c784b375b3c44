/* The check and the compaction of a store that no daemon has, when something fails on the way. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "support.h"

struct report {
    unsigned lines;
    bool is_cut;      // a line was longer than told
    bool has_control; // bytes, or others that are no printable ASCII
};

static void note(void *arg, const char *line)
{
    struct report *report = arg;
    report->lines++;
    report->is_cut = report->is_cut || strlen(line) >= 1024;
    for (; *line != '\0'; line++)
        report->has_control = report->has_control || *line < 0x20 || *line > 0x7E;
}

static int check(struct fixture *fixture, struct report *report, struct error *error)
{
    struct store_check_result result = {0};
    int r = store_check(fixture->path, note, report, &result, error);
    if (r == 0)
        assert_int_equal(result.faults, 0);
    return r;
}

static void made(struct fixture *fixture)
{
    open_store(fixture);
    (void)put_many(fixture, "a", 50);
    close_store(fixture);
}

static void a_check_tells_a_line_for_each_question(void **state)
{
    struct fixture *fixture = *state;
    struct report report = {0};
    struct error error = {0};
    struct store_check_result result = {0};
    made(fixture);
    assert_int_equal(store_check(fixture->path, note, &report, &result, &error), 0);
    assert_int_equal(report.lines, result.checks);
    assert_int_equal(result.tasks, 50);
    assert_int_equal(result.version, 2);

    change_file(fixture, "UPDATE tasks SET state = 9");
    report.lines = 0;
    assert_int_equal(store_check(fixture->path, note, &report, &result, &error), 0);
    // 50 states, and one count; the first ten are shown, and how many more there are.
    assert_int_equal(result.faults, 51);
    assert_int_equal(report.lines, result.checks - 1 + 11);
}

static void a_line_of_a_damaged_file_is_cut_and_has_no_control_bytes(void **state)
{
    struct fixture *fixture = *state;
    struct report report = {0};
    struct error error = {0};
    struct store_check_result result = {0};
    made(fixture);
    change_file(fixture, "UPDATE tasks SET state = char(27, 10, 155) || printf('%05000d', 1) "
                         "WHERE id = 1");
    assert_int_equal(store_check(fixture->path, note, &report, &result, &error), 0);
    assert_int_equal(result.faults, 2);
    assert_false(report.is_cut);
    assert_false(report.has_control);
}

static void a_table_that_can_not_be_read_is_told_once(void **state)
{
    struct fixture *fixture = *state;
    struct report report = {0};
    struct error error = {0};
    struct store_check_result sound = {0};
    struct store_check_result result = {0};
    made(fixture);
    assert_int_equal(store_check(fixture->path, note, &report, &sound, &error), 0);
    change_file(fixture, "DROP TABLE large_results");
    assert_int_equal(store_check(fixture->path, note, &report, &result, &error), 0);
    assert_int_equal(result.checks, sound.checks);
    assert_int_equal(result.faults, 4); // its table, the values, and two questions
}

static void a_compaction_that_fails_leaves_the_store_as_it_was(void **state)
{
    static const enum fault_call calls[] = {FAULT_OPEN, FAULT_FSYNC};
    struct fixture *fixture = *state;
    struct store_compaction compaction;
    struct error error = {0};
    unsigned failures = 0;
    made(fixture);
    for (size_t i = 0; i < 2; i++) {
        for (int nth = 1;; nth++) {
            fault_fail(calls[i], nth, EIO);
            int r = store_compact(fixture->path, &compaction, &error);
            if (!fault_reached()) {
                assert_int_equal(r, 0);
                break;
            }
            assert_int_equal(r, -EIO);
            failures++;
            assert_int_equal(access(beside_store(fixture, "compact.part"), F_OK), -1);
            struct report report = {0};
            assert_int_equal(check(fixture, &report, &error), 0);
        }
    }
    assert_true(failures >= 5); // lock, copy, folder; copy, folder
    fault_file_system(0, 1 << 16);
    assert_int_equal(store_compact(fixture->path, &compaction, &error), -ENOSPC);
    fault_reset();
    assert_non_null(strstr(error.text, "make room there"));
    open_store(fixture);
    assert_int_equal(put_many(fixture, "a", 1), 51);
}

static void the_owner_is_who_may(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};
    assert_int_equal(store_become_owner(fixture->path, &error), -ENOENT);
    made(fixture);
    assert_int_equal(store_become_owner(fixture->path, &error), 0); // is already
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define CARE_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        CARE_TEST(a_check_tells_a_line_for_each_question),
        CARE_TEST(a_line_of_a_damaged_file_is_cut_and_has_no_control_bytes),
        CARE_TEST(a_table_that_can_not_be_read_is_told_once),
        CARE_TEST(a_compaction_that_fails_leaves_the_store_as_it_was),
        CARE_TEST(the_owner_is_who_may),
    };
    return cmocka_run_group_tests_name("care", tests, NULL, NULL);
}
