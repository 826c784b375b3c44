/* Runs what must abort in a process of its own. */
#include "crash.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void run_in_child(int errors, void (*fn)(void *arg), void *arg)
{
    const struct rlimit no_core = {.rlim_cur = 0, .rlim_max = 0};

    (void)setrlimit(RLIMIT_CORE, &no_core);
    // cmocka may have handlers of its own, which would go on with the tests here.
    (void)sigaction(SIGABRT, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    (void)dup2(errors, STDERR_FILENO);
    fn(arg);
    _exit(0);
}

bool aborts_with(const char *text, void (*fn)(void *arg), void *arg)
{
    int fds[2];
    char output[4096];
    size_t length = 0;
    int status = 0;

    if (pipe(fds) < 0)
        return false;
    pid_t child = fork();
    if (child == 0)
        run_in_child(fds[1], fn, arg);
    (void)close(fds[1]);
    for (;;) {
        ssize_t n = read(fds[0], output + length, sizeof(output) - 1 - length);
        if (n <= 0)
            break;
        length += (size_t)n;
    }
    output[length] = '\0';
    (void)close(fds[0]);
    if (child < 0 || waitpid(child, &status, 0) != child)
        return false;
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(output, text) != NULL;
}
