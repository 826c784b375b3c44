/* A sign of life of libmicrohttpd's thread. */
#include "api/pulse.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static const char question[] = "HEAD / HTTP/1.1\r\nHost: pulse\r\n\r\n";

void pulse_init(struct pulse *pulse, bool is_tls)
{
    *pulse = (struct pulse){.is_tls = is_tls, .ours = -1};
    atomic_init(&pulse->theirs, -1);
}

void pulse_daemon(struct pulse *pulse, struct MHD_Daemon *daemon)
{
    pulse->daemon = daemon;
}

static void disconnect(struct pulse *pulse)
{
    if (pulse->ours >= 0)
        (void)close(pulse->ours);
    pulse->ours = -1;
    pulse->asked = false;
}

void pulse_fini(struct pulse *pulse)
{
    disconnect(pulse);
    pulse->daemon = NULL;
}

bool pulse_owns(const struct pulse *pulse, struct MHD_Connection *mhd)
{
    int theirs = atomic_load(&pulse->theirs);
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
    return theirs >= 0 && info != NULL && info->connect_fd == theirs;
}

void pulse_closed(struct pulse *pulse)
{
    atomic_store(&pulse->theirs, -1);
}

static bool connect_pair(struct pulse *pulse)
{
    const struct sockaddr address = {.sa_family = AF_UNIX};
    int fds[2] = {-1, -1};

    if (atomic_load(&pulse->theirs) >= 0)
        return false; // the last one is not closed yet
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) < 0)
        return false;
    // Known before the thread may see it.
    atomic_store(&pulse->theirs, fds[1]);
    if (MHD_add_connection(pulse->daemon, fds[1], &address, sizeof(address.sa_family)) != MHD_YES) {
        int error = errno;
        atomic_store(&pulse->theirs, -1); // and libmicrohttpd has closed it
        (void)close(fds[0]);
        errno = error;
        return false;
    }
    pulse->ours = fds[0];
    return true;
}

/* Reads what has come. false: the connection has ended. */
static bool take_answer(struct pulse *pulse)
{
    char answer[512];
    ssize_t n = recv(pulse->ours, answer, sizeof(answer), MSG_DONTWAIT);

    if (n > 0 && pulse->asked) { // an answer is small, and comes in one piece
        pulse->asked = false;
        pulse->count++;
    }
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

/* A connection that is closed at once. Where all are taken it can't be had: then those that are
 * there have deadlines that the reaper sees to, and nothing is known against the thread. */
static uint64_t beat_tls(struct pulse *pulse)
{
    if (pulse->asked && atomic_load(&pulse->theirs) < 0) {
        pulse->asked = false;
        pulse->count++;
    }
    if (pulse->asked)
        return pulse->count;
    errno = 0;
    if (connect_pair(pulse)) {
        disconnect(pulse);
        pulse->asked = true;
    } else if (errno == ENFILE) {
        pulse->count++;
    }
    return pulse->count;
}

uint64_t pulse_beat(struct pulse *pulse)
{
    if (pulse->daemon == NULL)
        return pulse->count;
    if (pulse->is_tls)
        return beat_tls(pulse);
    if (pulse->ours >= 0 && !take_answer(pulse))
        disconnect(pulse);
    if (pulse->ours < 0 && !connect_pair(pulse))
        return pulse->count;
    if (!pulse->asked) {
        ssize_t n = send(pulse->ours, question, sizeof(question) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
        pulse->asked = n == (ssize_t)(sizeof(question) - 1);
    }
    return pulse->count;
}
