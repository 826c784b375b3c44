/* Certificates: what is wrong with the files, when they run out, and where they are looked for. */
#include "unit.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/certificate.h"
#include "fault.h"
#include "files.h"
#include "pem.h"

enum { DAY = 24 * 3600 };
static const char config_text[] = "tls_certificate = \"a.crt\";\ntls_key = \"a.key\";\n";

/* A path in the tests' folder; borrowed, good for four calls. */
static const char *at(const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];

    (void)snprintf(path, PATH_MAX, "%.3000s/%.100s", files_folder(), name);
    return path;
}

static void make(const char *name, int64_t from, int64_t to)
{
    char chain[64];
    char key[64];

    (void)snprintf(chain, sizeof(chain), "%.40s.crt", name);
    (void)snprintf(key, sizeof(key), "%.40s.key", name);
    pem_make(at(chain), at(key), name, from, to);
}

static void a_certificate_and_its_key_are_loaded(void **state)
{
    (void)state;
    make("a", -DAY, 90 * DAY);
    struct loaded loaded = files_load_text(config_text);

    assert_int_equal(loaded.result, 0);
    assert_int_equal(loaded.fault_count, 0);
    assert_non_null(loaded.config->certificate);
    const int64_t left = certificate_expires_at_s(loaded.config->certificate) - time(NULL);
    assert_in_range(left, 90 * DAY - 60, 90 * DAY + 1);
    // Another holder keeps it.
    struct certificate *kept = certificate_ref(loaded.config->certificate);
    loaded_fini(&loaded);
    assert_non_null(certificate_credentials(kept));
    certificate_unref(kept);
    certificate_unref(NULL);
}

static void one_that_runs_out_soon_is_a_warning(void **state)
{
    (void)state;
    static const struct {
        int64_t from, to;
        const char *fragment;
    } rows[] = {{-2 * DAY, -DAY, "has expired"},
                {-2 * DAY, DAY / 2, "expires within 1 day"},
                {-2 * DAY, 13 * DAY - 60, "expires within 13 days"},
                {DAY, 30 * DAY, "does not hold yet"},
                {-DAY, 15 * DAY, NULL}};

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        make("a", rows[i].from, rows[i].to);
        struct loaded loaded = files_load_text(config_text);
        assert_int_equal(loaded.result, 0);
        assert_int_equal(loaded.fault_count, rows[i].fragment != NULL);
        if (rows[i].fragment != NULL) {
            assert_non_null(strstr(loaded.faults[0].text, rows[i].fragment));
            assert_int_equal(loaded.faults[0].line, 1);
        }
        loaded_fini(&loaded);
    }
}

/* The one fault is of this line, and has these words. */
static void expect_fault(const char *text, unsigned line, const char *fragment)
{
    struct loaded loaded = files_load_text(text);

    if (loaded.result != -EINVAL || loaded.faults[0].line != line ||
        strstr(loaded.faults[0].text, fragment) == NULL) {
        loaded_print(&loaded);
        fail_msg("not told: %s", fragment);
    }
    loaded_fini(&loaded);
}

static void what_is_wrong_with_the_files_is_told(void **state)
{
    (void)state;
    make("a", -DAY, 90 * DAY);
    make("b", -DAY, 90 * DAY);

    expect_fault("tls_certificate = \"a.crt\";\ntls_key = \"b.key\";\n", 2,
                 "not the key of the certificate");
    expect_fault("tls_certificate = \"none.crt\";\ntls_key = \"a.key\";\n", 1, "No such file");
    expect_fault("tls_certificate = \"a.crt\";\ntls_key = \"none.key\";\n", 2, "No such file");
    expect_fault("tls_certificate = \"a.key\";\ntls_key = \"a.key\";\n", 1,
                 "no certificate in PEM");
    expect_fault("tls_certificate = \"a.crt\";\ntls_key = \"/dev/null\";\n", 2, "no regular file");
    expect_fault("tls_certificate = \"a.crt\";\n", 1, "one of them is missing");
    expect_fault("tls_key = \"a.key\";\n", 1, "one of them is missing");
    expect_fault("tls_certificate = \"\";\ntls_key = \"a.key\";\n", 1, "must be the path");
    expect_fault("tls_certificate = 5;\ntls_key = \"a.key\";\n", 1, "must be the path");

    (void)files_write("a.key", "-----BEGIN PRIVATE KEY-----\nnothing\n", 0600);
    expect_fault(config_text, 2, "no private key in PEM");
    (void)files_write("a.key", "", 0600);
    expect_fault(config_text, 2, "no private key in PEM");
    char *large = calloc(1, (256 << 10) + 2);
    assert_non_null(large);
    memset(large, 'x', (256 << 10) + 1);
    (void)files_write("a.crt", large, 0644);
    free(large);
    expect_fault(config_text, 1, "more than 256 KiB");
}

static void a_key_that_others_may_read_is_refused(void **state)
{
    (void)state;
    make("a", -DAY, 90 * DAY);

    assert_int_equal(chmod(at("a.key"), 0644), 0);
    expect_fault(config_text, 2, "others may use it");
    assert_int_equal(chmod(at("a.key"), 0640), 0);
    struct loaded loaded = files_load_text(config_text);
    assert_int_equal(loaded.result, 0);
    loaded_fini(&loaded);
}

static void a_bare_name_may_be_a_credential(void **state)
{
    (void)state;
    char wanted[PATH_MAX];
    make("a", -DAY, 90 * DAY);
    assert_int_equal(mkdir(at("credentials"), 0700), 0);
    (void)snprintf(wanted, sizeof(wanted), "%s", at("credentials/a.key"));
    assert_int_equal(rename(at("a.key"), wanted), 0);

    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", at("credentials"), 1), 0);
    struct loaded loaded = files_load_text(config_text);
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);

    assert_int_equal(loaded.result, 0);
    assert_string_equal(loaded.config->tls_key, wanted);
    assert_non_null(strstr(loaded.config->tls_certificate, "/a.crt")); // not there: beside the file
    loaded_fini(&loaded);
    // A path is none.
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", at("credentials"), 1), 0);
    expect_fault("tls_certificate = \"a.crt\";\ntls_key = \"./a.key\";\n", 2, "No such file");
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
    assert_int_equal(unlink(wanted), 0);
    assert_int_equal(rmdir(at("credentials")), 0);
}

static void each_failed_call_is_told(void **state)
{
    (void)state;
    make("a", -DAY, 90 * DAY);
    static char chain[PATH_MAX];
    static char key[PATH_MAX];
    (void)snprintf(chain, sizeof(chain), "%s", at("a.crt"));
    (void)snprintf(key, sizeof(key), "%s", at("a.key"));

    for (unsigned call = 0; call < 2; call++) {
        for (int nth = 1;; nth++) {
            struct certificate *certificate = NULL;
            struct certificate_fault fault = {.file = CERTIFICATE_CHAIN};

            fault_fail(call == 0 ? FAULT_MALLOC : FAULT_OPEN, nth, call == 0 ? ENOMEM : EMFILE);
            int r = certificate_load(chain, key, &certificate, &fault);
            bool reached = fault_reached();
            certificate_unref(certificate);
            assert_int_equal(r, !reached ? 0 : call == 0 ? -ENOMEM : -EINVAL);
            if (!reached)
                break;
            assert_true(call == 0 || strstr(fault.text, "open files") != NULL);
        }
    }
}

static int remove_files(void **state)
{
    (void)state;
    files_remove();
    return 0;
}

int main(void)
{
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_certificate_and_its_key_are_loaded),
        cmocka_unit_test(one_that_runs_out_soon_is_a_warning),
        cmocka_unit_test(what_is_wrong_with_the_files_is_told),
        cmocka_unit_test(a_key_that_others_may_read_is_refused),
        cmocka_unit_test(a_bare_name_may_be_a_credential),
        cmocka_unit_test(each_failed_call_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, remove_files);
}
