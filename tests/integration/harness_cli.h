/** \file The command line client, run by a scenario against its daemon. */
#ifndef INTEGRATION_HARNESS_CLI_H
#define INTEGRATION_HARNESS_CLI_H

#include "harness.h"

/** Runs runnel with these words to its end; standard input is empty. */
#define runnel(daemon, ...) runnel_words(daemon, (const char *const[]){__VA_ARGS__, NULL})
struct run runnel_words(struct daemon *daemon, const char *const *words);
/** A shell's line, in which $RUNNEL is the client and which finds the daemon. */
struct run runnel_shell(struct daemon *daemon, const char *line);
/** The same with another address. */
struct run runnel_at(const char *url, const char *const *words);

/** One that runs beside the scenario; killed at its end if it still does. */
struct background {
    pid_t pid;
    char *out_path, *err_path;
    int status;
};
#define runnel_start(daemon, ...)                                                                  \
    runnel_start_words(daemon, (const char *const[]){__VA_ARGS__, NULL})
struct background *runnel_start_words(struct daemon *daemon, const char *const *words);
/** Until its end: its exit code, or minus the signal. */
int background_end(struct background *background, int64_t within_ms);
/** What it has written so far. */
char *background_out(const struct background *background);
char *background_err(const struct background *background);

/** Whether a text has a part. */
bool contains(const char *text, const char *part);

/** What answers in a daemon's place, at the scenario's pace: a unix socket. One connection at a
 * time. */
struct fake {
    int listener, fd; // fd below 0: none is open
    char *url;
};
struct fake *fake_new(void);
/** The next request: its head, and of its body what has come with it. Takes another connection
 * where none is open, or the one that is has ended. */
char *fake_take(struct fake *fake);
/** Sends so many bytes; -1: all of a text. */
void fake_send(struct fake *fake, const char *bytes, int64_t count);
/** Sends a whole answer of JSON. */
void fake_answer(struct fake *fake, int status, const char *json);
/** Ends the connection. */
void fake_cut(struct fake *fake);

/** From its next start on, the daemon listens where it listens now. */
void daemon_keep_port(struct daemon *daemon);

/** Ended so, and told so (NULL: nothing is looked at). */
#define expect_run(run, wanted_status, wanted_out, wanted_err)                                     \
    harness_expect_run(run, wanted_status, wanted_out, wanted_err, __FILE__, __LINE__)
void harness_expect_run(struct run run, int status, const char *out, const char *err,
                        const char *file, int line);

#endif
