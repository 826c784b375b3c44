/* Lists, keys and ages as the readers give them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

static void list(struct fixture *fixture, struct store_read *read)
{
    read->type = STORE_LIST;
    if (read->list.limit == 0)
        read->list.limit = 100;
    assert_int_equal(run_read(fixture, read), 0);
}

static void free_rows(struct store_read *read)
{
    for (size_t i = 0; i < read->list.count; i++)
        record_free(read->list.rows[i]);
    free(read->list.rows);
    read->list.rows = NULL;
}

static size_t count_of(struct fixture *fixture, const struct store_list_filter *filter)
{
    struct store_read read = {.list.filter = *filter};
    list(fixture, &read);
    size_t count = read.list.count;
    free_rows(&read);
    return count;
}

static void pages_go_from_the_newest_to_the_oldest(void **state)
{
    struct fixture *fixture = *state;
    (void)put_many(fixture, "a", 25);
    uint64_t expected = 25;
    struct store_read read = {.list.limit = 10};
    do {
        read.list.before = read.list.next_before;
        list(fixture, &read);
        for (size_t i = 0; i < read.list.count; i++)
            assert_int_equal(read.list.rows[i]->id, expected--);
        free_rows(&read);
    } while (read.list.next_before != 0);
    assert_int_equal(expected, 0);
}

static void filters_are_joined_by_and_and_their_values_by_or(void **state)
{
    struct fixture *fixture = *state;
    static const char *const queues[] = {"a", "b", "c"};
    static const char *const tags[] = {"[\"x\"]", "[\"x\",\"y\\\"z\"]", NULL};
    for (int i = 0; i < 27; i++) {
        struct record *record = new_record(queues[i % 3], i / 3 % 3 == 0 ? "k1" : "k2", "1");
        const char *tag = tags[i / 9];
        assert_int_equal(text_set(&record->tags, tag, tag == NULL ? 0 : strlen(tag)), 0);
        (void)put_one(fixture, record);
    }
    assert_int_equal(finish(fixture, 1, TASK_SUCCEEDED), 0);
    assert_int_equal(finish(fixture, 2, TASK_FAILED), 0);

    struct store_list_filter all = {.states = 0};
    assert_int_equal(count_of(fixture, &all), 27);
    struct store_list_filter ended = {.states = 1u << TASK_SUCCEEDED | 1u << TASK_FAILED};
    assert_int_equal(count_of(fixture, &ended), 2);
    struct store_list_filter two = {.queues = {"a", "c"}, .queue_count = 2};
    assert_int_equal(count_of(fixture, &two), 18);
    struct store_list_filter kind = {
        .queues = {"a"}, .queue_count = 1, .kinds = {"k1"}, .kind_count = 1};
    assert_int_equal(count_of(fixture, &kind), 3);
    struct store_list_filter tag = {.tags = {"x"}, .tag_count = 1};
    assert_int_equal(count_of(fixture, &tag), 18);
    struct store_list_filter quoted = {.tags = {"y\"z", "nothing"}, .tag_count = 2};
    assert_int_equal(count_of(fixture, &quoted), 9);
    struct store_list_filter none = {.queues = {"never-used"}, .queue_count = 1};
    assert_int_equal(count_of(fixture, &none), 0);
}

static void the_bounds_of_creation_are_exclusive(void **state)
{
    struct fixture *fixture = *state;
    for (int64_t at = 1000; at <= 3000; at += 1000) {
        struct record *record = new_record("a", "k", NULL);
        struct store_op op = {
            .type = STORE_PUT, .now_ms = at, .put = {.records = &record, .count = 1}};
        assert_int_equal(run_op(fixture, &op), 0);
        record_free(record);
    }
    struct store_list_filter after = {.created_after_ms = 2000};
    assert_int_equal(count_of(fixture, &after), 1);
    struct store_list_filter before = {.created_before_ms = 2000};
    assert_int_equal(count_of(fixture, &before), 1);
    struct store_list_filter between = {.created_after_ms = 1000, .created_before_ms = 3000};
    assert_int_equal(count_of(fixture, &between), 1);
}

static void error_codes_and_ends_are_filters_of_their_own(void **state)
{
    struct fixture *fixture = *state;
    static const char *const codes[] = {"exit", "timeout", "exit", ""};
    for (int64_t i = 0; i < 4; i++) {
        uint64_t id = put_many(fixture, "a", 1);
        struct record *record = get(fixture, id, NULL);
        record->run = record->attempt = 1;
        record->started_at_ms = 500;
        record->finished_at_ms = 1000 * (i + 1);
        memcpy(record->error_code, codes[i], strlen(codes[i]) + 1);
        struct store_op op = {.type = STORE_FINISH,
                              .finish = {.record = record,
                                         .to = i == 2   ? TASK_RETRYING
                                               : i == 3 ? TASK_SUCCEEDED
                                                        : TASK_FAILED}};
        assert_int_equal(run_op(fixture, &op), 0);
        record_free(record);
    }
    (void)put_many(fixture, "a", 2); // have neither

    struct store_list_filter exits = {.error_codes = {"exit"}, .error_code_count = 1};
    assert_int_equal(count_of(fixture, &exits), 2);
    exits.error_codes[exits.error_code_count++] = "timeout";
    assert_int_equal(count_of(fixture, &exits), 3);
    exits.states = 1u << TASK_FAILED;
    assert_int_equal(count_of(fixture, &exits), 2);
    // The one that is tried again has not finished; the bounds are exclusive.
    struct store_list_filter ended = {.finished_after_ms = 1};
    assert_int_equal(count_of(fixture, &ended), 3);
    ended = (struct store_list_filter){.finished_after_ms = 1000};
    assert_int_equal(count_of(fixture, &ended), 2);
    ended = (struct store_list_filter){.finished_before_ms = 4000};
    assert_int_equal(count_of(fixture, &ended), 2);
    ended = (struct store_list_filter){.finished_after_ms = 1000, .finished_before_ms = 4000};
    assert_int_equal(count_of(fixture, &ended), 1);
}

static void a_page_looks_at_ten_thousand_rows_and_says_where_to_go_on(void **state)
{
    struct fixture *fixture = *state;
    struct record *record = new_record("rare", "k", NULL);
    (void)put_one(fixture, record);
    (void)put_many(fixture, "a", 8000);
    (void)put_many(fixture, "a", 4000);
    struct store_read read = {.list = {.filter = {.queues = {"rare"}, .queue_count = 1}}};

    list(fixture, &read);
    assert_int_equal(read.list.count, 0);
    assert_int_equal(read.list.next_before, 12001 - STORE_LIST_EXAMINED_MAX + 1);
    free_rows(&read);
    read.list.before = read.list.next_before;
    list(fixture, &read);
    assert_int_equal(read.list.count, 1);
    assert_int_equal(read.list.rows[0]->id, 1);
    assert_int_equal(read.list.next_before, 0);
    free_rows(&read);
}

static void bodies_are_left_out_unless_they_are_asked_for(void **state)
{
    struct fixture *fixture = *state;
    enum { LARGE = 5000 };
    char args[LARGE + 1];
    memset(args, '7', LARGE);
    args[LARGE] = '\0';
    (void)put_one(fixture, new_record("a", "k", args));
    (void)put_one(fixture, new_record("a", "k", "{}"));
    struct store_read read = {.list.with_bodies = false};
    list(fixture, &read);
    assert_null(read.list.rows[0]->args.bytes);
    assert_null(read.list.rows[1]->args.bytes);
    free_rows(&read);
    read.list.with_bodies = true;
    list(fixture, &read);
    assert_string_equal(read.list.rows[0]->args.bytes, "{}");
    assert_int_equal(read.list.rows[1]->args.length, LARGE);
    free_rows(&read);
}

static void a_page_with_bodies_is_bounded_in_bytes(void **state)
{
    struct fixture *fixture = *state;
    enum { LARGE = 1 << 20 };
    char *args = malloc(LARGE + 1);
    assert_non_null(args);
    memset(args, '7', LARGE);
    args[LARGE] = '\0';
    for (int i = 0; i < 12; i++)
        (void)put_one(fixture, new_record("a", "k", args));
    struct store_read read = {.list.with_bodies = true};
    list(fixture, &read);
    assert_int_equal(read.list.count, 8);
    assert_int_equal(read.list.next_before, 5);
    free_rows(&read);
    free(args);
}

static int64_t age(struct fixture *fixture, const char *queue)
{
    struct store_read read = {.type = STORE_QUEUE_AGE};
    (void)snprintf(read.age.queue, sizeof(read.age.queue), "%s", queue);
    assert_int_equal(run_read(fixture, &read), 0);
    return read.age.oldest_ms;
}

static void the_age_of_a_queue_is_that_of_its_oldest_queued_task(void **state)
{
    struct fixture *fixture = *state;
    static const struct {
        int priority;
        int64_t at_ms;
    } tasks[] = {{0, 5000}, {50, 4000}, {-3, 2000}, {-3, 9000}};
    assert_int_equal(age(fixture, "a"), 0);
    for (size_t i = 0; i < 4; i++) {
        struct record *record = new_record("a", "k", NULL);
        record->priority = tasks[i].priority;
        struct store_op op = {
            .type = STORE_PUT, .now_ms = tasks[i].at_ms, .put = {.records = &record, .count = 1}};
        assert_int_equal(run_op(fixture, &op), 0);
        record_free(record);
    }
    assert_int_equal(age(fixture, "a"), 2000);
    assert_int_equal(finish(fixture, 3, TASK_SUCCEEDED), 0);
    assert_int_equal(age(fixture, "a"), 4000);
    assert_int_equal(age(fixture, "b"), 0);
}

static void readers_see_what_was_answered_and_go_on_while_the_writer_stands(void **state)
{
    struct fixture *fixture = *state;
    uint64_t id = put_many(fixture, "a", 1);
    writer_hold(fixture);
    assert_int_equal(state_of(fixture, id), TASK_QUEUED);
    struct store_list_filter all = {.states = 0};
    assert_int_equal(count_of(fixture, &all), 1);
    writer_go(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, store_setup, store_teardown)
        STORE_TEST(pages_go_from_the_newest_to_the_oldest),
        STORE_TEST(filters_are_joined_by_and_and_their_values_by_or),
        STORE_TEST(the_bounds_of_creation_are_exclusive),
        STORE_TEST(error_codes_and_ends_are_filters_of_their_own),
        STORE_TEST(a_page_looks_at_ten_thousand_rows_and_says_where_to_go_on),
        STORE_TEST(bodies_are_left_out_unless_they_are_asked_for),
        STORE_TEST(a_page_with_bodies_is_bounded_in_bytes),
        STORE_TEST(the_age_of_a_queue_is_that_of_its_oldest_queued_task),
        STORE_TEST(readers_see_what_was_answered_and_go_on_while_the_writer_stands),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
