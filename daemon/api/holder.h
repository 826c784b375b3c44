/** \file Who has an address that is in use, in words, as far as /proc tells. */
#ifndef API_HOLDER_H
#define API_HOLDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/** ": runneld (pid 42) has it", or "" where it is not known. **Blocking:** reads /proc. */
void holder_of_port(uint16_t port, char *ret_text, size_t size);
/** The same of a process; pid 0: not known. */
void holder_of_pid(pid_t pid, char *ret_text, size_t size);

#endif
