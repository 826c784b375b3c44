/** \file Sockets that systemd has made and passed in (socket activation, sd_listen_fds(3)). */
#ifndef API_ACTIVATION_H
#define API_ACTIVATION_H

#include "api/server.h"

/** Closes those that nobody has taken. */
void activation_close(struct server_sockets *sockets);

#endif
