/** \file
 * Every sort of request, once for each of its allocations (or of its calls that need a descriptor
 * or a thread), with that one failing: once alone, and with the next ones too. The daemon answers
 * or closes the connection, in time and in its own words; what it answered holds, and when the
 * fault is over it works as before.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/faults.h"
#include "harness.h"

enum { ANSWER_MS = 10000, MANY_ALLOCATIONS = 40, MANY_CALLS = 4 };

static const char config[] =
    "queue: { default: { workers = 2 }; stopped: { workers = 1 }; empty: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; noop: { builtin = 'noop' };\n"
    "        run: { command = ['/bin/echo', '{word}'] }; };\n";

// What the request is about: a task of its own in this state, or one that has succeeded.
enum needs { NO_TASK, A_QUEUED, A_CANCELLED, THE_SUCCEEDED };

// clang-format off
static const struct row {
    const char *name;
    enum needs needs;
    const char *method, *path, *suffix; // the id stands between path and suffix
    const char *type;   // NULL: application/json
    const char *body;   // NULL: none
    int status;         // when nothing fails
    unsigned stores;    // tasks
    bool in_parts;      // it may have stored some of them
    bool runs;          // they run to their end
} rows[] = {
    {.name = "submit", .method = "POST", .path = "/v1/tasks", .body = "{'kind':'noop','queue':'stopped','args':{'a':[1,2,'x']},'tags':['t']}", .status = 201, .stores = 1},
    {.name = "submit later", .method = "POST", .path = "/v1/tasks", .body = "{'kind':'noop','queue':'stopped','delay':'1h'}", .status = 201, .stores = 1},
    {.name = "array", .method = "POST", .path = "/v1/tasks", .body = "[{'kind':'noop','queue':'stopped'},{'kind':'noop','queue':'stopped'},{'kind':'noop','queue':'stopped'}]", .status = 201, .stores = 3},
    {.name = "stream", .method = "POST", .path = "/v1/tasks", .type = "application/x-ndjson", .status = 201, .stores = 3, .in_parts = true,
     .body = "{'kind':'noop','queue':'stopped'}\n{'kind':'noop','queue':'stopped'}\n{'kind':'noop','queue':'stopped'}\n"},
    {.name = "invalid", .method = "POST", .path = "/v1/tasks", .body = "{'kind':'nope','queue':'stopped'}", .status = 422},
    {.name = "run and wait", .method = "POST", .path = "/v1/tasks?wait=5s", .body = "{'kind':'echo','args':{'a':1},'max_attempts':1}", .status = 200, .stores = 1, .runs = true},
    {.name = "command and wait", .method = "POST", .path = "/v1/tasks?wait=5s", .body = "{'kind':'run','args':{'word':'w'},'max_attempts':1}", .status = 200, .stores = 1, .runs = true},
    {.name = "get", .needs = THE_SUCCEEDED, .method = "GET", .path = "/v1/tasks/", .suffix = "", .status = 200},
    {.name = "wait", .needs = THE_SUCCEEDED, .method = "GET", .path = "/v1/tasks/", .suffix = "?wait=5s", .status = 200},
    {.name = "wait in vain", .needs = A_QUEUED, .method = "GET", .path = "/v1/tasks/", .suffix = "?wait=20ms", .status = 200},
    {.name = "result", .needs = THE_SUCCEEDED, .method = "GET", .path = "/v1/tasks/", .suffix = "/result", .status = 200},
    {.name = "list", .method = "GET", .path = "/v1/tasks?limit=20&view=full&state=queued&tag=t", .status = 200},
    {.name = "cancel", .needs = A_QUEUED, .method = "POST", .path = "/v1/tasks/", .suffix = "/cancel", .status = 200},
    {.name = "retry", .needs = A_CANCELLED, .method = "POST", .path = "/v1/tasks/", .suffix = "/retry", .status = 200},
    {.name = "delete", .needs = A_CANCELLED, .method = "DELETE", .path = "/v1/tasks/", .suffix = "", .status = 204},
    {.name = "edit", .needs = A_QUEUED, .method = "PATCH", .path = "/v1/tasks/", .suffix = "", .body = "{'priority':5,'tags':['u']}", .status = 200},
    {.name = "actions", .method = "POST", .path = "/v1/tasks/actions", .body = "{'action':'delete','filter':{'state':['succeeded'],'tag':['none']}}", .status = 200},
    {.name = "queues", .method = "GET", .path = "/v1/queues", .status = 200},
    {.name = "queue", .method = "GET", .path = "/v1/queues/stopped", .status = 200},
    {.name = "queue patch", .method = "PATCH", .path = "/v1/queues/empty", .body = "{'workers':3,'rate':'10/s'}", .status = 200},
    {.name = "pause", .method = "POST", .path = "/v1/queues/empty/pause", .status = 200},
    {.name = "resume", .method = "POST", .path = "/v1/queues/empty/resume", .status = 200},
    {.name = "purge", .method = "POST", .path = "/v1/queues/empty/purge", .status = 200},
    {.name = "stats", .method = "GET", .path = "/v1/stats", .status = 200},
    {.name = "info", .method = "GET", .path = "/v1/info", .status = 200},
    {.name = "metrics", .method = "GET", .path = "/metrics", .status = 200},
    {.name = "backup", .method = "POST", .path = "/v1/backup", .status = 200},
    {.name = "export", .method = "POST", .path = "/v1/export", .status = 200},
    {.name = "import", .method = "POST", .path = "/v1/import", .type = "application/x-ndjson", .status = 422, .body = "{'none':1}\n"},
    {.name = "openapi", .method = "GET", .path = "/openapi.json", .status = 200},
    {.name = "ready", .method = "GET", .path = "/readyz", .status = 200},
    {.name = "nothing", .method = "GET", .path = "/nothing", .status = 404},
};
// clang-format on

struct torture {
    struct daemon *daemon;
    struct faults *faults;
    uint64_t succeeded; // a task
    uint64_t last_id;   // the highest that is known to be given
    uint32_t random;
    unsigned points;
};

static void unmap(void *faults)
{
    (void)munmap(faults, sizeof(struct faults));
}

static struct faults *make_faults(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0 && ftruncate(fd, (off_t)sizeof(struct faults)) == 0);
    void *faults = mmap(NULL, sizeof(struct faults), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_true(faults != MAP_FAILED);
    assert_int_equal(close(fd), 0);
    keep_with(unmap, faults);
    return faults;
}

static struct torture *begin(void)
{
    if (is_sanitized())
        harness_skip("a sanitizer's allocations can't be made to fail");
    struct torture *torture = keep(calloc(1, sizeof(*torture)));
    const char *seed = getenv("RUNNEL_SEED");
    const char *path = plain_text("%s/faults", scenario_folder());

    torture->random = seed == NULL ? 4711 : (uint32_t)number_in(seed, NULL);
    print_message("seed %u (RUNNEL_SEED)\n", torture->random);
    torture->faults = make_faults(path);
    torture->daemon = daemon_new(config);
    torture->daemon->program = test_daemon_program();
    const char **environment = keep(calloc(2, sizeof(char *)));
    environment[0] = plain_text("RUNNEL_FAULTS=%s", path);
    torture->daemon->environment = environment;
    daemon_start(torture->daemon);
    expect_status(call(torture->daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    torture->succeeded = submit(torture->daemon, "{'kind':'echo','args':[1,2,3]}");
    expect_end(torture->daemon, torture->succeeded, "succeeded", NULL);
    torture->last_id = torture->succeeded;
    return torture;
}

static void arm(struct faults *faults, enum faults_kind kind, int nth, int many)
{
    atomic_store(&faults->calls, 0);
    atomic_store(&faults->struck, 0);
    atomic_store(&faults->nth, nth);
    atomic_store(&faults->many, many);
    atomic_store(&faults->kind, (int)kind);
}

static void disarm(struct faults *faults)
{
    atomic_store(&faults->kind, 0);
}

static uint32_t next(struct torture *torture)
{
    torture->random ^= torture->random << 13;
    torture->random ^= torture->random >> 17;
    torture->random ^= torture->random << 5;
    return torture->random;
}

static uint64_t prepared(struct torture *torture, const struct row *row)
{
    if (row->needs == NO_TASK || row->needs == THE_SUCCEEDED)
        return torture->succeeded;
    uint64_t id = submit(torture->daemon, "{'kind':'noop','queue':'stopped'}");
    torture->last_id = id;
    if (row->needs == A_CANCELLED)
        expect_status(call(torture->daemon, "POST",
                           plain_text("/v1/tasks/%llu/cancel", (unsigned long long)id), NULL),
                      200);
    return id;
}

/* What the request made of the store, which works again: nothing that was answered is missing, and
 * nothing is there twice. */
static void expect_stored(struct torture *torture, const struct row *row, int status,
                          const char *what)
{
    struct daemon *daemon = torture->daemon;
    uint64_t probe = submit(daemon, "{'kind':'noop','queue':'stopped'}");
    uint64_t stored = probe - torture->last_id - 1;
    bool is_done = status >= 200 && status < 300;
    bool may_be = stored == row->stores || (row->in_parts && stored < row->stores);

    if (is_done ? stored != row->stores : stored != 0 && !may_be)
        fail_msg("%s: %llu tasks were stored", what, (unsigned long long)stored);
    if (status == 503 && stored != 0 && !row->in_parts && !row->runs)
        fail_msg("%s: it was refused, and stored", what);
    for (uint64_t id = torture->last_id + 1; id < probe; id++) {
        struct reply *reply = get(daemon, plain_text("/v1/tasks/%llu", (unsigned long long)id));
        if (reply->json == NULL)
            fail_msg("%s: task %llu can't be read: %d %s", what, (unsigned long long)id,
                     reply->status, reply->body);
        if (row->runs)
            (void)await_end(daemon, id);
        else
            expect_number(task(daemon, id), "id", (int64_t)id);
    }
    torture->last_id = probe;
}

/* One request, with calls from the nth on failing (0: none). How many there were. */
static int ask(struct torture *torture, const struct row *row, enum faults_kind kind, int nth,
               int many)
{
    uint64_t id = prepared(torture, row);
    const char *what = plain_text("%s, %s %d and %d more fail", row->name,
                                  kind == FAULTS_MEMORY ? "allocation" : "call", nth, many - 1);
    char *path = row->suffix == NULL
                     ? plain_text("%s", row->path)
                     : plain_text("%s%llu%s", row->path, (unsigned long long)id, row->suffix);
    struct request request = {.method = row->method,
                              .path = path,
                              .body = row->body == NULL ? NULL : quoted(row->body),
                              .content_type = row->type,
                              .is_fresh = true,
                              .within_ms = ANSWER_MS};

    arm(torture->faults, kind, nth, many);
    struct reply *reply = client_call(torture->daemon->client, &request);
    disarm(torture->faults);
    int status = reply->status;
    if (status == 0 && reply->curl == CURLE_OPERATION_TIMEDOUT)
        fail_msg("%s: there is no answer", what);
    bool is_failed = status == 0 || status == 500 || status == 503;
    // Who waits for a task is told of it as it is, where it has not ended.
    bool is_early = row->runs && (status == 201 || status == 202);
    if (status != row->status && !((is_failed || is_early) && nth > 0))
        fail_msg("%s: the answer is %d: %s", what, status, reply->body);
    reply_free(reply);
    if (daemon_ends(torture->daemon, 0))
        fail_msg("%s: the daemon has ended", what);
    expect_stored(torture, row, status, what);
    return atomic_load(&torture->faults->calls);
}

static void torture_row(struct torture *torture, const struct row *row, enum faults_kind kind)
{
    int many = kind == FAULTS_MEMORY ? MANY_ALLOCATIONS : MANY_CALLS;
    unsigned samples = is_long() ? UINT_MAX : 5;
    // The first call accepts the connection, which is tried again after half a second.
    int first = kind == FAULTS_MEMORY || row == rows || is_long() ? 1 : 2;
    int calls = ask(torture, row, kind, 0, 1) + 1 - first;

    for (unsigned persistent = 0; persistent < 2; persistent++) {
        for (unsigned i = 0; i < samples && (int)i < calls; i++) {
            bool is_sample = samples < (unsigned)calls;
            int nth = first + (int)(is_sample ? next(torture) % (unsigned)calls : i);
            (void)ask(torture, row, kind, nth, persistent == 1 ? many : 1);
            torture->points += atomic_load(&torture->faults->struck) > 0;
        }
    }
}

static void torture_all(enum faults_kind kind)
{
    struct torture *torture = begin();

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        torture_row(torture, &rows[i], kind);
    print_message("%u faults have struck\n", torture->points);
    daemon_stop(torture->daemon);
    daemon_start(torture->daemon);
    uint64_t id = submit(torture->daemon, "{'kind':'echo'}");
    assert_int_equal(id, torture->last_id + 1);
    expect_end(torture->daemon, id, "succeeded", NULL);
    daemon_stop(torture->daemon);
}

static void no_request_ends_the_daemon_or_its_word_when_memory_fails(void)
{
    torture_all(FAULTS_MEMORY);
}

static void no_request_does_when_descriptors_and_threads_run_out(void)
{
    torture_all(FAULTS_SYSTEM);
}

/* How often a SIGHUP has come to an end. */
static unsigned loads(struct daemon *daemon)
{
    return daemon_log_count(daemon, "event=reloaded") +
           daemon_log_count(daemon, "event=reload_refused");
}

static int reload(struct torture *torture, enum faults_kind kind, int nth, int many)
{
    unsigned before = loads(torture->daemon);

    arm(torture->faults, kind, nth, many);
    daemon_signal(torture->daemon, SIGHUP);
    eventually(loads(torture->daemon) > before || daemon_ends(torture->daemon, 0), ANSWER_MS);
    if (daemon_ends(torture->daemon, 0))
        fail_msg("call %d of a reload: the daemon has ended with %d", nth,
                 daemon_await_end(torture->daemon, 0));
    disarm(torture->faults);
    torture->points += atomic_load(&torture->faults->struck) > 0;
    return atomic_load(&torture->faults->calls);
}

/* Of memory libconfig is no reader: it does not look at what its allocations gave. */
static void a_reload_that_lacks_something_is_refused_as_a_whole_or_done(void)
{
    struct torture *torture = begin();
    struct daemon *daemon = torture->daemon;
    unsigned workers = 2;
    unsigned rounds = is_long() ? 200 : 24;

    for (unsigned i = 0; i < rounds; i++) {
        unsigned wanted = workers == 2 ? 4 : 2;
        daemon_configure(daemon,
                         plain_text("queue: { default: { workers = %u }; "
                                    "stopped: { workers = 1 }; empty: { workers = 1 }; };\n%s",
                                    wanted, strchr(config, '\n') + 1));
        (void)reload(torture, FAULTS_SYSTEM, 1 + (int)(i % 6), 1 + (int)(next(torture) % 2));
        unsigned is = (unsigned)number_at(queue(daemon, "default"), "workers");
        assert_true(is == workers || is == wanted);
        workers = is;
        expect_end(daemon, submit(daemon, "{'kind':'echo','max_attempts':1}"), "succeeded", NULL);
    }
    (void)reload(torture, FAULTS_SYSTEM, 0, 1);
    print_message("%u faults have struck\n", torture->points);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_reload_that_lacks_something_is_refused_as_a_whole_or_done),
             SCENARIO(no_request_ends_the_daemon_or_its_word_when_memory_fails),
             SCENARIO(no_request_does_when_descriptors_and_threads_run_out))
