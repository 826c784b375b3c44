/** \file Tasks for the tests of a service's results: what each does, and what has become of it. */
#ifndef TESTS_SERVICE_TASKS_H
#define TESTS_SERVICE_TASKS_H

#include <stdatomic.h>
#include <stdbool.h>

#include <runnel/service.h>

enum {
    TASKS_MAX = 4096,
};

/** A task. */
struct task {
    int (*fn)(rn_context *ctx); // NULL: is done at once
    _Atomic int ran;
    _Atomic int dropped;
    _Atomic int results;
    struct rn_service_result result; // the last
};
extern struct task tasks[TASKS_MAX];

/** What the functions below have seen, and what they wait for. */
struct seen {
    _Atomic bool gate; // wait_for_gate() returns
    _Atomic int inside;
    _Atomic int faults;
    _Atomic int told; // results, to the monitor
    _Atomic int in_monitor;
    _Atomic bool monitor_waits;
    char monitor_name[16];
    _Atomic int next;  // for next_in_turn()
    _Atomic int last;  // it waits from here on
    _Atomic int asked; // how often it had none
};
extern struct seen seen;

/** cmocka's set-up function: all as at the beginning. */
int tasks_set_up(void **state);

// What a task may do.
int break_down(rn_context *ctx); // -EIO
int claim_to_be_cancelled(rn_context *ctx);
int stay_until_the_end(rn_context *ctx);
int stay_and_be_done(rn_context *ctx);
int stay_and_break_down(rn_context *ctx);
int wait_for_gate(rn_context *ctx);

// Of a service.
int run_task(rn_context *ctx, void *arg, unsigned worker, void *task);
void drop_task(void *arg, void *task);
int next_in_turn(rn_context *ctx, void *arg, unsigned worker, void **ret_task);
void see_result(void *arg, const struct rn_service_result *result);
extern const struct rn_service_options with_monitor;

/** Makes and starts one. */
rn_service *start_service(const struct rn_service_options *options);

/** Submits a task, which is accepted. */
void submit_task(rn_service *service, int number);

/** Keeps a result with its task. */
void keep_result(const struct rn_service_result *result);

/** Receives until the channel is closed; how many that were. */
int receive_all(rn_service *service);

/** A task has one result, and it is this. */
void assert_result(int number, enum rn_task_outcome outcome, int error);

/** How many tasks have run. */
int count_ran(void);

/** Waits until *value is as wanted. */
void wait_until(_Atomic int *value, int wanted);

#endif
