/* The log's entries in the journal: a socket of the test takes the journal's place, which listens
 * at a path of its own. */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <jansson.h>

#include "capture.h"
#include "observe/log_internal.h"
#include "unit.h"

enum { ENTRY_FIELDS_MAX = 40, FIELD_BYTES_MAX = 8192 };
static char entry[ENTRY_FIELDS_MAX][FIELD_BYTES_MAX]; // NAME=value
static size_t entry_bytes;

static char folder[64];
static char path[96];
static int journal = -1;

/* Makes standard error, as it is now, the journal for log_init. */
static void be_under_systemd(void)
{
    char stream[64];
    struct stat status;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static void listen_as_journal(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    memcpy(address.sun_path, path, strlen(path) + 1);
    journal = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(journal >= 0);
    assert_int_equal(bind(journal, (struct sockaddr *)&address, sizeof(address)), 0);
}

static void leave_as_journal(void)
{
    if (journal >= 0)
        (void)close(journal);
    journal = -1;
    (void)unlink(path);
}

/* Standard error is caught, and for the log it is the journal. */
static void begin(enum log_level level)
{
    capture_start();
    be_under_systemd();
    log_init(level);
    log_journal_open(path);
}

/* Takes the next entry apart; returns how many fields it has, 0: there is none. */
static int receive(void)
{
    static char data[64 << 10];
    ssize_t n = recv(journal, data, sizeof(data), MSG_DONTWAIT);
    int count = 0;

    if (n < 0)
        return 0;
    entry_bytes = (size_t)n;
    const char *end = data + n;
    for (const char *at = data; at < end;) {
        const char *name_end = at + strcspn(at, "=\n");
        assert_true(name_end < end && count < ENTRY_FIELDS_MAX);
        const char *value = name_end + 1;
        size_t value_bytes = 0;
        if (*name_end == '=') {
            value_bytes =
                (size_t)((const char *)memchr(value, '\n', (size_t)(end - value)) - value);
        } else {
            uint64_t size = 0;
            memcpy(&size, value, sizeof(size));
            value += sizeof(size);
            value_bytes = le64toh(size);
        }
        assert_true(value_bytes < (size_t)(end - value) && value[value_bytes] == '\n');
        int used = snprintf(entry[count], FIELD_BYTES_MAX, "%.*s=", (int)(name_end - at), at);
        assert_true(value_bytes + (size_t)used < FIELD_BYTES_MAX);
        memcpy(entry[count] + used, value, value_bytes);
        entry[count][(size_t)used + value_bytes] = '\0';
        count++;
        at = value + value_bytes + 1;
    }
    return count;
}

static int setup(void **state)
{
    (void)state;
    const char *temporary = getenv("TMPDIR");
    // A socket's path is short.
    snprintf(folder, sizeof(folder), "%s/XXXXXX",
             temporary != NULL && strlen(temporary) < 40 ? temporary : "/tmp");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    listen_as_journal();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    leave_as_journal();
    (void)rmdir(folder);
    (void)unsetenv("JOURNAL_STREAM");
    return 0;
}

static void entry_has_native_fields_and_no_time(void **state)
{
    (void)state;
    size_t size;
    begin(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_WARN, "task_retry", LOG_UINT("task", 42), LOG_TEXT("queue", "mail"),
              LOG_TEXT("kind", "sort"), LOG_INT("delay_ms", -1),
              LOG_TEXT("error", "exit\nstatus 75"), LOG_BOOL("left", true), LOG_TEXT("none", NULL));
    char *text = capture_end(&size);

    assert_string_equal(text, "");
    assert_int_equal(receive(), 11);
    assert_string_equal(entry[0],
                        "MESSAGE=level=warn event=task_retry task=42 queue=mail kind=sort "
                        "delay_ms=-1 error=\"exit\\nstatus 75\" left=true none=-");
    assert_string_equal(entry[1], "PRIORITY=4");
    assert_string_equal(entry[2], "SYSLOG_IDENTIFIER=runneld");
    assert_string_equal(entry[3], "RUNNEL_EVENT=task_retry");
    assert_string_equal(entry[4], "RUNNEL_TASK=42");
    assert_string_equal(entry[5], "RUNNEL_QUEUE=mail");
    assert_string_equal(entry[6], "RUNNEL_KIND=sort");
    assert_string_equal(entry[7], "RUNNEL_DELAY_MS=-1");
    assert_string_equal(entry[8], "RUNNEL_ERROR=exit\nstatus 75");
    assert_string_equal(entry[9], "RUNNEL_LEFT=true");
    assert_string_equal(entry[10], "RUNNEL_NONE=-");
    assert_int_equal(receive(), 0);
    free(text);
}

static void message_is_json_where_the_format_is(void **state)
{
    (void)state;
    size_t size;
    begin(LOG_LEVEL_INFO);
    log_format_set(LOG_FORMAT_JSON);
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 42), LOG_TEXT("error", "a\nb"));
    free(capture_end(&size));

    assert_int_equal(receive(), 6);
    json_t *object = json_loads(entry[0] + strlen("MESSAGE="), JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(object);
    assert_int_equal(json_integer_value(json_object_get(object, "task")), 42);
    assert_string_equal(json_string_value(json_object_get(object, "error")), "a\nb");
    assert_non_null(json_object_get(object, "time"));
    json_decref(object);
    assert_string_equal(entry[4], "RUNNEL_TASK=42");
}

/* A value can't begin a field of its own, nor another entry. */
static void outside_text_makes_no_fields(void **state)
{
    (void)state;
    size_t size;
    begin(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", "x\nPRIORITY=0\n\nMESSAGE=forged\n"));
    free(capture_end(&size));

    assert_int_equal(receive(), 5);
    assert_string_equal(entry[1], "PRIORITY=6");
    assert_string_equal(entry[4], "RUNNEL_K=x\nPRIORITY=0\n\nMESSAGE=forged\n");
}

static void entry_is_bounded(void **state)
{
    (void)state;
    size_t size;
    static const char fillers[] = {'x', '\n', '\x01'};
    for (size_t i = 0; i < sizeof(fillers); i++) {
        char value[9000];
        memset(value, fillers[i], sizeof(value) - 1);
        value[sizeof(value) - 1] = '\0';
        begin(LOG_LEVEL_INFO);
        log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1), LOG_TEXT("long", value),
                  LOG_TEXT("more", value), LOG_INT("n", 1));
        free(capture_end(&size));

        assert_true(receive() >= 6);
        assert_true(entry_bytes <= 4096 + 64 + 6144);
        assert_true(strlen(entry[0]) <= strlen("MESSAGE=") + 4096);
        assert_string_equal(entry[1], "PRIORITY=3");
        assert_string_equal(entry[4], "RUNNEL_TASK=1");
        assert_true(strlen(entry[5]) > 4000);
    }
}

static void line_with_its_priority_goes_to_stderr_when_there_is_no_journal(void **state)
{
    (void)state;
    size_t size;
    leave_as_journal();
    begin(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1));
    log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", "\n<0>forged"));
    log_format_set(LOG_FORMAT_JSON);
    log_event(LOG_LEVEL_NOTICE, "e", LOG_UINT("task", 1));
    char *text = capture_end(&size);

    const char *text_lines = "<3>level=err event=e task=1\n"
                             "<6>level=info event=e k=\"\\n<0>forged\"\n"
                             "<5>{\"time\":\"";
    assert_memory_equal(text, text_lines, strlen(text_lines));
    free(text);
}

static void long_line_with_a_priority_is_no_longer_than_others(void **state)
{
    (void)state;
    size_t size;
    char value[9000];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    leave_as_journal();
    begin(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERR, "e", LOG_TEXT("long", value));
    char *text = capture_end(&size);

    assert_true(size <= 4096 && size > 4080);
    free(text);
}

/* It was started anew: the socket at its path is another one. */
static void journal_that_comes_back_is_found(void **state)
{
    (void)state;
    size_t size;
    begin(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_INFO, "first", LOG_INT("n", 1));
    assert_int_equal(receive(), 5);
    leave_as_journal();
    log_event(LOG_LEVEL_INFO, "meanwhile", LOG_INT("n", 2));
    listen_as_journal();
    log_event(LOG_LEVEL_INFO, "again", LOG_INT("n", 3));
    char *text = capture_end(&size);

    assert_string_equal(text, "<6>level=info event=meanwhile n=2\n");
    assert_int_equal(receive(), 5);
    assert_string_equal(entry[3], "RUNNEL_EVENT=again");
    free(text);
}

/* Nobody reads: every event is there, in the socket's queue or on standard error, and the daemon
 * goes on. */
static void journal_that_does_not_read_stops_nobody(void **state)
{
    (void)state;
    enum { EVENTS = 5000 };
    size_t size;
    int queued = 0;
    int written = 0;
    begin(LOG_LEVEL_INFO);
    for (int i = 0; i < EVENTS; i++)
        log_event(LOG_LEVEL_INFO, "e", LOG_INT("n", i));
    while (receive() > 0)
        queued++;
    log_event(LOG_LEVEL_INFO, "flows", LOG_INT("n", 0));
    char *text = capture_end(&size);

    for (const char *at = text; (at = strstr(at, "<6>level=info event=e n=")) != NULL; at++)
        written++;
    assert_true(queued > 0 && written > 0);
    assert_int_equal(queued + written, EVENTS);
    assert_int_equal(receive(), 5);
    assert_string_equal(entry[3], "RUNNEL_EVENT=flows");
    free(text);
}

static void stderr_that_was_redirected_is_not_the_journal(void **state)
{
    (void)state;
    size_t size;
    be_under_systemd(); // of the original standard error; inherited by what redirects its own
    capture_start();
    log_init(LOG_LEVEL_INFO);
    log_journal_open(path);
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1));
    char *text = capture_end(&size);

    assert_int_equal(receive(), 0);
    assert_non_null(strstr(text, "Z level=err event=e task=1\n"));
    assert_memory_equal(text, "20", 2);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(entry_has_native_fields_and_no_time),
        TEST(message_is_json_where_the_format_is),
        TEST(outside_text_makes_no_fields),
        TEST(entry_is_bounded),
        TEST(line_with_its_priority_goes_to_stderr_when_there_is_no_journal),
        TEST(long_line_with_a_priority_is_no_longer_than_others),
        TEST(journal_that_comes_back_is_found),
        TEST(journal_that_does_not_read_stops_nobody),
        TEST(stderr_that_was_redirected_is_not_the_journal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
