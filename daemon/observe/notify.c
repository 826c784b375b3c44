/* Messages to systemd. libsystemd looks for NOTIFY_SOCKET itself and does nothing without it; what
 * can't be sent changes nothing for us, so no result is looked at. */
#include "observe/notify.h"

#include <inttypes.h>
#include <stdint.h>
#include <systemd/sd-daemon.h>

void notify_ready(void)
{
    (void)sd_notify(0, "READY=1");
}

void notify_starting(const char *what, uint64_t done, uint64_t total)
{
    if (total == 0)
        (void)sd_notifyf(0, "STATUS=%s", what);
    else
        (void)sd_notifyf(0, "STATUS=%s, %" PRIu64 " %%", what,
                         (uint64_t)((double)done / (double)total * 100));
    notify_extend(2 * RN_MINUTE);
}

void notify_stopping(unsigned running)
{
    (void)sd_notifyf(0, "STOPPING=1\nSTATUS=draining, %u %s", running,
                     running == 1 ? "task still runs" : "tasks still run");
}

void notify_extend(rn_duration length)
{
    int64_t usec = length > 0 ? length / RN_MICROSECOND : 0;
    (void)sd_notifyf(0, "EXTEND_TIMEOUT_USEC=%" PRId64, usec);
}

void notify_barrier(void)
{
    (void)sd_notify_barrier(0, (uint64_t)(RN_SECOND / RN_MICROSECOND));
}
