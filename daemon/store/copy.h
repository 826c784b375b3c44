/** \file A copy of the store that an export reads: see store_export_copy. One thread at a time. */
#ifndef STORE_COPY_H
#define STORE_COPY_H

#include "store/sqlite.h"

struct store_copy {
    struct sqlite sqlite;
};

/** Opens the file, which is empty yet and may lose its name then. As sqlite_open. */
int copy_new(const char *part, struct store_copy **ret_copy) RN_MUST_CHECK;
/** The copy is whole; fd is open on it, and nothing was read of it yet. As pwrite(2). */
int copy_settle(int fd) RN_MUST_CHECK;

#endif
