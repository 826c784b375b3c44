/* The one state of the program that is not handed from function to function: a signal has nobody to
 * hand it to. */
#include "cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "cli/cli.h"

enum { SIGNAL_BASE = 128 };

static volatile sig_atomic_t seen;
static void (*run_fn)(void); // set while no handler is that calls it

static void note(int number)
{
    (void)number;
    seen = 1;
}

void interrupt_catch(void)
{
    // Not SA_RESTART: a wait is to end. The second one finds the default again.
    struct sigaction action = {.sa_handler = note, .sa_flags = (int)SA_RESETHAND};

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
}

static void run_and_end(int number)
{
    static const char bare[] = "runnel: interrupted\n";
    static const char on_terminal[] = "\r\033[Krunnel: interrupted\n"; // a bar may stand there
    const char *text = isatty(STDERR_FILENO) == 1 ? on_terminal : bare;

    run_fn();
    if (number == SIGPIPE) // nobody reads what could be said
        _exit(SIGNAL_BASE + SIGPIPE);
    (void)!write(STDERR_FILENO, text, strlen(text));
    _exit(CLI_INTERRUPTED);
}

void interrupt_run(void (*fn)(void))
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
    enum { COUNT = sizeof(numbers) / sizeof(numbers[0]) };
    struct sigaction action = {.sa_handler = fn == NULL ? SIG_DFL : run_and_end};
    struct sigaction before;

    if (fn != NULL)
        run_fn = fn;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < COUNT; i++)
        (void)sigaddset(&action.sa_mask, numbers[i]);
    for (size_t i = 0; i < COUNT; i++) {
        // What nohup or a shell had ignored stays so.
        bool is_ignored = sigaction(numbers[i], NULL, &before) == 0 && before.sa_handler == SIG_IGN;
        if (!is_ignored)
            (void)sigaction(numbers[i], &action, NULL);
    }
}

bool interrupt_seen(void)
{
    return seen != 0;
}

void interrupt_forget(void)
{
    seen = 0;
}

void interrupt_pause(int64_t ms)
{
    enum { STEP_MS = 100 }; // one that comes between the look and the poll is seen this late
    rn_time until = rn_after(ms * RN_MILLISECOND);

    while (!interrupt_seen()) {
        rn_duration left = until - rn_now();
        if (left <= 0)
            return;
        int64_t left_ms = left / RN_MILLISECOND + 1;
        (void)poll(NULL, 0, (int)(left_ms < STEP_MS ? left_ms : STEP_MS));
    }
}
