/* The window against a model: a plain sorted list of what is queued on disk. Puts, refills
 * (selected at one moment, applied at a later one), takes, ends, cancels, rolled-back cancels and
 * retries come in random order; after each step every queued task at or before the frontier must be
 * in memory, and what would be taken next must be the first of all that are queued. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core.h"
#include "fault.h"

enum { DISK_MAX = 3000, STEPS = 60000 };

struct row {
    struct queue_key key;
    bool in_flight;
};

struct model {
    struct queue *queue;
    struct row disk[DISK_MAX]; // what is queued, in the queue's order
    size_t count;
    uint64_t next_id;
    uint64_t random;
    struct store_op claim; // submitted, not yet answered
    bool claim_is_open;
};

static uint64_t draw(struct model *model, uint64_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (model->random >> 33) % below;
}

static size_t place_of(const struct model *model, struct queue_key key)
{
    size_t i = 0;
    while (i < model->count && queue_key_compare(model->disk[i].key, key) < 0)
        i++;
    return i;
}

static void disk_add(struct model *model, struct queue_key key)
{
    size_t i = place_of(model, key);
    for (size_t at = model->count; at > i; at--)
        model->disk[at] = model->disk[at - 1];
    model->disk[i] = (struct row){.key = key};
    model->count++;
}

static void disk_remove(struct model *model, size_t i)
{
    model->count--;
    for (size_t at = i; at < model->count; at++)
        model->disk[at] = model->disk[at + 1];
}

static struct record *record_of(struct queue_key key)
{
    struct record *record = calloc(1, sizeof(*record));
    assert_non_null(record);
    record->id = key.id;
    record->priority = key.priority;
    record->state = TASK_QUEUED;
    (void)snprintf(record->queue, sizeof(record->queue), "q");
    return record;
}

/* The event of a commit: a task became queued. */
static void tell_queued(struct model *model, struct queue_key key)
{
    struct record *record = record_of(key);
    queue_put(model->queue, &record);
    record_free(record);
}

static void put(struct model *model)
{
    if (model->count + 1 >= DISK_MAX)
        return;
    struct queue_key key = {.priority = (int)draw(model, 5) - 2, .id = model->next_id++};
    disk_add(model, key);
    tell_queued(model, key);
}

static void submit_claim(struct model *model)
{
    const struct window *window = &model->queue->window;
    if (model->claim_is_open || !window_wants_refill(window))
        return;
    memset(&model->claim, 0, sizeof(model->claim));
    model->claim.claim.has_after = window->has_frontier;
    model->claim.claim.after = window->frontier;
    model->claim.claim.limit = 1 + draw(model, window->capacity);
    model->claim_is_open = true;
}

/* The store selects after the commit and the events of the claim's group. */
static void answer_claim(struct model *model)
{
    struct store_op *op = &model->claim;
    if (!model->claim_is_open)
        return;
    op->claim.rows = calloc(op->claim.limit, sizeof(struct record *));
    assert_non_null(op->claim.rows);
    for (size_t i = 0; i < model->count && op->claim.count < op->claim.limit; i++) {
        struct queue_key key = model->disk[i].key;
        if (!op->claim.has_after || queue_key_compare(key, op->claim.after) > 0)
            op->claim.rows[op->claim.count++] = record_of(key);
    }
    queue_claimed(model->queue, op);
    model->claim_is_open = false;
}

/* A worker takes the first; it must be the first of all. */
static void take(struct model *model)
{
    struct window *window = &model->queue->window;
    struct task *task = window_first(window);
    if (task == NULL)
        return;
    for (size_t i = 0; i < model->count; i++) {
        if (model->disk[i].in_flight)
            continue;
        assert_int_equal(model->disk[i].key.id, task->record.id);
        model->disk[i].in_flight = true;
        break;
    }
    window_take(window, task);
}

/* The commit of an end; sometimes the task is queued again at once (retried). */
static void end(struct model *model)
{
    size_t first = draw(model, model->count + 1);
    for (size_t i = first; i < model->count; i++) {
        if (!model->disk[i].in_flight)
            continue;
        struct queue_key key = model->disk[i].key;
        struct task *task = queue_land(model->queue, key.id);
        assert_non_null(task);
        task_free(task);
        disk_remove(model, i);
        if (draw(model, 3) == 0) {
            disk_add(model, key);
            tell_queued(model, key);
        }
        return;
    }
}

static void cancel(struct model *model)
{
    if (model->count == 0)
        return;
    size_t i = draw(model, model->count);
    struct row row = model->disk[i];
    struct task *task = NULL;
    int r = queue_withdraw(model->queue, row.key, &task);
    assert_int_equal(r, row.in_flight ? -EBUSY : 0);
    if (row.in_flight)
        return;
    if (draw(model, 4) == 0) { // rolled back
        if (task != NULL)
            queue_restore(model->queue, task);
        return;
    }
    task_free(task);
    disk_remove(model, i);
}

static void check(const struct model *model)
{
    const struct window *window = &model->queue->window;
    size_t in_window = 0;
    size_t in_flight = 0;

    for (size_t i = 0; i < model->count; i++) {
        const struct row *row = &model->disk[i];
        const struct task *task = window_find(window, row->key.id);
        if (row->in_flight) {
            assert_non_null(task);
            assert_int_equal(task->place, TASK_IN_FLIGHT);
            in_flight++;
        } else if (window_admits(window, row->key)) {
            assert_non_null(task);
            assert_int_equal(task->place, TASK_IN_WINDOW);
            in_window++;
        } else
            assert_null(task);
    }
    assert_int_equal(window->count, in_window);
    assert_int_equal(window->in_flight, in_flight);
    assert_true(window->count <= window->capacity);
}

static void random_steps(struct model *model)
{
    for (int step = 0; step < STEPS; step++) {
        // Slow changes between filling and draining.
        uint64_t puts = (step / 5000) % 2 == 0 ? 6 : 2;
        uint64_t what = draw(model, puts + 8);
        if (what < puts)
            put(model);
        else if (what < puts + 1)
            submit_claim(model);
        else if (what < puts + 2)
            answer_claim(model);
        else if (what < puts + 4)
            take(model);
        else if (what < puts + 7)
            end(model);
        else
            cancel(model);
        if (step % 16 == 0)
            check(model);
    }
}

static void run_model(size_t capacity, uint64_t seed)
{
    struct model *model = calloc(1, sizeof(*model));
    assert_non_null(model);
    model->random = seed;
    model->next_id = 1;
    assert_int_equal(queue_new(NULL, "q", &model->queue), 0);
    rn_mutex_lock(&model->queue->mu);
    model->queue->window.capacity = capacity;
    rn_mutex_unlock(&model->queue->mu);

    random_steps(model);
    answer_claim(model);
    check(model);

    queue_free(model->queue);
    free(model);
}

static void holds_every_task_before_the_frontier_whatever_happens(void **state)
{
    (void)state;
    run_model(1, 11);
    run_model(8, 12);
    run_model(64, 13);
    run_model(4096, 14);
}

static void takes_by_priority_and_then_by_id(void **state)
{
    (void)state;
    static const struct queue_key keys[] = {{0, 1}, {-100, 2}, {100, 3}, {0, 4}, {100, 5}};
    static const uint64_t order[] = {3, 5, 1, 4, 2};
    struct window window;
    window_init(&window, 10);
    window_move_frontier(&window, false, (struct queue_key){0});

    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        struct record *record = record_of(keys[i]);
        struct task *task = NULL;
        struct task *dropped = NULL;
        assert_int_equal(task_new((struct queue *)&window, &record, &task), 0);
        assert_int_equal(window_insert(&window, task, &dropped), 0);
        assert_null(dropped);
    }

    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        struct task *task = window_first(&window);
        assert_int_equal(task->record.id, order[i]);
        window_take(&window, task);
        window_land(&window, task);
        task_free(task);
    }
    assert_null(window_first(&window));
    window_fini(&window);
}

static void a_full_window_drops_its_last_and_the_frontier_moves_back(void **state)
{
    (void)state;
    struct window window;
    struct task *dropped = NULL;
    window_init(&window, 2);
    window_move_frontier(&window, false, (struct queue_key){0});
    for (uint64_t id = 1; id <= 3; id++) {
        struct record *record = record_of((struct queue_key){0, id});
        struct task *task = NULL;
        assert_int_equal(task_new((struct queue *)&window, &record, &task), 0);
        assert_int_equal(window_insert(&window, task, &dropped), 0);
    }

    assert_non_null(dropped);
    assert_int_equal(dropped->record.id, 3);
    assert_int_equal(window.frontier.id, 2);
    assert_false(window_admits(&window, (struct queue_key){0, 3}));
    assert_true(window_admits(&window, (struct queue_key){1, 9}));

    task_free(dropped);
    window_fini(&window);
}

static void without_memory_a_task_stays_behind_the_frontier(void **state)
{
    (void)state;
    struct queue *queue = NULL;
    assert_int_equal(queue_new(NULL, "q", &queue), 0);
    window_move_frontier(&queue->window, false, (struct queue_key){0});
    for (uint64_t id = 1; id <= 3; id++) {
        struct record *record = record_of((struct queue_key){0, id});
        queue_put(queue, &record);
        record_free(record);
    }

    struct record *record = record_of((struct queue_key){1, 4});
    fault_fail_malloc(1);
    queue_put(queue, &record);
    fault_reset();

    assert_non_null(record);
    record_free(record);
    rn_mutex_lock(&queue->mu);
    size_t count = queue->window.count;
    rn_mutex_unlock(&queue->mu);
    assert_int_equal(count, 0); // those behind it are on disk, as it is
    assert_false(window_admits(&queue->window, (struct queue_key){1, 4}));
    assert_true(window_admits(&queue->window, (struct queue_key){1, 3}));
    queue_free(queue);
}

static void the_oldest_is_sought_among_the_first_of_each_priority(void **state)
{
    (void)state;
    static const struct {
        struct queue_key key;
        int64_t queued_at_ms, oldest_ms; // the oldest once it is there
    } rows[] = {{{0, 5}, 500, 500},    {{0, 6}, 100, 500},   {{7, 8}, 600, 500},
                {{-100, 4}, 400, 400}, {{100, 9}, 300, 300}, {{0, 3}, 700, 300}};
    struct queue *queue = NULL;
    assert_int_equal(queue_new(NULL, "q", &queue), 0);
    window_move_frontier(&queue->window, false, (struct queue_key){0});
    assert_int_equal(window_oldest_ms(&queue->window), 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct record *record = record_of(rows[i].key);
        record->queued_at_ms = rows[i].queued_at_ms;
        queue_put(queue, &record);
        assert_null(record);
        assert_int_equal(window_oldest_ms(&queue->window), rows[i].oldest_ms);
    }

    // What is taken does not wait any more.
    struct task *task = window_first(&queue->window);
    assert_int_equal(task->record.id, 9);
    window_take(&queue->window, task);
    assert_int_equal(window_oldest_ms(&queue->window), 400);
    task_free(queue_land(queue, 9));
    queue_free(queue);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_by_priority_and_then_by_id),
        cmocka_unit_test(a_full_window_drops_its_last_and_the_frontier_moves_back),
        cmocka_unit_test(without_memory_a_task_stays_behind_the_frontier),
        cmocka_unit_test(the_oldest_is_sought_among_the_first_of_each_priority),
        cmocka_unit_test(holds_every_task_before_the_frontier_whatever_happens),
    };
    return cmocka_run_group_tests_name("window", tests, NULL, NULL);
}
