/* The running-slot file. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fault.h"
#include "store/slots_file.h"
#include "support.h"

static struct slots *open_file(struct fixture *fixture, const char *store_id)
{
    struct slots *slots = NULL;
    struct error error = {0};
    if (slots_open(beside_store(fixture, "running"), store_id, &slots, &error) < 0)
        fail_msg("%s", error.text);
    return slots;
}

/* Opens, sets one slot with a process, and closes as a daemon that dies. */
static void leave_one(struct fixture *fixture)
{
    struct slot *slot = NULL;
    struct slots *slots = open_file(fixture, "0123456789abcdef");
    assert_int_equal(slots_take(slots, &slot), 0);
    slot_set(slot, 42, 7);
    atomic_store(&slot->pid, 4711);
    atomic_store(&slot->start_time, 99);
    slots_level_set(slots, "mail", 1.5, 1234);
    slots_close(slots);
}

static void what_ran_is_read_by_the_next_daemon(void **state)
{
    struct fixture *fixture = *state;
    size_t count = 0;
    double tokens = 0;
    int64_t at_ms = 0;
    leave_one(fixture);

    struct slots *slots = open_file(fixture, "0123456789abcdef");
    const struct slot_left *left = slots_left(slots, &count);

    assert_int_equal(count, 1);
    assert_int_equal(left[0].task, 42);
    assert_int_equal(left[0].run, 7);
    assert_int_equal(left[0].pid, 4711);
    assert_int_equal(left[0].start_time, 99);
    assert_int_equal(slots_level_get(slots, "mail", &tokens, &at_ms), 0);
    assert_true(tokens > 1.49 && tokens < 1.51);
    assert_int_equal(at_ms, 1234);
    assert_int_equal(slots_level_get(slots, "other", &tokens, &at_ms), -ENOENT);
    slots_forget(slots);
    slots_close(slots);

    slots = open_file(fixture, "0123456789abcdef");
    (void)slots_left(slots, &count);
    assert_int_equal(count, 0);
    slots_close(slots);
}

static void the_file_of_another_store_says_nothing(void **state)
{
    struct fixture *fixture = *state;
    size_t count = 9;
    double tokens = 0;
    int64_t at_ms = 0;
    leave_one(fixture);
    struct slots *slots = open_file(fixture, "fedcba9876543210");
    (void)slots_left(slots, &count);
    assert_int_equal(count, 0);
    assert_int_equal(slots_level_get(slots, "mail", &tokens, &at_ms), -ENOENT);
    slots_close(slots);
}

/* Changes what the head says of the boot: its id begins behind magic and store_id, the time behind
 * the id. */
static void change_boot(struct fixture *fixture, const char *boot_id, int64_t at_s)
{
    int fd = open(beside_store(fixture, "running"), O_RDWR);
    assert_true(fd >= 0);
    char id[40] = "";
    if (boot_id != NULL) {
        memcpy(id, boot_id, strlen(boot_id));
        assert_int_equal(pwrite(fd, id, sizeof(id), 32), sizeof(id));
    }
    assert_int_equal(pwrite(fd, &at_s, sizeof(at_s), 72), sizeof(at_s));
    assert_int_equal(close(fd), 0);
}

static void processes_of_another_boot_are_not_believed_but_tasks_are(void **state)
{
    struct fixture *fixture = *state;
    size_t count = 0;
    leave_one(fixture);
    change_boot(fixture, "00000000-0000-0000-0000-000000000000\n", 1000);
    for (int again = 0; again < 2; again++) { // nor by the daemon after that
        struct slots *slots = open_file(fixture, "0123456789abcdef");
        const struct slot_left *left = slots_left(slots, &count);
        assert_int_equal(count, 1);
        assert_int_equal(left[0].task, 42);
        assert_int_equal(left[0].pid, 0);
        slots_close(slots);
    }
}

static void without_a_boot_id_the_time_of_the_boot_decides(void **state)
{
    struct fixture *fixture = *state;
    size_t count = 0;
    // Long ago, and never.
    static const int64_t times_s[] = {1000, INT64_MIN, INT64_MAX};
    for (size_t i = 0; i < sizeof(times_s) / sizeof(times_s[0]); i++) {
        leave_one(fixture);
        change_boot(fixture, "", times_s[i]);
        struct slots *slots = open_file(fixture, "0123456789abcdef");
        assert_int_equal(slots_left(slots, &count)[0].pid, 0);
        slots_close(slots);
    }
}

static void a_damaged_file_is_made_anew(void **state)
{
    struct fixture *fixture = *state;
    size_t count = 9;
    leave_one(fixture);
    assert_int_equal(truncate(beside_store(fixture, "running"), 5000), 0);
    struct slots *slots = open_file(fixture, "0123456789abcdef");
    (void)slots_left(slots, &count);
    assert_int_equal(count, 0);
    slots_close(slots);
    struct stat status;
    assert_int_equal(stat(beside_store(fixture, "running"), &status), 0);
    // Blocks, not holes.
    assert_true(status.st_blocks * 512 >= status.st_size);
}

static void all_slots_can_be_taken_and_given_back(void **state)
{
    struct fixture *fixture = *state;
    struct slot *taken[SLOTS_COUNT];
    struct slot *one_more = NULL;
    struct slots *slots = open_file(fixture, "0123456789abcdef");
    for (size_t i = 0; i < SLOTS_COUNT; i++) {
        assert_int_equal(slots_take(slots, &taken[i]), 0);
        assert_int_equal(atomic_load(&taken[i]->task), 0);
        slot_set(taken[i], i + 1, 1); // each is another one's
    }
    assert_int_equal(slots_take(slots, &one_more), -EAGAIN);
    assert_null(one_more);
    for (size_t i = 0; i < SLOTS_COUNT; i++)
        assert_int_equal(atomic_load(&taken[i]->task), i + 1);
    slots_give(slots, taken[500]);
    assert_int_equal(slots_take(slots, &one_more), 0);
    assert_ptr_equal(one_more, taken[500]);
    assert_int_equal(atomic_load(&one_more->task), 0);
    slots_close(slots);
}

static void the_level_that_was_not_written_for_longest_makes_room(void **state)
{
    struct fixture *fixture = *state;
    char name[16];
    double tokens = 0;
    int64_t at_ms = 0;
    struct slots *slots = open_file(fixture, "0123456789abcdef");
    for (int i = 0; i <= SLOTS_LEVELS; i++) {
        (void)snprintf(name, sizeof(name), "q%d", i);
        slots_level_set(slots, name, i, 1000 + i);
        slots_level_set(slots, name, i + 0.25, 1000 + i); // the same entry
    }
    assert_int_equal(slots_level_get(slots, "q0", &tokens, &at_ms), -ENOENT);
    assert_int_equal(slots_level_get(slots, "q1", &tokens, &at_ms), 0);
    assert_int_equal(at_ms, 1001);
    assert_int_equal(slots_level_get(slots, name, &tokens, &at_ms), 0);
    assert_true(tokens > 256.0);
    slots_close(slots);
}

static void whatever_fails_when_it_is_opened_is_told(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        enum fault_call call;
        int error;
    } faults[] = {{FAULT_MALLOC, ENOMEM},
                  {FAULT_OPEN, EACCES},
                  {FAULT_MMAP, ENOMEM},
                  {FAULT_POSIX_FALLOCATE, ENOSPC},
                  {FAULT_FTRUNCATE, EIO}};
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        struct slots *slots = NULL;
        struct error error = {0};
        (void)unlink(beside_store(fixture, "running"));
        if (faults[i].call == FAULT_FTRUNCATE) { // one of another size, which is to be emptied
            int fd = open(beside_store(fixture, "running"), O_RDWR | O_CREAT, 0600);
            assert_int_equal(write(fd, "x", 1), 1);
            (void)close(fd);
        }
        fault_fail(faults[i].call, 1, faults[i].error);
        int r = slots_open(beside_store(fixture, "running"), "0123456789abcdef", &slots, &error);
        assert_true(fault_reached());
        assert_int_equal(r, -faults[i].error);
        assert_null(slots);
        assert_true(error.text[0] != '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define SLOTS_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        SLOTS_TEST(what_ran_is_read_by_the_next_daemon),
        SLOTS_TEST(the_file_of_another_store_says_nothing),
        SLOTS_TEST(processes_of_another_boot_are_not_believed_but_tasks_are),
        SLOTS_TEST(without_a_boot_id_the_time_of_the_boot_decides),
        SLOTS_TEST(a_damaged_file_is_made_anew),
        SLOTS_TEST(all_slots_can_be_taken_and_given_back),
        SLOTS_TEST(the_level_that_was_not_written_for_longest_makes_room),
        SLOTS_TEST(whatever_fails_when_it_is_opened_is_told),
    };
    return cmocka_run_group_tests_name("slots", tests, NULL, NULL);
}
