/* Messages to systemd. libsystemd looks for NOTIFY_SOCKET itself and does nothing without it; what
 * can't be sent changes nothing for us, so no result is looked at. */
#include "observe/notify.h"

#include <inttypes.h>
#include <stdint.h>
#include <stdlib.h>
#include <systemd/sd-daemon.h>

enum { STATUS_BYTES_MAX = 1024 };

bool notify_is_on(void)
{
    const char *socket = getenv("NOTIFY_SOCKET");
    return socket != NULL && socket[0] != '\0';
}

/* The text in one line, at most STATUS_BYTES_MAX with its end. */
static void one_line(const char *text, char line[STATUS_BYTES_MAX])
{
    size_t length = 0;
    for (const char *c = text; *c != '\0' && length < STATUS_BYTES_MAX - 1; c++) {
        if ((unsigned char)*c >= 0x20 && *c != 0x7F)
            line[length++] = *c;
    }
    line[length] = '\0';
}

void notify_reloading(void)
{
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64,
                     (int64_t)(rn_now() / RN_MICROSECOND));
}

void notify_status(const char *text)
{
    char line[STATUS_BYTES_MAX];
    one_line(text, line);
    (void)sd_notifyf(0, "STATUS=%s", line);
}

rn_duration notify_watchdog(void)
{
    uint64_t usec = 0;
    if (sd_watchdog_enabled(0, &usec) <= 0)
        return 0;
    const uint64_t most = (uint64_t)(RN_HOUR / RN_MICROSECOND); // more often does no harm
    return (rn_duration)(usec < most ? usec : most) * RN_MICROSECOND;
}

void notify_alive(void)
{
    (void)sd_notify(0, "WATCHDOG=1");
}

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
