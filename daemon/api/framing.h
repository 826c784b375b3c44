/** \file
 * The gate: what a request's header must be before any handler sees the request. libmicrohttpd lets
 * pass what could be read in two ways (two Content-Length, a transfer coding that it does not know,
 * …), so everything that tells where a request ends is checked here again. Pure functions:
 * libmicrohttpd's calls stand in request.c.
 */
#ifndef API_FRAMING_H
#define API_FRAMING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/problem.h"
#include "config/config.h"

enum framing_media { MEDIA_NONE, MEDIA_JSON, MEDIA_NDJSON, MEDIA_OTHER };

/** A header as it is gathered. All zero at first but for its limits; values are borrowed. */
struct head {
    const struct config_limits *limits; // borrowed
    size_t field_count;
    size_t bytes;
    unsigned seen; // set of the known fields that were there
    const char *host, *content_type, *content_length, *transfer_encoding, *origin, *fetch_site,
        *key, *authorization;
    // set by framing_check
    bool has_body; // one follows, possibly of length 0 where it is chunked
    bool is_chunked;
    uint64_t body_bytes; // where it is not chunked
    bool has_fault;
    enum problem problem;
    char detail[200];
};

/** The first line's URL as it came, before anything is decoded. Notes faults in it. */
void framing_url(struct head *head, const char *url, size_t length);
/** One field. Notes faults in it. */
void framing_field(struct head *head, const char *name, size_t name_length, const char *value,
                   size_t value_length);
/** After the last field: whether all of it together is sound. false: problem and detail say why
 * not; the connection must be closed. */
bool framing_check(struct head *head, const char *method, const char *version);

/** The names by which the daemon may be called: 127.0.0.1, localhost and [::1], and the address
 * that it listens on, unless that stands for all. */
struct framing_hosts {
    char names[8][128];
    size_t count;
};
void framing_hosts(struct framing_hosts *hosts, const char *listen_host, uint16_t port);
/** Whether Host is exactly one of these names, or of further ones (NULL-terminated; NULL: none): a
 * web page can make a name of its own stand for any address. false: head's problem is set. */
bool framing_host(struct head *head, const struct framing_hosts *hosts, char *const *further);
/** Whether it is not from a web page, as far as browsers tell. false: head's problem is set. */
bool framing_origin(struct head *head);

/** What Content-Type says. A charset other than UTF-8 is MEDIA_OTHER. */
enum framing_media framing_media(const char *content_type);

/** Idempotency-Key: 1 to 255 visible characters, quoted (RFC 8941 string) or not. -EINVAL. text has
 * 256 bytes. */
int framing_key(const char *value, char *text) RN_MUST_CHECK;

#endif
