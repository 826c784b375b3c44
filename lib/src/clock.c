/* The clocks; the only caller of clock_gettime in the library. */
#include <runnel/clock.h>

#include <time.h>

static int64_t read_clock(clockid_t clock, int64_t units_per_s)
{
    struct timespec now;
    int r = clock_gettime(clock, &now);

    RN_ASSERT(r == 0); // fails only for clocks that do not exist
    return now.tv_sec * units_per_s + now.tv_nsec / (RN_SECOND / units_per_s);
}

rn_time rn_now(void)
{
    return read_clock(CLOCK_MONOTONIC, RN_SECOND);
}

rn_time rn_after(rn_duration length)
{
    rn_time now = rn_now();

    if (length <= 0)
        return now;
    return length > RN_NEVER - now ? RN_NEVER : now + length;
}

int64_t rn_wall_ms(void)
{
    return read_clock(CLOCK_REALTIME, 1000);
}
