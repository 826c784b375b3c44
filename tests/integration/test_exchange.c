/** \file
 * runneld --export and --import: what is in the lines, that nothing is lost on the way through
 * them, and what an import refuses.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "stores.h"

static struct run exchange(const struct daemon *daemon, const char *mode, const char *file)
{
    return run_program(
        (const char *[]){daemon_program(), "-c", daemon->config_path, mode, file, NULL}, NULL,
        60000 * slow());
}

static struct run expect_run(struct run run, int status)
{
    if (run.status != status)
        fail_msg("%d\n%s%s", run.status, run.out, run.err);
    return run;
}

static const char *written(const char *content)
{
    static unsigned count;
    const char *path = plain_text("%s/export-%u", scenario_folder(), ++count);

    file_write(path, content);
    return path;
}

/* A daemon whose store came out of an export. */
static struct daemon *imported(const char *lines)
{
    struct daemon *daemon = daemon_new(stores_config);

    daemon_forget(daemon);
    expect_run(exchange(daemon, "--import", written(lines)), 0);
    stores_expect_sound(daemon, NULL);
    return daemon;
}

/* A store of every state, with follow-ups and traces too. */
static struct daemon *whole_store(void)
{
    struct daemon *daemon = stores_every_state();

    stores_change(
        daemon->store_path,
        "UPDATE tasks SET parent = 2, links = 1, flags = flags | 24, "
        "traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01' WHERE id = 4;"
        "UPDATE meta SET value = 99 WHERE name = 'last_id'");
    return daemon;
}

/* ---- there and back ---- */

static void an_export_of_a_released_store_goes_there_and_back(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    char *lines = stores_exported(daemon);
    assert_int_equal(stores_query(daemon->store_path, "PRAGMA user_version"), 1); // as it was
    static const char *const states[] = {"scheduled", "queued", "running",   "succeeded",
                                         "failed",    "held",   "cancelled", "retrying"};
    for (unsigned i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strstr(lines, text("'state':'%s'", states[i])) == NULL)
            fail_msg("no task is %s:\n%s", states[i], lines);

    struct daemon *other = imported(lines);

    assert_string_equal(stores_exported(other), lines);
    daemon_start(other);
    stores_expect_tasks(other, "v1");
    daemon_stop(other);
}

static void follow_ups_traces_and_keys_go_there_and_back(void)
{
    struct daemon *daemon = whole_store();
    char *lines = stores_exported(daemon);
    assert_non_null(
        strstr(lines, text("'parent':2,'links':1,'on_failure':true,'traceparent':'00-")));
    assert_non_null(strstr(lines, text("'error_retryable':true")));
    assert_non_null(strstr(lines, text("'key':'k'")));
    assert_non_null(strstr(lines, text("'last_id':99")));

    struct daemon *other = imported(lines);

    assert_string_equal(stores_exported(other), lines);
    daemon_start(other);
    json_t *after = task(other, 4);
    daemon_stop(other);
    daemon_start(daemon);
    json_t *before = task(daemon, 4);
    assert_int_equal(number_at(before, "parent"), 2);
    assert_true(json_equal(before, after));
    // Ids go on behind the highest that was ever given.
    assert_int_equal(submit(daemon, "{'kind':'echo'}"), 100);
    daemon_stop(daemon);
    assert_true(file_exists(other->store_path));
}

static void any_order_of_members_and_an_empty_store_will_do(void)
{
    static const char *const lines =
        "{'keys':0,'tasks':1,'queues':1,'last_id':7,'store_id':'0123456789abcdef','runnel_export':"
        "1}\n"
        "{'paused':false,'name':'default'}\n"
        "{ 'args' : [1.50, {\"a\" : 'x'}], 'kind':'echo','queue':'default','state':'queued','id':7,"
        "'priority':0,'run':0,'attempt':0,'interruptions':0,'created_at_ms':1700000000000}";
    struct daemon *daemon = daemon_started(stores_config);
    daemon_stop(daemon); // a store in which nothing was ever stored

    expect_run(exchange(daemon, "--import", written(text("%s", quoted(lines)))), 0);

    stores_expect_sound(daemon, NULL);
    assert_non_null(strstr(stores_exported(daemon), text("'args':[1.50,{'a':'x'}]")));
    daemon_start(daemon);
    json_t *ended = expect_end(daemon, 7, "succeeded", NULL);
    assert_int_equal(json_array_size(at(ended, "result")), 2);
    expect_text(expect_status(get(daemon, "/v1/info"), 200)->json, "store_id", "0123456789abcdef");
    daemon_stop(daemon);
}

/* ---- refused ---- */

// clang-format off
static const struct {
    const char *find, *put;   // the first of its like in the export, ' for "; find NULL: put is all of it
    const char *says;
} breaks[] = {
    {NULL, "", "line 1: there is none"},
    {NULL, "\n", "line 1: there is none"},
    {NULL, "\n\n", "line 1: it is empty"},
    {"\n", "\n\n", "line 2: it is empty"},
    {"\n", "\r\n\r\n", "line 2: it is empty"},
    {NULL, "\x1f\x8b\x08\n", "line 1: it is compressed by gzip, and has to be unpacked first"},
    {NULL, "[]\n", "line 1: it is no line of an export"},
    {NULL, "{'a':1}\n", "line 1: it is no line of an export"},
    {NULL, "{'name':'default'}\n", "line 1: an export begins with its head"},
    {"'runnel_export':1", "'runnel_export':2", "line 1: runnel_export has to be 1: it is of another version"},
    {"'store_id':'", "'store_id':'0", "line 1: store_id has a length that it can't have"},
    {"'store_id':'0", "'store_id':'X", "line 1: store_id is none of 16 hexadecimal digits"},
    {"'queues':3", "'queues':4", "line 24: it is the last one, and 3 of the 4 queues that the head names are there"},
    {"'tasks':17", "'tasks':16", "line 21: the head names fewer of its sort"},
    {"'keys':3}\n", "'keys':3}\n{'runnel_export':1,'store_id':'0123456789abcdef','last_id':17,'queues':1,'tasks':1,'keys':1}\n",
     "line 2: a second head"},
    {"'last_id':17", "'last_id':16", "line 21: its id is above the last_id of the head"},
    {"{'name':'side'}", "{'name':'parked'}", "line 3: there was a line for this queue before"},
    {"{'name':'side'}", "{'name':'Side'}", "line 3: name is no valid name"},
    {"'workers':3", "'workers':0", "line 2: workers is a number that it can't be"},
    {"'rate':'5/s'", "'rate':'often'", "line 2: rate is no rate"},
    {"'paused':true", "'paused':1", "line 2: paused has to be true or false"},
    {"'id':2,", "'id':1,", "line 6: there was a line for this task before"},
    {"'id':2,", "'id':0,", "line 6: id is a number that it can't be"},
    {"'id':2,", "'id':'2',", "line 6: id has to be a whole number"},
    {"'id':2,", "'id':99999999999999999999,", "line 6: id is a number that it can't be"},
    {"'id':2,", "'id':2,'id':2,", "line 6: id stands there twice"},
    {"'id':2,", "'id':2,'colour':1,", "line 6: a task has no colour"},
    {"'id':2,", "'id':2", "line 6: it is no JSON"},
    {"'id':2,", "'id':2,'result_text':'x',", "line 6: result and result_text exclude each other"},
    {"'id':2,", "'id':2,'parent':1,", "line 6: parent and links go together"},
    {"'id':2,", "'id':2,'parent':2,'links':1,", "line 6: its parent has to be an earlier task"},
    {"'id':2,", "'id':2,'traceparent':'00',", "line 6: traceparent is none"},
    {"'id':2,", "'id':2,'exec':[],", "line 6: exec has to be an object"},
    {"'tags':['a','b']", "'tags':'a'", "line 6: tags has to be an array"},
    {"'state':'succeeded'", "'state':'done'", "line 6: there is no such state"},
    {"'state':'succeeded'", "'state':'retrying'", "line 6: a task that is scheduled or retrying needs due_at_ms"},
    {"'state':'succeeded',", "", "line 6: a task needs state"},
    {"'queue':'default'", "'queue':'elsewhere'", "line 6: there is no line before it for its queue"},
    {"gr\xC3\xBC", "gr\xC3", "line 6: it is no UTF-8 text"},
    {"'hash':'", "'hash':'0", "hash has to be 64 hexadecimal digits"},
    {"'first_id':", "'first_id':9", "its tasks can not be those of its ids"},
};
// clang-format on

static void a_broken_line_is_named_and_nothing_is_imported(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    const char *whole = stores_exported(daemon);
    struct daemon *other = daemon_new(stores_config);
    daemon_forget(other);

    for (size_t i = 0; i < sizeof(breaks) / sizeof(breaks[0]); i++) {
        const char *lines = quoted(breaks[i].put);
        if (breaks[i].find != NULL) {
            const char *find = quoted(breaks[i].find);
            const char *found = strstr(whole, find);
            if (found == NULL)
                fail_msg("%s is not in\n%s", find, whole);
            lines =
                plain_text("%.*s%s%s", (int)(found - whole), whole, lines, found + strlen(find));
        }

        struct run run = exchange(other, "--import", written(lines));

        if (run.status != 65 || strstr(run.err, breaks[i].says) == NULL ||
            strstr(run.err, "nothing was imported") == NULL)
            fail_msg("%s: %d\n%s%s", breaks[i].says, run.status, run.out, run.err);
        assert_false(file_exists(other->store_path));
        assert_false(file_exists(plain_text("%s-import.part", other->store_path)));
    }
    expect_run(exchange(other, "--import", written(whole)), 0);
}

static void an_empty_line_at_the_end_does_not_matter(void)
{
    static const char *const ends[] = {"", "\n\n", "\n\r\n", "\r\n"};
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    const char *whole = stores_exported(daemon);
    int length = (int)strlen(whole) - 1; // without its last newline

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct daemon *other = imported(plain_text("%.*s%s", length, whole, ends[i]));
        assert_string_equal(stores_exported(other), whole);
    }

    // What is missing is missing behind the last line that is one.
    struct daemon *other = daemon_new(stores_config);
    daemon_forget(other);
    int head = (int)strcspn(whole, "\n");
    struct run run = exchange(other, "--import", written(plain_text("%.*s\n\n", head, whole)));
    expect_run(run, 65);
    assert_non_null(strstr(run.err, "line 1: it is the last one"));
    // Twice is once in the middle.
    run = exchange(other, "--import", written(plain_text("%s\n\n", whole)));
    expect_run(run, 65);
    assert_non_null(strstr(run.err, "it is empty; nothing was imported"));
}

static void an_export_that_was_cut_is_refused(void)
{
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    const char *whole = stores_exported(daemon);
    size_t length = strlen(whole);
    struct daemon *other = daemon_new(stores_config);
    daemon_forget(other);

    for (size_t cut = 1; cut < length; cut += length / 23) {
        struct run run = exchange(other, "--import", written(plain_text("%.*s", (int)cut, whole)));
        expect_run(run, 65);
        assert_non_null(strstr(run.err, "line "));
        assert_false(file_exists(other->store_path));
    }
}

static void nothing_takes_the_place_of_what_is_there(void)
{
    struct daemon *daemon = whole_store();
    const char *path = plain_text("%s/export", scenario_folder());
    expect_run(exchange(daemon, "--export", path), 0);
    const char *lines = file_read(path);
    struct stat status = {0};
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);

    // The file is there already; a store that has tasks, or had.
    struct run run = expect_run(exchange(daemon, "--export", path), 71);
    assert_non_null(strstr(run.err, "File exists"));
    assert_string_equal(file_read(path), lines);
    run = expect_run(exchange(daemon, "--import", path), 71);
    assert_non_null(strstr(run.err, "has or had tasks"));
    assert_string_equal(stores_exported(daemon), lines);

    // A daemon has it.
    daemon_start(daemon);
    run = expect_run(exchange(daemon, "--import", path), 73);
    assert_non_null(strstr(run.err, "process"));
    expect_run(exchange(daemon, "--export", plain_text("%s.2", path)), 73);
    assert_false(file_exists(plain_text("%s.2", path)));
    daemon_stop(daemon);

    // What is not there, and who gives no file.
    run = expect_run(exchange(daemon, "--import", plain_text("%s.3", path)), 71);
    assert_non_null(strstr(run.err, "No such file"));
    run = expect_run(exchange(daemon, "--export", NULL), 64);
    assert_non_null(strstr(run.err, "needs a value"));
    daemon_forget(daemon);
    run = expect_run(exchange(daemon, "--export", plain_text("%s.4", path)), 71);
    assert_non_null(strstr(run.err, "cannot find the store"));
    assert_false(file_exists(plain_text("%s.4", path)));
}

static void root_leaves_the_store_to_the_owner_of_its_folder(void)
{
    if (geteuid() != 0)
        harness_skip("not root");
    struct daemon *daemon = daemon_new(stores_config);
    stores_unpack(daemon, "v1");
    const char *file = written(stores_exported(daemon));
    struct daemon *other = daemon_new(stores_config);
    daemon_forget(other);
    assert_int_equal(chmod(scenario_folder(), 0755), 0);
    assert_int_equal(chown(other->folder, 12345, 12346), 0);
    struct run reachable =
        run_program((const char *[]){"setpriv", "--reuid=12345", "--clear-groups", "test", "-w",
                                     other->folder, NULL},
                    NULL, 10000);
    if (reachable.status != 0)
        harness_skip("another user can't reach the folder of the tests");

    expect_run(exchange(other, "--import", file), 0);

    struct stat status = {0};
    assert_int_equal(stat(other->store_path, &status), 0);
    assert_int_equal(status.st_uid, 12345);
    assert_int_equal(status.st_gid, 12346);
    assert_int_equal(status.st_mode & 0777, 0600);
}

HARNESS_MAIN(SCENARIO(an_export_of_a_released_store_goes_there_and_back),
             SCENARIO(follow_ups_traces_and_keys_go_there_and_back),
             SCENARIO(any_order_of_members_and_an_empty_store_will_do),
             SCENARIO(a_broken_line_is_named_and_nothing_is_imported),
             SCENARIO(an_empty_line_at_the_end_does_not_matter),
             SCENARIO(an_export_that_was_cut_is_refused),
             SCENARIO(nothing_takes_the_place_of_what_is_there),
             SCENARIO(root_leaves_the_store_to_the_owner_of_its_folder))
