/* Contexts that end at a signal. A signal is raised by the thread that then waits: with the
 * sanitizer of threads, one from elsewhere reaches a thread that sleeps only after its sleep. */
#include <runnel/context.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <runnel/group.h>

#include "fault.h"
#include "unit.h"

// The sanitizer of threads keeps signals back, in what parent and child would share here.
#if defined(__SANITIZE_THREAD__)
#define SIGNALS_ARE_KEPT_BACK 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNALS_ARE_KEPT_BACK 1
#endif
#endif

static const int both[] = {SIGUSR1, SIGUSR2};

static rn_context *new_for(const int *signals, size_t count)
{
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_signals(NULL, signals, count, &ctx), 0);
    return ctx;
}

static void send(int signal)
{
    assert_int_equal(raise(signal), 0);
}

/* It ends at the signal, or has ended. */
static void assert_ended_by(rn_context *ctx, int signal)
{
    assert_int_equal(rn_sleep(ctx, 20 * RN_SECOND), -ECANCELED);
    assert_int_equal(rn_context_cause(ctx), signal);
}

static void assert_handled_by_default(int signal)
{
    struct sigaction now;
    assert_int_equal(sigaction(signal, NULL, &now), 0);
    assert_true(now.sa_handler == SIG_DFL);
}

static void end(rn_context *ctx)
{
    rn_context_stop_signals(ctx);
    rn_context_unref(ctx);
}

static _Atomic int own_calls;

static void own_handler(int signal)
{
    (void)signal;
    atomic_fetch_add(&own_calls, 1);
}

static void handle(int signal, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    assert_int_equal(sigaction(signal, &action, NULL), 0);
    atomic_store(&own_calls, 0);
}

// ---- What ends it

static void a_signal_ends_it_with_its_number(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        rn_context *ctx = new_for(both, 2);
        assert_int_equal(rn_context_err(ctx), 0);

        send(both[i]);

        assert_ended_by(ctx, both[i]);
        end(ctx);
    }
    assert_handled_by_default(SIGUSR1);
    assert_handled_by_default(SIGUSR2);
}

static void the_first_of_two_signals_gives_the_cause(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        rn_context *ctx = new_for(both, 2);
        send(both[(i + 1) % 2]);
        send(both[i % 2]);
        assert_ended_by(ctx, both[(i + 1) % 2]);
        end(ctx);
    }
}

static void further_signals_are_swallowed_until_the_stop(void **state)
{
    (void)state;
    rn_context *ctx = new_for(both, 2);
    send(SIGUSR1);
    assert_ended_by(ctx, SIGUSR1);

    send(SIGUSR1); // would end the process
    send(SIGUSR2);

    assert_int_equal(rn_context_cause(ctx), SIGUSR1);
    end(ctx);
}

static void a_signal_ends_all_that_have_it_and_no_others(void **state)
{
    (void)state;
    rn_context *first = new_for(both, 2);
    rn_context *second = new_for(both, 1);
    rn_context *other = new_for(&both[1], 1);

    send(SIGUSR1);

    assert_ended_by(first, SIGUSR1);
    assert_ended_by(second, SIGUSR1);
    assert_int_equal(rn_context_err(other), 0);
    send(SIGUSR2);
    assert_ended_by(other, SIGUSR2);
    end(first);
    end(second);
    end(other);
}

static void a_signal_does_not_end_what_is_made_after_it(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        rn_context *before = new_for(both, 1);
        send(SIGUSR1);
        rn_context *after = new_for(both, 1); // perhaps before the timer thread is awake

        assert_ended_by(before, SIGUSR1);
        assert_int_equal(rn_context_err(after), 0);
        send(SIGUSR1);
        assert_ended_by(after, SIGUSR1);
        end(before);
        end(after);
    }
}

static void a_signal_before_the_stop_is_not_lost(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        rn_context *ctx = new_for(both, 1);
        send(SIGUSR1);
        rn_context_stop_signals(ctx);
        assert_int_equal(rn_context_cause(ctx), SIGUSR1);
        rn_context_unref(ctx);
    }
}

static void its_parent_ends_it_and_it_ends_its_children(void **state)
{
    (void)state;
    rn_context *parent = NULL;
    rn_context *ctx = NULL;
    rn_context *child = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_HOUR, &parent), 0);
    rn_context *other = new_for(&both[1], 1);
    assert_int_equal(rn_context_with_signals(parent, both, 1, &ctx), 0);
    assert_int_equal(rn_context_with_cancel(other, &child), 0);
    assert_true(rn_context_deadline(ctx) == rn_context_deadline(parent));

    rn_context_cancel(parent, 9);
    send(SIGUSR2);

    assert_int_equal(rn_context_cause(ctx), 9);
    assert_ended_by(child, SIGUSR2);
    send(SIGUSR1); // is kept from its old handling until the stop
    assert_int_equal(rn_context_cause(ctx), 9);
    rn_context *late = NULL;
    assert_int_equal(rn_context_with_signals(parent, both, 1, &late), 0);
    assert_int_equal(rn_context_cause(late), 9);
    end(late);
    end(ctx);
    rn_context_unref(child);
    end(other);
    rn_context_unref(parent);
}

static void stopping_cancels(void **state)
{
    (void)state;
    rn_context *ctx = new_for(both, 2);
    rn_context_stop_signals(ctx);
    assert_int_equal(rn_context_err(ctx), -ECANCELED);
    assert_int_equal(rn_context_cause(ctx), -ECANCELED);
    rn_context_stop_signals(ctx);
    rn_context_unref(ctx);
    assert_handled_by_default(SIGUSR1);
}

static void signals_of_the_real_time_kind_are_taken_too(void **state)
{
    (void)state;
    int signals[] = {SIGRTMIN, SIGRTMIN + 1};
    for (int i = 0; i < 2; i++) {
        rn_context *ctx = new_for(signals, 2);
        send(signals[i]);
        assert_ended_by(ctx, signals[i]);
        end(ctx);
    }
}

// ---- The old handling

static void the_old_handling_comes_back_in_whatever_order(void **state)
{
    (void)state;
    enum { COUNT = 3 };
    static const int orders[][COUNT] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                        {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

    handle(SIGUSR1, own_handler);
    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        rn_context *ctx[COUNT];
        for (int n = 0; n < COUNT; n++)
            ctx[n] = new_for(both, n == 0 ? 1 : 2);
        atomic_store(&own_calls, 0);
        for (int n = 0; n < COUNT; n++) {
            send(SIGUSR1);
            assert_int_equal(atomic_load(&own_calls), 0);
            end(ctx[orders[i][n]]);
        }
        send(SIGUSR1);
        assert_int_equal(atomic_load(&own_calls), 1);
        assert_handled_by_default(SIGUSR2);
    }
    handle(SIGUSR1, SIG_DFL);
}

static void freeing_gives_the_old_handling_back(void **state)
{
    (void)state;
    rn_context *child = NULL;
    rn_context *ctx = new_for(both, 2);
    assert_int_equal(rn_context_with_cancel(ctx, &child), 0);

    rn_context_unref(ctx);
    send(SIGUSR1); // the child still has it
    assert_ended_by(child, SIGUSR1);
    rn_context_unref(child);

    // The timer thread may have had the last reference. It gives the higher one back last.
    struct sigaction now = {.sa_handler = own_handler};
    while (now.sa_handler != SIG_DFL)
        assert_int_equal(sigaction(SIGUSR2, NULL, &now), 0);
    assert_handled_by_default(SIGUSR1);
}

static void a_handler_of_the_programs_own_is_left_alone(void **state)
{
    (void)state;
    rn_context *ctx = new_for(both, 2);
    handle(SIGUSR1, own_handler);
    end(ctx);
    send(SIGUSR1);
    assert_int_equal(atomic_load(&own_calls), 1);
    assert_handled_by_default(SIGUSR2);
    handle(SIGUSR1, SIG_DFL);
}

static void an_ignored_signal_ends_it_and_is_ignored_again(void **state)
{
    (void)state;
    handle(SIGUSR1, SIG_IGN);
    rn_context *ctx = new_for(both, 1);
    send(SIGUSR1);
    assert_ended_by(ctx, SIGUSR1);
    end(ctx);
    send(SIGUSR1);
    handle(SIGUSR1, SIG_DFL);
}

// ---- The handler

static void errno_stays_as_it_was(void **state)
{
    (void)state;
    rn_context *ctx = new_for(both, 1);
    errno = EXDEV;
    (void)raise(SIGUSR1);
    assert_int_equal(errno, EXDEV);
    end(ctx);
}

struct interruption {
    pthread_t reader;
    int fd;
};

static bool sleeps(void)
{
    char text[512] = "";
    int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC); // of the first thread, the reader
    ssize_t n = read(fd, text, sizeof(text) - 1);

    (void)close(fd);
    const char *name_end = n > 0 ? strrchr(text, ')') : NULL;
    return name_end != NULL && name_end[1] == ' ' && name_end[2] == 'S';
}

static int interrupt_the_reader(rn_context *ctx, void *arg)
{
    struct interruption *own = arg;

    while (!sleeps())
        (void)sched_yield();
    if (pthread_kill(own->reader, SIGUSR1) != 0)
        return -EINVAL;
    int r = rn_sleep(ctx, RN_MILLISECOND); // so that the signal and the byte do not come as one
    return write(own->fd, "x", 1) == 1 ? r : -EPIPE;
}

static void interrupted_calls_are_restarted(void **state)
{
    (void)state;
    int fds[2];
    char byte = 0;
    rn_group *group = NULL;
    rn_context *ctx = new_for(both, 1);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    struct interruption own = {.reader = pthread_self(), .fd = fds[1]};
    assert_int_equal(rn_group_go(group, "interrupt", interrupt_the_reader, &own), 0);

    assert_int_equal(read(fds[0], &byte, 1), 1);

    assert_int_equal(rn_group_wait(group), 0);
    assert_ended_by(ctx, SIGUSR1);
    rn_group_free(group);
    (void)close(fds[0]);
    (void)close(fds[1]);
    end(ctx);
}

static void a_signal_in_a_child_is_not_the_parents(void **state)
{
    (void)state;
    int status = -1;
    rn_context *ctx = new_for(both, 1);

    pid_t child = fork();
    if (child == 0) {
        (void)raise(SIGUSR1);
        _exit(3);
    }

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    rn_context_stop_signals(ctx);
    assert_int_equal(rn_context_cause(ctx), -ECANCELED);
    rn_context_unref(ctx);
}

static int be_a_child(void *arg)
{
    (void)arg;
    return raise(SIGUSR1) == 0 ? 3 : 4;
}

/* As with vfork: the child has the parent's memory. */
static void a_signal_in_a_child_that_shares_the_memory_neither(void **state)
{
    (void)state;
#ifdef SIGNALS_ARE_KEPT_BACK
    skip();
#endif
    static _Alignas(64) char stack[64 * 1024];
    int status = -1;
    rn_context *ctx = new_for(both, 1);

    pid_t child = clone(be_a_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 3);
    rn_context_stop_signals(ctx);
    assert_int_equal(rn_context_cause(ctx), -ECANCELED);
    rn_context_unref(ctx);
}

// ---- Failures

static void signals_that_cannot_be_taken_are_refused(void **state)
{
    (void)state;
    const int wrong[] = {0,      -1,     SIGKILL, SIGSTOP, SIGSEGV, SIGBUS,
                         SIGFPE, SIGILL, 32,      33,      65,      1 << 20};
    rn_context *ctx = NULL;

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        int signals[] = {SIGUSR1, wrong[i]};
        assert_int_equal(rn_context_with_signals(NULL, signals, 2, &ctx), -EINVAL);
    }
    assert_int_equal(rn_context_with_signals(NULL, both, 0, &ctx), -EINVAL);

    assert_null(ctx);
    assert_handled_by_default(SIGUSR1);
}

static void without_memory_nothing_is_handled(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = rn_context_with_signals(NULL, both, 2, &ctx);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(ctx);
        assert_handled_by_default(SIGUSR1);
    }
    end(ctx);
}

static void without_the_timer_thread_nothing_is_handled(void **state)
{
    (void)state;
    rn_context *ctx = NULL;
    fault_fail_pthread_create(1);
    assert_int_equal(rn_context_with_signals(NULL, both, 2, &ctx), -EAGAIN);
    assert_true(fault_reached());
    assert_null(ctx);
    assert_handled_by_default(SIGUSR1);
}

// ---- Everything at once

/* The last comes while the timer thread is about those before: it must not fall asleep over it. */
static void no_signal_is_lost_shortly_after_others(void **state)
{
    (void)state;
    unsigned seed = 1;
    for (int round = 0; round < 200; round++) {
        rn_context *first = new_for(both, 1);
        rn_context *second = new_for(&both[1], 1);
        for (int i = rand_r(&seed) % 40; i >= 0; i--)
            send(SIGUSR1);

        send(SIGUSR2);

        assert_ended_by(second, SIGUSR2);
        assert_ended_by(first, SIGUSR1);
        end(first);
        end(second);
    }
}

static _Atomic bool has_ended;

/* Signals to the process reach the only thread that does not block them: the test's. */
static int send_signals(rn_context *ctx, void *arg)
{
    (void)ctx;
    (void)arg;
    while (!atomic_load(&has_ended)) {
        if (kill(getpid(), SIGUSR1) != 0 || kill(getpid(), SIGUSR2) != 0)
            return -EINVAL;
        (void)sched_yield();
    }
    return 0;
}

static void contexts_come_and_go_under_signals(void **state)
{
    (void)state;
    rn_group *group = NULL;
    rn_context *all = new_for(both, 2); // for all the time
    atomic_store(&has_ended, false);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "signals", send_signals, NULL), 0);

    rn_time until = rn_after(100 * RN_MILLISECOND);
    for (int round = 0; rn_now() < until; round++) {
        rn_context *first = new_for(&both[round % 2], 1);
        rn_context *second = new_for(both, 2);
        if (round % 3 == 0)
            (void)sched_yield();
        rn_context_stop_signals(first);
        int cause = rn_context_cause(first);
        assert_true(cause == both[round % 2] || cause == -ECANCELED);
        rn_context_unref(first);
        end(second);
    }

    atomic_store(&has_ended, true);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    send(SIGUSR1);
    assert_int_not_equal(rn_context_cause(all), -ECANCELED);
    end(all);
    assert_handled_by_default(SIGUSR1);
    assert_handled_by_default(SIGUSR2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_the_timer_thread_nothing_is_handled),
        cmocka_unit_test(a_signal_ends_it_with_its_number),
        cmocka_unit_test(the_first_of_two_signals_gives_the_cause),
        cmocka_unit_test(further_signals_are_swallowed_until_the_stop),
        cmocka_unit_test(a_signal_ends_all_that_have_it_and_no_others),
        cmocka_unit_test(a_signal_does_not_end_what_is_made_after_it),
        cmocka_unit_test(a_signal_before_the_stop_is_not_lost),
        cmocka_unit_test(its_parent_ends_it_and_it_ends_its_children),
        cmocka_unit_test(stopping_cancels),
        cmocka_unit_test(signals_of_the_real_time_kind_are_taken_too),
        cmocka_unit_test(the_old_handling_comes_back_in_whatever_order),
        cmocka_unit_test(freeing_gives_the_old_handling_back),
        cmocka_unit_test(a_handler_of_the_programs_own_is_left_alone),
        cmocka_unit_test(an_ignored_signal_ends_it_and_is_ignored_again),
        cmocka_unit_test(errno_stays_as_it_was),
        cmocka_unit_test(interrupted_calls_are_restarted),
        cmocka_unit_test(a_signal_in_a_child_is_not_the_parents),
        cmocka_unit_test(a_signal_in_a_child_that_shares_the_memory_neither),
        cmocka_unit_test(signals_that_cannot_be_taken_are_refused),
        cmocka_unit_test(without_memory_nothing_is_handled),
        cmocka_unit_test(no_signal_is_lost_shortly_after_others),
        cmocka_unit_test(contexts_come_and_go_under_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
