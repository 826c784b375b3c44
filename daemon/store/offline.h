/** \file A store that no daemon has: opened for its check and for its compaction. */
#ifndef STORE_OFFLINE_H
#define STORE_OFFLINE_H

#include "store/schema.h"

struct offline {
    char *path; // of the file itself, links resolved
    int lock_fd;
    int version;
    bool is_new;
    struct sqlite sqlite;
};

/** Takes the lock and opens the file, which must be there. **Errors:** as store_check; nothing is
 * open then. */
int offline_open(struct offline *offline, const char *path, enum sqlite_role role,
                 struct error *reterr) RN_MUST_CHECK;
/**
 * The same of a file that may have to be made: it may be missing or empty (version 0 then), and is
 * opened as the writer. is_new tells whether it was made here.
 */
int offline_open_new(struct offline *offline, const char *path, struct error *reterr) RN_MUST_CHECK;
/** Copies the log into the file and removes it, so that the file alone is the store: another one in
 * its place must not meet it. -EBUSY: another program has the file open. */
int offline_end_log(struct offline *offline, struct error *reterr) RN_MUST_CHECK;
/** store_check of what is open. */
int offline_check(struct offline *offline, store_line_fn *line_fn, void *arg,
                  struct store_check_result *ret_result, struct error *reterr) RN_MUST_CHECK;
/** Closes the file and keeps the lock. */
void offline_let_go(struct offline *offline);
void offline_close(struct offline *offline);

#endif
