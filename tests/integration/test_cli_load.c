/** \file
 * runnel load: each line once, whatever breaks on the way.
 */
#include "harness_cli.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// Nothing starts: what is stored is the backlog.
static const char config[] = "queue: { default: { workers = 1; rate = '1/h' }; };\n"
                             "kind: { noop: { builtin = 'noop' }; };\nmax_backlog = 100000000;\n";

enum { LINES = 20000, LONG_LINES = 1000000, PAGE = 1000 };

static char *line_of(unsigned number)
{
    return text("{'kind':'noop','delay':'1h','args':%u}\n", number);
}

static int64_t stored(struct daemon *daemon)
{
    struct reply *reply = get(daemon, "/v1/stats");

    return reply->status == 200 ? number_at(reply->json, "backlog") : 0;
}

/* Lines from first on, before last. */
static void write_lines(int fd, unsigned first, unsigned last)
{
    FILE *out = fdopen(dup(fd), "w");

    assert_non_null(out);
    for (unsigned number = first; number < last; number++)
        fprintf(out, "{\"kind\":\"noop\",\"delay\":\"1h\",\"args\":%u}\n", number);
    assert_int_equal(fclose(out), 0);
}

/* Each of 0 to count - 1 is the args of exactly one task. */
static void expect_each_once(struct daemon *daemon, unsigned count)
{
    unsigned char *seen = keep(calloc(count, 1));
    const char *cursor = "";
    unsigned found = 0;

    assert_non_null(seen);
    while (cursor != NULL) {
        struct reply *page = get(daemon, plain_text("/v1/tasks?view=full&limit=%d%s%s", PAGE,
                                                    cursor[0] == '\0' ? "" : "&cursor=", cursor));
        size_t index;
        json_t *stored_task;
        json_array_foreach (at(page->json, "tasks"), index, stored_task) {
            int64_t number = number_at(stored_task, "args");
            assert_in_range(number, 0, count - 1);
            assert_int_equal(seen[number], 0);
            seen[number] = 1;
            found++;
        }
        cursor = text_at(page->json, "next");
    }
    assert_int_equal(found, count);
}

static void kill_and_start(struct daemon *daemon)
{
    daemon_kill(daemon);
    daemon_start(daemon);
}

static void a_stream_outlasts_two_kills_of_the_daemon_each_line_once(void)
{
    struct daemon *daemon = daemon_started(config);
    daemon_keep_port(daemon);
    char *path = plain_text("%s/lines", scenario_folder());
    assert_int_equal(mkfifo(path, 0600), 0);

    struct background *load = runnel_start(daemon, "load", path);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    write_lines(fd, 0, LINES / 3);
    eventually(stored(daemon) > LINES / 6, 30000);
    kill_and_start(daemon);
    write_lines(fd, LINES / 3, 2 * LINES / 3);
    eventually(stored(daemon) > LINES / 2, 60000);
    kill_and_start(daemon);
    write_lines(fd, 2 * LINES / 3, LINES);
    assert_int_equal(close(fd), 0);

    assert_int_equal(background_end(load, 120000), 0);
    assert_true(contains(background_out(load), "20,000 tasks loaded, ids "));
    assert_true(contains(background_out(load), "(tried again "));
    assert_true(contains(background_err(load), "the key of this load is "));
    assert_true(contains(background_err(load), "trying again with the same key"));
    expect_each_once(daemon, LINES);
    daemon_stop(daemon);
}

static void a_file_outlasts_two_kills_of_the_daemon_each_line_once(void)
{
    struct daemon *daemon = daemon_started(config);
    daemon_keep_port(daemon);
    unsigned count = is_long() ? LONG_LINES : LINES;
    char *path = plain_text("%s/lines", scenario_folder());
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    write_lines(fd, 0, count);
    assert_int_equal(close(fd), 0);

    // Whether all lines are stored before a kill is the machine's affair; each is there once
    // anyhow.
    struct background *load = runnel_start(daemon, "load", path, "--key", "a-key");
    for (unsigned round = 1; round <= 2; round++) {
        eventually(stored(daemon) > count * round / 4, 60000);
        kill_and_start(daemon);
    }

    assert_int_equal(background_end(load, 300000), 0);
    assert_true(contains(background_out(load), "tasks loaded, ids "));
    struct run again = runnel(daemon, "load", path, "--key", "a-key");
    assert_int_equal(again.status, 0);
    assert_memory_equal(again.out, background_out(load), strlen(again.out) - 1);
    expect_each_once(daemon, count);
    daemon_stop(daemon);
}

static void a_bad_line_is_named_and_what_came_before_stays(void)
{
    struct daemon *daemon = daemon_started(config);
    char *path = plain_text("%s/lines", scenario_folder());

    file_write(path, plain_text("%s%s{\"kind\":\"nop\"}\n%s", line_of(0), line_of(1), line_of(3)));
    expect_run(runnel(daemon, "load", path, "--key", "k"), 6, "",
               plain_text("runnel: %s: line 3: kind: unknown kind 'nop': did you mean 'noop'?\n"
                          "runnel: 2 lines are stored; go on with: runnel load --key k %s\n",
                          path, path));
    file_write(path, plain_text("%s%snope\n", line_of(0), line_of(1)));
    struct run broken = runnel(daemon, "load", path, "--key", "k");
    assert_int_equal(broken.status, 6);
    assert_true(contains(broken.err, ": line 3: column "));

    // Put right, the same key goes on.
    file_write(path, plain_text("%s%s%s", line_of(0), line_of(1), line_of(2)));
    expect_run(runnel(daemon, "load", path, "--key", "k"), 0, "3 tasks loaded, ids 1 to 3\n", "");
    expect_each_once(daemon, 3);
    daemon_stop(daemon);
}

static void one_line_is_stored_and_no_more_are(void)
{
    struct daemon *daemon = daemon_started(config);
    char *path = plain_text("%s/lines", scenario_folder());

    file_write(path, plain_text("%snope\n", line_of(0)));
    struct run run = runnel(daemon, "load", path, "--key", "k");
    file_write(path, line_of(1));
    expect_run(runnel(daemon, "load", path, "--key", "l"), 0, "1 task loaded, id 2\n", "");

    assert_int_equal(run.status, 6);
    assert_true(contains(run.err, "runnel: 1 line is stored; go on with: "));
    daemon_stop(daemon);
}

static void other_lines_under_the_same_key_are_refused(void)
{
    struct daemon *daemon = daemon_started(config);
    char *path = plain_text("%s/lines", scenario_folder());
    file_write(path, plain_text("%s%s", line_of(0), line_of(1)));
    expect_run(runnel(daemon, "load", path, "--key", "k"), 0, NULL, "");

    file_write(path, plain_text("%s%s", line_of(5), line_of(6)));
    expect_run(runnel(daemon, "load", path, "--key", "k"), 6, "", NULL);

    expect_each_once(daemon, 2);
    daemon_stop(daemon);
}

static void what_cannot_be_loaded_is_said(void)
{
    struct daemon *daemon = daemon_started(config);

    expect_run(runnel(daemon, "load", "/nonexistent"), 2, "",
               "runnel: /nonexistent can't be read (No such file or directory)\n");
    expect_run(runnel(daemon, "load", "/"), 2, "", "runnel: / can't be read (Is a directory)\n");
    expect_run(runnel(daemon, "load", "-", "--key", "k"), 0, "0 tasks loaded\n", "");
    expect_run(
        runnel_at("http://127.0.0.1:1", (const char *const[]){"load", "-", "--key", "k", NULL}), 5,
        "",
        "runnel: no daemon answers at http://127.0.0.1:1 (connection refused); is runneld "
        "running?\n"
        "runnel: go on with the same lines and: runnel load --key k -\n");
    daemon_stop(daemon);
}

static void a_load_that_is_interrupted_says_how_to_go_on(void)
{
    struct daemon *daemon = daemon_started(config);
    char *path = plain_text("%s/lines", scenario_folder());
    assert_int_equal(mkfifo(path, 0600), 0);

    struct background *load = runnel_start(daemon, "load", path, "--key", "k");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    write_lines(fd, 0, 5000);
    eventually(stored(daemon) > 0, 30000);
    assert_int_equal(kill(load->pid, SIGINT), 0);

    assert_int_equal(background_end(load, 30000), 130);
    assert_true(contains(background_err(load), "runnel: interrupted\n"));
    assert_true(contains(background_err(load), "go on with: runnel load --key k "));
    assert_int_equal(close(fd), 0);
    daemon_stop(daemon);
}

static void it_gives_up_on_a_daemon_that_stays_away(void)
{
    struct daemon *daemon = daemon_started(config);
    char *path = plain_text("%s/lines", scenario_folder());
    assert_int_equal(mkfifo(path, 0600), 0);

    struct background *load =
        runnel_start(daemon, "load", path, "--key", "k", "--retry-for", "300ms");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    write_lines(fd, 0, 5000);
    eventually(stored(daemon) > 0, 30000);
    daemon_kill(daemon);
    assert_int_equal(close(fd), 0);

    assert_int_equal(background_end(load, 30000), 5);
    assert_true(contains(background_err(load), "tried again "));
    assert_true(contains(background_err(load), "go on with: runnel load --key k "));
}

HARNESS_MAIN(SCENARIO(a_stream_outlasts_two_kills_of_the_daemon_each_line_once),
             SCENARIO(a_file_outlasts_two_kills_of_the_daemon_each_line_once),
             SCENARIO(a_bad_line_is_named_and_what_came_before_stays),
             SCENARIO(one_line_is_stored_and_no_more_are),
             SCENARIO(other_lines_under_the_same_key_are_refused),
             SCENARIO(what_cannot_be_loaded_is_said),
             SCENARIO(a_load_that_is_interrupted_says_how_to_go_on),
             SCENARIO(it_gives_up_on_a_daemon_that_stays_away))
