/* See rig.h. */
#include "rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <linux/seccomp.h>

#include "filter.h"
#include "observe/sandbox.h"

static rn_duration read_kill_grace(void *arg)
{
    struct rig *rig = arg;

    return atomic_load(&rig->kill_grace);
}

static void init(struct rig *rig)
{
    const char *temporary = getenv("TMPDIR");

    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->folder, sizeof(rig->folder), "%s/rig-XXXXXX",
                   temporary != NULL ? temporary : "/tmp");
    assert_non_null(mkdtemp(rig->folder));
    (void)snprintf(rig->work_root, sizeof(rig->work_root), "%s/work", rig->folder);
    assert_int_equal(runner_open_work_root(rig->work_root), 0);
    (void)snprintf(rig->fifo, sizeof(rig->fifo), "%s/fifo", rig->folder);
    assert_int_equal(mkfifo(rig->fifo, 0600), 0);
    assert_int_equal(rn_context_with_cancel(NULL, &rig->ctx), 0);
    atomic_store(&rig->kill_grace, RN_HOUR);
    rig->slot =
        mmap(NULL, sizeof(*rig->slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(rig->slot, MAP_FAILED);

    (void)snprintf(rig->kind.name, sizeof(rig->kind.name), "tested");
    rig->kind.max_attempts = 3;
    rig->kind.timeout = RN_HOUR;
    rig->kind.max_output = 64 * 1024;
    rig->attempt = (struct attempt){
        .task = 42,
        .run = 1,
        .queue = "default",
        .kind = &rig->kind,
        .number = 1,
        .deadline_ms = 1764023146123,
        .slot = rig->slot,
        .work_root = rig->work_root,
        .kill_grace = read_kill_grace,
        .kill_grace_arg = rig,
    };
}

void rig_init_builtin(struct rig *rig, const char *name)
{
    init(rig);
    rig->kind.runs = CONFIG_RUNS_BUILTIN;
    (void)snprintf(rig->kind.builtin, sizeof(rig->kind.builtin), "%s", name);
}

void rig_init_command(struct rig *rig, const char *const *words)
{
    init(rig);
    rig->kind.runs = CONFIG_RUNS_COMMAND;
    rig->kind.stdin_from = CONFIG_STDIN_NONE;
    rig->kind.command = rig->words;
    for (; words[rig->kind.command_count] != NULL; rig->kind.command_count++) {
        assert_true(rig->kind.command_count < RIG_WORDS_MAX);
        rig->words[rig->kind.command_count] = strdup(words[rig->kind.command_count]);
    }
}

void rig_init_shell(struct rig *rig, const char *script)
{
    rig_init_command(rig, (const char *const[]){"/bin/sh", "-c", script, "sh", NULL});
}

static void forget_outcome(struct rig *rig)
{
    outcome_fini(&rig->outcome);
    json_decref(rig->exec);
    rig->exec = NULL;
}

void rig_fini(struct rig *rig)
{
    forget_outcome(rig);
    rn_context_unref(rig->ctx);
    for (size_t i = 0; i < rig->kind.command_count; i++)
        free(rig->words[i]);
    assert_int_equal(atomic_load(&rig->slot->pid), 0);
    (void)munmap(rig->slot, sizeof(*rig->slot));
    runner_close_work_root(rig->work_root);
    assert_int_equal(rmdir(rig->work_root), 0); // it is empty
    assert_int_equal(unlink(rig->fifo), 0);
    assert_int_equal(rmdir(rig->folder), 0);
}

void rig_run(struct rig *rig, const char *args)
{
    forget_outcome(rig);
    rig->attempt.args = args;
    rig->attempt.args_bytes = strlen(args);
    runner_run(rig->ctx, &rig->attempt, &rig->outcome);
    if (rig->outcome.exec != NULL)
        rig->exec = json_loads(rig->outcome.exec, 0, NULL);
}

struct watch {
    struct rig *rig;
    rig_ready_fn *ready_fn;
};

static void *watch_fifo(void *arg)
{
    struct watch *watch = arg;
    char line[256];

    FILE *fifo = fopen(watch->rig->fifo, "re"); // waits for the command to open it
    if (fifo == NULL)
        return NULL;
    if (fgets(line, sizeof(line), fifo) != NULL)
        watch->ready_fn(watch->rig, line);
    (void)fclose(fifo);
    return NULL;
}

void rig_run_until_ready(struct rig *rig, const char *args, rig_ready_fn *ready_fn)
{
    struct watch watch = {rig, ready_fn};
    char variable[PATH_MAX];
    char *env[] = {variable, NULL};
    pthread_t thread;

    (void)snprintf(variable, sizeof(variable), "FIFO=%s", rig->fifo);
    rig->kind.env = env;
    assert_int_equal(pthread_create(&thread, NULL, watch_fifo, &watch), 0);
    rig_run(rig, args);
    // Lets the thread go if the command has never opened the fifo.
    int fd = open(rig->fifo, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(pthread_join(thread, NULL), 0);
    rig->kind.env = NULL;
}

void rig_cancel(struct rig *rig, const char *line)
{
    (void)line;
    rn_context_cancel(rig->ctx, 0);
}

int rig_open_fifo(const struct rig *rig)
{
    int fd = open(rig->fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

void rig_read_to_the_end(int fd)
{
    char byte = 0;

    assert_int_equal(fcntl(fd, F_SETFL, 0), 0);
    while (read(fd, &byte, 1) > 0)
        continue;
    (void)close(fd);
}

void rig_assert_succeeded(const struct rig *rig, const char *result)
{
    if (!rig->outcome.succeeded)
        fail_msg("failed: %s: %s (exec %s)", rig->outcome.code, rig->outcome.message,
                 rig->outcome.exec);
    assert_string_equal(rig->outcome.code, "");
    assert_null(rig->outcome.message);
    if (result == NULL) {
        assert_null(rig->outcome.result);
        return;
    }
    assert_non_null(rig->outcome.result);
    assert_string_equal(rig->outcome.result, result);
    assert_int_equal(rig->outcome.result_bytes, strlen(result));
}

void rig_assert_failed(const struct rig *rig, const char *code)
{
    if (rig->outcome.succeeded)
        fail_msg("succeeded with %s in place of %s", rig->outcome.result, code);
    if (strcmp(rig->outcome.code, code) != 0)
        fail_msg("%s in place of %s: %s (exec %s)", rig->outcome.code, code, rig->outcome.message,
                 rig->outcome.exec);
    assert_non_null(rig->outcome.message);
    assert_null(rig->outcome.result);
}

void assert_contains(const char *text, const char *part)
{
    if (text == NULL || strstr(text, part) == NULL)
        fail_msg("'%s' does not contain '%s'", text != NULL ? text : "(null)", part);
}

struct restricted {
    const long *calls;
    int error;
    void (*fn)(struct rig *rig);
    struct rig *rig;
    bool forbidden;
};

static void *run_restricted(void *arg)
{
    struct restricted *restricted = arg;

    restricted->forbidden = filter_calls(
        restricted->calls, SECCOMP_RET_ERRNO | ((unsigned)restricted->error & SECCOMP_RET_DATA));
    if (restricted->forbidden)
        restricted->fn(restricted->rig);
    return NULL;
}

void rig_with_failing_calls(const long *calls, int error, void (*fn)(struct rig *rig),
                            struct rig *rig)
{
    struct restricted restricted = {.calls = calls, .error = error, .fn = fn, .rig = rig};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, run_restricted, &restricted), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(restricted.forbidden);
}

void rig_in_sandbox(const struct rig *rig, bool is_in)
{
    char proc[PATH_MAX];
    char self[PATH_MAX];
    char status[PATH_MAX];

    (void)snprintf(proc, sizeof(proc), "%s/proc", rig->folder);
    (void)snprintf(self, sizeof(self), "%s/proc/self", rig->folder);
    (void)snprintf(status, sizeof(status), "%s/proc/self/status", rig->folder);
    assert_int_equal(mkdir(proc, 0700), 0);
    assert_int_equal(mkdir(self, 0700), 0);
    FILE *file = fopen(status, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "NoNewPrivs:\t%d\n", is_in) > 0);
    assert_int_equal(fclose(file), 0);
    sandbox_look(rig->folder);
    assert_int_equal(unlink(status), 0);
    assert_int_equal(rmdir(self), 0);
    assert_int_equal(rmdir(proc), 0);
}
