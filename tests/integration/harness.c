/** \file Scenarios, what they keep, time, files, and programs run to their end. */
#include "harness_own.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "description.h"

#if defined(__SANITIZE_THREAD__)
#define SLOW_BUILD 8
#elif defined(__SANITIZE_ADDRESS__)
#define SLOW_BUILD 4
#endif
#if !defined(SLOW_BUILD) && defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOW_BUILD 8
#elif __has_feature(address_sanitizer)
#define SLOW_BUILD 4
#endif
#endif
#if !defined(SLOW_BUILD)
#define SLOW_BUILD 1
#endif

struct kept {
    struct kept *next;
    void (*free_fn)(void *arg);
    void *arg;
};

static struct kept *kept; // newest first
static bool passed;       // the scenario came to its end
static char *folder;

/* ---- scenarios ---- */

int harness_setup(void **state)
{
    (void)state;
    passed = false;
    return 0;
}

void harness_run(void **state)
{
    struct scenario *scenario = *state;
    int64_t began = now_ms();

    scenario->fn();
    char *difference = description_difference();
    if (difference != NULL) {
        print_error("%s\n", difference);
        keep(difference);
        fail();
    }
    passed = true;
    print_message("             %lld ms\n", (long long)(now_ms() - began));
}

static int remove_entry(const char *path, const struct stat *stat, int type, struct FTW *where)
{
    (void)stat;
    (void)type;
    (void)where;
    (void)remove(path);
    return 0;
}

int harness_teardown(void **state)
{
    (void)state;
    if (!passed)
        daemons_show();
    free(description_difference()); // of a scenario that failed otherwise
    while (kept != NULL) {
        struct kept *first = kept;

        kept = first->next;
        first->free_fn(first->arg);
        free(first);
    }
    if (folder != NULL) {
        (void)nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
        free(folder);
        folder = NULL;
    }
    return 0;
}

/* A daemon under ThreadSanitizer would live on for a second after its _exit. */
static bool end_without_delay(void)
{
    const char *given = getenv("TSAN_OPTIONS");
    char options[512];
    int length = snprintf(options, sizeof(options), "%s%satexit_sleep_ms=0",
                          given != NULL ? given : "", given != NULL ? ":" : "");

    return length < (int)sizeof(options) && setenv("TSAN_OPTIONS", options, 1) == 0;
}

int harness_main(int argc, char **argv, const char *file, const struct CMUnitTest *tests,
                 size_t count)
{
    const char *name = strrchr(file, '/');

    // The harness shows what a daemon said; a stray child of a test must not take the terminal's
    // signals for its own.
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    if (sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL) < 0 ||
        curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        return 70;
    if (!end_without_delay())
        return 70;
    if (argc > 1)
        cmocka_set_test_filter(argv[1]);
    int failed = _cmocka_run_group_tests(name != NULL ? name + 1 : file, tests, count, NULL, NULL);
    curl_global_cleanup();
    description_save(name != NULL ? name + 1 : file);
    return failed == 0 ? 0 : 1;
}

void harness_fail(const char *file, int line, const char *format, ...)
{
    char message[2048];
    va_list list;

    va_start(list, format);
    (void)vsnprintf(message, sizeof(message), format, list);
    va_end(list);
    print_error("%s\n", message);
    _fail(file, line);
    abort(); // _fail does not return; the compiler is not told
}

void harness_skip(const char *reason)
{
    print_message("skipped: %s\n", reason);
    passed = true; // there is nothing to show
    description_skipped();
    skip();
}

bool is_long(void)
{
    const char *value = getenv("RUNNEL_LONG");

    return value != NULL && value[0] != '\0' && value[0] != '0';
}

int slow(void)
{
    static int factor;

    if (factor == 0) {
        const char *value = getenv("RUNNEL_TEST_SLOW");
        uint64_t given = value != NULL ? number_in(value, NULL) : 0;

        factor = given > 0 && given < 1000 ? (int)given : SLOW_BUILD;
    }
    return factor;
}

bool is_sanitized(void)
{
    return SLOW_BUILD > 1;
}

/* ---- what a scenario keeps ---- */

void keep_with(void (*free_fn)(void *arg), void *arg)
{
    struct kept *entry = malloc(sizeof(*entry));

    assert_non_null(entry);
    *entry = (struct kept){.next = kept, .free_fn = free_fn, .arg = arg};
    kept = entry;
}

void *keep(void *memory)
{
    assert_non_null(memory);
    keep_with(free, memory);
    return memory;
}

static void json_free(void *json)
{
    json_decref(json);
}

json_t *keep_json(json_t *json)
{
    assert_non_null(json);
    keep_with(json_free, json);
    return json;
}

static char *kept_text(const char *format, va_list list)
{
    char *result = NULL;

    if (vasprintf(&result, format, list) < 0)
        fail_msg("no memory");
    return keep(result);
}

char *quoted(const char *text)
{
    char *copy = keep(strdup(text));

    for (char *c = copy; *c != '\0'; c++) {
        if (*c == '\'')
            *c = '"';
    }
    return copy;
}

char *text(const char *format, ...)
{
    va_list list;

    va_start(list, format);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    char *result = kept_text(quoted(format), list);
#pragma GCC diagnostic pop
    va_end(list);
    return result;
}

char *plain_text(const char *format, ...)
{
    va_list list;

    va_start(list, format);
    char *result = kept_text(format, list);
    va_end(list);
    return result;
}

uint64_t number_in(const char *text, const char **ret_end)
{
    uint64_t number = 0;

    text += strspn(text, " \t");
    for (; *text >= '0' && *text <= '9'; text++)
        number = number * 10 + (uint64_t)(*text - '0');
    if (ret_end != NULL)
        *ret_end = text;
    return number;
}

char *repeated(char c, size_t count)
{
    char *result = keep(malloc(count + 1));

    memset(result, c, count);
    result[count] = '\0';
    return result;
}

/* ---- time ---- */

int64_t now_ns(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

int64_t now_ms(void)
{
    return now_ns() / 1000000;
}

int64_t wall_ms(void)
{
    struct timespec time;

    (void)clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

char *instant(int64_t ms)
{
    struct tm parts;
    time_t seconds = ms / 1000;
    char buffer[64];

    assert_non_null(gmtime_r(&seconds, &parts));
    assert_true(strftime(buffer, sizeof(buffer), "%Y-%m-%dT%H:%M:%S", &parts) > 0);
    return plain_text("%s.%03dZ", buffer, (int)(ms % 1000));
}

void pass_ms(int64_t ms)
{
    struct timespec length = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    while (nanosleep(&length, &length) < 0 && errno == EINTR) {
    }
}

void breathe(void)
{
    pass_ms(5);
}

/* ---- files ---- */

const char *scenario_folder(void)
{
    if (folder == NULL) {
        const char *base = getenv("TMPDIR");

        if (asprintf(&folder, "%s/runnel-XXXXXX", base != NULL && base[0] != '\0' ? base : "/tmp") <
            0)
            fail_msg("no memory");
        assert_non_null(mkdtemp(folder));
    }
    return folder;
}

char *file_read(const char *path)
{
    FILE *file = fopen(path, "re");
    char *content = NULL;
    size_t size = 0;

    if (file == NULL)
        harness_fail(__FILE__, __LINE__, "cannot open %s: %s", path, strerror(errno));
    if (getdelim(&content, &size, '\0', file) < 0) {
        free(content);
        content = strdup("");
    }
    (void)fclose(file);
    return keep(content);
}

void file_write(const char *path, const char *content)
{
    FILE *file = fopen(path, "we");

    if (file == NULL)
        harness_fail(__FILE__, __LINE__, "cannot write %s: %s", path, strerror(errno));
    assert_true(fputs(content, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

bool file_exists(const char *path)
{
    struct stat stat_of;

    return stat(path, &stat_of) == 0;
}

/* ---- processes ---- */

void child_prepare(const char *const *environment)
{
    sigset_t none;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    // What a surrounding service or terminal would tell the daemon.
    (void)unsetenv("NOTIFY_SOCKET");
    (void)unsetenv("JOURNAL_STREAM");
    (void)unsetenv("STATE_DIRECTORY");
    (void)unsetenv("WATCHDOG_USEC");
    for (size_t i = 0; environment != NULL && environment[i] != NULL; i++)
        (void)putenv((char *)(uintptr_t)environment[i]);
}

bool process_ends(pid_t pid, int64_t within_ms)
{
    int fd = pidfd_open(pid, 0);
    struct pollfd watched = {.fd = fd, .events = POLLIN};
    int64_t until = now_ms() + within_ms;
    int ready = 0;

    if (fd < 0)
        return errno == ESRCH;
    do {
        int64_t left = until - now_ms();

        ready = poll(&watched, 1, left > 0 ? (int)left : 0);
    } while (ready < 0 && errno == EINTR);
    (void)close(fd);
    return ready > 0;
}

bool is_running(pid_t pid)
{
    char path[64], line[512] = "";
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");

    if (file == NULL)
        return false;
    bool is_read = fgets(line, sizeof(line), file) != NULL;
    (void)fclose(file);
    const char *state = is_read ? strrchr(line, ')') : NULL;
    return state != NULL && state[1] == ' ' && state[2] != 'Z' && state[2] != 'X';
}

int process_status(int wait_status)
{
    if (WIFSIGNALED(wait_status))
        return -WTERMSIG(wait_status);
    return WEXITSTATUS(wait_status);
}

/* Takes what can be read from fd into the stream; false: the end. */
static bool drain_pipe(int fd, FILE *into)
{
    char buffer[4096];
    ssize_t count = read(fd, buffer, sizeof(buffer));

    if (count > 0)
        (void)fwrite(buffer, 1, (size_t)count, into);
    return count > 0 || (count < 0 && errno == EINTR);
}

struct run run_program(const char *const *argv, const char *const *environment, int64_t within_ms)
{
    int out[2], err[2], wait_status = 0;
    struct run run = {0};
    size_t out_bytes = 0, err_bytes = 0;
    int64_t until = now_ms() + within_ms * slow();

    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(pipe2(err, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

        child_prepare(environment);
        if (dup2(null, 0) < 0 || dup2(out[1], 1) < 0 || dup2(err[1], 2) < 0)
            _exit(126);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    (void)close(out[1]);
    (void)close(err[1]);

    FILE *out_stream = open_memstream(&run.out, &out_bytes);
    FILE *err_stream = open_memstream(&run.err, &err_bytes);
    assert_non_null(out_stream);
    assert_non_null(err_stream);
    struct pollfd watched[2] = {{.fd = out[0], .events = POLLIN}, {.fd = err[0], .events = POLLIN}};
    while ((watched[0].fd >= 0 || watched[1].fd >= 0) && now_ms() < until) {
        if (poll(watched, 2, 100) <= 0)
            continue;
        if (watched[0].revents != 0 && !drain_pipe(out[0], out_stream))
            watched[0].fd = -1;
        if (watched[1].revents != 0 && !drain_pipe(err[0], err_stream))
            watched[1].fd = -1;
    }
    bool ended = process_ends(pid, until > now_ms() ? until - now_ms() : 0);
    if (!ended)
        (void)kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &wait_status, 0), pid);
    (void)fclose(out_stream);
    (void)fclose(err_stream);
    (void)close(out[0]);
    (void)close(err[0]);
    keep(run.out);
    keep(run.err);
    if (!ended)
        harness_fail(__FILE__, __LINE__, "%s did not end:\n%s%s", argv[0], run.out, run.err);
    run.status = process_status(wait_status);
    return run;
}

/* A program named by the environment, or where make puts it: beside this test's own folder. */
static const char *program(const char *variable, const char *place)
{
    const char *value = getenv(variable);
    char self[4096];

    if (value != NULL && value[0] != '\0')
        return value;
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    assert_true(length > 0);
    self[length] = '\0';
    // BUILD/tests/integration/test_x
    for (int up = 0; up < 3; up++) {
        char *slash = strrchr(self, '/');

        assert_non_null(slash);
        *slash = '\0';
    }
    return plain_text("%s/%s", self, place);
}

const char *daemon_program(void)
{
    return program("RUNNELD", "runneld");
}

const char *test_daemon_program(void)
{
    return program("RUNNELD_TEST", "tests/runneld");
}

const char *activate_program(void)
{
    return program("RUNNEL_ACTIVATE", "tests/integration/tools/activate");
}

const char *runnel_program(void)
{
    return program("RUNNEL", "runnel");
}

const char *ledger_program(void)
{
    return program("RUNNEL_LEDGER", "tests/integration/tools/ledger");
}
