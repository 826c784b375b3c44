/*
 * One child process. Everything here belongs to the worker's thread that calls process_run; the
 * process is its child, and PR_SET_PDEATHSIG is about this very thread, which stays until the child
 * has ended.
 *
 * The child comes by vfork: until it executes the program it runs in this thread's memory and on
 * its stack, with the thread suspended. So it makes system calls and nothing else: no allocation,
 * no lock, no stdio. Its pid and why it could not start the program it writes into the slot, which
 * is mapped memory and out of the program's reach. Nothing else may rely on the memory being
 * shared: under valgrind and ThreadSanitizer vfork is fork.
 *
 * What ends an attempt is the end of the process, as its pidfd tells, not the end of its output: a
 * grandchild may hold the pipes for ever. The order at the end matters:
 *   1. the leader is a zombie, so that its pid, which is also the group's, can't be given to
 * anybody else;
 *   2. the group is killed;
 *   3. what lies in the pipes is read without waiting;
 *   4. the slot forgets the pid;
 *   5. the leader is reaped.
 *
 * Our ends of the pipes do not block: a process can open /proc/PID/fd/1 and take the bytes that
 * poll has announced to us. The program's ends of its output stay open here until it has ended:
 * else its exit, which closes them some time before it makes a zombie, would wake us twice.
 */
#include "runners/process.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/close_range.h>

#include <runnel/sync.h>

#include "config/units.h"

enum {
    GRACE_STEP_MS = 100,       // how often kill_grace is asked again
    NO_PIDFD_STEP_MS = 10,     // how often waitid is asked where there is no pidfd
    LAST_READ_BYTES = 1 << 20, // the largest pipe there is: what is read once the process has ended
};

/* What is polled; the descriptors stand there until they are closed (then -1). */
enum { POLLED_PIDFD, POLLED_CONTEXT, POLLED_IN, POLLED_OUT, POLLED_ERR, POLLED_COUNT };

enum phase { PHASE_RUNNING, PHASE_TERMINATING, PHASE_KILLED };

struct process {
    const struct process_spec *spec;
    struct process_end *end;
    pid_t pid;
    int stdio[3];                       // the program's ends of the pipes; stdin -1: /dev/null
    struct pollfd polled[POLLED_COUNT]; // all ours but the context's
    size_t written;                     // of spec->input
    enum phase phase;
    rn_time stopped_at; // when SIGTERM was sent
};

/* What the child needs. */
struct launch {
    const struct process_spec *spec;
    pid_t parent;
    const int *stdio;
    volatile uint64_t child_ticks; // where memory is shared: the clock in the child, else 0
};

/* What is the same for all starts of the process, set once by setup(). */
static struct rn_once setup_once = RN_ONCE_INIT;
static sigset_t changed_signals; // those that do not have their default action in the daemon
static uint64_t tick_ns;         // of /proc/PID/stat

static void setup(void)
{
    struct sigaction action;

    // A daemon started with SIGCHLD ignored would never learn how its children ended.
    action = (struct sigaction){.sa_handler = SIG_DFL};
    (void)sigaction(SIGCHLD, &action, NULL);

    (void)sigemptyset(&changed_signals);
    for (int signal = 1; signal < NSIG; signal++) {
        if (sigaction(signal, NULL, &action) == 0 && action.sa_handler != SIG_DFL)
            (void)sigaddset(&changed_signals, signal);
    }
    long ticks_per_s = sysconf(_SC_CLK_TCK);
    RN_ASSERT(ticks_per_s > 0);
    tick_ns = (uint64_t)(RN_SECOND / ticks_per_s);
}

/* CLOCK_BOOTTIME in the unit of field 22 of /proc/PID/stat, which is read from the same clock. */
static uint64_t ticks_now(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return ((uint64_t)now.tv_sec * (uint64_t)RN_SECOND + (uint64_t)now.tv_nsec) / tick_ns;
}

/* Field 22 itself; 0: it can't be read. */
static uint64_t read_start_time(pid_t pid)
{
    char path[64];
    char text[1024];
    uint64_t ticks = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    (void)close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';

    char *at = strrchr(text, ')'); // field 2, the program's name, may hold anything
    for (int field = 2; at != NULL && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at == NULL)
        return 0;
    at++;
    at[strcspn(at, " ")] = '\0';
    return units_unsigned(at, UINT64_MAX, &ticks) == 0 ? ticks : 0;
}

/* ---- The child: system calls only. ---- */

static _Noreturn void child_fail(const struct launch *launch, enum process_step step)
{
    struct slot *slot = launch->spec->slot;

    atomic_store_explicit(&slot->failed_step, (int32_t)step, memory_order_relaxed);
    atomic_store_explicit(&slot->failure, errno, memory_order_release);
    _exit(127);
}

/* Has everything above standard error closed by the execve. */
static void child_close_on_exec(const struct launch *launch)
{
    struct rlimit limit;

    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) == 0)
        return;
    // Some sandboxes forbid it.
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        child_fail(launch, PROCESS_STEP_STDIO);
    for (rlim_t fd = 3; fd < limit.rlim_cur && fd <= INT_MAX; fd++)
        (void)fcntl((int)fd, F_SETFD, FD_CLOEXEC);
}

static void child_stdio(const struct launch *launch)
{
    int input = launch->stdio[0];

    if (input < 0)
        input = open("/dev/null", O_RDONLY | O_CLOEXEC);
    // The sources lie above 2, so no dup2 overwrites one that is still needed, and each clears
    // close-on-exec.
    if (input < 0 || dup2(input, 0) < 0 || dup2(launch->stdio[1], 1) < 0 ||
        dup2(launch->stdio[2], 2) < 0)
        child_fail(launch, PROCESS_STEP_STDIO);
}

static void child_signals(void)
{
    const struct sigaction action = {.sa_handler = SIG_DFL};
    sigset_t none;

    for (int signal = 1; signal < NSIG; signal++) {
        if (sigismember(&changed_signals, signal) == 1)
            (void)sigaction(signal, &action, NULL);
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void child_run(struct launch *launch)
{
    const struct process_spec *spec = launch->spec;

    atomic_store_explicit(&spec->slot->pid, getpid(), memory_order_release);
    launch->child_ticks = ticks_now();
    // A session of its own is also a group of its own, and has no terminal: what asks for a
    // password there fails instead of being stopped for ever.
    if (setsid() < 0 || prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        child_fail(launch, PROCESS_STEP_RESOURCES);
    if (getppid() != launch->parent)
        _exit(127); // the daemon died before the line above
    child_stdio(launch);
    child_close_on_exec(launch);
    if (chdir(spec->directory) != 0)
        child_fail(launch, PROCESS_STEP_DIRECTORY);
    child_signals();
    (void)execve(spec->argv[0], spec->argv, spec->environment);
    child_fail(launch, PROCESS_STEP_PROGRAM);
}

/* ---- The parent. ---- */

/* Here and nowhere else: a frame of its own, so that no variable of the caller lives in both.
 * Returns the pid or negative errno. */
static __attribute__((noinline)) pid_t start_child(struct launch *launch)
{
    sigset_t all;
    sigset_t before;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    // NOLINTNEXTLINE(clang-analyzer-security.insecureAPI.vfork): see the head of this file
    pid_t pid = vfork();
    if (pid == 0)
        child_run(launch);
    int error = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return pid > 0 ? pid : -error;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* A pipe whose ends lie above standard error, where the child's dup2 can't hit them even in a
 * daemon started without it. */
static int make_pipe(int *ret_read, int *ret_write)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return -errno;
    for (int i = 0; i < 2; i++) {
        if (ends[i] > 2)
            continue;
        int moved = fcntl(ends[i], F_DUPFD_CLOEXEC, 3);
        int error = -errno;
        (void)close(ends[i]);
        if (moved < 0) {
            (void)close(ends[1 - i]);
            return error;
        }
        ends[i] = moved;
    }
    *ret_read = ends[0];
    *ret_write = ends[1];
    return 0;
}

/* Writes what the pipe takes of the input and closes it after the last byte, or when nobody reads
 * it. */
static void write_input(struct process *process)
{
    const struct process_spec *spec = process->spec;
    int *fd = &process->polled[POLLED_IN].fd;

    if (process->written < spec->input_bytes) {
        ssize_t n =
            write(*fd, spec->input + process->written, spec->input_bytes - process->written);
        if (n >= 0)
            process->written += (size_t)n;
        else if (errno != EAGAIN && errno != EINTR)
            close_fd(fd);
    }
    if (process->written == spec->input_bytes)
        close_fd(fd);
}

static int open_pipes(struct process *process)
{
    struct pollfd *polled = process->polled;
    int *stdio = process->stdio;

    int r = make_pipe(&polled[POLLED_OUT].fd, &stdio[1]);
    if (r == 0)
        r = make_pipe(&polled[POLLED_ERR].fd, &stdio[2]);
    if (r == 0 && process->spec->input != NULL)
        r = make_pipe(&stdio[0], &polled[POLLED_IN].fd);
    if (r != 0)
        return r;
    // O_NONBLOCK belongs to one end of a pipe: the program's ends block, as programs expect.
    for (int i = POLLED_IN; i <= POLLED_ERR; i++) {
        if (polled[i].fd >= 0 && fcntl(polled[i].fd, F_SETFL, O_NONBLOCK) != 0)
            return -errno;
    }
    if (polled[POLLED_IN].fd >= 0)
        write_input(process); // most input fits into the pipe, and is done with before the start
    return 0;
}

/* What the child could not do, if anything. Asked when it has ended: where vfork is fork it is not
 * known before. */
static void read_failure(const struct process *process)
{
    struct slot *slot = process->spec->slot;
    int error = atomic_load_explicit(&slot->failure, memory_order_acquire);

    if (error != 0) {
        process->end->error = -error;
        process->end->step =
            (enum process_step)atomic_load_explicit(&slot->failed_step, memory_order_relaxed);
    }
}

static int start(rn_context *ctx, struct process *process)
{
    struct launch launch = {.spec = process->spec, .parent = getpid(), .stdio = process->stdio};
    struct slot *slot = process->spec->slot;

    int r = rn_context_fd(ctx);
    if (r >= 0) {
        process->polled[POLLED_CONTEXT].fd = r;
        r = open_pipes(process);
    }
    if (r < 0)
        return r;

    uint64_t ticks = ticks_now();
    atomic_store_explicit(&slot->start_time, ticks, memory_order_relaxed);
    atomic_store_explicit(&slot->failure, 0, memory_order_relaxed);
    pid_t pid = start_child(&launch);
    close_fd(&process->stdio[0]); // so that writing tells when nobody reads the input any more
    if (pid < 0)
        return (int)pid;
    process->pid = pid;
    if (launch.child_ticks != ticks) {
        // A tick fell between: only /proc knows on which side of it the process began.
        uint64_t exact = read_start_time(pid);
        if (exact != 0)
            atomic_store_explicit(&slot->start_time, exact, memory_order_relaxed);
    }
    // Without one (no descriptor left, valgrind) waitid is asked again and again.
    process->polled[POLLED_PIDFD].fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return 0;
}

static void kill_group(const struct process *process, int signal)
{
    // Where vfork is fork the group may not be there yet.
    if (kill(-process->pid, signal) != 0 && errno == ESRCH)
        (void)kill(process->pid, signal);
}

static void kill_now(struct process *process)
{
    kill_group(process, SIGKILL);
    process->phase = PHASE_KILLED;
}

static void terminate(struct process *process, int error)
{
    process->end->stopped = error;
    process->polled[POLLED_CONTEXT].fd = -1;
    if (process->phase != PHASE_RUNNING)
        return;
    kill_group(process, SIGTERM);
    kill_group(process, SIGCONT); // a stopped one would not notice
    process->phase = PHASE_TERMINATING;
    process->stopped_at = rn_now();
}

/* Milliseconds until something is to be done without an event, -1: never. Kills when the grace has
 * passed. */
static int next_step_ms(struct process *process)
{
    const struct process_spec *spec = process->spec;
    int timeout = -1;

    if (process->phase == PHASE_TERMINATING) {
        rn_duration left = process->stopped_at + spec->kill_grace(spec->kill_grace_arg) - rn_now();
        if (left <= 0) {
            process->end->killed = true;
            kill_now(process);
        } else {
            timeout = left < GRACE_STEP_MS * RN_MILLISECOND ? (int)(left / RN_MILLISECOND) + 1
                                                            : GRACE_STEP_MS;
        }
    }
    if (process->polled[POLLED_PIDFD].fd < 0 && (timeout < 0 || timeout > NO_PIDFD_STEP_MS))
        timeout = NO_PIDFD_STEP_MS;
    return timeout;
}

/* Whether the leader is a zombie. */
static bool has_ended(const struct process *process)
{
    siginfo_t info = {.si_pid = 0};

    if (process->polled[POLLED_PIDFD].fd >= 0)
        return process->polled[POLLED_PIDFD].revents != 0;
    int r = waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return r == 0 && info.si_pid == process->pid;
}

static void read_output(struct process *process)
{
    int *fd = &process->polled[POLLED_OUT].fd;

    // Without bytes, when another process has taken them, there is nothing to be done.
    if (output_head_read(&process->end->out, *fd) > 0 && process->end->out.over) {
        kill_now(process);
        close_fd(fd);
    }
}

static void read_errors(struct process *process)
{
    long n = output_tail_read(&process->end->err, process->polled[POLLED_ERR].fd);
    (void)n; // as above
}

static void wait_for_end(rn_context *ctx, struct process *process)
{
    struct pollfd *polled = process->polled;

    do {
        int n = poll(polled, POLLED_COUNT, next_step_ms(process));
        RN_ASSERT(n >= 0 || errno == EINTR);
        if (n <= 0)
            continue;
        if (polled[POLLED_OUT].revents != 0)
            read_output(process);
        if (polled[POLLED_ERR].revents != 0)
            read_errors(process);
        if (polled[POLLED_IN].revents != 0)
            write_input(process);
        if (polled[POLLED_CONTEXT].revents != 0 && !has_ended(process))
            terminate(process, rn_context_err(ctx));
    } while (!has_ended(process));
}

/* Everything that has to be done once the leader is a zombie; the order is that of this file's
 * head. */
static void finish(struct process *process)
{
    struct process_end *end = process->end;
    struct pollfd *polled = process->polled;
    long n = 1;

    kill_group(process, SIGKILL);
    read_failure(process);
    if (polled[POLLED_OUT].fd >= 0) {
        while (output_head_read(&end->out, polled[POLLED_OUT].fd) > 0) // bounded by its limit
            continue;
    }
    for (long bytes = 0; n > 0 && bytes < LAST_READ_BYTES; bytes += n)
        n = output_tail_read(&end->err, polled[POLLED_ERR].fd);

    atomic_store_explicit(&process->spec->slot->pid, 0, memory_order_release);
    atomic_store_explicit(&process->spec->slot->start_time, 0, memory_order_release);
    pid_t pid = wait4(process->pid, &end->status, 0, &end->usage);
    RN_ASSERT(pid == process->pid);
}

void process_run(rn_context *ctx, const struct process_spec *spec, struct process_end *ret_end)
{
    struct process process = {.spec = spec, .end = ret_end, .stdio = {-1, -1, -1}};
    const rn_time began = rn_now();

    for (int i = 0; i < POLLED_COUNT; i++)
        process.polled[i] = (struct pollfd){.fd = -1, .events = i == POLLED_IN ? POLLOUT : POLLIN};
    *ret_end = (struct process_end){.step = PROCESS_STEP_RESOURCES};
    rn_once(&setup_once, setup);

    int r = output_head_init(&ret_end->out, spec->output_max);
    if (r == 0)
        r = output_tail_init(&ret_end->err);
    if (r == 0)
        r = start(ctx, &process);
    if (r == 0) {
        wait_for_end(ctx, &process);
        finish(&process);
    } else {
        ret_end->error = r;
    }
    for (int i = 0; i < 3; i++)
        close_fd(&process.stdio[i]);
    for (int i = 0; i < POLLED_COUNT; i++) {
        if (i != POLLED_CONTEXT)
            close_fd(&process.polled[i].fd);
    }
    ret_end->wall = rn_now() - began;
}

void process_end_fini(struct process_end *end)
{
    output_head_fini(&end->out);
    output_tail_fini(&end->err);
}
