/** \file A task as stored: one row, in memory. Plain data with one owner; see who that is at each
 * use. */
#ifndef STORE_RECORD_H
#define STORE_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <runnel/clock.h>

#include "config/config.h"
#include "store/state.h"

enum {
    RECORD_ARGS_INLINE = 1024, // bytes; larger args and results live in tables of their own
    RECORD_CODE_MAX = 32,
    RECORD_HISTORY_MAX = 10, // attempts kept
    RECORD_TRACE_BYTES = 56, // 00-<32>-<16>-<2> and a NUL
    RECORD_CHILDREN_MAX = 100,
    RECORD_LINKS_MAX = 100, // of a chain of follow-ups
};

/* What a number of a task may be. Nothing larger is ever written, so a row that has it is damaged.
 */
#define RECORD_ID_MAX ((INT64_C(1) << 53) - 1) // a number of JSON
#define RECORD_COUNT_MAX INT64_C(1000000000)   // attempts, interruptions, workers
#define RECORD_PRIORITY_MAX 100                // and its negative
// An instant that the clock has shown: in nanoseconds it is an rn_time.
#define RECORD_CLOCK_MS_MAX (INT64_MAX / RN_MILLISECOND)
// An instant that somebody wrote: years 0000 to 9999, at any offset.
#define RECORD_INSTANT_MS_MIN INT64_C(-62167305600000)
#define RECORD_INSTANT_MS_MAX INT64_C(253402387200000)
// A length of time.
#define RECORD_LENGTH_MS_MAX (INT64_C(100) * 366 * 24 * 3600 * 1000)

/** Text of a known length, on the heap, NUL-terminated; NULL: no value. */
struct text {
    char *bytes;
    size_t length;
};

struct record {
    uint64_t id; // 1..2^53-1; 0: not stored yet
    enum task_state state;
    int priority; // -100..100, higher first
    char queue[CONFIG_NAME_MAX + 1];
    char kind[CONFIG_NAME_MAX + 1];

    // what the submitter asked for; 0 or NULL: the kind's own
    int64_t timeout_ms;
    unsigned max_attempts;
    int64_t backoff_base_ms, backoff_max_ms;
    int64_t expires_at_ms; // 0: never
    struct text args; // JSON, exactly as submitted less white space; NULL: null. In a window: NULL
                      // with args_in_store set
    struct text tags; // a JSON array of strings; NULL: none
    char traceparent[RECORD_TRACE_BYTES]; // W3C Trace Context, version 00; "": none
    bool args_in_store; // args are larger than RECORD_ARGS_INLINE and were not read with the row

    // wall clock, milliseconds since 1970; 0: not yet
    int64_t created_at_ms;
    int64_t queued_at_ms; // when it last became queued
    int64_t due_at_ms;    // scheduled, retrying: when it becomes queued; else what run_at was, or 0
    int64_t started_at_ms;  // of the last attempt
    int64_t finished_at_ms; // of the task, or of the last attempt
    int64_t cancel_requested_at_ms;

    unsigned attempt;       // attempts taken, the running one included
    unsigned interruptions; // counted ones
    uint64_t run;           // starts ever, of any sort; never reset
    unsigned worker;        // of the last attempt; 0: none

    uint64_t parent;    // the task that it follows; 0: none. It may have been removed
    unsigned links;     // follow-ups between it and a task that was submitted
    bool is_on_failure; // it follows a failure: nothing follows its own

    // how the last attempt ended
    struct text result; // of a succeeded one
    bool result_is_json;
    char error_code[RECORD_CODE_MAX]; // "" : no error
    struct text error_message;
    bool error_retryable;
    struct text exec;     // a JSON object, of commands
    struct text history;  // a JSON array of the attempts before the last one; NULL: none
    struct text children; // a JSON array of the ids of tasks that follow it, the first
                          // RECORD_CHILDREN_MAX; NULL: none, or not read
};

/** All zero. */
void record_init(struct record *record);
/** Frees what it points to and leaves it as record_init does. NULL is allowed. */
void record_fini(struct record *record);
void record_free(struct record *record); // fini, then free
/** Frees an array of them, NULL among them too, and the array. NULL is allowed with count 0. */
void records_free(struct record **records, size_t count);
/** Copies bytes into *text, freeing what was there; bytes NULL: no value. -ENOMEM leaves it as it
 * was. */
int text_set(struct text *text, const char *bytes, size_t length) RN_MUST_CHECK;
void text_fini(struct text *text);
/** Heap and struct together, for max_request_memory. */
size_t record_bytes(const struct record *record);

/** Whether it is a traceparent as struct record has it: 00-, then the ids and flags in lower case.
 */
bool record_trace_valid(const char *text, size_t length);

/** A place in a queue's order: priority descending, then id ascending. */
struct queue_key {
    int priority;
    uint64_t id;
};
/** Below 0: a runs before b. */
int queue_key_compare(struct queue_key a, struct queue_key b);

#endif
