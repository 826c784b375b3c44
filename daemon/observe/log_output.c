/* Lines to standard error, whoever reads it or does not: no thread of the daemon waits for a reader
 * for longer than PATIENCE, and only once until lines flow again.
 *
 * O_NONBLOCK belongs to the open file that other processes share with us, so it is not set on
 * standard error itself. What can block is written to in one of three ways:
 *  - a pipe or a terminal is opened once more by its name in /proc: then the flag is our own;
 *  - of a socket each call says that it must not block;
 *  - what can't be opened again (a pipe of another user's) is asked before each line whether it has
 * room. Linux reports room only if PIPE_BUF bytes fit; our threads take turns, so it is still there
 * when the line is written, unless another process takes it in between.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <runnel/clock.h>
#include <runnel/sync.h>

#include "observe/log_internal.h"

_Static_assert(LOG_LINE_BYTES_MAX <= PIPE_BUF, "a line must be written to a pipe in one piece");

#define PATIENCE (100 * RN_MILLISECOND)

enum output_sort {
    OUTPUT_FILE,   // never blocks
    OUTPUT_OWN,    // opened once more, O_NONBLOCK
    OUTPUT_SOCKET, // MSG_DONTWAIT
    OUTPUT_ASKED,  // by poll, before each line
};

static struct {
    rn_mutex mu; // rank 70; held over one poll that does not wait, and the write that it allows
    enum output_sort sort; // set by log_output_init, as fd
    int fd;
    _Atomic bool is_stuck; // the last line found no room in PATIENCE
    _Atomic bool is_torn;  // a line was written in part
} output = {.mu = RN_MUTEX_INIT(70), .fd = STDERR_FILENO};

void log_output_init(void)
{
    struct stat status;

    if (output.fd != STDERR_FILENO)
        (void)close(output.fd);
    output.fd = STDERR_FILENO;
    output.sort = OUTPUT_FILE;
    atomic_store(&output.is_stuck, false);
    atomic_store(&output.is_torn, false);
    if (fstat(STDERR_FILENO, &status) < 0)
        return;
    if (S_ISSOCK(status.st_mode)) {
        output.sort = OUTPUT_SOCKET;
    } else if (S_ISFIFO(status.st_mode) || isatty(STDERR_FILENO)) {
        int fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        output.sort = fd >= 0 ? OUTPUT_OWN : OUTPUT_ASKED;
        if (fd >= 0)
            output.fd = fd;
    }
}

/* -1 and EAGAIN: there is no room. What has failed is told by the write. */
static ssize_t write_if_asked(const char *bytes, size_t count)
{
    struct pollfd room = {.fd = output.fd, .events = POLLOUT};
    ssize_t n = -1;

    rn_mutex_lock(&output.mu);
    int ready = poll(&room, 1, 0);
    if (ready == 0)
        errno = EAGAIN;
    else if (ready > 0)
        n = write(output.fd, bytes, count);
    rn_mutex_unlock(&output.mu);
    return n;
}

static ssize_t try_write(const char *bytes, size_t count)
{
    switch (output.sort) {
    case OUTPUT_SOCKET:
        return send(output.fd, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL);
    case OUTPUT_ASKED:
        return write_if_asked(bytes, count);
    default:
        return write(output.fd, bytes, count);
    }
}

/* After EAGAIN. false: it takes too long. */
static bool wait_for_room(rn_time *until)
{
    struct pollfd room = {.fd = output.fd, .events = POLLOUT};

    if (atomic_load_explicit(&output.is_stuck, memory_order_relaxed))
        return false;
    if (*until == 0)
        *until = rn_after(PATIENCE);
    rn_duration left = *until - rn_now();
    if (left <= 0 || poll(&room, 1, (int)(left / RN_MILLISECOND) + 1) == 0) {
        atomic_store_explicit(&output.is_stuck, true, memory_order_relaxed);
        return false;
    }
    return true;
}

/* After a write that took nothing. false: there is no use in another one. */
static bool may_try_again(ssize_t n, rn_time *until)
{
    if (n == 0)
        return false;
    return errno == EINTR || (errno == EAGAIN && wait_for_room(until));
}

/* All of it, or how much is missing. */
static size_t write_bytes(const char *bytes, size_t count)
{
    rn_time until = 0;

    while (count > 0) {
        ssize_t n = try_write(bytes, count);
        if (n > 0) {
            bytes += n;
            count -= (size_t)n;
        } else if (!may_try_again(n, &until)) {
            break;
        }
    }
    return count;
}

bool log_output_write(const char *bytes, size_t count)
{
    struct pollfd room = {.fd = output.fd, .events = POLLOUT};

    // A short line may still find a place in a full pipe's last page: that is no flow.
    if (atomic_load_explicit(&output.is_stuck, memory_order_relaxed) && poll(&room, 1, 0) == 0)
        return false;
    // Only a terminal or a socket takes a part of a line. Then the next one begins a new line.
    if (atomic_load_explicit(&output.is_torn, memory_order_relaxed)) {
        if (write_bytes("\n", 1) > 0)
            return false;
        atomic_store_explicit(&output.is_torn, false, memory_order_relaxed);
    }
    size_t missing = write_bytes(bytes, count);
    if (missing > 0 && missing < count)
        atomic_store_explicit(&output.is_torn, true, memory_order_relaxed);
    if (missing == 0 && atomic_load_explicit(&output.is_stuck, memory_order_relaxed))
        atomic_store_explicit(&output.is_stuck, false, memory_order_relaxed);
    return missing == 0;
}
