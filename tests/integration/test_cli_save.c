/** \file
 * runnel backup and export: what is written is whole and sound or not there. What the daemon does
 * wrong here, a fake in its place does.
 */
#include "harness_cli.h"

#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "folder.h"

static const char config[] = "queue: { default: { workers = 4 }; };\n"
                             "kind: { echo: { builtin = 'echo' }; };\n";

static const char export_head[] =
    "{\"runnel_export\":1,\"store_id\":\"0123456789abcdef\",\"last_id\":2,\"queues\":1,\"tasks\":2,"
    "\"keys\":1}\n";
static const char export_rest[] =
    "{\"name\":\"default\"}\n{\"id\":1}\n{\"id\":2}\n{\"key\":\"k\"}\n";

/* A folder of its own for what is saved. */
static const char *new_folder(void)
{
    const char *folder = plain_text("%s/saved", scenario_folder());

    assert_int_equal(mkdir(folder, 0700), 0);
    return folder;
}

static char *bytes_of(const char *path, size_t *ret_count)
{
    struct stat status;
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &status), 0);
    char *bytes = keep(malloc((size_t)status.st_size));
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)status.st_size, file), status.st_size);
    (void)fclose(file);
    *ret_count = (size_t)status.st_size;
    return bytes;
}

static void fake_head(struct fake *fake, const char *type, size_t length)
{
    fake_send(fake,
              plain_text("HTTP/1.1 200 OK\r\nContent-Type: application/%s\r\nContent-Length: "
                         "%zu\r\n\r\n",
                         type, length),
              -1);
}

/* Whether a process has something in a file of the folder, be it with a name or without. */
static bool is_writing(pid_t pid, const char *folder)
{
    const char *descriptors = plain_text("/proc/%d/fd", (int)pid);
    DIR *stream = opendir(descriptors);
    bool is_found = false;

    for (const struct dirent *entry; stream != NULL && (entry = readdir(stream)) != NULL;) {
        const char *name = plain_text("%s/%s", descriptors, entry->d_name);
        char target[PATH_MAX];
        struct stat status;
        ssize_t length = readlink(name, target, sizeof(target) - 1);
        target[length < 0 ? 0 : length] = '\0';
        if (strncmp(target, folder, strlen(folder)) == 0 && stat(name, &status) == 0)
            is_found = is_found || status.st_size > 0;
    }
    if (stream != NULL)
        (void)closedir(stream);
    return is_found;
}

/* A sound backup's bytes. */
static char *sound_backup(struct daemon *daemon, size_t *ret_count)
{
    const char *path = plain_text("%s/sound.db", scenario_folder());

    expect_run(runnel(daemon, "backup", path), 0, NULL, "");
    return bytes_of(path, ret_count);
}

/* ---- backup ---- */

static void a_backup_is_a_store_from_which_a_daemon_starts(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *folder = new_folder();
    const char *path = plain_text("%s/b.db", folder);
    struct stat status;
    for (unsigned i = 1; i <= 3; i++)
        (void)submit(daemon, "{'kind':'echo','args':{'a':1}}");
    (void)await_end(daemon, 3);

    struct run run = runnel(daemon, "backup", path);

    assert_int_equal(run.status, 0);
    assert_string_equal(run.err, "");
    assert_true(contains(run.out, plain_text("%s: ", path)));
    assert_true(contains(run.out, " KiB, 3 tasks, 0 keys, checked, "));
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    assert_int_equal(folder_entries(folder), 1);
    struct run json = runnel(daemon, "backup", "--json", plain_text("%s/c.db", folder));
    assert_true(contains(json.out, "\"tasks\":3,\"keys\":0}\n"));
    daemon_stop(daemon);

    struct daemon *other = daemon_new(config);
    assert_int_equal(rename(path, other->store_path), 0);
    daemon_start(other);
    expect_text(task(other, 3), "state", "succeeded");
    daemon_stop(other);
}

static void a_backup_replaces_nothing(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *folder = new_folder();
    const char *path = plain_text("%s/b.db", folder);
    const char *is_there = plain_text("runnel: %s is there already, and is not replaced\n", path);
    size_t count = 0;
    char *bytes = sound_backup(daemon, &count);

    file_write(path, "mine");
    expect_run(runnel(daemon, "backup", path), 2, "", is_there);
    assert_string_equal(file_read(path), "mine");
    expect_run(runnel(daemon, "export", path), 2, "", is_there);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/nonexistent", path), 0);
    expect_run(runnel(daemon, "backup", path), 2, "", is_there);
    assert_int_equal(unlink(path), 0);

    // It comes while the copy is under way.
    struct fake *fake = fake_new();
    struct background *backup = runnel_start(daemon, "--url", fake->url, "backup", path);
    assert_memory_equal(fake_take(fake), "POST /v1/backup HTTP/1.1\r\n", 26);
    file_write(path, "mine");
    fake_head(fake, "vnd.sqlite3", count);
    fake_send(fake, bytes, (int64_t)count);
    assert_int_equal(background_end(backup, 30000), 2);
    assert_string_equal(background_err(backup), is_there);
    assert_string_equal(file_read(path), "mine");
    assert_int_equal(folder_entries(folder), 1);

    struct run standard = runnel(daemon, "backup", "-");
    assert_int_equal(standard.status, 2);
    assert_true(contains(standard.err, "a backup is checked when it is there"));
    expect_run(runnel(daemon, "backup", "/nonexistent/b.db"), 2, "",
               "runnel: /nonexistent/b.db can't be made (No such file or directory)\n");
    daemon_stop(daemon);
}

/* Ends as said, and nothing is left. */
static void expect_nothing(struct background *background, const char *folder, int status,
                           const char *err)
{
    int ended = background_end(background, 30000);

    if (ended != status || !contains(background_err(background), err) ||
        folder_entries(folder) != 0 || background_out(background)[0] != '\0')
        fail_msg("%d, %u files:\n%s%s", ended, folder_entries(folder), background_out(background),
                 background_err(background));
}

static void a_backup_that_is_not_whole_is_not_kept(void)
{
    struct daemon *daemon = daemon_started(config);
    struct fake *fake = fake_new();
    const char *folder = new_folder();
    const char *path = plain_text("%s/b.db", folder);
    size_t count = 0;
    char *bytes = sound_backup(daemon, &count);
    daemon_stop(daemon);

    static const int signals[] = {SIGINT, SIGTERM, SIGHUP, 0};
    for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        struct background *backup = runnel_start(daemon, "--url", fake->url, "backup", path);
        (void)fake_take(fake);
        fake_head(fake, "vnd.sqlite3", count);
        fake_send(fake, bytes, (int64_t)count / 2);
        eventually(is_writing(backup->pid, folder), 20000);
        if (signals[i] == 0)
            fake_cut(fake); // the daemon has gone
        else
            assert_int_equal(kill(backup->pid, signals[i]), 0);
        if (signals[i] == 0)
            expect_nothing(backup, folder, 5, "; nothing is kept\n");
        else
            expect_nothing(backup, folder, 130, "runnel: interrupted\n");
        fake_cut(fake);
    }

    struct background *dropped = runnel_start(daemon, "--url", fake->url, "backup", path);
    (void)fake_take(fake);
    fake_cut(fake);
    expect_nothing(dropped, folder, 5, "; nothing is kept\n");

    struct background *refused = runnel_start(daemon, "--url", fake->url, "backup", path);
    (void)fake_take(fake);
    fake_answer(fake, 503, "{\"code\":\"busy\",\"detail\":\"another one is made\"}");
    expect_nothing(refused, folder, 6, "runnel: another one is made\n");

    struct background *endless = runnel_start(daemon, "--url", fake->url, "backup", path);
    (void)fake_take(fake);
    fake_send(fake, "HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n", -1);
    fake_send(fake, bytes, (int64_t)count);
    fake_cut(fake);
    expect_nothing(endless, folder, 70, "bytes came of -1");
}

static void what_is_killed_leaves_nothing_either(void)
{
    static const char *const commands[] = {"backup", "export"};
    struct daemon *daemon = daemon_new(config);
    struct fake *fake = fake_new();
    const char *folder = new_folder();
    const char *path = plain_text("%s/b", folder);

    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct background *save = runnel_start(daemon, "--url", fake->url, commands[i], path);
        (void)fake_take(fake);
        fake_head(fake, "x-ndjson", 1000);
        fake_send(fake, export_head, -1);
        eventually(is_writing(save->pid, folder), 20000);
        if (folder_entries(folder) > 0)
            harness_skip("the file system has no files without a name");
        assert_int_equal(kill(save->pid, SIGKILL), 0);
        expect_nothing(save, folder, -SIGKILL, "");
        fake_cut(fake);
    }
}

static void a_backup_that_is_not_sound_is_not_kept(void)
{
    struct daemon *daemon = daemon_started(config);
    struct fake *fake = fake_new();
    const char *folder = new_folder();
    const char *path = plain_text("%s/b.db", folder);
    size_t count = 0;
    (void)submit(daemon, "{'kind':'echo'}");
    (void)await_end(daemon, 1);
    char *bytes = sound_backup(daemon, &count);
    daemon_stop(daemon);

    struct background *none = runnel_start(daemon, "--url", fake->url, "backup", path);
    (void)fake_take(fake);
    fake_head(fake, "vnd.sqlite3", 5);
    fake_send(fake, "hello", -1);
    expect_nothing(none, folder, 70, "runnel: the copy can't be checked, and is not kept: ");
    fake_cut(fake);

    // All pages but the first two; what SQLite finds then is its own affair.
    memset(bytes + 8192, 0x5a, count - 8192);
    struct background *damaged = runnel_start(daemon, "--url", fake->url, "backup", path);
    (void)fake_take(fake);
    fake_head(fake, "vnd.sqlite3", count);
    fake_send(fake, bytes, (int64_t)count);
    expect_nothing(damaged, folder, 70, "not kept");
}

static void what_cannot_be_written_is_said_and_removed(void)
{
    if (is_sanitized())
        harness_skip("a sanitizer writes files of its own");
    struct daemon *daemon = daemon_started(config);
    const char *folder = new_folder();

    struct run run = runnel_shell(
        daemon, plain_text("ulimit -f 4; trap '' XFSZ; exec $RUNNEL backup '%s/b.db'", folder));

    assert_int_equal(run.status, 74);
    assert_string_equal(run.err,
                        plain_text("runnel: %s/b.db can't be written (File too large)\n", folder));
    assert_int_equal(folder_entries(folder), 0);
    // Nor does it stay where nobody reads why.
    expect_run(runnel_shell(daemon, plain_text("exec 7> >(:); wait $!; ulimit -f 4; trap '' XFSZ; "
                                               "$RUNNEL backup '%s/b.db' 2>&7; echo $?",
                                               folder)),
               0, "141\n", "");
    assert_int_equal(folder_entries(folder), 0);
    daemon_stop(daemon);
}

/* ---- export ---- */

static void send_export(struct fake *fake, const char *head, const char *rest)
{
    fake_head(fake, "x-ndjson", strlen(head) + strlen(rest));
    fake_send(fake, head, -1);
    fake_send(fake, rest, -1);
}

static void an_export_has_all_the_lines_that_its_head_names(void)
{
    struct daemon *daemon = daemon_new(config); // for its folder; it never runs
    struct fake *fake = fake_new();
    const char *folder = new_folder();
    const char *path = plain_text("%s/e.ndjson", folder);

    struct background *standard = runnel_start(daemon, "--url", fake->url, "export", "-");
    assert_memory_equal(fake_take(fake), "POST /v1/export HTTP/1.1\r\n", 26);
    send_export(fake, export_head, export_rest);
    assert_int_equal(background_end(standard, 20000), 0);
    assert_string_equal(background_out(standard), plain_text("%s%s", export_head, export_rest));
    assert_true(contains(background_err(standard), " B, 1 queue, 2 tasks, 1 key, "));
    fake_cut(fake);

    static const struct {
        const char *head, *rest, *err;
    } rows[] = {{export_head, "{}\n{}\n{}\n", "runnel: 4 lines came of 5\n"},
                {export_head, "{}\n{}\n{}\n{}", "runnel: 4 lines came of 5\n"},
                {"{\"a\":1}\n", "", "what came is no export"},
                {"hello\n", "", "what came is no export"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct background *wrong = runnel_start(daemon, "--url", fake->url, "export", path);
        (void)fake_take(fake);
        send_export(fake, rows[i].head, rows[i].rest);
        expect_nothing(wrong, folder, 70, rows[i].err);
        fake_cut(fake);
    }

    struct background *cut = runnel_start(daemon, "--url", fake->url, "export", path);
    (void)fake_take(fake);
    fake_head(fake, "x-ndjson", 1000);
    fake_send(fake, export_head, -1);
    eventually(is_writing(cut->pid, folder), 20000);
    fake_cut(fake);
    expect_nothing(cut, folder, 5, "; nothing is kept\n");

    struct background *kept = runnel_start(daemon, "--url", fake->url, "export", path);
    (void)fake_take(fake);
    send_export(fake, export_head, export_rest);
    assert_int_equal(background_end(kept, 20000), 0);
    assert_true(contains(background_out(kept), "e.ndjson: "));
    assert_string_equal(file_read(path), plain_text("%s%s", export_head, export_rest));
    assert_int_equal(folder_entries(folder), 1);
}

/* ---- with the daemon ---- */

static void what_is_exported_is_imported_once(void)
{
    struct daemon *daemon = daemon_started(config);
    const char *folder = new_folder();
    const char *path = plain_text("%s/e.ndjson", folder);
    for (unsigned i = 1; i <= 3; i++)
        (void)submit(daemon, "{'kind':'echo','args':[1.50]}");
    for (uint64_t id = 1; id <= 3; id++)
        (void)await_end(daemon, id);

    struct run exported = runnel(daemon, "export", path);
    assert_int_equal(exported.status, 0);
    assert_true(contains(exported.out, ", 1 queue, 3 tasks, 0 keys, "));
    assert_int_equal(folder_entries(folder), 1);

    struct daemon *other = daemon_started(config);
    expect_run(runnel(other, "import", "-n", path), 0,
               "would import 1 queue, 3 tasks, 0 keys, ids 1 to 3, the same as in the export\n",
               "");
    expect_run(runnel(other, "import", "--key", "k", path), 0,
               "1 queue, 3 tasks, 0 keys imported, ids 1 to 3, the same as in the export\n", "");
    expect_run(runnel(other, "import", "--key", "k", path), 0,
               "1 queue, 3 tasks, 0 keys were imported before, ids 1 to 3, the same as in the "
               "export\n",
               "");
    expect_run(runnel(other, "result", "2"), 0, "[1.50]\n", "");
    expect_run(runnel_shell(other, plain_text("$RUNNEL import --key l - < '%s'", path)), 0,
               "1 queue, 3 tasks, 0 keys imported, ids 4 to 6, other ones than in the export\n",
               "");
    expect_run(runnel(other, "result", "5"), 0, "[1.50]\n", "");

    file_write(path, plain_text("%snonsense\n", export_head));
    struct run broken = runnel(other, "import", "--key", "m", path);
    assert_int_equal(broken.status, 6);
    assert_true(contains(broken.err, ": line 2: it is no JSON; nothing was imported\n"));
    file_write(path, export_head);
    struct run cut = runnel(other, "import", "--key", "m", path);
    assert_int_equal(cut.status, 6);
    assert_true(contains(cut.err, ": line 1: it is the last one, and 0 of the 1 queues that the "
                                  "head names are there: the export is not whole"));
    expect_run(runnel_shell(other, "$RUNNEL import - --key m <&-"), 2, "",
               "runnel: standard input can't be read (Bad file descriptor)\n");
    daemon_stop(other);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(a_backup_is_a_store_from_which_a_daemon_starts),
             SCENARIO(a_backup_replaces_nothing), SCENARIO(a_backup_that_is_not_whole_is_not_kept),
             SCENARIO(what_is_killed_leaves_nothing_either),
             SCENARIO(a_backup_that_is_not_sound_is_not_kept),
             SCENARIO(what_cannot_be_written_is_said_and_removed),
             SCENARIO(an_export_has_all_the_lines_that_its_head_names),
             SCENARIO(what_is_exported_is_imported_once))
