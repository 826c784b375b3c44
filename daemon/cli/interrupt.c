/* The one state of the program that is not handed from function to function: a signal has nobody to
 * hand it to. */
#include "cli/interrupt.h"

#include <poll.h>
#include <signal.h>
#include <stddef.h>

#include <runnel/clock.h>

static volatile sig_atomic_t seen;

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
