/** \file The attempts of a task before its last one, kept as a JSON array in its record. */
#ifndef STORE_HISTORY_H
#define STORE_HISTORY_H

#include "store/record.h"

/** Moves what the record says of its last attempt to the end of its history, of which the last
 * RECORD_HISTORY_MAX - 1 stay (the attempt that follows is the tenth). Without memory the history
 * stays as it was. */
void history_append(struct record *record);

#endif
