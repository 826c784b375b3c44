/* Recovery: what a daemon that died left in the file, in the slots, and in the process table. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/units.h"
#include "support.h"

/* Kinds: "again" is retried, "once" fails, "gone" is not configured. */
static bool by_kind(void *arg, const char *kind, struct store_interruption_policy *ret_policy)
{
    (void)arg;
    *ret_policy = (struct store_interruption_policy){.retry = strcmp(kind, "again") == 0,
                                                     .max_interruptions = 3};
    return strcmp(kind, "gone") != 0;
}

/* Ends the store without the ends of what runs, and opens it anew. */
static struct store_recovery die_and_recover(struct fixture *fixture)
{
    struct store_recovery recovery = {0};
    struct error error = {0};
    close_store(fixture);
    if (try_open(fixture, &error) < 0)
        fail_msg("%s", error.text);
    if (store_recover(fixture->store, by_kind, NULL, &recovery, &error) < 0)
        fail_msg("%s", error.text);
    assert_int_equal(store_start(fixture->store, &error), 0);
    return recovery;
}

/* A task whose slot says that its next run is under way. */
static uint64_t run_in_slot(struct fixture *fixture, const char *kind)
{
    struct slot *slot = NULL;
    uint64_t id = put_one(fixture, new_record("a", kind, NULL));
    assert_int_equal(slots_take(store_slots(fixture->store), &slot), 0);
    slot_set(slot, id, 1);
    return id;
}

static uint64_t run_on_disk(struct fixture *fixture, const char *kind)
{
    uint64_t id = put_one(fixture, new_record("a", kind, NULL));
    assert_int_equal(start(fixture, id), 0);
    return id;
}

static void check_task(struct fixture *fixture, uint64_t id, enum task_state state,
                       unsigned interruptions, const char *code)
{
    struct record *record = get(fixture, id, NULL);
    assert_non_null(record);
    assert_int_equal(record->state, state);
    assert_int_equal(record->interruptions, interruptions);
    assert_string_equal(record->error_code, code);
    assert_int_equal(record->attempt, 0); // an interruption takes none
    record_free(record);
}

static void what_ran_is_interrupted_as_its_kind_says(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ids[] = {run_in_slot(fixture, "again"), run_in_slot(fixture, "once"),
                      run_in_slot(fixture, "gone"),  run_on_disk(fixture, "again"),
                      run_on_disk(fixture, "once"),  run_on_disk(fixture, "gone")};
    uint64_t waiting = put_one(fixture, new_record("a", "again", NULL));

    struct store_recovery recovery = die_and_recover(fixture);

    assert_int_equal(recovery.interrupted, 6);
    assert_int_equal(recovery.requeued, 4);
    assert_int_equal(recovery.failed, 2);
    assert_int_equal(recovery.poisoned, 0);
    for (int i = 0; i < 6; i += 3) {
        check_task(fixture, ids[i], TASK_QUEUED, 1, "");
        check_task(fixture, ids[i + 1], TASK_FAILED, 1, "interrupted");
        check_task(fixture, ids[i + 2], TASK_QUEUED, 1, "");
    }
    check_task(fixture, waiting, TASK_QUEUED, 0, "");
    struct record *record = get(fixture, ids[1], NULL);
    assert_int_equal(record->run, 1);
    assert_true(record->finished_at_ms > 0);
    assert_non_null(record->error_message.bytes);
    record_free(record);
    check_counts(fixture);
}

static void the_same_slot_counts_once(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = run_in_slot(fixture, "again");
    struct store_recovery recovery = die_and_recover(fixture);
    assert_int_equal(recovery.interrupted, 1);
    recovery = die_and_recover(fixture);
    assert_int_equal(recovery.interrupted, 0);

    // Also when the slots could not be cleared after the count: the run is stored.
    struct slot *slot = NULL;
    assert_int_equal(slots_take(store_slots(fixture->store), &slot), 0);
    slot_set(slot, id, 1);
    recovery = die_and_recover(fixture);
    assert_int_equal(recovery.interrupted, 0);
    check_task(fixture, id, TASK_QUEUED, 1, "");
}

static void a_task_that_has_ended_is_not_interrupted(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = run_in_slot(fixture, "again");
    assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
    uint64_t removed = run_in_slot(fixture, "again");
    assert_int_equal(finish(fixture, removed, TASK_SUCCEEDED), 0);
    assert_int_equal(one(fixture, STORE_DELETE, removed, NULL), 0);
    struct store_recovery recovery = die_and_recover(fixture);
    assert_int_equal(recovery.interrupted, 0);
    assert_int_equal(state_of(fixture, id), TASK_SUCCEEDED);
}

static void a_task_that_kills_the_daemon_ends_as_poison(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_one(fixture, new_record("a", "again", NULL));
    struct store_recovery recovery = {0};
    for (uint64_t run = 1; run <= 4; run++) {
        struct slot *slot = NULL;
        assert_int_equal(state_of(fixture, id), TASK_QUEUED);
        assert_int_equal(slots_take(store_slots(fixture->store), &slot), 0);
        slot_set(slot, id, run);
        recovery = die_and_recover(fixture);
        assert_int_equal(recovery.interrupted, 1);
    }
    assert_int_equal(recovery.poisoned, 1);
    check_task(fixture, id, TASK_FAILED, 4, "poison");
    check_counts(fixture);
}

static void a_recorded_cancel_wins_over_the_interruption(void **state)
{
    struct fixture *fixture = *state;
    uint64_t ids[2] = {run_in_slot(fixture, "once"), run_on_disk(fixture, "again")};
    fixture->withdraw_result = -EBUSY;
    for (int i = 0; i < 2; i++)
        assert_int_equal(one(fixture, STORE_CANCEL, ids[i], NULL), 0);
    struct store_recovery recovery = die_and_recover(fixture);
    assert_int_equal(recovery.cancelled, 2);
    for (int i = 0; i < 2; i++)
        check_task(fixture, ids[i], TASK_CANCELLED, 1, "cancelled");
    check_counts(fixture);
}

static void held_tasks_are_released_when_their_kind_is_back(void **state)
{
    struct fixture *fixture = *state;
    static const char *const kinds[] = {"again", "gone", "once", "again"};
    uint64_t ids[4];
    for (int i = 0; i < 4; i++) {
        ids[i] = put_one(fixture, new_record(i == 3 ? "b" : "a", kinds[i], NULL));
        struct store_op hold = {.type = STORE_HOLD, .hold.id = ids[i]};
        assert_int_equal(run_op(fixture, &hold), 0);
    }
    struct store_recovery recovery = die_and_recover(fixture);
    assert_int_equal(recovery.released, 3);
    for (int i = 0; i < 4; i++)
        assert_int_equal(state_of(fixture, ids[i]), i == 1 ? TASK_HELD : TASK_QUEUED);
    check_counts(fixture);
}

// Leftovers. A child leads a group of its own and starts a grandchild in it; both live until they
// are killed.

struct leftover {
    pid_t leader;
    int alive; // readable, with end-of-file, once all of the group are gone
};

static struct leftover new_leftover(void)
{
    int pipes[2];
    char byte = 0;
    assert_int_equal(pipe(pipes), 0);
    pid_t leader = fork();
    assert_true(leader >= 0);
    if (leader == 0) {
        (void)close(pipes[0]);
        (void)setpgid(0, 0);
        if (fork() != 0)
            (void)!write(pipes[1], "x", 1);
        for (;;)
            (void)pause();
    }
    (void)close(pipes[1]);
    assert_int_equal(read(pipes[0], &byte, 1), 1); // its group is made
    return (struct leftover){.leader = leader, .alive = pipes[0]};
}

static uint64_t start_time_of(pid_t pid)
{
    char path[64];
    char text[1024];
    uint64_t time = 0;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file));
    (void)fclose(file);
    char *rest = strrchr(text, ')') + 2;
    for (int field = 3; field < 22; field++)
        (void)strsep(&rest, " ");
    assert_int_equal(units_unsigned(strsep(&rest, " "), UINT64_MAX, &time), 0);
    return time;
}

static void leave_process(struct fixture *fixture, pid_t pid, uint64_t start_time)
{
    struct slot *slot = NULL;
    uint64_t id = put_one(fixture, new_record("a", "again", NULL));
    assert_int_equal(slots_take(store_slots(fixture->store), &slot), 0);
    slot_set(slot, id, 1);
    atomic_store(&slot->pid, pid);
    atomic_store(&slot->start_time, start_time);
}

static bool is_alive(struct leftover *leftover)
{
    char byte = 0;
    assert_int_equal(fcntl(leftover->alive, F_SETFL, O_NONBLOCK), 0);
    return read(leftover->alive, &byte, 1) != 0; // 0: end-of-file
}

static void reap(struct leftover *leftover)
{
    (void)kill(-leftover->leader, SIGKILL);
    assert_int_equal(waitpid(leftover->leader, NULL, 0), leftover->leader);
    (void)close(leftover->alive);
}

static void a_group_that_was_left_running_is_killed_before_anything_starts(void **state)
{
    struct fixture *fixture = *state;
    struct leftover leftover = new_leftover();
    open_store(fixture);
    leave_process(fixture, leftover.leader, start_time_of(leftover.leader));

    (void)die_and_recover(fixture);

    assert_false(is_alive(&leftover)); // the leader is a zombie now, which counts as gone
    reap(&leftover);
}

static void what_a_dead_leader_left_is_killed_too(void **state)
{
    struct fixture *fixture = *state;
    struct leftover leftover = new_leftover();
    uint64_t start_time = start_time_of(leftover.leader);
    assert_int_equal(kill(leftover.leader, SIGKILL), 0);
    assert_int_equal(waitpid(leftover.leader, NULL, 0), leftover.leader);
    assert_true(is_alive(&leftover)); // the grandchild
    open_store(fixture);
    leave_process(fixture, leftover.leader, start_time);

    (void)die_and_recover(fixture);

    assert_false(is_alive(&leftover));
    (void)close(leftover.alive);
}

static void a_process_that_only_has_the_same_number_is_left_alone(void **state)
{
    struct fixture *fixture = *state;
    struct leftover leftover = new_leftover();
    open_store(fixture);
    leave_process(fixture, leftover.leader, start_time_of(leftover.leader) + 1);
    (void)die_and_recover(fixture);
    assert_true(is_alive(&leftover));
    reap(&leftover);
}

static void a_child_whose_start_time_was_not_written_yet_is_known_by_its_group(void **state)
{
    struct fixture *fixture = *state;
    struct leftover leftover = new_leftover();
    int status = 0;
    open_store(fixture);
    leave_process(fixture, leftover.leader, 0);
    // Neither this process's own group nor the numbers that mean other groups.
    leave_process(fixture, getpgrp(), 0);
    leave_process(fixture, 1, 0);
    leave_process(fixture, -1, 0);
    close_store(fixture);

    pid_t daemon = fork(); // one that is younger than the leftover, as the next daemon is
    assert_true(daemon >= 0);
    if (daemon == 0) {
        struct error error;
        _exit(try_open(fixture, &error) == 0 ? 0 : 1);
    }
    assert_int_equal(waitpid(daemon, &status, 0), daemon);

    assert_int_equal(status, 0);
    assert_false(is_alive(&leftover));
    reap(&leftover);
}

int main(void)
{
    // Orphans come to this process, not to an init that may be slow to reap them.
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1);
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
#define FOLDER_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        STORE_TEST(what_ran_is_interrupted_as_its_kind_says),
        STORE_TEST(the_same_slot_counts_once),
        STORE_TEST(a_task_that_has_ended_is_not_interrupted),
        STORE_TEST(a_task_that_kills_the_daemon_ends_as_poison),
        STORE_TEST(a_recorded_cancel_wins_over_the_interruption),
        STORE_TEST(held_tasks_are_released_when_their_kind_is_back),
        FOLDER_TEST(a_group_that_was_left_running_is_killed_before_anything_starts),
        FOLDER_TEST(what_a_dead_leader_left_is_killed_too),
        FOLDER_TEST(a_process_that_only_has_the_same_number_is_left_alone),
        FOLDER_TEST(a_child_whose_start_time_was_not_written_yet_is_known_by_its_group),
    };
    return cmocka_run_group_tests_name("recover", tests, NULL, NULL);
}
