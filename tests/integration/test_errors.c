/** \file
 * Bad input, row by row: status, code, the field that is named, whether the connection goes on, and
 * that nothing was stored.
 */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 4 }; stopped: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' "
    "};\n"
    "        fail: { builtin = 'fail' };\n"
    "        sum: { command = ['/usr/bin/sha256sum', '{path}']; accept = { path = "
    "'/srv/.*|-.*|[^/]*' } };\n"
    "        out: { command = ['/usr/bin/printf', '--', '%s', '{value}', '--to={flag}'] }; };\n";

// What stands under these ids when the rows begin.
enum { SUCCEEDED = 1, FAILED, WAITING, REMOVED, CANCELLED, RUNNING, STORED };

enum after { KEPT, CLOSED, EITHER };

struct row {
    const char *method, *path; // NULL: POST /v1/tasks
    const char *type;          // Content-Type; NULL: application/json; "": none
    const char *headers;       // more of them, each with CRLF
    const char *body;          // ' stands for "; NULL: none
    size_t body_bytes;         // where it has a NUL
    int status;
    const char *code;
    const char *pointer; // NULL: none is looked for
    enum after after;    // EITHER: with or without its body having been read
};

// clang-format off
static const struct row json_rows[] = {
    {.body = "{", .status = 400, .code = "invalid-json"},
    {.body = "", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop',}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop'} x", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop'}{'kind':'noop'}", .status = 400, .code = "invalid-json"},
    {.body = "{kind:'noop'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','kind':'echo'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':{'a':1,'a':2}}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop'}\0", .body_bytes = 16, .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'no\0op'}", .body_bytes = 16, .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':'\xff'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':'\xc0\xaf'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':'\xed\xa0\x80'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':'\\ud800'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':'\n'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':01}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':NaN}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':1e400}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':18446744073709551616}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','priority':99999999999999999999}", .status = 400, .code = "invalid-json"},
    {.body = "[{'kind':'noop'},", .status = 400, .code = "invalid-json"},
    {.body = "[{'kind':'noop'}", .status = 400, .code = "invalid-json"},
    {.body = "\xef\xbb\xbf{'kind':'noop'}", .status = 400, .code = "invalid-json"},
    {.body = "{'kind':'noop','args':[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
     .status = 400, .code = "invalid-json"},
    {.body = "'text'", .status = 422, .code = "invalid-task"},
    {.body = "3", .status = 422, .code = "invalid-task"},
    {.body = "null", .status = 422, .code = "invalid-task"},
    {.body = "true", .status = 422, .code = "invalid-task"},
    {.body = "[]", .status = 422, .code = "invalid-task"},
    {.body = "[1]", .status = 422, .code = "invalid-task", .pointer = "#/0"},
    {.body = "[{'kind':'noop'},null]", .status = 422, .code = "invalid-task", .pointer = "#/1"},
    {.body = "[[{'kind':'noop'}]]", .status = 422, .code = "invalid-task", .pointer = "#/0"},
    {.body = "[{'kind':'noop'},{'kind':'noop','priority':'high'}]", .status = 422, .code = "invalid-task",
     .pointer = "#/1/priority"},
};

#define FIELD(member, at) {.body = "{'kind':'noop'," member "}", .status = 422, .code = "invalid-task", .pointer = at}

static const struct row field_rows[] = {
    {.body = "{}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':null}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':7}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':''}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':'ecko'}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':'NOOP'}", .status = 422, .code = "invalid-task", .pointer = "#/kind"},
    {.body = "{'kind':'noop\\u0000'}", .status = 400, .code = "invalid-json"},
    FIELD("'queue':'nowhere'", "#/queue"),
    FIELD("'queue':7", "#/queue"),
    FIELD("'queue':['default']", "#/queue"),
    FIELD("'priority':101", "#/priority"),
    FIELD("'priority':-101", "#/priority"),
    FIELD("'priority':1.5", "#/priority"),
    FIELD("'priority':'5'", "#/priority"),
    FIELD("'priority':true", "#/priority"),
    FIELD("'priority':9007199254740993", "#/priority"),
    FIELD("'delay':'soon'", "#/delay"),
    FIELD("'delay':'5x'", "#/delay"),
    FIELD("'delay':-1", "#/delay"),
    FIELD("'delay':'-5s'", "#/delay"),
    FIELD("'delay':['5s']", "#/delay"),
    FIELD("'delay':''", "#/delay"),
    FIELD("'delay':1e300", "#/delay"),
    FIELD("'delay':'5s','run_at':'2030-01-01T00:00:00Z'", "#/delay"),
    FIELD("'run_at':'tomorrow'", "#/run_at"),
    FIELD("'run_at':1735689600", "#/run_at"),
    FIELD("'run_at':'2030-13-45T00:00:00Z'", "#/run_at"),
    FIELD("'run_at':'2030-01-01'", "#/run_at"),
    FIELD("'expires_at':'never'", "#/expires_at"),
    FIELD("'expires_at':false", "#/expires_at"),
    FIELD("'timeout':'0s'", "#/timeout"),
    FIELD("'timeout':-1", "#/timeout"),
    FIELD("'timeout':true", "#/timeout"),
    FIELD("'timeout':'10000d'", "#/timeout"),
    FIELD("'max_attempts':0", "#/max_attempts"),
    FIELD("'max_attempts':1001", "#/max_attempts"),
    FIELD("'max_attempts':2.5", "#/max_attempts"),
    FIELD("'max_attempts':'3'", "#/max_attempts"),
    FIELD("'backoff':5", "#/backoff"),
    FIELD("'backoff':{'base':'x'}", "#/backoff/base"),
    FIELD("'backoff':{'max':-1}", "#/backoff/max"),
    FIELD("'backoff':{'bass':'1s'}", "#/backoff/bass"),
    FIELD("'tags':'a'", "#/tags"),
    FIELD("'tags':[1]", "#/tags/0"),
    FIELD("'tags':['a','']", "#/tags/1"),
    FIELD("'tags':['0','1','2','3','4','5','6','7','8','9','a','b','c','d','e','f','g','h','i','j','k','l','m','n',"
          "'o','p','q','r','s','t','u','v','w']", "#/tags"),
    FIELD("'prioritty':1", "#/prioritty"),
    FIELD("'a/b~c':1", "#/a~1b~0c"),
    FIELD("'id':5", "#/id"),
    FIELD("'state':'running'", "#/state"),
    {.body = "{'kind':'sleep'}", .status = 422, .code = "invalid-task", .pointer = "#/args/duration"},
    {.body = "{'kind':'sleep','args':{'duration':'x'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/duration"},
    {.body = "{'kind':'sleep','args':{'duration':1,'duratoin':2}}", .status = 422, .code = "invalid-task",
     .pointer = "#/args/duratoin"},
    {.body = "{'kind':'sleep','args':[1]}", .status = 422, .code = "invalid-task", .pointer = "#/args"},
    {.body = "{'kind':'fail','args':{'times':-1}}", .status = 422, .code = "invalid-task", .pointer = "#/args/times"},
    {.body = "{'kind':'sum'}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':null}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':['/srv/a']}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':{'a':1}}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':'--check'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':'-'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':'/etc/passwd'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':{'path':'x/srv/a'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/path"},
    {.body = "{'kind':'sum','args':'/srv/a'}", .status = 422, .code = "invalid-task", .pointer = "#/args"},
    {.body = "{'kind':'out','args':{'value':'a'}}", .status = 422, .code = "invalid-task", .pointer = "#/args/flag"},
};

#define QUERY(query) {.path = "/v1/tasks?" query, .body = "{'kind':'noop'}", .status = 400, .code = "invalid-query", .after = EITHER}
#define LIST(query) {.method = "GET", .path = "/v1/tasks?" query, .status = 400, .code = "invalid-query"}
#define ABSENT(verb, at) {.method = verb, .path = at, .status = 404, .code = "not-found", .after = EITHER}
#define GONE(verb, at) {.method = verb, .path = at, .status = 410, .code = "task-removed", .after = EITHER}
#define METHOD(verb, at) {.method = verb, .path = at, .status = 405, .code = "method-not-allowed", .after = EITHER}
#define STATE(verb, at) {.method = verb, .path = at, .status = 409, .code = "wrong-state", .after = EITHER}

static const struct row path_rows[] = {
    QUERY("prioritty=1"), QUERY("wait=soon"), QUERY("wait=-1s"), QUERY("priority=high"), QUERY("priority=101"),
    QUERY("queue=nowhere"), QUERY("delay=x"), QUERY("wait=1s&wait=2s"), QUERY("args=%7B%7D"), QUERY("limit=5"),
    {.path = "/v1/tasks?wait=1s", .body = "[{'kind':'noop'}]", .status = 400, .code = "invalid-query"},
    LIST("limit=0"), LIST("limit=1001"), LIST("limit=-1"), LIST("limit=ten"), LIST("limit="), LIST("state=waiting"),
    LIST("state=queued,nope"), LIST("cursor=bogus"), LIST("created_after=yesterday"),
    LIST("created_before=5"), LIST("view=half"), LIST("stat=queued"), LIST("wait=1s"),
    {.method = "GET", .path = "/v1/tasks?cursor=%00", .status = 400, .code = "framing", .after = CLOSED},
    {.method = "GET", .path = "/v1/tasks/3?wiat=1s", .status = 400, .code = "invalid-query"},
    {.method = "GET", .path = "/v1/tasks/3?wait=1fortnight", .status = 400, .code = "invalid-query"},
    {.method = "POST", .path = "/v1/tasks/3/cancel?now=1", .status = 400, .code = "invalid-query"},
    {.method = "GET", .path = "/v1/queues?limit=3", .status = 400, .code = "invalid-query"},
    {.headers = "Idempotency-Key: \r\n", .body = "{'kind':'noop'}", .status = 400, .code = "invalid-query", .after = EITHER},
    {.headers = "Idempotency-Key: a b\r\n", .body = "{'kind':'noop'}", .status = 400, .code = "invalid-query", .after = EITHER},
    {.headers = "Idempotency-Key: \xc3\xa9\r\n", .body = "{'kind':'noop'}", .status = 400, .code = "invalid-query", .after = EITHER},
    {.headers = "Idempotency-Key: a\r\nIdempotency-Key: b\r\n", .body = "{'kind':'noop'}", .status = 400, .code = "framing", .after = CLOSED},
    ABSENT("GET", "/nowhere"), ABSENT("GET", "/v1"), ABSENT("GET", "/v1/nowhere"), ABSENT("GET", "/v2/tasks"),
    ABSENT("POST", "/v1/task"), ABSENT("GET", "/v1/tasks/999999"), ABSENT("GET", "/v1/tasks/abc"),
    ABSENT("GET", "/v1/tasks/0"), ABSENT("GET", "/v1/tasks/-1"), ABSENT("GET", "/v1/tasks/1x"),
    ABSENT("GET", "/v1/tasks/99999999999999999999"), ABSENT("GET", "/v1/tasks/9007199254740992"),
    ABSENT("GET", "/v1/tasks/1/nowhere"), ABSENT("GET", "/v1/tasks/999999/result"), ABSENT("DELETE", "/v1/tasks/999999"),
    ABSENT("POST", "/v1/tasks/999999/cancel"), ABSENT("POST", "/v1/tasks/999999/retry"),
    ABSENT("GET", "/v1/queues/nowhere"), ABSENT("POST", "/v1/queues/nowhere/pause"), ABSENT("GET", "/problems/nowhere"),
    {.method = "PATCH", .path = "/v1/queues/nowhere", .body = "{'workers':1}", .status = 404, .code = "not-found", .after = EITHER},
    GONE("GET", "/v1/tasks/4"), GONE("GET", "/v1/tasks/4/result"), GONE("POST", "/v1/tasks/4/cancel"),
    GONE("POST", "/v1/tasks/4/retry"), GONE("DELETE", "/v1/tasks/4"),
    METHOD("PUT", "/v1/tasks"), METHOD("DELETE", "/v1/tasks"), METHOD("PATCH", "/v1/tasks"), METHOD("POST", "/v1/tasks/3"),
    METHOD("GET", "/v1/tasks/3/cancel"), METHOD("POST", "/healthz"), METHOD("POST", "/"), METHOD("DELETE", "/v1/queues/default"),
    METHOD("POST", "/v1/queues"), METHOD("BREW", "/v1/tasks"), METHOD("get", "/v1/tasks"), METHOD("TRACE", "/v1/tasks"),
    STATE("POST", "/v1/tasks/1/cancel"), STATE("POST", "/v1/tasks/1/retry"), STATE("POST", "/v1/tasks/3/retry"),
    STATE("POST", "/v1/tasks/2/cancel"), STATE("POST", "/v1/tasks/6/retry"), STATE("DELETE", "/v1/tasks/3"),
    STATE("DELETE", "/v1/tasks/6"),
    {.method = "GET", .path = "/v1/tasks/2/result", .status = 409, .code = "task-failed"},
    {.method = "GET", .path = "/v1/tasks/5/result", .status = 409, .code = "task-failed"},
};

#define TYPE(value) {.type = value, .body = "{'kind':'noop'}", .status = 415, .code = "unsupported-media-type", .after = EITHER}
#define PATCH(content, at) \
    {.method = "PATCH", .path = "/v1/queues/default", .body = content, .status = 422, .code = "invalid-queue", .pointer = at}
#define PAUSE(content, at) \
    {.method = "POST", .path = "/v1/queues/default/pause", .body = content, .status = 422, .code = "invalid-queue", .pointer = at}
#define ACTION(content, at) \
    {.path = "/v1/tasks/actions", .body = content, .status = 422, .code = "invalid-action", .pointer = at}
#define FILTER(content, at) ACTION("{'action':'cancel','filter':{" content "}}", "#/filter/" at)
#define CHANGE(content, at) \
    {.method = "PATCH", .path = "/v1/tasks/3", .body = content, .status = 422, .code = "invalid-task", .pointer = at}

// Task 3 waits.
static const struct row many_rows[] = {
    ACTION("{'filter':{'state':'queued'}}", "#/action"), ACTION("{'action':'cancle','filter':{'state':'queued'}}", "#/action"),
    ACTION("{'action':5,'filter':{'state':'queued'}}", "#/action"), ACTION("{'action':null,'all':true}", "#/action"),
    ACTION("{'action':'cancel'}", "#/filter"), ACTION("{'action':'cancel','filter':{}}", "#/filter"),
    ACTION("{'action':'cancel','filter':{},'all':false}", "#/filter"), ACTION("{'action':'cancel','all':'yes'}", "#/all"),
    ACTION("{'action':'cancel','filter':null}", "#/filter"), ACTION("{'action':'cancel','filter':[]}", "#/filter"),
    ACTION("{'action':'cancel','filter':{'state':null,'tag':null}}", "#/filter"), ACTION("{'action':'cancel','filter':'x'}", "#/filter"),
    ACTION("{'action':'cancel','all':true,'dry_run':1}", "#/dry_run"), ACTION("{'action':'cancel','all':true,'dryrun':true}", "#/dryrun"),
    ACTION("[]", "#"), ACTION("5", "#"),
    FILTER("'stat':'queued'", "stat"), FILTER("'limit':5", "limit"), FILTER("'state':'waiting'", "state"), FILTER("'state':[]", "state"),
    FILTER("'state':['queued',5]", "state"), FILTER("'state':'queued,held'", "state"), FILTER("'queue':''", "queue"),
    FILTER("'queue':{}", "queue"), FILTER("'kind':['a',null]", "kind"), FILTER("'tag':'a,b'", "tag"), FILTER("'error_code':3", "error_code"),
    FILTER("'tag':['1','2','3','4','5','6','7','8','9','10','11','12','13','14','15','16','17']", "tag"),
    FILTER("'created_after':'yesterday'", "created_after"), FILTER("'finished_before':5", "finished_before"),
    {.path = "/v1/tasks/actions", .body = "{'action':", .status = 400, .code = "invalid-json"},
    {.path = "/v1/tasks/actions?dry_run=1", .body = "{}", .status = 400, .code = "invalid-query", .after = EITHER},
    METHOD("GET", "/v1/tasks/actions"), METHOD("GET", "/v1/queues/default/purge"), ABSENT("POST", "/v1/queues/nowhere/purge"),
    {.path = "/v1/queues/default/purge", .body = "{'dry':true}", .status = 422, .code = "invalid-queue", .pointer = "#/dry"},
    {.path = "/v1/queues/default/purge", .body = "{'dry_run':'no'}", .status = 422, .code = "invalid-queue", .pointer = "#/dry_run"},
    CHANGE("{}", "#"), CHANGE("[]", "#"), CHANGE("{'priority':101}", "#/priority"), CHANGE("{'priority':'1'}", "#/priority"),
    CHANGE("{'queue':'nowhere'}", "#/queue"), CHANGE("{'queue':5}", "#/queue"), CHANGE("{'kind':'nothing'}", "#/kind"),
    CHANGE("{'kind':null}", "#/kind"), CHANGE("{'kind':'sleep'}", "#/args/duration"), CHANGE("{'args':1}", "#/args"),
    CHANGE("{'args':null,'priority':1}", "#/args"), CHANGE("{'run_at':'soon'}", "#/run_at"), CHANGE("{'delay':-1}", "#/delay"),
    CHANGE("{'delay':'1h','run_at':'2030-01-01T00:00:00Z'}", "#/delay"), CHANGE("{'expires_at':'2020-01-01T00:00:00Z'}", "#/expires_at"),
    CHANGE("{'expires_at':'2029-01-01T00:00:00Z','run_at':'2030-01-01T00:00:00Z'}", "#/expires_at"),
    CHANGE("{'max_attempts':0}", "#/max_attempts"), CHANGE("{'timeout':'0s'}", "#/timeout"), CHANGE("{'backoff':5}", "#/backoff"),
    CHANGE("{'backoff':{'base':'2h','max':'1h'}}", "#/backoff"), CHANGE("{'backoff':{'bass':'1s'}}", "#/backoff/bass"),
    CHANGE("{'tags':'a'}", "#/tags"), CHANGE("{'tags':['a,b']}", "#/tags/0"), CHANGE("{'prioritty':1}", "#/prioritty"),
    CHANGE("{'state':'queued'}", "#/state"),
    {.method = "PATCH", .path = "/v1/tasks/3", .body = "{'priority':", .status = 400, .code = "invalid-json"},
    {.method = "PATCH", .path = "/v1/tasks/3?wait=1s", .body = "{'priority':1}", .status = 400, .code = "invalid-query", .after = EITHER},
    {.method = "PATCH", .path = "/v1/tasks/1", .body = "{'priority':1}", .status = 409, .code = "wrong-state"},
    {.method = "PATCH", .path = "/v1/tasks/6", .body = "{'priority':1}", .status = 409, .code = "wrong-state"},
    {.method = "PATCH", .path = "/v1/tasks/4", .body = "{'priority':1}", .status = 410, .code = "task-removed"},
    {.method = "PATCH", .path = "/v1/tasks/999999", .body = "{'priority':1}", .status = 404, .code = "not-found"},
    LIST("error_code="), LIST("error_code=a,,b"), LIST("finished_after=yesterday"), LIST("finished_before=5"),
};

static const struct row other_rows[] = {
    TYPE(""), TYPE("text/plain"), TYPE("application/x-www-form-urlencoded"), TYPE("application/jsonx"), TYPE("json"),
    TYPE("application/xml"), TYPE("multipart/form-data; boundary=x"), TYPE("application/"), TYPE("text/json"),
    {.method = "PATCH", .path = "/v1/queues/default", .type = "text/plain", .body = "{'workers':1}", .status = 415,
     .code = "unsupported-media-type", .after = EITHER},
    PATCH("{'workers':0}", "#/workers"), PATCH("{'workers':1025}", "#/workers"), PATCH("{'workers':1024}", "#/workers"),
    PATCH("{'workers':'4'}", "#/workers"), PATCH("{'workers':1.5}", "#/workers"), PATCH("{'rate':'fast'}", "#/rate"),
    PATCH("{'rate':'0/s'}", "#/rate"), PATCH("{'rate':'-1/s'}", "#/rate"), PATCH("{'rate':5}", "#/rate"),
    PATCH("{'rate':'2/s','burst':0}", "#/burst"), PATCH("{'burst':'x'}", "#/burst"), PATCH("{'wrokers':1}", "#/wrokers"),
    PATCH("[]", NULL), PATCH("5", NULL),
    {.method = "PATCH", .path = "/v1/queues/default", .body = "{'workers':", .status = 400, .code = "invalid-json"},
    PAUSE("{'for':'long'}", "#/for"), PAUSE("{'for':-1}", "#/for"), PAUSE("{'until':'x'}", "#/until"),
    PAUSE("{'for':'1h','until':'2030-01-01T00:00:00Z'}", "#/for"), PAUSE("{'while':'1h'}", "#/while"),
};
// clang-format on

static void prepare(struct daemon *daemon)
{
    assert_int_equal(submit(daemon, "{'kind':'noop'}"), SUCCEEDED);
    assert_int_equal(submit(daemon, "{'kind':'fail','max_attempts':1}"), FAILED);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    assert_int_equal(submit(daemon, "{'kind':'noop','queue':'stopped'}"), WAITING);
    assert_int_equal(submit(daemon, "{'kind':'noop'}"), REMOVED);
    assert_int_equal(submit(daemon, "{'kind':'noop','queue':'stopped'}"), CANCELLED);
    assert_int_equal(submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}"), RUNNING);
    expect_end(daemon, SUCCEEDED, "succeeded", NULL);
    expect_end(daemon, FAILED, "failed", "failed");
    await_end(daemon, REMOVED);
    expect_status(call(daemon, "DELETE", "/v1/tasks/4", NULL), 204);
    expect_status(call(daemon, "POST", "/v1/tasks/5/cancel", NULL), 200);
    await_state(daemon, RUNNING, "running");
}

/* The newest id and the number of tasks: neither may change. */
static char *stored(struct daemon *daemon)
{
    json_t *json = expect_status(get(daemon, "/v1/tasks?limit=1000"), 200)->json;

    return plain_text("%zu tasks, newest %lld", json_array_size(at(json, "tasks")),
                      (long long)number_at(json, "tasks.0.id"));
}

static void send_row(struct daemon *daemon, struct wire *wire, const struct row *row)
{
    const char *type = row->type != NULL ? row->type : row->body != NULL ? "application/json" : "";
    size_t length = row->body_bytes != 0 ? row->body_bytes
                    : row->body != NULL  ? strlen(row->body)
                                         : 0;
    char *body = repeated(' ', length);

    if (row->body != NULL)
        memcpy(body, row->body, length);
    for (size_t i = 0; i < length; i++) {
        if (body[i] == '\'')
            body[i] = '"';
    }
    wire_sendf(wire, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s%s%s%s",
               row->method != NULL ? row->method : "POST",
               row->path != NULL ? row->path : "/v1/tasks", daemon->port,
               type[0] != '\0' ? "Content-Type: " : "", type, type[0] != '\0' ? "\r\n" : "",
               row->headers != NULL ? row->headers : "");
    if (row->body != NULL || row->method == NULL || strcmp(row->method, "POST") == 0)
        wire_sendf(wire, "Content-Length: %zu\r\n", length);
    wire_send(wire, "\r\n", 2);
    wire_send(wire, body, length);
}

/* What is wrong with the connection after the answer; NULL: nothing. */
static const char *fault_after(struct daemon *daemon, struct wire *wire, const struct reply *reply,
                               const struct row *row)
{
    const char *connection = reply_header(reply, "Connection");
    bool closes = connection != NULL && strcasecmp(connection, "close") == 0;
    bool is_get = row->method != NULL &&
                  strcmp(row->method, "GET") == 0; // without a body nothing is left unread

    if (row->after == CLOSED && !closes)
        return "the connection is kept";
    if (closes && row->after != CLOSED && (row->after == KEPT || is_get))
        return "the connection is closed, and nothing was left unread";
    if (closes)
        return wire_closes(wire, 10000) ? NULL : "it is not closed";
    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", daemon->port);
    return wire_reply(wire, 10000)->status == 200 ? NULL : "the next request is not answered";
}

/* What is wrong with the answer; NULL: nothing. */
static const char *fault_of(const struct reply *reply, const struct row *row)
{
    const char *type = reply_header(reply, "Content-Type"), *code = text_at(reply->json, "code");

    if (reply->status != row->status || code == NULL || strcmp(code, row->code) != 0)
        return "another answer was wanted";
    if (type == NULL || strcmp(type, "application/problem+json") != 0)
        return "it is no problem";
    if (strcmp(text_at(reply->json, "type"), plain_text("/problems/%s", code)) != 0 ||
        number_at(reply->json, "status") != row->status || text_at(reply->json, "title") == NULL ||
        text_at(reply->json, "detail") == NULL)
        return "a field of the problem is wrong";
    if (row->pointer != NULL && !has_pointer(reply->json, row->pointer))
        return "the field is not named";
    if (row->status == 405 && reply_header(reply, "Allow") == NULL)
        return "no Allow";
    if (strcmp(code, "invalid-json") == 0 &&
        (number_at(reply->json, "line") < 1 || number_at(reply->json, "column") < 0))
        return "no line or no column";
    if (strcmp(code, "wrong-state") == 0 && text_at(reply->json, "state") == NULL)
        return "no state";
    return NULL;
}

static void check_rows(const struct row *rows, size_t count)
{
    struct daemon *daemon = daemon_started(config);
    prepare(daemon);
    const char *before = stored(daemon);
    unsigned faults = 0;

    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        struct wire *wire = wire_open(daemon->port);

        send_row(daemon, wire, row);
        struct reply *reply = wire_reply(wire, 10000);
        const char *fault = fault_of(reply, row);
        if (fault == NULL)
            fault = fault_after(daemon, wire, reply, row);
        if (strcmp(stored(daemon), before) != 0)
            fault = "something was stored";
        if (fault == NULL)
            continue;
        faults++;
        print_error("row %zu: %s %s %.200s: %s (%d %s %s)\n%d %.400s\n", i,
                    row->method != NULL ? row->method : "POST", row->path != NULL ? row->path : "",
                    row->body != NULL ? row->body : "", fault, row->status, row->code,
                    row->pointer != NULL ? row->pointer : "", reply->status, reply->body);
        before = stored(daemon);
    }
    print_message("%zu rows\n", count);
    assert_int_equal(faults, 0);
}

static void malformed_json_is_refused_with_its_place(void)
{
    check_rows(json_rows, sizeof(json_rows) / sizeof(json_rows[0]));
}

static void bad_fields_are_named(void)
{
    check_rows(field_rows, sizeof(field_rows) / sizeof(field_rows[0]));
}

static void bad_paths_methods_and_queries_are_refused(void)
{
    check_rows(path_rows, sizeof(path_rows) / sizeof(path_rows[0]));
}

static void bad_types_and_queue_changes_are_refused(void)
{
    check_rows(other_rows, sizeof(other_rows) / sizeof(other_rows[0]));
}

static void bad_actions_purges_and_changes_of_tasks_are_refused(void)
{
    check_rows(many_rows, sizeof(many_rows) / sizeof(many_rows[0]));
}

/* ---- sizes, at the limit and one above ---- */

static void sizes_end_at_their_limit(void)
{
    enum { MIB = 1 << 20 };
    struct daemon *daemon = daemon_started(config);
    const char *task = "{\"kind\":\"noop\",\"queue\":\"stopped\",\"args\":\"%s\"}";
    char *args = repeated('a', MIB - 2);

    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    expect_status(call(daemon, "POST", "/v1/tasks", text(task, args)), 201);
    struct reply *reply = call(daemon, "POST", "/v1/tasks", text(task, repeated('a', MIB - 1)));
    expect_problem(reply, 413, "too-large");
    assert_non_null(strstr(reply->body, "at most 1MiB"));

    // 2 MiB of body, white space included.
    char *filler = repeated(' ', 2 * MIB - 34);
    expect_status(
        call(daemon, "POST", "/v1/tasks", text("{'kind':'noop','queue':'stopped' %s}", filler)),
        201);
    filler = repeated(' ', 2 * MIB);
    expect_problem(call(daemon, "POST", "/v1/tasks", text("{'kind':'noop' %s}", filler)), 413,
                   "too-large");

    expect_status(call(daemon, "POST", "/v1/tasks",
                       text("{'kind':'noop','queue':'stopped','tags':['%s']}", repeated('t', 128))),
                  201);
    reply = call(daemon, "POST", "/v1/tasks",
                 text("{'kind':'noop','tags':['%s']}", repeated('t', 129)));
    assert_true(has_pointer(expect_problem(reply, 422, "invalid-task")->json, "#/tags/0"));
    reply = call(daemon, "POST", "/v1/tasks", text("{'kind':'%s'}", repeated('k', 2000)));
    assert_true(has_pointer(expect_problem(reply, 422, "invalid-task")->json, "#/kind"));
    reply = call(daemon, "POST", "/v1/tasks",
                 text("{'kind':'sum','args':{'path':'/srv/%s'}}", repeated('p', 4096)));
    assert_true(has_pointer(expect_problem(reply, 422, "invalid-task")->json, "#/args/path"));
    reply = call(daemon, "POST", "/v1/tasks", text("{'kind':'sum','args':{'path':'a\\u0000b'}}"));
    assert_in_range(reply->status, 400, 422);
    assert_int_equal(count_tasks(daemon, ""), 3);
}

static void a_chunked_body_over_the_limit_is_refused_while_it_comes(void)
{
    struct daemon *daemon = daemon_started(config);
    struct wire *wire = wire_open(daemon->port);
    char *chunk = repeated(' ', 65536);

    wire_sendf(wire,
               "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nContent-Type: application/json\r\n"
               "Transfer-Encoding: chunked\r\n\r\n",
               daemon->port);
    for (unsigned i = 0; i < 300 && !wire_readable(wire, 0); i++) {
        wire_send(wire, "10000\r\n", 7);
        wire_send(wire, chunk, 65536);
        wire_send(wire, "\r\n", 2);
    }

    struct reply *reply = wire_reply(wire, 20000);
    if (reply->status != 0) // else the reset came before the answer could be read
        expect_problem(reply, 413, "too-large");
    assert_int_equal(count_tasks(daemon, ""), 0);
}

static void urls_and_headers_end_at_their_limit(void)
{
    struct daemon *daemon = daemon_started(config);
    char *many = repeated(' ', 100 * 8);
    char *end = many;

    expect_status(get(daemon, plain_text("/healthz?%s", "")), 200);
    struct wire *wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /v1/tasks?tag=%s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n",
               repeated('u', 2049), daemon->port);
    expect_problem(wire_reply(wire, 10000), 414, "url-too-long");

    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Long: %s\r\n\r\n",
               daemon->port, repeated('h', 15000));
    expect_status(wire_reply(wire, 10000), 200);
    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nX-Long: %s\r\n\r\n",
               daemon->port, repeated('h', 17000));
    expect_problem(wire_reply(wire, 10000), 431, "headers-too-large");
    assert_true(wire_closes(wire, 10000));

    for (unsigned i = 0; i < 63; i++)
        end += snprintf(end, 16, "X%u: y\r\n", i);
    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n%s\r\n", daemon->port, many);
    expect_status(wire_reply(wire, 10000), 200);
    wire = wire_open(daemon->port);
    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nY: y\r\n%s\r\n", daemon->port,
               many);
    expect_problem(wire_reply(wire, 10000), 431, "headers-too-large");
}

/* ---- the answer itself ---- */

static void all_faults_are_told_at_once_with_what_was_meant(void)
{
    struct daemon *daemon = daemon_started(config);

    struct reply *reply =
        call(daemon, "POST", "/v1/tasks",
             text("{'kind':'ecko','priority':200,'tags':[1],'prioritty':1,'delay':'x'}"));

    expect_problem(reply, 422, "invalid-task");
    assert_true(has_pointer(reply->json, "#/kind"));
    assert_true(has_pointer(reply->json, "#/priority"));
    assert_true(has_pointer(reply->json, "#/tags/0"));
    assert_true(has_pointer(reply->json, "#/prioritty"));
    assert_true(has_pointer(reply->json, "#/delay"));
    assert_non_null(strstr(reply->body, "echo"));
    assert_non_null(strstr(reply->body, "-100 to 100"));
    reply = expect_problem(get(daemon, "/v1/tasks?stat=queued"), 400, "invalid-query");
    assert_non_null(strstr(reply->body, "did you mean state"));
    reply = call_request(daemon,
                         &(struct request){.method = "POST",
                                           .path = "/v1/tasks",
                                           .body = text("{'kind':'noop'}"),
                                           .content_type = "application/x-www-form-urlencoded"});
    expect_problem(reply, 415, "unsupported-media-type");
    assert_non_null(strstr(text_at(reply->json, "detail"), "--json"));
}

static void every_problem_type_is_a_page(void)
{
    static const char *const codes[] = {
        "invalid-json",
        "invalid-query",
        "framing",
        "unauthorized",
        "forbidden",
        "not-found",
        "task-removed",
        "wrong-state",
        "method-not-allowed",
        "task-failed",
        "too-large",
        "url-too-long",
        "invalid-task",
        "request-timeout",
        "unsupported-media-type",
        "rate-limited",
        "internal",
        "draining",
        "headers-too-large",
        "idempotency-key-reused",
        "starting",
        "busy",
        "backlog-full",
        "store-full",
    };
    struct daemon *daemon = daemon_started(config);

    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        struct reply *reply = expect_status(get(daemon, plain_text("/problems/%s", codes[i])), 200);

        assert_non_null(strstr(reply_header(reply, "Content-Type"), "text/plain"));
        assert_non_null(strstr(reply->body, codes[i]));
    }
}

HARNESS_MAIN(SCENARIO(malformed_json_is_refused_with_its_place), SCENARIO(bad_fields_are_named),
             SCENARIO(bad_paths_methods_and_queries_are_refused),
             SCENARIO(bad_types_and_queue_changes_are_refused),
             SCENARIO(bad_actions_purges_and_changes_of_tasks_are_refused),
             SCENARIO(sizes_end_at_their_limit),
             SCENARIO(a_chunked_body_over_the_limit_is_refused_while_it_comes),
             SCENARIO(urls_and_headers_end_at_their_limit),
             SCENARIO(all_faults_are_told_at_once_with_what_was_meant),
             SCENARIO(every_problem_type_is_a_page))
