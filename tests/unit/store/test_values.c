/* Values in the file that no daemon writes: each is met where it is read, and ends what reads it
 * with "damaged" before anything is done by it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "store/check.h"
#include "support.h"

enum { EXIT_DAMAGED = 65, HUNG_S = 30 };

static void note(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

typedef void step_fn(struct fixture *fixture);

/* How a process ends that opens the store and does the step. */
static int end_of(struct fixture *fixture, step_fn *step)
{
    int status = 0;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) {
        (void)alarm(HUNG_S); // what never ends is a failure too
        open_store(fixture);
        step(fixture);
        close_store(fixture);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void read_it(struct fixture *fixture)
{
    record_free(get(fixture, 1, NULL));
}

static void list_it(struct fixture *fixture)
{
    struct store_read read = {.type = STORE_LIST, .list.limit = 10};
    int r = run_read(fixture, &read);
    if (r == 0)
        records_free(read.list.rows, read.list.count);
}

static void cancel_it(struct fixture *fixture)
{
    (void)one(fixture, STORE_CANCEL, 1, NULL);
}

static void finish_it(struct fixture *fixture)
{
    (void)finish(fixture, 1, TASK_SUCCEEDED);
}

static void ask_its_age(struct fixture *fixture)
{
    struct store_read read = {.type = STORE_QUEUE_AGE, .age.queue = "a"};
    (void)run_read(fixture, &read);
}

static void look_up_its_key(struct fixture *fixture)
{
    struct store_read read = {.type = STORE_KEY, .key.text = "k"};
    (void)run_read(fixture, &read);
}

static void sweep_keys(struct fixture *fixture)
{
    static const struct store_retention retention = {.keep_count = 1000000};
    struct store_op sweep = {.type = STORE_SWEEP,
                             .now_ms = rn_wall_ms() + 3600 * 1000,
                             .sweep = {.retention = &retention, .limit = 10}};
    (void)run_op(fixture, &sweep);
}

static void put_large(struct fixture *fixture)
{
    struct record *record = new_record("a", "k", NULL);
    char *args = malloc(3000);
    assert_non_null(args);
    memset(args, '1', 3000);
    assert_int_equal(text_set(&record->args, args, 3000), 0);
    free(args);
    (void)put_one(fixture, record);
}

static void make_one(struct fixture *fixture)
{
    static const char files[][8] = {"wal", "shm", "running"};
    (void)unlink(fixture->path);
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
        (void)unlink(beside_store(fixture, files[i]));
    open_store(fixture);
    (void)put_many(fixture, "a", 1);
    close_store(fixture);
}

static const char *const values[] = {"priority = 101",
                                     "priority = -2147483648",
                                     "priority = 4294967296",
                                     "run = -1",
                                     "run = 'often'",
                                     "attempt = 4294967297",
                                     "attempt = -1",
                                     "interruptions = 1.5",
                                     "flags = 32",
                                     "flags = x'01'",
                                     "created_at = -1",
                                     "created_at = 9223372036854775807",
                                     "queued_at = -1",
                                     "due_at = -9223372036854775807",
                                     "expires_at = 9223372036854775807",
                                     "started_at = 'now'",
                                     "finished_at = 9223372036855",
                                     "cancel_requested_at = -1",
                                     "worker = 4294967296",
                                     "kind = ''",
                                     "kind = 'a\"b'",
                                     "kind = x'6b'",
                                     "kind = printf('%065d', 1)",
                                     "timeout = 9223372036854775807",
                                     "timeout = -1",
                                     "max_attempts = -1",
                                     "backoff_base = 9223372036854775807",
                                     "backoff_max = -5",
                                     "tags = 'x'",
                                     "tags = '{}'",
                                     "tags = x'5b5d'",
                                     "args = x'31'",
                                     "result = x'31'",
                                     "error_code = printf('%032d', 1)",
                                     "error_code = 'a' || char(0)",
                                     "error_message = x'31'",
                                     "exec = '[]'",
                                     "history = '['",
                                     "history = '{}'",
                                     "traceparent = '00-'",
                                     "traceparent = printf('00-%.52c', 'x')",
                                     "parent = -1",
                                     "links = 101",
                                     "queue = 2",
                                     "queue = 'a'",
                                     "state = 8",
                                     "state = 'queued'"};

static void a_value_that_no_daemon_writes_ends_who_reads_it(void **state)
{
    static step_fn *const steps[] = {read_it, list_it, cancel_it};
    struct fixture *fixture = *state;

    make_one(fixture);
    assert_int_equal(end_of(fixture, read_it), 0);
    assert_int_equal(end_of(fixture, list_it), 0);
    change_file(fixture, "CREATE TABLE kept AS SELECT * FROM tasks");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct store_check_result result;
        struct error error = {0};
        char sql[256];
        (void)snprintf(sql, sizeof(sql),
                       "DELETE FROM tasks; INSERT INTO tasks SELECT * FROM kept;"
                       "UPDATE tasks SET %s",
                       values[i]);
        change_file(fixture, sql);
        int end = end_of(fixture, steps[i % 3]);
        if (end != EXIT_DAMAGED)
            fail_msg("%s: %d", values[i], end);
        assert_int_equal(store_check(fixture->path, note, NULL, &result, &error), 0);
        if (result.faults == 0)
            fail_msg("%s: the check finds nothing", values[i]);
    }
}

static void ids_that_can_not_be_given_are_damage(void **state)
{
    static const char *const changes[] = {
        "UPDATE meta SET value = -1 WHERE name = 'last_id'",
        "UPDATE meta SET value = 'x' WHERE name = 'last_id'",
        "UPDATE meta SET value = 9223372036854775807 WHERE name = 'last_id'",
        "UPDATE meta SET value = 'XYZ4567890123456' WHERE name = 'store_id'",
        "UPDATE tasks SET id = 0",
        "UPDATE tasks SET id = -5",
        "UPDATE tasks SET id = 9007199254740992",
        "UPDATE tasks SET id = 9223372036854775807"};
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct error error = {0};
        make_one(fixture);
        change_file(fixture, changes[i]);
        assert_int_equal(try_open(fixture, &error), -EBADMSG);
    }
}

static void a_store_whose_ids_are_all_given_takes_no_more(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("a", "k", NULL);
    struct store_op put = {.type = STORE_PUT, .put = {.records = &record, .count = 1}};

    make_one(fixture);
    change_file(fixture, "UPDATE meta SET value = 9007199254740991 WHERE name = 'last_id'");
    open_store(fixture);
    assert_int_equal(run_op(fixture, &put), -ENOSPC);
    record_free(record);
    record_free(get(fixture, 1, NULL));
}

static void a_count_below_what_leaves_is_damage(void **state)
{
    struct fixture *fixture = *state;

    make_one(fixture);
    change_file(fixture, "UPDATE queues SET queued = 0");
    assert_int_equal(end_of(fixture, finish_it), EXIT_DAMAGED);
    assert_int_equal(end_of(fixture, cancel_it), EXIT_DAMAGED);
    assert_int_equal(query(fixture, "SELECT queued FROM queues"), 0);
}

static void an_age_that_can_not_be_is_damage(void **state)
{
    struct fixture *fixture = *state;

    make_one(fixture);
    change_file(fixture, "UPDATE tasks SET queued_at = -9223372036854775807");
    assert_int_equal(end_of(fixture, ask_its_age), EXIT_DAMAGED);
}

static void a_key_that_stands_for_more_tasks_than_can_be_is_damage(void **state)
{
    static const char *const changes[] = {"count = 9223372036854775807",
                                          "count = -1",
                                          "count = 100001, last_id = 200000",
                                          "count = 3",
                                          "count = 'x'",
                                          "hash = x'00'",
                                          "hash = printf('%032d', 1)",
                                          "first_id = -1"};
    struct fixture *fixture = *state;

    make_one(fixture);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        char sql[128];
        change_file(fixture, "DELETE FROM keys; INSERT INTO keys "
                             "VALUES('k', 0, zeroblob(32), 1, 2, 2, 1700000000000)");
        assert_int_equal(end_of(fixture, look_up_its_key), 0);
        (void)snprintf(sql, sizeof(sql), "UPDATE keys SET %s", changes[i]);
        change_file(fixture, sql);
        if (end_of(fixture, look_up_its_key) != EXIT_DAMAGED)
            fail_msg("%s", changes[i]);
    }
}

static void a_key_that_can_not_be_removed_ends_the_sweep(void **state)
{
    struct fixture *fixture = *state;

    make_one(fixture);
    change_file(fixture, "INSERT INTO keys "
                         "VALUES(x'6b', 0, zeroblob(32), 1, 1, 1, 1700000000000)");
    assert_int_equal(end_of(fixture, sweep_keys), EXIT_DAMAGED);
}

static void a_held_kind_that_would_be_found_for_ever_is_damage(void **state)
{
    struct fixture *fixture = *state;
    struct store_recovery recovery;
    struct error error = {0};

    make_one(fixture);
    change_file(fixture, "UPDATE tasks SET state = 7, kind = x'6b'; "
                         "UPDATE queues SET held = 1, queued = 0");
    assert_int_equal(try_open(fixture, &error), 0);
    (void)alarm(HUNG_S);
    assert_int_equal(store_recover(fixture->store, retry_thrice, NULL, &recovery, &error),
                     -EBADMSG);
    (void)alarm(0);
}

static void args_that_belong_to_nobody_are_met_as_damage(void **state)
{
    struct fixture *fixture = *state;

    make_one(fixture);
    change_file(fixture, "INSERT INTO large_args VALUES(2, '1')");
    assert_int_equal(end_of(fixture, put_large), EXIT_DAMAGED);
}

static void two_queues_of_one_name_are_damage(void **state)
{
    struct fixture *fixture = *state;
    struct error error = {0};

    make_one(fixture);
    change_file(fixture, "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET "
                         "sql = replace(sql, 'UNIQUE', '') WHERE name = 'queues';"
                         "DELETE FROM sqlite_schema WHERE name LIKE 'sqlite_autoindex_queues%'");
    change_file(fixture, "INSERT INTO queues(number, name) VALUES(2, 'a')");
    assert_int_equal(try_open(fixture, &error), -EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define VALUES_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        VALUES_TEST(a_value_that_no_daemon_writes_ends_who_reads_it),
        VALUES_TEST(ids_that_can_not_be_given_are_damage),
        VALUES_TEST(a_store_whose_ids_are_all_given_takes_no_more),
        VALUES_TEST(a_count_below_what_leaves_is_damage),
        VALUES_TEST(an_age_that_can_not_be_is_damage),
        VALUES_TEST(a_key_that_stands_for_more_tasks_than_can_be_is_damage),
        VALUES_TEST(a_key_that_can_not_be_removed_ends_the_sweep),
        VALUES_TEST(a_held_kind_that_would_be_found_for_ever_is_damage),
        VALUES_TEST(args_that_belong_to_nobody_are_met_as_damage),
        VALUES_TEST(two_queues_of_one_name_are_damage),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
