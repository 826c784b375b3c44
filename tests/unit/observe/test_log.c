/* The log's lines on standard error. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "capture.h"
#include "fault.h"
#include "observe/log.h"
#include "unit.h"

/* From now on what is logged is caught. */
static void begin(void)
{
    capture_start();
    log_init(LOG_LEVEL_DEBUG);
}

/* The one line that an event with one field makes, without time, level and event. */
static char *line_of(const char *value)
{
    size_t size;
    begin();
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
    return 0;
}

static void line_begins_with_an_rfc_3339_time(void **state)
{
    (void)state;
    size_t size;
    begin();
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
    begin();
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
        begin();
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
            begin();
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
    begin();
    log_init(LOG_LEVEL_WARN);
    assert_true(log_enabled(LOG_LEVEL_ERR));
    assert_true(log_enabled(LOG_LEVEL_WARN));
    assert_false(log_enabled(LOG_LEVEL_NOTICE));

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

static void failed_write_is_told_and_an_interrupted_one_repeated(void **state)
{
    (void)state;
    size_t size;
    uint64_t before = log_dropped();

    begin();
    fault_fail(FAULT_WRITE, 1, EINTR);
    log_event(LOG_LEVEL_INFO, "repeated", LOG_INT("n", 1));
    bool struck = fault_reached();
    fault_fail(FAULT_WRITE, 1, ENOSPC);
    log_event(LOG_LEVEL_INFO, "lost", LOG_INT("n", 1));
    bool struck_again = fault_reached();
    log_event(LOG_LEVEL_INFO, "after", LOG_INT("n", 1));
    char *text = capture_end(&size);

    assert_true(struck && struck_again);
    assert_int_equal(log_dropped(), before + 1);
    assert_non_null(strstr(text, "event=repeated n=1\n"));
    assert_null(strstr(text, "lost"));
    const char *told = strstr(text, " level=warn event=log_dropped count=1\n");
    const char *after = strstr(text, "event=after n=1\n");
    assert_true(told != NULL && after != NULL && told < after);
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

    begin();
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
        cmocka_unit_test_setup(failed_write_is_told_and_an_interrupted_one_repeated, to_stderr),
        cmocka_unit_test_setup(lines_of_several_threads_do_not_mix, to_stderr),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
