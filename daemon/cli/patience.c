/* Another try after 100 ms, 200 ms, … 5 s. */
#include "cli/patience.h"

#include <errno.h>

#include "cli/interrupt.h"

enum { PAUSE_LEAST_MS = 100, PAUSE_MOST_MS = 5000, RETRY_AFTER_MOST_MS = 30000 };

void patience_renew(struct patience *patience)
{
    patience->until = 0;
    patience->pause_ms = 0;
    patience->times = 0;
}

bool patience_again(struct patience *patience, int64_t least_ms)
{
    rn_time now = rn_now();

    if (patience->until == 0)
        patience->until = rn_after(patience->limit);
    if (now >= patience->until || interrupt_seen())
        return false;
    int64_t pause_ms = patience->pause_ms == 0 ? PAUSE_LEAST_MS : patience->pause_ms * 2;
    patience->pause_ms = pause_ms > PAUSE_MOST_MS ? PAUSE_MOST_MS : pause_ms;
    if (least_ms > RETRY_AFTER_MOST_MS)
        least_ms = RETRY_AFTER_MOST_MS;
    pause_ms = patience->pause_ms > least_ms ? patience->pause_ms : least_ms;
    // The last try is made when the time is over, not before.
    int64_t left_ms = (patience->until - now) / RN_MILLISECOND + 1;
    interrupt_pause(pause_ms < left_ms ? pause_ms : left_ms);
    patience->times++;
    patience->in_all++;
    return !interrupt_seen();
}

bool patience_is_for(int error, long status)
{
    return error == -ENOTCONN || error == -ECONNRESET || error == -ETIMEDOUT || status == 408 ||
           status == 429 || status == 503;
}
