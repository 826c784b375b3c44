/*
 * Which group is ours: a pid is not given to another process while a group has it as its number. So
 * with a living process of that pid the start time decides, and without one what is left of the
 * group is the task's. A zombie counts as gone: it runs nothing, and who should reap it may never
 * do so. But one of which a thread is left does not: it may have been the first thread alone that
 * has ended.
 */
#include "store/leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "config/units.h"
#include "observe/log.h"

enum { WAIT_MS = 5000, LOOK_AGAIN_MS = 20 };

// Fields of /proc/PID/stat, counted from the one behind the command's closing bracket (see proc(5),
// there 3, 5, 20 and 22).
enum { STAT_STATE = 0, STAT_GROUP = 2, STAT_THREADS = 17, STAT_START_TIME = 19, STAT_FIELDS = 20 };

struct process {
    char state;
    uint64_t group;
    uint64_t threads; // a zombie counts as one
    uint64_t start_time;
};

/* -ENOENT: there is none, or nothing can be told of it. */
static int look_at(const char *pid, struct process *ret_process)
{
    char path[64];
    char text[1024];
    char *fields[STAT_FIELDS] = {NULL};

    (void)snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -ENOENT;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    text[n < 0 ? 0 : n] = '\0';
    char *rest = strrchr(text, ')'); // the command's name may hold brackets and spaces
    if (rest == NULL || rest[1] != ' ')
        return -ENOENT;
    rest += 2;
    for (unsigned i = 0; i < STAT_FIELDS; i++) {
        fields[i] = strsep(&rest, " ");
        if (fields[i] == NULL)
            return -ENOENT;
    }
    struct process process = {.state = fields[STAT_STATE][0]};
    if (units_unsigned(fields[STAT_GROUP], INT64_MAX, &process.group) < 0 ||
        units_unsigned(fields[STAT_THREADS], INT64_MAX, &process.threads) < 0 ||
        units_unsigned(fields[STAT_START_TIME], UINT64_MAX, &process.start_time) < 0)
        return -ENOENT;
    *ret_process = process;
    return 0;
}

static bool is_gone(const struct process *process)
{
    return (process->state == 'Z' && process->threads <= 1) || process->state == 'X';
}

static bool is_ours(const struct slot_left *left)
{
    char pid[32];
    struct process process = {0};
    struct process self = {0};

    // -1 and 0 mean other groups than one of a task, and our own is not one that was left.
    if (left->pid <= 1 || left->pid > INT32_MAX || left->pid == getpgrp())
        return false;
    (void)snprintf(pid, sizeof(pid), "%lld", (long long)left->pid);
    if (look_at(pid, &process) < 0)
        return true;
    if (left->start_time != 0)
        return process.start_time == left->start_time;
    // The daemon died before it knew the start time: then the leader of its own group, older than
    // this process.
    return look_at("self", &self) == 0 && process.group == (uint64_t)left->pid &&
           process.start_time <= self.start_time;
}

/* Whether a process of the group still runs. */
static bool group_runs(pid_t group)
{
    struct process process = {0};
    bool runs = false;

    if (kill(-group, 0) < 0)
        return false; // ESRCH; EPERM: nothing of it can be ours
    DIR *directory = opendir("/proc");
    if (directory == NULL)
        return true;
    for (const struct dirent *entry = readdir(directory); entry != NULL && !runs;
         entry = readdir(directory)) {
        bool is_process = entry->d_name[0] >= '1' && entry->d_name[0] <= '9';
        if (is_process && look_at(entry->d_name, &process) == 0)
            runs = process.group == (uint64_t)group && !is_gone(&process);
    }
    (void)closedir(directory);
    return runs;
}

void leftovers_kill(const struct slot_left *left, size_t count)
{
    bool waits_for[SLOTS_COUNT] = {false};
    size_t running = 0;

    RN_ASSERT(count <= SLOTS_COUNT);
    for (size_t i = 0; i < count; i++) {
        if (left[i].pid == 0 || !is_ours(&left[i]))
            continue;
        pid_t group = (pid_t)left[i].pid;
        // By the pid too: it may have died between being written down and leading its group.
        if (kill(-group, SIGKILL) < 0 && kill(group, SIGKILL) < 0)
            continue; // nothing is left of it
        waits_for[i] = true;
        running++;
        log_event(LOG_LEVEL_WARN, "leftover_killed", LOG_UINT("task", left[i].task),
                  LOG_INT("pid", group));
    }
    rn_time deadline = rn_after(WAIT_MS * RN_MILLISECOND);
    while (running > 0) {
        bool is_late = rn_now() >= deadline;
        for (size_t i = 0; i < count; i++) {
            if (!waits_for[i])
                continue;
            bool runs = group_runs((pid_t)left[i].pid);
            if (runs && !is_late)
                continue;
            waits_for[i] = false;
            running--;
            if (runs)
                log_event(LOG_LEVEL_ERR, "leftover_stays", LOG_UINT("task", left[i].task),
                          LOG_INT("pid", left[i].pid));
        }
        if (running > 0)
            (void)poll(NULL, 0, LOOK_AGAIN_MS);
    }
}
