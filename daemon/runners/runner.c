/*
 * What every runner needs: the outcome, and the choice of who runs an attempt. No state; any number
 * of workers at once.
 */
#include "runners/runner.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/sync.h>

#include "runners/args.h"
#include "runners/exec.h"
#include "runners/output.h"
#include "runners/template.h"
#include "runners/workdir.h"
#include "store/jsontext.h"

enum { BUILTINS_MAX = 64 };

void outcome_fini(struct outcome *outcome)
{
    free(outcome->result);
    free(outcome->message);
    free(outcome->exec);
    *outcome = (struct outcome){0};
}

void outcome_fail(struct outcome *outcome, const char *code, bool retryable, const char *format,
                  ...)
{
    va_list arguments;
    char *message = NULL;
    size_t length = 0;

    va_start(arguments, format);
    int r = vasprintf(&message, format, arguments);
    va_end(arguments);
    outcome_fini(outcome);
    (void)snprintf(outcome->code, sizeof(outcome->code), "%s", code);
    outcome->retryable = retryable;
    if (r < 0)
        return;
    // It becomes JSON, and a path or an argument in it may be any bytes.
    if (output_is_utf8(message, (size_t)r)) {
        outcome->message = message;
        return;
    }
    char *text = NULL;
    if (output_utf8(message, (size_t)r, &text, &length) == 0)
        outcome->message = text;
    free(message);
}

void outcome_stopped(struct outcome *outcome, int error)
{
    if (error == -ETIMEDOUT)
        outcome_fail(outcome, "timeout", true, "ran into its timeout");
    else
        outcome_fail(outcome, "cancelled", true, "was cancelled");
}

static const struct builtin *builtin_find(const char *name)
{
    static const struct builtin *const tables[] = {builtin_table, builtin_extra_table};

    for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const struct builtin *builtin = tables[i]; builtin->name != NULL; builtin++) {
            if (strcmp(builtin->name, name) == 0)
                return builtin;
        }
    }
    return NULL;
}

static const char *builtin_names[BUILTINS_MAX + 1];

static void collect_builtins(void)
{
    size_t count = 0;
    for (const struct builtin *builtin = builtin_table; builtin->name != NULL; builtin++) {
        RN_ASSERT(count < BUILTINS_MAX);
        builtin_names[count++] = builtin->name;
    }
    for (const struct builtin *builtin = builtin_extra_table; builtin->name != NULL; builtin++) {
        RN_ASSERT(count < BUILTINS_MAX);
        builtin_names[count++] = builtin->name;
    }
}

const char *const *runner_builtins(void)
{
    static struct rn_once once = RN_ONCE_INIT;
    rn_once(&once, collect_builtins);
    return builtin_names;
}

size_t runner_check_args(const struct config_kind *kind, const json_t *args, const char *text,
                         size_t bytes, struct args_fault *ret_faults, size_t max)
{
    if (kind->runs == CONFIG_RUNS_COMMAND) {
        struct args value = {.json = args, .text = text, .bytes = bytes};
        struct args_faults list = {.faults = ret_faults, .max = max};
        template_check(kind, &value, &list);
        return list.count;
    }
    const struct builtin *builtin = builtin_find(kind->builtin);
    RN_ASSERT(builtin != NULL); // the configuration was loaded with runner_builtins
    return builtin->check_fn != NULL ? builtin->check_fn(args, ret_faults, max) : 0;
}

/* Reads and checks the args of the attempt under its kind's present definition; false: outcome
 * tells why not. */
static bool read_args(const struct attempt *attempt, json_t **ret_args, struct outcome *outcome)
{
    struct args_fault fault;
    json_error_t error;

    // What is stored was accepted with these very flags or stricter ones.
    json_t *args = jsontext_read(attempt->args, attempt->args_bytes,
                                 JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (args == NULL) {
        if (json_error_code(&error) == json_error_out_of_memory)
            outcome_fail(outcome, "not-started", true, "not enough memory for the args");
        else
            outcome_fail(outcome, "invalid-args", false, "args can't be read: %s", error.text);
        return false;
    }
    if (runner_check_args(attempt->kind, args, attempt->args, attempt->args_bytes, &fault, 1) > 0) {
        outcome_fail(outcome, "invalid-args", false, "%s %s", fault.pointer + 2, fault.detail);
        json_decref(args);
        return false;
    }
    *ret_args = args;
    return true;
}

void runner_run(rn_context *ctx, const struct attempt *attempt, struct outcome *ret_outcome)
{
    const struct config_kind *kind = attempt->kind;
    const struct builtin *builtin = NULL;
    bool parsed = false;
    json_t *args = NULL;

    RN_ASSERT(attempt->args != NULL);
    *ret_outcome = (struct outcome){0};
    if (kind->runs == CONFIG_RUNS_BUILTIN) {
        builtin = builtin_find(kind->builtin);
        RN_ASSERT(builtin != NULL);
        parsed = !builtin->takes_text;
    } else {
        RN_ASSERT(attempt->slot != NULL);
        parsed = template_needs_args(kind);
    }

    int r = rn_context_err(ctx);
    if (r != 0) {
        outcome_stopped(ret_outcome, r);
        return;
    }
    if (parsed && !read_args(attempt, &args, ret_outcome))
        return;
    if (builtin != NULL)
        builtin->run_fn(ctx, attempt, args, ret_outcome);
    else
        exec_run(ctx, attempt, args, ret_outcome);
    json_decref(args);
}

int runner_open_work_root(const char *work_root)
{
    return workdir_open_root(work_root);
}

void runner_close_work_root(const char *work_root)
{
    workdir_close_root(work_root);
}
