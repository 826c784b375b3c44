/* The setting `listen` and what belongs to it. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "files.h"
#include "unit.h"

static struct loaded load_right(const char *text)
{
    struct loaded loaded = files_load_text(text);
    if (loaded.result != 0) {
        loaded_print(&loaded);
        fail_msg("it has faults: %s", text);
    }
    return loaded;
}

static void a_list_is_taken_in_its_order(void **state)
{
    (void)state;
    struct loaded loaded =
        load_right("listen = [\"127.0.0.1:7733\", \"[::1]:7734\", \"unix:/run/x/y.sock\"];");
    const struct config *config = loaded.config;

    assert_int_equal(config->listener_count, 3);
    assert_int_equal(config->listeners[0].sort, CONFIG_LISTEN_TCP);
    assert_string_equal(config->listeners[0].host, "127.0.0.1");
    assert_int_equal(config->listeners[0].port, 7733);
    assert_true(config->listeners[0].is_loopback);
    assert_string_equal(config->listeners[1].host, "::1");
    assert_int_equal(config->listeners[1].port, 7734);
    assert_true(config->listeners[1].is_loopback);
    assert_int_equal(config->listeners[2].sort, CONFIG_LISTEN_UNIX);
    assert_string_equal(config->listeners[2].path, "/run/x/y.sock");
    assert_string_equal(config->listeners[2].text, "unix:/run/x/y.sock");
    assert_false(config->listeners[2].is_loopback);
    loaded_fini(&loaded);

    loaded = load_right("listen = (\"127.0.0.1:1\");");
    assert_int_equal(loaded.config->listener_count, 1);
    loaded_fini(&loaded);
}

static void sixteen_are_the_most(void **state)
{
    (void)state;
    char text[1024] = "listen = [";
    size_t used = strlen(text);

    for (unsigned i = 1; i <= CONFIG_LISTENERS_MAX; i++)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s\"127.0.0.1:%u\"",
                                 i > 1 ? ", " : "", i);
    (void)snprintf(text + used, sizeof(text) - used, "];");
    struct loaded loaded = load_right(text);
    assert_int_equal(loaded.config->listener_count, CONFIG_LISTENERS_MAX);
    loaded_fini(&loaded);

    (void)snprintf(text + used, sizeof(text) - used, ", \"[::1]:1\"];");
    loaded = files_load_text(text);
    assert_int_equal(loaded.result, -EINVAL);
    assert_non_null(strstr(loaded.faults[0].text, "more than 16 addresses"));
    loaded_fini(&loaded);
}

static void a_relative_socket_lies_below_the_runtime_directory_else_beside_the_file(void **state)
{
    (void)state;
    char wanted[256];

    assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/runnel:/run/other", 1), 0);
    struct loaded loaded = load_right("listen = \"unix:runneld.sock\";");
    assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
    assert_string_equal(loaded.config->listeners[0].path, "/run/runnel/runneld.sock");
    loaded_fini(&loaded);

    loaded = load_right("listen = \"unix:runneld.sock\";");
    char folder[PATH_MAX];
    assert_non_null(realpath(files_folder(), folder));
    (void)snprintf(wanted, sizeof(wanted), "%.200s/runneld.sock", folder);
    assert_string_equal(loaded.config->listeners[0].path, wanted);
    loaded_fini(&loaded);
}

static void a_socket_path_has_at_most_107_bytes(void **state)
{
    (void)state;
    char text[256];

    for (int bytes = 107; bytes <= 108; bytes++) {
        (void)snprintf(
            text, sizeof(text), "listen = \"unix:/%.*s\";", bytes - 1,
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        struct loaded loaded = files_load_text(text);
        assert_int_equal(loaded.result, bytes == 107 ? 0 : -EINVAL);
        if (bytes == 107)
            assert_int_equal(strlen(loaded.config->listeners[0].path), 107);
        else
            assert_non_null(strstr(loaded.faults[0].text, "108 bytes, at most 107"));
        loaded_fini(&loaded);
    }
}

static void an_override_has_commas(void **state)
{
    (void)state;
    const char *const overrides[] = {"listen=[::1]:0,unix:/run/y,127.0.0.1:2", NULL};
    struct loaded loaded =
        files_load(files_write("test.conf", "listen = [\"127.0.0.1:1\", \"[::1]:1\"];", 0644),
                   overrides, false);

    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.config->listener_count, 3);
    assert_string_equal(loaded.config->listeners[0].host, "::1");
    assert_string_equal(loaded.config->listeners[1].path, "/run/y");
    assert_int_equal(loaded.config->listeners[2].port, 2);
    loaded_fini(&loaded);
}

static void mode_and_group_of_sockets_are_taken(void **state)
{
    (void)state;
    struct loaded loaded = load_right("");
    assert_int_equal(loaded.config->socket_mode, 0660);
    assert_null(loaded.config->socket_group);
    loaded_fini(&loaded);

    loaded = load_right("socket_mode = \"0606\"; socket_group = \"root\";");
    assert_int_equal(loaded.config->socket_mode, 0606);
    assert_string_equal(loaded.config->socket_group, "root");
    assert_int_equal(loaded.config->socket_gid, 0);
    loaded_fini(&loaded);
}

static void what_is_wrong_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *fragment;
    } rows[] = {
        {"listen = [];", "at least one address"},
        {"listen = [\"127.0.0.1:1\", \"127.0.0.1:1\"];", "\"127.0.0.1:1\" twice"},
        {"listen = [\"127.0.0.1:1\", \"localhost:1\"];", "\"localhost:1\" twice"},
        {"listen = [\"unix:/a\", \"unix:/a\"];", "\"unix:/a\" twice"},
        {"listen = \"unix:\";", "must be an address and a port"},
        {"listen = \"unix:/run/\";", "must be an address and a port"},
        {"listen = \"127.0.0.1:1,[::1]:1\";", "must be an address and a port"},
        {"listen = [1, 2];", "must be an address and a port"},
        {"listen = [\"127.0.0.1:1\", \"0.0.0.0:1\"];", "set token_file"},
        {"listen = \"[::]:1\";", "set token_file"},
        {"socket_mode = 0660;", "octal number in quotes"},
        {"socket_mode = \"0680\";", "octal number in quotes"},
        {"socket_mode = \"1777\";", "\"0777\""},
        {"socket_mode = \"66\";", "octal number in quotes"},
        {"socket_group = \"no such group\";", "must be a group of this system"},
        {"socket_group = 5;", "must be a group's name"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct loaded loaded = files_load_text(rows[i].text);
        if (loaded.result != -EINVAL || strstr(loaded.faults[0].text, rows[i].fragment) == NULL) {
            loaded_print(&loaded);
            fail_msg("%s", rows[i].text);
        }
        assert_int_equal(loaded.faults[0].line, 1);
        loaded_fini(&loaded);
    }
}

static void two_free_ports_are_no_repetition(void **state)
{
    (void)state;
    struct loaded loaded = load_right("listen = [\"127.0.0.1:0\", \"127.0.0.1:0\"];");

    assert_int_equal(loaded.config->listener_count, 2);
    loaded_fini(&loaded);
}

static void what_is_printed_loads_again(void **state)
{
    (void)state;
    struct loaded loaded = load_right("listen = [\"localhost:1\", \"unix:a b\"]; socket_mode = "
                                      "\"0600\"; socket_group = \"root\";");
    char *text = NULL;
    size_t bytes = 0;
    FILE *file = open_memstream(&text, &bytes);

    assert_int_equal(config_print(loaded.config, file), 0);
    assert_int_equal(fclose(file), 0);
    struct loaded again = load_right(text);

    assert_memory_equal(loaded.config->listeners, again.config->listeners,
                        sizeof(again.config->listeners));
    assert_int_equal(again.config->listener_count, 2);
    assert_int_equal(again.config->socket_mode, 0600);
    assert_string_equal(again.config->socket_group, "root");
    free(text);
    loaded_fini(&loaded);
    loaded_fini(&again);
}

static void each_failed_allocation_is_told(void **state)
{
    (void)state;
    for (int nth = 1;; nth++) {
        fault_fail_malloc(nth);
        struct loaded loaded =
            files_load_text("listen = [\"127.0.0.1:1\", \"unix:/x\"]; socket_group = \"root\";");
        bool reached = fault_reached();
        assert_int_equal(loaded.result, reached ? -ENOMEM : 0);
        loaded_fini(&loaded);
        if (!reached)
            break;
    }
}

static void addresses_are_told_apart(void **state)
{
    (void)state;
    static const char *const loopback[] = {"127.0.0.1", "127.255.0.9", "::1"};
    static const char *const others[] = {"0.0.0.0",   "::",        "10.0.0.1", "fe80::1",
                                         "128.0.0.1", "localhost", ""};

    for (size_t i = 0; i < sizeof(loopback) / sizeof(loopback[0]); i++)
        assert_true(config_host_is_loopback(loopback[i]));
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_false(config_host_is_loopback(others[i]));
}

int main(void)
{
    const char *temporary = getenv("TMPDIR");

    (void)unsetenv("RUNTIME_DIRECTORY");
    // A socket's path has at most 107 bytes; there are sockets beside the tests' files.
    if (temporary != NULL && strlen(temporary) > 60)
        (void)unsetenv("TMPDIR");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_taken_in_its_order),
        cmocka_unit_test(sixteen_are_the_most),
        cmocka_unit_test(a_relative_socket_lies_below_the_runtime_directory_else_beside_the_file),
        cmocka_unit_test(a_socket_path_has_at_most_107_bytes),
        cmocka_unit_test(an_override_has_commas),
        cmocka_unit_test(mode_and_group_of_sockets_are_taken),
        cmocka_unit_test(what_is_wrong_is_told),
        cmocka_unit_test(two_free_ports_are_no_repetition),
        cmocka_unit_test(what_is_printed_loads_again),
        cmocka_unit_test(each_failed_allocation_is_told),
        cmocka_unit_test(addresses_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, files_tear_down);
}
