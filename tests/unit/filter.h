/** \file A filter of system calls, as a sandbox has it. */
#ifndef TESTS_FILTER_H
#define TESTS_FILTER_H

#include <stdbool.h>
#include <stdint.h>

/**
 * Has the system calls (numbers, ended by -1, at most 16) answered with action (SECCOMP_RET_…) in
 * this thread and in what it starts from now on; not in other threads.
 */
bool filter_calls(const long *calls, uint32_t action);

#endif
