/** \file
 * The states of a task: their names in the API, which may follow which, and the one function that
 * says so. They stand with the store because the row is where a task's state lives; the engine,
 * above, only asks for a change.
 *
 * `running` is on disk only where a start is written (if_interrupted = "fail"); else a running
 * task's row says `queued` and the engine's table of running tasks knows better.
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include <stdbool.h>

// clang-format off
// X(symbol, wire name, is final, stored number: frozen, it is in the files)
#define TASK_STATES(X)                    \
    X(SCHEDULED, "scheduled", false, 0)   \
    X(QUEUED,    "queued",    false, 1)   \
    X(RETRYING,  "retrying",  false, 2)   \
    X(RUNNING,   "running",   false, 3)   \
    X(SUCCEEDED, "succeeded", true,  4)   \
    X(FAILED,    "failed",    true,  5)   \
    X(CANCELLED, "cancelled", true,  6)   \
    X(HELD,      "held",      false, 7)
// clang-format on

enum task_state {
#define TASK_STATE_ENUM(symbol, name, is_final, number) TASK_##symbol = (number),
    TASK_STATES(TASK_STATE_ENUM)
#undef TASK_STATE_ENUM
        TASK_STATE_COUNT
};

/** "queued"; never NULL for a state of the table. */
const char *task_state_name(enum task_state state);
/** -EINVAL: no state has this name. */
int task_state_parse(const char *name, enum task_state *ret_state);
bool task_state_is_final(enum task_state state);
/** Waits for its start: scheduled, queued, retrying, held. */
bool task_state_is_waiting(enum task_state state);
/** Whether the move is legal. */
bool task_state_may_become(enum task_state from, enum task_state to);

#endif
