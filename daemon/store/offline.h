/** \file A store that no daemon has: opened for its check and for its compaction. */
#ifndef STORE_OFFLINE_H
#define STORE_OFFLINE_H

#include "store/schema.h"

struct offline {
    char *path; // of the file itself, links resolved
    int lock_fd;
    int version;
    struct sqlite sqlite;
};

/** Takes the lock and opens the file, which must be there. **Errors:** as store_check; nothing is
 * open then. */
int offline_open(struct offline *offline, const char *path, enum sqlite_role role,
                 struct error *reterr) RN_MUST_CHECK;
/** Closes the file and keeps the lock. */
void offline_let_go(struct offline *offline);
void offline_close(struct offline *offline);

#endif
