/* Changes of tasks that wait: PATCH /v1/tasks/{id}. */
#include <stdlib.h>
#include <string.h>

#include "actions.h"

static json_t *change(struct daemon *daemon, uint64_t id, const char *body)
{
    return expect_status(
               call(daemon, "PATCH", plain_text("/v1/tasks/%llu", (unsigned long long)id), body),
               200)
        ->json;
}

static const struct {
    const char *body, *path, *text; // what the answer then has, as JSON
    const char *back;               // sets it back
    const char *back_text;
} changes[] = {
    {"{'queue':'other'}", "queue", "'other'", "{'queue':null}", "'default'"},
    {"{'kind':'echo'}", "kind", "'echo'", "{'kind':'noop'}", "'noop'"},
    {"{'priority':-9}", "priority", "-9", "{'priority':null}", "0"},
    {"{'run_at':'2031-01-31T08:00:00Z'}", "run_at", "'2031-01-31T08:00:00.000Z'",
     "{'run_at':'2030-06-01T00:00:00+02:00'}", "'2030-05-31T22:00:00.000Z'"},
    {"{'expires_at':'2032-01-01T00:00:00Z'}", "expires_at", "'2032-01-01T00:00:00.000Z'",
     "{'expires_at':null}", "null"},
    {"{'max_attempts':7}", "max_attempts", "7", "{'max_attempts':null}", "3"},
    {"{'timeout':'90s'}", "timeout", "'1m30s'", "{'timeout':null}", "'1h'"},
    {"{'backoff':{'base':'7s','max':70}}", "backoff.base", "'7s'", "{'backoff':{'base':null}}",
     "'5s'"},
    {"{'backoff':{'base':1,'max':'9s'}}", "backoff.max", "'9s'", "{'backoff':null}", "'1h'"},
    {"{'tags':['a','b c']}", "tags.1", "'b c'", "{'tags':['d']}", NULL},
    {"{'tags':null}", "tags", "null", "{'tags':['e'],'priority':3}", "['e']"},
};

static void expect_json(const json_t *json, const char *path, const char *wanted)
{
    json_t *found = at(json, path);
    char *dumped = found == NULL ? NULL : keep(json_dumps(found, JSON_ENCODE_ANY | JSON_COMPACT));

    if (wanted == NULL ? found != NULL : found == NULL || strcmp(dumped, quoted(wanted)) != 0)
        harness_fail(__FILE__, __LINE__, "%s is %s, not %s", path, dumped, wanted);
}

static void each_field_of_a_waiting_task_can_be_changed_and_set_back(void)
{
    struct daemon *daemon = started();
    static const char *const waiting[] = {
        "{'kind':'noop','delay':'10000h'}",
        "{'kind':'noop','run_at':'2030-01-01T00:00:00Z','tags':['t'],'timeout':5}"};

    for (size_t w = 0; w < sizeof(waiting) / sizeof(waiting[0]); w++) {
        uint64_t id = submit(daemon, "%s", quoted(waiting[w]));
        for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
            expect_json(change(daemon, id, quoted(changes[i].body)), changes[i].path,
                        changes[i].text);
            expect_json(task(daemon, id), changes[i].path, changes[i].text);
            expect_json(change(daemon, id, quoted(changes[i].back)), changes[i].path,
                        changes[i].back_text);
            expect_text(task(daemon, id), "state", "scheduled");
        }
    }
    // It holds over a restart.
    change(daemon, 1, text("{'priority':42,'queue':'other'}"));
    daemon_stop(daemon);
    daemon_start(daemon);
    expect_number(task(daemon, 1), "priority", 42);
    expect_text(task(daemon, 1), "queue", "other");
}

static void its_time_decides_whether_it_is_scheduled_or_runs(void)
{
    struct daemon *daemon = started();
    uint64_t id = submit(daemon, "{'kind':'echo','args':'here','queue':'parked'}");

    expect_text(change(daemon, id, text("{'delay':'1h'}")), "state", "scheduled");
    expect_text(change(daemon, id, text("{'run_at':'2020-01-01T00:00:00Z'}")), "state", "queued");
    expect_text(change(daemon, id, text("{'delay':'1h','queue':'default'}")), "state", "scheduled");
    (void)change(daemon, id, text("{'run_at':null}"));
    expect_text(expect_end(daemon, id, "succeeded", NULL), "result", "here");
    // At its new time, by itself.
    id = submit(daemon, "{'kind':'noop','delay':'10h'}");
    (void)change(daemon, id, text("{'delay':'100ms'}"));
    expect_end(daemon, id, "succeeded", NULL);
    // And a new end of its waiting counts.
    id = submit(daemon, "{'kind':'noop','queue':'parked'}");
    (void)change(daemon, id, text("{'expires_at':'%s'}", instant(wall_ms() + 200)));
    expect_end(daemon, id, "cancelled", "expired");
    // One that waits for its next attempt has it now.
    id = submit(daemon, "{'kind':'fail','max_attempts':2,'backoff':{'base':'1h'}}");
    await_state(daemon, id, "retrying");
    (void)change(daemon, id, text("{'delay':0}"));
    expect_number(expect_end(daemon, id, "failed", "failed"), "attempt", 2);
}

static void what_has_started_or_is_over_is_refused_with_its_state(void)
{
    struct daemon *daemon = started();
    uint64_t first = one_of_each(daemon);
    static const struct {
        unsigned which;
        const char *state;
    } rows[] = {{FAILED, "failed"},
                {SUCCEEDED, "succeeded"},
                {CANCELLED, "cancelled"},
                {RUNNING, "running"}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct reply *reply =
            call(daemon, "PATCH",
                 plain_text("/v1/tasks/%llu", (unsigned long long)first + rows[i].which),
                 text("{'priority':5}"));
        expect_problem(reply, 409, "wrong-state");
        expect_text(reply->json, "state", rows[i].state);
        expect_number(task(daemon, first + rows[i].which), "priority", 0);
    }
    expect_number(change(daemon, first + QUEUED, text("{'priority':5}")), "priority", 5);
}

static void one_moved_to_another_queue_runs_there_by_its_priority(void)
{
    struct daemon *daemon = started();
    expect_status(call(daemon, "POST", "/v1/queues/other/pause", NULL), 200);
    uint64_t moved = submit(daemon, "{'kind':'noop','queue':'parked'}");
    uint64_t low = submit(daemon, "{'kind':'noop','queue':'other'}");
    uint64_t high = submit(daemon, "{'kind':'noop','queue':'other','priority':5}");

    json_t *answer = change(daemon, moved, text("{'queue':'other','priority':3}"));
    expect_text(answer, "state", "queued");
    assert_int_equal(count_in(daemon, "parked", "queued"), 0);
    assert_int_equal(count_in(daemon, "other", "queued"), 3);
    expect_status(call(daemon, "PATCH", "/v1/queues/other", text("{'rate':'20/s'}")), 200);
    expect_status(call(daemon, "POST", "/v1/queues/other/resume", NULL), 200);

    int64_t high_at = instant_at(expect_end(daemon, high, "succeeded", NULL), "started_at");
    int64_t moved_at = instant_at(expect_end(daemon, moved, "succeeded", NULL), "started_at");
    int64_t low_at = instant_at(expect_end(daemon, low, "succeeded", NULL), "started_at");
    assert_true(high_at < moved_at && moved_at < low_at);
}

static void a_held_one_runs_when_its_kind_is_changed(void)
{
    struct daemon *daemon = started();
    uint64_t id = submit(daemon, "{'kind':'sleep','queue':'parked','args':{'duration':'1ms'}}");
    daemon_stop(daemon);
    daemon_configure(daemon, "queue: { default: { workers = 1 }; parked: { workers = 1 }; };\n"
                             "kind: { noop: { builtin = 'noop' }; };\n");
    daemon_start(daemon);
    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", NULL), 200);
    await_state(daemon, id, "held");

    expect_text(change(daemon, id, text("{'priority':1}")), "state", "held");
    (void)change(daemon, id, text("{'kind':'noop','queue':'default'}"));

    expect_text(expect_end(daemon, id, "succeeded", NULL), "queue", "default");
}

/* ---- the windows of queues, by random changes ---- */

static uint32_t pick(uint32_t *random, uint32_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random % below;
}

static const char *random_change(uint32_t *random)
{
    switch (pick(random, 6)) {
    case 0:
        return text("{'queue':'other','priority':%d}", (int)pick(random, 9) - 4);
    case 1:
        return text("{'queue':'parked'}");
    case 2:
        return text("{'delay':'1h'}");
    case 3:
        return text("{'run_at':null}");
    default:
        return text("{'priority':%d}", (int)pick(random, 9) - 4);
    }
}

struct order {
    uint64_t id;
    int64_t priority, started_at;
};

static int as_they_should_start(const void *a, const void *b)
{
    const struct order *left = a, *right = b;
    if (left->priority != right->priority)
        return left->priority > right->priority ? -1 : 1;
    return (left->id > right->id) - (left->id < right->id);
}

/* All that succeeded in the queue, which has one worker, started in the queue's order. */
static unsigned expect_order(struct daemon *daemon, const char *name)
{
    enum { ROOM = 10000 };
    struct order *orders = keep(calloc(ROOM, sizeof(*orders)));
    const char *next = NULL;
    unsigned count = 0;

    do {
        json_t *page = expect_status(get(daemon, plain_text("/v1/tasks?limit=1000&state=succeeded&"
                                                            "queue=%s%s%s",
                                                            name, next != NULL ? "&cursor=" : "",
                                                            next != NULL ? next : "")),
                                     200)
                           ->json;
        json_t *one = NULL;
        size_t i = 0;
        json_array_foreach (at(page, "tasks"), i, one) {
            assert_true(count < ROOM);
            orders[count++] = (struct order){.id = (uint64_t)number_at(one, "id"),
                                             .priority = number_at(one, "priority"),
                                             .started_at = instant_at(one, "started_at")};
        }
        next = text_at(page, "next");
    } while (next != NULL);
    qsort(orders, count, sizeof(*orders), as_they_should_start);
    for (unsigned i = 1; i < count; i++) {
        if (orders[i].started_at < orders[i - 1].started_at)
            harness_fail(__FILE__, __LINE__, "%s: task %llu started before task %llu", name,
                         (unsigned long long)orders[i].id, (unsigned long long)orders[i - 1].id);
    }
    return count;
}

/* More tasks than a window holds, changed at random while nothing runs: then each queue runs its
 * own in its order, none twice and none left. */
static void windows_keep_their_order_under_random_changes(void)
{
    enum { TASKS = 6000, CHANGES = 600 };
    struct daemon *daemon = started();
    uint32_t random = 2463534242u;
    expect_status(call(daemon, "POST", "/v1/queues/other/pause", NULL), 200);
    (void)submit_many(daemon, TASKS, "{'kind':'noop','queue':'parked'}");

    for (unsigned i = 0; i < CHANGES; i++) {
        unsigned long long id = 1 + pick(&random, TASKS);
        struct reply *reply =
            pick(&random, 5) == 0
                ? call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", id), NULL)
                : call(daemon, "PATCH", plain_text("/v1/tasks/%llu", id), random_change(&random));
        assert_true(reply->status == 200 || reply->status == 409);
    }
    int64_t cancelled =
        count_in(daemon, "parked", "cancelled") + count_in(daemon, "other", "cancelled");
    int64_t in_parked = count_in(daemon, "parked", "queued");
    int64_t in_other = count_in(daemon, "other", "queued");
    int64_t later =
        count_in(daemon, "parked", "scheduled") + count_in(daemon, "other", "scheduled");
    assert_int_equal(cancelled + in_parked + in_other + later, TASKS);
    assert_true(in_other > 0 && later > 0 && cancelled > 0);
    expect_status(call(daemon, "POST", "/v1/queues/other/resume", NULL), 200);
    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", NULL), 200);

    eventually(count_in(daemon, "parked", "succeeded") == in_parked, 60000);
    eventually(count_in(daemon, "other", "succeeded") == in_other, 60000);
    assert_int_equal(expect_order(daemon, "parked"), in_parked);
    assert_int_equal(expect_order(daemon, "other"), in_other);
}

/* The same while they run: each ends once, whatever was changed. */
static void nothing_is_lost_when_tasks_are_changed_while_they_start(void)
{
    enum { TASKS = 3000, ROUNDS = 400 };
    struct daemon *daemon = daemon_started(actions_config);
    uint32_t random = 88172645u;
    unsigned changed = 0;
    expect_status(call(daemon, "PATCH", "/v1/queues/parked", text("{'rate':'2000/s'}")), 200);
    (void)submit_many(daemon, TASKS, "{'kind':'noop','queue':'parked'}");

    for (unsigned i = 0; i < ROUNDS; i++) {
        // Near the place where the queue is, so that some have just been taken.
        uint64_t begun = (uint64_t)(count_in(daemon, "parked", "succeeded") +
                                    count_in(daemon, "other", "succeeded"));
        unsigned long long id = begun + 1 + pick(&random, 40);
        if (id > TASKS)
            break;
        struct reply *reply =
            pick(&random, 4) == 0
                ? call(daemon, "POST", plain_text("/v1/tasks/%llu/cancel", id), NULL)
                : call(daemon, "PATCH", plain_text("/v1/tasks/%llu", id), random_change(&random));
        assert_true(reply->status == 200 || reply->status == 202 || reply->status == 409);
        changed += reply->status == 200 ? 1 : 0;
    }
    act(daemon, text("{'action':'cancel','filter':{'state':'scheduled'}}"));

    eventually(count_tasks(daemon, "state=succeeded,cancelled&") == TASKS, 60000);
    assert_true(changed > 0);
    assert_int_equal(count_in(daemon, "parked", "queued") + count_in(daemon, "other", "queued"), 0);
    // Taken at most once: a second run would show as a second attempt or run.
    for (uint64_t id = 1; id <= TASKS; id += 7)
        assert_true(json_array_size(at(task(daemon, id), "attempts")) <= 1);
}

HARNESS_MAIN(SCENARIO(each_field_of_a_waiting_task_can_be_changed_and_set_back),
             SCENARIO(its_time_decides_whether_it_is_scheduled_or_runs),
             SCENARIO(what_has_started_or_is_over_is_refused_with_its_state),
             SCENARIO(one_moved_to_another_queue_runs_there_by_its_priority),
             SCENARIO(a_held_one_runs_when_its_kind_is_changed),
             SCENARIO(windows_keep_their_order_under_random_changes),
             SCENARIO(nothing_is_lost_when_tasks_are_changed_while_they_start))
