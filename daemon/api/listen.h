/** \file The listening socket. */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include <stdint.h>

#include "observe/error.h"

/**
 * Makes a listening TCP socket on a numeric address (or localhost), port 0: any free one.
 *
 * **Errors:** -EADDRINUSE (reterr says who has it, where /proc tells), -EACCES, -EADDRNOTAVAIL,
 * -EINVAL no address, -EMFILE ….
 */
int listen_open(const char *host, uint16_t port, int *ret_fd, uint16_t *ret_port,
                struct error *reterr) RN_MUST_CHECK;

#endif
