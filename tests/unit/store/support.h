/** \file A store in a temporary folder, operations that wait for their end, and the events that it
 * told. */
#ifndef TESTS_STORE_SUPPORT_H
#define TESTS_STORE_SUPPORT_H

#include <sqlite3.h>

#include <runnel/sync.h>

#include "store/store.h"
#include "unit.h"

enum { SEEN_MAX = 20000 };

/** One event, as plain data. */
struct seen {
    enum store_event_type type;
    uint64_t id;
    enum task_state state;
    int64_t due_at_ms;
    bool was_running, full, has_record;
    bool is_done; // not an event: a done_fn was called, of the operation with `id`
};

struct fixture {
    char folder[64];
    char path[96]; // of the database file; tests may change it
    uint64_t max_backlog;
    struct store *store; // NULL: closed
    rn_mutex mu;
    rn_cond changed;
    struct seen seen[SEEN_MAX];
    size_t seen_count;
    int withdraw_result; // what WITHDRAW is answered with
    void (*on_event)(struct fixture *fixture, struct store_event *event); // NULL: none
    void *arg;
};

/** cmocka's setup and teardown: *state is a fixture with a store that is open and started. */
int store_setup(void **state);
/** The same with nothing open yet. */
int folder_setup(void **state);
int store_teardown(void **state);

/** Opens, recovers (every kind: retry, 3 interruptions) and starts. */
void open_store(struct fixture *fixture);
/** Stops and frees. */
void close_store(struct fixture *fixture);
int try_open(struct fixture *fixture, struct error *error);

/** A queued task; args NULL: none. */
struct record *new_record(const char *queue, const char *kind, const char *args);
/** Submits, waits for the end, and gives the result. */
int run_op(struct fixture *fixture, struct store_op *op);
/** Runs all that are given as one group: the writer is held until all are in. */
void run_together(struct fixture *fixture, struct store_op *ops, size_t count);
/** Operations that were submitted and are not awaited yet. */
struct pending;
struct pending *submit_all(struct fixture *fixture, struct store_op *ops, size_t count);
size_t pending_left(struct pending *pending);
/** Waits for all of them and frees it. */
void pending_wait(struct pending *pending);
/** Holds the writer inside an operation's done_fn until writer_go. */
void writer_hold(struct fixture *fixture);
void writer_go(struct fixture *fixture);
int run_read(struct fixture *fixture, struct store_read *read);

/** Puts one task and gives its id; takes the record. */
uint64_t put_one(struct fixture *fixture, struct record *record);
/** Puts `count` plain tasks in one operation; the first id. */
uint64_t put_many(struct fixture *fixture, const char *queue, size_t count);
/** Puts so many tasks of queue "a" in one operation, each with so many bytes of args: its result.
 */
int put_rows(struct fixture *fixture, size_t count, size_t args_bytes);
/** The task as it is stored; NULL: not there (*result tells, may be NULL). */
struct record *get(struct fixture *fixture, uint64_t id, int *result);
enum task_state state_of(struct fixture *fixture, uint64_t id);
/** One attempt's end: run is the stored one + 1. */
int finish(struct fixture *fixture, uint64_t id, enum task_state to);
int start(struct fixture *fixture, uint64_t id);
int one(struct fixture *fixture, enum store_op_type type, uint64_t id, enum task_state *state);

/** Events since the last look at them. */
void forget_events(struct fixture *fixture);
/** Waits until an event of this type (and, of SPACE, with this `full`) has been told since
 * forget_events. */
void wait_event(struct fixture *fixture, enum store_event_type type, bool full);
/** How many of a type with this id (0: any). */
size_t count_events(struct fixture *fixture, enum store_event_type type, uint64_t id);

/** One number by SQL, over a connection of the test's own that only reads. */
int64_t query(struct fixture *fixture, const char *sql);
/** Compares store_counts with GROUP BY. */
void check_counts(struct fixture *fixture);
/** What was withdrawn from the engine for an operation that lacked memory has been given back. */
void check_withdrawn(struct fixture *fixture, const struct store_op *op, uint64_t id);
/** Changes the file; the store is closed. */
void change_file(struct fixture *fixture, const char *sql);
/** The path of a file beside the store's. Static: one at a time. */
const char *beside_store(struct fixture *fixture, const char *suffix);

/** What becomes of an interrupted task: it is tried again, the third time not. */
bool retry_thrice(void *arg, const char *kind, struct store_interruption_policy *ret_policy);

#endif
