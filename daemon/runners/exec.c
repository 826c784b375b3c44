/*
 * The runner of commands. Everything belongs to the worker's thread that runs the attempt.
 *
 * What is told of a run:
 *   - Text (the result of output = "text", stdout and stderr in exec, messages) is always valid
 * UTF-8 without NUL: U+FFFD stands in place of what is not. A result may so become three times as
 * long as the output was.
 *   - A JSON result is the program's own text less white space between tokens, so that numbers stay
 * as they were written.
 *   - max_rss_kib is null unless it is clearly above the daemon's own peak: Linux counts the memory
 * that the child shared with the daemon before it executed the program, so below that the figure
 * would be the daemon's.
 */
#include "runners/exec.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config/units.h"
#include "observe/log.h"
#include "observe/sandbox.h"
#include "runners/output.h"
#include "runners/process.h"
#include "runners/template.h"
#include "runners/workdir.h"
#include "store/jsontext.h"

enum {
    EXIT_RETRY = 75,        // EX_TEMPFAIL
    EXIT_NOT_ALLOWED = 126, // shells: found, but can't be executed
    EXIT_NOT_FOUND = 127,
    RESULT_DEPTH_MAX = 512, // as max_json_depth may be: what the store's check and an import read
};

static const rn_duration remove_limit = 5 * RN_SECOND;
static const rn_duration remove_limit_stopped = 500 * RN_MILLISECOND; // somebody waits, in a drain

/* Everything between the attempt and its process. */
struct command {
    struct args args;
    struct args_value input; // of stdin = "{name}"
    struct workdir *workdir; // NULL: the kind has a directory
    const char *directory;
    char **argv;
    char **environment; // NULL-terminated, with room for all that can be set
    bool out_of_memory; // something of the environment is missing
};

/* ---- The environment. ---- */

/* Takes a new "NAME=value"; one of that name that is there already is replaced. */
static void set_entry(struct command *command, char *entry)
{
    char **at = command->environment;

    if (entry == NULL) {
        command->out_of_memory = true;
        return;
    }
    size_t name_bytes = strcspn(entry, "=") + 1;
    while (*at != NULL && strncmp(*at, entry, name_bytes) != 0)
        at++;
    free(*at);
    *at = entry;
}

static RN_PRINTF(2, 3) void set_variable(struct command *command, const char *format, ...)
{
    va_list arguments;
    char *entry = NULL;

    va_start(arguments, format);
    int r = vasprintf(&entry, format, arguments);
    va_end(arguments);
    set_entry(command, r < 0 ? NULL : entry);
}

static size_t count_words(char *const *words)
{
    size_t count = 0;

    while (words != NULL && words[count] != NULL)
        count++;
    return count;
}

static int make_environment(struct command *command, const struct attempt *attempt)
{
    const struct config_kind *kind = attempt->kind;
    char deadline[UNITS_INSTANT_BYTES];
    size_t pass_count = count_words(kind->pass_env);
    size_t env_count = count_words(kind->env);

    command->environment = calloc(9 + pass_count + env_count + 1, sizeof(char *));
    if (command->environment == NULL)
        return -ENOMEM;
    set_variable(command, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    set_variable(command, "HOME=%s", command->directory);
    set_variable(command, "LANG=C.UTF-8");
    set_variable(command, "RUNNEL_TASK_ID=%llu", (unsigned long long)attempt->task);
    set_variable(command, "RUNNEL_KIND=%s", kind->name);
    set_variable(command, "RUNNEL_QUEUE=%s", attempt->queue);
    set_variable(command, "RUNNEL_ATTEMPT=%u", attempt->number);
    (void)units_instant_text(attempt->deadline_ms, deadline);
    set_variable(command, "RUNNEL_DEADLINE=%s", deadline);
    // Before the configuration's own, which win.
    if (attempt->traceparent != NULL && attempt->traceparent[0] != '\0')
        set_variable(command, "TRACEPARENT=%s", attempt->traceparent);
    for (size_t i = 0; i < pass_count; i++) {
        // The daemon never changes its environment, so it may be read on any thread.
        const char *value = getenv(kind->pass_env[i]);
        if (value != NULL)
            set_variable(command, "%s=%s", kind->pass_env[i], value);
    }
    for (size_t i = 0; i < env_count; i++)
        set_entry(command, strdup(kind->env[i]));
    return command->out_of_memory ? -ENOMEM : 0;
}

/* ---- How it ended, as JSON. ---- */

static json_t *text_json(const char *bytes, size_t length)
{
    char *text = NULL;
    size_t text_bytes = 0;

    if (output_utf8(bytes, length, &text, &text_bytes) != 0)
        return NULL;
    json_t *json = json_stringn_nocheck(text, text_bytes);
    free(text);
    return json;
}

static json_t *memory_json(const struct rusage *usage)
{
    struct rusage own;

    // The counters are approximate, so "above" has a margin.
    if (getrusage(RUSAGE_THREAD, &own) != 0 ||
        usage->ru_maxrss <= own.ru_maxrss + own.ru_maxrss / 8 + 1024)
        return json_null();
    return json_integer(usage->ru_maxrss);
}

static json_t *cpu_json(const struct rusage *usage)
{
    int64_t us = ((int64_t)usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000 +
                 usage->ru_utime.tv_usec + usage->ru_stime.tv_usec;
    return json_integer((us + 500) / 1000);
}

/* The exec object; NULL: not enough memory, it is then left out. Every field is there, null where
 * it has no value. */
static char *exec_json(const struct process_end *end, bool succeeded)
{
    bool started = end->error == 0;
    bool exited = started && WIFEXITED(end->status);
    bool signalled = started && WIFSIGNALED(end->status);
    size_t tail_bytes = 0;
    const char *tail = started ? output_tail_text(&end->err, &tail_bytes) : NULL;
    char *text = NULL;
    int r = 0;

    json_t *json = json_object();
    // A value that is NULL for want of memory makes the call fail.
    r |= json_object_set_new(json, "exit_code",
                             exited ? json_integer(WEXITSTATUS(end->status)) : json_null());
    r |= json_object_set_new(json, "signal",
                             signalled ? json_integer(WTERMSIG(end->status)) : json_null());
    r |= json_object_set_new(json, "stdout",
                             started && !succeeded ? text_json(end->out.bytes, end->out.length)
                                                   : json_null());
    r |= json_object_set_new(json, "stderr", started ? text_json(tail, tail_bytes) : json_null());
    r |= json_object_set_new(
        json, "truncated",
        json_boolean(end->out.over || tail_bytes < end->err.length || end->err.cut));
    r |= json_object_set_new(json, "wall_ms", json_integer(end->wall / RN_MILLISECOND));
    r |= json_object_set_new(json, "cpu_ms", started ? cpu_json(&end->usage) : json_null());
    r |= json_object_set_new(json, "max_rss_kib", started ? memory_json(&end->usage) : json_null());
    if (r == 0)
        text = jsontext_write(json, JSON_COMPACT);
    json_decref(json);
    return text;
}

/* ---- The outcome. ---- */

static bool is_retryable(const struct config_kind *kind, const struct process_end *end)
{
    if (!kind->retry_exit_set)
        return true;
    if (end->error != 0 || end->stopped != 0 || !WIFEXITED(end->status))
        return false;
    int code = WEXITSTATUS(end->status);
    if (code == EXIT_RETRY)
        return true;
    for (size_t i = 0; i < kind->retry_exit_count; i++) {
        if (kind->retry_exit[i] == code)
            return true;
    }
    return false;
}

/* Whether a start failed for want of something that may be there the next time: the program is then
 * not to blame. */
static bool is_shortage(int error)
{
    return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE ||
           error == -ETXTBSY;
}

static const char *error_text(int error)
{
    const char *text = strerrordesc_np(-error);
    return text != NULL ? text : "unknown error";
}

/* What to add where a sandbox forbids something; NULL: there is none. */
static const char *sandbox_hint(void)
{
    return sandbox_forbids()[0] != '\0' ? "the service's sandbox may be the cause" : NULL;
}

static void fail_not_started(const struct config_kind *kind, const char *directory,
                             const struct process_end *end, struct outcome *outcome)
{
    const char *program = kind->command[0];
    const char *hint = NULL;
    bool retryable = is_retryable(kind, end) || is_shortage(end->error);

    if (end->error == -EACCES || end->error == -EPERM || end->error == -EROFS)
        hint = sandbox_hint();
    if (end->step == PROCESS_STEP_PROGRAM) {
        if (end->error == -ENOENT && access(program, F_OK) == 0)
            hint = "it is there, but the interpreter that it names is not";
        else if (end->error == -ENOEXEC)
            hint = "a script needs a first line like #!/bin/sh";
    }
    const char *format = end->step == PROCESS_STEP_DIRECTORY ? "cannot enter the directory"
                         : end->step == PROCESS_STEP_STDIO   ? "cannot set up the descriptors of"
                                                             : "cannot start";
    outcome_fail(outcome, "not-started", retryable, "%s '%s': %s%s%s%s", format,
                 end->step == PROCESS_STEP_DIRECTORY ? directory : program, error_text(end->error),
                 hint != NULL ? " (" : "", hint != NULL ? hint : "", hint != NULL ? ")" : "");
}

static void fail_stopped(const struct process_end *end, bool retryable, struct outcome *outcome)
{
    bool timeout = end->stopped == -ETIMEDOUT;

    outcome_fail(outcome, timeout ? "timeout" : "cancelled", retryable, "%s after %lld ms; %s",
                 timeout ? "ran into its timeout" : "was cancelled",
                 (long long)(end->wall / RN_MILLISECOND),
                 end->killed ? "SIGTERM did not end it, SIGKILL did" : "ended on SIGTERM");
}

static void fail_signal(int signal, bool retryable, struct outcome *outcome)
{
    const char *name = sigabbrev_np(signal);
    const char *hint = signal == SIGSYS || signal == SIGTRAP ? sandbox_hint() : NULL;

    outcome_fail(outcome, "signal", retryable, "ended by signal %d%s%s%s%s", signal,
                 name != NULL ? " SIG" : "", name != NULL ? name : "", hint != NULL ? "; " : "",
                 hint != NULL ? hint : "");
}

static void fail_exit(int code, bool retryable, struct outcome *outcome)
{
    const char *hint = sandbox_hint();

    if (code == EXIT_NOT_ALLOWED || code == EXIT_NOT_FOUND)
        outcome_fail(outcome, "exit", retryable, "exit status %d: something %s%s%s", code,
                     code == EXIT_NOT_FOUND ? "was not found" : "could not be executed",
                     hint != NULL ? "; " : "", hint != NULL ? hint : "");
    else
        outcome_fail(outcome, "exit", retryable, "exit status %d", code);
}

/* Takes the output as a JSON result. Returns what is wrong with it, or NULL. */
static void take_json(struct process_end *end, bool retryable, struct outcome *outcome)
{
    struct output_head *out = &end->out;
    json_error_t error;

    // jansson would stop at a NUL behind the value.
    if (memchr(out->bytes, '\0', out->length) != NULL) {
        outcome_fail(outcome, "bad-output", retryable, "stdout is not JSON: it contains a NUL");
        return;
    }
    json_t *json =
        jsontext_read(out->bytes, out->length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &error);
    if (json == NULL && json_error_code(&error) == json_error_out_of_memory) {
        outcome_fail(outcome, "bad-output", true, "not enough memory to read stdout as JSON");
        return;
    }
    if (json == NULL) {
        outcome_fail(outcome, "bad-output", retryable, "stdout is not JSON: line %d, column %d: %s",
                     error.line, error.column, error.text);
        return;
    }
    if (output_json_depth(out->bytes, out->length) > RESULT_DEPTH_MAX) {
        json_decref(json);
        outcome_fail(outcome, "bad-output", retryable,
                     "stdout is JSON with more than %d levels of brackets", RESULT_DEPTH_MAX);
        return;
    }
    outcome->succeeded = true;
    if (!json_is_null(json)) {
        outcome->result_bytes = output_json_compact(out->bytes, out->length);
        outcome->result = RN_TAKE(out->bytes);
        outcome->result_is_json = true;
    }
    json_decref(json);
}

static void take_text(struct process_end *end, bool retryable, struct outcome *outcome)
{
    struct output_head *out = &end->out;

    if (out->length > 0 && out->bytes[out->length - 1] == '\n')
        out->length--;
    if (output_is_utf8(out->bytes, out->length)) {
        outcome->result_bytes = out->length;
        outcome->result = RN_TAKE(out->bytes);
    } else if (output_utf8(out->bytes, out->length, &outcome->result, &outcome->result_bytes) !=
               0) {
        outcome_fail(outcome, "bad-output", retryable,
                     "stdout is not UTF-8, and there is not enough memory to make it so");
        return;
    }
    outcome->succeeded = true;
}

/* Gives back what the result does not need of the buffer that it was read into, which has room for
 * one byte more. */
static void shrink_result(struct outcome *outcome)
{
    if (outcome->result == NULL)
        return;
    outcome->result[outcome->result_bytes] = '\0';
    char *smaller = realloc(outcome->result, outcome->result_bytes + 1);
    if (smaller != NULL)
        outcome->result = smaller;
}

static void make_outcome(const struct config_kind *kind, const struct command *command,
                         struct process_end *end, struct outcome *outcome)
{
    bool retryable = is_retryable(kind, end);

    if (end->error != 0)
        fail_not_started(kind, command->directory, end, outcome);
    else if (end->stopped != 0)
        fail_stopped(end, retryable, outcome);
    else if (end->out.over)
        outcome_fail(outcome, "output-too-large", retryable,
                     "stdout has more than the %zu bytes of max_output", end->out.limit);
    else if (WIFSIGNALED(end->status))
        fail_signal(WTERMSIG(end->status), retryable, outcome);
    else if (WEXITSTATUS(end->status) != 0)
        fail_exit(WEXITSTATUS(end->status), retryable, outcome);
    else if (kind->output == CONFIG_OUTPUT_JSON)
        take_json(end, retryable, outcome);
    else
        take_text(end, retryable, outcome);
    shrink_result(outcome);
    outcome->exec = exec_json(end, outcome->succeeded);
}

/* ---- The run. ---- */

static void leave_workdir(const struct attempt *attempt, struct command *command, bool stopped)
{
    int r = workdir_free(RN_TAKE(command->workdir),
                         rn_after(stopped ? remove_limit_stopped : remove_limit));
    if (r != 0)
        log_event(LOG_LEVEL_WARN, "work_directory_left", LOG_UINT("task", attempt->task),
                  LOG_TEXT("work_root", attempt->work_root), LOG_TEXT("error", error_text(r)));
}

static int prepare(const struct attempt *attempt, struct command *command,
                   struct process_spec *ret_spec)
{
    const struct config_kind *kind = attempt->kind;

    int r = template_argv(kind, &command->args, &command->argv);
    if (r == 0)
        r = make_environment(command, attempt);
    if (r != 0)
        return r;
    *ret_spec = (struct process_spec){
        .argv = command->argv,
        .environment = command->environment,
        .directory = command->directory,
        .output_max = kind->max_output,
        .slot = attempt->slot,
        .kill_grace = attempt->kill_grace,
        .kill_grace_arg = attempt->kill_grace_arg,
    };
    if (kind->stdin_from == CONFIG_STDIN_ARGS) {
        ret_spec->input = attempt->args;
        ret_spec->input_bytes = attempt->args_bytes;
    } else if (kind->stdin_from == CONFIG_STDIN_TEXT) {
        ret_spec->input = json_string_value(command->args.json);
        ret_spec->input_bytes = json_string_length(command->args.json);
    } else if (kind->stdin_from == CONFIG_STDIN_PLACEHOLDER) {
        args_value_get(&command->args, kind->stdin_name, &command->input);
        RN_ASSERT(command->input.type == ARGS_SCALAR); // template_check has said so
        ret_spec->input = command->input.bytes;
        ret_spec->input_bytes = command->input.length;
    }
    return 0;
}

void exec_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
              struct outcome *ret_outcome)
{
    const struct config_kind *kind = attempt->kind;
    struct command command = {.args = {args, attempt->args, attempt->args_bytes}};
    struct process_end end = {.error = 0};
    struct process_spec spec;

    command.directory = kind->directory;
    if (command.directory == NULL) {
        int r = workdir_new(attempt->work_root, &command.workdir);
        if (r != 0) {
            outcome_fail(ret_outcome, "not-started", !kind->retry_exit_set || is_shortage(r),
                         "cannot make a work directory in '%s': %s", attempt->work_root,
                         error_text(r));
            return;
        }
        command.directory = command.workdir->path;
    }
    int r = prepare(attempt, &command, &spec);
    if (r == 0)
        process_run(ctx, &spec, &end);
    else
        end.error = r;
    make_outcome(kind, &command, &end, ret_outcome);
    leave_workdir(attempt, &command, end.stopped != 0);

    process_end_fini(&end);
    template_argv_free(command.argv);
    template_argv_free(command.environment);
}
