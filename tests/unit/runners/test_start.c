/* How commands are started: what the child has of the daemon, and what happens for want of
 * something. How they are ended: test_process.c. */
#include "rig.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault.h"
#include "folder.h"

/* ---- What the child starts from. ---- */

static void no_descriptor_of_the_daemon_is_in_the_child(void **state)
{
    struct rig rig;
    int leaked[20];

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/ls", "/proc/self/fd", NULL});
    for (size_t i = 0; i < sizeof(leaked) / sizeof(leaked[0]); i++)
        leaked[i] = open("/dev/null", O_RDWR); // not close-on-exec
    assert_int_equal(dup2(leaked[0], 200), 200);
    rig_run(&rig, "null");

    rig_assert_succeeded(&rig, "0\n1\n2\n3"); // 3 is the folder that ls reads
    for (size_t i = 0; i < sizeof(leaked) / sizeof(leaked[0]); i++)
        (void)close(leaked[i]);
    (void)close(200);
    rig_fini(&rig);
}

static void signals_have_their_default_action_and_none_is_blocked(void **state)
{
    struct rig rig;
    sigset_t all;
    sigset_t before;

    (void)state;
    // SIGPIPE, SIGHUP and SIGCHLD are ignored since main.
    (void)sigfillset(&all);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &all, &before), 0);
    rig_init_command(&rig, (const char *const[]){"/bin/cat", "/proc/self/status", NULL});
    rig_run(&rig, "null");
    assert_int_equal(pthread_sigmask(SIG_SETMASK, &before, NULL), 0);

    assert_true(rig.outcome.succeeded);
    assert_contains(rig.outcome.result, "\nSigBlk:\t0000000000000000\n");
    const char *ignored = strstr(rig.outcome.result, "\nSigIgn:\t");
    assert_non_null(ignored);
    // 32 and 33 are the C library's own: it lets nobody set them, so what the tests inherit stays.
    const unsigned long long internal = 3ULL << 31;
    assert_int_equal(strtoull(ignored + strlen("\nSigIgn:\t"), NULL, 16) & ~internal, 0);
    rig_fini(&rig);
}

static void the_mask_of_the_worker_is_as_it_was(void **state)
{
    struct rig rig;
    sigset_t before;
    sigset_t after;

    (void)state;
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &before), 0);
    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    rig_run(&rig, "null");
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);

    for (int signal = 1; signal < NSIG; signal++)
        assert_int_equal(sigismember(&before, signal), sigismember(&after, signal));
    rig_fini(&rig);
}

static void a_command_leads_a_session_and_group_without_a_terminal(void **state)
{
    struct rig rig;
    int pid = 0;
    int parent = 0;
    int group = 0;
    int session = 0;
    int terminal = -1;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/cat", "/proc/self/stat", NULL});
    rig_run(&rig, "null");

    assert_true(rig.outcome.succeeded);
    assert_int_equal(sscanf(rig.outcome.result, "%d (cat) %*c %d %d %d %d", &pid, &parent, &group,
                            &session, &terminal),
                     5);
    assert_int_equal(parent, getpid());
    assert_int_equal(group, pid);
    assert_int_equal(session, pid);
    assert_int_equal(terminal, 0);
    rig_fini(&rig);
}

/* Field 22 of /proc/PID/stat; 0: it can't be read. */
static uint64_t start_time_of(int64_t pid)
{
    char path[64];
    char text[1024] = "";
    uint64_t ticks = 0;

    (void)snprintf(path, sizeof(path), "/proc/%lld/stat", (long long)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return 0;
    if (fgets(text, sizeof(text), file) == NULL)
        text[0] = '\0';
    (void)fclose(file);
    const char *at = strrchr(text, ')');
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at != NULL && sscanf(at, " %lu", &ticks) == 1 ? ticks : 0;
}

static int64_t pid_in_slot;
static int64_t pid_told;
static uint64_t start_time;

static void look_at_the_slot(struct rig *rig, const char *line)
{
    (void)sscanf(line, "%ld", &pid_told);
    pid_in_slot = atomic_load(&rig->slot->pid);
    start_time = start_time_of(pid_told);
    // The command may be here before its worker has looked at the clock again. If they never agree,
    // the test ends by its timeout.
    while (start_time != 0 && atomic_load(&rig->slot->start_time) != start_time)
        continue;
    rn_context_cancel(rig->ctx, 0);
}

static void the_slot_names_the_process_while_it_runs(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "echo $$ >\"$FIFO\"; exec sleep 1000");
    for (int i = 0; i < 20; i++) {
        rig_run_until_ready(&rig, "null", look_at_the_slot);
        rig_assert_failed(&rig, "cancelled");
        assert_int_not_equal(pid_told, 0);
        assert_int_equal(pid_in_slot, pid_told);
        assert_int_not_equal(start_time, 0);
        assert_int_equal(atomic_load(&rig.slot->pid), 0);
        rn_context_unref(rig.ctx);
        assert_int_equal(rn_context_with_cancel(NULL, &rig.ctx), 0);
    }
    rig_fini(&rig);
}

static void a_command_dies_with_the_daemon(void **state)
{
    struct rig rig;
    char variable[PATH_MAX];
    char *env[] = {variable, NULL};
    char text[64] = "";

    (void)state;
    rig_init_shell(&rig, "echo \"$HOME\" >\"$FIFO\"; exec sleep 1000 3>\"$FIFO\"");
    (void)snprintf(variable, sizeof(variable), "FIFO=%s", rig.fifo);
    rig.kind.env = env;
    int fifo = rig_open_fifo(&rig);
    // The command's own opening of the fifo does not wait, since this one is there.
    pid_t daemon = fork();
    assert_true(daemon >= 0);
    if (daemon == 0) {
        rig_run(&rig, "null");
        _exit(0);
    }
    assert_int_equal(fcntl(fifo, F_SETFL, 0), 0);
    int holder = open(rig.fifo, O_WRONLY | O_CLOEXEC); // or the first read would meet its end
    assert_true(read(fifo, text, sizeof(text) - 1) > 0);
    (void)close(holder);

    assert_int_equal(kill(daemon, SIGKILL), 0);
    assert_int_equal(waitpid(daemon, NULL, 0), daemon);
    rig_read_to_the_end(fifo);

    // What the daemon has left: the slot names its command, and the work directory is removed by
    // the next one.
    assert_int_not_equal(atomic_load(&rig.slot->pid), 0);
    atomic_store(&rig.slot->pid, 0);
    assert_int_equal(rmdir(rig.work_root), -1);
    assert_int_equal(runner_open_work_root(rig.work_root), 0);
    rig_fini(&rig);
}

/* ---- Want of everything. ---- */

static void starting_needs_descriptors_and_leaks_none(void **state)
{
    struct rig rig;
    struct rlimit before;
    bool failed = false;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/cat", NULL});
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    int next = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(next >= 0);
    (void)close(next);
    unsigned descriptors = folder_entries("/proc/self/fd");
    for (int more = 0;; more++) {
        struct rlimit limit = {(rlim_t)(next + more), before.rlim_max};
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
        rig_run(&rig, "[1]");
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        // The context keeps the descriptor that it was asked for.
        rn_context_unref(rig.ctx);
        assert_int_equal(rn_context_with_cancel(NULL, &rig.ctx), 0);
        assert_int_equal(folder_entries("/proc/self/fd"), descriptors);
        if (rig.outcome.succeeded)
            break;
        rig_assert_failed(&rig, "not-started");
        assert_contains(rig.outcome.message, "cannot start '/bin/cat': Too many open files");
        assert_true(rig.outcome.retryable);
        failed = true;
        assert_true(more < 20);
    }
    rig_assert_succeeded(&rig, "[1]");
    assert_true(failed);
    rig_fini(&rig);
}

/* In a process without standard input, output and error; the numbers of these go to pipes then. */
static bool runs_without_stdio(struct rig *rig)
{
    bool right = rn_context_fd(rig->ctx) > 2;

    for (int fd = 0; fd < 3; fd++)
        (void)close(fd);
    rig_run(rig, "[1]");
    const char *text = json_string_value(json_object_get(rig->exec, "stderr"));
    right = right && rig->outcome.succeeded && strcmp(rig->outcome.result, "[1]") == 0 &&
            text != NULL && strcmp(text, "error\n") == 0;

    free(rig->words[0]);
    rig->words[0] = strdup("/nonexistent/program");
    rig_run(rig, "[1]");
    right = right && strcmp(rig->outcome.code, "not-started") == 0;
    runner_close_work_root(rig->work_root);
    return right;
}

static void descriptors_below_3_are_no_trouble(void **state)
{
    struct rig rig;
    int status = 0;

    (void)state;
    rig_init_shell(&rig, "cat; echo error >&2");
    rig.kind.stdin_from = CONFIG_STDIN_ARGS;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(runs_without_stdio(&rig) ? 0 : 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    rig_fini(&rig);
}

static void run_it(struct rig *rig)
{
    rig_run(rig, "null");
}

static void a_failed_system_call_is_a_failed_start(void **state)
{
    static const long pipes[] = {SYS_pipe2, -1};
    static const long sessions[] = {SYS_setsid, -1};
    static const long directories[] = {SYS_chdir, -1};
    static const long duplicates[] = {SYS_dup2, SYS_dup3, -1};
    static const long programs[] = {SYS_execve, -1};
    static const long *const rows[] = {pipes, sessions, directories, duplicates, programs};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i] == programs && getenv("RUNNEL_VALGRIND") != NULL)
            continue; // its own execve does not come back
        struct rig rig;
        rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
        rig_in_sandbox(&rig, true);
        rig_with_failing_calls(rows[i], EPERM, run_it, &rig);
        rig_in_sandbox(&rig, false);
        rig_assert_failed(&rig, "not-started");
        assert_contains(rig.outcome.message, "Operation not permitted");
        assert_contains(rig.outcome.message, "sandbox");
        rig_fini(&rig);
    }
}

static void a_failed_start_says_nothing_of_the_next_one_in_its_slot(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "exit 127"); // which is how a child that could not start ends too
    for (int i = 0; i < 2; i++) {
        rig.kind.directory = (char *)"/nonexistent/directory";
        rig_run(&rig, "null");
        rig_assert_failed(&rig, "not-started");
        assert_contains(rig.outcome.message, "cannot enter the directory");

        rig.kind.directory = NULL;
        rig_run(&rig, "null");
        rig_assert_failed(&rig, "exit");
        assert_contains(rig.outcome.message, "127");
    }
    rig_fini(&rig);
}

static void want_of_processes_may_be_retried(void **state)
{
    static const long calls[] = {SYS_vfork, SYS_fork, SYS_clone, SYS_clone3, -1};
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    rig.kind.retry_exit_set = true;
    rig_with_failing_calls(calls, EAGAIN, run_it, &rig);
    rig_assert_failed(&rig, "not-started");
    assert_contains(rig.outcome.message, "Resource temporarily unavailable");
    assert_true(rig.outcome.retryable);
    rig_fini(&rig);
}

static void run_and_cancel_it(struct rig *rig)
{
    rig_run_until_ready(rig, "null", rig_cancel);
}

static void without_pidfds_all_of_it_works(void **state)
{
    static const long calls[] = {SYS_pidfd_open, -1};
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "echo x; exit 0");
    rig_with_failing_calls(calls, ENOSYS, run_it, &rig);
    rig_assert_succeeded(&rig, "x");
    rig_fini(&rig);

    rig_init_shell(&rig, "trap '' TERM; echo x >\"$FIFO\"; exec sleep 1000");
    atomic_store(&rig.kill_grace, RN_MILLISECOND);
    rig_with_failing_calls(calls, ENOSYS, run_and_cancel_it, &rig);
    rig_assert_failed(&rig, "cancelled");
    assert_int_equal(json_integer_value(json_object_get(rig.exec, "signal")), SIGKILL);
    rig_fini(&rig);
}

static void without_close_range_descriptors_are_closed_too(void **state)
{
    static const long calls[] = {SYS_close_range, -1};
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/ls", "/proc/self/fd", NULL});
    int leaked = open("/dev/null", O_RDWR); // not close-on-exec
    rig_with_failing_calls(calls, EPERM, run_it, &rig);
    rig_assert_succeeded(&rig, "0\n1\n2\n3");
    (void)close(leaked);
    rig_fini(&rig);
}

static void a_context_without_a_descriptor_starts_nothing(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_command(&rig, (const char *const[]){"/bin/true", NULL});
    fault_fail(FAULT_EVENTFD, 1, EMFILE);
    rig_run(&rig, "null");
    assert_true(fault_reached());
    rig_assert_failed(&rig, "not-started");
    assert_true(rig.outcome.retryable);
    rig_fini(&rig);
}

static void *run_some(void *arg)
{
    struct rig *rig = arg;

    for (int i = 0; i < 25; i++) {
        rig_run(rig, "[1]");
        if (!rig->outcome.succeeded || strcmp(rig->outcome.result, "[1]") != 0)
            return rig;
    }
    return NULL;
}

static void workers_do_not_disturb_each_other(void **state)
{
    struct rig rigs[4];
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++) {
        rig_init_command(&rigs[i], (const char *const[]){"/bin/cat", NULL});
        rigs[i].kind.stdin_from = CONFIG_STDIN_ARGS;
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_some, &rigs[i]), 0);
    for (int i = 0; i < 4; i++) {
        void *failed = NULL;
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    for (int i = 0; i < 4; i++)
        rig_fini(&rigs[i]);
}
/* Before all tests, in a process that ignores SIGCHLD: such a daemon learns how its children end
 * all the same. */
static int start_the_first(void **state)
{
    struct rig rig;

    (void)state;
    rig_init_shell(&rig, "exit 7");
    rig_run(&rig, "null");
    rig_assert_failed(&rig, "exit");
    assert_string_equal(rig.outcome.message, "exit status 7");
    rig_fini(&rig);
    return 0;
}

int main(void)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_descriptor_of_the_daemon_is_in_the_child),
        cmocka_unit_test(signals_have_their_default_action_and_none_is_blocked),
        cmocka_unit_test(the_mask_of_the_worker_is_as_it_was),
        cmocka_unit_test(a_command_leads_a_session_and_group_without_a_terminal),
        cmocka_unit_test(the_slot_names_the_process_while_it_runs),
        cmocka_unit_test(a_command_dies_with_the_daemon),
        cmocka_unit_test(starting_needs_descriptors_and_leaks_none),
        cmocka_unit_test(descriptors_below_3_are_no_trouble),
        cmocka_unit_test(a_failed_system_call_is_a_failed_start),
        cmocka_unit_test(a_failed_start_says_nothing_of_the_next_one_in_its_slot),
        cmocka_unit_test(want_of_processes_may_be_retried),
        cmocka_unit_test(without_pidfds_all_of_it_works),
        cmocka_unit_test(without_close_range_descriptors_are_closed_too),
        cmocka_unit_test(a_context_without_a_descriptor_starts_nothing),
        cmocka_unit_test(workers_do_not_disturb_each_other),
    };

    // As a daemon may be started.
    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigaction(SIGHUP, &ignore, NULL);
    (void)sigaction(SIGCHLD, &ignore, NULL);
    return cmocka_run_group_tests(tests, start_the_first, NULL);
}
