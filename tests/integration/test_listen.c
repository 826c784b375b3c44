/** \file Where the daemon listens: several addresses at once, unix sockets and who may use them,
 * sockets that are passed in, TLS. */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

static const char kinds[] =
    "queue: { default: { workers = 2 }; stopped: { workers = 1 }; };\n"
    "kind: { noop: { builtin = 'noop' }; echo: { builtin = 'echo' }; sleep: { builtin = 'sleep' "
    "};\n"
    "        env: { command = ['/usr/bin/env']; pass_env = ['LISTEN_FDS', 'LISTEN_PID']; }; };\n";

/* A path for a socket: short, whatever TMPDIR is. Removed at the scenario's end. */
static void remove_folder(void *arg)
{
    char *folder = arg;

    (void)unlink(plain_text("%s/s", folder));
    (void)rmdir(folder);
    free(folder);
}

static const char *socket_path(void)
{
    const char *folder = scenario_folder();

    if (strlen(folder) + 3 > sizeof(((struct sockaddr_un *)NULL)->sun_path)) {
        char *made = strdup("/tmp/runnelXXXXXX");
        assert_non_null(made);
        assert_non_null(mkdtemp(made));
        keep_with(remove_folder, made);
        folder = made;
    }
    return plain_text("%s/s", folder);
}

/* listen: for -o. */
static struct daemon *listening_on(const char *listen, const char *settings)
{
    struct daemon *daemon = daemon_new(plain_text("%s\n%s", settings, kinds));
    const char **arguments = keep(calloc(3, sizeof(*arguments)));

    assert_non_null(arguments);
    arguments[0] = "-o";
    arguments[1] = plain_text("listen=%s", listen);
    daemon->arguments = arguments;
    return daemon;
}

/* The port of the second address in the line `ready`. */
static uint16_t second_port(struct daemon *daemon)
{
    const char *comma = strchr(strstr(daemon_log(daemon), " listen="), ',');

    assert_non_null(comma);
    comma += strcspn(comma, ":") + 1;
    return (uint16_t)number_in(comma, NULL);
}

/* ---- several at once ---- */

struct load {
    struct client *client;
    unsigned answered;
    bool by_waiting;
};

enum { CALLS = 150 };

static void *load(void *arg)
{
    struct load *self = arg;

    for (unsigned i = 0; i < CALLS; i++) {
        struct reply *reply = client_call(
            self->client,
            &(struct request){.method = "POST",
                              .path = self->by_waiting ? "/v1/tasks?wait=20s" : "/v1/tasks",
                              .body = "{\"kind\":\"noop\"}",
                              .is_fresh = i % 4 == 0});
        self->answered += reply->status == (self->by_waiting ? 200 : 201);
        reply_free(reply);
    }
    return NULL;
}

static void two_ports_and_a_socket_serve_at_once(void)
{
    enum { CLIENTS = 6 };
    const char *path = socket_path();
    struct daemon *daemon = listening_on(plain_text("127.0.0.1:0,127.0.0.1:0,unix:%s", path), "");
    struct load loads[CLIENTS];
    pthread_t threads[CLIENTS];
    daemon_start(daemon);

    for (unsigned i = 0; i < CLIENTS; i++) {
        loads[i] = (struct load){.by_waiting = i >= 3};
        loads[i].client = client_new(i % 3 == 0 ? daemon->port : second_port(daemon));
        if (i % 3 == 2)
            client_unix(loads[i].client, path);
        assert_int_equal(pthread_create(&threads[i], NULL, load, &loads[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        client_free(loads[i].client);
    }

    for (unsigned i = 0; i < CLIENTS; i++)
        assert_int_equal(loads[i].answered, CALLS);
    assert_int_equal(count_tasks(daemon, ""), CLIENTS * CALLS);
    const json_t *info = expect_status(get(daemon, "/v1/info"), 200)->json;
    expect_text(info, "listeners.2.address", plain_text("unix:%s", path));
    daemon_stop(daemon);
    assert_false(file_exists(path));
}

static void a_stop_answers_who_waits_on_all_of_them(void)
{
    enum { EACH = 10 };
    const char *path = socket_path();
    struct daemon *daemon = listening_on(plain_text("127.0.0.1:0,127.0.0.1:0,unix:%s", path), "");
    struct wire *wires[3 * EACH];
    daemon_start(daemon);
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");

    for (unsigned i = 0; i < 3 * EACH; i++) {
        uint16_t port = i % 3 == 0 ? daemon->port : second_port(daemon);
        wires[i] = i % 3 == 2 ? wire_open_unix(path) : wire_open(port);
        wire_sendf(wires[i], "GET /v1/tasks/%llu?wait=60s HTTP/1.1\r\nHost: localhost%s\r\n\r\n",
                   (unsigned long long)id, i % 3 == 2 ? "" : plain_text(":%u", port));
    }
    eventually(number_at(expect_status(get(daemon, "/v1/stats"), 200)->json, "http.waiting") ==
                   3 * EACH,
               10000);

    assert_in_range(daemon_stop(daemon), 0, 3000 * slow());

    for (unsigned i = 0; i < 3 * EACH; i++)
        expect_text(expect_status(wire_reply(wires[i], 1000), 200)->json, "state", "scheduled");
    assert_false(file_exists(path));
}

static void nothing_starts_when_one_address_is_taken(void)
{
    const char *path = socket_path();
    struct daemon *first = daemon_started(kinds);
    struct daemon *second = listening_on(plain_text("unix:%s,127.0.0.1:%u", path, first->port), "");

    daemon_launch(second);

    assert_int_equal(daemon_await_end(second, 30000), 71);
    assert_non_null(strstr(daemon_log(second), plain_text("pid %d", (int)first->pid)));
    assert_false(file_exists(path));
}

/* ---- unix sockets ---- */

static struct client *unix_client(struct daemon *daemon, const char *path)
{
    client_unix(daemon->client, path);
    return daemon->client;
}

static void a_socket_alone_is_enough(void)
{
    const char *path = socket_path();
    struct daemon *daemon = listening_on(plain_text("unix:%s", path), "");

    daemon_start(daemon);
    (void)unix_client(daemon, path);
    expect_end(daemon, submit(daemon, "{'kind':'echo','args':1}"), "succeeded", NULL);
    daemon_stop(daemon);
    assert_false(file_exists(path));
}

static void a_socket_left_by_a_killed_daemon_is_replaced(void)
{
    const char *path = socket_path();
    struct daemon *daemon = listening_on(plain_text("unix:%s", path), "");
    daemon_start(daemon);
    (void)unix_client(daemon, path);
    daemon_kill(daemon);
    assert_true(file_exists(path));

    daemon_start(daemon);

    expect_status(get(daemon, "/healthz"), 200);
    daemon_stop(daemon);
}

static void a_socket_in_use_ends_with_71_and_says_who_has_it(void)
{
    const char *path = socket_path();
    struct daemon *first = listening_on(plain_text("unix:%s", path), "");
    struct daemon *second = listening_on(plain_text("unix:%s", path), "");
    daemon_start(first);

    daemon_launch(second);

    assert_int_equal(daemon_await_end(second, 30000), 71);
    assert_non_null(strstr(daemon_log(second), plain_text("pid %d", (int)first->pid)));
    (void)unix_client(first, path);
    expect_status(get(first, "/healthz"), 200);
    daemon_stop(first);
}

static void a_file_that_is_no_socket_ends_with_71_and_stays(void)
{
    const char *path = socket_path();
    struct daemon *daemon = listening_on(plain_text("unix:%s", path), "");
    file_write(path, "precious");

    daemon_launch(daemon);

    assert_int_equal(daemon_await_end(daemon, 30000), 71);
    assert_string_equal(file_read(path), "precious");
    assert_int_equal(unlink(path), 0);
}

/* curl's exit code as the user nobody: 0 answered, 7 could not connect. */
static int curl_as_nobody(const char *path)
{
    return run_program((const char *[]){"setpriv", "--reuid=65534", "--regid=65534",
                                        "--clear-groups", "curl", "-sS", "--unix-socket", path,
                                        "http://localhost/healthz", NULL},
                       NULL, 30000)
        .status;
}

static void only_who_may_write_to_the_socket_can_connect(void)
{
    if (geteuid() != 0)
        harness_skip("only root can become another user");
    // A folder that everybody can look into, so that it is the socket that keeps nobody out.
    char *folder = strdup("/tmp/runnelXXXXXX");
    assert_non_null(folder);
    assert_non_null(mkdtemp(folder));
    keep_with(remove_folder, folder);
    assert_int_equal(chmod(folder, 0755), 0);
    const char *path = plain_text("%s/s", folder);

    for (unsigned open = 0; open < 2; open++) {
        struct daemon *daemon =
            listening_on(plain_text("unix:%s", path), open == 1 ? "socket_mode = '0666';" : "");
        struct stat status;
        daemon_start(daemon);
        assert_int_equal(stat(path, &status), 0);
        assert_int_equal(status.st_mode & 07777, open == 1 ? 0666 : 0660);
        assert_int_equal(curl_as_nobody(path), open == 1 ? 0 : 7);
        daemon_stop(daemon);
    }
    // With their group they may.
    struct daemon *daemon = listening_on(plain_text("unix:%s", path), "socket_group = 'nogroup';");
    daemon_start(daemon);
    assert_int_equal(curl_as_nobody(path), 0);
    daemon_stop(daemon);
}

/* ---- sockets passed in ---- */

static void passed_sockets_are_what_it_listens_on(void)
{
    const char *path = socket_path();
    struct daemon *daemon = daemon_new(kinds);
    const char *port_file = plain_text("%s/port", daemon->folder);
    const char *local = plain_text("unix:%s", path), *tcp = plain_text("tcp:%s", port_file);
    daemon->prefix = (const char *[]){activate_program(), tcp, local, "--", NULL};

    daemon_start(daemon);

    assert_int_equal(daemon->port, number_in(file_read(port_file), NULL));
    assert_int_equal(daemon_log_count(daemon, "event=sockets_passed_in"), 1);
    expect_status(get(daemon, "/healthz"), 200);
    // Commands inherit nothing of it.
    json_t *task = expect_end(daemon, submit(daemon, "{'kind':'env'}"), "succeeded", NULL);
    assert_null(strstr(text_at(task, "result"), "LISTEN_"));
    client_unix(daemon->client, path);
    expect_status(get(daemon, "/healthz"), 200);
    daemon_stop(daemon);
    assert_true(file_exists(path)); // it is systemd's
}

/* ---- TLS ---- */

/* A certificate for 127.0.0.1 that signs itself, in the daemon's folder. */
static void make_certificate(struct daemon *daemon, const char *days)
{
    const char *key = plain_text("%s/tls.key", daemon->folder);
    struct run run = run_program(
        (const char *[]){"openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                         "ec_paramgen_curve:P-256", "-nodes", "-days", days, "-subj",
                         "/CN=runnel test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout",
                         key, "-out", plain_text("%s/tls.crt", daemon->folder), NULL},
        NULL, 60000);

    if (run.status != 0)
        harness_fail(__FILE__, __LINE__, "openssl: %s", run.err);
    assert_int_equal(chmod(key, 0600), 0);
}

static struct daemon *tls_daemon(const char *settings)
{
    struct daemon *daemon = daemon_new(
        plain_text("tls_certificate = 'tls.crt'; tls_key = 'tls.key';\n%s\n%s", settings, kinds));

    make_certificate(daemon, "30");
    client_tls(daemon->client, plain_text("%s/tls.crt", daemon->folder));
    return daemon;
}

static void tls_serves_tcp_and_the_socket_stays_plain(void)
{
    const char *path = socket_path();
    struct daemon *daemon = tls_daemon("");
    daemon->arguments =
        (const char *[]){"-o", plain_text("listen=127.0.0.1:0,unix:%s", path), NULL};
    daemon_start(daemon);

    expect_end(daemon, submit(daemon, "{'kind':'echo','args':'over TLS'}"), "succeeded", NULL);
    (void)submit_many(daemon, 500, "{'kind':'noop'}");
    const char *metrics = expect_status(get(daemon, "/metrics"), 200)->body;
    const char *line = strstr(metrics, "\nrunnel_tls_certificate_expiry_timestamp_seconds ");
    assert_non_null(line);
    int64_t left_s = (int64_t)number_in(strchr(line + 1, ' ') + 1, NULL) - wall_ms() / 1000;
    assert_in_range(left_s, 29 * 24 * 3600, 30 * 24 * 3600 + 60);
    struct client *local = client_new(0);
    client_unix(local, path);
    struct reply *reply =
        client_call(local, &(struct request){.method = "GET", .path = "/v1/info"});
    client_free(local);
    assert_int_equal(reply->status, 200);
    assert_true(json_is_true(at(reply->json, "listeners.0.tls")));
    assert_true(json_is_false(at(reply->json, "listeners.1.tls")));
    reply_free(reply);
    daemon_stop(daemon);
}

static void a_stream_over_tls_is_stored_whole(void)
{
    enum { LINES = 20000 };
    struct daemon *daemon = tls_daemon("");
    const char *line = "{\"kind\":\"noop\",\"queue\":\"stopped\",\"delay\":\"1h\"}\n";
    size_t bytes = strlen(line);
    char *body = keep(malloc(LINES * bytes + 1));
    daemon_start(daemon);

    for (size_t i = 0; i < LINES; i++)
        memcpy(body + i * bytes, line, bytes + 1);
    struct reply *reply =
        call_request(daemon, &(struct request){.method = "POST",
                                               .path = "/v1/tasks",
                                               .content_type = "application/x-ndjson",
                                               .body = body});

    expect_number(expect_status(reply, 201)->json, "count", LINES);
    daemon_stop(daemon);
}

static void who_stalls_over_tls_is_closed_without_a_plain_byte(void)
{
    struct daemon *daemon = tls_daemon("header_timeout = '400ms';");
    daemon_start(daemon);
    struct wire *silent = wire_open(daemon->port), *plain = wire_open(daemon->port);

    wire_sendf(plain, "GET /healthz HTTP/1.1\r\nHost: localhost:%u\r\n\r\n", daemon->port);

    assert_true(wire_closes(silent, 10000));
    assert_null(strstr(wire_rest(plain, 10000), "HTTP"));
    expect_status(get(daemon, "/healthz"), 200);
    daemon_stop(daemon);
}

static void a_stop_answers_who_waits_over_tls(void)
{
    struct daemon *daemon = tls_daemon("drain_timeout = '200ms';");
    daemon_start(daemon);
    struct load waiting = {.client = client_new(daemon->port)};
    client_tls(waiting.client, plain_text("%s/tls.crt", daemon->folder));
    uint64_t id = submit(daemon, "{'kind':'noop','delay':'1h'}");
    const char *path = plain_text("/v1/tasks/%llu?wait=60s", (unsigned long long)id);

    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        struct reply *reply =
            client_call(waiting.client, &(struct request){.method = "GET", .path = path});
        _exit(reply->status == 200 ? 0 : 1);
    }
    eventually(number_at(expect_status(get(daemon, "/v1/stats"), 200)->json, "http.waiting") == 1,
               10000);
    daemon_stop(daemon);

    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    client_free(waiting.client);
}

static void a_certificate_that_is_wrong_is_told_by_t(void)
{
    struct daemon *daemon = tls_daemon("");
    const char *key = plain_text("%s/tls.key", daemon->folder);
    const char *const check[] = {daemon_program(), "-t", "-c", daemon->config_path, NULL};

    assert_int_equal(run_program(check, NULL, 30000).status, 0);
    assert_int_equal(chmod(key, 0644), 0);
    struct run run = run_program(check, NULL, 30000);
    assert_int_equal(run.status, 78);
    assert_non_null(strstr(run.err, "runneld.conf:3: tls_key "));
    make_certificate(daemon, "10");
    run = run_program(check, NULL, 30000);
    assert_int_equal(run.status, 0);
    assert_non_null(strstr(run.err, "expires within 10 days"));
}

HARNESS_MAIN(SCENARIO(two_ports_and_a_socket_serve_at_once),
             SCENARIO(a_stop_answers_who_waits_on_all_of_them),
             SCENARIO(nothing_starts_when_one_address_is_taken), SCENARIO(a_socket_alone_is_enough),
             SCENARIO(a_socket_left_by_a_killed_daemon_is_replaced),
             SCENARIO(a_socket_in_use_ends_with_71_and_says_who_has_it),
             SCENARIO(a_file_that_is_no_socket_ends_with_71_and_stays),
             SCENARIO(only_who_may_write_to_the_socket_can_connect),
             SCENARIO(passed_sockets_are_what_it_listens_on),
             SCENARIO(tls_serves_tcp_and_the_socket_stays_plain),
             SCENARIO(a_stream_over_tls_is_stored_whole),
             SCENARIO(who_stalls_over_tls_is_closed_without_a_plain_byte),
             SCENARIO(a_stop_answers_who_waits_over_tls),
             SCENARIO(a_certificate_that_is_wrong_is_told_by_t))
