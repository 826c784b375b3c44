/* Who waits for the end of which task. One table under one lock: the end of the task, the time, the
 * client's leaving and the drain all take the wait out of it first, and only who took it out
 * answers it. The answer is given without the lock held; that it is under way stands in a list of
 * calls on the callers' stacks, so that waiters_stop can wait for its return without looking at a
 * wait that may be gone by then. */
#include <utlist.h>

#include "engine/core.h"

struct waiters_of_task {
    uint64_t id;
    struct engine_wait *first; // by id_next
    UT_hash_handle hh;
};

struct waiters_call {
    struct engine_wait *wait;
    struct waiters_call *prev, *next;
};

static void remove_locked(struct waiters *waiters, struct engine_wait *wait)
    RN_REQUIRES(&waiters->mu);
static void answer_locked(struct waiters *waiters, struct engine_wait *wait)
    RN_REQUIRES(&waiters->mu);
static void arm_locked(struct waiters *waiters) RN_REQUIRES(&waiters->mu);

static void remove_locked(struct waiters *waiters, struct engine_wait *wait)
{
    struct waiters_of_task *entry = NULL;
    HASH_FIND(hh, waiters->by_id, &wait->id, sizeof(wait->id), entry);
    RN_ASSERT(entry != NULL);

    struct engine_wait **link = &entry->first;
    while (*link != wait)
        link = &(*link)->id_next;
    *link = wait->id_next;
    if (entry->first == NULL) {
        HASH_DEL(waiters->by_id, entry);
        free(entry);
    }
    DL_DELETE(waiters->all, wait);
    wait->waiting = false;
    waiters->count--;
    atomic_store_explicit(&waiters->present, waiters->count, memory_order_release);
}

/* Takes the wait out and calls its done_fn, without the lock meanwhile. */
static void answer_locked(struct waiters *waiters, struct engine_wait *wait)
{
    struct waiters_call call = {.wait = wait};

    remove_locked(waiters, wait);
    DL_APPEND(waiters->calls, &call);
    rn_mutex_unlock(&waiters->mu);
    wait->done_fn(wait, wait->arg);
    rn_mutex_lock(&waiters->mu);
    DL_DELETE(waiters->calls, &call);
    rn_cond_broadcast(&waiters->called);
}

/* Sets the timer to the earliest `until`. */
static void arm_locked(struct waiters *waiters)
{
    rn_time earliest = RN_NEVER;
    struct engine_wait *wait = NULL;
    DL_FOREACH (waiters->all, wait) {
        if (wait->until < earliest)
            earliest = wait->until;
    }
    if (earliest != RN_NEVER)
        rn_timer_start(waiters->timer, earliest);
}

static struct engine_wait *first_due_locked(struct waiters *waiters, rn_time now)
    RN_REQUIRES(&waiters->mu);

static struct engine_wait *first_due_locked(struct waiters *waiters, rn_time now)
{
    struct engine_wait *wait = NULL;
    DL_FOREACH (waiters->all, wait) {
        if (wait->until <= now)
            return wait;
    }
    return NULL;
}

/* The timer has fired. */
static void time_is_up(void *arg)
{
    struct waiters *waiters = arg;
    rn_time now = rn_now();

    rn_mutex_lock(&waiters->mu);
    struct engine_wait *wait = first_due_locked(waiters, now);
    while (wait != NULL) {
        answer_locked(waiters, wait);
        wait = first_due_locked(waiters, now);
    }
    arm_locked(waiters);
    rn_mutex_unlock(&waiters->mu);
}

void waiters_set_limit(struct waiters *waiters, unsigned limit)
{
    rn_mutex_lock(&waiters->mu);
    waiters->limit = limit; // those that are there beyond it stay
    rn_mutex_unlock(&waiters->mu);
}

int waiters_init(struct waiters *waiters, unsigned limit)
{
    rn_mutex_init(&waiters->mu, 30);
    rn_cond_init(&waiters->called);
    waiters_set_limit(waiters, limit);
    return rn_timer_new(time_is_up, waiters, &waiters->timer);
}

void waiters_fini(struct waiters *waiters)
{
    rn_timer_free(waiters->timer);
    rn_cond_fini(&waiters->called);
    rn_mutex_fini(&waiters->mu);
}

static int add_locked(struct waiters *waiters, struct engine_wait *wait) RN_REQUIRES(&waiters->mu);

static int add_locked(struct waiters *waiters, struct engine_wait *wait)
{
    struct waiters_of_task *entry = NULL;
    HASH_FIND(hh, waiters->by_id, &wait->id, sizeof(wait->id), entry);
    if (entry == NULL) {
        entry = calloc(1, sizeof(*entry));
        if (entry == NULL)
            return -ENOMEM;
        entry->id = wait->id;
        HASH_ADD(hh, waiters->by_id, id, sizeof(entry->id), entry);
        if (entry->hh.tbl == NULL) {
            free(entry);
            return -ENOMEM;
        }
    }
    wait->id_next = entry->first;
    entry->first = wait;
    wait->waiting = true;
    DL_APPEND(waiters->all, wait);
    waiters->count++;
    atomic_store_explicit(&waiters->present, waiters->count, memory_order_release);
    return 0;
}

int waiters_start(struct waiters *waiters, struct engine_wait *wait)
{
    int r = 0;
    rn_mutex_lock(&waiters->mu);
    if (waiters->closed)
        r = -EPIPE;
    else if (waiters->count >= waiters->limit)
        r = -EAGAIN;
    else
        r = add_locked(waiters, wait);
    if (r == 0)
        arm_locked(waiters);
    rn_mutex_unlock(&waiters->mu);
    return r;
}

static bool is_called_locked(struct waiters *waiters, const struct engine_wait *wait)
    RN_REQUIRES(&waiters->mu);

static bool is_called_locked(struct waiters *waiters, const struct engine_wait *wait)
{
    const struct waiters_call *call = NULL;
    DL_FOREACH (waiters->calls, call) {
        if (call->wait == wait)
            return true;
    }
    return false;
}

bool waiters_stop(struct waiters *waiters, struct engine_wait *wait)
{
    rn_mutex_lock(&waiters->mu);
    bool was_waiting = wait->waiting;
    if (was_waiting)
        remove_locked(waiters, wait);
    while (is_called_locked(waiters, wait)) { // until its done_fn has returned
        int r = rn_cond_wait(NULL, &waiters->called, &waiters->mu, RN_NEVER);
        RN_ASSERT(r == 0);
    }
    rn_mutex_unlock(&waiters->mu);
    return was_waiting;
}

void waiters_end(struct waiters *waiters, uint64_t id)
{
    // Who subscribes reads the task afterwards: one that this look misses reads the end that is on
    // disk already.
    if (atomic_load_explicit(&waiters->present, memory_order_acquire) == 0)
        return;
    rn_mutex_lock(&waiters->mu);
    for (;;) {
        struct waiters_of_task *entry = NULL;
        HASH_FIND(hh, waiters->by_id, &id, sizeof(id), entry);
        if (entry == NULL)
            break;
        answer_locked(waiters, entry->first);
    }
    rn_mutex_unlock(&waiters->mu);
}

void waiters_refuse(struct waiters *waiters)
{
    rn_mutex_lock(&waiters->mu);
    waiters->closed = true;
    rn_mutex_unlock(&waiters->mu);
}

void waiters_close(struct waiters *waiters)
{
    rn_mutex_lock(&waiters->mu);
    waiters->closed = true;
    while (waiters->all != NULL)
        answer_locked(waiters, waiters->all);
    rn_mutex_unlock(&waiters->mu);
}
