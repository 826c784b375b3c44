/* How many tasks have failed within the last hour: sixty counters, one a minute, used in turn. */
#include "engine/core.h"

void failures_init(struct failures *failures)
{
    rn_mutex_init(&failures->mu, 60);
}

void failures_fini(struct failures *failures)
{
    rn_mutex_fini(&failures->mu);
}

void failures_add(struct failures *failures, rn_time now)
{
    int64_t minute = now / RN_MINUTE;
    size_t place = (size_t)(minute % FAILURES_MINUTES);

    rn_mutex_lock(&failures->mu);
    if (failures->minute[place] != minute) { // an hour or more ago
        failures->minute[place] = minute;
        failures->count[place] = 0;
    }
    failures->count[place]++;
    rn_mutex_unlock(&failures->mu);
}

unsigned failures_count(struct failures *failures, rn_time now)
{
    int64_t minute = now / RN_MINUTE;
    unsigned count = 0;

    rn_mutex_lock(&failures->mu);
    for (size_t i = 0; i < FAILURES_MINUTES; i++) {
        if (failures->minute[i] > minute - FAILURES_MINUTES)
            count += failures->count[i];
    }
    rn_mutex_unlock(&failures->mu);
    return count;
}
