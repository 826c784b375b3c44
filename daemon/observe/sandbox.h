/** \file
 * What the sandbox that this process runs in (a systemd unit's settings, a container) forbids to it
 * and so to the commands that it starts. Found out by looking, whoever made the sandbox.
 */
#ifndef OBSERVE_SANDBOX_H
#define OBSERVE_SANDBOX_H

/**
 * Shuts this process off from its own commands, looks what is forbidden and logs it, if anything
 * is, as one line: `event=sandbox forbids="…"`.
 *
 * Commands run as the same user. Where no core may ever be written (a hard RLIMIT_CORE of 0, which
 * the shipped unit sets) nobody but root is to see this process's memory, environment and
 * descriptors either: it becomes one that cannot be dumped, hence not traced.
 *
 * **Blocking:** never for long; it forks for a moment where system calls are filtered.
 * **Threads:** once, before any other thread is started. **Errors:** what can't be looked at counts
 * as not forbidden.
 */
void sandbox_start(void);

/**
 * The looking alone.
 *
 * @param root  the folder in which /proc is, "" for the machine's own
 *
 * **Blocking:**, **Threads:**, **Errors:** as sandbox_start().
 */
void sandbox_look(const char *root);

/** What was found, in words: "new privileges (sudo), writing to /usr, /etc"; "" while nothing is
 * forbidden. **Threads:** any, after sandbox_start(). */
const char *sandbox_forbids(void);

#endif
