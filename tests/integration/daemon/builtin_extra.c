/** \file
 * Built-ins that misbehave, for the tests' second daemon: linked in place of the product's empty
 * table.
 *
 *   stubborn    {duration}      runs on for so many seconds (a number; none: for ever) whatever
 * becomes of its context crash                       kills the daemon at once crash_once  {file}
 * kills the daemon unless the file is there, which it makes first ledger      {file, key, ms} the
 * ledger command as a built-in: writes down when it began and ended
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "runners/runner.h"

static void pass(double seconds)
{
    struct timespec length = {.tv_sec = (time_t)seconds};

    length.tv_nsec = (long)((seconds - (double)length.tv_sec) * 1e9);
    while (nanosleep(&length, &length) < 0 && errno == EINTR) {
    }
}

static void run_stubborn(rn_context *ctx, const struct attempt *attempt, const struct json_t *args,
                         struct outcome *outcome)
{
    const json_t *duration = json_object_get(args, "duration");

    (void)ctx;
    (void)attempt;
    do {
        pass(duration != NULL ? json_number_value(duration) : 3600);
    } while (duration == NULL);
    outcome->succeeded = true;
}

static void run_crash(rn_context *ctx, const struct attempt *attempt, const struct json_t *args,
                      struct outcome *outcome)
{
    (void)ctx;
    (void)attempt;
    (void)args;
    (void)kill(getpid(), SIGKILL);
    outcome->succeeded = true;
}

static void run_crash_once(rn_context *ctx, const struct attempt *attempt,
                           const struct json_t *args, struct outcome *outcome)
{
    const char *path = json_string_value(json_object_get(args, "file"));
    int file = path != NULL ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;

    if (file >= 0)
        run_crash(ctx, attempt, args, outcome);
    if (path == NULL || errno != EEXIST)
        outcome_fail(outcome, "failed", false, "no file to make");
    else
        outcome->succeeded = true;
}

static bool note(const char *path, const char *what, const char *key, unsigned attempt)
{
    char line[512];
    struct timespec time;
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

    if (file < 0)
        return false;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    int length = snprintf(line, sizeof(line), "%s %s %u %d %lld\n", what, key, attempt,
                          (int)getpid(), (long long)time.tv_sec * 1000000000 + time.tv_nsec);
    bool written = write(file, line, (size_t)length) == length;
    (void)close(file);
    return written;
}

static void run_ledger(rn_context *ctx, const struct attempt *attempt, const struct json_t *args,
                       struct outcome *outcome)
{
    const char *path = json_string_value(json_object_get(args, "file"));
    const char *key = json_string_value(json_object_get(args, "key"));
    json_int_t ms = json_integer_value(json_object_get(args, "ms"));

    if (path == NULL || key == NULL || !note(path, "start", key, attempt->number)) {
        outcome_fail(outcome, "failed", false, "the ledger can't be written");
        return;
    }
    if (rn_sleep(ctx, ms * RN_MILLISECOND) < 0) {
        outcome_fail(outcome, "cancelled", true, "the context ended");
        return;
    }
    outcome->succeeded = note(path, "end", key, attempt->number);
}

const struct builtin builtin_extra_table[] = {
    {.name = "stubborn", .run_fn = run_stubborn},
    {.name = "crash", .run_fn = run_crash},
    {.name = "crash_once", .run_fn = run_crash_once},
    {.name = "ledger", .run_fn = run_ledger},
    {.name = NULL},
};
