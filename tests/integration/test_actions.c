/* Actions on many tasks, the purge of a queue, and changes of tasks that wait. */
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 4 }; busy: { workers = 1 }; parked: { workers = 1 };\n"
    "         other: { workers = 1 }; failing: { workers = 8 }; };\n"
    "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' };\n"
    "        sleep: { builtin = 'sleep'; max_attempts = 1 };\n"
    "        fail: { builtin = 'fail'; max_attempts = 1; queue = 'failing' }; };\n";

static struct daemon *started(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_status(call(daemon, "POST", "/v1/queues/parked/pause", NULL), 200);
    return daemon;
}

static json_t *act(struct daemon *daemon, const char *body)
{
    return expect_status(call(daemon, "POST", "/v1/tasks/actions", body), 200)->json;
}

static int64_t count_in(struct daemon *daemon, const char *name, const char *state)
{
    return number_at(queue(daemon, name), plain_text("states.%s", state));
}

/* Puts so many that are cancelled into the paused queue. */
static void put_cancelled(struct daemon *daemon, unsigned count)
{
    for (unsigned left = count; left > 0;) {
        unsigned some = left < 5000 ? left : 5000;
        (void)submit_many(daemon, some, "{'kind':'noop','queue':'parked'}");
        left -= some;
    }
    expect_number(expect_status(call(daemon, "POST", "/v1/queues/parked/purge", NULL), 200)->json,
                  "changed", count);
}

/* ---- filters ---- */

enum { FAILED, SUCCEEDED, QUEUED, CANCELLED, SCHEDULED, RUNNING, COUNT };

/* One in each of those states; ids are in the order of the enum. */
static uint64_t one_of_each(struct daemon *daemon)
{
    uint64_t first = submit(daemon, "{'kind':'fail','tags':['x']}");

    (void)submit(daemon, "{'kind':'echo','tags':['y']}");
    (void)submit(daemon, "{'kind':'noop','queue':'parked','tags':['x','z']}");
    (void)submit(daemon, "{'kind':'noop','queue':'parked','delay':'1h'}");
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)first + CANCELLED),
                       NULL),
                  200);
    (void)submit(daemon, "{'kind':'noop','delay':'1h'}");
    (void)submit(daemon, "{'kind':'sleep','queue':'busy','args':{'duration':'1h'}}");
    expect_end(daemon, first + FAILED, "failed", "failed");
    expect_end(daemon, first + SUCCEEDED, "succeeded", NULL);
    await_state(daemon, first + RUNNING, "running");
    return first;
}

static void clear(struct daemon *daemon)
{
    act(daemon, text("{'action':'cancel','all':true}"));
    eventually(count_in(daemon, "busy", "running") == 0, 10000);
    act(daemon, text("{'action':'delete','all':true}"));
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static const struct {
    const char *action, *filter;
    int matched, changed;
} choices[] = {
    {"retry", "'state':'failed'", 1, 1},
    {"retry", "'state':['failed','cancelled']", 2, 2},
    {"retry", "'queue':'parked'", 2, 1},
    {"retry", "'kind':['fail','echo']", 2, 1},
    {"retry", "'tag':'x'", 2, 1},
    {"retry", "'error_code':'failed'", 1, 1},
    {"retry", "'error_code':['timeout','exit']", 0, 0},
    {"retry", "'finished_after':'2020-01-01T00:00:00Z'", 3, 2},
    {"retry", "'finished_before':'2020-01-01T00:00:00Z'", 0, 0},
    {"cancel", "'state':'queued'", 1, 1},
    {"cancel", "'state':'running'", 1, 1},
    {"cancel", "'state':['queued','scheduled','running']", 3, 3},
    {"cancel", "'queue':['parked','busy']", 3, 2},
    {"cancel", "'kind':'noop','state':'scheduled'", 1, 1},
    {"cancel", "'created_after':'2020-01-01T00:00:00Z'", 6, 3},
    {"cancel", "'created_before':'2020-01-01T00:00:00Z'", 0, 0},
    {"cancel", "'tag':['y','z']", 2, 1},
    {"delete", "'state':'succeeded'", 1, 1},
    {"delete", "'state':['running','queued']", 2, 0},
    {"delete", "'queue':'nowhere'", 0, 0},
    {"delete", "'error_code':'failed','state':'failed'", 1, 1},
    {"delete", "'finished_after':'2020-01-01T00:00:00Z','tag':null", 3, 3},
};

static void each_action_does_to_each_filter_what_its_dry_run_said(void)
{
    struct daemon *daemon = started();

    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        const char *action = choices[i].action, *filter = quoted(choices[i].filter);
        uint64_t first = one_of_each(daemon);
        const char *before = call(daemon, "GET", "/v1/tasks", NULL)->body;

        json_t *dry =
            act(daemon, text("{'action':'%s','dry_run':true,'filter':{%s}}", action, filter));
        assert_string_equal(call(daemon, "GET", "/v1/tasks", NULL)->body, before);
        json_t *real = act(daemon, text("{'action':'%s','filter':{%s}}", action, filter));

        if (number_at(real, "matched") != choices[i].matched ||
            number_at(real, "changed") != choices[i].changed)
            harness_fail(__FILE__, __LINE__, "%s %s: matched %lld, changed %lld", action, filter,
                         (long long)number_at(real, "matched"),
                         (long long)number_at(real, "changed"));
        expect_number(real, "skipped", choices[i].matched - choices[i].changed);
        expect_text(real, "action", action);
        assert_true(json_is_true(at(dry, "dry_run")) && json_is_false(at(real, "dry_run")));
        expect_number(dry, "matched", number_at(real, "matched"));
        expect_number(dry, "changed", number_at(real, "changed"));
        expect_number(dry, "skipped", number_at(real, "skipped"));
        // What it was done to is in another state, or has gone.
        if (strcmp(action, "delete") == 0)
            assert_int_equal(count_tasks(daemon, ""), COUNT - choices[i].changed);
        if (strcmp(action, "cancel") == 0)
            eventually((int)count_tasks(daemon, "state=cancelled&") == 1 + choices[i].changed,
                       10000);
        if (i == 0)
            expect_number(expect_end(daemon, first + FAILED, "failed", "failed"),
                          "attempts.1.attempt", 1);
        clear(daemon);
    }
}

static void all_is_every_task_up_to_the_last_one(void)
{
    struct daemon *daemon = started();
    json_t *none = act(daemon, text("{'action':'delete','all':true,'filter':{}}"));
    expect_number(none, "matched", 0);
    (void)one_of_each(daemon);

    json_t *cancelled = act(daemon, text("{'action':'cancel','all':true}"));

    expect_number(cancelled, "matched", COUNT);
    expect_number(cancelled, "changed", 3);
    eventually(count_in(daemon, "busy", "running") == 0, 10000);
    json_t *deleted = act(daemon, text("{'action':'delete','all':true}"));
    expect_number(deleted, "changed", COUNT);
    assert_int_equal(count_tasks(daemon, ""), 0);
}

/* ---- many ---- */

static void a_purge_cancels_what_waits_in_the_queue_and_nothing_else(void)
{
    enum { WAITING = 10000, LATER = 50 };
    struct daemon *daemon = started();
    uint64_t running = submit(daemon, "{'kind':'sleep','queue':'busy','args':{'duration':'1h'}}");
    await_state(daemon, running, "running");
    (void)submit_many(daemon, 3, "{'kind':'noop','queue':'busy','delay':'1h'}");
    (void)submit_many(daemon, WAITING / 2, "{'kind':'noop','queue':'parked'}");
    (void)submit_many(daemon, WAITING / 2, "{'kind':'noop','queue':'parked','priority':5}");
    (void)submit_many(daemon, LATER, "{'kind':'noop','queue':'parked','delay':'1h'}");

    const char *path = "/v1/queues/parked/purge";
    json_t *dry = expect_status(call(daemon, "POST", path, text("{'dry_run':true}")), 200)->json;
    expect_number(dry, "changed", WAITING + LATER);
    assert_int_equal(count_in(daemon, "parked", "queued"), WAITING);
    json_t *real = expect_status(call(daemon, "POST", path, NULL), 200)->json;

    expect_number(real, "matched", WAITING + LATER);
    expect_number(real, "changed", WAITING + LATER);
    expect_number(real, "skipped", 0);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), WAITING + LATER);
    assert_int_equal(count_in(daemon, "parked", "queued"), 0);
    // One that comes afterwards is not touched, and runs.
    uint64_t after = submit(daemon, "{'kind':'noop','queue':'parked'}");
    expect_status(call(daemon, "POST", "/v1/queues/parked/resume", NULL), 200);
    expect_end(daemon, after, "succeeded", NULL);
    real = expect_status(call(daemon, "POST", "/v1/queues/busy/purge", text("{}")), 200)->json;
    expect_number(real, "changed", 3);
    expect_text(task(daemon, running), "state", "running");
}

static void it_goes_on_when_the_client_leaves(void)
{
    enum { TASKS = 10000 };
    struct daemon *daemon = started();
    put_cancelled(daemon, TASKS);
    const char *body = text("{'action':'retry','filter':{'queue':'parked'}}");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/tasks/actions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               daemon->port, strlen(body), body);
    eventually(count_in(daemon, "parked", "queued") > 0, 10000);
    wire_reset(wire);

    eventually(count_in(daemon, "parked", "queued") == TASKS, 30000);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), 0);
}

static void a_drain_ends_it_and_tells_how_far_it_came(void)
{
    enum { TASKS = 30000 };
    struct daemon *daemon = started();
    put_cancelled(daemon, TASKS);
    const char *body = text("{'action':'retry','filter':{'queue':'parked'}}");
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/tasks/actions HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n"
               "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
               daemon->port, strlen(body), body);
    eventually(count_in(daemon, "parked", "queued") > 0, 10000);
    daemon_signal(daemon, SIGTERM);
    struct reply *reply = wire_reply(wire, 20000);
    assert_int_equal(daemon_await_end(daemon, 20000), 0);

    expect_problem(reply, 503, "draining");
    int64_t changed = number_at(reply->json, "changed");
    assert_true(changed > 0 && changed < TASKS);
    expect_number(reply->json, "matched", changed);
    expect_number(reply->json, "skipped", 0);
    // What it tells is what is stored, and sent again it does the rest.
    daemon_start(daemon);
    assert_int_equal(count_in(daemon, "parked", "queued"), changed);
    assert_int_equal(count_in(daemon, "parked", "cancelled"), TASKS - changed);
    json_t *rest = act(daemon, body);
    expect_number(rest, "changed", TASKS - changed);
    expect_number(rest, "matched", TASKS);
}

/* Clients that submit one task after the other, and how long each took. */
enum { SUBMITTERS = 2, TIMES_MAX = 200000 };
struct submitters {
    uint16_t port;
    _Atomic bool stop;
    _Atomic unsigned count, failed;
    int64_t took_ns[TIMES_MAX];
    pthread_t threads[SUBMITTERS];
    bool are_running;
};

static void *submit_on(void *arg)
{
    struct submitters *submitters = arg;
    struct client *client = client_new(submitters->port);

    while (!atomic_load(&submitters->stop)) {
        struct reply *reply = client_call(client, &(struct request){.method = "POST",
                                                                    .path = "/v1/tasks",
                                                                    .body = "{\"kind\":\"noop\"}"});
        if (reply->status != 201)
            atomic_fetch_add(&submitters->failed, 1);
        unsigned at = atomic_fetch_add(&submitters->count, 1);
        if (at < TIMES_MAX)
            submitters->took_ns[at] = reply->took_ns;
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void submitters_stop(void *arg)
{
    struct submitters *submitters = arg;

    if (!submitters->are_running)
        return;
    submitters->are_running = false;
    atomic_store(&submitters->stop, true);
    for (size_t i = 0; i < SUBMITTERS; i++)
        (void)pthread_join(submitters->threads[i], NULL);
}

static struct submitters *submitters_start(struct daemon *daemon)
{
    struct submitters *submitters = keep(calloc(1, sizeof(*submitters)));

    submitters->port = daemon->port;
    for (size_t i = 0; i < SUBMITTERS; i++)
        assert_int_equal(pthread_create(&submitters->threads[i], NULL, submit_on, submitters), 0);
    submitters->are_running = true;
    keep_with(submitters_stop, submitters);
    return submitters;
}

static int by_length(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

/* Ends them and gives their 99th percentile in milliseconds. */
static double p99_ms(struct submitters *submitters)
{
    submitters_stop(submitters);
    unsigned count = atomic_load(&submitters->count);
    count = count < TIMES_MAX ? count : TIMES_MAX;
    assert_int_equal(atomic_load(&submitters->failed), 0);
    assert_true(count > 0);
    qsort(submitters->took_ns, count, sizeof(int64_t), by_length);
    unsigned rank = count * 99 / 100;
    return (double)submitters->took_ns[rank] / 1e6;
}

static void all_failed_are_retried_while_others_submit(void)
{
    const unsigned tasks = is_long() ? 100000 : is_sanitized() ? 4000 : 20000;
    struct daemon *daemon = started();
    const char *filter = text("'filter':{'state':'failed','error_code':'failed'}");
    for (unsigned left = tasks; left > 0; left -= left < 2000 ? left : 2000)
        (void)submit_many(daemon, left < 2000 ? left : 2000, "{'kind':'fail'}");
    eventually(count_in(daemon, "failing", "failed") == tasks, 120000);
    expect_status(call(daemon, "POST", "/v1/queues/failing/pause", NULL), 200);

    struct submitters *alone = submitters_start(daemon);
    eventually(atomic_load(&alone->count) >= 300, 30000);
    double before_ms = p99_ms(alone);
    json_t *dry = act(daemon, text("{'action':'retry','dry_run':true,%s}", filter));
    struct submitters *beside = submitters_start(daemon);
    eventually(atomic_load(&beside->count) > 0, 30000);
    struct reply *reply = expect_status(
        call_request(daemon, &(struct request){.method = "POST",
                                               .path = "/v1/tasks/actions",
                                               .body = text("{'action':'retry',%s}", filter),
                                               .within_ms = 300000}),
        200);
    double beside_ms = p99_ms(beside);

    print_message("%u failed tasks retried in %lld ms; %u submits beside it, p99 %.1f ms (alone "
                  "%.1f ms)\n",
                  tasks, (long long)(reply->took_ns / 1000000), atomic_load(&beside->count),
                  beside_ms, before_ms);
    expect_number(reply->json, "changed", tasks);
    expect_number(reply->json, "skipped", 0);
    expect_number(dry, "matched", tasks);
    expect_number(dry, "changed", tasks);
    assert_int_equal(count_in(daemon, "failing", "queued"), tasks);
    // Each runs once more.
    expect_status(call(daemon, "POST", "/v1/queues/failing/resume", NULL), 200);
    eventually(count_in(daemon, "failing", "failed") == tasks, 120000);
    for (uint64_t id = 1; id <= tasks; id += tasks / 50)
        assert_int_equal(json_array_size(at(task(daemon, id), "attempts")), 2);
}

/* ---- changes ---- */

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
    struct daemon *daemon = daemon_started(config);
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

HARNESS_MAIN(SCENARIO(each_action_does_to_each_filter_what_its_dry_run_said),
             SCENARIO(all_is_every_task_up_to_the_last_one),
             SCENARIO(a_purge_cancels_what_waits_in_the_queue_and_nothing_else),
             SCENARIO(it_goes_on_when_the_client_leaves),
             SCENARIO(a_drain_ends_it_and_tells_how_far_it_came),
             SCENARIO(all_failed_are_retried_while_others_submit),
             SCENARIO(each_field_of_a_waiting_task_can_be_changed_and_set_back),
             SCENARIO(its_time_decides_whether_it_is_scheduled_or_runs),
             SCENARIO(what_has_started_or_is_over_is_refused_with_its_state),
             SCENARIO(one_moved_to_another_queue_runs_there_by_its_priority),
             SCENARIO(a_held_one_runs_when_its_kind_is_changed),
             SCENARIO(windows_keep_their_order_under_random_changes),
             SCENARIO(nothing_is_lost_when_tasks_are_changed_while_they_start))
