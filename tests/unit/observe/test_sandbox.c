/* What is found of a sandbox: in files of /proc that stand in a folder of the test's, and by trials
 * in processes with a real filter. */
#include "observe/sandbox.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "capture.h"
#include "fault.h"
#include "filter.h"
#include "observe/log.h"
#include "unit.h"

static char root[PATH_MAX / 4];

static const char *const files[] = {"status", "mountinfo", "uid_map", "limits"};
enum { FILE_COUNT = sizeof(files) / sizeof(files[0]) };

static const char *path_of(const char *name)
{
    static char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/proc/self/%s", root, name);
    return path;
}

static int make_root(void **state)
{
    const char *temporary = getenv("TMPDIR");
    char proc[PATH_MAX / 2];

    (void)state;
    (void)snprintf(root, sizeof(root), "%s/sandbox-XXXXXX", temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(root) == NULL)
        return -1;
    (void)snprintf(proc, sizeof(proc), "%s/proc", root);
    return mkdir(proc, 0700) == 0 ? mkdir(path_of(""), 0700) : -1;
}

static int remove_root(void **state)
{
    char proc[PATH_MAX / 2];

    (void)state;
    for (size_t i = 0; i < FILE_COUNT; i++)
        (void)unlink(path_of(files[i]));
    (void)snprintf(proc, sizeof(proc), "%s/proc", root);
    return rmdir(path_of("")) == 0 && rmdir(proc) == 0 ? rmdir(root) : -1;
}

static void write_file(const char *name, const char *text)
{
    FILE *file = fopen(path_of(name), "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void write_plain_machine(void)
{
    write_file("status", "Name:\trunneld\nCapBnd:\t000001ffffffffff\nNoNewPrivs:\t0\nSeccomp:\t0\n"
                         "Seccomp_filters:\t0\n");
    write_file("mountinfo", "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n"
                            "23 22 0:21 / /proc rw,nosuid shared:2 - proc proc rw\n"
                            "24 22 0:22 / /dev rw,nosuid shared:3 - devtmpfs udev rw,size=4096k\n"
                            "25 22 0:23 / /run rw,nosuid shared:4 - tmpfs tmpfs rw,mode=755\n");
    write_file("uid_map", "         0          0 4294967295\n");
    write_file("limits",
               "Limit                     Soft Limit           Hard Limit           Units     \n"
               "Max cpu time              unlimited            unlimited            seconds   \n"
               "Max core file size        0                    0                    bytes     \n"
               "Max address space         unlimited            unlimited            bytes     \n");
}

static void on_a_plain_machine_nothing_is_forbidden(void **state)
{
    (void)state;
    write_plain_machine();

    sandbox_look(root);

    assert_string_equal(sandbox_forbids(), "");
}

static void without_proc_nothing_is_known(void **state)
{
    char path[PATH_MAX];

    (void)state;
    sandbox_look(root); // has no files
    assert_string_equal(sandbox_forbids(), "");
    sandbox_look("/nonexistent");
    assert_string_equal(sandbox_forbids(), "");
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    sandbox_look(path); // longer than a path may be
    assert_string_equal(sandbox_forbids(), "");
}

static void each_fact_is_told_in_words(void **state)
{
    static const struct {
        const char *file;
        const char *text;
        const char *forbids;
    } rows[] = {
        {"status", "NoNewPrivs:\t1\n", "new privileges (sudo)"},
        {"status", "CapBnd:\t0000000000000000\n", "all capabilities"},
        {"status", "CapBnd:\t0000000000000400\n", ""},
        {"status", "Seccomp:\t1\n", ""},
        {"uid_map", "0 0 1\n995 995 1\n", "other users (their files' owner is nobody)"},
        {"uid_map", "0 100000 65536\n", ""},
        {"uid_map", "0 0 1\n1000 1000 2\n", ""},
        {"uid_map", "broken\n", ""},
        {"limits", "Max cpu time              60                   60                   seconds\n",
         "more than 60 s of processor time"},
        {"limits", "Max file size             1048576              unlimited            bytes\n",
         "more than 1048576 bytes in a file"},
        {"limits", "Max data size             2                    2                    bytes\n",
         "more than 2 bytes of data"},
        {"limits", "Max address space         3                    3                    bytes\n",
         "more than 3 bytes of memory"},
        {"limits", "Max open files            4                    4                    files\n",
         ""},
        {"mountinfo", "1 0 1:1 / / ro,relatime - ext4 /dev/vda rw\n",
         "writing to /usr, /etc, /var, /srv, /opt, /mnt, /home, /tmp, /var/tmp"},
        {"mountinfo",
         "1 0 1:1 / / rw - squashfs /dev/vda ro\n2 1 1:1 /x /var rw - ext4 /d rw\n"
         "3 1 1:1 /x /tmp rw,relatime shared:1 master:2 - tmpfs tmpfs rw\n",
         "writing to /usr, /etc, /srv, /opt, /mnt, /home"},
        {"mountinfo", "1 0 1:1 / /usr ro - ext4 /dev/vda rw\n", "writing to /usr"},
        {"mountinfo", "1 0 1:1 / /us ro - ext4 /dev/vda rw\n", ""},
        {"mountinfo", "1 0 1:1 / /usr/local ro - ext4 /dev/vda rw\n", ""},
        {"mountinfo", "1 0 1:1 / /usr ro - ext4 d rw\n2 1 1:1 / /usr rw - ext4 d rw\n", ""},
        {"mountinfo",
         "2 1 1:1 / /usr rw - ext4 d rw\n1 0 1:1 / / ro - ext4 d rw\n"
         "3 1 1:1 / /etc rw - x x rw\n4 1 1:1 / /var rw - x x rw\n"
         "5 1 1:1 / /srv rw - x x rw\n6 1 1:1 / /opt rw - x x rw\n"
         "7 1 1:1 / /mnt rw - x x rw\n8 1 1:1 / /home rw - x x rw\n"
         "9 1 1:1 / /tmp rw - x x rw\n",
         ""},
        {"mountinfo", "1 0 1:1 /systemd/inaccessible/dir /home ro,nosuid - tmpfs tmpfs rw\n",
         "looking into /home"},
        {"mountinfo", "1 0 1:1 /run/systemd/inaccessible/dir /home ro,nosuid - ext4 /dev/vda rw\n",
         "looking into /home"},
        {"mountinfo",
         "1 0 1:1 /tmp/systemd-private-1-x/tmp /tmp rw - ext4 /dev/vda rw\n"
         "2 0 1:1 /var/tmp/systemd-private-1-y/tmp /var/tmp rw - ext4 /dev/vda rw\n",
         "the machine's own /tmp, /var/tmp"},
        {"mountinfo", "1 0 1:1 / /dev ro,nosuid - tmpfs tmpfs rw\n", "devices"},
        {"mountinfo", "1 0 1:1 / /dev rw,nosuid - tmpfs tmpfs rw\n", ""},
        {"mountinfo", "1 0 1:1 / /proc rw - proc proc rw,hidepid=invisible\n",
         "other users' processes"},
        {"mountinfo", "1 0 1:1 / /proc rw - proc proc rw,hidepid=2,subset=pid\n",
         "other users' processes, what of /proc is no process"},
        {"mountinfo", "1 0 1:1 / /proc rw - proc proc rw,hidepid=off\n", ""},
        {"mountinfo", "\n1 0\n1 0 1:1 / /usr ro\n1 0 1:1 / - ext4 d rw\n1 0 1:1 / /usr ro - ext4\n",
         ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        write_plain_machine();
        write_file(rows[i].file, rows[i].text);
        sandbox_look(root);
        if (strcmp(sandbox_forbids(), rows[i].forbids) != 0)
            fail_msg("%s: '%s' in place of '%s'", rows[i].text, sandbox_forbids(), rows[i].forbids);
    }
}

static void all_at_once_has_room(void **state)
{
    (void)state;
    write_file("status", "CapBnd:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n");
    write_file("mountinfo", "1 0 1:1 / / ro - ext4 d rw\n"
                            "2 1 1:1 /systemd/inaccessible/dir /home ro - tmpfs tmpfs rw\n"
                            "3 1 1:1 /systemd-private-1/tmp /tmp rw - tmpfs tmpfs rw\n"
                            "4 1 1:1 / /dev ro - tmpfs tmpfs rw\n"
                            "5 1 1:1 / /proc rw - proc proc rw,hidepid=2,subset=pid\n");
    write_file("uid_map", "0 0 1\n");
    write_file("limits", "Max cpu time              18446744073709551614\n"
                         "Max file size             18446744073709551614\n"
                         "Max data size             18446744073709551614\n"
                         "Max address space         18446744073709551614\n");

    sandbox_look(root);

    const char *last = "more than 18446744073709551614 bytes of memory";
    const char *at = strstr(sandbox_forbids(), last);
    assert_non_null(at);
    assert_string_equal(at, last);
    assert_true(strlen(sandbox_forbids()) < 1500); // all trials would add less than 250
}

/* ---- Trials: each in a process that nothing can be permitted again. ---- */

struct trial {
    long calls[3];
    uint32_t action;
    const char *words;
};

/* In the child: whether the words are found once the calls are filtered, and not before. */
static int try_filter(const struct trial *trial)
{
    write_plain_machine();
    write_file("status", "Seccomp:\t2\n");
    sandbox_look(root);
    if (strstr(sandbox_forbids(), trial->words) != NULL)
        return 77; // the tests themselves run under such a filter
    if (!filter_calls(trial->calls, trial->action))
        return 2;
    write_file("status", "Seccomp:\t0\n");
    sandbox_look(root);
    if (strcmp(sandbox_forbids(), "") != 0)
        return 3; // without a filter nothing is tried
    write_file("status", "Seccomp:\t2\n");
    sandbox_look(root);
    if (strstr(sandbox_forbids(), "system calls that a filter does not know") == NULL)
        return 4;
    return strstr(sandbox_forbids(), trial->words) != NULL ? 0 : 5;
}

static void what_a_filter_refuses_is_found_by_trial(void **state)
{
    const uint32_t refused = SECCOMP_RET_ERRNO | EPERM;
    const struct trial trials[] = {
        {{SYS_mprotect, -1}, refused, "making writable memory executable"},
        {{SYS_setpriority, -1}, refused, "priorities and processors"},
        {{SYS_fchown, -1}, refused, "changing owners"},
        {{SYS_fchmod, -1}, SECCOMP_RET_ERRNO | EACCES, "set-user-ID bits"},
        {{SYS_setns, -1}, refused, "name spaces"},
        {{SYS_ptrace, -1}, SECCOMP_RET_ERRNO | ENOSYS, "tracing"},
        {{SYS_socket, -1}, SECCOMP_RET_ERRNO | EAFNOSUPPORT, "netlink sockets"},
        {{SYS_fchown, SYS_setns, -1}, SECCOMP_RET_KILL_PROCESS, "changing owners (chown), name"},
    };

    (void)state;
    if (getenv("RUNNEL_VALGRIND") != NULL)
        skip(); // it makes some of these calls itself, or not at all
    for (size_t i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        int status = 0;
        pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0)
            _exit(try_filter(&trials[i]));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 77)
            fail_msg("%s: %d", trials[i].words, WEXITSTATUS(status));
    }
}

static void a_trial_without_a_process_tells_nothing(void **state)
{
    (void)state;
    write_plain_machine();
    write_file("status", "Seccomp:\t2\n");

    fault_fail_from(FAULT_FORK, 1, EAGAIN);
    sandbox_look(root);

    assert_true(fault_reached());
    assert_string_equal(sandbox_forbids(), "system calls that a filter does not know");
}

/* ---- The start. ---- */

/* Whether a process can be dumped after the start; 2: something else failed. */
static int dumpable_with_core_limit(rlim_t limit)
{
    const struct rlimit core = {.rlim_cur = 0, .rlim_max = limit};
    int status = 0;

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (setrlimit(RLIMIT_CORE, &core) != 0)
            _exit(2);
        log_init(LOG_LEVEL_ERR);
        sandbox_start();
        _exit(prctl(PR_GET_DUMPABLE));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void without_cores_commands_cannot_look_into_the_daemon(void **state)
{
    struct rlimit before;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_CORE, &before), 0);
    assert_int_equal(dumpable_with_core_limit(0), 0);
    if (before.rlim_max > 0)
        assert_int_equal(dumpable_with_core_limit(1), 1);
}

static void the_start_logs_one_line_where_something_is_forbidden(void **state)
{
    size_t size = 0;

    (void)state;
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
            _exit(2);
        capture_start();
        log_init(LOG_LEVEL_NOTICE);
        sandbox_start();
        char *text = capture_end(&size);
        const char *line = strstr(text, "event=sandbox forbids=\"");
        bool is_one = line != NULL && strchr(line, '\n') == text + strlen(text) - 1;
        _exit(is_one && strstr(line, "new privileges (sudo)") != NULL ? 0 : 1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(on_a_plain_machine_nothing_is_forbidden, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(without_proc_nothing_is_known, make_root, remove_root),
        cmocka_unit_test_setup_teardown(each_fact_is_told_in_words, make_root, remove_root),
        cmocka_unit_test_setup_teardown(all_at_once_has_room, make_root, remove_root),
        cmocka_unit_test_setup_teardown(what_a_filter_refuses_is_found_by_trial, make_root,
                                        remove_root),
        cmocka_unit_test_setup_teardown(a_trial_without_a_process_tells_nothing, make_root,
                                        remove_root),
        cmocka_unit_test(without_cores_commands_cannot_look_into_the_daemon),
        cmocka_unit_test(the_start_logs_one_line_where_something_is_forbidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
