/*
 * A token bucket, after golang.org/x/time/rate.
 *
 * The bucket is not filled by a clock but worked out when somebody asks: `tokens` is what was there
 * at `last`. Reserving takes tokens that have not come yet, so `tokens` may be below 0;
 * `last_event` is the instant at which the latest reservation may act.
 *
 * An instant found for n tokens is such that n tokens are there at that instant by the same
 * arithmetic: length_of() rounds up, and find_locked() forgives what rounding may leave short.
 */
#include <runnel/limiter.h>

#include <stdlib.h>

#include <runnel/sync.h>

struct rn_limiter {
    rn_mutex mu; // rank 55
    double tokens_per_s RN_GUARDED_BY(mu);
    unsigned burst RN_GUARDED_BY(mu);
    double tokens RN_GUARDED_BY(mu);
    rn_time last RN_GUARDED_BY(mu);
    rn_time last_event RN_GUARDED_BY(mu);
    rn_cond changed RN_GUARDED_BY(mu); // rate, burst or level: those look again to whom none came
};

static bool is_rate(double tokens_per_s)
{
    return tokens_per_s >= 0; // false for what is no number
}

/* The tokens that come in a length of time. */
static double tokens_in(rn_duration length, double tokens_per_s)
{
    return (double)length / (double)RN_SECOND * tokens_per_s;
}

/* The time in which tokens (above 0) come; RN_NEVER as a length: never. */
static rn_duration length_of(double tokens, double tokens_per_s)
{
    if (tokens_per_s <= 0)
        return RN_NEVER;
    double length = ceil(tokens / tokens_per_s * (double)RN_SECOND);
    return length >= (double)RN_NEVER ? RN_NEVER : (rn_duration)length;
}

static rn_time add(rn_time at, rn_duration length)
{
    return length > RN_NEVER - at ? RN_NEVER : at + length;
}

/* The tokens at an instant; one before `last` counts as `last`. */
static double tokens_locked(const rn_limiter *limiter, rn_time now) RN_REQUIRES(&limiter->mu);
static double tokens_locked(const rn_limiter *limiter, rn_time now)
{
    double tokens = limiter->tokens;

    if (now > limiter->last)
        tokens += tokens_in(now - limiter->last, limiter->tokens_per_s);
    return tokens < limiter->burst ? tokens : limiter->burst;
}

/* Brings the bucket up to date. */
static void advance_locked(rn_limiter *limiter, rn_time now) RN_REQUIRES(&limiter->mu);
static void advance_locked(rn_limiter *limiter, rn_time now)
{
    limiter->tokens = tokens_locked(limiter, now);
    if (now > limiter->last)
        limiter->last = now;
}

/*
 * When n tokens are there, and what is left then if they are taken now (below 0: has to come yet).
 * RN_NEVER: they never are.
 */
static rn_time find_locked(const rn_limiter *limiter, rn_time now, unsigned n, double *ret_left)
    RN_REQUIRES(&limiter->mu);
static rn_time find_locked(const rn_limiter *limiter, rn_time now, unsigned n, double *ret_left)
{
    double left = tokens_locked(limiter, now) - n;
    // Rounding makes errors of some 1e-16 of the numbers that meet, and none is above the burst by
    // much; no caller counts in parts this small.
    double slack = 1e-9 + 1e-12 * limiter->burst;

    if (left < 0 && left > -slack)
        left = 0;
    *ret_left = left;
    // From `last` on if the caller's clock is behind it: there the tokens were counted.
    rn_time from = now > limiter->last ? now : limiter->last;
    return left >= 0 ? now : add(from, length_of(-left, limiter->tokens_per_s));
}

/* Takes n tokens if they are there by `latest`. */
static rn_reservation take_locked(rn_limiter *limiter, rn_time now, unsigned n, rn_time latest)
    RN_REQUIRES(&limiter->mu);
static rn_reservation take_locked(rn_limiter *limiter, rn_time now, unsigned n, rn_time latest)
{
    rn_reservation reservation = {.limiter = limiter, .tokens = n, .at = now};
    double left;

    reservation.tokens_per_s = limiter->tokens_per_s;
    if (isinf(limiter->tokens_per_s)) {
        reservation.ok = true;
        return reservation;
    }
    if (n > limiter->burst)
        return reservation;
    reservation.at = find_locked(limiter, now, n, &left);
    reservation.ok = reservation.at <= latest && reservation.at != RN_NEVER;
    if (reservation.ok) {
        advance_locked(limiter, now);
        limiter->tokens = left;
        limiter->last_event = reservation.at;
    }
    return reservation;
}

static rn_reservation take(rn_limiter *limiter, rn_time now, unsigned n, rn_time latest)
{
    rn_mutex_lock(&limiter->mu);
    rn_reservation reservation = take_locked(limiter, now, n, latest);
    rn_mutex_unlock(&limiter->mu);
    return reservation;
}

RN_UNCHECKED_LOCKING int rn_limiter_new(double tokens_per_s, unsigned burst,
                                        rn_limiter **ret_limiter)
{
    if (!is_rate(tokens_per_s))
        return -EINVAL;
    rn_limiter *limiter = calloc(1, sizeof(*limiter));
    if (limiter == NULL)
        return -ENOMEM;
    rn_mutex_init(&limiter->mu, 55);
    limiter->tokens_per_s = tokens_per_s;
    limiter->burst = burst;
    limiter->tokens = burst;
    *ret_limiter = limiter;
    return 0;
}

RN_UNCHECKED_LOCKING void rn_limiter_free(rn_limiter *limiter)
{
    if (limiter == NULL)
        return;
    rn_cond_fini(&limiter->changed);
    rn_mutex_fini(&limiter->mu);
    free(limiter);
}

bool rn_limiter_allow(rn_limiter *limiter)
{
    return rn_limiter_allow_n(limiter, 1);
}

bool rn_limiter_allow_n(rn_limiter *limiter, unsigned n)
{
    return rn_limiter_allow_at(limiter, rn_now(), n);
}

bool rn_limiter_allow_at(rn_limiter *limiter, rn_time now, unsigned n)
{
    return take(limiter, now, n, now).ok;
}

rn_time rn_limiter_ready_at(rn_limiter *limiter, rn_time now, unsigned n)
{
    rn_time at = RN_NEVER;
    double left;

    rn_mutex_lock(&limiter->mu);
    if (isinf(limiter->tokens_per_s))
        at = now;
    else if (n <= limiter->burst)
        at = find_locked(limiter, now, n, &left);
    rn_mutex_unlock(&limiter->mu);
    return at;
}

rn_reservation rn_limiter_reserve(rn_limiter *limiter)
{
    return rn_limiter_reserve_n(limiter, 1);
}

rn_reservation rn_limiter_reserve_n(rn_limiter *limiter, unsigned n)
{
    return rn_limiter_reserve_at(limiter, rn_now(), n);
}

rn_reservation rn_limiter_reserve_at(rn_limiter *limiter, rn_time now, unsigned n)
{
    return take(limiter, now, n, RN_NEVER);
}

rn_duration rn_reservation_delay(const rn_reservation *reservation)
{
    return rn_reservation_delay_at(reservation, rn_now());
}

rn_duration rn_reservation_delay_at(const rn_reservation *reservation, rn_time now)
{
    if (!reservation->ok)
        return RN_NEVER;
    return reservation->at > now ? reservation->at - now : 0;
}

static void give_back_locked(rn_limiter *limiter, const rn_reservation *reservation, rn_time now)
    RN_REQUIRES(&limiter->mu);
static void give_back_locked(rn_limiter *limiter, const rn_reservation *reservation, rn_time now)
{
    // What was reserved after it rests on its tokens: the time between the two stays taken.
    double resting = 0;
    if (limiter->last_event > reservation->at)
        resting = tokens_in(limiter->last_event - reservation->at, reservation->tokens_per_s);
    double restored = reservation->tokens - resting;
    if (restored <= 0)
        return;

    advance_locked(limiter, now);
    limiter->tokens += restored;
    if (limiter->tokens > limiter->burst)
        limiter->tokens = limiter->burst;
    if (reservation->at != limiter->last_event)
        return;
    // It was the latest: the one before it is the latest again.
    rn_duration length = length_of(reservation->tokens, reservation->tokens_per_s);
    if (length < reservation->at && reservation->at - length >= now)
        limiter->last_event = reservation->at - length;
}

void rn_reservation_cancel(const rn_reservation *reservation)
{
    rn_reservation_cancel_at(reservation, rn_now());
}

void rn_reservation_cancel_at(const rn_reservation *reservation, rn_time now)
{
    rn_limiter *limiter = reservation->limiter;

    if (!reservation->ok || reservation->tokens == 0 || reservation->at <= now)
        return;
    rn_mutex_lock(&limiter->mu);
    if (!isinf(limiter->tokens_per_s))
        give_back_locked(limiter, reservation, now);
    rn_mutex_unlock(&limiter->mu);
}

int rn_limiter_wait(rn_context *ctx, rn_limiter *limiter)
{
    return rn_limiter_wait_n(ctx, limiter, 1);
}

/* Reserves n tokens as a waiting caller does: 0, or why it can't. */
static int reserve_waiting(rn_context *ctx, rn_limiter *limiter, unsigned n,
                           rn_reservation *ret_reservation)
{
    rn_time latest = rn_context_deadline(ctx);
    int r = rn_context_err(ctx);

    rn_mutex_lock(&limiter->mu);
    while (r == 0) {
        rn_reservation reservation = take_locked(limiter, rn_now(), n, latest);
        if (reservation.ok) {
            *ret_reservation = reservation;
            break;
        }
        if (n > limiter->burst)
            r = -EMSGSIZE;
        else if (latest != RN_NEVER)
            r = -ETIMEDOUT;
        else // at this rate they never come: another rate may
            r = rn_cond_wait(ctx, &limiter->changed, &limiter->mu, RN_NEVER);
    }
    rn_mutex_unlock(&limiter->mu);
    return r;
}

int rn_limiter_wait_n(rn_context *ctx, rn_limiter *limiter, unsigned n)
{
    rn_reservation reservation;
    int r = reserve_waiting(ctx, limiter, n, &reservation);

    while (r == 0) {
        rn_duration delay = rn_reservation_delay_at(&reservation, rn_now());
        if (delay == 0)
            return 0;
        r = rn_sleep(ctx, delay);
        if (r < 0)
            rn_reservation_cancel_at(&reservation, rn_now());
    }
    return r;
}

void rn_limiter_set_limit(rn_limiter *limiter, double tokens_per_s)
{
    rn_limiter_set_limit_at(limiter, rn_now(), tokens_per_s);
}

void rn_limiter_set_limit_at(rn_limiter *limiter, rn_time now, double tokens_per_s)
{
    RN_ASSERT(is_rate(tokens_per_s));
    rn_mutex_lock(&limiter->mu);
    advance_locked(limiter, now);
    limiter->tokens_per_s = tokens_per_s;
    rn_cond_broadcast(&limiter->changed);
    rn_mutex_unlock(&limiter->mu);
}

void rn_limiter_set_burst(rn_limiter *limiter, unsigned burst)
{
    rn_limiter_set_burst_at(limiter, rn_now(), burst);
}

void rn_limiter_set_burst_at(rn_limiter *limiter, rn_time now, unsigned burst)
{
    rn_mutex_lock(&limiter->mu);
    advance_locked(limiter, now);
    limiter->burst = burst;
    if (limiter->tokens > burst)
        limiter->tokens = burst;
    rn_cond_broadcast(&limiter->changed);
    rn_mutex_unlock(&limiter->mu);
}

double rn_limiter_limit(rn_limiter *limiter)
{
    rn_mutex_lock(&limiter->mu);
    double tokens_per_s = limiter->tokens_per_s;
    rn_mutex_unlock(&limiter->mu);
    return tokens_per_s;
}

unsigned rn_limiter_burst(rn_limiter *limiter)
{
    rn_mutex_lock(&limiter->mu);
    unsigned burst = limiter->burst;
    rn_mutex_unlock(&limiter->mu);
    return burst;
}

double rn_limiter_tokens(rn_limiter *limiter)
{
    return rn_limiter_tokens_at(limiter, rn_now());
}

double rn_limiter_tokens_at(rn_limiter *limiter, rn_time now)
{
    rn_mutex_lock(&limiter->mu);
    double tokens = tokens_locked(limiter, now);
    rn_mutex_unlock(&limiter->mu);
    return tokens;
}

void rn_limiter_set_tokens_at(rn_limiter *limiter, rn_time now, double tokens)
{
    rn_mutex_lock(&limiter->mu);
    if (!(tokens > 0))
        tokens = 0; // also what is no number
    limiter->tokens = tokens < limiter->burst ? tokens : limiter->burst;
    limiter->last = now;
    limiter->last_event = now;
    rn_cond_broadcast(&limiter->changed);
    rn_mutex_unlock(&limiter->mu);
}
