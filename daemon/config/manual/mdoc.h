/** \file What the programs share that write the tables of the manual pages. They run at build time,
 * on the machine that builds, and are linked with little but the tables. */
#ifndef CONFIG_MANUAL_MDOC_H
#define CONFIG_MANUAL_MDOC_H

#include <stdbool.h>

/** Prints a text as mdoc takes it: no macro at the beginning of a line, no escape, no long line.
 * wraps: not where it is a macro's argument. */
void mdoc_print(const char *text, bool wraps);
/** Whether all of it was written: the program's exit status. */
int mdoc_end(void);

#endif
