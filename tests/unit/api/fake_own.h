/** \file What the two files of the engine for the tests of the API have in common. */
#ifndef TESTS_FAKE_OWN_H
#define TESTS_FAKE_OWN_H

#include <runnel/group.h>
#include <runnel/sync.h>

#include "fake_engine.h"

enum { TASKS_MAX = 40000, KEYS_MAX = 64, JOBS_MAX = 4096, WAITS_MAX = 512 };

struct job {
    struct store_op *op;
    struct store_read *read;
};

struct fake_key {
    char text[256];
    struct store_key_state state;
};

struct engine {
    struct config config;
    rn_group *group;
    rn_mutex mu;
    rn_cond changed;
    enum engine_phase phase;
    int refuse_submit, refuse_op;
    bool held, stopped;
    struct job jobs[JOBS_MAX];
    unsigned first_job, job_count;
    struct record *tasks[TASKS_MAX]; // by id
    bool removed[TASKS_MAX];
    uint64_t last_id;
    unsigned put_count, largest_put, read_count;
    struct fake_key keys[KEYS_MAX];
    unsigned key_count;
    struct engine_wait *waits[WAITS_MAX];
    unsigned wait_count;
    struct engine_wait *calling;
    struct store_queue_settings overrides[2];
};

/** NULL: there is none. With the lock, as all of them but the thread. */
struct fake_key *fake_find_key(struct engine *engine, const char *text);
/** Whether the filter takes the task. */
bool fake_fits(const struct store_list_filter *filter, const struct record *record);
/** A cancel, retry or delete. */
int fake_change_one(struct engine *engine, struct store_op *op);
/** -EAGAIN: there are too many. */
int fake_add_job(struct engine *engine, struct job job);
/** Does the jobs one by one, until the engine is stopped. */
int fake_store_thread(rn_context *ctx, void *arg);

#endif
