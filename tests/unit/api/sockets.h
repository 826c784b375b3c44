/** \file Listening sockets of tests, and a folder for those that are files. */
#ifndef TESTS_SOCKETS_H
#define TESTS_SOCKETS_H

#include "api/listen.h"

/** Setup and teardown of a group: the folder, which has to be empty in the end. */
int sockets_make_folder(void **state);
int sockets_remove_folder(void **state);
/** Its path. */
extern char sockets_folder[80];

/** A unix socket of that name in the folder. */
struct config_listener sockets_unix_at(const char *name);
extern const struct listen_access sockets_usual;
/** Must succeed. */
struct listen_socket sockets_opened(const struct config_listener *listener,
                                    const struct listen_access *access);
/** What connect says: 0 or an errno. */
int sockets_connect(const char *path);

#endif
