/** \file
 * The window of a queue: its next tasks in memory, in their order, and the set of those in flight.
 * A data structure alone: no lock, no store; the queue guards it and moves it.
 *
 * Invariants:
 * 1. Every queued task whose key is at or before the frontier is here, in the window or in flight;
 * every one behind it is on disk only.
 * 2. The window holds at most its capacity. A task in the window is not in flight.
 * 3. The frontier moves back when a full window drops its last task (to the new last), and forward
 * only by a refill (to the last row selected, skipped or not; to infinity when no row was
 * selected).
 * 4. A refill that was selected behind another frontier than today's is void: what was dropped
 * meanwhile lies between the two.
 */
#ifndef ENGINE_WINDOW_H
#define ENGINE_WINDOW_H

#include "engine/task.h"

enum {
    WINDOW_PRIORITY_MIN = -100,
    WINDOW_PRIORITY_MAX = 100,
    WINDOW_PRIORITIES = 201,
    WINDOW_WORDS = 4
};

struct window_lane {
    struct task *first, *last; // of one priority, by id
};

struct window {
    size_t capacity;
    size_t count;                                // tasks in the window
    size_t in_flight;                            // tasks in flight
    struct window_lane lanes[WINDOW_PRIORITIES]; // [0] is the highest priority
    uint64_t filled[WINDOW_WORDS];               // a bit per lane that is not empty
    struct task *by_id;                          // uthash: window and in flight
    bool frontier_is_infinite;
    bool has_frontier; // false, and not infinite: nothing was ever selected: the frontier lies
                       // before every key
    struct queue_key frontier;
};

void window_init(struct window *window, size_t capacity);
/** Frees every task. */
void window_fini(struct window *window);

/** When the first task of a lane became queued, the earliest over all lanes; 0: the window is
 * empty.
 */
int64_t window_oldest_ms(const struct window *window);
/** The task with this id, wherever it is; NULL: not in memory. */
struct task *window_find(const struct window *window, uint64_t id);
/** Whether a queued task with this key belongs into memory. */
bool window_admits(const struct window *window, struct queue_key key);
/**
 * Puts a task that window_admits into its place. A full window drops its last task (it may be the
 * same one) and the frontier moves to the new last.
 *
 * @param ret_dropped  the task that had to leave, now the caller's; NULL: none
 *
 * **Errors:** -ENOMEM: the task stays the caller's; window_cut keeps rule 1.
 */
int window_insert(struct window *window, struct task *task, struct task **ret_dropped)
    RN_MUST_CHECK;
/** Moves the frontier to just before key, which could not be taken in, and frees the tasks behind
 * it: the disk has them. */
void window_cut(struct window *window, struct queue_key key);
struct task *window_first(const struct window *window);
/** Takes a task of the window into flight. */
void window_take(struct window *window, struct task *task);
/** Takes it out of the window, to the caller. */
void window_remove(struct window *window, struct task *task);
/** The end of a flight: the task is the caller's. */
void window_land(struct window *window, struct task *task);

/** Whether there is more on disk and room for it. */
bool window_wants_refill(const struct window *window);
/** Whether rows that were selected behind `after` still fit: rule 4. */
bool window_refill_is_valid(const struct window *window, bool has_after, struct queue_key after);
/** After the rows of a valid refill: to the last of them, or to infinity. */
void window_move_frontier(struct window *window, bool selected_any, struct queue_key last);

#endif
