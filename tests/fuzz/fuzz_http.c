/* The whole way in: a server that listens on a unix socket, with the engine of the unit tests. The
 * input is what a client sends, before it sends no more. What comes back are whole answers, none of
 * which says that the daemon is at fault; and there are no more of them than a strict reading of
 * the input sees requests, so that no byte of one request's body is taken for another request. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "api/server.h"
#include "fake_engine.h"
#include "fuzz.h"

enum { INPUT_MAX = 16 << 10, ANSWERS_MAX = 4 << 20, TASKS_BEFORE_RESTART = 20000 };

static struct engine *engine;
static struct server *server;
static struct sockaddr_un address = {.sun_family = AF_UNIX};

static void start(void)
{
    struct error error;

    HOLDS(fake_new(&engine) == 0);
    struct config *config = fake_config(engine);
    struct config_listener *listener = &config->listeners[0];
    *listener = (struct config_listener){.sort = CONFIG_LISTEN_UNIX};
    // The path of the folder may be too long for a socket's.
    HOLDS(chdir(fuzz_folder()) == 0);
    (void)stpcpy(listener->path, "./socket");
    (void)stpcpy(stpcpy(listener->text, "unix:"), listener->path);
    (void)stpcpy(address.sun_path, listener->path);
    config->limits.max_wait = RN_MILLISECOND;
    int r = server_start(engine, NULL, &server, &error);
    if (r < 0)
        (void)fprintf(stderr, "%s\n", error.text);
    HOLDS(r == 0);
}

static void stop(void)
{
    server_free(server);
    fake_free(engine);
    server = NULL;
}

/* ---- the client ---- */

static void send_all(int fd, const char *bytes, size_t length)
{
    // What the server does not want any more it refuses with a reset.
    while (length > 0) {
        ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);
        if (n <= 0)
            return;
        bytes += n;
        length -= (size_t)n;
    }
}

/* Everything that comes back. */
static char *exchange(const char *bytes, size_t length, size_t *ret_length)
{
    char *answers = malloc(ANSWERS_MAX);
    size_t used = 0;
    ssize_t n = 0;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    HOLDS(answers != NULL && fd >= 0);
    HOLDS(connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
    send_all(fd, bytes, length);
    HOLDS(shutdown(fd, SHUT_WR) == 0 || errno == ENOTCONN);
    while ((n = recv(fd, answers + used, ANSWERS_MAX - 1 - used, 0)) > 0)
        used += (size_t)n;
    HOLDS(used < ANSWERS_MAX - 1);
    answers[used] = '\0';
    HOLDS(close(fd) == 0);
    *ret_length = used;
    return answers;
}

/* ---- a strict reading of what was sent ---- */

struct reading {
    const char *at, *end;
};

/* The next line without its end, which is CR LF or LF. NULL: there is no end. */
static const char *next_line(struct reading *reading, size_t *ret_length)
{
    const char *line = reading->at;
    const char *end = memchr(line, '\n', (size_t)(reading->end - line));

    if (end == NULL)
        return NULL;
    reading->at = end + 1;
    *ret_length = (size_t)(end - line);
    if (*ret_length > 0 && end[-1] == '\r')
        (*ret_length)--;
    return line;
}

static bool is_field(const char *line, size_t length, const char *name, const char **ret_value)
{
    size_t name_length = strlen(name);

    if (length <= name_length || strncasecmp(line, name, name_length) != 0 ||
        line[name_length] != ':')
        return false;
    *ret_value = line + name_length + 1;
    return true;
}

/* Of one value: decimal digits with white space around them; -1: something else. */
static int64_t length_in(const char *value, const char *end)
{
    int64_t length = 0;
    bool has_digits = false;

    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    for (; value < end && *value >= '0' && *value <= '9'; value++, has_digits = true) {
        length = length * 10 + (*value - '0');
        if (length > INPUT_MAX)
            return -1; // more than there is
    }
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    return has_digits && value == end ? length : -1;
}

static bool skip_chunks(struct reading *reading)
{
    size_t length = 0;

    for (;;) {
        const char *line = next_line(reading, &length);
        size_t size = 0;
        size_t digits = 0;
        if (line == NULL)
            return false;
        for (; digits < length && digits < 5; digits++) {
            const char *hex = "0123456789abcdef";
            const char *digit = memchr(hex, line[digits] | 0x20, 16);
            if (digit == NULL || line[digits] == '\0')
                break;
            size = size * 16 + (size_t)(digit - hex);
        }
        if (digits == 0 || (digits < length && line[digits] != ';'))
            return false;
        if (size == 0)
            break;
        if (size > (size_t)(reading->end - reading->at))
            return false;
        reading->at += size;
        if (next_line(reading, &length) == NULL || length != 0)
            return false;
    }
    for (const char *line = ""; line != NULL;) { // what may follow the chunks
        line = next_line(reading, &length);
        if (line != NULL && length == 0)
            return true;
    }
    return false;
}

/* One request, whole; false: what is left is none, or its end can't be told. */
static bool read_request(struct reading *reading)
{
    size_t length = 0;
    int64_t body = 0;
    bool has_length = false;
    bool is_chunked = false;
    const char *value = NULL;
    const char *line = next_line(reading, &length);

    while (line != NULL && length == 0) // empty lines before it are allowed
        line = next_line(reading, &length);
    for (line = next_line(reading, &length); line != NULL && length > 0;
         line = next_line(reading, &length)) {
        if (is_field(line, length, "content-length", &value)) {
            body = has_length ? -1 : length_in(value, line + length);
            has_length = true;
        } else if (is_field(line, length, "transfer-encoding", &value)) {
            is_chunked = true;
        }
    }
    if (line == NULL || body < 0 || (has_length && is_chunked))
        return false;
    if (is_chunked)
        return skip_chunks(reading);
    if (body > reading->end - reading->at)
        return false;
    reading->at += body;
    return true;
}

static unsigned count_requests(const char *bytes, size_t length)
{
    struct reading reading = {.at = bytes, .end = bytes + length};
    unsigned count = 0;

    while (read_request(&reading))
        count++;
    return count + 1; // what is left may be answered, once
}

/* ---- what came back ---- */

/* Of an answer without its body: how many bytes that has. */
static size_t body_of(const char *head, const char *head_end)
{
    const char *field = strcasestr(head, "\r\ncontent-length:");

    if (field == NULL || field > head_end)
        return 0;
    int64_t length = length_in(field + 17, strchr(field + 2, '\r'));
    return length < 0 ? 0 : (size_t)length;
}

/* The last one on its connection: all that is left is its body. Where libmicrohttpd (0.9.75)
 * answers by itself, for want of Host or for a Content-Length that is no number, that begins with
 * the head once more. */
static void expect_last(const char *at, const char *end, size_t body)
{
    const char *again = strncmp(at, "HTTP/1.1 4", 10) == 0 ? strstr(at, "\r\n\r\n") : NULL;

    HOLDS((size_t)(end - (again != NULL ? again + 4 : at)) == body);
}

static unsigned count_answers(const char *answers, size_t length)
{
    const char *at = answers;
    const char *end = answers + length;
    unsigned count = 0;

    while (at < end) {
        HOLDS(strncmp(at, "HTTP/1.", 7) == 0);
        unsigned long status = strtoul(at + 9, NULL, 10);
        HOLDS(status == 100 || (status >= 200 && status < 500) || status == 501 || status == 503 ||
              status == 505);
        const char *head_end = strstr(at, "\r\n\r\n");
        HOLDS(head_end != NULL);
        const char *closes = strcasestr(at, "\r\nConnection: close");
        size_t body = status == 100 || status == 204 ? 0 : body_of(at, head_end);
        at = head_end + 4;
        count += status != 100;
        if (closes != NULL && closes < head_end) {
            expect_last(at, end, body);
            break;
        }
        HOLDS((size_t)(end - at) >= body);
        at += body;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t length = 0;

    if (size > INPUT_MAX)
        return 0;
    if (server != NULL && fake_task_count(engine) > TASKS_BEFORE_RESTART)
        stop();
    if (server == NULL) {
        (void)fuzz_folder(); // its removal comes after the stop
        static bool is_registered;
        if (!is_registered)
            HOLDS(atexit(stop) == 0);
        is_registered = true;
        start();
    }
    char *bytes = fuzz_copy(data, size);
    char *answers = exchange(bytes, size, &length);
    // The answer to a HEAD has the length of a body that does not come.
    if (memmem(bytes, size, "HEAD", 4) == NULL)
        HOLDS(count_answers(answers, length) <= count_requests(bytes, size));
    free(answers);
    free(bytes);
    return 0;
}
