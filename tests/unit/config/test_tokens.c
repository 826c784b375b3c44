/* The file of tokens, line by line; new tokens; and the rule of who may listen where. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <nettle/sha2.h>
#include <runnel/limiter.h>

#include "config/internal.h"
#include "config/tokens.h"
#include "fault.h"
#include "files.h"
#include "unit.h"

// clang-format off
#define HASH(c) "sha256:" c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c c
// clang-format on
#define HASH_A HASH("aa")
#define HASH_B HASH("bB")

static const char kinds[] = "queue: { default: {}; mail: {}; };\n"
                            "kind: { a: { builtin = \"echo\"; }; b: { builtin = \"noop\"; }; };\n";

/* Loads a configuration with a token file of this text beside it. */
static struct loaded load_tokens(const char *tokens, unsigned mode)
{
    char text[1024];

    files_write("tokens", tokens, mode);
    snprintf(text, sizeof(text), "token_file = \"tokens\";\n%s", kinds);
    return files_load_text(text);
}

static void a_line_says_name_hash_scopes_and_bounds(void **state)
{
    (void)state;
    struct loaded loaded = load_tokens(
        "# who may what\n"
        "\n"
        "ci " HASH_A " scope=submit,read queue=mail,default kind=a rate=10/s burst=20 # a comment\n"
        "\t ops\t" HASH_B "  scope=admin \r\n"
        "   # the end",
        0600);
    if (loaded.result != 0 || loaded.fault_count != 0)
        loaded_print(&loaded);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 0);
    const struct config *config = loaded.config;

    assert_int_equal(config->token_count, 2);
    const struct config_token *ci = &config->tokens[0];
    const struct config_token *ops = &config->tokens[1];
    assert_string_equal(ci->name, "ci");
    assert_int_equal(ci->line, 3);
    for (int i = 0; i < CONFIG_TOKEN_HASH_BYTES; i++) {
        assert_int_equal(ci->hash[i], 0xaa);
        assert_int_equal(ops->hash[i], 0xbb);
    }
    assert_int_equal(ci->scopes, CONFIG_SCOPE_SUBMIT | CONFIG_SCOPE_READ);
    assert_int_equal(ops->scopes, CONFIG_SCOPE_ADMIN);
    assert_int_equal(ci->queue_count, 2);
    assert_string_equal(ci->queues[1], "default");
    assert_true(config_token_has_queue(ci, "mail"));
    assert_false(config_token_has_queue(ci, "mai"));
    assert_true(config_token_has_kind(ci, "a"));
    assert_false(config_token_has_kind(ci, "b"));
    assert_true(ci->rate.per_s == 10);
    assert_int_equal(ci->burst, 20);
    assert_string_equal(ops->name, "ops");
    assert_int_equal(ops->line, 4);
    assert_true(config_token_has_queue(ops, "anything"));
    assert_true(config_token_has_kind(ops, "anything"));
    assert_true(ops->rate.per_s == RN_RATE_INFINITE);
    assert_true(config_token_has_queue(NULL, "anything"));
    assert_true(config_token_has_kind(NULL, "anything"));
    loaded_fini(&loaded);
}

static void without_a_burst_a_second_may_come_at_once(void **state)
{
    static const struct {
        const char *rate;
        unsigned burst;
    } rows[] = {{"10/s", 10}, {"1/s", 1}, {"90/m", 2}, {"2.5/h", 1}, {"1000000/s", 1000000}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char line[256];
        snprintf(line, sizeof(line), "a " HASH_A " scope=read rate=%s\n", rows[i].rate);
        struct loaded loaded = load_tokens(line, 0600);
        assert_int_equal(loaded.result, 0);
        assert_int_equal(loaded.config->tokens[0].burst, rows[i].burst);
        loaded_fini(&loaded);
    }
}

static const struct {
    const char *line;
    const char *fragment;
} broken[] = {
    {"ci", "sha256: and 64 hexadecimal digits"},
    {"ci # sha256:", "sha256: and 64 hexadecimal digits"},
    {"Ci " HASH_A " scope=read", "begins with the token's name"},
    {"9 " HASH_A " scope=read", "begins with the token's name"},
    {HASH_A " scope=read", "begins with the token's name"},
    {"aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggg " HASH_A " scope=read",
     "at most 64"},
    {"ci scope=read", "sha256: and 64 hexadecimal digits"},
    {"ci sha256:aa scope=read", "sha256: and 64 hexadecimal digits"},
    {"ci " HASH_A "a scope=read", "sha256: and 64 hexadecimal digits"},
    {"ci sha1:aa scope=read", "sha256: and 64 hexadecimal digits"},
    {"ci sha256:zz" HASH_A " scope=read", "sha256: and 64 hexadecimal digits"},
    {"ci rn_secret scope=read", "the token itself stands here"},
    {"ci " HASH_A, "scope= is missing"},
    {"ci " HASH_A " queue=mail", "scope= is missing"},
    {"ci " HASH_A " scope=", "some of read, submit, work and admin"},
    {"ci " HASH_A " scope=reed", "some of read, submit, work and admin"},
    {"ci " HASH_A " scope=read,", "some of read, submit, work and admin"},
    {"ci " HASH_A " scope=READ", "some of read, submit, work and admin"},
    {"ci " HASH_A " scope=read scope=submit", "scope= stands there twice"},
    {"ci " HASH_A " scope=read queue=", "queue must be names"},
    {"ci " HASH_A " scope=read queue=a,,b", "queue must be names"},
    {"ci " HASH_A " scope=read queue=Mail", "queue must be names"},
    {"ci " HASH_A " scope=read queue=*", "queue must be names"},
    {"ci " HASH_A " scope=read kind=a,b/c", "kind must be names"},
    {"ci " HASH_A " scope=read queue=mail queue=default", "queue= stands there twice"},
    {"ci " HASH_A " scope=read queue=a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q", "more than 16 names"},
    {"ci " HASH_A " scope=read rate=10", "rate must be a number of requests"},
    {"ci " HASH_A " scope=read rate=0/s", "rate must be a number of requests"},
    {"ci " HASH_A " scope=read rate=1000000000000000000000000000000/s", "rate must be"},
    {"ci " HASH_A " scope=read burst=5", "burst= goes with rate="},
    {"ci " HASH_A " scope=read rate=1/s burst=0", "burst must be a whole number"},
    {"ci " HASH_A " scope=read rate=1/s burst=-1", "burst must be a whole number"},
    {"ci " HASH_A " scope=read rate=1/s burst=1000001", "burst must be a whole number"},
    {"ci " HASH_A " scopes=read", "did you mean scope=?"},
    {"ci " HASH_A " scope=read colour=blue", "there is no such thing as this: scope="},
    {"ci " HASH_A " read", "behind the hash stand scope=, queue="},
    {"ci " HASH_A " scope=read, submit", "some of read, submit, work and admin"},
    {"ci " HASH_A " scope=read\x01", "control byte"},
    {"other " HASH_B " scope=read", "the name other stands in line 2 already"},
    {"another " HASH_B " scope=read", "token another has the hash of line 2"},
};

static void each_fault_names_its_file_and_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char text[1024];
        char path[4096];
        snprintf(text, sizeof(text), "# comment\nother " HASH_B " scope=read\n\n%s\n",
                 broken[i].line);
        struct loaded loaded = load_tokens(text, 0600);
        snprintf(path, sizeof(path), "%s/tokens", files_folder());

        assert_int_equal(loaded.result, -EINVAL);
        assert_int_equal(loaded.fault_count, 1);
        if (strstr(loaded.faults[0].text, broken[i].fragment) == NULL ||
            loaded.faults[0].line != 4 || strcmp(loaded.faults[0].file, path) != 0 ||
            strstr(loaded.faults[0].text, "secret") != NULL) {
            loaded_print(&loaded);
            fail_msg("%s", broken[i].line);
        }
        loaded_fini(&loaded);
    }
}

static void all_faults_of_the_file_are_told(void **state)
{
    (void)state;
    struct loaded loaded =
        load_tokens("a\nb " HASH_A " scope=read\nc x\nd " HASH_A " scope=x\n", 0600);

    assert_int_equal(loaded.result, -EINVAL);
    assert_int_equal(loaded.fault_count, 3);
    assert_int_equal(loaded.faults[0].line, 1);
    assert_int_equal(loaded.faults[1].line, 3);
    assert_int_equal(loaded.faults[2].line, 4);
    loaded_fini(&loaded);
}

static void others_must_not_be_able_to_read_it(void **state)
{
    static const struct {
        unsigned mode;
        bool is_right;
    } rows[] = {{0600, true},  {0400, true},  {0700, true},  {0640, false}, {0604, false},
                {0620, false}, {0602, false}, {0610, false}, {0601, false}, {0644, false}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded loaded = load_tokens("a " HASH_A " scope=read\n", rows[i].mode);
        assert_int_equal(loaded.result, rows[i].is_right ? 0 : -EINVAL);
        if (!rows[i].is_right)
            assert_non_null(strstr(loaded.faults[0].text, "others than its owner"));
        loaded_fini(&loaded);
    }
}

static void a_file_that_is_none_or_too_large_is_refused(void **state)
{
    static const struct {
        const char *path, *fragment;
    } rows[] = {{"missing", "No such file"},
                {"/dev/null", "no regular file"},
                {"/nonexistent/tokens", "No such file"},
                {"large", "more than 1 MiB"},
                {"long", "more than 1000 lines"},
                {"nul", "NUL"}};
    enum { SIZE = (1 << 20) + 2 };
    char *text = malloc(SIZE);
    char path[4096];

    (void)state;
    assert_non_null(text);
    memset(text, '#', SIZE);
    text[SIZE - 1] = '\0';
    files_write("large", text, 0600);
    memset(text, '\n', 1001);
    text[1001] = '\0';
    files_write("long", text, 0600);
    free(text);
    snprintf(path, sizeof(path), "%s", files_write("nul", "#", 0600));
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    assert_int_equal(fwrite("# \0 #", 1, 5, file), 5);
    assert_int_equal(fclose(file), 0);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char config[256];
        snprintf(config, sizeof(config), "token_file = \"%s\";\n", rows[i].path);
        struct loaded loaded = files_load_text(config);
        assert_int_equal(loaded.result, -EINVAL);
        if (strstr(loaded.faults[0].text, rows[i].fragment) == NULL) {
            loaded_print(&loaded);
            fail_msg("%s", rows[i].path);
        }
        loaded_fini(&loaded);
    }
}

static void a_thousand_lines_are_taken(void **state)
{
    enum { SIZE = 200000 };
    char *text = malloc(SIZE);
    size_t length = 0;

    (void)state;
    assert_non_null(text);
    for (int i = 0; i < CONFIG_TOKENS_MAX; i++)
        length +=
            (size_t)snprintf(text + length, SIZE - length, "t%d sha256:%064x scope=read\n", i, i);
    struct loaded loaded = load_tokens(text, 0600);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.config->token_count, CONFIG_TOKENS_MAX);
    loaded_fini(&loaded);
    free(text);
}

static void what_may_be_a_slip_is_warned_of(void **state)
{
    (void)state;
    struct loaded loaded = load_tokens("\na " HASH_A " scope=read queue=mial kind=c\n", 0600);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 2);
    assert_int_equal(loaded.faults[0].line, 2);
    assert_non_null(strstr(loaded.faults[0].text, "the queue mial, which the configuration"));
    assert_non_null(strstr(loaded.faults[1].text, "the kind c, which the configuration"));
    loaded_fini(&loaded);

    loaded = load_tokens("# none\n", 0600);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 1);
    assert_non_null(strstr(loaded.faults[0].text, "nobody has access"));
    assert_non_null(loaded.config->token_file);
    loaded_fini(&loaded);
}

/* ---- where it is looked for ---- */

static void a_name_is_looked_for_in_the_credentials_first(void **state)
{
    char credentials[4096];
    char path[8192];

    (void)state;
    snprintf(credentials, sizeof(credentials), "%s/credentials", files_folder());
    assert_int_equal(mkdir(credentials, 0700), 0);
    files_write("credentials/tokens", "credential " HASH_A " scope=read\n", 0644);
    files_write("credentials/only", "credential " HASH_A " scope=read\n", 0444);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", credentials, 1), 0);

    // systemd's folder keeps others out by itself, whatever the file's mode.
    struct loaded loaded = load_tokens("beside " HASH_A " scope=read\n", 0600);
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->tokens[0].name, "credential");
    snprintf(path, sizeof(path), "%s/tokens", credentials);
    assert_string_equal(loaded.config->token_file, path);
    loaded_fini(&loaded);
    snprintf(path, sizeof(path), "token_file = \"%s/only\";\n", credentials);
    loaded = files_load_text(path);
    assert_int_equal(loaded.result, 0);
    loaded_fini(&loaded);

    // What is not there is looked for beside the configuration; what has a slash is none.
    files_write("beside", "beside " HASH_A " scope=read\n", 0600);
    loaded = files_load_text("token_file = \"beside\";\n");
    assert_int_equal(loaded.result, 0);
    loaded_fini(&loaded);
    loaded = files_load_text("token_file = \"./tokens\";\n");
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->tokens[0].name, "beside");
    loaded_fini(&loaded);

    // A way out of the folder is none into it.
    files_write("open", "open " HASH_A " scope=read\n", 0644);
    snprintf(path, sizeof(path), "token_file = \"%s/../open\";\n", credentials);
    loaded = files_load_text(path);
    assert_int_equal(loaded.result, -EINVAL);
    loaded_fini(&loaded);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void overrides_and_printing_know_the_settings_of_access(void **state)
{
    static const char *const overrides[] = {"token_file=tokens", "hosts=a.example:7733",
                                            "behind_proxy=true", "listen=0.0.0.0:7733", NULL};
    char *text = NULL;
    size_t size = 0;

    (void)state;
    files_write("tokens", "a " HASH_A " scope=read\n", 0600);
    struct loaded loaded = files_load(
        files_write("test.conf", "hosts = [\"b\", \"[::1]:80\"];\n", 0644), overrides, false);
    assert_int_equal(loaded.result, 0);
    assert_true(loaded.config->behind_proxy);
    assert_string_equal(loaded.config->hosts[0], "a.example:7733");
    assert_null(loaded.config->hosts[1]);

    FILE *file = open_memstream(&text, &size);
    assert_non_null(file);
    assert_int_equal(config_print(loaded.config, file), 0);
    assert_int_equal(fclose(file), 0);
    assert_non_null(strstr(text, "\nbehind_proxy = true;\n"));
    assert_non_null(strstr(text, "\nhosts = [\"a.example:7733\"];\n"));
    loaded_fini(&loaded);
    loaded = files_load_text(text);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.config->token_count, 1);
    loaded_fini(&loaded);
    free(text);

    loaded = files_load_text("hosts = [\"b\", \"[::1]:80\"];\nbehind_proxy = false;\n");
    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->hosts[1], "[::1]:80");
    assert_false(loaded.config->behind_proxy);
    loaded_fini(&loaded);
}

/* ---- who may listen where ---- */

static void beyond_loopback_tokens_and_tls_or_a_proxy_are_needed(void **state)
{
    static const struct {
        const char *text;
        const char *fragment; // NULL: right
    } rows[] = {
        {"listen = \"127.0.0.1:1\";\n", NULL},
        {"listen = \"127.8.9.1:1\";\n", NULL},
        {"listen = \"[::1]:1\";\n", NULL},
        {"listen = \"localhost:1\"; token_file = \"tokens\";\n", NULL},
        {"listen = \"0.0.0.0:1\";\n", "set token_file"},
        {"listen = \"[::]:1\";\n", "set token_file"},
        {"listen = \"128.0.0.1:1\";\n", "set token_file"},
        {"listen = \"[::ffff:127.0.0.1]:1\";\n", "set token_file"},
        {"listen = \"0.0.0.0:1\"; behind_proxy = true;\n", "set token_file"},
        {"listen = \"0.0.0.0:1\"; token_file = \"tokens\";\n", "or behind_proxy = true"},
        {"listen = \"[fe80::1]:1\"; token_file = \"tokens\"; behind_proxy = false;\n",
         "or behind_proxy = true"},
        {"listen = \"0.0.0.0:1\"; token_file = \"tokens\"; behind_proxy = true;\n", NULL},
    };

    (void)state;
    files_write("tokens", "a " HASH_A " scope=read\n", 0600);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded loaded = files_load_text(rows[i].text);
        bool is_told = loaded.fault_count == 1 && loaded.faults[0].line == 1 &&
                       rows[i].fragment != NULL &&
                       strstr(loaded.faults[0].text, rows[i].fragment) != NULL;
        if (rows[i].fragment == NULL ? loaded.result != 0 : loaded.result != -EINVAL || !is_told) {
            loaded_print(&loaded);
            fail_msg("%s", rows[i].text);
        }
        loaded_fini(&loaded);
    }
}

/* ---- new tokens ---- */

static void a_new_token_goes_with_its_line(void **state)
{
    const struct config_new_token wanted = {.name = "ci",
                                            .scope = "submit,read",
                                            .queue = "mail",
                                            .kind = "a,b",
                                            .rate = "10/s",
                                            .burst = "5"};
    char token[CONFIG_TOKEN_BYTES];
    char other[CONFIG_TOKEN_BYTES];
    char line[CONFIG_TOKEN_LINE_BYTES];
    struct error error;
    struct sha256_ctx context;
    uint8_t hash[CONFIG_TOKEN_HASH_BYTES];

    (void)state;
    assert_int_equal(config_token_new(&wanted, other, line, &error), 0);
    assert_int_equal(config_token_new(&wanted, token, line, &error), 0);
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(token), 46);
    assert_int_equal(
        strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), 46);
    assert_memory_equal(token, "rn_", 3);
    assert_null(strstr(line, token));

    struct loaded loaded = load_tokens(line, 0600);
    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 0);
    sha256_init(&context);
    sha256_update(&context, strlen(token), (const uint8_t *)token);
    sha256_digest(&context, sizeof(hash), hash);
    assert_memory_equal(loaded.config->tokens[0].hash, hash, sizeof(hash));
    assert_int_equal(loaded.config->tokens[0].kind_count, 2);
    assert_int_equal(loaded.config->tokens[0].burst, 5);
    loaded_fini(&loaded);
}

static void what_no_line_can_say_makes_no_token(void **state)
{
    static const struct {
        struct config_new_token wanted;
        const char *fragment;
    } rows[] = {
        {{.name = "", .scope = "read"}, "begins with the token's name"},
        {{.name = "#", .scope = "read"}, "no blanks and no #"},
        {{.name = "a b", .scope = "read"}, "no blanks and no #"},
        {{.name = "a", .scope = "read queue=b"}, "no blanks and no #"},
        {{.name = "a\nb", .scope = "read"}, "no blanks and no #"},
        {{.name = "A", .scope = "read"}, "begins with the token's name"},
        {{.name = "a", .scope = ""}, "some of read"},
        {{.name = "a", .scope = "all"}, "some of read"},
        {{.name = "a"}, "scope= is missing"},
        {{.name = "a", .scope = "read", .queue = "B"}, "queue must be names"},
        {{.name = "a", .scope = "read", .burst = "5"}, "burst= goes with rate="},
    };
    char token[CONFIG_TOKEN_BYTES];
    char line[CONFIG_TOKEN_LINE_BYTES];
    char *name = malloc(5000);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct error error = {.code = 0};
        assert_int_equal(config_token_new(&rows[i].wanted, token, line, &error), -EINVAL);
        if (strstr(error.text, rows[i].fragment) == NULL)
            fail_msg("row %zu: %s", i, error.text);
    }
    assert_non_null(name);
    memset(name, 'a', 4999);
    name[4999] = '\0';
    struct error error = {.code = 0};
    assert_int_equal(config_token_new(&(struct config_new_token){.name = name, .scope = "read"},
                                      token, line, &error),
                     -EINVAL);
    assert_string_equal(error.text, "the line is too long");
    free(name);
}

static void without_randomness_or_memory_there_is_no_token(void **state)
{
    const struct config_new_token wanted = {
        .name = "a", .scope = "read", .queue = "mail", .kind = "b"};
    char token[CONFIG_TOKEN_BYTES];
    char line[CONFIG_TOKEN_LINE_BYTES];
    struct error error;

    (void)state;
    fault_fail(FAULT_GETRANDOM, 1, ENOSYS);
    assert_int_equal(config_token_new(&wanted, token, line, &error), -ENOSYS);
    assert_true(fault_reached());
    assert_non_null(strstr(error.text, "random"));
    fault_fail(FAULT_GETRANDOM, 1, EINTR); // then it is asked again
    assert_int_equal(config_token_new(&wanted, token, line, &error), 0);
    assert_true(fault_reached());
    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        int r = config_token_new(&wanted, token, line, &error);
        if (!fault_reached()) {
            assert_int_equal(r, 0);
            assert_int_equal(nth, 3);
            break;
        }
        assert_int_equal(r, -ENOMEM);
    }
}

int main(void)
{
    (void)unsetenv("STATE_DIRECTORY");
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_says_name_hash_scopes_and_bounds),
        cmocka_unit_test(without_a_burst_a_second_may_come_at_once),
        cmocka_unit_test(each_fault_names_its_file_and_line),
        cmocka_unit_test(all_faults_of_the_file_are_told),
        cmocka_unit_test(others_must_not_be_able_to_read_it),
        cmocka_unit_test(a_file_that_is_none_or_too_large_is_refused),
        cmocka_unit_test(a_thousand_lines_are_taken),
        cmocka_unit_test(what_may_be_a_slip_is_warned_of),
        cmocka_unit_test(a_name_is_looked_for_in_the_credentials_first),
        cmocka_unit_test(overrides_and_printing_know_the_settings_of_access),
        cmocka_unit_test(beyond_loopback_tokens_and_tls_or_a_proxy_are_needed),
        cmocka_unit_test(a_new_token_goes_with_its_line),
        cmocka_unit_test(what_no_line_can_say_makes_no_token),
        cmocka_unit_test(without_randomness_or_memory_there_is_no_token),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
