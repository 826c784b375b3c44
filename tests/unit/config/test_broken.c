/* Broken configuration files: each names the right file and line, with comments above the fault. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "files.h"
#include "unit.h"

/* Above each text: comments of every form, with what would count lines wrongly. */
static const char above[] = "# a comment with \"quotes\" and /* no comment\n"
                            "/* one of several lines\n"
                            " * with a # and a \" in it\n"
                            " */\n"
                            "// the last form; x = 1;\n"
                            "\n";

/* A file of one fault, in the line that ends in "#!"; fragment is in the fault's text. */
static const struct {
    const char *name;
    const char *text;
    const char *fragment;
} broken[] = {
    {"value missing", "listen = ; #!\n", "syntax error"},
    {"semicolon in a list",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/true\"; \"x\"]; }; #!\n};\n",
     "syntax error"},
    {"name set twice", "max_waiting = 1;\n\nmax_waiting = 2; #!\n", "duplicate setting name"},
    {"group closed twice", "queue: { default: { }; };\n}; #!\n", "syntax error"},
    {"name that begins with an underscore", "_listen = \"127.0.0.1:1\"; #!\n", "syntax error"},
    {"list of two types",
     "queue: { default: {}; };\nkind: { a: { command = [\"/bin/true\", 1]; }; }; #!\n",
     "mismatched element type"},
    {"integer that wraps", "listen = \"127.0.0.1:1\";\nmax_backlog = 4294967297; #!\n",
     "4294967297 needs an L at its end"},
    {"negative integer that wraps", "max_waiting = -2147483649; #!\n", "-2147483649 needs an L"},
    {"hexadecimal integer that wraps", "max_waiting = 0xFFFFFFFF; #!\n", "0xFFFFFFFF needs an L"},
    {"integer beyond 64 bits", "max_backlog = 99999999999999999999L; #!\n", "is too large"},
    {"comma forgotten",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\" \"x\"]; }; #!\n};\n",
     "a comma is missing before this text"},
    {"comma forgotten over lines",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\", # first\n   \"x\" # "
     "second\n   \"y\" #!\n  ]; "
     "};\n};\n",
     "a comma is missing before this text"},
    {"comma too many",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\",\n \"x\",]; }; #!\n};\n",
     "the comma is too much"},
    {"comment not closed", "max_waiting = 5;\n/* from here on #!\nkeep_count = 0;\n",
     "is not closed: */ is missing"},
    {"text without quotes", "max_waiting = 5;\ndrain_timeout = 5s; #!\n", "\"5s\"?"},
    {"address without quotes", "listen = 127.0.0.1:7733; #!\n",
     "neither a number nor a text in quotes"},
    {"single quotes", "store = 'runnel.db'; #!\n", "double quotes"},
    {"NUL in a text", "store = \"a\\x00b\"; #!\n", "can't contain a NUL"},
    {"NUL in a text, other case", "store = \"a\\X00b\"; #!\n", "can't contain a NUL"},
    {"escaped byte that is not UTF-8", "store = \"/a\\xaab\"; #!\n", "not UTF-8"},
    {"half of an escaped character", "store = \"/a\\xC3\\x28\"; #!\n", "not UTF-8"},
    {"invalid UTF-8", "max_waiting = 5;\nstore = \"a\xFF\"; #!\n", "not UTF-8"},
    {"nested too deep",
     "a = (((((((((((((((((((((((((((((((((1))))))))))))))))))))))))))))))))); #!\n",
     "nested more than 32 deep"},
    {"include that is not there", "max_waiting = 5;\n@include \"nothing.conf\" #!\n",
     "cannot be read: No such file"},
    {"include with a wildcard", "\n@include \"conf.d/*.conf\" #!\n", "wildcards are not expanded"},
    {"include by absolute path", "@include \"/etc/runnel/x.conf\" #!\n", "relative to the folder"},
    {"include of a folder", "@include \"sub\" #!\n", "Is a directory"},
    {"unknown setting", "drain_timout = \"5s\"; #!\n",
     "drain_timout is no setting; did you mean drain_timeout?"},
    {"unknown setting like none", "colour = \"blue\"; #!\n", "colour is no setting"},
    {"group in the plural", "queues: { }; #!\n", "did you mean queue?"},
    {"unknown setting of a queue", "queue: {\n a: {\n  worker = 3; #!\n };\n};\n",
     "queue.a.worker is no setting; did you mean workers?"},
    {"unknown setting of a kind",
     "queue: { default: {}; };\nkind: {\n a: {\n  builtin = \"echo\";\n  timout = \"5s\"; #!\n "
     "};\n};\n",
     "kind.a.timout is no setting; did you mean timeout?"},
    {"unknown setting of a backoff",
     "queue: { default: {}; };\nkind: { a: { builtin = \"echo\";\n  backoff = { base = \"5s\";\n "
     "maximum = \"1h\"; }; #!\n }; "
     "};\n",
     "kind.a.backoff.maximum is no setting"},
    {"duration without a unit", "drain_timeout = \"25\"; #!\n", "must be a length of time such as"},
    {"duration out of order", "drain_timeout = \"5s1m\"; #!\n", "not \"5s1m\""},
    {"duration out of range", "drain_timeout = \"25h\"; #!\n", "from 0s to 1d"},
    {"duration below zero", "drain_timeout = -1; #!\n", "not -1"},
    {"duration that is a boolean", "drain_timeout = true; #!\n", "not true"},
    {"count that is a text", "max_waiting = \"5\"; #!\n",
     "must be a whole number from 0 to 65536, not \"5\""},
    {"count with a fraction", "max_waiting = 5.5; #!\n", "not 5.5"},
    {"count out of range", "max_connections = 0; #!\n", "from 1 to 65536, not 0"},
    {"long count out of range", "max_backlog = 1000000001L; #!\n", "not 1000000001"},
    {"size without a known unit", "max_request_memory = \"64MB\"; #!\n", "must be a size such as"},
    {"size out of range", "max_request_memory = \"1MiB\"; #!\n", "from 4MiB to 16GiB"},
    {"unknown level", "log_level = \"verbose\"; #!\n",
     "\"err\", \"warn\", \"notice\", \"info\" or \"debug\""},
    {"unknown format", "log_format = \"xml\"; #!\n", "must be \"text\" or \"json\", not \"xml\""},
    {"format that is no text", "log_format = 1; #!\n", "must be \"text\" or \"json\", not 1"},
    {"truth that is a number", "access_log = 1; #!\n", "must be true or false, not 1"},
    {"truth that is a text", "access_log = \"true\"; #!\n", "must be true or false, not \"true\""},
    {"listen on all", "listen = \"0.0.0.0:7733\"; #!\n",
     "without tokens everybody there could run tasks"},
    {"listen on another address", "listen = \"[2001:db8::1]:7733\"; #!\n", "set token_file"},
    {"listen on another address behind a proxy",
     "behind_proxy = true;\nlisten = \"192.0.2.1:7733\"; #!\n", "set token_file"},
    {"token file that is a folder", "token_file = \"/etc/\"; #!\n", "must be the path of a file"},
    {"token file that is a number", "token_file = 5; #!\n", "must be the path of a file, not 5"},
    {"proxy that is a text", "behind_proxy = \"yes\"; #!\n", "must be true or false, not \"yes\""},
    {"proxy that is a number", "behind_proxy = 1; #!\n", "must be true or false, not 1"},
    {"host that is a text", "hosts = \"a.example\"; #!\n", "must be a list of at most 16 names"},
    {"host with a scheme", "hosts = [\"http://a.example\"]; #!\n", "must be names such as"},
    {"host with a path", "hosts = [\"a.example/\"]; #!\n", "must be names such as"},
    {"host that is a pattern", "hosts = [\"*.example\"]; #!\n", "must be names such as"},
    {"host without a name", "hosts = [\":7733\"]; #!\n", "must be names such as"},
    {"host with port 0", "hosts = [\"a.example:0\"]; #!\n", "must be names such as"},
    {"host with too large a port", "hosts = [\"a.example:65536\"]; #!\n", "must be names such as"},
    {"host with no port behind the colon", "hosts = [\"a.example:\"]; #!\n",
     "must be names such as"},
    {"host of six groups without brackets", "hosts = [\"fe80::1\"]; #!\n", "must be names such as"},
    {"host with a broken address", "hosts = [\"[fe80::g]:1\"]; #!\n", "must be names such as"},
    {"host that is empty", "hosts = [\"\"]; #!\n", "must be names such as"},
    {"too many hosts",
     "hosts = [\"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"h\", \"i\", \"j\", \"k\", \"l\", "
     "\"m\", \"n\", \"o\", \"p\", \"q\"]; #!\n",
     "at most 16"},
    {"listen on a name", "listen = \"example.org:80\"; #!\n",
     "names other than localhost are not looked up"},
    {"listen without a port", "listen = \"127.0.0.1\"; #!\n", "must be an address and a port"},
    {"port out of range", "listen = \"127.0.0.1:65536\"; #!\n", "must be an address and a port"},
    {"store that is a folder", "store = \"/var/lib/runnel/\"; #!\n", "must be the path of a file"},
    {"group expected", "queue = 5; #!\n", "queue must be a group"},
    {"queue that is no group", "queue: {\n a = 5; #!\n};\n", "queue.a must be a group"},
    {"name of a queue", "queue: {\n Mail: { workers = 1; }; #!\n};\n",
     "queue.Mail is no valid name"},
    {"name of a kind", "queue: { default: {}; };\nkind: {\n a*b: { builtin = \"echo\"; }; #!\n};\n",
     "kind.a*b is no valid name"},
    {"no workers", "queue: {\n a: {\n  workers = 0; #!\n };\n};\n",
     "queue.a.workers must be a whole number from 1 to 1024"},
    {"too many workers in all",
     "queue: {\n a: { workers = 1000; };\n b: { workers = 24; };\n c: { workers = 1; }; #!\n d: { "
     "workers = 1; };\n};\n",
     "more than 1024 workers in all"},
    {"rate of nothing", "queue: { a: {\n rate = \"0/s\"; #!\n }; };\n",
     "queue.a.rate must be a number of starts"},
    {"rate without a unit", "queue: { a: {\n rate = 5; #!\n }; };\n", "not 5"},
    {"rate in days", "queue: { a: {\n rate = \"5/d\"; #!\n }; };\n", "not \"5/d\""},
    {"kind that runs nothing",
     "queue: { default: {}; };\nkind: {\n a: { timeout = \"1m\"; }; #!\n};\n",
     "neither builtin nor command"},
    {"kind that runs two things",
     "queue: { default: {}; };\nkind: {\n a: {\n  command = [\"/bin/true\"];\n  builtin = "
     "\"echo\"; #!\n };\n};\n",
     "both builtin and command"},
    {"unknown built-in",
     "queue: { default: {}; };\nkind: {\n a: {\n  builtin = \"ech\"; #!\n };\n};\n",
     "there is none called \"ech\""},
    {"kind without a queue",
     "queue: { mail: {}; };\nkind: {\n a: { builtin = \"echo\"; }; #!\n};\n",
     "names no queue, and there is no queue called default"},
    {"queue that is not there",
     "queue: { mail: {}; };\nkind: {\n a: { builtin = \"echo\";\n  queue = \"mial\"; #!\n };\n};\n",
     "did you mean \"mail\"?"},
    {"relative program",
     "queue: { default: {}; };\nkind: {\n a: {\n  command = [\"true\"]; #!\n };\n};\n",
     "by an absolute path"},
    {"command that is a text",
     "queue: { default: {}; };\nkind: {\n a: {\n  command = \"/bin/true\"; #!\n };\n};\n",
     "must be a list of 1 to 256 texts"},
    {"command without a program",
     "queue: { default: {}; };\nkind: {\n a: {\n  command = []; #!\n };\n};\n",
     "must be a list of 1 to 256 texts"},
    {"command with a number",
     "queue: { default: {}; };\nkind: {\n a: {\n  command = (\"/bin/true\",\n 1); #!\n };\n};\n",
     "must be a list of texts, not 1"},
    {"accept for what is no placeholder",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\", \"x{path}\"];\n  accept = "
     "{\n   path = \"/srv/.*\"; "
     "#!\n  };\n };\n};\n",
     "neither command nor stdin has {path}"},
    {"accept with half a bracket",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\", \"{x}\"];\n  accept = { x "
     "= \"a(b\"; }; #!\n };\n};\n",
     "no valid extended regular expression for x"},
    {"accept with brackets that only fit ours",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\", \"{x}\"];\n  accept = { x "
     "= \"a)(b\"; }; #!\n "
     "};\n};\n",
     "no valid extended regular expression for x"},
    {"accept with a reference back",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/echo\", \"{x}\"];\n  accept = { x "
     "= \"(a)\\\\1\"; }; #!\n "
     "};\n};\n",
     "no valid extended regular expression for x"},
    {"stdin that is no placeholder",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  stdin = \"text={x}\"; "
     "#!\n };\n};\n",
     "or a placeholder such as"},
    {"setting of commands for a built-in",
     "queue: { default: {}; };\nkind: {\n a: { builtin = \"echo\";\n  retry_exit = [2]; #!\n "
     "};\n};\n",
     "kind.a.retry_exit is only for kinds with a command"},
    {"exit code out of range",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  retry_exit = [1,\n "
     "256]; #!\n };\n};\n",
     "exit codes from 1 to 255"},
    {"too many attempts",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  max_attempts = 1001; "
     "#!\n };\n};\n",
     "kind.a.max_attempts must be a whole number from 1 to 1000"},
    {"base above max",
     "queue: { default: {}; };\nkind: {\n a: { builtin = \"echo\";\n  backoff = { base = \"2h\"; "
     "}; #!\n };\n};\n",
     "base (2h) is above max (1h)"},
    {"if_interrupted of another word",
     "queue: { default: {}; };\nkind: {\n a: { builtin = \"echo\";\n  if_interrupted = \"again\"; "
     "#!\n };\n};\n",
     "\"retry\" or \"fail\", not \"again\""},
    {"output of another form",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  output = \"xml\"; #!\n "
     "};\n};\n",
     "\"json\" or \"text\", not \"xml\""},
    {"relative directory",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  directory = \"srv\"; "
     "#!\n };\n};\n",
     "must be an absolute path"},
    {"variable that is reserved",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  env = {\n  RUNNEL_KIND "
     "= \"x\"; #!\n };\n };\n};\n",
     "RUNNEL_KIND, which is set by runneld itself"},
    {"variable with a dash",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  env = { A-B = \"x\"; "
     "}; #!\n };\n};\n",
     "no name of a variable"},
    {"variable that is a number",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  env = { A = 1; }; #!\n "
     "};\n};\n",
     "must be a group of texts, not 1"},
    {"name of a variable to pass",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  pass_env = [\"A=B\"]; "
     "#!\n };\n};\n",
     "no name of a variable"},
    {"env_file that is not there",
     "queue: { default: {}; };\nkind: {\n a: { command = [\"/bin/cat\"];\n  env_file = "
     "\"/nonexistent/env\"; #!\n };\n};\n",
     "/nonexistent/env: No such file"},
};

static unsigned marked_line(const char *text)
{
    const char *mark = strstr(text, "#!");
    assert_non_null(mark);
    unsigned line = 1;
    for (const char *at = text; at < mark; at++)
        line += *at == '\n';
    return line;
}

static bool is_told(const struct loaded *loaded, const char *file, unsigned line,
                    const char *fragment)
{
    return loaded->result == -EINVAL && loaded->fault_count == 1 &&
           strcmp(loaded->faults[0].file, file) == 0 && loaded->faults[0].line == line &&
           strstr(loaded->faults[0].text, fragment) != NULL;
}

static void each_fault_names_its_file_and_line(void **state)
{
    (void)state;
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/sub", files_folder());
    assert_int_equal(mkdir(folder, 0755), 0);

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char text[4096];
        snprintf(text, sizeof(text), "%s%s", above, broken[i].text);
        const char *path = files_write("broken.conf", text, 0644);
        struct loaded loaded = files_load(path, NULL, false);
        if (!is_told(&loaded, path, marked_line(text), broken[i].fragment)) {
            loaded_print(&loaded);
            fail_msg("%s: expected one fault in line %u with: %s", broken[i].name,
                     marked_line(text), broken[i].fragment);
        }
        loaded_fini(&loaded);
    }
}

/* The same, in a file that another one includes. */
static void each_fault_names_the_included_file(void **state)
{
    (void)state;
    char included[4096];
    snprintf(included, sizeof(included), "%s/part.conf", files_folder());

    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        char text[4096];
        snprintf(text, sizeof(text), "%s%s", above, broken[i].text);
        files_write("part.conf", text, 0644);
        const char *path = files_write("main.conf", "# main\n\n@include \"part.conf\"\n", 0644);
        struct loaded loaded = files_load(path, NULL, false);
        if (!is_told(&loaded, included, marked_line(text), broken[i].fragment)) {
            loaded_print(&loaded);
            fail_msg("%s: expected one fault in line %u with: %s", broken[i].name,
                     marked_line(text), broken[i].fragment);
        }
        loaded_fini(&loaded);
    }
}

static void line_is_right_after_an_include(void **state)
{
    (void)state;
    files_write("part.conf", "# a\n# b\nmax_waiting = 5;\n# c\n", 0644);
    const char *path =
        files_write("main.conf", "# main\n@include \"part.conf\"\n\nkeep_count = 0;\n", 0644);

    struct loaded loaded = files_load(path, NULL, false);

    assert_true(is_told(&loaded, path, 4, "keep_count must be"));
    loaded_fini(&loaded);
}

static void all_faults_are_told_in_the_order_of_lines(void **state)
{
    (void)state;
    struct loaded loaded = files_load_text("queue: { a: { workers = 0; }; };\n"
                                           "max_backlog = 3000000000;\n"
                                           "kind: { b: { builtin = \"nothing\"; }; };\n"
                                           "listen = \"0.0.0.0:1\";\n"
                                           "keep_cont = 5;\n");

    assert_int_equal(loaded.result, -EINVAL);
    assert_null(loaded.config);
    static const unsigned lines[] = {1, 2, 3, 3, 4, 5};
    assert_int_equal(loaded.fault_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(loaded.faults[i].line, lines[i]);
    loaded_fini(&loaded);
}

static void faults_are_bounded(void **state)
{
    (void)state;
    char *text = malloc(100000);
    assert_non_null(text);
    size_t length = 0;
    for (int i = 0; i < 2000; i++)
        length += (size_t)snprintf(text + length, 100000 - length, "unknown%d = 1;\n", i);

    struct loaded loaded = files_load_text(text);

    assert_int_equal(loaded.result, -EINVAL);
    assert_int_equal(loaded.fault_count, 200);
    loaded_fini(&loaded);
    free(text);
}

static void file_that_is_no_file_is_refused(void **state)
{
    (void)state;
    char missing[4096];
    snprintf(missing, sizeof(missing), "%s/missing.conf", files_folder());
    const char *const paths[] = {missing, "/dev/null", "/", ""};
    static const char *const fragments[] = {"No such file", "no regular file", "Is a directory",
                                            "No such file"};

    for (size_t i = 0; i < 4; i++) {
        struct loaded loaded = files_load(paths[i], NULL, false);
        if (!is_told(&loaded, paths[i], 0, fragments[i])) {
            loaded_print(&loaded);
            fail_msg("%s", paths[i]);
        }
        loaded_fini(&loaded);
    }
}

static void file_that_is_too_large_is_refused(void **state)
{
    (void)state;
    enum { SIZE = (1 << 20) + 2 };
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, '\n', SIZE);
    text[SIZE - 1] = '\0';

    struct loaded loaded = files_load_text(text);
    assert_int_equal(loaded.result, -EINVAL);
    assert_non_null(strstr(loaded.faults[0].text, "more than 1 MiB"));
    loaded_fini(&loaded);

    text[SIZE - 2] = '\0';
    loaded = files_load_text(text);
    assert_int_equal(loaded.result, 0);
    loaded_fini(&loaded);
    free(text);
}

static void files_that_include_each_other_are_refused(void **state)
{
    (void)state;
    files_write("one.conf", "@include \"two.conf\"\n", 0644);
    files_write("two.conf", "@include \"one.conf\"\n", 0644);
    struct loaded loaded = files_load_text("@include \"one.conf\"\n");

    assert_int_equal(loaded.result, -EINVAL);
    assert_int_equal(loaded.fault_count, 1);
    assert_non_null(strstr(loaded.faults[0].text, "nesting too deep"));
    loaded_fini(&loaded);
}

static void byte_order_mark_is_named(void **state)
{
    (void)state;
    struct loaded loaded = files_load_text("\xEF\xBB\xBFmax_waiting = 5;\n");

    assert_int_equal(loaded.result, -EINVAL);
    assert_int_equal(loaded.fault_count, 1);
    assert_int_equal(loaded.faults[0].line, 1);
    assert_non_null(strstr(loaded.faults[0].text, "byte order mark"));
    loaded_fini(&loaded);
}

static void truncated_file_is_refused(void **state)
{
    (void)state;
    static const char whole[] =
        "queue: { default: { workers = 4; }; };\nkind: { a: { command = [\"/bin/true\"]; }; };\n";
    static const char first_line[] = "queue: { default: { workers = 4; }; };\n";

    // A cut at a statement's end leaves a whole file; every other one is refused.
    for (size_t length = 1; length < sizeof(whole) - 3; length++) {
        char text[sizeof(whole)];
        memcpy(text, whole, length);
        text[length] = '\0';
        size_t first = sizeof(first_line) - 1;
        bool is_whole = length == first || length == first - 1 || length == first - 2;
        struct loaded loaded = files_load_text(text);
        if (loaded.result != (is_whole ? 0 : -EINVAL)) {
            loaded_print(&loaded);
            fail_msg("%s", text);
        }
        loaded_fini(&loaded);
    }
}

static void overrides_that_are_wrong_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *override;
        const char *fragment;
    } rows[] = {
        {"listen", "needs name=value"},
        {"=5", "needs name=value"},
        {"drain_timout=5s", "drain_timout is no setting of the top level"},
        {"queue=x", "queue is a group"},
        {"kind=x", "kind is a group"},
        {"drain_timeout=soon", "drain_timeout must be a length of time"},
        {"max_waiting=-1", "max_waiting must be a whole number"},
        {"max_waiting=", "max_waiting must be a whole number"},
        {"max_request_memory=1", "max_request_memory must be a size"},
        {"listen=0.0.0.0:1", "without tokens everybody there could run tasks"},
        {"behind_proxy=yes", "behind_proxy must be true or false"},
        {"hosts=http://x", "hosts must be names"},
        {"token_file=", "token_file must be the path of a file"},
        {"log_level=all", "log_level must be"},
        {"log_format=", "log_format must be"},
        {"access_log=yes", "access_log must be true or false, not \"yes\""},
        {"store=", "store must be the path of a file"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *const overrides[] = {rows[i].override, NULL};
        struct loaded loaded = files_load(files_write("test.conf", "", 0644), overrides, false);
        if (!is_told(&loaded, "-o", 0, rows[i].fragment)) {
            loaded_print(&loaded);
            fail_msg("-o %s", rows[i].override);
        }
        loaded_fini(&loaded);
    }
}

/* libconfig ends the process at an include of a folder, so it is given nothing that was not looked
 * at. */
static void an_include_behind_what_stops_the_look_is_not_followed(void **state)
{
    (void)state;
    static const char deep[] = "a = (((((((((((((((((((((((((((((((((\n@include \"behind\"\n";
    char many[4096] = "";
    char folder[4096];
    size_t used = 0;
    snprintf(folder, sizeof(folder), "%s/behind", files_folder());
    assert_int_equal(mkdir(folder, 0755), 0);
    for (int i = 0; i < 64; i++)
        used += (size_t)snprintf(many + used, sizeof(many) - used, "@include \"part%d\"\n", i);
    snprintf(many + used, sizeof(many) - used, "@include \"behind\"\n");
    const char *const texts[] = {"# \xff\n@include \"behind\"\n", deep, many};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct loaded loaded = files_load_text(texts[i]);
        assert_int_equal(loaded.result, -EINVAL);
        assert_true(loaded.fault_count > 0);
        loaded_fini(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_fault_names_its_file_and_line),
        cmocka_unit_test(each_fault_names_the_included_file),
        cmocka_unit_test(line_is_right_after_an_include),
        cmocka_unit_test(all_faults_are_told_in_the_order_of_lines),
        cmocka_unit_test(faults_are_bounded),
        cmocka_unit_test(file_that_is_no_file_is_refused),
        cmocka_unit_test(file_that_is_too_large_is_refused),
        cmocka_unit_test(files_that_include_each_other_are_refused),
        cmocka_unit_test(an_include_behind_what_stops_the_look_is_not_followed),
        cmocka_unit_test(byte_order_mark_is_named),
        cmocka_unit_test(truncated_file_is_refused),
        cmocka_unit_test(overrides_that_are_wrong_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
