/** \file Runs what must abort in a process of its own. */
#ifndef TESTS_LIB_CRASH_H
#define TESTS_LIB_CRASH_H

#include <stdbool.h>

/** Calls fn(arg) in a child; true: it aborted, and its standard error has the text. */
bool aborts_with(const char *text, void (*fn)(void *arg), void *arg);

#endif
