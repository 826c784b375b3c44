/** \file Listening sockets: made, and closed again. */
#ifndef API_LISTEN_H
#define API_LISTEN_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "config/config.h"
#include "observe/error.h"

/** Who may use a unix socket. */
struct listen_access {
    unsigned mode;
    bool has_group;
    gid_t gid;
};

/** A socket that listens, not blocking. */
struct listen_socket {
    int fd;        // -1: none
    uint16_t port; // TCP
    dev_t device;  // unix: of the file that was made
    ino_t inode;   // 0: no file was made here
};

/**
 * Makes a listening socket. TCP: on a numeric address, port 0: any free one. unix: its file has the
 * mode and group from the first moment on at which somebody can connect; what a dead daemon has
 * left there is removed, what is no socket never is.
 *
 * **Ownership:** ret_socket is closed with listen_close. **Blocking:** at most 2 s, while another
 * daemon makes a socket in the same folder.
 *
 * **Errors:** -EADDRINUSE (reterr says who has it, where that can be known), -EACCES, -EPERM not a
 * member of the group, -EADDRNOTAVAIL, -EEXIST the path is no socket, -ENOENT no such folder,
 * -EINVAL no address, -EMFILE ….
 */
int listen_open(const struct config_listener *listener, const struct listen_access *access,
                struct listen_socket *ret_socket, struct error *reterr) RN_MUST_CHECK;
/** Closes it, and removes its file where that is still the one that was made. */
void listen_close(const struct config_listener *listener, struct listen_socket *socket);

#endif
