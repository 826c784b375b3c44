/* The log's lines on standard error, and its entries in the journal. libsystemd's call is replaced
 * by one that keeps the entry. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>

#include "capture.h"
#include "fault.h"
#include "observe/log.h"
#include "unit.h"

enum { ENTRY_FIELDS_MAX = 40, ENTRY_FIELD_BYTES_MAX = 8192 };
static char entry[ENTRY_FIELDS_MAX][ENTRY_FIELD_BYTES_MAX];
static int entry_fields;
static int entry_result;

/* Takes the place of libsystemd's. */
int sd_journal_sendv(const struct iovec *iov, int n)
{
    assert_true(n <= ENTRY_FIELDS_MAX);
    entry_fields = n;
    for (int i = 0; i < n; i++) {
        assert_true(iov[i].iov_len < ENTRY_FIELD_BYTES_MAX);
        memcpy(entry[i], iov[i].iov_base, iov[i].iov_len);
        entry[i][iov[i].iov_len] = '\0';
    }
    return entry_result;
}

/* The one line that an event with one field makes, without time, level and event. */
static char *line_of(const char *value)
{
    size_t size;
    capture_start();
    log_event(LOG_LEVEL_WARN, "e", LOG_TEXT("k", value));
    char *text = capture_end(&size);
    assert_int_equal(strlen(text), size);
    assert_int_equal(text[size - 1], '\n');
    assert_ptr_equal(strchr(text, '\n'), text + size - 1);
    text[size - 1] = '\0';
    char *at = strstr(text, " level=warn event=e ");
    assert_non_null(at);
    memmove(text, at + strlen(" level=warn event=e "),
            strlen(at + strlen(" level=warn event=e ")) + 1);
    return text;
}

static int to_stderr(void **state)
{
    (void)state;
    fault_reset();
    (void)unsetenv("JOURNAL_STREAM");
    log_init(LOG_LEVEL_DEBUG);
    entry_fields = 0;
    entry_result = 0;
    return 0;
}

static void line_begins_with_an_rfc_3339_time(void **state)
{
    (void)state;
    size_t size;
    capture_start();
    log_event(LOG_LEVEL_NOTICE, "ready", LOG_TEXT("listen", "127.0.0.1:7733"),
              LOG_UINT("waiting", 120));
    char *text = capture_end(&size);

    int used = 0;
    int digits;
    assert_int_equal(sscanf(text, "20%*2d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ %n", &digits, &used), 1);
    assert_int_equal(used, 25);
    assert_string_equal(text + used,
                        "level=notice event=ready listen=127.0.0.1:7733 waiting=120\n");
    free(text);
}

static void values_have_their_type(void **state)
{
    (void)state;
    size_t size;
    capture_start();
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", UINT64_MAX), LOG_INT("low", INT64_MIN),
              LOG_TEXT("none", NULL), LOG_BOOL("left", true), LOG_BOOL("right", false));
    char *text = capture_end(&size);

    assert_non_null(strstr(text, " task=18446744073709551615 low=-9223372036854775808 none=- "
                                 "left=true right=false\n"));
    free(text);
}

static void outside_text_is_quoted_and_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        const char *line;
    } rows[] = {
        {"plain-text_1.2:/@+,%[]", "k=plain-text_1.2:/@+,%[]"},
        {"", "k=\"\""},
        {"two words", "k=\"two words\""},
        {"a=b", "k=\"a=b\""},
        {"say \"hi\"", "k=\"say \\\"hi\\\"\""},
        {"back\\slash", "k=\"back\\\\slash\""},
        {"line\nbreak\ttab\rreturn", "k=\"line\\nbreak\\ttab\\rreturn\""},
        {"\x1b[31mred", "k=\"\\x1b[31mred\""},
        {"\x7f\x01", "k=\"\\x7f\\x01\""},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", "k=\"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"\xC3", "k=\"\\xc3\""},                            // half a character
        {"\xFF\xFE", "k=\"\\xff\\xfe\""},                   // no UTF-8
        {"\xC0\xAF", "k=\"\\xc0\\xaf\""},                   // too long a form
        {"\xED\xA0\x80", "k=\"\\xed\\xa0\\x80\""},          // half a surrogate pair
        {"\xF4\x90\x80\x80", "k=\"\\xf4\\x90\\x80\\x80\""}, // beyond U+10FFFF
        {"\xC2\x9B\x33", "k=\"\\xc2\\x9b3\""},              // a control character of eight bits
        {"\xE2\x80\xA8", "k=\"\\xe2\\x80\\xa8\""},          // line separator
        {"\xE2\x80\xAE", "k=\"\\xe2\\x80\\xae\""},          // right to left from here
        {"x\nlevel=err event=forged", "k=\"x\\nlevel=err event=forged\""},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *line = line_of(rows[i].value);
        assert_string_equal(line, rows[i].line);
        free(line);
    }
}

static void long_line_is_cut_and_says_so(void **state)
{
    (void)state;
    static const char *const fillers[] = {"x", "x y", "\x01", "\xE2\x82\xAC"};
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
        char value[9000] = "";
        size_t step = strlen(fillers[i]);
        for (size_t at = 0; at + step < sizeof(value); at += step)
            memcpy(value + at, fillers[i], step + 1);

        size_t size;
        capture_start();
        log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", value), LOG_TEXT("next", "left-out"));
        char *text = capture_end(&size);

        assert_true(size <= 4096 && size > 4000);
        assert_string_equal(text + size - strlen("\" truncated=yes\n"), "\" truncated=yes\n");
        assert_null(strstr(text, "next"));
        free(text);
    }
}

/* Each length around the limit: the end of a line is where off-by-one errors live. */
static void line_is_whole_or_cut_at_every_length_around_the_limit(void **state)
{
    (void)state;
    static const char *const forms[] = {"xxxx", "x xx", "xxx\x01"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t length = 3950; length < 4120; length++) {
            char value[4200];
            memset(value, 'x', length);
            memcpy(value, forms[i], 4);
            value[length] = '\0';
            size_t size;
            capture_start();
            log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", value), LOG_TEXT("z", ""));
            char *text = capture_end(&size);
            assert_true(size <= 4096);
            bool is_whole = strcmp(text + size - strlen("x\" z=\"\"\n") + (i == 0),
                                   i == 0 ? "x z=\"\"\n" : "x\" z=\"\"\n") == 0;
            bool is_cut = strcmp(text + size - strlen(" truncated=yes\n"), " truncated=yes\n") == 0;
            assert_true(is_whole != is_cut);
            size_t quotes = 0;
            for (const char *at = text; *at != '\0'; at++)
                quotes += *at == '"';
            assert_int_equal(quotes % 2, 0);
            free(text);
        }
    }
}

static void levels_beyond_the_chosen_one_are_not_written(void **state)
{
    (void)state;
    size_t size;
    log_init(LOG_LEVEL_WARN);
    assert_true(log_enabled(LOG_LEVEL_ERR));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_NOTICE));

    capture_start();
    log_event(LOG_LEVEL_INFO, "quiet", LOG_INT("n", 1));
    log_fields(LOG_LEVEL_NOTICE, "quiet", NULL, 0);
    log_fields(LOG_LEVEL_WARN, "loud", NULL, 0);
    char *text = capture_end(&size);

    assert_null(strstr(text, "quiet"));
    assert_non_null(strstr(text, "level=warn event=loud\n"));
    free(text);
}

static void levels_have_names(void **state)
{
    (void)state;
    for (int i = LOG_LEVEL_ERR; i <= LOG_LEVEL_DEBUG; i++) {
        enum log_level level = LOG_LEVEL_ERR;
        assert_int_equal(log_level_parse(log_level_name((enum log_level)i), &level), 0);
        assert_int_equal(level, i);
    }
    enum log_level level = LOG_LEVEL_INFO;
    static const char *const wrong[] = {"", "error", "INFO", "info ", "6"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(log_level_parse(wrong[i], &level), -EINVAL);
    assert_int_equal(level, LOG_LEVEL_INFO);
}

static void failed_write_is_lost_and_an_interrupted_one_repeated(void **state)
{
    (void)state;
    size_t size;

    capture_start();
    fault_fail(FAULT_WRITE, 1, EINTR);
    log_event(LOG_LEVEL_INFO, "repeated", LOG_INT("n", 1));
    bool struck = fault_reached();
    fault_fail(FAULT_WRITE, 1, ENOSPC);
    log_event(LOG_LEVEL_INFO, "lost", LOG_INT("n", 1));
    bool struck_again = fault_reached();
    char *text = capture_end(&size);

    assert_true(struck && struck_again);
    assert_non_null(strstr(text, "event=repeated n=1\n"));
    assert_null(strstr(text, "lost"));
    free(text);
}

enum { THREADS = 4, LINES = 250 };

static void *write_lines(void *arg)
{
    char letters[200];
    memset(letters, *(const char *)arg, sizeof(letters) - 1);
    letters[sizeof(letters) - 1] = '\0';
    for (int i = 0; i < LINES; i++)
        log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", letters), LOG_INT("n", i));
    return NULL;
}

static void lines_of_several_threads_do_not_mix(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    static char letters[THREADS] = {'a', 'b', 'c', 'd'};
    size_t size;

    capture_start();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    char *text = capture_end(&size);

    int next[THREADS] = {0};
    int lines = 0;
    char *rest = text;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char *value = strstr(line, " level=info event=e k=");
        assert_non_null(value);
        value += strlen(" level=info event=e k=");
        int thread = value[0] - 'a';
        assert_true(thread >= 0 && thread < THREADS);
        char expected[300];
        memset(expected, value[0], 199);
        snprintf(expected + 199, sizeof(expected) - 199, " n=%d", next[thread]++);
        assert_string_equal(value, expected);
        lines++;
    }
    assert_int_equal(lines, THREADS * LINES);
    free(text);
}

/* Makes standard error, as it is now, the journal for log_init. */
static void be_under_systemd(void)
{
    char stream[64];
    struct stat status;
    assert_int_equal(fstat(STDERR_FILENO, &status), 0);
    snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev, (uintmax_t)status.st_ino);
    assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);
}

static void journal_gets_native_fields_and_no_time(void **state)
{
    (void)state;
    size_t size;
    capture_start();
    be_under_systemd();
    log_init(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_WARN, "task_retry", LOG_UINT("task", 42), LOG_TEXT("queue", "mail"),
              LOG_INT("delay_ms", -1), LOG_TEXT("error", "exit\nstatus 75"));
    char *text = capture_end(&size);

    assert_string_equal(text, "");
    assert_int_equal(entry_fields, 7);
    assert_string_equal(entry[0],
                        "MESSAGE=level=warn event=task_retry task=42 queue=mail delay_ms=-1 "
                        "error=\"exit\\nstatus 75\"");
    assert_string_equal(entry[1], "PRIORITY=4");
    assert_string_equal(entry[2], "RUNNEL_EVENT=task_retry");
    assert_string_equal(entry[3], "RUNNEL_TASK=42");
    assert_string_equal(entry[4], "RUNNEL_QUEUE=mail");
    assert_string_equal(entry[5], "RUNNEL_DELAY_MS=-1");
    assert_string_equal(entry[6], "RUNNEL_ERROR=exit\nstatus 75");
    free(text);
}

static void journal_entry_is_bounded(void **state)
{
    (void)state;
    size_t size;
    char value[9000];
    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    capture_start();
    be_under_systemd();
    log_init(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1), LOG_TEXT("long", value),
              LOG_TEXT("more", value));
    free(capture_end(&size));

    assert_true(strlen(entry[0]) <= strlen("MESSAGE=") + 4096);
    assert_string_equal(entry[1], "PRIORITY=3");
    size_t bytes = 0;
    for (int i = 1; i < entry_fields; i++)
        bytes += strlen(entry[i]);
    assert_true(bytes < 8192);
    assert_string_equal(entry[3], "RUNNEL_TASK=1");
}

static void line_goes_to_stderr_when_the_journal_refuses(void **state)
{
    (void)state;
    size_t size;
    capture_start();
    be_under_systemd();
    log_init(LOG_LEVEL_INFO);
    entry_result = -ENOBUFS;
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1));
    char *text = capture_end(&size);

    assert_string_equal(text, "level=err event=e task=1\n");
    free(text);
}

static void stderr_that_was_redirected_is_not_the_journal(void **state)
{
    (void)state;
    size_t size;
    be_under_systemd(); // of the original standard error; inherited by what redirects its own
    capture_start();
    log_init(LOG_LEVEL_INFO);
    log_event(LOG_LEVEL_ERR, "e", LOG_UINT("task", 1));
    char *text = capture_end(&size);

    assert_int_equal(entry_fields, 0);
    assert_non_null(strstr(text, "Z level=err event=e task=1\n"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(line_begins_with_an_rfc_3339_time, to_stderr),
        cmocka_unit_test_setup(values_have_their_type, to_stderr),
        cmocka_unit_test_setup(outside_text_is_quoted_and_escaped, to_stderr),
        cmocka_unit_test_setup(long_line_is_cut_and_says_so, to_stderr),
        cmocka_unit_test_setup(line_is_whole_or_cut_at_every_length_around_the_limit, to_stderr),
        cmocka_unit_test_setup(levels_beyond_the_chosen_one_are_not_written, to_stderr),
        cmocka_unit_test_setup(levels_have_names, to_stderr),
        cmocka_unit_test_setup(failed_write_is_lost_and_an_interrupted_one_repeated, to_stderr),
        cmocka_unit_test_setup(lines_of_several_threads_do_not_mix, to_stderr),
        cmocka_unit_test_setup(journal_gets_native_fields_and_no_time, to_stderr),
        cmocka_unit_test_setup(journal_entry_is_bounded, to_stderr),
        cmocka_unit_test_setup(line_goes_to_stderr_when_the_journal_refuses, to_stderr),
        cmocka_unit_test_setup(stderr_that_was_redirected_is_not_the_journal, to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
