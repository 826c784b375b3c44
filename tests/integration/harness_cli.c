/** \file
 * The client has an environment of its own: no file of the user's, no token, UTF-8, UTC.
 */
#include "harness_cli.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness_own.h"

enum { WORDS_MAX = 32, VARIABLES = 8, WITHIN_MS = 60000, FAKE_HEAD_BYTES = 65536 };

static const char **environment_of(const char *url)
{
    const char **environment = keep(calloc(VARIABLES, sizeof(*environment)));

    assert_non_null(environment);
    environment[0] = plain_text("RUNNEL_URL=%s", url);
    environment[1] = plain_text("XDG_CONFIG_HOME=%s", scenario_folder());
    environment[2] = plain_text("RUNNEL=%s", runnel_program());
    environment[3] = "RUNNEL_TOKEN_FILE=";
    environment[4] = "LC_ALL=C.UTF-8";
    environment[5] = "TZ=UTC";
    return environment;
}

static const char *url_of(const struct daemon *daemon)
{
    return plain_text("http://127.0.0.1:%u", daemon->port);
}

static const char **with_program(const char *const *words)
{
    const char **argv = keep(calloc(WORDS_MAX, sizeof(*argv)));

    assert_non_null(argv);
    argv[0] = runnel_program();
    for (size_t i = 0; words[i] != NULL; i++) {
        assert_true(i + 2 < WORDS_MAX);
        argv[i + 1] = words[i];
    }
    return argv;
}

struct run runnel_at(const char *url, const char *const *words)
{
    return run_program(with_program(words), environment_of(url), WITHIN_MS);
}

struct run runnel_words(struct daemon *daemon, const char *const *words)
{
    return runnel_at(url_of(daemon), words);
}

struct run runnel_shell(struct daemon *daemon, const char *line)
{
    return run_program((const char *const[]){"bash", "-c", line, NULL},
                       environment_of(url_of(daemon)), WITHIN_MS);
}

/* ---- beside the scenario ---- */

static void end_background(void *arg)
{
    struct background *background = arg;

    if (background->pid == 0)
        return;
    (void)kill(background->pid, SIGKILL);
    (void)waitpid(background->pid, NULL, 0);
}

struct background *runnel_start_words(struct daemon *daemon, const char *const *words)
{
    static unsigned number;
    struct background *background = keep(calloc(1, sizeof(*background)));
    const char *const *environment = environment_of(url_of(daemon));
    const char *const *argv = with_program(words);

    assert_non_null(background);
    background->out_path = plain_text("%s/client-%u.out", scenario_folder(), ++number);
    background->err_path = plain_text("%s/client-%u.err", scenario_folder(), number);
    int out = open(background->out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    int err = open(background->err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(out >= 0 && err >= 0);
    background->pid = fork();
    assert_true(background->pid >= 0);
    if (background->pid == 0) {
        child_prepare(environment);
        if (dup2(out, 1) < 0 || dup2(err, 2) < 0)
            _exit(126);
        (void)execv(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(out);
    (void)close(err);
    keep_with(end_background, background);
    return background;
}

int background_end(struct background *background, int64_t within_ms)
{
    int wait_status = 0;

    if (!process_ends(background->pid, within_ms * slow()))
        harness_fail(__FILE__, __LINE__, "the client has not ended:\n%s%s",
                     background_out(background), background_err(background));
    assert_int_equal(waitpid(background->pid, &wait_status, 0), background->pid);
    background->pid = 0;
    background->status = process_status(wait_status);
    return background->status;
}

char *background_out(const struct background *background)
{
    return file_read(background->out_path);
}

char *background_err(const struct background *background)
{
    return file_read(background->err_path);
}

bool contains(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* ---- in the daemon's place ---- */

static void fake_free(void *arg)
{
    struct fake *fake = arg;

    fake_cut(fake);
    (void)close(fake->listener);
}

struct fake *fake_new(void)
{
    struct fake *fake = keep(calloc(1, sizeof(*fake)));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    static unsigned number;
    const char *path = plain_text("%s/fake-%u", scenario_folder(), ++number);

    assert_non_null(fake);
    if (strlen(path) >= sizeof(address.sun_path))
        harness_skip("the temporary folder's name is too long for a socket");
    memcpy(address.sun_path, path, strlen(path) + 1);
    fake->fd = -1;
    fake->url = plain_text("unix:%s", path);
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fake->listener >= 0);
    keep_with(fake_free, fake);
    assert_int_equal(bind(fake->listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fake->listener, 4), 0);
    return fake;
}

static void await_bytes(int fd)
{
    struct pollfd wanted = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&wanted, 1, WITHIN_MS * slow()), 1);
}

char *fake_take(struct fake *fake)
{
    char *head = keep(calloc(1, FAKE_HEAD_BYTES));
    size_t used = 0;

    assert_non_null(head);
    while (strstr(head, "\r\n\r\n") == NULL) {
        if (fake->fd < 0) {
            await_bytes(fake->listener);
            fake->fd = accept4(fake->listener, NULL, NULL, SOCK_CLOEXEC);
            assert_true(fake->fd >= 0);
        }
        await_bytes(fake->fd);
        ssize_t got = read(fake->fd, head + used, FAKE_HEAD_BYTES - 1 - used);
        if (got > 0) {
            used += (size_t)got;
            head[used] = '\0';
            continue;
        }
        assert_int_equal(used, 0); // it has ended between two requests
        fake_cut(fake);
    }
    return head;
}

void fake_send(struct fake *fake, const char *bytes, int64_t count)
{
    size_t left = count < 0 ? strlen(bytes) : (size_t)count;

    while (left > 0) {
        ssize_t sent = send(fake->fd, bytes, left, MSG_NOSIGNAL);
        assert_true(sent > 0);
        bytes += sent;
        left -= (size_t)sent;
    }
}

void fake_answer(struct fake *fake, int status, const char *json)
{
    fake_send(fake,
              plain_text("HTTP/1.1 %d x\r\nContent-Type: application/%s\r\nContent-Length: "
                         "%zu\r\n\r\n%s",
                         status, status < 400 ? "json" : "problem+json", strlen(json), json),
              -1);
}

void fake_cut(struct fake *fake)
{
    if (fake->fd >= 0)
        (void)close(fake->fd);
    fake->fd = -1;
}

void daemon_keep_port(struct daemon *daemon)
{
    const char **arguments = keep(calloc(3, sizeof(*arguments)));

    assert_non_null(arguments);
    arguments[0] = "-o";
    arguments[1] = plain_text("listen=127.0.0.1:%u", daemon->port);
    daemon->arguments = arguments;
}

void harness_expect_run(struct run run, int status, const char *out, const char *err,
                        const char *file, int line)
{
    bool is_same = run.status == status && (out == NULL || strcmp(run.out, out) == 0) &&
                   (err == NULL || strcmp(run.err, err) == 0);

    if (!is_same)
        harness_fail(file, line, "expected %d\n%s%s----\nit is %d\n%s%s", status,
                     out == NULL ? "" : out, err == NULL ? "" : err, run.status, run.out, run.err);
}
