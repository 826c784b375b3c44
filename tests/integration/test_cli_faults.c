/** \file
 * What runnel says of what one gets wrong: names, options, addresses.
 */
#include "harness_cli.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char config[] =
    "queue: { default: { workers = 4 }; slow: { workers = 1 }; };\n"
    "kind: { echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' }; };\n";

static void a_suggestion_is_near_or_not_made(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "help", "foo"), 2, "",
               "runnel: there is no command 'foo'; see runnel --help\n");
    expect_run(runnel(daemon, "foo"), 2, "",
               "runnel: there is no command 'foo'; see runnel --help\n");
    expect_run(runnel(daemon, "help", "stat"), 2, "",
               "runnel: there is no command 'stat': did you mean 'stats'?; see runnel --help\n");
    daemon_stop(daemon);
}

static void a_token_that_is_missing_or_wrong_is_told_with_the_option(void)
{
    struct fake *fake = fake_new();
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs

    struct background *list = runnel_start(daemon, "--url", fake->url, "ls");
    (void)fake_take(fake);
    fake_answer(fake, 401, "{\"code\":\"unauthorized\",\"detail\":\"send a token\"}");
    assert_int_equal(background_end(list, 20000), 6);
    assert_string_equal(background_err(list), "runnel: send a token; see --token-file\n");
}

static void what_may_not_be_watched_is_stored_all_the_same(void)
{
    struct fake *fake = fake_new();
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs

    struct background *run = runnel_start(daemon, "--url", fake->url, "run", "echo");
    (void)fake_take(fake);
    fake_answer(fake, 201, "{\"id\":7,\"state\":\"queued\"}");
    (void)fake_take(fake);
    fake_answer(fake, 403, "{\"code\":\"scope\",\"detail\":\"the token has not the scope read\"}");

    assert_int_equal(background_end(run, 20000), 6);
    assert_string_equal(background_err(run), "runnel: the token has not the scope read\n"
                                             "runnel: task 7 is stored, and goes on unwatched\n");
}

/* What lies in a folder where this user may not look. */
static void a_socket_of_others_is_told_as_that(void)
{
    static const char *const other = "setpriv --reuid=12345 --clear-groups";
    if (geteuid() != 0)
        harness_skip("only root can become somebody else");
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    if (runnel_shell(daemon, plain_text("%s test -x $RUNNEL", other)).status != 0)
        harness_skip("another user can't reach the client");
    const char *folder = plain_text("%s/closed", scenario_folder());
    if (strlen(folder) > 100)
        harness_skip("the folder of the tests has too long a name for a socket");
    assert_int_equal(mkdir(folder, 0700), 0);

    struct run run =
        runnel_shell(daemon, plain_text("XDG_CONFIG_HOME=/nonexistent exec %s $RUNNEL --url "
                                        "unix:%s/s ping",
                                        other, folder));

    expect_run(run, 5, "",
               plain_text("runnel: unix:%s/s can't be used (permission denied): the daemon's "
                          "socket_group may\n",
                          folder));
}

static void submit_and_run_take_the_same_options(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "submit", "echo", "-w", "20s"), 0, "1\n", "");
    expect_run(runnel(daemon, "run", "echo", "-w", "20s", "a=1"), 0, "{\"a\":\"1\"}\n", "");
    expect_run(runnel(daemon, "submit", "--wait", "20", "echo"), 0, "3\n", "");
    expect_run(runnel(daemon, "run", "--wait", "echo", "a=2"), 0, "{\"a\":\"2\"}\n", "");
    expect_run(runnel(daemon, "run", "echo", "--wait=20s"), 0, "null\n", "");
    expect_run(runnel(daemon, "submit", "sleep", "duration=1h", "-w", "50ms"), 124, "6\n",
               "runnel: task 6 has not finished in time; it goes on: runnel wait 6\n");
    expect_run(runnel(daemon, "run", "sleep", "-w", "50ms", "duration=1h"), 124, "",
               "runnel: task 7 has not finished in time; it goes on: runnel wait 7\n");
    expect_run(runnel(daemon, "cancel", "--all"), 0, NULL, "");
    daemon_stop(daemon);
}

static void a_queue_that_is_not_there_is_told_with_those_that_are(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "pause", "nope"), 4, "",
               "runnel: there is no queue 'nope'; there are default, slow\n");
    expect_run(runnel(daemon, "resume", "solw"), 4, "",
               "runnel: there is no queue 'solw': did you mean 'slow'?\n");
    expect_run(runnel(daemon, "set", "../stats", "rate=1/s"), 4, "",
               "runnel: there is no queue '../stats'; there are default, slow\n");
    expect_run(runnel(daemon, "pause", "nope", "slow"), 4, "slow: 1 worker, no rate, paused\n",
               NULL);
    daemon_stop(daemon);

    daemon_configure(daemon,
                     "queue: { a: { }; b: { }; c: { }; d: { }; e: { }; f: { }; g: { }; h: { "
                     "}; invoices: { }; };\nkind: { };\n");
    daemon_start(daemon);
    expect_run(runnel(daemon, "pause", "nope"), 4, "",
               "runnel: there is no queue 'nope': see runnel queues\n");
    expect_run(runnel(daemon, "pause", "invoicse"), 4, "",
               "runnel: there is no queue 'invoicse': did you mean 'invoices'?\n");
    daemon_stop(daemon);

    // Whoever answers in its place.
    struct fake *fake = fake_new();
    char *name = plain_text("%0999d", 0);
    struct background *pause = runnel_start(daemon, "--url", fake->url, "pause", "nope");
    (void)fake_take(fake);
    fake_answer(fake, 404, "{}");
    (void)fake_take(fake);
    fake_answer(fake, 200,
                plain_text("{\"queues\":[{\"name\":\"%s\"},{\"name\":\"%s\"},{\"name\":\"%s\"}]}",
                           name, name, name));
    assert_int_equal(background_end(pause, 20000), 4);
    assert_string_equal(background_err(pause),
                        plain_text("runnel: there is no queue 'nope'; there are %064d, %064d, "
                                   "%064d\n",
                                   0, 0, 0));
}

static void an_address_with_the_other_scheme_is_told(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *url = plain_text("https://127.0.0.1:%u", daemon->port);
    expect_run(
        runnel(daemon, "--url", url, "ping"), 5, "",
        plain_text("runnel: what answers at %s speaks HTTP without TLS: write http://\n", url));
    daemon_stop(daemon);

    const char *key = plain_text("%s/tls.key", daemon->folder);
    struct run made = run_program(
        (const char *[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                         "/CN=runnel test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                         key, "-out", plain_text("%s/tls.crt", daemon->folder), NULL},
        NULL, 60000);
    assert_int_equal(made.status, 0);
    assert_int_equal(chmod(key, 0600), 0);
    daemon_configure(daemon,
                     plain_text("tls_certificate = 'tls.crt'; tls_key = 'tls.key';\n%s", config));
    client_tls(daemon->client, plain_text("%s/tls.crt", daemon->folder));
    daemon_start(daemon);
    url = plain_text("http://127.0.0.1:%u", daemon->port);
    const char *told = plain_text("runnel: what answers at %s speaks TLS: write https://\n", url);
    expect_run(runnel(daemon, "ping"), 5, "", told);
    // Not tried again: nothing will change that.
    expect_run(runnel_shell(daemon, "echo '{}' | $RUNNEL load --key k - 2>&1"), 5,
               plain_text("%srunnel: go on with the same lines and: runnel load --key k -\n", told),
               "");
    url = plain_text("https://127.0.0.1:%u", daemon->port);
    struct run untrusted = runnel(daemon, "--url", url, "ping");
    assert_int_equal(untrusted.status, 5);
    assert_non_null(strstr(untrusted.err, "; see --ca-file\n"));
    expect_run(
        runnel(daemon, "--url", url, "ping", "--ca-file", plain_text("%s/tls.crt", daemon->folder)),
        0, NULL, "");
    daemon_stop(daemon);
}

static void what_it_is_called_elsewhere_is_known(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs

    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"kill", "3", NULL}), 2, "",
               "runnel: there is no command 'kill': did you mean 'cancel'?; see runnel --help\n");
    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"help", "list", NULL}), 2, "",
               "runnel: there is no command 'list': did you mean 'ls'?; see runnel --help\n");
    expect_run(
        runnel_at("http://127.0.0.1:1", (const char *const[]){"wait", "3", "--timeout", "5", NULL}),
        2, "",
        "runnel: there is no option --timeout: did you mean --wait?; see runnel wait --help\n");
    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"ls", "--since=1h", NULL}), 2,
               "",
               "runnel: there is no option --since: did you mean --after?; see runnel ls --help\n");
    // Only what this command has.
    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"queues", "--since", NULL}), 2,
               "", "runnel: there is no option --since; see runnel queues --help\n");
    (void)daemon;
}

static void the_version_is_told_beside_a_command_too(void)
{
    struct run alone = runnel_at("http://127.0.0.1:1", (const char *const[]){"--version", NULL});
    struct run with = runnel_at("http://127.0.0.1:1", (const char *const[]){"ls", "-V", NULL});

    expect_run(alone, 0, NULL, "");
    expect_run(with, 0, alone.out, "");
}

/* In the words of the command line, before anything is asked. */
static void a_filter_that_cannot_be_is_told_with_its_option(void)
{
    static const struct {
        const char *option, *err;
    } rows[] = {
        {"--state=fail", "--state: there is no state 'fail': did you mean 'failed'?"},
        {"--state=failed,succeded",
         "--state: there is no state 'succeded': did you mean 'succeeded'?"},
        {"--state=failed,", "--state: a value is missing in 'failed,'"},
        {"--tag=,a", "--tag: a value is missing in ',a'"},
        {"--kind=a,,b", "--kind: a value is missing in 'a,,b'"},
        {"--state=", "the option --state needs a value"},
        {"--queue=", "the option --queue needs a value"},
        {"--tag=", "the option --tag needs a value"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        expect_run(
            runnel_at("http://127.0.0.1:1", (const char *const[]){"ls", rows[i].option, NULL}), 2,
            "", plain_text("runnel: %s; see runnel ls --help\n", rows[i].err));
        expect_run(
            runnel_at("http://127.0.0.1:1", (const char *const[]){"rm", rows[i].option, NULL}), 2,
            "", plain_text("runnel: %s; see runnel rm --help\n", rows[i].err));
    }
    expect_run(runnel_at("http://127.0.0.1:1", (const char *const[]){"ls", "-n", "0", NULL}), 2, "",
               "runnel: --limit: '0' is no number from 1 on; see runnel ls --help\n");
}

/* Only where nothing has matched: tasks may be left of a queue that the configuration had. */
static void a_queue_that_is_none_is_told_where_nothing_matches(void)
{
    struct daemon *daemon = daemon_started(config);
    (void)submit(daemon, "{'kind':'echo'}");
    (void)await_end(daemon, 1);
    const char *near = "runnel: there is no queue 'defualt': did you mean 'default'?\n";

    expect_run(runnel(daemon, "ls", "--queue", "defualt"), 0, "", near);
    expect_run(runnel(daemon, "ls", "--json", "-q", "slow,defualt"), 0, "", near);
    expect_run(runnel(daemon, "ls", "-q", "slow"), 0, "", "");
    expect_run(runnel(daemon, "ls", "-q", "default", "-q", "defualt"), 0, NULL, "");
    expect_run(runnel(daemon, "rm", "-n", "-q", "defualt"), 0, "would remove 0 tasks\n", near);
    expect_run(runnel(daemon, "cancel", "-q", "slow", "-q", "defualt"), 0,
               "0 matched, 0 cancelled, 0 skipped\n", near);
    expect_run(runnel(daemon, "rm", "-n", "-q", "default", "-q", "defualt"), 0,
               "would remove 1 task\n", "");
    daemon_stop(daemon);
}

static void a_url_that_cannot_be_is_told_with_one_that_can(void)
{
    static const struct {
        const char *url, *err;
    } rows[] = {
        {"localhost:7733", "the url localhost:7733 must begin with http://, https:// or unix:/: "
                           "did you mean http://localhost:7733?"},
        {"/run/x", "the url /run/x must begin with http://, https:// or unix:/: did you mean "
                   "unix:/run/x?"},
        {"ftp://x", "the url ftp://x must begin with http://, https:// or unix:/"},
        {"unix:x", "the url unix:x must begin with http://, https:// or unix:/"},
        {"http://", "the url http:// must begin with http://, https:// or unix:/"},
        {"http://me:secret@x", "the url names a user, which the daemon has none of; see "
                               "--token-file"},
        {"me:secret@x", "the url names a user, which the daemon has none of; see --token-file"},
        {"ftp://secret@x", "the url names a user, which the daemon has none of; see --token-file"},
        {"http:x:1", "the url http:x:1 must begin with http://, https:// or unix:/"},
        {"::1", "the url ::1 must begin with http://, https:// or unix:/"},
        {"unix:/", "the url unix:/ must begin with http://, https:// or unix:/"},
        {"http://x/#y", "the url http://x/#y must have no '?', '#' or space"},
        {"http://x?y=@", "the url http://x?y=@ must have no '?', '#' or space"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        expect_run(runnel_at(rows[i].url, (const char *const[]){"ping", NULL}), 2, "",
                   plain_text("runnel: %s\n", rows[i].err));
    expect_run(runnel_at("UNIX:/nonexistent/s", (const char *const[]){"ping", NULL}), 5, "", NULL);
    // The longest that a socket can have, and one more: of libcurl it is a host that is not there.
    const char *longest = plain_text("unix:/%0106d", 0);
    expect_run(runnel_at(longest, (const char *const[]){"ping", NULL}), 5, "", NULL);
    expect_run(
        runnel_at(plain_text("%s0", longest), (const char *const[]){"ping", NULL}), 2, "",
        plain_text("runnel: the url %s0 is too long for a socket: at most 112 bytes\n", longest));
}

static void a_ping_finds_out_who_answers(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *below = plain_text("http://127.0.0.1:%u/below", daemon->port);

    struct run loud =
        runnel(daemon, "--url", plain_text("HTTP://127.0.0.1:%u/", daemon->port), "ping");
    assert_int_equal(loud.status, 0);
    expect_run(runnel(daemon, "--url", below, "ping"), 5, "",
               plain_text("runnel: what answers at %s is no runneld\n", below));
    daemon_stop(daemon);

    struct fake *fake = fake_new();
    struct background *page = runnel_start(daemon, "--url", fake->url, "ping");
    (void)fake_take(fake);
    fake_answer(fake, 200, "{\"hello\":1}");
    assert_int_equal(background_end(page, 20000), 5);
    assert_string_equal(background_err(page),
                        plain_text("runnel: what answers at %s is no runneld\n", fake->url));
    fake_cut(fake);
    struct background *refused = runnel_start(daemon, "--url", fake->url, "ping");
    (void)fake_take(fake);
    fake_answer(fake, 403, "{\"code\":\"forbidden\",\"detail\":\"the Host is another\"}");
    assert_int_equal(background_end(refused, 20000), 6);
    assert_string_equal(background_err(refused), "runnel: the Host is another\n");
}

static void what_is_wrong_with_all_of_a_line_has_no_name(void)
{
    struct daemon *daemon = daemon_started(config);

    struct run load = runnel_shell(daemon, "echo '[]' | $RUNNEL load - --key k");
    assert_int_equal(load.status, 6);
    assert_non_null(strstr(load.err, "runnel: standard input: line 1: a task must be an object\n"));
    expect_run(runnel_shell(daemon, "$RUNNEL submit echo - <&-"), 2, "",
               "runnel: standard input can't be read (Bad file descriptor)\n");
    daemon_stop(daemon);
}

static void a_task_is_shown_with_what_it_follows_and_what_follows_it(void)
{
    struct daemon *daemon = daemon_started("queue: { default: { workers = 4 }; };\n"
                                           "kind: { first: { builtin = 'echo'; on_success = "
                                           "'second' }; second: { builtin = 'echo' }; };\n");
    (void)submit(daemon, "{'kind':'first'}");
    (void)await_end(daemon, 1); // the other is stored with it
    (void)await_end(daemon, 2);

    struct run first = runnel(daemon, "show", "1");
    struct run second = runnel(daemon, "show", "2");

    assert_non_null(strstr(first.out, "\nchildren   2\n"));
    assert_null(strstr(first.out, "\nparent "));
    assert_non_null(strstr(second.out, "\nparent     1\n"));
    assert_null(strstr(second.out, "\nchildren "));
    daemon_stop(daemon);
}

static void a_command_that_prints_nothing_prints_nothing(void)
{
    struct daemon *daemon = daemon_started("queue: { default: { workers = 4 }; };\n"
                                           "kind: { quiet: { command = ['/bin/true'] }; };\n");

    expect_run(runnel(daemon, "run", "quiet"), 0, "", "");
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_suggestion_is_near_or_not_made),
             SCENARIO(what_it_is_called_elsewhere_is_known),
             SCENARIO(the_version_is_told_beside_a_command_too),
             SCENARIO(a_filter_that_cannot_be_is_told_with_its_option),
             SCENARIO(a_queue_that_is_none_is_told_where_nothing_matches),
             SCENARIO(a_url_that_cannot_be_is_told_with_one_that_can),
             SCENARIO(a_ping_finds_out_who_answers),
             SCENARIO(what_is_wrong_with_all_of_a_line_has_no_name),
             SCENARIO(a_task_is_shown_with_what_it_follows_and_what_follows_it),
             SCENARIO(a_command_that_prints_nothing_prints_nothing),
             SCENARIO(what_may_not_be_watched_is_stored_all_the_same),
             SCENARIO(a_socket_of_others_is_told_as_that),
             SCENARIO(a_token_that_is_missing_or_wrong_is_told_with_the_option),
             SCENARIO(submit_and_run_take_the_same_options),
             SCENARIO(a_queue_that_is_not_there_is_told_with_those_that_are),
             SCENARIO(an_address_with_the_other_scheme_is_told))
