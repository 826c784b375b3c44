/** \file
 * Who may do what. Where the configuration names a file of tokens, every call but the public ones
 * needs one, with the call's scope; on a unix socket only who sends a token is asked for it (the
 * socket's mode says who may connect). A token may be limited to queues and kinds: then its tasks,
 * and what it lists, sees and changes, are of these alone, and what is of others is not there for
 * it. It may have a rate.
 *
 * A request whose token is NULL may do everything.
 */
#ifndef API_ACCESS_H
#define API_ACCESS_H

#include <runnel/limiter.h>
#include <runnel/sync.h>

#include "config/config.h"
#include "store/record.h"

struct request;

/** What a call asks of a token: a column of the table of routes. What is left out there is the
 * strictest. */
enum access_need {
    ACCESS_ADMIN,
    ACCESS_ADMIN_QUEUE, // admin, of a token for all kinds: it touches every task of a queue
    ACCESS_ADMIN_WHOLE, // admin, of a token for all queues and kinds: it is about the whole store
    ACCESS_SUBMIT,
    ACCESS_READ,
    ACCESS_READ_WHOLE, // read, of a token for all queues and kinds: the figures of the whole daemon
    ACCESS_TOKEN,      // whatever its scopes
    ACCESS_PUBLIC,     // no token
};

/** How much a token with a rate has left. It outlives a reload that keeps name and hash. */
struct access_bucket {
    char name[CONFIG_NAME_MAX + 1];
    unsigned char hash[CONFIG_TOKEN_HASH_BYTES];
    rn_limiter *limiter;
};

struct access {
    rn_limiter *refusals; // answers of 401; set once, by the first access_load
    rn_mutex mu;          // rank 17
    struct access_bucket *buckets RN_GUARDED_BY(mu); // of the tokens with a rate
    size_t bucket_count RN_GUARDED_BY(mu);
};

/** The buckets of a configuration that is not in force yet. */
struct access_rates {
    struct access_bucket *buckets;
    size_t count;
};

void access_init(struct access *access);
void access_fini(struct access *access);
/**
 * Takes the tokens' rates from a configuration: the first one, before any request, or a new one.
 * What a token of the same name and hash has left stays as it is.
 *
 * **Threads:** any. **Errors:** -ENOMEM: all is as it was.
 */
int access_load(struct access *access, const struct config *config) RN_MUST_CHECK;
/** The same in two steps, of which the second one can't fail: makes, and puts in force what was
 * made for this configuration (*rates is empty then). */
int access_prepare(const struct config *config, struct access_rates *ret_rates) RN_MUST_CHECK;
void access_commit(struct access *access, const struct config *config, struct access_rates *rates);
/** Frees what was prepared; what was committed is empty. */
void access_rates_fini(struct access_rates *rates);

/**
 * The token that an Authorization header names. Its SHA-256 is compared with every token's in
 * constant time, whatever the header says, and also where it says nothing.
 *
 * @param authorization  NULL: there is none
 * @param ret_compared   how many were compared
 *
 * @return borrowed from tokens; NULL: none
 */
const struct config_token *access_find(const struct config_token *tokens, size_t count,
                                       const char *authorization, size_t *ret_compared);

/** A token's rate in the terms of draft-ietf-httpapi-ratelimit-headers: a quota in a window. */
struct access_quota {
    bool is_allowed;
    uint64_t quota, window_s; // as many requests in as many seconds
    uint64_t left, reset_s;   // and how long until there is one again, or until all are
};
/** Takes one request from a token's rate. false: it has none. */
bool access_take(struct access *access, const struct config_token *token, rn_time now,
                 struct access_quota *ret_quota);

/** Whether the request, whose route is known, may be made; sets its token. false: answered. */
bool access_allows(struct request *request) RN_MUST_CHECK;

/** Whether the token is for some queues or kinds only. */
bool access_is_limited(const struct config_token *token);
/** Whether the task is there for the token. */
bool access_sees(const struct config_token *token, const struct record *record);

#endif
