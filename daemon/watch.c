/* What systemd is told while the daemon runs.
 *
 * WATCHDOG=1 is sent only when since the last one the store's writer has answered an operation and
 * each thread of libmicrohttpd a request; both are asked anew at each turn, four times an interval.
 */
#include "watch.h"

#include <stdio.h>
#include <string.h>

#include "observe/notify.h"

#define STATUS_INTERVAL (5 * RN_SECOND)

void watch_init(struct watch *watch, struct engine *engine, struct server *server)
{
    *watch = (struct watch){.engine = engine,
                            .server = server,
                            .is_on = notify_is_on(),
                            .watchdog = notify_watchdog(),
                            .next_beat = rn_now(),
                            .next_status = rn_now()};
}

/* Returns the length of the text; 0: the figures are not to be had. */
static size_t figures(struct engine *engine, char *text, size_t size)
{
    struct engine_stats stats = {0};

    if (engine_stats(engine, &stats) < 0)
        return 0;
    uint64_t waiting = stats.backlog > stats.running ? stats.backlog - stats.running : 0;
    int length = snprintf(text, size, "%u running, %llu waiting, %u failed in 1 h", stats.running,
                          (unsigned long long)waiting, stats.failed_last_hour);
    return length > 0 ? (size_t)length : 0;
}

static void tell_status(struct watch *watch)
{
    char status[sizeof(watch->status)];
    size_t length = figures(watch->engine, status, sizeof(status));

    if (length == 0)
        return;
    if (rn_now() >= watch->note_until)
        watch->note[0] = '\0';
    if (watch->note[0] != '\0')
        (void)snprintf(status + length, sizeof(status) - length, "; %s", watch->note);
    if (strcmp(status, watch->status) == 0)
        return;
    memcpy(watch->status, status, sizeof(status));
    notify_status(status);
}

static void feed_watchdog(struct watch *watch)
{
    uint64_t engine_beats = engine_beat(watch->engine);
    uint64_t server_beats = server_beat(watch->server);

    if (engine_beats == watch->engine_beats || server_beats == watch->server_beats)
        return;
    watch->engine_beats = engine_beats;
    watch->server_beats = server_beats;
    notify_alive();
}

void watch_turn(struct watch *watch, bool with_status)
{
    rn_time now = rn_now();

    if (!watch->is_on)
        return;
    if (watch->watchdog > 0 && now >= watch->next_beat) {
        feed_watchdog(watch);
        watch->next_beat = now + watch->watchdog / 4;
    }
    if (with_status && now >= watch->next_status) {
        tell_status(watch);
        watch->next_status = now + STATUS_INTERVAL;
    }
}

int watch_timeout_ms(const struct watch *watch)
{
    rn_time next = watch->next_status;

    if (!watch->is_on)
        return -1;
    if (watch->watchdog > 0 && watch->next_beat < next)
        next = watch->next_beat;
    rn_duration left = next - rn_now();
    return left <= 0 ? 0 : (int)(left / RN_MILLISECOND) + 1; // at most STATUS_INTERVAL
}

void watch_note(struct watch *watch, const char *text, rn_duration length)
{
    (void)snprintf(watch->note, sizeof(watch->note), "%s", text);
    watch->note_until = length == RN_NEVER ? RN_NEVER : rn_after(length);
    if (watch->is_on)
        tell_status(watch);
}
