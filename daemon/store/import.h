/** \file A new store, made of an export's lines. */
#ifndef STORE_IMPORT_H
#define STORE_IMPORT_H

#include "store/import_line.h"
#include "store/lines.h"
#include "store/offline.h"

struct import {
    // Set before; all others zero.
    struct lines lines;                 // fd, and longest (0: as long as a line can be)
    uint64_t most[EXCHANGE_LINE_COUNT]; // of each sort; 0: any number
    bool is_synced;                     // else it is to be thrown away
    const struct store_watch *watch;    // NULL: nobody stops it
    struct error *reterr;
    // What it tells.
    uint64_t bad_line; // 0: none is
    uint64_t found[EXCHANGE_LINE_COUNT];
    // Its own.
    uint64_t wanted[EXCHANGE_LINE_COUNT]; // by the head
    struct import_lines into;
    struct sqlite sqlite; // of the new store
    int stopped;          // what watch said
};

/**
 * Makes the file of this name anew, a whole and sound store, closed.
 *
 * **Errors:** -EBADMSG: a line is broken (bad_line), or all together make no store; -E2BIG: its
 * head tells of more than `most`; what watch said; -ENOMEM, -ENOSPC, -EIO; as open(2), read(2). No
 * file is left then.
 */
int import_make(struct import *import, char *part) RN_MUST_CHECK;

#endif
