/** \file
 * kill -9 while clients submit and tasks run, some of it during start and during drain; then the
 * history checker. Four clients submit built-ins and commands of 1 ms, a few commands of 10 s and
 * some that may run once, half of them with an Idempotency-Key; what got no answer is asked for
 * again with its key. Other clients look at tasks and write down the ends that they are shown.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "history.h"

enum { CLIENTS = 4, WORKERS = 4, LONG_WORKERS = 4, ACKNOWLEDGED_BETWEEN = 20, LONG_MS = 10000 };

struct loop;

struct loop_client {
    struct loop *loop;
    unsigned number, seed;
    pthread_t thread;
};

struct loop {
    struct history *history;
    const char *ledger;
    pthread_mutex_t mu;
    pthread_cond_t changed;
    uint16_t port; // 0: there is no daemon at the moment
    bool is_stopped;
    unsigned acknowledged, unanswered; // since the last kill
    unsigned under_way;                // submits
    unsigned long_left;                // tasks of 10 s still to be submitted
    struct loop_client clients[CLIENTS + 1];
    unsigned started;
};

static uint16_t await_port(struct loop *loop)
{
    (void)pthread_mutex_lock(&loop->mu);
    while (loop->port == 0 && !loop->is_stopped)
        (void)pthread_cond_wait(&loop->changed, &loop->mu);
    uint16_t port = loop->is_stopped ? 0 : loop->port;
    (void)pthread_mutex_unlock(&loop->mu);
    return port;
}

static bool take_long(struct loop *loop)
{
    (void)pthread_mutex_lock(&loop->mu);
    bool taken = loop->long_left > 0;
    loop->long_left -= taken;
    (void)pthread_mutex_unlock(&loop->mu);
    return taken;
}

/* What this turn submits; the key is the history's. */
static char *make_body(struct loop *loop, unsigned turn, size_t *ret_key)
{
    char *body = NULL;
    bool is_long_one = turn % 16 == 5 && take_long(loop);
    bool is_command = is_long_one || turn % 8 == 0, is_once = turn % 16 == 3;
    size_t key = history_ask(loop->history, true, is_once);
    const char *kind = is_once ? "once" : is_long_one ? "long" : is_command ? "command" : "builtin";

    if (asprintf(&body, "{\"kind\":\"%s\",\"args\":{\"key\":\"%zu\",\"ms\":%d,\"file\":\"%s\"}}",
                 kind, key, is_long_one ? LONG_MS : 1, loop->ledger) < 0)
        abort();
    *ret_key = key;
    return body;
}

static void count(struct loop *loop, int under_way, bool is_acknowledged, bool is_unanswered)
{
    (void)pthread_mutex_lock(&loop->mu);
    loop->under_way += (unsigned)under_way;
    loop->acknowledged += is_acknowledged;
    loop->unanswered += is_unanswered;
    (void)pthread_cond_broadcast(&loop->changed);
    (void)pthread_mutex_unlock(&loop->mu);
}

/* One request. *was_sent becomes true when the daemon may have got it. */
static enum history_answer send_one(struct loop *loop, struct client *client, const char *body,
                                    const char *header, bool *was_sent, uint64_t *ret_id)
{
    const char *headers[] = {header, NULL};
    const struct request request = {.method = "POST",
                                    .path = "/v1/tasks",
                                    .body = body,
                                    .headers = header != NULL ? headers : NULL,
                                    .is_fresh = true};

    count(loop, 1, false, false);
    struct reply *reply = client_call(client, &request);
    // A connection that was never made carried no request.
    bool is_sent = reply->curl != CURLE_COULDNT_CONNECT;
    bool is_acknowledged = reply->status == 201, is_unanswered = is_sent && reply->status == 0;
    if (is_acknowledged)
        *ret_id = (uint64_t)json_integer_value(json_object_get(reply->json, "id"));
    reply_free(reply);
    *was_sent |= is_unanswered;
    count(loop, -1, is_acknowledged, is_unanswered);
    return is_acknowledged ? HISTORY_ACKNOWLEDGED : *was_sent ? HISTORY_UNKNOWN : HISTORY_REFUSED;
}

/* One submit, and with a key again until it is known what became of it. */
static void submit_one(struct loop_client *self, struct client *client, unsigned turn)
{
    struct loop *loop = self->loop;
    size_t key = 0;
    char *body = make_body(loop, turn, &key);
    char header[64];
    bool has_key = turn % 2 == 0, was_sent = false;
    enum history_answer answer = HISTORY_REFUSED;
    uint64_t id = 0;

    (void)snprintf(header, sizeof(header), "Idempotency-Key: key-%zu", key);
    do {
        uint16_t port = await_port(loop);

        if (port == 0)
            break;
        client_port(client, port);
        answer = send_one(loop, client, body, has_key ? header : NULL, &was_sent, &id);
        if (answer != HISTORY_ACKNOWLEDGED)
            pass_ms(1);
    } while (has_key && answer == HISTORY_UNKNOWN);
    history_answer(loop->history, key, answer, id);
    free(body);
}

static void *submit_tasks(void *arg)
{
    struct loop_client *self = arg;
    struct client *client = client_new(0);
    unsigned turn = self->number * 3;

    while (await_port(self->loop) != 0) {
        submit_one(self, client, turn++);
        pass_ms(2);
    }
    client_free(client);
    return NULL;
}

/* Looks at acknowledged tasks that are not known to have ended. */
static void *look_at_tasks(void *arg)
{
    struct loop_client *self = arg;
    struct history *history = self->loop->history;
    struct client *client = client_new(0);
    char path[64];

    for (;;) {
        uint16_t port = await_port(self->loop);
        size_t key = 0;
        uint64_t id = 0;

        if (port == 0)
            break;
        (void)pthread_mutex_lock(&history->mu);
        // From anywhere backwards, so that one that runs for long hides no other.
        size_t from = history->count > 0 ? (size_t)rand_r(&self->seed) % history->count + 1 : 0;
        for (key = from; key-- > 0;) {
            const struct history_task *task = &history->tasks[key];

            if (task->answer == HISTORY_ACKNOWLEDGED && task->shown_ended_ns == 0) {
                id = task->id;
                break;
            }
        }
        (void)pthread_mutex_unlock(&history->mu);
        if (id == 0) {
            pass_ms(1);
            continue;
        }
        (void)snprintf(path, sizeof(path), "/v1/tasks/%llu?wait=20ms", (unsigned long long)id);
        client_port(client, port);
        struct reply *reply = client_call(client, &(struct request){.method = "GET", .path = path});
        const char *state = json_string_value(json_object_get(reply->json, "state"));
        if (reply->status == 200 && state != NULL && is_final(state))
            history_shown(history, key);
        reply_free(reply);
    }
    client_free(client);
    return NULL;
}

static void set_port(struct loop *loop, uint16_t port, bool is_stopped)
{
    (void)pthread_mutex_lock(&loop->mu);
    loop->port = port;
    loop->is_stopped = is_stopped;
    (void)pthread_cond_broadcast(&loop->changed);
    (void)pthread_mutex_unlock(&loop->mu);
}

/* Until enough was acknowledged since the last kill. */
static void await_acknowledged(struct loop *loop)
{
    int64_t until = now_ms() + 30000LL * slow();

    for (;;) {
        (void)pthread_mutex_lock(&loop->mu);
        bool is_enough = loop->acknowledged >= ACKNOWLEDGED_BETWEEN;
        (void)pthread_mutex_unlock(&loop->mu);
        if (is_enough)
            return;
        if (now_ms() > until)
            fail_msg("not enough submits were acknowledged");
        breathe();
    }
}

/* Kills the daemon while it starts, at a random instant. */
static void kill_in_start(struct daemon *daemon, struct history *history, unsigned *seed)
{
    daemon_launch(daemon);
    pass_ms(rand_r(seed) % (30 * slow()));
    daemon_kill(daemon);
    history_killed(history);
}

static bool something_runs(struct daemon *daemon)
{
    struct reply *reply = get(daemon, "/v1/tasks?state=running&limit=1");

    return reply->status == 200 && json_array_size(at(reply->json, "tasks")) > 0;
}

static void configure(struct daemon *daemon, const char *ledger)
{
    const char *common = "max_attempts = 3; max_interruptions = 1000";
    const char *command =
        plain_text("command = ['%s', '%s', '{key}', '{ms}']", ledger_program(), ledger);

    daemon->program = test_daemon_program();
    daemon_configure(
        daemon,
        plain_text("kill_grace = '1s'; drain_timeout = '2s';\n"
                   "queue: { default: { workers = %d }; long: { workers = %d }; };\n"
                   "kind: { builtin: { builtin = 'ledger'; %s }; command: { %s; %s };\n"
                   "  long: { %s; %s; queue = 'long' }; once: { %s; max_attempts = 1 }; };\n",
                   WORKERS, LONG_WORKERS, common, command, common, command, common, command));
}

/* After all kills: everything comes to its end. */
static void await_all_ends(struct daemon *daemon)
{
    int64_t until = now_ms() + 120000LL * slow();

    while (count_tasks(daemon, "state=queued,running,retrying,scheduled&") > 0) {
        if (now_ms() > until)
            fail_msg("tasks are left that do not end");
        pass_ms(50);
    }
}

/* Also when the scenario has failed: nothing of it may run on. */
static void stop_clients(void *arg)
{
    struct loop *loop = arg;

    set_port(loop, 0, true);
    for (; loop->started > 0; loop->started--)
        (void)pthread_join(loop->clients[loop->started - 1].thread, NULL);
}

static struct loop *start_clients(struct history *history, const char *ledger, unsigned long_tasks)
{
    struct loop *loop = keep(calloc(1, sizeof(*loop)));

    loop->history = history;
    loop->ledger = ledger;
    loop->long_left = long_tasks;
    (void)pthread_mutex_init(&loop->mu, NULL);
    (void)pthread_cond_init(&loop->changed, NULL);
    keep_with(stop_clients, loop);
    for (unsigned i = 0; i <= CLIENTS; i++) {
        struct loop_client *client = &loop->clients[i];

        *client = (struct loop_client){.loop = loop, .number = i, .seed = i};
        assert_int_equal(pthread_create(&client->thread, NULL,
                                        i < CLIENTS ? submit_tasks : look_at_tasks, client),
                         0);
        loop->started++;
    }
    return loop;
}

/* One life of the daemon: until enough was acknowledged, and a little on; then kill -9. true: a
 * task ran, and a submit had no answer. */
static bool live_and_die(struct daemon *daemon, struct loop *loop, bool in_drain, unsigned *seed)
{
    daemon_start(daemon);
    (void)pthread_mutex_lock(&loop->mu);
    loop->acknowledged = 0;
    loop->unanswered = 0;
    (void)pthread_mutex_unlock(&loop->mu);
    set_port(loop, daemon->port, false);
    await_acknowledged(loop);
    if (in_drain) {
        daemon_signal(daemon, SIGTERM);
        (void)daemon_logs(daemon, "event=draining", 10000);
    }
    bool is_busy = something_runs(daemon);
    pass_ms(rand_r(seed) % 100);
    daemon_signal(daemon, SIGKILL);
    int status = daemon_await_end(daemon, 60000);
    assert_true(status == -SIGKILL || (in_drain && status == 0));
    set_port(loop, 0, false);
    history_killed(loop->history);

    (void)pthread_mutex_lock(&loop->mu);
    while (loop->under_way > 0)
        (void)pthread_cond_wait(&loop->changed, &loop->mu);
    is_busy &= loop->unanswered > 0;
    (void)pthread_mutex_unlock(&loop->mu);
    return is_busy;
}

static void kills_lose_nothing_and_repeat_nothing_that_was_shown(void)
{
    const unsigned rounds = is_long() ? 50 : 10;
    const char *ledger = plain_text("%s/ledger", scenario_folder());
    struct daemon *daemon = daemon_new("");
    struct history *history = history_new(ledger);
    unsigned seed = (unsigned)now_ns(), busy_kills = 0;

    print_message("seed %u\n", seed);
    file_write(ledger, "");
    configure(daemon, ledger);
    struct loop *loop = start_clients(history, ledger, LONG_WORKERS);
    for (unsigned round = 0; round < rounds; round++) {
        if (round % 10 == 4)
            kill_in_start(daemon, history, &seed);
        busy_kills += live_and_die(daemon, loop, round % 10 == 8, &seed);
    }

    daemon_start(daemon);
    set_port(loop, daemon->port, false);
    pass_ms(100);
    stop_clients(loop);
    await_all_ends(daemon);
    print_message("%u of %u kills with a task running and a submit unanswered\n", busy_kills,
                  rounds);
    history_expect_sound(history, daemon, WORKERS + LONG_WORKERS);
    assert_true(history_count(history, HISTORY_ACKNOWLEDGED) >= ACKNOWLEDGED_BETWEEN * rounds);
    assert_true(busy_kills * 2 >= rounds);
    daemon_stop(daemon);
}

static void without_kills_nothing_runs_twice(void)
{
    const char *ledger = plain_text("%s/ledger", scenario_folder());
    struct daemon *daemon = daemon_new("");
    struct history *history = history_new(ledger);

    file_write(ledger, "");
    configure(daemon, ledger);
    for (unsigned round = 0; round < 3; round++) { // orderly restarts between
        daemon_start(daemon);
        for (unsigned i = 0; i < 200; i++) {
            size_t key = history_ask(history, true, false);
            uint64_t id = submit(daemon, "{'kind':'%s','args':{'key':'%zu','ms':1,'file':'%s'}}",
                                 i % 8 == 0 ? "command" : "builtin", key, ledger);

            history_answer(history, key, HISTORY_ACKNOWLEDGED, id);
        }
        daemon_stop(daemon);
    }
    daemon_start(daemon);
    await_all_ends(daemon);

    struct verdict verdict = history_check(history, daemon);
    assert_int_equal(verdict.lost + verdict.unexpected + verdict.duplicated + verdict.again +
                         verdict.overlap,
                     0);
    assert_int_equal(verdict.starts, 600);
}

HARNESS_MAIN(SCENARIO(kills_lose_nothing_and_repeat_nothing_that_was_shown),
             SCENARIO(without_kills_nothing_runs_twice))
