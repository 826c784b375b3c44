/** \file
 * Tokens as their owner meets them: made, put into the file, used, refused at the start where
 * something is open that must not be, and nowhere to be read afterwards.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tokens.h"

static const char kinds[] = "queue: { default: { workers = 1 }; mail: { workers = 1 }; };\n"
                            "kind: { noop: { builtin = 'noop' }; };\n";

static struct reply *ask(struct daemon *daemon, const char *method, const char *path,
                         const char *token)
{
    const char *headers[] = {plain_text("Authorization: Bearer %s", token), NULL};

    return call_request(
        daemon,
        &(struct request){.method = method,
                          .path = path,
                          .headers = headers,
                          .body = strcmp(method, "POST") == 0 ? "{\"kind\":\"noop\"}" : NULL});
}

static void a_new_token_opens_what_its_line_says_and_nothing_else(void)
{
    struct daemon *daemon = daemon_new(plain_text("token_file = 'tokens';\n%s", kinds));
    struct made_token ci = tokens_make("ci", "submit", NULL, NULL);
    struct made_token eyes = tokens_make("eyes", "read", NULL, NULL);
    struct made_token ops = tokens_make("ops", "admin", NULL, NULL);
    tokens_write(daemon, plain_text("# who may what\n%s%s%s", ci.line, eyes.line, ops.line));
    daemon_start(daemon);

    expect_problem(get(daemon, "/v1/tasks"), 401, "unauthorized");
    uint64_t id = (uint64_t)number_at(
        expect_status(ask(daemon, "POST", "/v1/tasks?wait=30s", ci.token), 200)->json, "id");
    expect_problem(ask(daemon, "GET", "/v1/tasks", ci.token), 403, "forbidden");
    const char *path = plain_text("/v1/tasks/%llu", (unsigned long long)id);
    expect_status(ask(daemon, "GET", path, eyes.token), 200);
    expect_problem(ask(daemon, "DELETE", path, eyes.token), 403, "forbidden");
    expect_status(ask(daemon, "DELETE", path, ops.token), 204);
    expect_status(get(daemon, "/healthz"), 200);
    expect_status(get(daemon, "/readyz"), 200);
    expect_status(get(daemon, "/"), 200);
    daemon_stop(daemon);
}

/* A request with a body of its own. */
static struct reply *ask_with(struct daemon *daemon, const char *method, const char *path,
                              const char *token, const char *body)
{
    const char *headers[] = {plain_text("Authorization: Bearer %s", token), NULL};

    return call_request(daemon, &(struct request){.method = method,
                                                  .path = path,
                                                  .headers = headers,
                                                  .body = body == NULL ? NULL : quoted(body)});
}

static void actions_of_a_limited_token_touch_its_own_tasks_only(void)
{
    struct daemon *daemon = daemon_new(plain_text("token_file = 'tokens';\n%s", kinds));
    struct made_token ops = tokens_make("ops", "admin", NULL, NULL),
                      post = tokens_make("post", "admin", NULL, NULL);
    tokens_write(daemon, plain_text("%s%.*s queue=mail\n", ops.line, (int)strcspn(post.line, "\n"),
                                    post.line));
    daemon_start(daemon);
    for (unsigned i = 0; i < 4; i++)
        expect_status(ask_with(daemon, "POST", "/v1/tasks", ops.token,
                               i % 2 == 0 ? "{'kind':'noop','queue':'mail','delay':'1h'}"
                                          : "{'kind':'noop','delay':'1h'}"),
                      201);

    struct reply *all = ask_with(daemon, "POST", "/v1/tasks/actions", post.token,
                                 "{'action':'cancel','all':true,'dry_run':true}");
    expect_number(expect_status(all, 200)->json, "matched", 2);
    expect_problem(ask_with(daemon, "POST", "/v1/tasks/actions", post.token,
                            "{'action':'cancel','filter':{'queue':'default'}}"),
                   403, "forbidden");
    expect_problem(ask_with(daemon, "POST", "/v1/queues/default/purge", post.token, "{}"), 404,
                   "not-found");
    expect_problem(ask_with(daemon, "PATCH", "/v1/tasks/2", post.token, "{'priority':1}"), 404,
                   "not-found");
    expect_problem(ask_with(daemon, "PATCH", "/v1/tasks/1", post.token, "{'queue':'default'}"), 403,
                   "forbidden");
    expect_status(ask_with(daemon, "PATCH", "/v1/tasks/1", post.token, "{'priority':1}"), 200);
    struct reply *purged = ask_with(daemon, "POST", "/v1/queues/mail/purge", post.token, "{}");

    expect_number(expect_status(purged, 200)->json, "changed", 2);
    expect_text(ask_with(daemon, "GET", "/v1/tasks/2", ops.token, NULL)->json, "state",
                "scheduled");
    daemon_stop(daemon);
}

static void a_token_is_in_no_log_and_no_answer(void)
{
    struct daemon *daemon =
        daemon_new(plain_text("token_file = 'tokens'; log_level = 'debug';\n%s", kinds));
    struct made_token ops = tokens_make("ops", "admin", NULL, NULL);
    const char *wrong = "rn_wrongwrongwrongwrongwrongwrongwrongwrongwron";
    tokens_write(daemon, ops.line);
    daemon_start(daemon);

    expect_status(ask(daemon, "POST", "/v1/tasks?wait=30s", ops.token), 200);
    static const char *const paths[] = {"/v1/tasks", "/v1/info", "/v1/stats", "/metrics"};
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct reply *reply = expect_status(ask(daemon, "GET", paths[i], ops.token), 200);
        assert_null(strstr(reply->body, ops.token));
        assert_null(strstr(reply->body, "sha256:"));
    }
    struct reply *reply =
        expect_problem(ask(daemon, "GET", "/v1/tasks", wrong), 401, "unauthorized");
    assert_null(strstr(reply->body, wrong));
    assert_null(strstr(reply->head, wrong));
    daemon_stop(daemon);
    assert_non_null(strstr(daemon_log(daemon), "event=ready"));
    assert_null(strstr(daemon_log(daemon), ops.token + 3));
    assert_null(strstr(daemon_log(daemon), wrong));
}

/* The start, or -t, ends with 78 and a sentence. */
static void expect_refusal(struct daemon *daemon, const char *config, const char *sentence)
{
    file_write(daemon->config_path, quoted(config));
    struct run run = run_program(
        (const char *[]){daemon_program(), "-c", daemon->config_path, NULL}, NULL, 30000);
    struct run check = run_program(
        (const char *[]){daemon_program(), "-t", "-c", daemon->config_path, NULL}, NULL, 30000);

    if (run.status != 78 || check.status != 78 || strstr(run.err, sentence) == NULL ||
        strstr(check.err, sentence) == NULL)
        fail_msg("%s: %d %s", config, run.status, run.err);
    assert_false(file_exists(daemon->store_path));
}

static void what_is_open_and_must_not_be_is_refused_at_the_start(void)
{
    struct daemon *daemon = daemon_new(kinds);
    struct made_token ops = tokens_make("ops", "admin", NULL, NULL);
    tokens_write(daemon, ops.line);

    expect_refusal(daemon, "listen = '0.0.0.0:0';\n", "set token_file");
    expect_refusal(daemon, "listen = '[::]:0'; behind_proxy = true;\n", "set token_file");
    expect_refusal(daemon, "listen = '0.0.0.0:0'; token_file = 'tokens';\n", "behind_proxy = true");
    expect_refusal(daemon, "token_file = 'nothing';\n", "No such file");
    assert_int_equal(chmod(plain_text("%s/tokens", daemon->folder), 0640), 0);
    expect_refusal(daemon, "token_file = 'tokens';\n", "others than its owner");
    // The mistake that gives a token away is not made worse.
    tokens_write(daemon, plain_text("ops %s scope=admin\n", ops.token));
    expect_refusal(daemon, "token_file = 'tokens';\n", "tokens:1: the token itself stands here");
    struct run run = run_program(
        (const char *[]){daemon_program(), "-t", "-c", daemon->config_path, NULL}, NULL, 30000);
    assert_null(strstr(run.err, ops.token));
}

static void behind_a_proxy_it_listens_to_all_that_have_a_token(void)
{
    struct daemon *daemon = daemon_new("");
    struct made_token ops = tokens_make("ops", "admin", NULL, NULL);
    tokens_write(daemon, ops.line);
    file_write(
        daemon->config_path,
        quoted(plain_text("listen = '0.0.0.0:0'; store = 'runnel.db'; token_file = 'tokens';\n"
                          "behind_proxy = true; hosts = ['runnel.example.org'];\n%s",
                          kinds)));
    daemon_start(daemon);

    expect_problem(get(daemon, "/v1/tasks"), 401, "unauthorized");
    const char *host[] = {"Host: runnel.example.org",
                          plain_text("Authorization: Bearer %s", ops.token), NULL};
    struct request request = {.method = "GET", .path = "/v1/tasks", .headers = host};
    expect_status(call_request(daemon, &request), 200);
    host[0] = "Host: other.example.org";
    expect_problem(call_request(daemon, &request), 403, "forbidden");
    host[0] = plain_text("Host: 0.0.0.0:%u", daemon->port);
    expect_problem(call_request(daemon, &request), 403, "forbidden");
    daemon_stop(daemon);
}

static void a_file_without_tokens_lets_nobody_in(void)
{
    struct daemon *daemon = daemon_new(plain_text("token_file = 'tokens';\n%s", kinds));
    tokens_write(daemon, "# nobody\n");
    daemon_start(daemon);

    expect_problem(get(daemon, "/v1/tasks"), 401, "unauthorized");
    expect_problem(ask(daemon, "POST", "/v1/tasks", ""), 401, "unauthorized");
    assert_non_null(strstr(daemon_log(daemon), "nobody has access"));
    daemon_stop(daemon);
}

static void a_new_token_is_asked_for_in_whole_sentences(void)
{
    static const struct {
        const char *arguments[6], *part;
    } rows[] = {
        {{"--new-token", "ci"}, "--new-token needs --scope"},
        {{"--scope", "read"}, "go with --new-token"},
        {{"--new-token", "ci", "--scope", "everything"}, "scope must be some of"},
        {{"--new-token", "My CI", "--scope", "read"}, "no blanks"},
        {{"--new-token", "MyCI", "--scope", "read"}, "lower case letters"},
        {{"--new-token"}, "needs a value"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *argv[8] = {daemon_program()};
        for (size_t n = 0; n < 6; n++)
            argv[n + 1] = rows[i].arguments[n];
        struct run run = run_program(argv, NULL, 30000);

        assert_int_equal(run.status, 64);
        if (strstr(run.err, rows[i].part) == NULL || run.out[0] != '\0')
            fail_msg("%s: %s", rows[i].part, run.err);
    }
}

HARNESS_MAIN(SCENARIO(a_new_token_opens_what_its_line_says_and_nothing_else),
             SCENARIO(actions_of_a_limited_token_touch_its_own_tasks_only),
             SCENARIO(a_token_is_in_no_log_and_no_answer),
             SCENARIO(what_is_open_and_must_not_be_is_refused_at_the_start),
             SCENARIO(behind_a_proxy_it_listens_to_all_that_have_a_token),
             SCENARIO(a_file_without_tokens_lets_nobody_in),
             SCENARIO(a_new_token_is_asked_for_in_whole_sentences))
