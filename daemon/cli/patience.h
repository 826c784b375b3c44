/** \file How long something is tried again: a daemon that is started anew is back in a moment. */
#ifndef CLI_PATIENCE_H
#define CLI_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

#include <runnel/clock.h>

struct patience {
    rn_duration limit; // without success, for so long
    rn_time until;     // 0: all is well
    int64_t pause_ms;  // the next one, doubled each time
    unsigned times;    // tried again since it was last well
    unsigned in_all;   // tried again, ever
};

/** All is well again. */
void patience_renew(struct patience *patience);
/**
 * Pauses before another try.
 *
 * @param least_ms  at least so long: what Retry-After asked for
 * @return false: its limit is reached, or interrupt_seen()
 */
bool patience_again(struct patience *patience, int64_t least_ms);
/** Whether an error of http_call, or a status, is worth another try. */
bool patience_is_for(int error, long status);

#endif
