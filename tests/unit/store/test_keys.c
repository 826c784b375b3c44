/* Idempotency keys: of a task, an array, a stream. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static struct store_key new_key(const char *text, unsigned char hash)
{
    struct store_key key = {.is_stream = false};
    (void)snprintf(key.text, sizeof(key.text), "%s", text);
    memset(key.hash, hash, sizeof(key.hash));
    return key;
}

/* A slice of a stream: `lines` tasks behind `before`, the hash of n lines being n in each byte. */
static struct store_key new_slice(const char *text, unsigned char before, unsigned char lines)
{
    struct store_key key = new_key(text, (unsigned char)(before + lines));
    key.is_stream = true;
    key.lines_before = before;
    memset(key.hash_before, before, sizeof(key.hash_before));
    return key;
}

struct put {
    struct store_op op;
    struct record *records[8];
};

static struct store_op *new_put(struct put *put, const struct store_key *key, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put->records[i] = new_record("a", "k", NULL);
    put->op = (struct store_op){.type = STORE_PUT,
                                .put = {.records = put->records, .count = count, .key = key}};
    return &put->op;
}

static void free_put(struct put *put)
{
    for (size_t i = 0; i < 8; i++)
        record_free(put->records[i]);
    *put = (struct put){.records = {NULL}};
}

static int put_with(struct fixture *fixture, struct put *put, const struct store_key *key,
                    size_t count)
{
    int r = run_op(fixture, new_put(put, key, count));
    for (size_t i = 0; i < count; i++)
        record_free(put->records[i]);
    return r;
}

static void the_same_request_again_is_answered_with_the_same_ids(void **state)
{
    struct fixture *fixture = *state;
    struct store_key key = new_key("once", 1);
    struct put put;
    assert_int_equal(put_with(fixture, &put, &key, 3), 0);
    assert_false(put.op.put.replayed);
    assert_int_equal(put.op.put.ids_first, 1);

    for (int again = 0; again < 3; again++) {
        assert_int_equal(put_with(fixture, &put, &key, 3), 0);
        assert_true(put.op.put.replayed);
        assert_int_equal(put.op.put.key_state.first_id, 1);
        assert_int_equal(put.op.put.key_state.last_id, 3);
        assert_int_equal(put.op.put.key_state.count, 3);
        close_store(fixture);
        open_store(fixture);
    }
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 3);
}

static void the_same_key_for_another_request_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct store_key key = new_key("once", 1);
    struct store_key other = new_key("once", 2);
    struct store_key stream = new_slice("once", 0, 1);
    struct put put;
    assert_int_equal(put_with(fixture, &put, &key, 1), 0);
    assert_int_equal(put_with(fixture, &put, &other, 1), -EEXIST);
    assert_int_equal(put_with(fixture, &put, &stream, 1), -EEXIST);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 1);
}

static void many_at_once_make_one_task(void **state)
{
    struct fixture *fixture = *state;
    enum { RACERS = 64 };
    struct store_key key = new_key("race", 1);
    struct put *puts = calloc(RACERS, sizeof(*puts));
    struct store_op *ops = calloc(RACERS, sizeof(*ops));
    assert_non_null(puts);
    assert_non_null(ops);
    for (size_t i = 0; i < RACERS; i++)
        ops[i] = *new_put(&puts[i], &key, 1);

    run_together(fixture, ops, RACERS);

    for (size_t i = 0; i < RACERS; i++) {
        assert_int_equal(ops[i].result, 0);
        assert_int_equal(ops[i].put.replayed, i > 0);
        assert_int_equal(ops[i].put.key_state.first_id, 1);
        free_put(&puts[i]);
    }
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 1);
    free(puts);
    free(ops);
}

static void a_stream_goes_on_where_it_stands(void **state)
{
    struct fixture *fixture = *state;
    struct put put;
    struct store_key first = new_slice("s", 0, 3);
    struct store_key second = new_slice("s", 3, 2);
    assert_int_equal(put_with(fixture, &put, &first, 3), 0);
    (void)put_many(fixture, "a", 4); // somebody else's between them
    assert_int_equal(put_with(fixture, &put, &second, 2), 0);

    struct store_read read = {.type = STORE_KEY, .key.text = "s"};
    assert_int_equal(run_read(fixture, &read), 0);
    assert_true(read.key.state.exists);
    assert_true(read.key.state.is_stream);
    assert_int_equal(read.key.state.count, 5);
    assert_int_equal(read.key.state.first_id, 1);
    assert_int_equal(read.key.state.last_id, 9);
    assert_int_equal(read.key.state.hash[31], 5);
}

static void a_slice_that_is_stored_already_is_stale_and_tells_where_the_stream_stands(void **state)
{
    struct fixture *fixture = *state;
    struct put put;
    struct store_key slice = new_slice("s", 0, 3);
    struct store_key ahead = new_slice("s", 5, 1);
    assert_int_equal(put_with(fixture, &put, &slice, 3), 0);

    assert_int_equal(put_with(fixture, &put, &slice, 3), -ESTALE);
    assert_int_equal(put.op.put.key_state.count, 3);
    assert_int_equal(put_with(fixture, &put, &ahead, 1), -ESTALE);
    assert_int_equal(put.op.put.key_state.count, 3);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 3);
}

static void other_lines_before_the_slice_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct put put;
    struct store_key slice = new_slice("s", 0, 3);
    struct store_key other = new_slice("s", 3, 1);
    other.hash_before[7] ^= 1;
    assert_int_equal(put_with(fixture, &put, &slice, 3), 0);
    assert_int_equal(put_with(fixture, &put, &other, 1), -EEXIST);
}

static void two_streams_at_once_make_each_line_once(void **state)
{
    struct fixture *fixture = *state;
    struct store_key slices[2] = {new_slice("s", 0, 2), new_slice("s", 2, 2)};
    struct put puts[4];
    struct store_op ops[4];
    for (size_t i = 0; i < 4; i++)
        ops[i] = *new_put(memset(&puts[i], 0, sizeof(puts[i])), &slices[i / 2], 2);

    run_together(fixture, ops, 4);

    assert_int_equal(ops[0].result, 0);
    assert_int_equal(ops[1].result, -ESTALE);
    assert_int_equal(ops[2].result, 0);
    assert_int_equal(ops[3].result, -ESTALE);
    assert_int_equal(query(fixture, "SELECT count(*) FROM tasks"), 4);
    for (size_t i = 0; i < 4; i++)
        free_put(&puts[i]);
}

static void a_refused_put_uses_no_key_up(void **state)
{
    struct fixture *fixture = *state;
    fixture->max_backlog = 1;
    open_store(fixture);
    struct store_key key = new_key("once", 1);
    struct put put;
    assert_int_equal(put_with(fixture, &put, &key, 2), -ENOBUFS);

    struct store_read read = {.type = STORE_KEY, .key.text = "once"};
    assert_int_equal(run_read(fixture, &read), 0);
    assert_false(read.key.state.exists);
    assert_int_equal(put_with(fixture, &put, &key, 1), 0);
    // A full backlog refuses no replay.
    assert_int_equal(put_with(fixture, &put, &key, 1), 0);
    assert_true(put.op.put.replayed);
}

static void old_keys_are_swept(void **state)
{
    struct fixture *fixture = *state;
    struct store_retention retention = {.keep_succeeded_ms = 1000000,
                                        .keep_failed_ms = 1000000,
                                        .keep_cancelled_ms = 1000000,
                                        .keep_count = 100,
                                        .keep_keys_ms = 1000};
    char text[32];
    struct put put;
    for (unsigned char i = 0; i < 5; i++) {
        (void)snprintf(text, sizeof(text), "key-%d", i);
        struct store_key key = new_key(text, 1);
        struct store_op *op = new_put(&put, &key, 1);
        op->now_ms = 10000 + i * 1000;
        assert_int_equal(run_op(fixture, op), 0);
        record_free(put.records[0]);
    }
    struct store_op sweep = {.type = STORE_SWEEP,
                             .now_ms = 13500, // the first three are older than a second
                             .sweep = {.retention = &retention, .limit = 2}};
    assert_int_equal(run_op(fixture, &sweep), 0);
    assert_true(sweep.sweep.more);
    assert_int_equal(run_op(fixture, &sweep), 0);
    assert_false(sweep.sweep.more);
    assert_int_equal(query(fixture, "SELECT count(*) FROM keys"), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(the_same_request_again_is_answered_with_the_same_ids),
        STORE_TEST(the_same_key_for_another_request_is_refused),
        STORE_TEST(many_at_once_make_one_task),
        STORE_TEST(a_stream_goes_on_where_it_stands),
        STORE_TEST(a_slice_that_is_stored_already_is_stale_and_tells_where_the_stream_stands),
        STORE_TEST(other_lines_before_the_slice_are_refused),
        STORE_TEST(two_streams_at_once_make_each_line_once),
        cmocka_unit_test_setup_teardown(a_refused_put_uses_no_key_up, folder_setup, store_teardown),
        STORE_TEST(old_keys_are_swept),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
