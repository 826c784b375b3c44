/** \file The processes that a killed daemon left running: ended before anything starts, so that no
 * task runs twice at once. */
#ifndef STORE_LEFTOVERS_H
#define STORE_LEFTOVERS_H

#include "store/slots_file.h"

/** Kills the process groups that slots name and waits until they are gone, at most 5 s. Logs each,
 * and those that stay. */
void leftovers_kill(const struct slot_left *left, size_t count);

#endif
