/** \file
 * runnel import: what is read is stored once, and what is not known of it is said. What the daemon
 * does wrong here, a fake in its place does.
 */
#include "harness_cli.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char config[] = "kind: { echo: { builtin = 'echo' }; };\n";

static const char lines[] =
    "{\"runnel_export\":1,\"store_id\":\"0123456789abcdef\",\"last_id\":2,\"queues\":1,\"tasks\":2,"
    "\"keys\":1}\n"
    "{\"name\":\"default\"}\n{\"id\":1}\n{\"id\":2}\n{\"key\":\"k\"}\n";

/* A request with its body, which comes in chunks. */
static char *take_upload(struct fake *fake)
{
    enum { BYTES = 65536 };
    char *all = keep(calloc(1, BYTES));
    const char *head = fake_take(fake);
    size_t used = strlen(head);

    assert_non_null(all);
    memcpy(all, head, used);
    while (!contains(all, "\r\n0\r\n\r\n")) {
        ssize_t got = read(fake->fd, all + used, BYTES - 1 - used);
        assert_true(got > 0);
        used += (size_t)got;
    }
    return all;
}

/* What follows a header's name, to the line's end; "": there is none. */
static const char *header_of(const char *head, const char *name)
{
    const char *at = strstr(head, plain_text("\r\n%s: ", name));

    if (at == NULL)
        return "";
    at += strlen(name) + 4;
    return plain_text("%.*s", (int)strcspn(at, "\r"), at);
}

static const char *import_file(void)
{
    const char *path = plain_text("%s/e.ndjson", scenario_folder());

    file_write(path, lines);
    return path;
}

static void an_import_is_tried_again_under_its_key(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();
    const char *path = import_file();

    struct background *import = runnel_start(daemon, "--url", fake->url, "import", path);
    char *first = take_upload(fake);
    fake_cut(fake);
    char *second = take_upload(fake);
    fake_answer(fake, 503, "{\"code\":\"busy\",\"detail\":\"another one is under way\"}");
    char *third = take_upload(fake);
    fake_answer(
        fake, 200,
        "{\"queues\":1,\"tasks\":2,\"keys\":1,\"first_id\":1,\"last_id\":2,\"ids_kept\":true,"
        "\"replayed\":false,\"dry_run\":false}");

    assert_int_equal(background_end(import, 30000), 0);
    assert_string_equal(background_out(import),
                        "1 queue, 2 tasks, 1 key imported, ids 1 to 2, the same as in the export "
                        "(tried again 2 times)\n");
    assert_memory_equal(first, "POST /v1/import HTTP/1.1\r\n", 26);
    assert_string_equal(header_of(first, "Content-Type"), "application/x-ndjson");
    assert_int_equal(strlen(header_of(first, "Idempotency-Key")), 34);
    assert_string_equal(first, second);
    assert_string_equal(first, third);
    assert_true(contains(first, strchr(lines, '\n')));
    assert_true(contains(background_err(import), "the key of this import is "));
    assert_true(contains(background_err(import), "trying again with the same key\n"));
}

static void an_import_says_what_has_become_of_it(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();
    const char *path = import_file();
    const char *prefix = plain_text("runnel: %s: ", path);

    const struct {
        int status; // of the answer
        const char *json, *option;
        int code;
        const char *out, *err;
    } rows[] = {
        {200,
         "{\"queues\":0,\"tasks\":2,\"keys\":0,\"first_id\":7,\"last_id\":8,\"ids_kept\":false,"
         "\"replayed\":false,\"dry_run\":false}",
         "--key=k", 0,
         "0 queues, 2 tasks, 0 keys imported, ids 7 to 8, other ones than in the export\n", ""},
        {200,
         "{\"queues\":0,\"tasks\":0,\"keys\":0,\"first_id\":null,\"last_id\":null,\"ids_kept\":"
         "true,"
         "\"replayed\":true,\"dry_run\":false}",
         "--key=k", 0, "0 queues, 0 tasks, 0 keys were imported before\n", ""},
        {200,
         "{\"queues\":1,\"tasks\":1,\"keys\":1,\"first_id\":1,\"last_id\":1,\"ids_kept\":true,"
         "\"replayed\":false,\"dry_run\":true}",
         "-n", 0, "would import 1 queue, 1 task, 1 key, id 1, the same as in the export\n", ""},
        {422, "{\"code\":\"invalid-import\",\"line\":3,\"detail\":\"line 3: no JSON\"}", "--key=k",
         6, "", plain_text("%sline 3: no JSON\n", prefix)},
        {422,
         "{\"code\":\"invalid-import\",\"line\":3,\"detail\":\"no\",\"errors\":[{\"pointer\":\"#/"
         "id\","
         "\"detail\":\"is missing\"}]}",
         "--key=k", 6, "", plain_text("%sline 3: id: is missing\n", prefix)},
        {409, "{\"code\":\"key-conflict\",\"detail\":\"the key a is taken\"}", "--key=k", 6, "",
         plain_text("%sthe key a is taken\n", prefix)},
        {404, "{\"code\":\"not-found\",\"detail\":\"there is nothing at this path\"}", "--key=k", 4,
         "",
         plain_text("runnel: the daemon at %s knows no import: it is older than this client\n",
                    fake->url)},
        {200, "{\"queues\":1}", "--json", 0, "{\"queues\":1}\n", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct background *import =
            runnel_start(daemon, "--url", fake->url, "import", rows[i].option, path);
        char *request = take_upload(fake);
        bool is_dry_run = strcmp(rows[i].option, "-n") == 0;
        if (contains(request, "POST /v1/import?dry_run=true HTTP/1.1\r\n") != is_dry_run ||
            (header_of(request, "Idempotency-Key")[0] == '\0') != is_dry_run)
            fail_msg("%s", request);
        fake_answer(fake, rows[i].status, rows[i].json);
        int code = background_end(import, 20000);
        if (code != rows[i].code || strcmp(background_out(import), rows[i].out) != 0 ||
            (rows[i].err != NULL && strcmp(background_err(import), rows[i].err) != 0))
            fail_msg("%s\n%d\n%s%s", rows[i].json, code, background_out(import),
                     background_err(import));
        fake_cut(fake);
    }
    expect_run(
        runnel_at("http://127.0.0.1:1", (const char *const[]){"import", "--key", "k", path, NULL}),
        5, "",
        plain_text("runnel: no daemon answers at http://127.0.0.1:1 (connection refused); is "
                   "runneld running?\nrunnel: go on with: runnel import --key k %s\n",
                   path));
    expect_run(runnel_at("http://127.0.0.1:1",
                         (const char *const[]){"import", "--key", "a b", path, NULL}),
               2, "", NULL);
}

static void an_import_that_is_interrupted_says_what_is_open(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();
    const char *path = import_file();
    const char *go_on = plain_text("runnel: go on with: runnel import --key k %s\n", path);
    static const char detail[] = "{\"detail\":\"another one\"}";

    struct background *sent = runnel_start(daemon, "--url", fake->url, "import", "--key=k", path);
    (void)take_upload(fake);
    assert_int_equal(kill(sent->pid, SIGINT), 0);
    assert_int_equal(background_end(sent, 20000), 130);
    assert_string_equal(
        background_err(sent),
        plain_text("runnel: interrupted; all is sent, and the daemon may store it\n%s", go_on));
    fake_cut(fake);

    struct background *dry = runnel_start(daemon, "--url", fake->url, "import", "-n", path);
    (void)take_upload(fake);
    assert_int_equal(kill(dry->pid, SIGINT), 0);
    assert_int_equal(background_end(dry, 20000), 130);
    assert_string_equal(background_err(dry), "runnel: interrupted\n");
    fake_cut(fake);

    // Between two tries: what was refused is not stored.
    static const char trying[] =
        "runnel: after 5 lines the answer is: another one; trying again with the same key\n";
    struct background *busy = runnel_start(daemon, "--url", fake->url, "import", "--key=k", path);
    (void)take_upload(fake);
    fake_send(fake,
              plain_text("HTTP/1.1 503 x\r\nContent-Type: application/problem+json\r\n"
                         "Retry-After: 30\r\nContent-Length: %zu\r\n\r\n%s",
                         strlen(detail), detail),
              -1);
    eventually(contains(background_err(busy), trying), 20000);
    assert_int_equal(kill(busy->pid, SIGINT), 0);
    assert_int_equal(background_end(busy, 20000), 130);
    assert_string_equal(background_err(busy),
                        plain_text("%srunnel: interrupted\n%s", trying, go_on));
    fake_cut(fake);

    // A fault of its own is not worth a key, whatever was before.
    struct background *broken = runnel_start(daemon, "--url", fake->url, "import", "--key=k", path);
    (void)take_upload(fake);
    fake_answer(fake, 503, detail);
    (void)take_upload(fake);
    fake_answer(fake, 422, "{\"detail\":\"line 3: no JSON\"}");
    assert_int_equal(background_end(broken, 20000), 6);
    assert_string_equal(background_err(broken),
                        plain_text("%srunnel: %s: line 3: no JSON\n", trying, path));
    fake_cut(fake);

    // As long as it was willing to wait.
    struct background *given_up =
        runnel_start(daemon, "--url", fake->url, "import", "--key=k", "--retry-for=50ms", path);
    for (unsigned i = 0; i < 2; i++) {
        (void)take_upload(fake);
        fake_answer(fake, 503, detail);
    }
    assert_int_equal(background_end(given_up, 20000), 6);
    assert_string_equal(background_err(given_up),
                        plain_text("%srunnel: %s: another one\n%s", trying, path, go_on));
}

HARNESS_MAIN(SCENARIO(an_import_is_tried_again_under_its_key),
             SCENARIO(an_import_says_what_has_become_of_it),
             SCENARIO(an_import_that_is_interrupted_says_what_is_open))
