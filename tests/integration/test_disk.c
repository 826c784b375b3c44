/** \file
 * Disks that fail and disks that are full. A sync that fails (strace makes it) ends the daemon with
 * 74 and without an answer; a full one (a tmpfs of 32 MiB in a mount namespace of our own) is
 * refused with 507 until there is room again.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "imports.h"
#include "stores.h"

static const char config[] =
    "queue: { default: { workers = 2 }; stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; };\n";

/* ---- a sync that fails ---- */

enum { SUBMITS = 6, SYNCS_MAX = 200 };

/* What the script was told before the daemon ended. */
struct told {
    uint64_t stored[SUBMITS]; // 201
    unsigned stored_count;
    uint64_t ended[SUBMITS]; // shown as succeeded
    unsigned ended_count;
};

/* Submits, waits for ends, and leaves it idle now and then so that it checkpoints. Goes on until it
 * is over or there is no answer. */
static void run_script(struct daemon *daemon, struct told *told)
{
    for (unsigned i = 0; i < SUBMITS; i++) {
        struct reply *reply =
            call(daemon, "POST", "/v1/tasks", text("{'kind':'noop','args':%u}", i));

        if (reply->status == 0)
            return;
        expect_status(reply, 201);
        uint64_t id = (uint64_t)number_at(reply->json, "id");
        told->stored[told->stored_count++] = id;
        reply = get(daemon, plain_text("/v1/tasks/%llu?wait=30s", (unsigned long long)id));
        if (reply->status == 0)
            return;
        expect_text(reply->json, "state", "succeeded");
        told->ended[told->ended_count++] = id;
        if (i % 3 == 2)
            (void)daemon_ends(daemon, 60); // it checkpoints after 20 ms of quiet
    }
}

/* After the failure, without strace: all that was acknowledged is there, and runs to its end. */
static void check_told(struct daemon *daemon, const struct told *told)
{
    for (unsigned i = 0; i < told->ended_count; i++)
        expect_text(task(daemon, told->ended[i]), "state", "succeeded");
    for (unsigned i = 0; i < told->stored_count; i++)
        expect_end(daemon, told->stored[i], "succeeded", NULL);
}

static bool was_injected(const char *trace)
{
    return file_exists(trace) && strstr(file_read(trace), "INJECTED") != NULL;
}

/* One run with the n-th sync of each thread on the database or its WAL failing. false: there is no
 * n-th. */
static bool run_with_failing_sync(struct daemon *daemon, unsigned nth, const char *trace)
{
    const char *inject = plain_text("inject=fdatasync,fsync:error=EIO:when=%u", nth);
    const char *wal = plain_text("%s-wal", daemon->store_path);
    const char *strace[] = {"strace", "-D",   "-f", "-q",
                            "-o",     trace,  "-e", "trace=fdatasync,fsync",
                            "-e",     inject, "-P", daemon->store_path,
                            "-P",     wal,    NULL};
    struct told told = {.stored_count = 0};
    int64_t began = now_ms();

    (void)unlink(trace);
    daemon->prefix = strace;
    // Leaks can't be looked for under strace.
    daemon->environment = (const char *[]){"ASAN_OPTIONS=detect_leaks=0", NULL};
    daemon_launch(daemon);
    if (daemon_await_ready(daemon)) {
        run_script(daemon, &told);
        if (!daemon_ends(daemon, 0))
            daemon_signal(daemon, SIGTERM); // the last checkpoint is under test too
    }
    int status = daemon_await_end(daemon, 30000);
    eventually(file_exists(trace) && strstr(file_read(trace), "exited with") != NULL, 20000);
    bool injected = was_injected(trace);
    if (status != (injected ? 74 : 0))
        fail_msg("sync %u: status %d, injected %d:\n%s", nth, status, injected, file_read(trace));
    if (injected)
        assert_in_range(now_ms() - began, 0, 20000 * slow());

    daemon->prefix = NULL;
    daemon->environment = NULL;
    daemon_start(daemon);
    check_told(daemon, &told);
    daemon_stop(daemon);
    return injected;
}

static void need_strace(void)
{
    struct run run =
        run_program((const char *[]){"strace", "-qq", "-e", "inject=fdatasync:error=EIO", "-o",
                                     "/dev/null", "true", NULL},
                    NULL, 20000);

    if (run.status != 0)
        harness_skip("strace can't trace here");
}

static void the_nth_sync_fails_from_an_empty_store_on(void)
{
    need_strace();
    unsigned nth = 1;
    for (; nth < SYNCS_MAX; nth++) {
        struct daemon *daemon = daemon_new(config);
        bool injected =
            run_with_failing_sync(daemon, nth, plain_text("%s/trace", scenario_folder()));

        if (!injected)
            break;
    }
    print_message("%u syncs failed, one a run\n", nth - 1);
    assert_in_range(nth, 4, SYNCS_MAX - 1);
}

static void the_nth_sync_fails_on_a_store_in_use(void)
{
    need_strace();
    struct daemon *daemon = daemon_started(config);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);

    unsigned nth = 1;
    while (nth < SYNCS_MAX &&
           run_with_failing_sync(daemon, nth, plain_text("%s/trace", scenario_folder())))
        nth++;
    print_message("%u syncs failed, one a run\n", nth - 1);
    assert_in_range(nth, 4, SYNCS_MAX - 1);
}

static void a_failed_sync_leaves_every_open_request_without_an_answer(void)
{
    enum { OPEN = 8 };
    need_strace();
    struct daemon *daemon = daemon_new(config);
    const char *trace = plain_text("%s/trace", scenario_folder());
    const char *wal = plain_text("%s-wal", daemon->store_path);
    // From the 30th on, so that the start is over.
    const char *strace[] = {"strace", "-D",
                            "-f",     "-q",
                            "-o",     trace,
                            "-e",     "trace=fdatasync,fsync",
                            "-e",     "inject=fdatasync,fsync:error=EIO:when=30+",
                            "-P",     daemon->store_path,
                            "-P",     wal,
                            NULL};
    daemon->prefix = strace;
    daemon->environment = (const char *[]){"ASAN_OPTIONS=detect_leaks=0", NULL};
    daemon_start(daemon);
    struct wire *wires[OPEN];
    const char *body = text("{'kind':'noop','queue':'stopped'}");
    unsigned answered = 0, stored = 0;

    for (unsigned i = 0; i < OPEN; i++)
        wires[i] = wire_open(daemon->port);
    for (unsigned round = 0; round < 200 && !daemon_ends(daemon, 0); round++) {
        for (unsigned i = 0; i < OPEN; i++)
            wire_sendf(wires[i],
                       "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
                       "application/json\r\n"
                       "Content-Length: %zu\r\n\r\n%s",
                       daemon->port, strlen(body), body);
        for (unsigned i = 0; i < OPEN; i++) {
            struct reply *reply = wire_reply(wires[i], 10000);

            assert_true(reply->status == 201 || reply->status == 0);
            answered += reply->status == 201;
        }
    }
    assert_int_equal(daemon_await_end(daemon, 10000), 74);
    assert_true(daemon_log_count(daemon, "event=store_io_error") >= 1);

    daemon->prefix = NULL;
    daemon->environment = NULL;
    daemon_start(daemon);
    stored = count_tasks(daemon, "");
    assert_in_range(stored, answered, answered + OPEN);
}

/* ---- a full disk ---- */

/* A tmpfs of so many MiB, for this program and its children. */
static const char *mount_tmpfs(unsigned mib)
{
    static bool is_own;
    const char *path = plain_text("%s/disk", scenario_folder());
    uid_t uid = geteuid();

    assert_int_equal(mkdir(path, 0700), 0);
    if (!is_own) {
        if (unshare(uid == 0 ? CLONE_NEWNS : CLONE_NEWNS | CLONE_NEWUSER) < 0)
            harness_skip(
                "no mount namespace of our own can be had: run as root, or allow user namespaces");
        is_own = true;
        if (uid != 0) {
            file_write("/proc/self/setgroups", "deny");
            file_write("/proc/self/uid_map", plain_text("0 %u 1\n", uid));
        }
        if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            harness_skip("mounts can't be made private here");
    }
    if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, plain_text("size=%um", mib)) < 0)
        harness_skip("a tmpfs can't be mounted here");
    return path;
}

static void unmount(void *path)
{
    (void)umount2(path, MNT_DETACH);
    free(path);
}

/* A daemon whose store lies on a disk of so many MiB. */
static struct daemon *daemon_on_disk(unsigned mib)
{
    const char *disk = mount_tmpfs(mib);
    char *for_unmount = strdup(disk);

    assert_non_null(for_unmount);
    keep_with(unmount, for_unmount);
    struct daemon *daemon = daemon_new(config);
    daemon->arguments = keep(calloc(3, sizeof(char *)));
    ((const char **)(uintptr_t)daemon->arguments)[0] = "-o";
    ((const char **)(uintptr_t)daemon->arguments)[1] = plain_text("store=%s/runnel.db", disk);
    daemon->store_path = plain_text("%s/runnel.db", disk);
    return daemon;
}

static const char *filler_of(const struct daemon *daemon)
{
    return plain_text("%.*s/filler", (int)(strrchr(daemon->store_path, '/') - daemon->store_path),
                      daemon->store_path);
}

/* One of 32 MiB, beside a filler of so many. */
static struct daemon *daemon_on_small_disk(const char **ret_filler, size_t filler_mib)
{
    struct daemon *daemon = daemon_on_disk(32);

    *ret_filler = filler_of(daemon);
    file_write(*ret_filler, repeated('f', filler_mib << 20));
    daemon_start(daemon);
    return daemon;
}

static size_t free_kib(const char *path)
{
    struct statvfs found = {0};

    assert_int_equal(statvfs(path, &found), 0);
    return (size_t)(found.f_bavail * found.f_frsize >> 10);
}

/* Fills the disk up to what is to be free. */
static void leave_free(const struct daemon *daemon, size_t kib)
{
    const char *filler = filler_of(daemon);

    (void)unlink(filler);
    size_t found = free_kib(daemon->store_path);
    assert_true(found > kib);
    file_write(filler, repeated('f', (found - kib) << 10));
}

/* Until 507: how many were stored. */
static unsigned fill(struct daemon *daemon, size_t bytes)
{
    const char *body = text("{'kind':'noop','queue':'stopped','args':'%s'}", repeated('a', bytes));

    for (unsigned stored = 0; stored < 20000; stored++) {
        struct reply *reply = call(daemon, "POST", "/v1/tasks", body);

        if (reply->status == 201)
            continue;
        expect_problem(reply, 507, "store-full");
        assert_non_null(reply_header(reply, "Retry-After"));
        return stored;
    }
    fail_msg("the disk does not become full");
    return 0;
}

static void a_full_disk_refuses_new_tasks_and_nothing_else(void)
{
    const char *filler = NULL;
    struct daemon *daemon = daemon_on_small_disk(&filler, 4);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'3s'}}");
    uint64_t waiting = submit(daemon, "{'kind':'noop','queue':'stopped'}");
    uint64_t cancelled = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    await_state(daemon, running, "running");
    await_state(daemon, cancelled, "running");

    unsigned stored = fill(daemon, 100000);

    assert_true(daemon_logs(daemon, "event=disk_full_begin", 1000));
    expect_problem(call(daemon, "POST", "/v1/tasks", text("[{'kind':'noop'},{'kind':'noop'}]")),
                   507, "store-full");
    expect_status(get(daemon, "/v1/tasks?limit=1000&state=queued"), 200);
    expect_status(get(daemon, "/v1/stats"), 200);
    expect_status(get(daemon, "/readyz"), 200);
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)waiting), NULL),
                  200);
    expect_status(call(daemon, "POST",
                       plain_text("/v1/tasks/%llu/cancel", (unsigned long long)cancelled), NULL),
                  202);
    expect_end(daemon, cancelled, "cancelled", "cancelled");
    expect_end(daemon, running, "succeeded", NULL);
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), stored + 1);

    assert_int_equal(unlink(filler), 0);
    int64_t began = now_ms();
    struct reply *reply = NULL;
    do {
        reply = call(daemon, "POST", "/v1/tasks", text("{'kind':'noop','queue':'stopped'}"));
        pass_ms(20);
    } while (reply->status == 507 && now_ms() - began < 10000 * slow());
    expect_status(reply, 201);
    assert_in_range(now_ms() - began, 0, 2000 * slow());
    assert_int_equal(daemon_log_count(daemon, "event=disk_full_begin"), 1);
    assert_int_equal(daemon_log_count(daemon, "event=disk_full_end"), 1);
    expect_end(daemon, submit(daemon, "{'kind':'noop'}"), "succeeded", NULL);
    daemon_stop(daemon);
    daemon_start(daemon);
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), stored + 2);
    expect_text(task(daemon, running), "state", "succeeded");
}

static void a_full_disk_lets_the_daemon_stop_and_start(void)
{
    const char *filler = NULL;
    struct daemon *daemon = daemon_on_small_disk(&filler, 4);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    uint64_t running = submit(daemon, "{'kind':'sleep','args':{'duration':'2s'}}");
    await_state(daemon, running, "running");
    unsigned stored = fill(daemon, 50000);

    daemon_stop(daemon);

    daemon_start(daemon);
    expect_text(task(daemon, running), "state", "succeeded");
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), stored);
    daemon_kill(daemon);
    daemon_start(daemon);
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), stored);
    assert_int_equal(unlink(filler), 0);
    eventually(
        call(daemon, "POST", "/v1/tasks", text("{'kind':'noop','queue':'stopped'}"))->status == 201,
        10000);
}

static void small_tasks_fill_it_to_the_last_and_lose_nothing(void)
{
    const char *filler = NULL;
    struct daemon *daemon = daemon_on_small_disk(&filler, 16);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    unsigned stored = fill(daemon, 900000) + fill(daemon, 5000);

    daemon_kill(daemon);
    daemon_start(daemon);

    assert_int_equal(count_tasks(daemon, ""), stored);
}

static void a_backup_without_room_is_refused_and_takes_none(void)
{
    const char *filler = NULL;
    struct daemon *daemon = daemon_on_small_disk(&filler, 8);
    const char *body = text("{'kind':'noop','queue':'stopped','args':'%s'}", repeated('a', 100000));
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    (void)submit_many(daemon, 20, body);

    struct reply *reply =
        expect_problem(call(daemon, "POST", "/v1/backup", NULL), 507, "store-full");

    assert_non_null(strstr(text_at(reply->json, "detail"), "MiB are free"));
    assert_int_equal(daemon_log_count(daemon, "event=disk_full"), 0);
    (void)submit_many(daemon, 2, body);
    assert_int_equal(unlink(filler), 0);
    expect_status(call(daemon, "POST", "/v1/backup", NULL), 200);
    daemon_stop(daemon);
}

/* ---- exports and imports ---- */

/* A body of which nobody knows the length, and tasks that come between its pieces. */
struct pieces {
    struct client *client;
    const char *lines;
    size_t length, sent;
    unsigned stored, refused;
};

static size_t next_piece(char *buffer, size_t size, size_t count, void *arg)
{
    struct pieces *pieces = arg;
    size_t left = pieces->length - pieces->sent;
    size_t length = left < size * count ? left : size * count;
    struct reply *reply =
        client_call(pieces->client, &(struct request){.method = "POST",
                                                      .path = "/v1/tasks",
                                                      .body = "{\"kind\":\"noop\",\"args\":1}"});

    pieces->stored += reply->status == 201;
    pieces->refused += reply->status != 201;
    reply_free(reply);
    memcpy(buffer, pieces->lines + pieces->sent, length);
    pieces->sent += length;
    return length;
}

static void an_import_and_an_export_without_room_are_refused_and_tasks_are_taken(void)
{
    struct daemon *daemon = daemon_on_disk(96);
    const char *lines = imports_waiting("stopped", "noop", 60, 100000);
    struct pieces pieces = {.lines = lines, .length = strlen(lines)};
    const char *body = text("{'kind':'noop','queue':'stopped','args':'%s'}", repeated('a', 100000));
    daemon_start(daemon);
    pieces.client = client_new(daemon->port);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    (void)submit_many(daemon, 40, body);

    // An export: no room for the copy, then none for its lines beside it. An import: its length
    // tells; then it does not, and the room ends with the body under way.
    leave_free(daemon, 17 << 10);
    expect_problem(call(daemon, "POST", "/v1/export", NULL), 507, "store-full");
    stores_expect_nothing_beside(daemon);
    (void)submit_many(daemon, 2, body);
    leave_free(daemon, 23 << 10);
    expect_problem(call(daemon, "POST", "/v1/export", NULL), 507, "store-full");
    assert_true(daemon_logs(daemon, "event=export_failed", 1000));
    stores_expect_nothing_beside(daemon);
    leave_free(daemon, 20 << 10);
    expect_problem(imports_send(daemon, "", NULL, lines), 507, "store-full");
    stores_expect_nothing_beside(daemon);
    struct reply *reply =
        call_request(daemon, &(struct request){.method = "POST",
                                               .path = "/v1/import",
                                               .content_type = "application/x-ndjson",
                                               .body_fn = next_piece,
                                               .body_arg = &pieces,
                                               .is_fresh = true,
                                               .within_ms = 60000});
    expect_problem(reply, 507, "store-full");
    assert_true(pieces.sent > 1 << 20 && pieces.sent < pieces.length);
    assert_true(pieces.stored > 10);
    assert_int_equal(pieces.refused, 0);
    stores_expect_nothing_beside(daemon);
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), 42);
    assert_int_equal(daemon_log_count(daemon, "event=disk_full"), 0);
    (void)submit_many(daemon, 2, body);

    assert_int_equal(unlink(filler_of(daemon)), 0);
    expect_status(imports_send(daemon, "", NULL, lines), 200);
    expect_status(call(daemon, "POST", "/v1/export", NULL), 200);
    stores_expect_nothing_beside(daemon);
    assert_int_equal(count_tasks(daemon, "queue=stopped&"), 42 + 2 + 60);
    assert_int_equal(daemon_log_count(daemon, "event=disk_full"), 0);
    client_free(pieces.client);
    daemon_stop(daemon);
}

static void an_import_that_is_taken_has_the_room_of_its_body_back(void)
{
    struct daemon *daemon = daemon_on_disk(96);
    const char *lines =
        imports_waiting("stopped", "noop", 100, 100000); // 10 MB, and as much again as a store
    daemon_start(daemon);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);

    // While both are there 16 MiB stay free; the store and its log need 20 MB.
    leave_free(daemon, 37 << 10);
    expect_status(imports_send(daemon, "", NULL, lines), 200);

    assert_int_equal(count_tasks(daemon, ""), 100);
    assert_int_equal(daemon_log_count(daemon, "event=disk_full"), 0);
    stores_expect_nothing_beside(daemon);
    daemon_stop(daemon);
}

HARNESS_MAIN(SCENARIO(the_nth_sync_fails_from_an_empty_store_on),
             SCENARIO(the_nth_sync_fails_on_a_store_in_use),
             SCENARIO(a_failed_sync_leaves_every_open_request_without_an_answer),
             SCENARIO(a_full_disk_refuses_new_tasks_and_nothing_else),
             SCENARIO(a_full_disk_lets_the_daemon_stop_and_start),
             SCENARIO(small_tasks_fill_it_to_the_last_and_lose_nothing),
             SCENARIO(a_backup_without_room_is_refused_and_takes_none),
             SCENARIO(an_import_and_an_export_without_room_are_refused_and_tasks_are_taken),
             SCENARIO(an_import_that_is_taken_has_the_room_of_its_body_back))
