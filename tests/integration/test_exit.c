/** \file How the daemon ends: its exit codes, each with what it says; and the lock that keeps a
 * second one off the store. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <sqlite3.h>

#include "harness.h"

static const char config[] =
    "queue: { default: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; };\n";

static int status_of_start(struct daemon *daemon)
{
    daemon_launch(daemon);
    return daemon_await_end(daemon, 30000);
}

static struct run runneld(const char *a, const char *b, const char *c)
{
    return run_program((const char *[]){daemon_program(), a, a != NULL ? b : NULL,
                                        a != NULL && b != NULL ? c : NULL, NULL},
                       NULL, 30000);
}

static void usage_faults_end_with_64(void)
{
    assert_int_equal(runneld("-z", NULL, NULL).status, 64);
    assert_int_equal(runneld("--nonsense", NULL, NULL).status, 64);
    assert_int_equal(runneld("-c", NULL, NULL).status, 64);
    assert_int_equal(runneld("-o", "no-equals-sign", NULL).status, 64);
    struct run run = runneld("surplus", NULL, NULL);
    assert_int_equal(run.status, 64);
    assert_non_null(strstr(run.err, "surplus"));
    assert_non_null(strstr(run.err, "--help"));
    assert_string_equal(run.out, "");
}

static void help_and_version_end_with_0(void)
{
    struct run help = runneld("--help", NULL, NULL), version = runneld("--version", NULL, NULL);

    assert_int_equal(help.status, 0);
    assert_non_null(strstr(help.out, "-c FILE"));
    assert_int_equal(version.status, 0);
    assert_int_equal(strncmp(version.out, "runneld ", 8), 0);
    assert_string_equal(runneld("-h", NULL, NULL).out, help.out);
}

static void a_bad_configuration_ends_with_78(void)
{
    struct daemon *daemon = daemon_new("queue: { default: { workers = 0 }; };\n");

    assert_int_equal(status_of_start(daemon), 78);
    assert_non_null(strstr(daemon_log(daemon), "runneld.conf:3: "));
    assert_int_equal(runneld("-c", "/nowhere/runneld.conf", NULL).status, 78);
    daemon_configure(daemon, config);
    daemon->arguments = (const char *[]){"-o", "no_such_setting=1", NULL};
    assert_int_equal(status_of_start(daemon), 78);
}

static void a_second_daemon_on_the_store_ends_with_73(void)
{
    struct daemon *first = daemon_started(config), *second = daemon_new(config);
    second->arguments = keep(calloc(3, sizeof(char *)));
    ((const char **)(uintptr_t)second->arguments)[0] = "-o";
    ((const char **)(uintptr_t)second->arguments)[1] = plain_text("store=%s", first->store_path);
    uint64_t id = submit(first, "{'kind':'sleep','args':{'duration':'300ms'}}");

    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(status_of_start(second), 73);

    assert_non_null(strstr(daemon_log(second), plain_text("%d", (int)first->pid)));
    expect_end(first, id, "succeeded", NULL); // it was not disturbed
    daemon_kill(first);
    daemon_start(second); // a dead one holds nothing
    expect_text(task(second, id), "state", "succeeded");
    assert_int_equal(status_of_start(first), 73);
}

static void a_store_by_another_name_is_the_same_store(void)
{
    struct daemon *first = daemon_started(config), *second = daemon_new(config);

    assert_int_equal(symlink(first->store_path, second->store_path), 0);
    assert_int_equal(status_of_start(second), 73);
}

static void a_port_in_use_ends_with_71_and_says_who_has_it(void)
{
    struct daemon *first = daemon_started(config), *second = daemon_new(config);
    second->arguments = keep(calloc(3, sizeof(char *)));
    ((const char **)(uintptr_t)second->arguments)[0] = "-o";
    ((const char **)(uintptr_t)second->arguments)[1] =
        plain_text("listen=127.0.0.1:%u", first->port);

    assert_int_equal(status_of_start(second), 71);

    assert_non_null(strstr(daemon_log(second), plain_text("%u", first->port)));
    assert_non_null(strstr(daemon_log(second), plain_text("%d", (int)first->pid)));
}

static void a_port_can_be_taken_again_at_once(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *listen = plain_text("listen=127.0.0.1:%u", daemon->port);
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", daemon->port);
    expect_status(wire_reply(wire, 10000), 200);
    daemon->arguments = (const char *[]){"-o", listen, NULL};
    daemon_stop(daemon); // it closes first: its side is in TIME_WAIT

    daemon_start(daemon);
    daemon_stop(daemon);
}

static void a_folder_that_is_not_there_or_not_ours_ends_with_71(void)
{
    struct daemon *daemon = daemon_new(config);
    daemon->arguments = (const char *[]){"-o", "store=/nowhere/at/all/runnel.db", NULL};
    assert_int_equal(status_of_start(daemon), 71);
    assert_non_null(strstr(daemon_log(daemon), "/nowhere/at/all"));

    if (geteuid() == 0)
        return; // to whom no folder is closed
    const char *closed = plain_text("%s/closed", scenario_folder());
    assert_int_equal(mkdir(closed, 0500), 0);
    daemon->arguments = (const char *[]){"-o", plain_text("store=%s/runnel.db", closed), NULL};
    assert_int_equal(status_of_start(daemon), 71);
}

static void a_file_that_is_no_store_ends_with_65(void)
{
    struct daemon *daemon = daemon_new(config);
    const char *content = "This is no database, and it is longer than the header of one would be: "
                          "0123456789 0123456789 0123456789 0123456789 0123456789";

    file_write(daemon->store_path, content);

    assert_int_equal(status_of_start(daemon), 65);
    assert_non_null(strstr(daemon_log(daemon), "runnel.db"));
    assert_string_equal(file_read(daemon->store_path), content); // untouched
}

static void execute(const struct daemon *daemon, const char *statement)
{
    sqlite3 *database = NULL;
    char *error = NULL;

    assert_int_equal(sqlite3_open(daemon->store_path, &database), SQLITE_OK);
    if (sqlite3_exec(database, statement, NULL, NULL, &error) != SQLITE_OK)
        fail_msg("%s: %s", statement, error);
    assert_int_equal(sqlite3_close(database), SQLITE_OK);
}

static void a_store_of_a_newer_version_ends_with_65_and_both_numbers(void)
{
    struct daemon *daemon = daemon_started(config);
    uint64_t id = submit(daemon, "{'kind':'noop'}");
    await_end(daemon, id);
    daemon_stop(daemon);

    execute(daemon, "PRAGMA user_version = 4711");

    assert_int_equal(status_of_start(daemon), 65);
    assert_non_null(strstr(daemon_log(daemon), "4711"));
}

static void damaged_pages_end_with_65_and_never_serve_wrong_data(void)
{
    struct daemon *daemon = daemon_started(config);
    expect_status(call(daemon, "POST", "/v1/queues/default/pause", NULL), 200);
    (void)submit_many(daemon, 2000, "{'kind':'noop','args':'some text to fill pages with'}");
    daemon_stop(daemon);
    execute(daemon, "PRAGMA wal_checkpoint(TRUNCATE)");
    FILE *file = fopen(daemon->store_path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, 4096, SEEK_SET), 0);
    for (unsigned i = 0; i < 40 * 4096; i++)
        (void)fputc(0xa5, file);
    assert_int_equal(fclose(file), 0);

    daemon_launch(daemon);
    if (daemon_await_ready(daemon)) { // it found nothing yet: then on use
        (void)call(daemon, "POST", "/v1/queues/default/resume", NULL);
        for (unsigned i = 0; i < 100 && !daemon_ends(daemon, 0); i++)
            (void)call(daemon, "POST", "/v1/tasks", text("{'kind':'noop'}"));
    }
    assert_int_equal(daemon_await_end(daemon, 30000), 65);
}

/* ---- signals ---- */

static void sigterm_and_sigint_end_with_0(void)
{
    struct daemon *daemon = daemon_started(config);
    daemon_signal(daemon, SIGTERM);
    assert_int_equal(daemon_await_end(daemon, 10000), 0);
    assert_int_equal(daemon_log_count(daemon, "event=stopped"), 1);

    daemon_start(daemon);
    daemon_signal(daemon, SIGINT);
    assert_int_equal(daemon_await_end(daemon, 10000), 0);
}

static void other_signals_disturb_nothing(void)
{
    struct daemon *daemon = daemon_started(config);

    daemon_signal(daemon, SIGPIPE);
    daemon_signal(daemon, SIGUSR1);
    daemon_signal(daemon, SIGUSR2);
    daemon_signal(daemon, SIGALRM);
    daemon_signal(daemon, SIGCHLD);

    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

static void sigquit_and_sigabrt_abort_and_lose_nothing(void)
{
    struct daemon *daemon = daemon_new(config);
    daemon->prefix = (const char *[]){"prlimit", "--core=0:0", NULL}; // nothing is left lying about
    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'sleep','delay':'1h','args':{'duration':0}}");

    // An operator's, and that of systemd's watchdog.
    for (unsigned i = 0; i < 2; i++) {
        daemon_signal(daemon, i == 0 ? SIGQUIT : SIGABRT);
        assert_int_equal(daemon_await_end(daemon, 10000), -SIGABRT);
        daemon_start(daemon);
        expect_text(task(daemon, id), "state", "scheduled");
    }
}

static void a_signal_during_the_start_ends_it_in_order(void)
{
    struct daemon *daemon = daemon_new(config);

    for (unsigned i = 0; i < 5; i++) {
        daemon_launch(daemon);
        pass_ms(i * 4);
        daemon_signal(daemon, SIGTERM);
        int status = daemon_await_end(daemon, 20000);

        assert_true(status == 0 || status == -SIGTERM); // before main has looked at signals
    }
    daemon_start(daemon);
    daemon_stop(daemon);
}

static void a_reader_of_the_log_that_leaves_stops_nothing(void)
{
    struct daemon *daemon = daemon_started(plain_text("log_level = 'info';\n%s", config));

    daemon_stop_reading(daemon);
    uint64_t first = submit_many(daemon, 100, "{'kind':'noop'}");
    await_end(daemon, first + 99);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(usage_faults_end_with_64), SCENARIO(help_and_version_end_with_0),
             SCENARIO(a_bad_configuration_ends_with_78),
             SCENARIO(a_second_daemon_on_the_store_ends_with_73),
             SCENARIO(a_store_by_another_name_is_the_same_store),
             SCENARIO(a_port_in_use_ends_with_71_and_says_who_has_it),
             SCENARIO(a_port_can_be_taken_again_at_once),
             SCENARIO(a_folder_that_is_not_there_or_not_ours_ends_with_71),
             SCENARIO(a_file_that_is_no_store_ends_with_65),
             SCENARIO(a_store_of_a_newer_version_ends_with_65_and_both_numbers),
             SCENARIO(damaged_pages_end_with_65_and_never_serve_wrong_data),
             SCENARIO(sigterm_and_sigint_end_with_0), SCENARIO(other_signals_disturb_nothing),
             SCENARIO(sigquit_and_sigabrt_abort_and_lose_nothing),
             SCENARIO(a_signal_during_the_start_ends_it_in_order),
             SCENARIO(a_reader_of_the_log_that_leaves_stops_nothing))
