/* The table of states, and what may follow what. */
#include "store/state.h"

#include <string.h>

#include <runnel/error.h>

static const char *const names[TASK_STATE_COUNT] = {
#define NAME(symbol, name, is_final, number) [TASK_##symbol] = (name),
    TASK_STATES(NAME)
#undef NAME
};

// clang-format off
#define TO(name) (1u << TASK_##name)
static const unsigned successors[TASK_STATE_COUNT] = {
    [TASK_SCHEDULED] = TO(QUEUED) | TO(CANCELLED) | TO(HELD),
    [TASK_QUEUED]    = TO(RUNNING) | TO(CANCELLED) | TO(HELD) | TO(SCHEDULED), // put off by hand
    [TASK_RETRYING]  = TO(QUEUED) | TO(CANCELLED) | TO(HELD)  // its backoff is over
                     | TO(SCHEDULED),                         // put off by hand
    [TASK_RUNNING]   = TO(SUCCEEDED) | TO(FAILED) | TO(CANCELLED)
                     | TO(RETRYING)                           // failed, with attempts left
                     | TO(QUEUED),                            // drained, or interrupted
    [TASK_SUCCEEDED] = 0,
    [TASK_FAILED]    = TO(QUEUED),                            // retried by hand
    [TASK_CANCELLED] = TO(QUEUED),                            // retried by hand
    [TASK_HELD]      = TO(QUEUED) | TO(CANCELLED)             // its kind is back
                     | TO(SCHEDULED),                         // put off by hand
};
// clang-format on

static const bool finals[TASK_STATE_COUNT] = {
#define FINAL(symbol, name, is_final, number) [TASK_##symbol] = (is_final),
    TASK_STATES(FINAL)
#undef FINAL
};

const char *task_state_name(enum task_state state)
{
    RN_ASSERT(state < TASK_STATE_COUNT);
    return names[state];
}

int task_state_parse(const char *name, enum task_state *ret_state)
{
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *ret_state = (enum task_state)i;
            return 0;
        }
    return -EINVAL;
}

bool task_state_is_final(enum task_state state)
{
    RN_ASSERT(state < TASK_STATE_COUNT);
    return finals[state];
}

bool task_state_is_waiting(enum task_state state)
{
    return !task_state_is_final(state) && state != TASK_RUNNING;
}

bool task_state_may_become(enum task_state from, enum task_state to)
{
    RN_ASSERT(from < TASK_STATE_COUNT);
    RN_ASSERT(to < TASK_STATE_COUNT);
    return (successors[from] & (1u << to)) != 0;
}
