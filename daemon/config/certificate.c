/* Certificates. The files are read here, not by GnuTLS, so that what kind of file it is and who may
 * read it is looked at on the descriptor that is read. */
#include "config/certificate.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <gnutls/x509.h>

#include "config/file.h"

enum { FILE_BYTES_MAX = 256 << 10 };

struct certificate {
    _Atomic unsigned holders;
    gnutls_certificate_credentials_t credentials;
    int64_t begins_at_s, expires_at_s;
};

static int bad(struct certificate_fault *fault, enum certificate_file file, const char *format, ...)
    RN_PRINTF(3, 4);

static int bad(struct certificate_fault *fault, enum certificate_file file, const char *format, ...)
{
    va_list list;

    fault->file = file;
    va_start(list, format);
    (void)vsnprintf(fault->text, sizeof(fault->text), format, list);
    va_end(list);
    return -EINVAL;
}

static int bad_system(struct certificate_fault *fault, enum certificate_file file, int error)
{
    const char *text = strerrordesc_np(error);
    return bad(fault, file, "%s", text != NULL ? text : "unknown error");
}

/* GnuTLS's words for what it found, or no memory. */
static int bad_gnutls(struct certificate_fault *fault, enum certificate_file file, const char *what,
                      int error)
{
    if (error == GNUTLS_E_MEMORY_ERROR)
        return -ENOMEM;
    return bad(fault, file, "%s: %s", what, gnutls_strerror(error));
}

/* ---- files ---- */

/* The file's bytes, new; what it is must be freed with datum_free. */
static int read_file(const char *path, enum certificate_file file, gnutls_datum_t *ret_datum,
                     struct certificate_fault *fault)
{
    RN_AUTO(file_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return bad_system(fault, file, errno);
    if (!S_ISREG(status.st_mode))
        return bad(fault, file, "it is no regular file");
    if (file == CERTIFICATE_KEY && (status.st_mode & S_IRWXO) != 0)
        return bad(fault, file, "others may use it, and it is a secret (chmod o= helps)");
    ret_datum->data = malloc(FILE_BYTES_MAX + 1);
    if (ret_datum->data == NULL)
        return -ENOMEM;
    size_t bytes = 0;
    int r = file_read(fd, ret_datum->data, FILE_BYTES_MAX + 1, &bytes);
    ret_datum->size = (unsigned)bytes;
    if (r < 0)
        return bad_system(fault, file, -r);
    if (bytes > FILE_BYTES_MAX)
        return bad(fault, file, "it has more than 256 KiB");
    return 0;
}

static void datum_free(gnutls_datum_t *datum)
{
    if (datum->data == NULL)
        return;
    explicit_bzero(datum->data, datum->size);
    free(datum->data);
    datum->data = NULL;
}

/* ---- the chain and the key ---- */

/* What the two files are made of. */
struct parts {
    gnutls_datum_t chain_text, key_text;
    gnutls_x509_crt_t *chain;
    unsigned chain_count;
    gnutls_x509_privkey_t key;
};

static void parts_fini(struct parts *parts)
{
    for (unsigned i = 0; i < parts->chain_count; i++)
        gnutls_x509_crt_deinit(parts->chain[i]);
    gnutls_free(parts->chain);
    if (parts->key != NULL)
        gnutls_x509_privkey_deinit(parts->key);
    datum_free(&parts->chain_text);
    datum_free(&parts->key_text);
}

static int read_parts(const char *chain_path, const char *key_path, struct parts *parts,
                      struct certificate_fault *fault)
{
    int r = read_file(chain_path, CERTIFICATE_CHAIN, &parts->chain_text, fault);
    if (r == 0)
        r = read_file(key_path, CERTIFICATE_KEY, &parts->key_text, fault);
    if (r < 0)
        return r;
    r = gnutls_x509_crt_list_import2(&parts->chain, &parts->chain_count, &parts->chain_text,
                                     GNUTLS_X509_FMT_PEM, 0);
    if (r < 0)
        return bad_gnutls(fault, CERTIFICATE_CHAIN, "it has no certificate in PEM", r);
    r = gnutls_x509_privkey_init(&parts->key);
    if (r < 0)
        return bad_gnutls(fault, CERTIFICATE_KEY, "it cannot be taken", r);
    r = gnutls_x509_privkey_import2(parts->key, &parts->key_text, GNUTLS_X509_FMT_PEM, NULL, 0);
    if (r < 0)
        return bad_gnutls(fault, CERTIFICATE_KEY, "it has no private key in PEM without a password",
                          r);
    return 0;
}

static void take_times(struct certificate *certificate, const struct parts *parts)
{
    certificate->begins_at_s = 0;
    certificate->expires_at_s = INT64_MAX;
    for (unsigned i = 0; i < parts->chain_count; i++) {
        int64_t begins = gnutls_x509_crt_get_activation_time(parts->chain[i]);
        int64_t expires = gnutls_x509_crt_get_expiration_time(parts->chain[i]);
        if (begins > certificate->begins_at_s)
            certificate->begins_at_s = begins;
        if (expires < certificate->expires_at_s)
            certificate->expires_at_s = expires;
    }
}

static int make(struct certificate *certificate, struct parts *parts,
                struct certificate_fault *fault)
{
    int r = gnutls_certificate_allocate_credentials(&certificate->credentials);
    if (r < 0)
        return bad_gnutls(fault, CERTIFICATE_CHAIN, "it cannot be taken", r);
    r = gnutls_certificate_set_x509_key(certificate->credentials, parts->chain,
                                        (int)parts->chain_count, parts->key);
    if (r == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
        return bad(fault, CERTIFICATE_KEY, "it is not the key of the certificate");
    if (r < 0)
        return bad_gnutls(fault, CERTIFICATE_CHAIN, "it does not go with its key", r);
    take_times(certificate, parts);
    return 0;
}

int certificate_load(const char *chain_path, const char *key_path,
                     struct certificate **ret_certificate, struct certificate_fault *ret_fault)
{
    RN_AUTO(parts_fini) struct parts parts = {.chain = NULL};

    RN_ASSERT(chain_path != NULL);
    RN_ASSERT(key_path != NULL);
    struct certificate *certificate = calloc(1, sizeof(*certificate));
    if (certificate == NULL)
        return -ENOMEM;
    atomic_store(&certificate->holders, 1);
    int r = read_parts(chain_path, key_path, &parts, ret_fault);
    if (r == 0)
        r = make(certificate, &parts, ret_fault);
    if (r < 0) {
        certificate_unref(certificate);
        return r;
    }
    *ret_certificate = certificate;
    return 0;
}

struct certificate *certificate_ref(struct certificate *certificate)
{
    unsigned before = atomic_fetch_add_explicit(&certificate->holders, 1, memory_order_relaxed);
    RN_ASSERT(before > 0);
    return certificate;
}

void certificate_unref(struct certificate *certificate)
{
    if (certificate == NULL || atomic_fetch_sub(&certificate->holders, 1) > 1)
        return;
    if (certificate->credentials != NULL)
        gnutls_certificate_free_credentials(certificate->credentials);
    free(certificate);
}

gnutls_certificate_credentials_t certificate_credentials(const struct certificate *certificate)
{
    return certificate->credentials;
}

int64_t certificate_expires_at_s(const struct certificate *certificate)
{
    return certificate->expires_at_s;
}

int64_t certificate_begins_at_s(const struct certificate *certificate)
{
    return certificate->begins_at_s;
}
