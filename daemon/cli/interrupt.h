/** \file Ctrl-C, for the commands that wait: it ends the wait and not the program, so that what
 * goes on without it can be said. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>
#include <stdint.h>

/** From now on SIGINT and SIGTERM are only noted. A second one ends the program as ever. */
void interrupt_catch(void);
/**
 * From now on SIGINT, SIGTERM and SIGHUP call fn, say that it is interrupted, and end the program
 * at once with 130; NULL: they end it as ever. In place of interrupt_catch(), for what can't be
 * broken off otherwise.
 *
 * @param fn  makes async-signal-safe calls alone
 */
void interrupt_run(void (*fn)(void));
/** Whether one has come. */
bool interrupt_seen(void);
/** Forgets it, so that another call can be made. */
void interrupt_forget(void);
/** Lets time pass; ends early when one comes. */
void interrupt_pause(int64_t ms);

#endif
