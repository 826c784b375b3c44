/* Services: how many workers there are, which ones come and leave, and under which names. */
#include <runnel/service.h>

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "fault.h"
#include "folder.h"
#include "service_workers.h"

static void workers_have_the_lowest_numbers_and_names_with_them(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){
        .name = "a-very-long-name", .workers = 12, .run_fn = note_name});
    for (int i = 0; i < 2000; i++)
        submit(service, i);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(atomic_load(&seen.faults), 0);

    for (unsigned worker = 1; worker < WORKERS_MAX; worker++) {
        char expected[32];
        (void)snprintf(expected, sizeof(expected), "%.*s-%u", worker < 10 ? 13 : 12,
                       "a-very-long-name", worker);
        if (worker > 12)
            expected[0] = '\0';
        // Not every worker need have got a task.
        if (seen.thread_names[worker][0] != '\0')
            assert_string_equal(seen.thread_names[worker], expected);
    }
    rn_service_free(service);
}

static void growing_adds_workers(void **state)
{
    (void)state;
    rn_service *service = start_service(&(struct rn_service_options){.backlog = 8, .run_fn = stay});
    for (int i = 0; i < 5; i++)
        submit(service, i);
    assert_int_equal(rn_service_resize(service, 2), 0);
    wait_until_running(service, 2);
    assert_int_equal(rn_service_resize(service, 5), 0);
    assert_int_equal(rn_service_workers(service), 5);
    wait_until_running(service, 5);
    assert_int_equal(rn_service_resize(service, 5), 0);
    assert_true(atomic_load(&seen.busy[1]) && atomic_load(&seen.busy[5]));

    assert_int_equal(rn_service_shutdown(service, 0), 0);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_service_free(service);
}

static void a_size_given_before_the_start_is_that_of_the_start(void **state)
{
    (void)state;
    rn_service *service =
        new_service(&(struct rn_service_options){.workers = 1, .backlog = 8, .run_fn = stay});
    assert_int_equal(rn_service_resize(service, 3), 0);
    assert_int_equal(rn_service_workers(service), 3);
    for (int i = 0; i < 4; i++)
        submit(service, i);
    assert_int_equal(rn_service_running(service), 0);
    assert_int_equal(rn_service_start(service), 0);
    wait_until_running(service, 3);
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    rn_service_free(service);
}

static void idle_workers_leave_at_once(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 8, .backlog = 8, .run_fn = stay});
    assert_int_equal(rn_service_resize(service, 0), 0);
    assert_int_equal(rn_service_workers(service), 0);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);

    submit(service, 0);
    assert_int_equal(rn_service_resize(service, 1), 0);
    wait_until_running(service, 1);
    assert_true(atomic_load(&seen.busy[1]));
    assert_int_equal(rn_service_shutdown(service, 0), 0);
    rn_service_free(service);
}

static void the_idle_leave_before_the_busy(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 3, .backlog = 8, .run_fn = stay});
    submit(service, 0);
    wait_until_running(service, 1);

    unsigned threads = folder_entries("/proc/self/task");
    assert_int_equal(rn_service_resize(service, 1), 0);
    // One that is just about to wait may get a task before it sees that it is to leave.
    while (folder_entries("/proc/self/task") > threads - 2)
        (void)sched_yield();
    submit(service, 1);
    submit(service, 2);

    // Only the busy one is left, and it goes on with them one by one.
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(count_of(seen.ran, 3), 3);
    assert_int_equal(atomic_load(&seen.most_inside), 1);
    rn_service_free(service);
}

static void busy_workers_leave_after_their_task_or_stay_if_wanted_again(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 4, .backlog = 64, .run_fn = stay});
    for (int i = 0; i < 4; i++)
        submit(service, i);
    wait_until_running(service, 4);

    assert_int_equal(rn_service_resize(service, 1), 0);
    assert_int_equal(rn_service_running(service), 4);
    assert_int_equal(rn_service_resize(service, 4), 0);
    assert_int_equal(rn_service_resize(service, 2), 0);
    assert_int_equal(rn_service_resize(service, 4), 0);
    for (int i = 4; i < 40; i++)
        submit(service, i);
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    assert_int_equal(count_of(seen.ran, 40), 40);
    assert_in_range(atomic_load(&seen.most_inside), 4, 4);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_service_free(service);
}

static void leaving_workers_are_joined_by_the_next_change(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 2, .backlog = 4, .run_fn = stay});
    submit(service, 0);
    submit(service, 1);
    wait_until_running(service, 2);
    assert_int_equal(rn_service_resize(service, 0), 0);
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    assert_int_equal(rn_service_resize(service, 3), 0);
    submit(service, 2);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);
    assert_int_equal(count_of(seen.ran, 3), 3);
    rn_service_free(service);
}

/* A task ends when its own byte is set. */
static _Atomic bool may_end[TASKS_MAX];
static _Atomic unsigned ran_on[TASKS_MAX];

static int stay_until_told(rn_context *ctx, void *arg, unsigned worker, void *task)
{
    (void)ctx;
    (void)arg;
    atomic_store(&ran_on[number_of(task)], worker); // before it counts as inside
    enter(worker);
    while (!atomic_load(&may_end[number_of(task)]))
        (void)sched_yield();
    leave(worker, task);
    return 0;
}

static int task_on(unsigned worker, int count)
{
    for (int i = 0; i < count; i++) {
        if (atomic_load(&ran_on[i]) == worker)
            return i;
    }
    fail_msg("no task runs on worker %u", worker);
    return -1;
}

static void of_busy_workers_those_leave_that_are_done_first(void **state)
{
    (void)state;
    memset(may_end, 0, sizeof(may_end));
    rn_service *service = start_service(
        &(struct rn_service_options){.workers = 3, .backlog = 8, .run_fn = stay_until_told});
    for (int i = 0; i < 5; i++)
        submit(service, i);
    wait_until_running(service, 3);
    while (atomic_load(&seen.inside) < 3)
        (void)sched_yield();
    assert_int_equal(rn_service_resize(service, 1), 0);
    int last = task_on(3, 3); // a shrink sends the highest numbers away

    // Two end: no other task may start, since the third still runs.
    atomic_store(&may_end[task_on(1, 3)], true);
    atomic_store(&may_end[task_on(2, 3)], true);
    while (atomic_load(&seen.inside) > 1)
        (void)sched_yield();
    atomic_store(&may_end[last], true);
    atomic_store(&may_end[3], true);
    atomic_store(&may_end[4], true);
    while (count_of(seen.ran, 5) < 5)
        (void)sched_yield();

    assert_int_equal(atomic_load(&ran_on[3]), 3);
    assert_int_equal(atomic_load(&ran_on[4]), 3);
    assert_int_equal(atomic_load(&seen.most_inside), 3);
    rn_service_close(service);
    assert_int_equal(rn_service_wait(NULL, service, RN_NEVER), 0);
    rn_service_free(service);
}

static void a_failed_growth_changes_nothing(void **state)
{
    (void)state;
    rn_service *service =
        start_service(&(struct rn_service_options){.workers = 4, .backlog = 64, .run_fn = stay});
    for (int i = 0; i < 40; i++)
        submit(service, i);
    wait_until_running(service, 4);
    // Two are on the way out: a growth to 6 takes them back and starts two more.
    assert_int_equal(rn_service_resize(service, 2), 0);

    for (int nth = 1; nth <= 2; nth++) {
        fault_fail_pthread_create(nth);
        assert_int_equal(rn_service_resize(service, 6), -EAGAIN);
        assert_true(fault_reached());
        assert_int_equal(rn_service_workers(service), 2);
    }
    fault_fail_malloc(1);
    assert_int_equal(rn_service_resize(service, 6), -ENOMEM);
    assert_true(fault_reached());
    atomic_store(&seen.gate, true);
    assert_int_equal(rn_service_shutdown(service, RN_MINUTE), 0);

    assert_int_equal(count_of(seen.ran, 40), 40);
    assert_in_range(atomic_load(&seen.most_inside), 4, 4);
    assert_int_equal(atomic_load(&seen.faults), 0);
    rn_service_free(service);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(workers_have_the_lowest_numbers_and_names_with_them),
        TEST(growing_adds_workers),
        TEST(a_size_given_before_the_start_is_that_of_the_start),
        TEST(idle_workers_leave_at_once),
        TEST(the_idle_leave_before_the_busy),
        TEST(busy_workers_leave_after_their_task_or_stay_if_wanted_again),
        TEST(leaving_workers_are_joined_by_the_next_change),
        TEST(of_busy_workers_those_leave_that_are_done_first),
        TEST(a_failed_growth_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
