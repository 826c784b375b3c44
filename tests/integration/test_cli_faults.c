/** \file
 * What runnel says of what one gets wrong: names, options, addresses.
 */
#include "harness_cli.h"

#include <string.h>
#include <sys/stat.h>

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

HARNESS_MAIN(SCENARIO(a_suggestion_is_near_or_not_made),
             SCENARIO(a_token_that_is_missing_or_wrong_is_told_with_the_option),
             SCENARIO(submit_and_run_take_the_same_options),
             SCENARIO(a_queue_that_is_not_there_is_told_with_those_that_are),
             SCENARIO(an_address_with_the_other_scheme_is_told))
