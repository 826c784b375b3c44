/** \file
 * The history checker. Clients write down what they ask for and what they are answered, under a key
 * of each task; the ledger command writes down, outside the daemon, what ran. When all is over the
 * two and the daemon's own list are held against each other.
 *
 *   lost         acknowledged, and not in the daemon's list
 *   unexpected   in the list, and never asked for, or refused
 *   duplicated   more than one task of one key
 *   recovered    asked for without an answer, and in the list (this is allowed)
 *   overlap      two runs of one key at the same time
 *   zombie       a run that began after a client had been shown the task's end
 *   unstarted    succeeded by the list, and without a run that came to its end in the ledger
 *   again        a second run of what may run once
 *   cut short    runs that a kill ended (by kill: at most as many as there are workers)
 *   uncommitted  runs that had ended, and came again since their end was not yet on disk (never
 * shown; allowed)
 */
#ifndef INTEGRATION_HISTORY_H
#define INTEGRATION_HISTORY_H

#include "harness.h"

enum history_answer { HISTORY_ASKED, HISTORY_ACKNOWLEDGED, HISTORY_REFUSED, HISTORY_UNKNOWN };

struct history_task {
    enum history_answer answer;
    bool has_ledger;                               // its runs are in the ledger
    bool runs_once;                                // its kind does not run again after a death
    uint64_t id;                                   // of an acknowledged one
    int64_t asked_ns, answered_ns, shown_ended_ns; // 0: not yet
    unsigned listed;
    uint64_t listed_id;
    char listed_state[16];
};

/** Any number of threads. Keys are 0, 1, 2 … */
struct history {
    pthread_mutex_t mu;
    struct history_task *tasks;
    size_t count, capacity;
    int64_t *kills;
    size_t kill_count;
    const char *ledger; // the file
};

struct history *history_new(const char *ledger);
/** Before the request goes out: its key. */
size_t history_ask(struct history *history, bool has_ledger, bool runs_once);
void history_answer(struct history *history, size_t key, enum history_answer answer, uint64_t id);
/** A client was shown a final state. */
void history_shown(struct history *history, size_t key);
/** After the daemon has been killed and is gone. */
void history_killed(struct history *history);
unsigned history_count(struct history *history, enum history_answer answer);
/** Asked for, not answered yet. */
unsigned history_open(struct history *history);

struct verdict {
    unsigned asked, acknowledged, lost, unexpected, duplicated, recovered, overlap, zombie,
        unstarted, again, unended;
    unsigned cut_short, cut_short_most, uncommitted, starts;
};
/** Reads the daemon's whole list (args.key of each task) and the ledger. Prints what is wrong, and
 * a line of figures. */
struct verdict history_check(struct history *history, struct daemon *daemon);
/** Fails unless lost, unexpected, duplicated, overlap, zombie, unstarted, again and unended are 0,
 * and no kill cut short more than workers. */
void history_expect_sound(struct history *history, struct daemon *daemon, unsigned workers);

/* ---- the ledger ---- */

struct ledger_line {
    char what[16], key[64];
    unsigned attempt;
    int pid;
    int64_t ns;
};
/** All lines, kept. A last line without its end is left out. */
size_t ledger_read(const char *path, struct ledger_line **ret_lines);
/** Lines with this word and key; NULL: any. */
unsigned ledger_count(const char *path, const char *what, const char *key);

#endif
