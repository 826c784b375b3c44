/* The store from the outside: put, get, restart, order of the answers, bounds. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <runnel/context.h>
#include <runnel/group.h>

#include "store/inbox.h"
#include "store/reader.h"
#include "support.h"

static void a_task_is_read_as_it_was_put(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("mail", "send", "{\"to\":\"a\"}");
    record->priority = -7;
    record->timeout_ms = 5000;
    record->max_attempts = 4;
    record->backoff_base_ms = 100;
    record->backoff_max_ms = 9000;
    record->expires_at_ms = rn_wall_ms() + 60000;
    assert_int_equal(text_set(&record->tags, "[\"x\"]", 5), 0);
    int64_t expires_at_ms = record->expires_at_ms;

    uint64_t id = put_one(fixture, record);

    assert_int_equal(id, 1);
    record = get(fixture, id, NULL);
    assert_non_null(record);
    assert_int_equal(record->state, TASK_QUEUED);
    assert_string_equal(record->queue, "mail");
    assert_string_equal(record->kind, "send");
    assert_int_equal(record->priority, -7);
    assert_int_equal(record->timeout_ms, 5000);
    assert_int_equal(record->max_attempts, 4);
    assert_int_equal(record->backoff_base_ms, 100);
    assert_int_equal(record->backoff_max_ms, 9000);
    assert_int_equal(record->expires_at_ms, expires_at_ms);
    assert_string_equal(record->args.bytes, "{\"to\":\"a\"}");
    assert_string_equal(record->tags.bytes, "[\"x\"]");
    assert_int_equal(record->queued_at_ms, record->created_at_ms);
    record_free(record);
    check_counts(fixture);
}

static void options_of_one_task_do_not_stick_to_the_next(void **state)
{
    struct fixture *fixture = *state;
    struct record *first = new_record("a", "k", "1");
    first->timeout_ms = 1;
    first->expires_at_ms = rn_wall_ms() + 60000;
    assert_int_equal(text_set(&first->tags, "[\"x\"]", 5), 0);
    (void)put_one(fixture, first);

    uint64_t id = put_one(fixture, new_record("a", "k", NULL));

    struct record *record = get(fixture, id, NULL);
    assert_int_equal(record->timeout_ms, 0);
    assert_int_equal(record->expires_at_ms, 0);
    assert_null(record->tags.bytes);
    assert_null(record->args.bytes);
    record_free(record);
}

static void large_args_and_results_come_back_whole(void **state)
{
    struct fixture *fixture = *state;
    const size_t size = 100000;
    char *args = malloc(size + 1);
    assert_non_null(args);
    memset(args, 'a', size);
    args[0] = args[size - 1] = '"';
    args[size] = '\0';
    uint64_t id = put_one(fixture, new_record("a", "k", args));

    struct record *record = get(fixture, id, NULL);
    assert_int_equal(record->args.length, size);
    assert_memory_equal(record->args.bytes, args, size);
    assert_false(record->args_in_store);
    record->run = 1;
    record->attempt = 1;
    assert_int_equal(text_set(&record->result, args, size), 0);
    record->result_is_json = true;
    struct store_op op = {
        .type = STORE_FINISH, .finish.record = record, .finish.to = TASK_SUCCEEDED};
    assert_int_equal(run_op(fixture, &op), 0);
    record_free(op.finish.record);

    record = get(fixture, id, NULL);
    assert_int_equal(record->result.length, size);
    assert_memory_equal(record->result.bytes, args, size);
    assert_true(record->result_is_json);
    assert_int_equal(record->args.length, size);
    record_free(record);
    assert_int_equal(one(fixture, STORE_DELETE, id, NULL), 0);
    assert_int_equal(query(fixture, "SELECT count(*) FROM large_args"), 0);
    assert_int_equal(query(fixture, "SELECT count(*) FROM large_results"), 0);
    free(args);
}

static void args_are_inline_up_to_the_limit(void **state)
{
    struct fixture *fixture = *state;
    char args[RECORD_ARGS_INLINE + 2];
    memset(args, '1', sizeof(args));
    args[RECORD_ARGS_INLINE] = '\0';
    (void)put_one(fixture, new_record("a", "k", args));
    assert_int_equal(query(fixture, "SELECT count(*) FROM large_args"), 0);

    args[RECORD_ARGS_INLINE] = '1';
    args[RECORD_ARGS_INLINE + 1] = '\0';
    (void)put_one(fixture, new_record("a", "k", args));
    assert_int_equal(query(fixture, "SELECT count(*) FROM large_args"), 1);
}

static void all_of_it_is_there_after_a_restart(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 3);
    assert_int_equal(finish(fixture, first, TASK_SUCCEEDED), 0);
    struct store_op op = {.type = STORE_QUEUE_SET,
                          .queue_set.queue = "b",
                          .queue_set.settings = {.has_workers = true,
                                                 .workers = 5,
                                                 .has_rate = true,
                                                 .rate = "2/s",
                                                 .paused = true,
                                                 .paused_until_ms = 77}};
    assert_int_equal(run_op(fixture, &op), 0);
    char id[17];
    memcpy(id, store_id(fixture->store), sizeof(id));

    close_store(fixture);
    open_store(fixture);

    assert_string_equal(store_id(fixture->store), id);
    assert_int_equal(strlen(id), 16);
    assert_int_equal(store_last_id(fixture->store), 3);
    assert_int_equal(store_backlog(fixture->store), 2);
    assert_int_equal(state_of(fixture, first), TASK_SUCCEEDED);
    assert_int_equal(state_of(fixture, first + 2), TASK_QUEUED);
    check_counts(fixture);
    struct store_queue_counts *counts = NULL;
    size_t count = 0;
    assert_int_equal(store_counts(fixture->store, &counts, &count), 0);
    assert_int_equal(count, 2);
    assert_string_equal(counts[1].queue, "b");
    assert_true(counts[1].settings.has_workers);
    assert_int_equal(counts[1].settings.workers, 5);
    assert_string_equal(counts[1].settings.rate, "2/s");
    assert_false(counts[1].settings.has_burst);
    assert_true(counts[1].settings.paused);
    assert_int_equal(counts[1].settings.paused_until_ms, 77);
    free(counts);
}

static void overrides_can_be_taken_back(void **state)
{
    struct fixture *fixture = *state;
    struct store_op op = {.type = STORE_QUEUE_SET,
                          .queue_set.queue = "b",
                          .queue_set.settings = {.has_burst = true, .burst = 3, .paused = true}};
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUE_SET, 0), 1);
    op.queue_set.settings = (struct store_queue_settings){.has_workers = false};
    assert_int_equal(run_op(fixture, &op), 0);

    close_store(fixture);
    open_store(fixture);

    struct store_queue_counts *counts = NULL;
    size_t count = 0;
    assert_int_equal(store_counts(fixture->store, &counts, &count), 0);
    assert_int_equal(count, 1);
    assert_false(counts[0].settings.has_burst);
    assert_false(counts[0].settings.has_workers);
    assert_false(counts[0].settings.paused);
    free(counts);
}

static void ids_that_were_never_given_and_those_removed_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    int r = 0;
    uint64_t id = put_many(fixture, "a", 2);
    assert_int_equal(finish(fixture, id + 1, TASK_FAILED), 0);
    assert_int_equal(one(fixture, STORE_DELETE, id + 1, NULL), 0);

    assert_null(get(fixture, 0, &r));
    assert_int_equal(r, -ENOENT);
    assert_null(get(fixture, id + 2, &r));
    assert_int_equal(r, -ENOENT);
    assert_null(get(fixture, id + 1, &r));
    assert_int_equal(r, -ENODATA);
    const enum store_op_type types[] = {STORE_CANCEL, STORE_RETRY, STORE_DELETE};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(one(fixture, types[i], 0, NULL), -ENOENT);
        assert_int_equal(one(fixture, types[i], id + 2, NULL), -ENOENT);
        assert_int_equal(one(fixture, types[i], id + 1, NULL), -ENODATA);
    }
}

static void no_id_is_given_twice_though_the_newest_was_removed_before_a_restart(void **state)
{
    struct fixture *fixture = *state;
    uint64_t first = put_many(fixture, "a", 5);
    for (uint64_t id = first; id < first + 5; id++) {
        assert_int_equal(finish(fixture, id, TASK_SUCCEEDED), 0);
        assert_int_equal(one(fixture, STORE_DELETE, id, NULL), 0);
    }
    close_store(fixture);
    open_store(fixture);

    assert_int_equal(store_last_id(fixture->store), first + 4);
    assert_int_equal(put_many(fixture, "a", 1), first + 5);
}

static void answers_and_events_come_in_the_order_of_submission(void **state)
{
    struct fixture *fixture = *state;
    struct store_op ops[20] = {0};
    struct record *records[20];
    for (size_t i = 0; i < 20; i++) {
        records[i] = new_record("a", "k", NULL);
        ops[i] = (struct store_op){.type = STORE_PUT, .put.records = &records[i], .put.count = 1};
    }
    forget_events(fixture);

    run_together(fixture, ops, 20);

    for (uint64_t i = 0; i < 20; i++) {
        assert_int_equal(ops[i].put.ids_first, i + 1);
        record_free(records[i]);
    }
    // One group: 20 events, the end of the group, then 20 answers.
    assert_int_equal(fixture->seen_count, 41);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(fixture->seen[i].type, STORE_EVENT_QUEUED);
        assert_int_equal(fixture->seen[i].id, i + 1);
        assert_true(fixture->seen[i + 21].is_done);
    }
    assert_int_equal(fixture->seen[20].type, STORE_EVENT_GROUP_END);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 20);
}

static void take_record(struct fixture *fixture, struct store_event *event)
{
    (void)fixture;
    if (event->type != STORE_EVENT_QUEUED)
        return;
    record_free(event->record);
    event->record = NULL;
}

static void a_record_that_the_event_took_is_gone_from_the_operation(void **state)
{
    struct fixture *fixture = *state;
    struct record *records[2] = {new_record("a", "k", NULL), new_record("a", "k", NULL)};
    records[1]->state = TASK_SCHEDULED;
    records[1]->due_at_ms = rn_wall_ms() + 60000;
    fixture->on_event = take_record;
    struct store_op op = {.type = STORE_PUT, .put.records = records, .put.count = 2};

    assert_int_equal(run_op(fixture, &op), 0);

    assert_null(records[0]);
    assert_non_null(records[1]);
    assert_int_equal(records[1]->id, 2);
    record_free(records[1]);
    assert_int_equal(count_events(fixture, STORE_EVENT_WAITING, 2), 1);
}

static void a_queued_task_that_expires_is_told_as_waiting_too(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("a", "k", NULL);
    record->expires_at_ms = rn_wall_ms() + 60000;
    uint64_t id = put_one(fixture, record);
    assert_int_equal(count_events(fixture, STORE_EVENT_WAITING, id), 1);
    assert_int_equal(count_events(fixture, STORE_EVENT_QUEUED, id), 1);
}

static void the_backlog_is_bounded_and_a_refused_put_leaves_nothing(void **state)
{
    struct fixture *fixture = *state;
    fixture->max_backlog = 3;
    open_store(fixture);
    (void)put_many(fixture, "a", 2);
    struct record *records[2] = {new_record("fresh", "k", NULL), new_record("a", "k", NULL)};
    struct store_op op = {.type = STORE_PUT, .put.records = records, .put.count = 2};

    assert_int_equal(run_op(fixture, &op), -ENOBUFS);
    op.put.count = 1;
    assert_int_equal(run_op(fixture, &op), 0);
    assert_int_equal(run_op(fixture, &op), -ENOBUFS);

    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 3);
    check_counts(fixture);
    record_free(records[0]);
    record_free(records[1]);
}

static void half_of_the_channel_is_kept_for_those_who_wait(void **state)
{
    struct fixture *fixture = *state;
    struct store_op *ops = calloc(INBOX_CAPACITY + 2, sizeof(*ops));
    assert_non_null(ops);
    for (size_t i = 0; i < INBOX_CAPACITY + 2; i++)
        ops[i] = (struct store_op){.type = STORE_CANCEL, .one.id = 1};
    writer_hold(fixture);

    size_t n = 0;
    while (store_submit(fixture->store, &ops[n]) == 0)
        n++;
    assert_int_equal(n, INBOX_CAPACITY / 2);
    for (; n < INBOX_CAPACITY; n++)
        assert_int_equal(store_submit_wait(NULL, fixture->store, &ops[n]), 0);
    // Full: one that waits gets the end of its context, the store's own are never refused.
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_MILLISECOND, &ctx), 0);
    assert_int_equal(store_submit_wait(ctx, fixture->store, &ops[n]), -ETIMEDOUT);
    rn_context_unref(ctx);
    assert_int_equal(store_submit_internal(fixture->store, &ops[n]), 0);
    struct store_stats stats;
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.ops_waiting, INBOX_CAPACITY + 1);
    writer_go(fixture);

    struct store_op last = {.type = STORE_CANCEL, .one.id = 1};
    assert_int_equal(run_op(fixture, &last), -ENOENT);
    free(ops);
}

static int wait_for_room(rn_context *ctx, void *arg)
{
    struct fixture *fixture = arg;
    struct store_op op = {.type = STORE_CANCEL, .one.id = 1};
    (void)ctx;
    int r = run_op(fixture, &op); // after the one below: answered at all
    return r == -ENOENT ? 0 : -EPROTO;
}

static int submit_when_there_is_room(rn_context *ctx, void *arg)
{
    struct fixture *fixture = arg;
    static struct store_op op;
    op = (struct store_op){.type = STORE_CANCEL, .one.id = 1};
    return store_submit_wait(ctx, fixture->store, &op);
}

static void who_waits_for_room_gets_it_when_the_writer_takes(void **state)
{
    struct fixture *fixture = *state;
    struct store_op *ops = calloc(INBOX_CAPACITY, sizeof(*ops));
    rn_group *group = NULL;
    assert_non_null(ops);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    writer_hold(fixture);
    for (size_t i = 0; i < INBOX_CAPACITY; i++) {
        ops[i] = (struct store_op){.type = STORE_CANCEL, .one.id = 1};
        assert_int_equal(store_submit_internal(fixture->store, &ops[i]), 0);
    }
    assert_int_equal(rn_group_go(group, "submit", submit_when_there_is_room, fixture), 0);
    writer_go(fixture);
    assert_int_equal(rn_group_wait(group), 0);
    rn_group_free(group);
    assert_int_equal(wait_for_room(NULL, fixture), 0);
    free(ops);
}

static void what_was_submitted_before_the_stop_is_done_and_later_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct record *records[50];
    struct store_op ops[50];
    writer_hold(fixture);
    for (size_t i = 0; i < 50; i++) {
        records[i] = new_record("a", "k", NULL);
        ops[i] = (struct store_op){
            .type = STORE_PUT, .now_ms = 1, .put.records = &records[i], .put.count = 1};
        assert_int_equal(store_submit(fixture->store, &ops[i]), 0);
    }
    writer_go(fixture);
    store_stop(fixture->store);

    for (size_t i = 0; i < 50; i++) {
        assert_int_equal(ops[i].result, 0);
        assert_int_equal(records[i]->id, i + 1);
        record_free(records[i]);
    }
    struct store_op late = {.type = STORE_CANCEL, .one.id = 1};
    struct store_read read = {.type = STORE_GET, .get.id = 1};
    assert_int_equal(store_submit(fixture->store, &late), -EPIPE);
    assert_int_equal(store_submit_wait(NULL, fixture->store, &late), -EPIPE);
    assert_int_equal(store_submit_internal(fixture->store, &late), -EPIPE);
    assert_int_equal(store_read(fixture->store, &read), -EPIPE);
    store_free(fixture->store);
    fixture->store = NULL;
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 50);
}

static void an_array_above_a_groups_size_is_one_transaction(void **state)
{
    struct fixture *fixture = *state;
    struct store_stats before, after;
    store_stats(fixture->store, &before);

    (void)put_many(fixture, "a", 5000);

    store_stats(fixture->store, &after);
    assert_int_equal(after.commits - before.commits, 1);
    const struct metrics_histogram *times = store_commit_times(fixture->store);
    uint64_t timed = 0;
    for (size_t i = 0; i <= times->bounds->count; i++)
        timed += atomic_load(&times->buckets[i]);
    assert_int_equal(timed, after.commits);
    assert_true(atomic_load(&times->sum_us) > 0);
    assert_true(after.commit_max_us >= after.commit_p50_us);
    assert_true(after.database_bytes > 0);
    assert_true(after.free_disk_bytes > 0);
    check_counts(fixture);
}

/* Puts and ends one task after the other, and says so in the pipe, until it is killed. */
static void work_until_killed(struct fixture *fixture, int pipe_fd)
{
    open_store(fixture);
    for (;;) {
        uint64_t id = put_many(fixture, "a", 3);
        (void)finish(fixture, id, TASK_SUCCEEDED);
        forget_events(fixture);
        (void)!write(pipe_fd, &id, sizeof(id));
    }
}

static void what_was_answered_survives_a_kill(void **state)
{
    struct fixture *fixture = *state;
    for (int round = 0; round < 3; round++) {
        uint64_t id = 0;
        uint64_t last = 0;
        int pipes[2];
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            work_until_killed(fixture, pipes[1]);
        (void)close(pipes[1]);
        for (int i = 0; i < 10; i++)
            assert_int_equal(read(pipes[0], &last, sizeof(last)), sizeof(last));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        while (read(pipes[0], &id, sizeof(id)) == (ssize_t)sizeof(id))
            last = id;
        (void)close(pipes[0]);

        open_store(fixture);
        assert_int_equal(state_of(fixture, last), TASK_SUCCEEDED);
        assert_int_equal(state_of(fixture, last + 2), TASK_QUEUED);
        assert_true(store_last_id(fixture->store) >= last + 2);
        check_counts(fixture);
        close_store(fixture);
    }
}

/* Readers that stand in a done_fn until they may go. */
struct gate {
    rn_mutex mu;
    rn_cond changed;
    unsigned held;
    bool is_open;
};

static void stand(struct store_read *read, void *arg)
{
    struct gate *gate = arg;
    (void)read;
    rn_mutex_lock(&gate->mu);
    gate->held++;
    rn_cond_broadcast(&gate->changed);
    while (!gate->is_open)
        assert_int_equal(rn_cond_wait(NULL, &gate->changed, &gate->mu, RN_NEVER), 0);
    rn_mutex_unlock(&gate->mu);
}

static void reads_that_wait_are_bounded_and_all_are_answered(void **state)
{
    struct fixture *fixture = *state;
    struct gate gate = {.held = 0};
    struct store_read holds[2] = {{.type = STORE_GET, .done_fn = stand, .arg = &gate},
                                  {.type = STORE_LIST, .done_fn = stand, .arg = &gate}};
    struct store_read *reads = calloc(READS_WAITING_MAX + 1, sizeof(*reads));
    struct store_stats stats;
    assert_non_null(reads);
    rn_mutex_init(&gate.mu, 73);
    rn_cond_init(&gate.changed);
    holds[1].list.limit = 1;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(store_read(fixture->store, &holds[i]), 0);
    rn_mutex_lock(&gate.mu);
    while (gate.held < 2)
        assert_int_equal(rn_cond_wait(NULL, &gate.changed, &gate.mu, RN_NEVER), 0);
    rn_mutex_unlock(&gate.mu);

    for (size_t i = 0; i <= READS_WAITING_MAX; i++) {
        reads[i] = (struct store_read){.type = STORE_GET, .result = 1};
        int r = store_read(fixture->store, &reads[i]);
        assert_int_equal(r, i < READS_WAITING_MAX ? 0 : -EAGAIN);
    }
    store_stats(fixture->store, &stats);
    assert_int_equal(stats.reads_waiting, READS_WAITING_MAX);
    rn_mutex_lock(&gate.mu);
    gate.is_open = true;
    rn_cond_broadcast(&gate.changed);
    rn_mutex_unlock(&gate.mu);
    store_stop(fixture->store); // answers what waits

    for (size_t i = 0; i < READS_WAITING_MAX; i++)
        assert_int_equal(reads[i].result, -ENOENT);
    free(holds[1].list.rows);
    free(reads);
    rn_cond_fini(&gate.changed);
    rn_mutex_fini(&gate.mu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(a_task_is_read_as_it_was_put),
        STORE_TEST(options_of_one_task_do_not_stick_to_the_next),
        STORE_TEST(large_args_and_results_come_back_whole),
        STORE_TEST(args_are_inline_up_to_the_limit),
        STORE_TEST(all_of_it_is_there_after_a_restart),
        STORE_TEST(overrides_can_be_taken_back),
        STORE_TEST(ids_that_were_never_given_and_those_removed_are_told_apart),
        STORE_TEST(no_id_is_given_twice_though_the_newest_was_removed_before_a_restart),
        STORE_TEST(answers_and_events_come_in_the_order_of_submission),
        STORE_TEST(a_record_that_the_event_took_is_gone_from_the_operation),
        STORE_TEST(a_queued_task_that_expires_is_told_as_waiting_too),
        cmocka_unit_test_setup_teardown(the_backlog_is_bounded_and_a_refused_put_leaves_nothing,
                                        folder_setup, store_teardown),
        cmocka_unit_test_setup_teardown(what_was_answered_survives_a_kill, folder_setup,
                                        store_teardown),
        STORE_TEST(half_of_the_channel_is_kept_for_those_who_wait),
        STORE_TEST(who_waits_for_room_gets_it_when_the_writer_takes),
        STORE_TEST(what_was_submitted_before_the_stop_is_done_and_later_is_refused),
        STORE_TEST(an_array_above_a_groups_size_is_one_transaction),
        STORE_TEST(reads_that_wait_are_bounded_and_all_are_answered),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
