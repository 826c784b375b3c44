/* Where a store lies: the file systems that it is warned of. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fault.h"
#include "observe/log.h"
#include "store/place.h"
#include "support.h"

static const struct {
    unsigned long type;
    const char *name; // NULL: fit
} file_systems[] = {
    {0x6969, "NFS"},      {0x517b, "SMB"},    {0xff534d42, "CIFS"}, {0xfe534d42, "CIFS (SMB2)"},
    {0x65735546, "FUSE"}, {0xef53, NULL},     {0x01021994, NULL},   {0x9123683e, NULL},
    {0x58465342, NULL},   {0x794c7630, NULL},
};

static void network_and_user_file_systems_are_unfit(void **state)
{
    struct fixture *fixture = *state;
    char missing[128];
    (void)snprintf(missing, sizeof(missing), "%s/not-yet.db", fixture->folder);

    for (size_t i = 0; i < sizeof(file_systems) / sizeof(file_systems[0]); i++) {
        fault_file_system(file_systems[i].type, 0);
        const char *name = store_unfit_file_system(missing);
        if (file_systems[i].name == NULL)
            assert_null(name);
        else
            assert_string_equal(name, file_systems[i].name);
    }
    fault_reset();
    (void)snprintf(missing, sizeof(missing), "%s/no/folder.db", fixture->folder);
    assert_null(store_unfit_file_system(missing));
    assert_null(store_unfit_file_system("relative.db"));
}

static void a_link_is_judged_by_where_it_leads(void **state)
{
    struct fixture *fixture = *state;
    char link[128];
    (void)snprintf(link, sizeof(link), "%s/link.db", fixture->folder);
    assert_int_equal(symlink("/proc/self/status", link), 0);
    uint64_t bytes = 1;
    // The folder of the file that it leads to has no room at all.
    assert_int_equal(place_free_bytes("/proc/self/status", &bytes), 0);
    assert_int_equal(bytes, 0);
    fault_file_system(0x6969, 0);
    assert_string_equal(store_unfit_file_system(link), "NFS");
    fault_reset();
}

/* Opens the store with standard error going into a file of its folder, and counts the warning. */
static unsigned warnings_of_an_open(struct fixture *fixture)
{
    char path[128];
    static char text[8192];
    unsigned count = 0;
    (void)snprintf(path, sizeof(path), "%s/log", fixture->folder);
    int original = dup(STDERR_FILENO);
    int file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_APPEND, 0600);
    assert_true(original >= 0 && file >= 0);

    assert_int_equal(dup2(file, STDERR_FILENO), STDERR_FILENO);
    open_store(fixture);
    close_store(fixture);
    assert_int_equal(dup2(original, STDERR_FILENO), STDERR_FILENO);

    ssize_t n = pread(file, text, sizeof(text) - 1, 0);
    assert_true(n >= 0);
    text[n] = '\0';
    for (const char *at = text; (at = strstr(at, "event=store_file_system")) != NULL; at++)
        count++;
    assert_true(count == 0 || strstr(text, "type=FUSE error=") != NULL);
    (void)close(file);
    (void)close(original);
    return count;
}

static void an_open_warns_once_and_goes_on(void **state)
{
    struct fixture *fixture = *state;
    log_init(LOG_LEVEL_WARN);
    fault_file_system(0x65735546, 0);
    assert_int_equal(warnings_of_an_open(fixture), 1);
    fault_file_system(0xef53, 0);
    assert_int_equal(warnings_of_an_open(fixture), 0);
    fault_reset();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define PLACE_TEST(name) cmocka_unit_test_setup_teardown(name, folder_setup, store_teardown)
        PLACE_TEST(network_and_user_file_systems_are_unfit),
        PLACE_TEST(a_link_is_judged_by_where_it_leads),
        PLACE_TEST(an_open_warns_once_and_goes_on),
    };
    return cmocka_run_group_tests_name("place", tests, NULL, NULL);
}
