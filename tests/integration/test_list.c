/** \file GET /v1/tasks: filters, order, pages, and that what runs is listed as running. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 2 }; mail: { workers = 2 }; };\n"
    "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' };\n"
    "        sleep: { builtin = 'sleep' }; fail: { builtin = 'fail' }; };\n";

static json_t *list(struct daemon *daemon, const char *query)
{
    return at(expect_status(get(daemon, plain_text("/v1/tasks?%s", query)), 200)->json, "tasks");
}

/* The ids of a list as text: "5 4 1". */
static char *ids(struct daemon *daemon, const char *query)
{
    json_t *tasks = list(daemon, query);
    char *text_of = plain_text("%s", "");
    json_t *one = NULL;
    size_t i = 0;

    json_array_foreach (tasks, i, one)
        text_of =
            plain_text("%s%s%lld", text_of, i > 0 ? " " : "", (long long)number_at(one, "id"));
    return text_of;
}

/* 1 succeeded, 2 failed, 3 cancelled, 4 scheduled, 5 running, 6 and 7 queued. */
static struct daemon *with_one_of_each(void)
{
    struct daemon *daemon = daemon_started(config);

    (void)submit(daemon, "{'kind':'echo','args':'x','tags':['a','b']}");
    (void)submit(daemon, "{'kind':'fail','max_attempts':1,'queue':'mail','tags':['b']}");
    (void)submit(daemon, "{'kind':'noop','delay':'1h','tags':['c d']}");
    expect_status(call(daemon, "POST", "/v1/tasks/3/cancel", NULL), 200);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");
    (void)submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_end(daemon, 1);
    await_end(daemon, 2);
    await_state(daemon, 5, "running");
    expect_status(call(daemon, "POST", "/v1/queues/mail/pause", NULL), 200);
    (void)submit(daemon, "{'kind':'noop','queue':'mail','priority':5}");
    (void)submit(daemon, "{'kind':'echo','queue':'mail','args':'y'}");
    return daemon;
}

static void filters_choose_and_the_newest_comes_first(void)
{
    struct daemon *daemon = with_one_of_each();

    assert_string_equal(ids(daemon, ""), "7 6 5 4 3 2 1");
    assert_string_equal(ids(daemon, "state=succeeded"), "1");
    assert_string_equal(ids(daemon, "state=failed,cancelled"), "3 2");
    assert_string_equal(ids(daemon, "error_code=cancelled"), "3");
    assert_string_equal(ids(daemon, "state=running"), "5");
    assert_string_equal(ids(daemon, "state=queued"), "7 6");
    assert_string_equal(ids(daemon, "state=queued,running"), "7 6 5");
    assert_string_equal(ids(daemon, "state=scheduled"), "4");
    assert_string_equal(ids(daemon, "state=retrying"), "");
    assert_string_equal(ids(daemon, "queue=mail"), "7 6 2");
    assert_string_equal(ids(daemon, "queue=mail,default"), "7 6 5 4 3 2 1");
    assert_string_equal(ids(daemon, "kind=echo"), "7 1");
    assert_string_equal(ids(daemon, "kind=echo,sleep"), "7 5 1");
    assert_string_equal(ids(daemon, "tag=b"), "2 1");
    assert_string_equal(ids(daemon, "tag=a,x"), "1");
    assert_string_equal(ids(daemon, "tag=nothing"), "");
    assert_string_equal(ids(daemon, "kind=echo&queue=mail"), "7");
    assert_string_equal(ids(daemon, "kind=noop&state=queued&queue=mail"), "6");
    assert_string_equal(ids(daemon, "limit=2"), "7 6");
}

static void created_after_and_before_bound_the_list(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t first = submit(daemon, "{'kind':'noop'}");
    pass_ms(20);
    const char *between = instant(wall_ms());
    pass_ms(20);
    uint64_t second = submit(daemon, "{'kind':'noop'}");

    assert_string_equal(ids(daemon, plain_text("created_after=%s", between)),
                        plain_text("%llu", (unsigned long long)second));
    assert_string_equal(ids(daemon, plain_text("created_before=%s", between)),
                        plain_text("%llu", (unsigned long long)first));
    assert_string_equal(
        ids(daemon, plain_text("created_after=%s&created_before=%s", between, between)), "");
}

static void error_codes_and_ends_choose_and_the_cursor_goes_with_them(void)
{
    struct daemon *daemon = with_one_of_each();

    assert_string_equal(ids(daemon, "error_code=failed"), "2");
    assert_string_equal(ids(daemon, "error_code=exit,timeout"), "");
    assert_string_equal(ids(daemon, "error_code=exit,failed&queue=mail"), "2");
    assert_string_equal(ids(daemon, "finished_after=2020-01-01T00:00:00Z"), "3 2 1");
    assert_string_equal(ids(daemon, "finished_before=2020-01-01T00:00:00Z"), "");
    assert_string_equal(ids(daemon, "finished_after=2020-01-01T00:00:00Z&state=running,failed"),
                        "2");
    const char *ended = text_at(task(daemon, 2), "finished_at");
    assert_string_equal(ids(daemon, plain_text("state=failed&finished_after=%s", ended)),
                        ""); // exclusive

    const char *query = "limit=1&finished_after=2020-01-01T00:00:00Z";
    const char *next =
        text_at(expect_status(get(daemon, plain_text("/v1/tasks?%s", query)), 200)->json, "next");
    assert_string_equal(ids(daemon, plain_text("%s&cursor=%s", query, next)), "2");
    expect_problem(get(daemon, plain_text("/v1/tasks?limit=1&cursor=%s", next)), 400,
                   "invalid-query");
}

static void args_and_result_come_only_with_the_full_view(void)
{
    struct daemon *daemon = with_one_of_each();

    json_t *plain = at(list(daemon, "state=succeeded"), "0"),
           *full = at(list(daemon, "state=succeeded&view=full"), "0");

    assert_true(json_object_get(plain, "args") == NULL ||
                json_is_null(json_object_get(plain, "args")));
    assert_true(json_object_get(plain, "result") == NULL ||
                json_is_null(json_object_get(plain, "result")));
    expect_text(full, "args", "x");
    expect_text(full, "result", "x");
    expect_text(at(list(daemon, "state=queued&kind=echo&view=full"), "0"), "args", "y");
}

static void pages_hold_every_task_once_while_others_come(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 2500 };
    bool *seen = keep(calloc(TASKS + 1, sizeof(*seen)));
    const char *path = "/v1/tasks?limit=170&kind=noop";
    const char *next = NULL;
    unsigned count = 0;
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    (void)submit_many(daemon, TASKS, "{'kind':'noop'}");

    do {
        json_t *page = expect_status(get(daemon, path), 200)->json, *one = NULL;
        size_t i = 0;

        assert_in_range(json_array_size(at(page, "tasks")), 0, 170);
        json_array_foreach (at(page, "tasks"), i, one) {
            int64_t id = number_at(one, "id");

            assert_in_range(id, 1, TASKS);
            assert_false(seen[id]);
            seen[id] = true;
            count++;
        }
        next = text_at(page, "next");
        path = plain_text("/v1/tasks?limit=170&kind=noop&cursor=%s", next != NULL ? next : "");
        (void)submit(daemon, "{'kind':'noop'}");
    } while (next != NULL);

    assert_int_equal(count, TASKS);
}

static void a_cursor_goes_with_its_own_filters(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit_many(daemon, 10, "{'kind':'noop','delay':'1h'}");

    const char *next =
        text_at(expect_status(get(daemon, "/v1/tasks?kind=noop&limit=3"), 200)->json, "next");

    assert_non_null(next);
    expect_status(get(daemon, plain_text("/v1/tasks?kind=noop&limit=5&cursor=%s", next)), 200);
    expect_problem(get(daemon, plain_text("/v1/tasks?kind=echo&limit=3&cursor=%s", next)), 400,
                   "invalid-query");
    expect_problem(get(daemon, plain_text("/v1/tasks?cursor=%s", next)), 400, "invalid-query");
    expect_problem(get(daemon, plain_text("/v1/tasks?kind=noop&cursor=%sx", next)), 400,
                   "invalid-query");
}

static void a_filter_that_finds_little_answers_in_bounded_pages(void)
{
    struct daemon *daemon = daemon_started(config);
    enum { TASKS = 10000 };
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    uint64_t rare = submit(daemon, "{'kind':'echo','tags':['rare']}");
    (void)submit_many(daemon, TASKS, "{'kind':'noop','tags':['often']}");
    (void)submit_many(daemon, 5000, "{'kind':'noop','tags':['often']}");

    assert_int_equal(count_tasks(daemon, "tag=rare&"), 1);
    assert_int_equal(count_tasks(daemon, "tag=often&"), TASKS + 5000);
    assert_int_equal(count_tasks(daemon, "kind=echo&"), 1);
    expect_text(task(daemon, rare), "state", "queued");
}

static void counts_follow_what_happens(void)
{
    struct daemon *daemon = with_one_of_each();

    json_t *standard = queue(daemon, "default"), *mail = queue(daemon, "mail");

    expect_number(standard, "states.succeeded", 1);
    expect_number(standard, "states.cancelled", 1);
    expect_number(standard, "states.scheduled", 1);
    expect_number(standard, "states.running", 1);
    expect_number(standard, "states.queued", 0);
    expect_number(mail, "states.failed", 1);
    expect_number(mail, "states.queued", 2);
    daemon_kill(daemon);
    daemon_start(daemon);
    eventually(number_at(queue(daemon, "default"), "states.running") == 1, 20000);
    expect_number(queue(daemon, "default"), "states.succeeded", 1);
    expect_number(queue(daemon, "mail"), "states.queued", 2);
}

HARNESS_MAIN(SCENARIO(filters_choose_and_the_newest_comes_first),
             SCENARIO(created_after_and_before_bound_the_list),
             SCENARIO(error_codes_and_ends_choose_and_the_cursor_goes_with_them),
             SCENARIO(args_and_result_come_only_with_the_full_view),
             SCENARIO(pages_hold_every_task_once_while_others_come),
             SCENARIO(a_cursor_goes_with_its_own_filters),
             SCENARIO(a_filter_that_finds_little_answers_in_bounded_pages),
             SCENARIO(counts_follow_what_happens))
