/* The log as JSON: every line is an object that another parser reads, and the values come back. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "capture.h"
#include "observe/log.h"
#include "unit.h"

enum { LINE_BYTES_MAX = 4096, FIELDS_MAX = 24, TEXT_BYTES_MAX = 9000 };

/* From now on what is logged is caught, as JSON. */
static void begin(void)
{
    capture_start();
    log_init(LOG_LEVEL_DEBUG);
    log_format_set(LOG_FORMAT_JSON);
}

/* No byte that a terminal or a reader of lines would obey leaves, but the newline at the end. */
static void expect_harmless(const char *text, size_t size)
{
    assert_true(size > 0 && size <= LINE_BYTES_MAX);
    assert_int_equal(strlen(text), size);
    assert_int_equal(text[size - 1], '\n');
    for (size_t i = 0; i + 1 < size; i++)
        assert_true((unsigned char)text[i] >= 0x20 && text[i] != 0x7F);
}

/* The object of the one event that was logged since begin(). */
static json_t *caught(void)
{
    size_t size = 0;
    json_error_t error;
    char *text = capture_end(&size);

    expect_harmless(text, size);
    json_t *object = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (object == NULL)
        fail_msg("%s: %s", error.text, text);
    free(text);
    return object;
}

static void expect_text(const json_t *object, const char *key, const char *wanted)
{
    const char *value = json_string_value(json_object_get(object, key));
    assert_non_null(value);
    assert_string_equal(value, wanted);
}

static void object_has_time_level_event_and_fields_with_their_types(void **state)
{
    (void)state;
    int used = 0;
    int digits = 0;

    begin();
    log_event(LOG_LEVEL_WARN, "task_retry", LOG_UINT("task", 42), LOG_TEXT("queue", "mail"),
              LOG_INT("delay_ms", -1), LOG_BOOL("left", true), LOG_BOOL("right", false),
              LOG_TEXT("none", NULL), LOG_UINT("most", INT64_MAX), LOG_INT("least", INT64_MIN),
              LOG_UINT("more", UINT64_MAX));
    json_t *object = caught();

    assert_int_equal(json_object_size(object), 12);
    const char *time = json_string_value(json_object_get(object, "time"));
    assert_non_null(time);
    assert_int_equal(sscanf(time, "20%*2d-%*2d-%*2dT%*2d:%*2d:%*2d.%3dZ%n", &digits, &used), 1);
    assert_int_equal(used, strlen(time));
    expect_text(object, "level", "warn");
    expect_text(object, "event", "task_retry");
    assert_true(json_is_integer(json_object_get(object, "task")));
    assert_int_equal(json_integer_value(json_object_get(object, "task")), 42);
    expect_text(object, "queue", "mail");
    assert_int_equal(json_integer_value(json_object_get(object, "delay_ms")), -1);
    assert_true(json_is_true(json_object_get(object, "left")));
    assert_true(json_is_false(json_object_get(object, "right")));
    assert_true(json_is_null(json_object_get(object, "none")));
    assert_true(json_integer_value(json_object_get(object, "most")) == INT64_MAX);
    assert_true(json_integer_value(json_object_get(object, "least")) == INT64_MIN);
    expect_text(object, "more", "18446744073709551615");
    json_decref(object);
}

static void outside_text_comes_back_as_it_was(void **state)
{
    (void)state;
    static const struct {
        const char *value, *read; // read NULL: the same
    } rows[] = {
        {"", NULL},
        {"<0>forged", NULL},
        {"x\n{\"level\":\"err\"}", NULL},
        {"say \"hi\" \\ /", NULL},
        {"\x01\x02\t\r\x1b[31mred\x7f", NULL},
        {"\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80", NULL},
        {"\xC2\x85\xC2\x9B", NULL},         // control characters of eight bits
        {"\xE2\x80\xA8\xE2\x80\xAE", NULL}, // line separator, right to left from here
        {"\xC3", "\xEF\xBF\xBD"},           // half a character
        {"\xC3x", "\xEF\xBF\xBDx"},
        {"\xFFy", "\xEF\xBF\xBDy"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},                 // too long a form
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"}, // half a surrogate pair
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin();
        log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", rows[i].value), LOG_INT("n", 1));
        json_t *object = caught();
        expect_text(object, "k", rows[i].read != NULL ? rows[i].read : rows[i].value);
        assert_int_equal(json_integer_value(json_object_get(object, "n")), 1);
        json_decref(object);
    }
}

/* The characters that a line of text must not have either come out as escapes. */
static void characters_that_turn_the_line_around_are_escaped(void **state)
{
    (void)state;
    size_t size = 0;

    begin();
    log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", "\xE2\x80\xAE\xC2\x9B\xE2\x80\xA8\x7F"));
    char *text = capture_end(&size);

    assert_non_null(strstr(text, "\"k\":\"\\u202e\\u009b\\u2028\\u007f\"}\n"));
    free(text);
}

static void long_text_is_cut_inside_its_value(void **state)
{
    (void)state;
    static const char *const fillers[] = {"x", "\x01", "\"", "\xE2\x82\xAC", "\xFF"};
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
        char value[TEXT_BYTES_MAX] = "";
        size_t step = strlen(fillers[i]);
        for (size_t at = 0; at + step < sizeof(value); at += step)
            memcpy(value + at, fillers[i], step + 1);

        begin();
        log_event(LOG_LEVEL_INFO, "e", LOG_UINT("task", 7), LOG_TEXT("k", value),
                  LOG_INT("next", 1));
        json_t *object = caught();

        assert_true(json_is_true(json_object_get(object, "truncated")));
        assert_int_equal(json_integer_value(json_object_get(object, "task")), 7);
        assert_null(json_object_get(object, "next"));
        const char *read = json_string_value(json_object_get(object, "k"));
        assert_non_null(read);
        assert_true(strlen(read) >= 650); // the line is full of it, six bytes a character at most
        if (i < 4)
            assert_memory_equal(read, value, strlen(read));
        json_decref(object);
    }
}

/* Each length around the limit, with a text, a number and a name at the end of the line. */
static void line_is_an_object_at_every_length_around_the_limit(void **state)
{
    (void)state;
    bool was_whole = false;
    bool was_cut = false;

    for (size_t length = 3900; length < 4100; length++) {
        char value[4200];
        memset(value, 'x', length);
        value[length] = '\0';
        begin();
        log_event(LOG_LEVEL_INFO, "e", LOG_TEXT("k", value), LOG_TEXT("z", "\x01\x02"),
                  LOG_INT("number", -123456789), LOG_BOOL("truth", true), LOG_TEXT("no", NULL),
                  LOG_UINT("digits", UINT64_MAX));
        json_t *object = caught();

        bool is_cut = json_is_true(json_object_get(object, "truncated"));
        assert_true(is_cut || json_object_size(object) == 9);
        const json_t *number = json_object_get(object, "number");
        assert_true(number == NULL || json_integer_value(number) == -123456789);
        const json_t *digits = json_object_get(object, "digits");
        assert_true(digits == NULL ||
                    strcmp(json_string_value(digits), "18446744073709551615") == 0);
        was_whole = was_whole || !is_cut;
        was_cut = was_cut || is_cut;
        json_decref(object);
    }
    assert_true(was_whole && was_cut);
}

/* ---- random fields ---- */

static uint64_t seed;

/* xorshift64*: the same in every run. */
static uint64_t random_below(uint64_t limit)
{
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    return (seed * UINT64_C(2685821657736338717) >> 11) % limit;
}

struct grown {
    char bytes[TEXT_BYTES_MAX * 4];
    size_t length;
};

static void grow(struct grown *text, const char *bytes, size_t count)
{
    memcpy(text->bytes + text->length, bytes, count);
    text->length += count;
    text->bytes[text->length] = '\0';
}

static size_t encode(uint32_t code, char bytes[static 4])
{
    if (code < 0x80) {
        bytes[0] = (char)code;
        return 1;
    }
    size_t count = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char leads[] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = count - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    bytes[0] = (char)(leads[count] | code);
    return count;
}

/* A text, and how it is to be read. */
static void random_text(struct grown *text, struct grown *read)
{
    static const uint32_t limits[] = {0x20, 0x80, 0x800, 0x10000, 0x110000};
    size_t pieces = random_below(10) == 0 ? random_below(2000) : random_below(40);

    text->length = 0;
    read->length = 0;
    grow(text, "", 0);
    grow(read, "", 0);
    for (size_t i = 0; i < pieces; i++) {
        if (random_below(8) == 0) { // never a part of a character
            char byte =
                (char)(random_below(2) == 0 ? 0x80 + random_below(0x40) : 0xF5 + random_below(11));
            grow(text, &byte, 1);
            grow(read, "\xEF\xBF\xBD", 3);
            continue;
        }
        char bytes[4];
        uint32_t code = 1 + (uint32_t)random_below(limits[random_below(5)] - 1);
        if (code >= 0xD800 && code <= 0xDFFF)
            code -= 0x800;
        size_t count = encode(code, bytes);
        grow(text, bytes, count);
        grow(read, bytes, count);
    }
}

static void expect_text_back(const json_t *value, const struct grown *read, bool is_cut)
{
    assert_true(json_is_string(value));
    size_t length = json_string_length(value);
    assert_true(length == read->length || (is_cut && length < read->length));
    assert_memory_equal(json_string_value(value), read->bytes, length);
}

static void expect_number_back(const json_t *value, const struct log_field *field)
{
    char digits[24];

    switch (field->type) {
    case LOG_VALUE_BOOL:
        assert_true(json_is_boolean(value));
        assert_int_equal(json_is_true(value), field->number);
        break;
    case LOG_VALUE_INTEGER:
        assert_true(json_is_integer(value));
        assert_true(json_integer_value(value) == field->integer);
        break;
    default:
        snprintf(digits, sizeof(digits), "%" PRIu64, field->number);
        if (field->number > INT64_MAX)
            assert_string_equal(json_string_value(value), digits);
        else
            assert_true((uint64_t)json_integer_value(value) == field->number);
        break;
    }
}

/* Bits of every magnitude. */
static uint64_t random_number(void)
{
    uint64_t number = random_below(UINT64_C(1) << 32) << 32 | random_below(UINT64_C(1) << 32);
    return number >> random_below(64);
}

static void random_fields_come_back(void **state)
{
    (void)state;
    static struct grown texts[FIELDS_MAX];
    static struct grown reads[FIELDS_MAX];
    static char keys[FIELDS_MAX][24];
    struct log_field fields[FIELDS_MAX];
    unsigned cut = 0;

    seed = UINT64_C(0x9E3779B97F4A7C15);
    for (int round = 0; round < 10000; round++) {
        size_t count = random_below(FIELDS_MAX + 1);
        for (size_t i = 0; i < count; i++) {
            snprintf(keys[i], sizeof(keys[i]), "k%zu", i);
            fields[i] =
                (struct log_field){.key = keys[i], .type = (enum log_value_type)random_below(4)};
            fields[i].number = fields[i].type == LOG_VALUE_BOOL ? random_below(2) : random_number();
            fields[i].integer = (int64_t)random_number();
            random_text(&texts[i], &reads[i]);
            fields[i].text = texts[i].bytes;
        }
        begin();
        log_fields(LOG_LEVEL_NOTICE, "random", fields, count);
        json_t *object = caught();

        bool is_cut = json_is_true(json_object_get(object, "truncated"));
        cut += is_cut;
        assert_true(is_cut || json_object_size(object) == 3 + count);
        for (size_t i = 0; i < count; i++) {
            const json_t *value = json_object_get(object, keys[i]);
            if (value == NULL) {
                assert_true(is_cut);
                break; // and all behind it
            }
            if (fields[i].type == LOG_VALUE_TEXT)
                expect_text_back(value, &reads[i], is_cut);
            else
                expect_number_back(value, &fields[i]);
        }
        json_decref(object);
    }
    assert_true(cut > 100 && cut < 9900);
}

/* ---- */

static void format_is_changed_while_it_runs(void **state)
{
    (void)state;
    size_t size = 0;

    begin();
    log_event(LOG_LEVEL_INFO, "e", LOG_INT("n", 1));
    log_format_set(LOG_FORMAT_TEXT);
    log_event(LOG_LEVEL_INFO, "e", LOG_INT("n", 2));
    log_format_set(LOG_FORMAT_JSON);
    log_event(LOG_LEVEL_INFO, "e", LOG_INT("n", 3));
    char *text = capture_end(&size);

    assert_non_null(strstr(text, "\"event\":\"e\",\"n\":1}\n20"));
    assert_non_null(strstr(text, "Z level=info event=e n=2\n{\"time\":"));
    assert_non_null(strstr(text, "\"event\":\"e\",\"n\":3}\n"));
    free(text);
}

static void formats_have_names(void **state)
{
    (void)state;
    enum log_format format = LOG_FORMAT_TEXT;

    for (int i = LOG_FORMAT_TEXT; i <= LOG_FORMAT_JSON; i++) {
        assert_int_equal(log_format_parse(log_format_name((enum log_format)i), &format), 0);
        assert_int_equal(format, i);
    }
    static const char *const wrong[] = {"", "JSON", "logfmt", "text "};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(log_format_parse(wrong[i], &format), -EINVAL);
    assert_int_equal(format, LOG_FORMAT_JSON);
}

int main(void)
{
    (void)unsetenv("JOURNAL_STREAM");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(object_has_time_level_event_and_fields_with_their_types),
        cmocka_unit_test(outside_text_comes_back_as_it_was),
        cmocka_unit_test(characters_that_turn_the_line_around_are_escaped),
        cmocka_unit_test(long_text_is_cut_inside_its_value),
        cmocka_unit_test(line_is_an_object_at_every_length_around_the_limit),
        cmocka_unit_test(random_fields_come_back),
        cmocka_unit_test(format_is_changed_while_it_runs),
        cmocka_unit_test(formats_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
