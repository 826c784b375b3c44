/*
 * Groups: threads that stand for one thing.
 *
 * Every function runs in a thread of its own, in a struct member. The thread puts the member on
 * `ended` as the last thing that it does under the lock; whoever comes next (go or wait) joins it
 * and frees it. So threads are joined, none is detached, and when wait returns all are gone.
 */
#include <runnel/group.h>

#include <stdlib.h>

#include <runnel/sync.h>

#include "thread.h"

struct member {
    struct rni_thread thread;
    rn_group *group;
    int (*fn)(rn_context *ctx, void *arg);
    void *arg;
    struct member *next; // on the group's list
};

struct rn_group {
    rn_context *ctx;                        // a reference; set once by new
    rn_mutex mu;                            // rank 30
    rn_cond changed RN_GUARDED_BY(mu);      // a member has ended, or the limit is another
    unsigned limit RN_GUARDED_BY(mu);       // 0: none
    unsigned running RN_GUARDED_BY(mu);     // functions that have not returned, and reserved places
    unsigned unjoined RN_GUARDED_BY(mu);    // members that have not been freed
    struct member *ended RN_GUARDED_BY(mu); // to be joined
    int error RN_GUARDED_BY(mu);            // the first result that was not 0
};

int rn_group_new(rn_context *parent, rn_group **ret_group)
{
    rn_group *group = calloc(1, sizeof(*group));

    if (group == NULL)
        return -ENOMEM;
    int r = rn_context_with_cancel(parent, &group->ctx);
    if (r < 0) {
        free(group);
        return r;
    }
    rn_mutex_init(&group->mu, 30);
    *ret_group = group;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_group_free(rn_group *group)
{
    if (group == NULL)
        return;
    RN_ASSERT(group->unjoined == 0);
    rn_cond_fini(&group->changed);
    rn_mutex_fini(&group->mu);
    rn_context_unref(group->ctx);
    free(group);
}

void rn_group_set_limit(rn_group *group, unsigned limit)
{
    rn_mutex_lock(&group->mu);
    group->limit = limit;
    rn_cond_broadcast(&group->changed);
    rn_mutex_unlock(&group->mu);
}

/* Joins what has ended; gives the lock up meanwhile. */
static void reap_locked(rn_group *group) RN_REQUIRES(&group->mu);
static void reap_locked(rn_group *group)
{
    struct member *member;

    while ((member = group->ended) != NULL) {
        group->ended = member->next;
        rn_mutex_unlock(&group->mu);
        rni_thread_join(&member->thread);
        free(member);
        rn_mutex_lock(&group->mu);
        group->unjoined--;
        rn_cond_broadcast(&group->changed);
    }
}

static void run_member(void *arg)
{
    struct member *member = arg;
    rn_group *group = member->group;
    int r = member->fn(group->ctx, member->arg);
    bool is_first = false;

    if (r != 0) {
        rn_mutex_lock(&group->mu);
        is_first = group->error == 0;
        if (is_first)
            group->error = r;
        rn_mutex_unlock(&group->mu);
    }
    if (is_first)
        rn_context_cancel(group->ctx, r);

    rn_mutex_lock(&group->mu);
    group->running--;
    member->next = group->ended;
    group->ended = member;
    rn_cond_broadcast(&group->changed);
    rn_mutex_unlock(&group->mu);
}

/* Starts a member; a place is reserved, and given back when it fails. */
static int start_member(rn_group *group, const char *name, int (*fn)(rn_context *ctx, void *arg),
                        void *arg)
{
    int r = -ENOMEM;
    struct member *member = calloc(1, sizeof(*member));

    if (member != NULL) {
        member->group = group;
        member->fn = fn;
        member->arg = arg;
        r = rni_thread_start(&member->thread, name, run_member, member);
    }
    if (r < 0) {
        free(member);
        rn_mutex_lock(&group->mu);
        group->running--;
        group->unjoined--;
        rn_cond_broadcast(&group->changed);
        rn_mutex_unlock(&group->mu);
    }
    return r;
}

static int go(rn_group *group, const char *name, int (*fn)(rn_context *ctx, void *arg), void *arg,
              bool waits)
{
    RN_ASSERT(name != NULL);
    RN_ASSERT(fn != NULL);
    rn_mutex_lock(&group->mu);
    reap_locked(group);
    while (group->limit != 0 && group->running >= group->limit) {
        if (!waits) {
            rn_mutex_unlock(&group->mu);
            return -EAGAIN;
        }
        int r = rn_cond_wait(NULL, &group->changed, &group->mu, RN_NEVER);
        RN_ASSERT(r == 0);
        reap_locked(group);
    }
    group->running++;
    group->unjoined++;
    rn_mutex_unlock(&group->mu);
    return start_member(group, name, fn, arg);
}

int rn_group_go(rn_group *group, const char *name, int (*fn)(rn_context *ctx, void *arg), void *arg)
{
    return go(group, name, fn, arg, true);
}

int rn_group_try_go(rn_group *group, const char *name, int (*fn)(rn_context *ctx, void *arg),
                    void *arg)
{
    return go(group, name, fn, arg, false);
}

int rn_group_wait(rn_group *group)
{
    rn_mutex_lock(&group->mu);
    for (;;) {
        reap_locked(group);
        if (group->unjoined == 0)
            break;
        int r = rn_cond_wait(NULL, &group->changed, &group->mu, RN_NEVER);
        RN_ASSERT(r == 0);
    }
    int error = group->error;
    rn_mutex_unlock(&group->mu);
    rn_context_cancel(group->ctx, error);
    return error;
}

rn_context *rn_group_context(rn_group *group)
{
    return group->ctx;
}
