/* Placeholders: what fits into a command, and what argv it makes. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "runners/template.h"

/* A kind with this command; words end with NULL and are never written to. */
static struct config_kind kind_of(const char *const *words)
{
    struct config_kind kind = {.runs = CONFIG_RUNS_COMMAND, .stdin_from = CONFIG_STDIN_NONE};

    kind.command = (char **)(uintptr_t)words;
    while (words[kind.command_count] != NULL)
        kind.command_count++;
    return kind;
}

static size_t check(const struct config_kind *kind, const char *text, struct args_fault *ret_faults)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);

    assert_non_null(json);
    size_t count = runner_check_args(kind, json, text, strlen(text), ret_faults, 4);
    assert_int_equal(runner_check_args(kind, json, text, strlen(text), NULL, 0), count);
    json_decref(json);
    return count;
}

static void assert_argv(const struct config_kind *kind, const char *text,
                        const char *const *expected)
{
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    struct args args = {json, text, strlen(text)};
    char **argv = NULL;
    size_t count = 0;

    assert_non_null(json);
    assert_int_equal(template_argv(kind, &args, &argv), 0);

    for (; expected[count] != NULL; count++)
        assert_string_equal(argv[count], expected[count]);
    assert_null(argv[count]);
    template_argv_free(argv);
    json_decref(json);
}

static void values_take_the_place_of_whole_elements_and_of_ends_after_an_equals_sign(void **state)
{
    const char *const words[] = {"/bin/x={a}", "{a}", "--out={b}", "={c}", "{d}", "x{a}",
                                 "{a}x",       "{}",  "{ a}",      "{1}",  "$a",  "${a}",
                                 "--",         "{a}", "k={a}={b}", NULL};
    const char *const expected[] = {"/bin/x={a}", "x y", "--out=1.10", "=true", "",   "x{a}",
                                    "{a}x",       "{}",  "{ a}",       "{1}",   "$a", "${a}",
                                    "--",         "x y", "k={a}=1.10", NULL};
    struct config_kind kind = kind_of(words);

    (void)state;
    assert_true(template_needs_args(&kind));
    assert_argv(&kind, "{\"a\":\"x y\",\"b\":1.10,\"c\":true,\"d\":\"\"}", expected);
}

static void a_command_without_placeholders_takes_any_args(void **state)
{
    const char *const words[] = {"/bin/{x}", "-c", "a={b", "{}", NULL};
    struct config_kind kind = kind_of(words);

    (void)state;
    assert_false(template_needs_args(&kind));
    assert_int_equal(check(&kind, "[1]", NULL), 0);
    assert_int_equal(check(&kind, "null", NULL), 0);
    assert_argv(&kind, "null", words);
}

static void what_does_not_fit_is_a_fault_at_its_pointer(void **state)
{
    // clang-format off
    static const struct { const char *args, *pointer, *detail; } rows[] = {
        {"null", "#/args/a", "is required"},
        {"{}", "#/args/a", "is required"},
        {"{\"a\":null}", "#/args/a", "is required"},
        {"{\"A\":\"x\"}", "#/args/a", "is required"},
        {"{\"a\":[]}", "#/args/a", "must be a string, number or boolean"},
        {"{\"a\":[\"x\"]}", "#/args/a", "must be a string, number or boolean"},
        {"{\"a\":{\"b\":1}}", "#/args/a", "must be a string, number or boolean"},
        {"{\"a\":\"x\\u0000y\"}", "#/args/a", "NUL"},
        {"{\"a\":\"-x\"}", "#/args/a", "must not begin with '-'"},
        {"{\"a\":\"--\"}", "#/args/a", "must not begin with '-'"},
        {"{\"a\":\"-\"}", "#/args/a", "must not begin with '-'"},
        {"{\"a\":-1}", "#/args/a", "must not begin with '-'"},
        {"{\"a\":-0.5}", "#/args/a", "must not begin with '-'"},
        {"\"x\"", "#/args", "must be an object"},
        {"[\"x\"]", "#/args", "must be an object"},
        {"7", "#/args", "must be an object"},
        {"true", "#/args", "must be an object"},
    };
    // clang-format on
    const char *const words[] = {"/bin/x", "{a}", NULL};
    struct config_kind kind = kind_of(words);
    struct args_fault faults[4];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(check(&kind, rows[i].args, faults), 1);
        assert_string_equal(faults[0].pointer, rows[i].pointer);
        if (strstr(faults[0].detail, rows[i].detail) == NULL)
            fail_msg("%s: %s", rows[i].args, faults[0].detail);
    }
}

static void all_faults_are_told_one_for_each_member(void **state)
{
    const char *const words[] = {"/bin/x", "--a={a}", "--b={b}", "{a}", "{c}", NULL};
    struct config_kind kind = kind_of(words);
    struct args_fault faults[4];

    (void)state;
    assert_int_equal(check(&kind, "{\"b\":[],\"c\":\"-\"}", faults), 3);
    assert_string_equal(faults[0].pointer, "#/args/a");
    assert_string_equal(faults[1].pointer, "#/args/b");
    assert_string_equal(faults[2].pointer, "#/args/c");
    // The strictest of a name's places counts.
    assert_int_equal(check(&kind, "{\"a\":\"-\",\"b\":\"-\",\"c\":\"c\"}", faults), 1);
    assert_string_equal(faults[0].pointer, "#/args/a");
}

static void a_dash_is_allowed_where_it_can_be_no_option(void **state)
{
    const char *const words[] = {"/bin/x", "--out={a}", "--", "{a}", NULL};
    const char *const late[] = {"/bin/x", "{a}", "--", NULL};
    const char *const program[] = {"--", "{a}", NULL};
    const char *const expected[] = {"/bin/x", "--out=-rf", "--", "-rf", NULL};
    struct config_kind kind = kind_of(words);
    struct args_fault faults[4];

    (void)state;
    assert_int_equal(check(&kind, "{\"a\":\"-rf\"}", faults), 0);
    assert_argv(&kind, "{\"a\":\"-rf\"}", expected);
    kind = kind_of(late);
    assert_int_equal(check(&kind, "{\"a\":\"-rf\"}", faults), 1);
    kind = kind_of(program); // what stands in place of the program is no "--"
    assert_int_equal(check(&kind, "{\"a\":\"-rf\"}", faults), 1);
}

static void a_value_has_at_most_4096_bytes(void **state)
{
    const char *const words[] = {"/bin/x", "{a}", NULL};
    struct config_kind kind = kind_of(words);
    struct args_fault faults[4];
    char text[5000];
    char value[4200];

    (void)state;
    memset(value, 'v', sizeof(value));
    (void)snprintf(text, sizeof(text), "{\"a\":\"%.4096s\"}", value);
    assert_int_equal(check(&kind, text, faults), 0);
    (void)snprintf(text, sizeof(text), "{\"a\":\"%.4097s\"}", value);
    assert_int_equal(check(&kind, text, faults), 1);
    assert_non_null(strstr(faults[0].detail, "4096"));
    memset(value, '0', sizeof(value));
    (void)snprintf(text, sizeof(text), "{\"a\":1.%.4095s}", value);
    assert_int_equal(check(&kind, text, faults), 1);
}

static void stdin_takes_longer_values_and_any_first_character(void **state)
{
    const char *const words[] = {"/bin/x", NULL};
    struct config_kind kind = kind_of(words);
    struct args_fault faults[4];
    char text[9000];
    char value[8000];

    (void)state;
    kind.stdin_from = CONFIG_STDIN_PLACEHOLDER;
    (void)snprintf(kind.stdin_name, sizeof(kind.stdin_name), "text");
    memset(value, '-', sizeof(value));
    (void)snprintf(text, sizeof(text), "{\"text\":\"%.8000s\"}", value);

    assert_int_equal(check(&kind, text, faults), 0);
    assert_int_equal(check(&kind, "{\"text\":[]}", faults), 1);
    assert_int_equal(check(&kind, "{}", faults), 1);
    assert_string_equal(faults[0].pointer, "#/args/text");
}

static void a_pattern_must_match_the_whole_value(void **state)
{
    // clang-format off
    static const struct { const char *args; size_t faults; } rows[] = {
        {"{\"a\":\"/srv/x\",\"b\":1.10}", 0},
        {"{\"a\":\"/srv/x\\ny\",\"b\":22.00}", 0},
        {"{\"a\":\"x/srv/x\",\"b\":1.10}", 1},
        {"{\"a\":\"/srv/\",\"b\":1.10}", 1},
        {"{\"a\":\"/etc\\n/srv/x\",\"b\":1.10}", 1},
        {"{\"a\":\"/srv/x\",\"b\":1.1}", 1},
        {"{\"a\":\"\",\"b\":\"1.100\"}", 2},
    };
    // clang-format on
    const char *const words[] = {"/bin/x", "{a}", "-n={b}", NULL};
    struct config_kind kind = kind_of(words);
    struct config_accept accept[] = {{.name = "b", .pattern = strdup("[0-9]+\\.[0-9]{2}")},
                                     {.name = "a", .pattern = strdup("/srv/.+")}};
    struct args_fault faults[4];

    (void)state;
    assert_int_equal(regcomp(&accept[0].regex, "^([0-9]+\\.[0-9]{2})$", REG_EXTENDED | REG_NOSUB),
                     0);
    assert_int_equal(regcomp(&accept[1].regex, "^(/srv/.+)$", REG_EXTENDED | REG_NOSUB), 0);
    kind.accept = accept;
    kind.accept_count = 2;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(check(&kind, rows[i].args, faults), rows[i].faults);
    assert_string_equal(faults[0].detail, "must as a whole match /srv/.+");

    for (size_t i = 0; i < 2; i++) {
        regfree(&accept[i].regex);
        free(accept[i].pattern);
    }
}

static void argv_survives_every_failed_allocation(void **state)
{
    const char *const words[] = {"/bin/x", "{a}", "--", NULL};
    struct config_kind kind = kind_of(words);
    const char *text = "{\"a\":\"b\"}";
    json_t *json = json_loads(text, 0, NULL);
    struct args args = {json, text, strlen(text)};

    (void)state;
    for (int nth = 1;; nth++) {
        char **argv = NULL;
        fault_fail_malloc(nth);
        int r = template_argv(&kind, &args, &argv);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_int_equal(nth, 5); // the array, and its three elements
            template_argv_free(argv);
            break;
        }
        assert_int_equal(r, -ENOMEM);
        assert_null(argv);
    }
    json_decref(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_take_the_place_of_whole_elements_and_of_ends_after_an_equals_sign),
        cmocka_unit_test(a_command_without_placeholders_takes_any_args),
        cmocka_unit_test(what_does_not_fit_is_a_fault_at_its_pointer),
        cmocka_unit_test(all_faults_are_told_one_for_each_member),
        cmocka_unit_test(a_dash_is_allowed_where_it_can_be_no_option),
        cmocka_unit_test(a_value_has_at_most_4096_bytes),
        cmocka_unit_test(stdin_takes_longer_values_and_any_first_character),
        cmocka_unit_test(a_pattern_must_match_the_whole_value),
        cmocka_unit_test(argv_survives_every_failed_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
