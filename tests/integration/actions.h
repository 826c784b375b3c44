/** \file What the tests of actions on many tasks and of changes of waiting ones share. */
#ifndef TESTS_ACTIONS_H
#define TESTS_ACTIONS_H

#include "harness.h"

static const char actions_config[] =
    "queue: { default: { workers = 4 }; busy: { workers = 1 }; parked: { workers = 1 };\n"
    "         other: { workers = 1 }; failing: { workers = 8 }; };\n"
    "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' };\n"
    "        sleep: { builtin = 'sleep'; max_attempts = 1 };\n"
    "        fail: { builtin = 'fail'; max_attempts = 1; queue = 'failing' }; };\n";

/** With the queue `parked` paused. */
static inline struct daemon *started(void)
{
    struct daemon *daemon = daemon_started(actions_config);

    expect_status(call(daemon, "POST", "/v1/queues/parked/pause", NULL), 200);
    return daemon;
}

/** Does an action on many. */
static inline json_t *act(struct daemon *daemon, const char *body)
{
    return expect_status(call(daemon, "POST", "/v1/tasks/actions", body), 200)->json;
}

/** How many tasks the queue has in this state. */
static inline int64_t count_in(struct daemon *daemon, const char *name, const char *state)
{
    return number_at(queue(daemon, name), plain_text("states.%s", state));
}

enum { FAILED, SUCCEEDED, QUEUED, CANCELLED, SCHEDULED, RUNNING, COUNT };

/** One in each of those states; ids are in the order of the enum. */
static inline uint64_t one_of_each(struct daemon *daemon)
{
    uint64_t first = submit(daemon, "{'kind':'fail','tags':['x']}");

    (void)submit(daemon, "{'kind':'echo','tags':['y']}");
    (void)submit(daemon, "{'kind':'noop','queue':'parked','tags':['x','z']}");
    (void)submit(daemon, "{'kind':'noop','queue':'parked','delay':'1h'}");
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)first + CANCELLED),
                       NULL),
                  200);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");
    (void)submit(daemon, "{'kind':'sleep','queue':'busy','args':{'duration':'1h'}}");
    expect_end(daemon, first + FAILED, "failed", "failed");
    expect_end(daemon, first + SUCCEEDED, "succeeded", NULL);
    await_state(daemon, first + RUNNING, "running");
    return first;
}

#endif
