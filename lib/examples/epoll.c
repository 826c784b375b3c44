/*
 * A program with an event loop of its own, which never waits but in epoll_wait(), and a service
 * that does for it what blocks: it reads the names of files from standard input (a pipe or a
 * terminal), one a line, and 3 workers count their lines. The loop waits for input, for results,
 * and for a timer by which it tells on standard error how far it is.
 *
 * Input that is ahead of the workers is left in the pipe: rn_service_try_submit() says so, and the
 * next result makes room. The loop ends when the results channel is closed: at the end of the
 * input, when all is done; or at Ctrl-C, which cancels the service.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <runnel/runnel.h>

enum { WORKERS = 3, BACKLOG = 8, PLACES = 16, LINE_BYTES = 4096, TICK_MS = 100 };

struct task {
    char *path;
    uint64_t lines; // the result
};

struct loop {
    rn_service *service;
    int epoll;
    int timer;
    bool watches; // standard input
    bool ended;   // standard input has
    char input[LINE_BYTES];
    size_t used; // bytes of input
    unsigned submitted;
    unsigned done;
};

// ---- On the workers' threads

static int count_lines(rn_context *ctx, void *arg, unsigned worker, void *arg_task)
{
    struct task *task = arg_task;
    char chunk[16384];
    ssize_t got;
    int r;

    (void)arg, (void)worker;
    int fd = open(task->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    while ((got = read(fd, chunk, sizeof(chunk))) > 0 && rn_context_err(ctx) == 0)
        for (ssize_t i = 0; i < got; i++)
            task->lines += chunk[i] == '\n';
    r = got < 0 ? -errno : rn_context_err(ctx);
    close(fd);
    return r;
}

// ---- On the loop's thread

static void free_task(struct task *task)
{
    free(task->path);
    free(task);
}

/* -EAGAIN: there is no room now. */
static int submit(struct loop *loop, const char *path)
{
    int r = -ENOMEM;
    struct task *task = calloc(1, sizeof(*task));

    if (task != NULL)
        task->path = strdup(path);
    if (task != NULL && task->path != NULL)
        r = rn_service_try_submit(loop->service, task);
    if (r == 0)
        loop->submitted++;
    else if (task != NULL)
        free_task(task);
    return r;
}

/* Submits the whole lines that are there. -EAGAIN: not all of them. */
static int submit_lines(struct loop *loop)
{
    char *line = loop->input;
    char *limit = loop->input + loop->used;
    char *end;
    int r = 0;

    while (r == 0 && (end = memchr(line, '\n', (size_t)(limit - line))) != NULL) {
        *end = '\0';
        r = submit(loop, line);
        if (r == 0)
            line = end + 1;
        else
            *end = '\n';
    }
    loop->used = (size_t)(limit - line);
    memmove(loop->input, line, loop->used);
    return r;
}

static int watch(const struct loop *loop, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

/* Goes on with the input as far as there is room; only then is there a need to hear of more. */
static int pump(struct loop *loop)
{
    int r = submit_lines(loop);
    bool wants_more = r == 0 && !loop->ended;

    if (r == 0 && loop->ended)
        rn_service_close(loop->service);
    if (r == -EAGAIN || r == -EPIPE) // no room; or cancelled, and the results will be closed
        r = 0;
    if (r == 0 && wants_more && !loop->watches)
        r = watch(loop, STDIN_FILENO);
    if (!wants_more && loop->watches)
        (void)epoll_ctl(loop->epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
    loop->watches = wants_more;
    return r;
}

static int read_input(struct loop *loop)
{
    // One byte is kept for the end of a last line that has none.
    size_t room = sizeof(loop->input) - 1 - loop->used;
    ssize_t got = room > 0 ? read(STDIN_FILENO, loop->input + loop->used, room) : 0;

    if (room == 0)
        return -EMSGSIZE;
    if (got < 0)
        return errno == EINTR ? 0 : -errno;
    loop->used += (size_t)got;
    if (got == 0) {
        loop->ended = true;
        if (loop->used > 0)
            loop->input[loop->used++] = '\n';
    }
    return pump(loop);
}

/* Prints what has come. -EPIPE: there will be no more. */
static int take_results(struct loop *loop)
{
    struct rn_service_result result;
    int r;

    while ((r = rn_chan_try_recv(rn_service_results(loop->service), &result)) == 0) {
        struct task *task = result.task;
        if (result.outcome == RN_TASK_DONE)
            printf("%llu %s\n", (unsigned long long)task->lines, task->path);
        else
            fprintf(stderr, "epoll: %s: %s\n", task->path, rn_strerror(result.error));
        free_task(task);
        loop->done++;
    }
    return r;
}

static int run(struct loop *loop)
{
    struct epoll_event event;
    uint64_t ticks;
    int r = 0;

    while (r == 0) {
        if (epoll_wait(loop->epoll, &event, 1, -1) < 0) {
            r = errno == EINTR ? 0 : -errno;
        } else if (event.data.fd == STDIN_FILENO) {
            r = read_input(loop);
        } else if (event.data.fd == loop->timer) {
            if (read(loop->timer, &ticks, sizeof(ticks)) > 0)
                fprintf(stderr, "%u of %u done\n", loop->done, loop->submitted);
        } else {
            r = take_results(loop);
            if (r == -EAGAIN)
                r = pump(loop);
        }
    }
    return r == -EPIPE ? 0 : r;
}

/* Makes what the loop waits for. */
static int prepare(struct loop *loop)
{
    const struct timespec tick = {.tv_nsec = TICK_MS * RN_MILLISECOND};
    const struct itimerspec ticks = {.it_interval = tick, .it_value = tick};
    int results = rn_chan_fd(rn_service_results(loop->service));
    int r;

    if (results < 0)
        return results;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return -errno;
    loop->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (loop->timer < 0 || timerfd_settime(loop->timer, 0, &ticks, NULL) < 0)
        return -errno;
    r = watch(loop, results);
    if (r == 0)
        r = watch(loop, loop->timer);
    if (r == 0)
        r = pump(loop); // from here on it watches standard input too
    return r;
}

int main(void)
{
    static const int signals[] = {SIGINT, SIGTERM};
    static struct loop loop = {.epoll = -1, .timer = -1};
    const struct rn_service_options options = {.name = "count",
                                               .workers = WORKERS,
                                               .backlog = BACKLOG,
                                               .results = PLACES,
                                               .run_fn = count_lines};
    rn_context *ctx = NULL;

    int r = rn_context_with_signals(NULL, signals, 2, &ctx);
    if (r == 0)
        r = rn_service_new(ctx, &options, &loop.service);
    if (r == 0)
        r = prepare(&loop);
    if (r == 0)
        r = rn_service_start(loop.service);
    if (r == 0)
        r = run(&loop);
    if (loop.service != NULL) {
        rn_service_shutdown(loop.service, 0);
        (void)take_results(&loop); // after an error: what was under way
    }
    if (r < 0)
        fprintf(stderr, "epoll: %s\n", rn_strerror(r));
    int status = rn_context_err(ctx) != 0 ? 128 + rn_context_cause(ctx) : r < 0 ? 1 : 0;
    rn_service_free(loop.service);
    rn_context_unref(ctx);
    close(loop.epoll);
    close(loop.timer);
    return status;
}
