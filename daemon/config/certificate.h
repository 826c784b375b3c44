/** \file
 * A certificate chain with its private key, as TLS connections are served with it. Immutable once
 * loaded, and counted: a connection keeps the one that it began with while another takes its place.
 */
#ifndef CONFIG_CERTIFICATE_H
#define CONFIG_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include <gnutls/gnutls.h>
#include <runnel/error.h>

struct certificate;

/** Which of the two files a fault is of. */
enum certificate_file { CERTIFICATE_CHAIN, CERTIFICATE_KEY };

struct certificate_fault {
    enum certificate_file file;
    char text[256]; // why not; what is in the files is not repeated
};

/**
 * Reads and checks a chain (the server's own certificate first) and its key, both in PEM. The key's
 * file must not be readable by others.
 *
 * **Ownership:** ret_certificate is new, given back with certificate_unref. **Errors:** -EINVAL:
 * ret_fault says which file and why; -ENOMEM.
 */
int certificate_load(const char *chain_path, const char *key_path,
                     struct certificate **ret_certificate, struct certificate_fault *ret_fault)
    RN_MUST_CHECK;
/** One more holder; returns it. Threads: any. */
struct certificate *certificate_ref(struct certificate *certificate);
/** One less; the last one frees it. NULL is allowed. Threads: any. */
void certificate_unref(struct certificate *certificate);

/** For gnutls_credentials_set; borrowed, and never changed. */
gnutls_certificate_credentials_t certificate_credentials(const struct certificate *certificate);
/** When the first of the chain's certificates runs out, and when all of them have begun to hold;
 * seconds since 1970. */
int64_t certificate_expires_at_s(const struct certificate *certificate);
int64_t certificate_begins_at_s(const struct certificate *certificate);

#endif
