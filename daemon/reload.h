/** \file
 * SIGHUP: the file is loaded and checked on a thread of its own, so that a slow disk keeps no
 * signal waiting; what comes of it is put in force, logged and told to systemd on main's thread.
 */
#ifndef DAEMON_RELOAD_H
#define DAEMON_RELOAD_H

#include <runnel/group.h>

#include "watch.h"

struct reload {
    const struct config_options *options; // those of the start, -o too
    struct engine *engine;
    struct watch *watch;
    int fd; // becomes readable when a load is over
    bool is_loading;
    bool is_asked_again; // while it loads
    rn_group *group;     // of the thread
    // written by the thread, read when fd is readable
    int result;
    struct config *config;
    struct config_fault *faults;
    size_t fault_count;
};

/** Negative errno: no descriptor. */
int reload_init(struct reload *reload, const struct config_options *options, struct engine *engine,
                struct watch *watch) RN_MUST_CHECK;
/** Begins, or begins again when the one under way is over. */
void reload_ask(struct reload *reload);
/** fd is readable. */
void reload_loaded(struct reload *reload);
/** Of SIGHUP when the daemon stops: that nothing comes of it. */
void reload_ignored(void);
/** No reload is put in force from here on. Before the drain. */
void reload_stop(struct reload *reload);
/** Drops what is under way. false: its thread still reads, so the process has to end by _exit. */
bool reload_fini(struct reload *reload);

#endif
