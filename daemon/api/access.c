/* Tokens at the gate. A guess learns nothing but that it is wrong: what is sent is hashed, and the
 * hash is compared with all that there are, each to its end; a missing token takes the same way.
 * Wrong ones together get ten answers of 401 a second, the rest 429; who has a right one is served
 * beside them. */
#include "api/access.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <nettle/memops.h>
#include <nettle/sha2.h>

#include "api/request.h"
#include "api/routes.h"

enum { REFUSALS_PER_S = 10 };

/* ---- the tokens' rates ---- */

static struct access_bucket *find_locked(struct access *access, const struct config_token *token)
    RN_REQUIRES(&access->mu);

static struct access_bucket *find_locked(struct access *access, const struct config_token *token)
{
    for (size_t i = 0; i < access->bucket_count; i++) {
        struct access_bucket *bucket = &access->buckets[i];
        if (strcmp(bucket->name, token->name) == 0 &&
            memcmp(bucket->hash, token->hash, sizeof(bucket->hash)) == 0)
            return bucket;
    }
    return NULL;
}

static void free_buckets(struct access_bucket *buckets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        rn_limiter_free(buckets[i].limiter);
    free(buckets);
}

void access_rates_fini(struct access_rates *rates)
{
    free_buckets(RN_TAKE(rates->buckets), rates->count);
}

/* A full bucket for each token with a rate. */
int access_prepare(const struct config *config, struct access_rates *ret_rates)
{
    struct access_bucket *buckets = calloc(config->token_count + 1, sizeof(*buckets));
    size_t count = 0;
    int r = buckets == NULL ? -ENOMEM : 0;

    for (size_t i = 0; i < config->token_count && r == 0; i++) {
        const struct config_token *token = &config->tokens[i];
        if (isinf(token->rate.per_s))
            continue;
        struct access_bucket *bucket = &buckets[count];
        memcpy(bucket->name, token->name, sizeof(bucket->name));
        memcpy(bucket->hash, token->hash, sizeof(bucket->hash));
        r = rn_limiter_new(token->rate.per_s, token->burst, &bucket->limiter);
        count += r == 0;
    }
    if (r < 0) {
        free_buckets(buckets, count);
        return r;
    }
    *ret_rates = (struct access_rates){.buckets = buckets, .count = count};
    return 0;
}

/* What is left of a token's old bucket goes into its new one. */
static void take_over_locked(struct access *access, const struct config *config,
                             const struct access_bucket *buckets, size_t count)
    RN_REQUIRES(&access->mu);

static void take_over_locked(struct access *access, const struct config *config,
                             const struct access_bucket *buckets, size_t count)
{
    rn_time now = rn_now();
    size_t at = 0;

    // The buckets are in the order of the tokens.
    for (size_t i = 0; i < config->token_count && at < count; i++) {
        if (isinf(config->tokens[i].rate.per_s))
            continue;
        const struct access_bucket *before = find_locked(access, &config->tokens[i]);
        if (before != NULL)
            rn_limiter_set_tokens_at(buckets[at].limiter, now,
                                     rn_limiter_tokens_at(before->limiter, now));
        at++;
    }
}

void access_init(struct access *access)
{
    rn_mutex_init(&access->mu, 17);
}

int access_load(struct access *access, const struct config *config)
{
    struct access_rates rates;

    int r = access->refusals != NULL
                ? 0
                : rn_limiter_new(REFUSALS_PER_S, REFUSALS_PER_S, &access->refusals);
    if (r == 0)
        r = access_prepare(config, &rates);
    if (r == 0)
        access_commit(access, config, &rates);
    return r;
}

void access_commit(struct access *access, const struct config *config, struct access_rates *rates)
{
    rn_mutex_lock(&access->mu);
    take_over_locked(access, config, rates->buckets, rates->count);
    struct access_rates old = {.buckets = access->buckets, .count = access->bucket_count};
    access->buckets = rates->buckets;
    access->bucket_count = rates->count;
    rn_mutex_unlock(&access->mu);
    *rates = (struct access_rates){.buckets = NULL};
    access_rates_fini(&old);
}

void access_fini(struct access *access)
{
    rn_mutex_lock(&access->mu);
    free_buckets(access->buckets, access->bucket_count);
    access->buckets = NULL;
    access->bucket_count = 0;
    rn_mutex_unlock(&access->mu);
    rn_limiter_free(access->refusals);
    rn_mutex_fini(&access->mu);
}

static uint64_t seconds_up(double seconds)
{
    return seconds > 1 ? (uint64_t)ceil(seconds) : 1;
}

bool access_take(struct access *access, const struct config_token *token, rn_time now,
                 struct access_quota *ret_quota)
{
    bool is_allowed = true;
    double left = 0;
    rn_time ready_at = now;

    if (isinf(token->rate.per_s))
        return false;
    rn_mutex_lock(&access->mu);
    const struct access_bucket *bucket = find_locked(access, token);
    if (bucket != NULL) {
        is_allowed = rn_limiter_allow_at(bucket->limiter, now, 1);
        left = rn_limiter_tokens_at(bucket->limiter, now);
        ready_at = rn_limiter_ready_at(bucket->limiter, now, 1);
    }
    rn_mutex_unlock(&access->mu);
    if (bucket == NULL)
        return false; // a reload has taken the token away since it was found

    // The window in which the burst comes back, at least a second, and what comes in it.
    uint64_t window_s = seconds_up(token->burst / token->rate.per_s);
    uint64_t quota = (uint64_t)(token->rate.per_s * (double)window_s);
    bool is_empty = left < 1;
    *ret_quota = (struct access_quota){
        .is_allowed = is_allowed,
        .quota = quota > token->burst ? quota : token->burst,
        .window_s = window_s,
        .left = is_empty ? 0 : (uint64_t)left,
        .reset_s = seconds_up(is_empty ? (double)(ready_at - now) / RN_SECOND
                                       : (token->burst - left) / token->rate.per_s)};
    return true;
}

/* ---- which token ---- */

/* What stands behind `Bearer `; "": there is no header, or it has another scheme. */
static const char *bearer(const char *authorization)
{
    static const char scheme[] = "Bearer ";

    if (authorization == NULL || strncasecmp(authorization, scheme, sizeof(scheme) - 1) != 0)
        return "";
    authorization += sizeof(scheme) - 1;
    return authorization + strspn(authorization, " ");
}

const struct config_token *access_find(const struct config_token *tokens, size_t count,
                                       const char *authorization, size_t *ret_compared)
{
    const char *text = bearer(authorization);
    struct sha256_ctx context;
    uint8_t hash[CONFIG_TOKEN_HASH_BYTES];
    size_t found = 0; // its number, from 1

    sha256_init(&context);
    sha256_update(&context, strlen(text), (const uint8_t *)text);
    sha256_digest(&context, sizeof(hash), hash);
    *ret_compared = 0;
    for (size_t i = 0; i < count; i++) {
        // No two have the same hash.
        found |= (size_t)memeql_sec(tokens[i].hash, hash, sizeof(hash)) * (i + 1);
        (*ret_compared)++;
    }
    // The hash of nothing may stand in the file, but nothing is no token.
    return found > 0 && text[0] != '\0' ? &tokens[found - 1] : NULL;
}

/* ---- refusals ---- */

static void refuse_rate(struct request *request, const char *detail, uint64_t after_s)
{
    struct buffer text = {.bytes = NULL};

    problem_begin(&text, PROBLEM_RATE_LIMITED, detail);
    problem_end(&text);
    request_answer(request, &(struct answer){.status = problem_row(PROBLEM_RATE_LIMITED)->status,
                                             .type = "application/problem+json",
                                             .text = &text,
                                             .retry_after_s = (unsigned)after_s});
}

/* RFC 6750, 3.1: who sent no token is told of no error. */
static void refuse_unknown(struct request *request)
{
    const char *authorization = request->head.authorization;
    bool is_bearer = authorization != NULL && strncasecmp(authorization, "Bearer", 6) == 0;

    request->allow[0] = '\0';
    if (!rn_limiter_allow(request->server->access.refusals)) {
        refuse_rate(request, "too many requests have come without a valid token", 1);
        return;
    }
    (void)snprintf(request->challenge, sizeof(request->challenge), "Bearer realm=\"runnel\"%s",
                   is_bearer ? ", error=\"invalid_token\"" : "");
    if (is_bearer)
        request_problem(request, PROBLEM_UNAUTHORIZED, "the token is not one of the daemon's");
    else
        request_problem(request, PROBLEM_UNAUTHORIZED,
                        "send a token: Authorization: Bearer rn_…; runneld --new-token makes one");
}

static const char *scope_name(enum access_need need)
{
    switch (need) {
    case ACCESS_SUBMIT:
        return "submit";
    case ACCESS_READ:
    case ACCESS_READ_WHOLE:
        return "read";
    default:
        return "admin";
    }
}

static unsigned scope_bit(enum access_need need)
{
    switch (need) {
    case ACCESS_SUBMIT:
        return CONFIG_SCOPE_SUBMIT;
    case ACCESS_READ:
    case ACCESS_READ_WHOLE:
        return CONFIG_SCOPE_READ;
    default:
        return 0; // admin alone
    }
}

static bool has_scope(struct request *request)
{
    const struct config_token *token = request->token;
    enum access_need need = request->route->access;

    if (need == ACCESS_TOKEN)
        return true;
    if ((token->scopes & (scope_bit(need) | CONFIG_SCOPE_ADMIN)) == 0) {
        (void)snprintf(request->challenge, sizeof(request->challenge),
                       "Bearer realm=\"runnel\", error=\"insufficient_scope\", scope=\"%s\"",
                       scope_name(need));
        request_problem(request, PROBLEM_FORBIDDEN, "the token %s has not the scope %s",
                        token->name, scope_name(need));
        return false;
    }
    if ((need == ACCESS_READ_WHOLE || need == ACCESS_ADMIN_WHOLE) && access_is_limited(token)) {
        request_problem(request, PROBLEM_FORBIDDEN,
                        "the token %s is for some queues or kinds only, and this is about all",
                        token->name);
        return false;
    }
    if (need == ACCESS_ADMIN_QUEUE && token->kind_count > 0) {
        request_problem(request, PROBLEM_FORBIDDEN,
                        "the token %s is for some kinds only, and a queue has others too",
                        token->name);
        return false;
    }
    return true;
}

static bool has_rate_left(struct request *request)
{
    struct access_quota quota;

    if (!access_take(&request->server->access, request->token, rn_now(), &quota))
        return true;
    (void)snprintf(request->rate_policy, sizeof(request->rate_policy),
                   "\"token\";q=%" PRIu64 ";w=%" PRIu64, quota.quota, quota.window_s);
    (void)snprintf(request->rate_left, sizeof(request->rate_left),
                   "\"token\";r=%" PRIu64 ";t=%" PRIu64, quota.left, quota.reset_s);
    if (quota.is_allowed)
        return true;
    request->allow[0] = '\0';
    refuse_rate(request, "this token's rate is used up", quota.reset_s);
    return false;
}

bool access_allows(struct request *request)
{
    const struct config *config = request->config;
    const char *authorization = request->head.authorization;
    size_t compared = 0;

    if (request->route != NULL && request->route->access == ACCESS_PUBLIC)
        return true;
    if (config->token_file == NULL ||
        (request->connection->listener->is_unix && authorization == NULL))
        return true;
    request->token = access_find(config->tokens, config->token_count, authorization, &compared);
    if (request->token == NULL) {
        refuse_unknown(request);
        return false;
    }
    return has_rate_left(request) && (request->route == NULL || has_scope(request));
}

/* ---- queues and kinds ---- */

bool access_is_limited(const struct config_token *token)
{
    return token != NULL && (token->queue_count > 0 || token->kind_count > 0);
}

bool access_sees(const struct config_token *token, const struct record *record)
{
    return config_token_has_queue(token, record->queue) &&
           config_token_has_kind(token, record->kind);
}
