/** \file What every command of the client stands on: where the daemon is, how to print, how to end.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <jansson.h>

#include <runnel/clock.h>

#include "cli/args.h"
#include "cli/http.h"

/** How runnel ends. run ends as its command did. */
enum {
    CLI_FAILED = 1, // the task has failed, or was cancelled
    CLI_USAGE = 2,
    CLI_NOT_FOUND = 4,
    CLI_NO_CONNECTION = 5,
    CLI_REFUSED = 6,
    CLI_INTERNAL = 70,
    CLI_OUTPUT = 74, // standard output can't be written
    CLI_TIME_OVER = 124,
    CLI_INTERRUPTED = 130,
};

enum { ID_BYTES = 24, PATH_BYTES = 4096, CLI_COUNTS_BYTES = 192 };

struct cli {
    struct http *http;
    const struct arguments *arguments;
    const char *command_name; // NULL: none yet
    bool is_json;             // --json
    bool is_terminal;         // standard output is one
    bool has_color;
    size_t width;   // of the terminal; 0: standard output is none
    int64_t now_ms; // since 1970, when the command began
};

/** Tells a fault in one line on standard error and returns code, so that a failure is one
 * statement. */
int cli_fault(int code, const char *format, ...) RN_PRINTF(2, 3);
/** The same, with where to read on: 2. */
int cli_usage(const struct cli *cli, const char *format, ...) RN_PRINTF(2, 3);
int cli_no_memory(void);
/** What a negative errno of the system means, as other programs say it. */
const char *cli_reason(int error);
/** The code for an error of http_call, and its sentence told. */
int cli_no_answer(int error, const struct error *reason);
/** Tells what a refusal says: the detail, and each field at fault. prefix: "task 7: ", or "". */
int cli_refusal(const struct http_reply *reply, const char *prefix);

/** Tells that the daemon has no such call, which a 404 to one without a name in its path means. */
int cli_too_old(const struct cli *cli);

/**
 * One call that has to succeed. body may be NULL.
 *
 * @return 0 with a reply of 2xx; else the code, told, and there is no reply to give back
 */
int cli_call(const struct cli *cli, const char *method, const char *path, const char *body,
             struct http_reply *ret_reply) RN_MUST_CHECK;

/** Prints the daemon's answer as it came, a line; on a terminal made harmless. */
int cli_print_json(const struct cli *cli, const struct http_reply *reply) RN_MUST_CHECK;
/** Prints bytes of a task's: as they are, on a terminal (as cli says it) made harmless. */
int cli_put_bytes(const struct cli *cli, FILE *out, const char *bytes, size_t length) RN_MUST_CHECK;
/** The same to standard output: as they are, on a terminal made harmless. */
int cli_print_bytes(const struct cli *cli, const char *bytes, size_t length) RN_MUST_CHECK;

/* What an answer has; texts of "" and numbers of 0 where it hasn't. */
const char *member_text(const json_t *object, const char *name);
int64_t member_number(const json_t *object, const char *name);
bool member_is_null(const json_t *object, const char *name);
/** An instant in milliseconds since 1970; 0: null. */
int64_t member_instant(const json_t *object, const char *name);

/** "2 queues, 1,234 tasks, 1 key": what of these an object counts. text: CLI_COUNTS_BYTES. Returns
 * text. */
const char *cli_counts(const json_t *object, char *text);

/** An id off the command line. 0; else told. */
int cli_take_id(const struct cli *cli, const char *word, uint64_t *ret_id) RN_MUST_CHECK;
/** Checks a length of time ("30s", "1h30m", or seconds). 0; else told. */
int cli_take_length(const struct cli *cli, const char *option, const char *text,
                    rn_duration *ret_length) RN_MUST_CHECK;
/** A whole number of an option, told if it is none from least to most. */
int cli_take_number(const struct cli *cli, const char *option, int64_t least, int64_t most,
                    int64_t *ret_number) RN_MUST_CHECK;

/** Checks an Idempotency-Key. 0; else told. */
int cli_check_key(const struct cli *cli, const char *key) RN_MUST_CHECK;

/** Adds name=value to a path's query, the value with % where it needs one; false: it is too
 * long. */
bool cli_add_query(char *path, size_t size, const char *name, const char *value);
/** The instant as text: "3m ago" on a terminal, RFC 3339 else; "-" for 0. text: FORMAT_BYTES. */
const char *cli_instant(const struct cli *cli, int64_t instant_ms, char *text);

#endif
