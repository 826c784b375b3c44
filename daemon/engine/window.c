/* The window: 201 lanes, one a priority, each in the order of ids, a bit set that tells which are
 * filled, and a hash by id. New tasks have the highest ids, and those that an action on many makes
 * queued come with ever lower ones, so that nearly every insert is at one of a lane's ends: put,
 * take and removal cost the same at any length. */
#include "engine/window.h"

#include <string.h>

static size_t lane_of(int priority)
{
    RN_ASSERT(priority >= WINDOW_PRIORITY_MIN && priority <= WINDOW_PRIORITY_MAX);
    return (size_t)(WINDOW_PRIORITY_MAX - priority);
}

static struct queue_key key_of(const struct task *task)
{
    return (struct queue_key){.priority = task->record.priority, .id = task->record.id};
}

void window_init(struct window *window, size_t capacity)
{
    RN_ASSERT(capacity > 0);
    memset(window, 0, sizeof(*window));
    window->capacity = capacity;
}

void window_fini(struct window *window)
{
    struct task *task = NULL;
    struct task *next = NULL;
    HASH_ITER (hh, window->by_id, task, next) {
        HASH_DEL(window->by_id, task);
        task_free(task);
    }
    window_init(window, window->capacity);
}

struct task *window_find(const struct window *window, uint64_t id)
{
    struct task *task = NULL;
    HASH_FIND(hh, window->by_id, &id, sizeof(id), task);
    return task;
}

bool window_admits(const struct window *window, struct queue_key key)
{
    if (window->frontier_is_infinite)
        return true;
    return window->has_frontier && queue_key_compare(key, window->frontier) <= 0;
}

struct task *window_first(const struct window *window)
{
    for (size_t word = 0; word < WINDOW_WORDS; word++) {
        if (window->filled[word] != 0)
            return window->lanes[word * 64 + (size_t)__builtin_ctzll(window->filled[word])].first;
    }
    return NULL;
}

int64_t window_oldest_ms(const struct window *window)
{
    int64_t oldest_ms = 0;

    for (size_t word = 0; word < WINDOW_WORDS; word++) {
        for (uint64_t left = window->filled[word]; left != 0; left &= left - 1) {
            size_t lane = word * 64 + (size_t)__builtin_ctzll(left);
            int64_t queued_at_ms = window->lanes[lane].first->record.queued_at_ms;
            if (oldest_ms == 0 || queued_at_ms < oldest_ms)
                oldest_ms = queued_at_ms;
        }
    }
    return oldest_ms;
}

static struct task *last_of(const struct window *window)
{
    for (size_t word = WINDOW_WORDS; word-- > 0;) {
        if (window->filled[word] != 0)
            return window->lanes[word * 64 + 63 - (size_t)__builtin_clzll(window->filled[word])]
                .last;
    }
    return NULL;
}

static void link_into_lane(struct window *window, struct task *task)
{
    size_t number = lane_of(task->record.priority);
    struct window_lane *lane = &window->lanes[number];
    bool is_lowest = lane->first != NULL && lane->first->record.id > task->record.id;
    struct task *before = is_lowest ? NULL : lane->last;
    while (before != NULL && before->record.id > task->record.id)
        before = before->prev;

    task->prev = before;
    task->next = before == NULL ? lane->first : before->next;
    if (task->prev == NULL)
        lane->first = task;
    else
        task->prev->next = task;
    if (task->next == NULL)
        lane->last = task;
    else
        task->next->prev = task;
    window->filled[number / 64] |= UINT64_C(1) << (number % 64);
    window->count++;
}

static void unlink_from_lane(struct window *window, struct task *task)
{
    size_t number = lane_of(task->record.priority);
    struct window_lane *lane = &window->lanes[number];
    if (task->prev == NULL)
        lane->first = task->next;
    else
        task->prev->next = task->next;
    if (task->next == NULL)
        lane->last = task->prev;
    else
        task->next->prev = task->prev;
    task->prev = NULL;
    task->next = NULL;
    if (lane->first == NULL)
        window->filled[number / 64] &= ~(UINT64_C(1) << (number % 64));
    window->count--;
}

int window_insert(struct window *window, struct task *task, struct task **ret_dropped)
{
    RN_ASSERT(window_admits(window, key_of(task)));
    RN_ASSERT(window_find(window, task->record.id) == NULL);

    HASH_ADD(hh, window->by_id, record.id, sizeof(task->record.id), task);
    if (task->hh.tbl == NULL)
        return -ENOMEM;
    task->place = TASK_IN_WINDOW;
    link_into_lane(window, task);
    *ret_dropped = NULL;
    if (window->count <= window->capacity)
        return 0;

    struct task *last = last_of(window);
    window_remove(window, last);
    *ret_dropped = last;
    window->frontier = key_of(last_of(window));
    window->has_frontier = true;
    window->frontier_is_infinite = false;
    return 0;
}

void window_cut(struct window *window, struct queue_key key)
{
    RN_ASSERT(key.id > 0);
    struct task *last = last_of(window);
    while (last != NULL && queue_key_compare(key_of(last), key) > 0) {
        window_remove(window, last);
        task_free(last);
        last = last_of(window);
    }
    window->frontier = (struct queue_key){.priority = key.priority, .id = key.id - 1};
    window->has_frontier = true;
    window->frontier_is_infinite = false;
}

void window_take(struct window *window, struct task *task)
{
    RN_ASSERT(task->place == TASK_IN_WINDOW);
    unlink_from_lane(window, task);
    task->place = TASK_IN_FLIGHT;
    window->in_flight++;
}

void window_remove(struct window *window, struct task *task)
{
    RN_ASSERT(task->place == TASK_IN_WINDOW);
    RN_ASSERT(window->by_id != NULL); // it holds at least this one
    unlink_from_lane(window, task);
    HASH_DEL(window->by_id, task);
}

void window_land(struct window *window, struct task *task)
{
    RN_ASSERT(task->place == TASK_IN_FLIGHT);
    RN_ASSERT(window->in_flight > 0);
    RN_ASSERT(window->by_id != NULL);
    HASH_DEL(window->by_id, task);
    window->in_flight--;
}

bool window_wants_refill(const struct window *window)
{
    return !window->frontier_is_infinite && window->count <= window->capacity / 2;
}

bool window_refill_is_valid(const struct window *window, bool has_after, struct queue_key after)
{
    if (window->frontier_is_infinite || window->has_frontier != has_after)
        return false;
    return !has_after || queue_key_compare(window->frontier, after) == 0;
}

void window_move_frontier(struct window *window, bool selected_any, struct queue_key last)
{
    if (!selected_any) {
        window->frontier_is_infinite = true;
        return;
    }
    RN_ASSERT(!window->has_frontier || queue_key_compare(window->frontier, last) < 0);
    window->has_frontier = true;
    window->frontier = last;
}
