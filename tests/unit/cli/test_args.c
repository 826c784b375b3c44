/* Options by a table, and what stands between them. */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "cli/args.h"
#include "cli/commands.h"

static const struct option_row rows[] = {{"queue", 'q', "QUEUE", ""},
                                         {"wait", 'w', "[D]", ""},
                                         {"all", 0, NULL, ""},
                                         {"tag", 't', "TAG", ""},
                                         {NULL, 0, NULL, NULL}};

static int parse(struct arguments *arguments, struct error *error, int argc, char **argv)
{
    *arguments = (struct arguments){.common = common_options, .own = rows};
    return arguments_parse(arguments, argc, argv, false, error);
}

#define PARSE(arguments, error, ...)                                                               \
    parse(arguments, error, (int)(sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)),               \
          (char *[]){__VA_ARGS__})

static void options_stand_in_any_place(void **state)
{
    (void)state;
    char *argv[] = {"echo", "--queue", "blog", "a=1", "--all", "-", "--tag=x", "-ty", "-w"};
    struct arguments arguments;
    struct error error;

    assert_int_equal(parse(&arguments, &error, 9, argv), 9);

    assert_int_equal(arguments.word_count, 3);
    assert_string_equal(arguments.words[0], "echo");
    assert_string_equal(arguments.words[1], "a=1");
    assert_string_equal(arguments.words[2], "-");
    assert_string_equal(arguments_value(&arguments, "queue"), "blog");
    assert_true(arguments_has(&arguments, "all"));
    assert_true(arguments_has(&arguments, "wait"));
    assert_null(arguments_value(&arguments, "wait"));
    assert_string_equal(arguments_value_at(&arguments, "tag", 0), "x");
    assert_string_equal(arguments_value_at(&arguments, "tag", 1), "y");
    assert_null(arguments_value_at(&arguments, "tag", 2));
    assert_string_equal(arguments_value(&arguments, "tag"), "y");
    assert_false(arguments_has(&arguments, "json"));
}

static void two_dashes_end_the_options(void **state)
{
    (void)state;
    char *argv[] = {"echo", "--", "--all", "--"};
    struct arguments arguments;
    struct error error;

    assert_int_equal(parse(&arguments, &error, 4, argv), 4);

    assert_int_equal(arguments.word_count, 3);
    assert_string_equal(arguments.words[1], "--all");
    assert_string_equal(arguments.words[2], "--");
    assert_false(arguments_has(&arguments, "all"));
}

static void a_value_may_begin_with_a_dash_or_be_empty(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error error;

    assert_int_equal(PARSE(&arguments, &error, "--queue", "-5"), 2);
    assert_string_equal(arguments_value(&arguments, "queue"), "-5");
    assert_int_equal(PARSE(&arguments, &error, "--queue="), 1);
    assert_string_equal(arguments_value(&arguments, "queue"), "");
}

static void a_length_that_may_be_left_out_is_taken_where_one_follows(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error error;

    assert_int_equal(PARSE(&arguments, &error, "-w", "2s", "echo"), 3);
    assert_string_equal(arguments_value(&arguments, "wait"), "2s");
    assert_int_equal(arguments.word_count, 1);
    assert_int_equal(PARSE(&arguments, &error, "--wait", "20"), 2);
    assert_string_equal(arguments_value(&arguments, "wait"), "20");
    assert_int_equal(PARSE(&arguments, &error, "--wait=soon", "2s"), 2);
    assert_string_equal(arguments_value(&arguments, "wait"), "soon");
    assert_int_equal(arguments.word_count, 1);
    assert_int_equal(PARSE(&arguments, &error, "--wait", "a=2s"), 2);
    assert_null(arguments_value(&arguments, "wait"));
    assert_int_equal(PARSE(&arguments, &error, "echo", "--wait"), 2);
    assert_null(arguments_value(&arguments, "wait"));
}

static void letters_may_stand_together(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error error;

    assert_int_equal(PARSE(&arguments, &error, "-jqblog", "x"), 2);
    assert_true(arguments_has(&arguments, "json"));
    assert_string_equal(arguments_value(&arguments, "queue"), "blog");
    assert_int_equal(PARSE(&arguments, &error, "-jq", "blog"), 2);
    assert_string_equal(arguments_value(&arguments, "queue"), "blog");
    assert_int_equal(PARSE(&arguments, &error, "-hj"), 1);
    assert_true(arguments_has(&arguments, "json") && arguments_has(&arguments, "help"));
    assert_int_equal(PARSE(&arguments, &error, "-jx"), -EINVAL);
    assert_string_equal(error.text, "there is no option -x");
    assert_int_equal(PARSE(&arguments, &error, "-j=1"), -EINVAL);
    assert_string_equal(error.text, "the option --json takes no value");
    assert_int_equal(PARSE(&arguments, &error, "-jq"), -EINVAL);
    assert_string_equal(error.text, "the option --queue needs a value: --queue QUEUE");
}

static void what_is_wrong_is_named(void **state)
{
    (void)state;
    struct arguments arguments;
    struct error error;

    assert_int_equal(PARSE(&arguments, &error, "--quue", "x"), -EINVAL);
    assert_string_equal(error.text, "there is no option --quue: did you mean --queue?");
    assert_int_equal(PARSE(&arguments, &error, "--jsn"), -EINVAL);
    assert_string_equal(error.text, "there is no option --jsn: did you mean --json?");
    assert_int_equal(PARSE(&arguments, &error, "--nothing-like-it"), -EINVAL);
    assert_string_equal(error.text, "there is no option --nothing-like-it");
    assert_int_equal(PARSE(&arguments, &error, "-x"), -EINVAL);
    assert_string_equal(error.text, "there is no option -x");
    assert_int_equal(PARSE(&arguments, &error, "--all=yes"), -EINVAL);
    assert_string_equal(error.text, "the option --all takes no value");
    assert_int_equal(PARSE(&arguments, &error, "--queue"), -EINVAL);
    assert_string_equal(error.text, "the option --queue needs a value: --queue QUEUE");
}

static void there_may_be_64_options_and_no_more(void **state)
{
    (void)state;
    char *argv[ARGUMENTS_OPTIONS_MAX + 1];
    struct arguments arguments;
    struct error error;

    for (int i = 0; i <= ARGUMENTS_OPTIONS_MAX; i++)
        argv[i] = "--all";

    assert_int_equal(parse(&arguments, &error, ARGUMENTS_OPTIONS_MAX, argv), ARGUMENTS_OPTIONS_MAX);
    assert_int_equal(parse(&arguments, &error, ARGUMENTS_OPTIONS_MAX + 1, argv), -EINVAL);
    assert_string_equal(error.text, "more than 64 options");
    argv[ARGUMENTS_OPTIONS_MAX] = "-jj";
    assert_int_equal(parse(&arguments, &error, ARGUMENTS_OPTIONS_MAX + 1, argv), -EINVAL);
    assert_string_equal(error.text, "more than 64 options");
}

static void what_stands_before_a_command_is_taken_alone(void **state)
{
    (void)state;
    char *argv[] = {"--json", "--url", "x", "ls", "--all"};
    struct arguments arguments = {.common = common_options};
    struct error error;

    assert_int_equal(arguments_parse(&arguments, 5, argv, true, &error), 3);
    assert_true(arguments_has(&arguments, "json"));
    assert_string_equal(arguments_value(&arguments, "url"), "x");
}

static void every_command_has_its_words_for_the_help(void **state)
{
    (void)state;
    for (const struct command *command = commands; command->name != NULL; command++) {
        assert_non_null(command->words);
        assert_non_null(command->example);
        assert_non_null(command->fn);
        assert_ptr_equal(command_find(command->name), command);
        for (const struct option_row *row = command->options; row != NULL && row->name != NULL;
             row++) {
            // A further letter stands behind the option that it is for.
            bool is_further = row->text == NULL;
            assert_true(!is_further || (row > command->options && row->letter != 0 &&
                                        strcmp(row->name, row[-1].name) == 0));
            // An own option never hides one of all commands.
            for (const struct option_row *common = common_options; common->name != NULL; common++) {
                assert_string_not_equal(row->name, common->name);
                assert_true(row->letter == 0 || row->letter != common->letter);
            }
            for (const struct option_row *other = command->options; other != row; other++) {
                assert_true(is_further || strcmp(row->name, other->name) != 0);
                assert_true(row->letter == 0 || row->letter != other->letter);
            }
        }
    }
    assert_null(command_find("sumbit"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_stand_in_any_place),
        cmocka_unit_test(two_dashes_end_the_options),
        cmocka_unit_test(a_value_may_begin_with_a_dash_or_be_empty),
        cmocka_unit_test(a_length_that_may_be_left_out_is_taken_where_one_follows),
        cmocka_unit_test(letters_may_stand_together),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(there_may_be_64_options_and_no_more),
        cmocka_unit_test(what_stands_before_a_command_is_taken_alone),
        cmocka_unit_test(every_command_has_its_words_for_the_help),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
