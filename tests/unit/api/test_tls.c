/* TLS: which certificate a connection gets, what ends one that does not get on, and that nothing is
 * ever written in plain. The client is GnuTLS by itself. */
#include "unit.h"

#include "client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <runnel/group.h>

#include "api/core.h"
#include "config/certificate.h"
#include "pem.h"

enum { DAY = 24 * 3600 };

static char folder[128];
static struct certificate *first, *second;

static struct certificate *load(const char *name)
{
    char chain[256];
    char key[256];
    struct certificate *certificate = NULL;
    struct certificate_fault fault;

    (void)snprintf(chain, sizeof(chain), "%.120s/chain", folder);
    (void)snprintf(key, sizeof(key), "%.120s/key", folder);
    pem_make(chain, key, name, -DAY, 90 * DAY);
    if (certificate_load(chain, key, &certificate, &fault) < 0)
        fail_msg("certificate_load: %s", fault.text);
    (void)unlink(chain);
    (void)unlink(key);
    return certificate;
}

static int make_certificates(void **state)
{
    const char *temporary = getenv("TMPDIR");

    (void)state;
    (void)snprintf(folder, sizeof(folder), "%.100s/tlsXXXXXX",
                   temporary != NULL && strlen(temporary) < 100 ? temporary : "/tmp");
    if (mkdtemp(folder) == NULL)
        return -1;
    first = load("first");
    second = load("second");
    return rmdir(folder);
}

static int drop_certificates(void **state)
{
    (void)state;
    certificate_unref(first);
    certificate_unref(second);
    return 0;
}

/* The rig with TLS on its port, not started. */
static struct config *with_tls(struct rig *rig)
{
    struct config *config = fake_config(rig->engine);

    config->certificate = first;
    return config;
}

/* ---- the client ---- */

struct tls {
    int fd;
    gnutls_certificate_credentials_t credentials;
    gnutls_session_t session;
};

/* What the handshake says. */
static int tls_open(struct rig *rig, const char *priorities, struct tls *tls)
{
    tls->fd = client_connect(rig);
    assert_int_equal(gnutls_certificate_allocate_credentials(&tls->credentials), 0);
    assert_int_equal(gnutls_init(&tls->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL), 0);
    assert_int_equal(gnutls_priority_set_direct(tls->session, priorities, NULL), 0);
    assert_int_equal(gnutls_credentials_set(tls->session, GNUTLS_CRD_CERTIFICATE, tls->credentials),
                     0);
    gnutls_transport_set_int(tls->session, tls->fd);
    int r = 0;
    do
        r = gnutls_handshake(tls->session);
    while (r < 0 && gnutls_error_is_fatal(r) == 0);
    return r;
}

static void tls_close(struct tls *tls)
{
    gnutls_deinit(tls->session);
    gnutls_certificate_free_credentials(tls->credentials);
    (void)close(tls->fd);
}

static void tls_send(struct tls *tls, const char *text)
{
    (void)gnutls_record_send(tls->session, text, strlen(text));
}

/* Reads until the text has `until`, or to the end: the last result. */
static ssize_t tls_read(struct tls *tls, const char *until, char *text, size_t size)
{
    size_t used = 0;
    ssize_t n = 0;

    text[0] = '\0';
    while (used + 1 < size && (until == NULL || strstr(text, until) == NULL)) {
        n = gnutls_record_recv(tls->session, text + used, size - 1 - used);
        if (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        text[used] = '\0';
    }
    return n;
}

static void ask_health(struct rig *rig, struct tls *tls)
{
    char text[256];

    (void)snprintf(text, sizeof(text), "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n",
                   rig->port);
    tls_send(tls, text);
    (void)tls_read(tls, "\"ok\"", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 200"));
}

/* Whether the server showed the certificate with this name. */
static bool has_name(struct tls *tls, const char *name)
{
    unsigned count = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(tls->session, &count);
    gnutls_x509_crt_t crt = NULL;
    char found[64] = "";
    size_t bytes = sizeof(found);

    assert_true(count > 0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_import(crt, &chain[0], GNUTLS_X509_FMT_DER), 0);
    (void)gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, found, &bytes);
    gnutls_x509_crt_deinit(crt);
    return strcmp(found, name) == 0;
}

/* ---- certificates ---- */

static void new_connections_get_the_new_certificate_and_old_ones_go_on(void **state)
{
    struct rig *rig = *state;
    struct tls old;
    struct tls new;
    (void)with_tls(rig);
    rig_start(rig);
    assert_int_equal(tls_open(rig, "NORMAL", &old), 0);
    assert_true(has_name(&old, "first"));

    server_set_certificate(rig->server, second);

    assert_int_equal(tls_open(rig, "NORMAL", &new), 0);
    assert_true(has_name(&new, "second"));
    ask_health(rig, &old);
    ask_health(rig, &new);
    tls_close(&old);
    tls_close(&new);
}

static int swap_again_and_again(rn_context *ctx, void *arg)
{
    struct rig *rig = arg;

    for (unsigned i = 0; rn_context_err(ctx) == 0; i++)
        server_set_certificate(rig->server, i % 2 == 0 ? second : first);
    return 0;
}

static void a_certificate_may_change_in_the_middle_of_handshakes(void **state)
{
    struct rig *rig = *state;
    rn_group *group = NULL;
    (void)with_tls(rig);
    rig_start(rig);
    assert_int_equal(rn_group_new(NULL, &group), 0);
    assert_int_equal(rn_group_go(group, "swap", swap_again_and_again, rig), 0);

    for (unsigned i = 0; i < 50; i++) {
        struct tls tls;
        assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);
        assert_true(has_name(&tls, "first") || has_name(&tls, "second"));
        ask_health(rig, &tls);
        tls_close(&tls);
    }

    rn_context_cancel(rn_group_context(group), 0);
    (void)rn_group_wait(group);
    rn_group_free(group);
}

static void without_tls_a_certificate_changes_nothing(void **state)
{
    struct rig *rig = *state;

    rig_start(rig);
    server_set_certificate(rig->server, first);
    struct reply reply = request(rig, "GET", "/metrics", NULL, NULL);
    assert_int_equal(reply.status, 200);
    assert_null(strstr(reply.body, "\nrunnel_tls_certificate_expiry_timestamp_seconds "));
    reply_fini(&reply);
}

static void the_metrics_have_its_end(void **state)
{
    struct rig *rig = *state;
    static char text[256 << 10];
    char wanted[128];
    struct tls tls;
    (void)with_tls(rig);
    rig_start(rig);
    assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);

    (void)snprintf(text, sizeof(text),
                   "GET /metrics HTTP/1.1\r\nHost: localhost:%u\r\nConnection: close\r\n\r\n",
                   rig->port);
    tls_send(&tls, text);
    (void)tls_read(&tls, NULL, text, sizeof(text));

    (void)snprintf(wanted, sizeof(wanted),
                   "\nrunnel_tls_certificate_expiry_timestamp_seconds %lld\n",
                   (long long)certificate_expires_at_s(first));
    assert_non_null(strstr(text, wanted));
    tls_close(&tls);
}

static void only_tls_1_2_and_1_3_are_spoken(void **state)
{
    struct rig *rig = *state;
    static const struct {
        const char *priorities;
        bool right;
    } rows[] = {{"NORMAL:-VERS-ALL:+VERS-TLS1.3", true},
                {"NORMAL:-VERS-ALL:+VERS-TLS1.2", true},
                {"LEGACY:-VERS-ALL:+VERS-TLS1.1", false},
                {"LEGACY:-VERS-ALL:+VERS-TLS1.0", false}};
    (void)with_tls(rig);
    rig_start(rig);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tls tls;
        int r = tls_open(rig, rows[i].priorities, &tls);
        assert_int_equal(r == 0, rows[i].right);
        if (r == 0)
            ask_health(rig, &tls);
        tls_close(&tls);
    }
}

/* ---- what does not get on ---- */

static void a_stalled_handshake_ends_at_header_timeout(void **state)
{
    struct rig *rig = *state;
    static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"; // its beginning
    with_tls(rig)->limits.header_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);

    int silent = client_connect(rig);
    int begun = client_connect(rig);
    client_send(begun, hello, sizeof(hello) - 1);

    assert_true(client_is_closed(silent));
    assert_true(client_is_closed(begun));
    (void)close(silent);
    (void)close(begun);
}

static void plain_http_on_a_tls_port_gets_no_answer(void **state)
{
    struct rig *rig = *state;
    char text[512];
    size_t used = 0;
    ssize_t n = 0;
    with_tls(rig)->limits.header_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);

    int fd = client_connect(rig);
    client_text(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while (used + 1 < sizeof(text) && (n = recv(fd, text + used, sizeof(text) - 1 - used, 0)) > 0)
        used += (size_t)n;

    // At most an alert of TLS.
    text[used] = '\0';
    assert_true(used < 16);
    assert_true(used == 0 || text[0] == 0x15);
    (void)close(fd);
}

static void post_head(struct rig *rig, struct tls *tls, const char *type, unsigned length)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "POST /v1/tasks HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: %s\r\n"
                   "Content-Length: %u\r\n\r\n",
                   rig->port, type, length);
    tls_send(tls, text);
}

static void an_early_answer_goes_through_the_session(void **state)
{
    struct rig *rig = *state;
    char text[2048];
    struct tls tls;
    (void)with_tls(rig);
    rig_start(rig);

    // Refused with its body unread, by the header alone and in the middle of the body.
    assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);
    post_head(rig, &tls, "text/plain", 1000);
    ssize_t n = tls_read(&tls, NULL, text, sizeof(text));
    assert_int_equal(n, 0); // the session was closed in order
    assert_non_null(strstr(text, "HTTP/1.1 415"));
    assert_non_null(strstr(text, "unsupported-media-type"));
    tls_close(&tls);

    assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);
    post_head(rig, &tls, "application/x-ndjson", 1000);
    tls_send(&tls, "{\"kind\":\"none\"}\n");
    n = tls_read(&tls, NULL, text, sizeof(text));
    assert_int_equal(n, 0);
    assert_non_null(strstr(text, "HTTP/1.1 422"));
    tls_close(&tls);
}

static void a_slow_body_is_closed_and_nothing_is_written_in_plain(void **state)
{
    struct rig *rig = *state;
    char text[2048];
    struct tls tls;
    with_tls(rig)->limits.body_timeout = 300 * RN_MILLISECOND;
    rig_start(rig);
    assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);
    post_head(rig, &tls, "application/json", 1000);
    tls_send(&tls, "{");

    ssize_t n = tls_read(&tls, NULL, text, sizeof(text));

    assert_string_equal(text, "");
    // The end, with or without a word; a plain answer would be no record at all.
    assert_true(n == 0 || n == GNUTLS_E_PREMATURE_TERMINATION || n == GNUTLS_E_PULL_ERROR);
    assert_int_equal(fake_task_count(rig->engine), 0);
    tls_close(&tls);
}

static void large_bodies_and_answers_go_through(void **state)
{
    struct rig *rig = *state;
    static char text[4 << 20];
    struct tls tls;
    char *body = task_with_args(1 << 20);
    (void)with_tls(rig);
    rig_start(rig);

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(tls_open(rig, "NORMAL", &tls), 0);
        post_head(rig, &tls, "application/json", (unsigned)strlen(body));
        size_t sent = 0;
        while (sent < strlen(body)) {
            ssize_t n = gnutls_record_send(tls.session, body + sent, strlen(body) - sent);
            assert_true(n > 0);
            sent += (size_t)n;
        }
        (void)tls_read(&tls, "\"duration_ms\"", text, sizeof(text));
        assert_non_null(strstr(text, "HTTP/1.1 201"));
        tls_close(&tls);
    }
    assert_int_equal(fake_task_count(rig->engine), 3);
    free(body);
}

int main(void)
{
#define ON_STOPPED(test) cmocka_unit_test_setup_teardown(test, rig_setup_stopped, rig_teardown)
    const struct CMUnitTest tests[] = {
        ON_STOPPED(new_connections_get_the_new_certificate_and_old_ones_go_on),
        ON_STOPPED(a_certificate_may_change_in_the_middle_of_handshakes),
        ON_STOPPED(without_tls_a_certificate_changes_nothing),
        ON_STOPPED(the_metrics_have_its_end),
        ON_STOPPED(only_tls_1_2_and_1_3_are_spoken),
        ON_STOPPED(a_stalled_handshake_ends_at_header_timeout),
        ON_STOPPED(plain_http_on_a_tls_port_gets_no_answer),
        ON_STOPPED(an_early_answer_goes_through_the_session),
        ON_STOPPED(a_slow_body_is_closed_and_nothing_is_written_in_plain),
        ON_STOPPED(large_bodies_and_answers_go_through),
    };
    return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}
