/* The commands and their options. The help and the completions are made of it. */
#include "cli/commands.h"

#include <stdint.h>
#include <string.h>

#include "config/config.h"

// clang-format off
const struct option_row common_options[] = {
    {"url", 'u', "URL", "where the daemon is: http://…, https://… or unix:/path (RUNNEL_URL)"},
    {"token-file", 0, "FILE", "a file with the token to show (RUNNEL_TOKEN_FILE)"},
    {"ca-file", 0, "FILE", "the certificates that vouch for an https daemon (RUNNEL_CA_FILE)"},
    {"json", 'j', NULL, "the daemon's JSON as it is, for scripts"},
    {"color", 0, "WHEN", "auto (on a terminal without NO_COLOR), always or never"},
    {"help", 'h', NULL, "this"},
    {"version", 'V', NULL, "the client's version"},
    {NULL, 0, NULL, NULL}};

#define TASK_OPTIONS \
    {"args", 'a', "JSON", "the args, any JSON, in place of name=value"}, \
    {"file", 'f', "FILE", "the args out of a file of JSON"}, \
    {"queue", 'q', "QUEUE", "another queue than the kind's"}, \
    {"priority", 'p', "N", "-100 to 100, higher ones first"}, \
    {"delay", 'd', "D", "starts no earlier than so long from now: 30s, 1h30m"}, \
    {"at", 0, "TIME", "starts no earlier than then: 18:30, '2026-12-24 18:30', RFC 3339"}, \
    {"expires-at", 0, "TIME", "is cancelled if it has not started by then"}, \
    {"timeout", 0, "D", "how long one attempt may take"}, \
    {"max-attempts", 0, "N", "attempts in all"}, \
    {"tag", 't', "TAG", "a tag to find it by; may be given several times"}, \
    {"key", 0, "KEY", "Idempotency-Key: the same call again makes no second task"}, \
    {"wait", 'w', "[D]", "waits for its end, which run does anyway; at most so long"}, \
    {"retry-for", 0, "D", "how long a wait outlasts a daemon that is away (1m)"}

#define FILTER_OPTIONS \
    {"state", 's', "STATE", "scheduled, queued, retrying, running, succeeded, failed, cancelled, held"}, \
    {"queue", 'q', "QUEUE", "of this queue; several times, as --state, --kind, --tag and --error: any of them"}, \
    {"kind", 'k', "KIND", "of this kind"}, \
    {"tag", 't', "TAG", "with this tag"}, \
    {"after", 0, "TIME", "submitted after then: 1h (ago), 18:30 (the last one), '2026-12-24 18:30', RFC 3339"}, \
    {"before", 0, "TIME", "submitted before then"}, \
    {"finished-after", 0, "TIME", "finished after then"}, \
    {"finished-before", 0, "TIME", "finished before then"}, \
    {"error", 'e', "CODE", "whose last attempt ended with this code: exit, timeout, ..."}

#define ACT_OPTIONS FILTER_OPTIONS, \
    {"all", 0, NULL, "all that this can be done with, where there is no filter"}, \
    {"dry-run", 'n', NULL, "says how many it would be, and changes nothing"}

static const struct option_row submit_options[] = {
    TASK_OPTIONS,
    {NULL, 0, NULL, NULL}};
static const struct option_row run_options[] = {
    TASK_OPTIONS,
    {"cancel-on-interrupt", 0, NULL, "Ctrl-C cancels the task; else it goes on"},
    {NULL, 0, NULL, NULL}};
static const struct option_row load_options[] = {
    {"key", 0, "KEY", "goes on with a load that was broken off, under the key that it told"},
    {"retry-for", 0, "D", "how long it outlasts a daemon that is away (1m)"},
    {NULL, 0, NULL, NULL}};
static const struct option_row import_options[] = {
    {"dry-run", 'n', NULL, "says what it would be, and stores nothing"},
    {"key", 0, "KEY", "goes on with an import that was broken off, under the key that it told"},
    {"retry-for", 0, "D", "how long it outlasts a daemon that is away (1m)"},
    {NULL, 0, NULL, NULL}};
static const struct option_row ls_options[] = {
    FILTER_OPTIONS,
    {"limit", 'n', "N", "at most so many, the newest (20)"},
    {"limit", 'l', "N", NULL},
    {"all", 0, NULL, "without a limit"},
    {NULL, 0, NULL, NULL}};
static const struct option_row wait_options[] = {
    {"wait", 'w', "D", "at most so long"},
    {"retry-for", 0, "D", "how long it outlasts a daemon that is away (1m)"},
    {NULL, 0, NULL, NULL}};
static const struct option_row act_options[] = {ACT_OPTIONS, {NULL, 0, NULL, NULL}};
static const struct option_row pause_options[] = {
    {"for", 0, "D", "resumes by itself after so long"},
    {NULL, 0, NULL, NULL}};
static const struct option_row top_options[] = {
    {"interval", 'i', "D", "between two looks (1s)"},
    {NULL, 0, NULL, NULL}};

enum { ANY = 100000 };

const struct command commands[] = {
    {"submit", "KIND [name=value | name:=json]... | KIND -", "stores a task and prints its id",
     "runnel submit checksum path=/etc/hostname --wait", submit_options, 1, ANY, cmd_submit, false},
    {"run", "KIND [name=value | name:=json]... | KIND -", "submits, waits, prints the result, ends as the task did",
     "runnel run checksum path=/etc/hostname", run_options, 1, ANY, cmd_run, false},
    {"load", "FILE | -", "stores a task for each line of JSON, each once whatever breaks",
     "seq 1000 | jq -c '{kind: \"noop\", args: .}' | runnel load -", load_options, 1, 1, cmd_load, false},
    {"ls", "", "lists tasks, the newest first",
     "runnel ls --state failed --queue default", ls_options, 0, 0, cmd_ls, false},
    {"show", "ID...", "all about a task",
     "runnel show 42", NULL, 1, ANY, cmd_show, false},
    {"wait", "ID...", "waits until tasks have finished",
     "runnel wait 42 43 --wait 10m", wait_options, 1, ANY, cmd_wait, false},
    {"result", "ID", "prints a task's result",
     "runnel result 42 > result.json", wait_options, 1, 1, cmd_result, false},
    {"cancel", "ID... | --queue, --kind, ...", "stops tasks that run, and those that wait never start",
     "runnel cancel --queue blog --dry-run", act_options, 0, ANY, cmd_cancel, false},
    {"retry", "ID... | --queue, --kind, ...", "runs failed tasks again, from the first attempt on",
     "runnel retry --kind checksum", act_options, 0, ANY, cmd_retry, false},
    {"rm", "ID... | --queue, --kind, ...", "removes finished tasks",
     "runnel rm --state succeeded --finished-before 2026-01-01T00:00:00Z", act_options, 0, ANY, cmd_rm, false},
    {"queues", "", "lists the queues, and what waits and runs in each",
     "runnel queues", NULL, 0, 0, cmd_queues, false},
    {"pause", "QUEUE...", "nothing more of a queue is started",
     "runnel pause blog --for 10m", pause_options, 1, ANY, cmd_pause, false},
    {"resume", "QUEUE...", "a paused queue goes on",
     "runnel resume blog", NULL, 1, ANY, cmd_resume, false},
    {"set", "QUEUE [rate=10/s] [burst=N] [workers=N]", "changes a queue; name= goes back to the configuration's value",
     "runnel set blog rate=10/s workers=8 burst=", NULL, 2, ANY, cmd_set, false},
    {"backup", "FILE", "copies the whole store into a new file, and checks it",
     "runnel backup runnel-$(date +%F).db", NULL, 1, 1, cmd_backup, false},
    {"export", "FILE | -", "writes the whole store as lines of JSON, into a new file",
     "runnel export - | gzip > runnel.ndjson.gz", NULL, 1, 1, cmd_export, false},
    {"import", "FILE | -", "stores all that an export has, or nothing",
     "zcat runnel.ndjson.gz | runnel import - --dry-run", import_options, 1, 1, cmd_import, false},
    {"kinds", "", "lists the kinds of tasks that there are",
     "runnel kinds", NULL, 0, 0, cmd_kinds, false},
    {"stats", "", "the daemon's figures",
     "runnel stats", NULL, 0, 0, cmd_stats, false},
    {"top", "", "a live screen: queues, rates, what runs, what failed; q ends it",
     "runnel top --interval 500ms", top_options, 0, 0, cmd_top, false},
    {"ping", "", "whether the daemon takes tasks",
     "runnel ping && echo ready", NULL, 0, 0, cmd_ping, false},
    {"version", "", "the versions of client and daemon",
     "runnel version", NULL, 0, 0, cmd_version, false},
    {"help", "[COMMAND]", "how a command is used",
     "runnel help run", NULL, 0, 1, cmd_help, true},
    {"complete", "kinds | queues | states | commands | options [COMMAND]", NULL,
     "runnel complete kinds", NULL, 1, 2, cmd_complete, false},
    {NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, false}};
// clang-format on

const struct command *command_find(const char *name)
{
    for (const struct command *command = commands; command->name != NULL; command++) {
        if (strcmp(command->name, name) == 0)
            return command;
    }
    return NULL;
}

/* What one would call it elsewhere: no letters are near, but the meaning is. */
static const char *known_elsewhere(const char *name)
{
    static const char *const others[][2] = {
        {"add", "submit"},     {"enqueue", "submit"}, {"push", "submit"},     {"create", "submit"},
        {"exec", "run"},       {"list", "ls"},        {"ps", "ls"},           {"tasks", "ls"},
        {"jobs", "ls"},        {"status", "show"},    {"get", "show"},        {"info", "show"},
        {"inspect", "show"},   {"describe", "show"},  {"log", "show"},        {"logs", "show"},
        {"output", "result"},  {"follow", "wait"},    {"watch", "top"},       {"kill", "cancel"},
        {"stop", "cancel"},    {"abort", "cancel"},   {"restart", "retry"},   {"requeue", "retry"},
        {"delete", "rm"},      {"remove", "rm"},      {"clean", "rm"},        {"purge", "cancel"},
        {"unpause", "resume"}, {"start", "resume"},   {"continue", "resume"}, {"update", "set"},
        {"edit", "set"},       {"dump", "export"},    {"restore", "import"},  {"health", "ping"}};

    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(others[i][0], name) == 0)
            return others[i][1];
    }
    return NULL;
}

int command_unknown(const char *name)
{
    const char *names[sizeof(commands) / sizeof(commands[0])] = {NULL};
    size_t count = 0;

    for (const struct command *command = commands; command->name != NULL; command++) {
        if (command->summary != NULL)
            names[count++] = command->name;
    }
    const char *near = known_elsewhere(name);
    if (near == NULL)
        near = nearest_name(name, names);
    return cli_fault(CLI_USAGE, "there is no command '%s'%s%s%s; see runnel --help", name,
                     near == NULL ? "" : ": did you mean '", near == NULL ? "" : near,
                     near == NULL ? "" : "'?");
}
