/* The gate's pure parts, cursors, keys and problems. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cursor.h"
#include "api/framing.h"
#include "api/key.h"

static const struct config_limits limits = {
    .max_header = 16 << 10, .max_headers = 64, .max_url = 2 << 10};

static void a_port_of_80_or_443_may_be_left_out(void **state)
{
    struct framing_hosts hosts;
    struct head head = {.host = "localhost"};

    (void)state;
    framing_hosts(&hosts, "127.0.0.1", 80);
    assert_true(framing_host(&head, &hosts, NULL));
    framing_hosts(&hosts, "127.0.0.1", 443);
    assert_true(framing_host(&head, &hosts, NULL));
    framing_hosts(&hosts, "127.0.0.1", 8080);
    assert_false(framing_host(&head, &hosts, NULL));
    assert_int_equal(head.problem, PROBLEM_FORBIDDEN);

    head = (struct head){.host = "[fe80::1]:81"};
    framing_hosts(&hosts, "fe80::1", 81);
    assert_true(framing_host(&head, &hosts, NULL));
    head = (struct head){.host = NULL};
    assert_false(framing_host(&head, &hosts, NULL));
}

static void an_address_that_stands_for_all_is_no_name(void **state)
{
    static const char *const wildcards[][2] = {{"0.0.0.0", "0.0.0.0:81"}, {"::", "[::]:81"}};
    struct framing_hosts hosts;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        framing_hosts(&hosts, wildcards[i][0], 81);
        struct head head = {.host = wildcards[i][1]};
        assert_false(framing_host(&head, &hosts, NULL));
        head = (struct head){.host = "127.0.0.1:81"};
        assert_true(framing_host(&head, &hosts, NULL));
    }
}

static void further_hosts_are_names_as_they_stand_there(void **state)
{
    static char one[] = "runnel.example.org";
    static char two[] = "10.0.0.5:7733";
    static char *const further[] = {one, two, NULL};
    static const struct {
        const char *host;
        bool is_known;
    } rows[] = {{"runnel.example.org", true},
                {"RUNNEL.example.ORG", true},
                {"10.0.0.5:7733", true},
                {"runnel.example.org:7733", false},
                {"runnel.example.org.", false},
                {"runnel.example.orga", false},
                {"x.runnel.example.org", false},
                {"runnel.example.or", false},
                {"10.0.0.5", false},
                {"10.0.0.5:77330", false},
                {"runnel.example.org:", false},
                {"runnel.example.org evil", false},
                {"runnel.example.org,evil", false},
                {"", false}};
    struct framing_hosts hosts;

    (void)state;
    framing_hosts(&hosts, "127.0.0.1", 7733);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct head head = {.host = rows[i].host};
        if (framing_host(&head, &hosts, further) != rows[i].is_known)
            fail_msg("%s", rows[i].host);
    }
}

static void the_first_fault_of_a_header_counts(void **state)
{
    struct head head = {.limits = &limits};

    (void)state;
    framing_field(&head, "Content-Length", 14, "3", 1);
    framing_field(&head, "content-length", 14, "4", 1);
    framing_field(&head, "Bad Name", 8, "", 0);
    assert_false(framing_check(&head, "POST", "HTTP/1.1"));
    assert_int_equal(head.problem, PROBLEM_FRAMING);
    assert_non_null(strstr(head.detail, "Content-Length"));
}

static void a_length_beyond_all_bounds_is_a_length(void **state)
{
    struct head head = {.limits = &limits};

    (void)state;
    framing_field(&head, "Content-Length", 14, "99999999999999999999999999", 26);
    assert_true(framing_check(&head, "POST", "HTTP/1.1"));
    assert_true(head.has_body);
    assert_true(head.body_bytes > UINT64_C(1) << 62);
}

static void a_cursor_goes_with_its_filters(void **state)
{
    unsigned char hash[CURSOR_HASH_BYTES] = {1, 2, 3, 4, 5, 6, 7, 8};
    char text[CURSOR_BYTES];
    uint64_t before = 0;
    static const uint64_t ids[] = {1, 255, 123456789, (UINT64_C(1) << 53) - 1};

    (void)state;
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        cursor_text(ids[i], hash, text);
        assert_int_equal(cursor_parse(text, hash, &before), 0);
        assert_int_equal(before, ids[i]);
    }
    hash[7]++;
    assert_int_equal(cursor_parse(text, hash, &before), -ESTALE);
    static const char *const bad[] = {"",
                                      "x",
                                      "AAAAAAAAAAAAAAAAAAAAAA",
                                      "////////////////////////",
                                      "_____________________!",
                                      "____________________________"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(cursor_parse(bad[i], hash, &before), -EINVAL);
}

static void a_key_is_over_type_query_and_body_without_how_it_is_answered(void **state)
{
    struct request *request = calloc(1, sizeof(*request));
    unsigned char plain[KEY_HASH_BYTES];
    unsigned char hash[KEY_HASH_BYTES];
    char same[] = "wait=5s&pretty";
    char other[] = "wait=5s&queue=mail&pretty=1";
    char longer[] = "waiting=5s";

    (void)state;
    request->head.content_type = "application/json";
    key_hash(request, "{}", 2, plain);
    request->raw_query = same;
    key_hash(request, "{}", 2, hash);
    assert_memory_equal(hash, plain, KEY_HASH_BYTES);
    request->raw_query = other;
    key_hash(request, "{}", 2, hash);
    assert_memory_not_equal(hash, plain, KEY_HASH_BYTES);
    request->raw_query = longer;
    key_hash(request, "{}", 2, hash);
    assert_memory_not_equal(hash, plain, KEY_HASH_BYTES);
    request->raw_query = NULL;
    request->head.content_type = "application/json; charset=utf-8";
    key_hash(request, "{}", 2, hash);
    assert_memory_not_equal(hash, plain, KEY_HASH_BYTES);
    free(request);
}

static void every_problem_has_a_code_of_its_own_and_a_status(void **state)
{
    (void)state;
    for (int i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_row *row = problem_row((enum problem)i);
        assert_ptr_equal(problem_find(row->code), row);
        assert_true(row->status >= 400 && row->status < 600);
        assert_true((row->status == 503) <= (row->retry_after_s > 0));
        assert_true(strlen(row->title) > 0 && strlen(row->page) > 0);
    }
    assert_null(problem_find("no-such-code"));
}

static void a_pointer_is_escaped_and_bounded(void **state)
{
    char text[64];
    char key[300];

    (void)state;
    assert_string_equal(faults_pointer("a/b~c", text, sizeof(text)), "/a~1b~0c");
    assert_string_equal(faults_pointer("\"<%\xc3\xa4 ", text, sizeof(text)), "/%22%3C%25%C3%A4%20");
    assert_string_equal(faults_pointer("", text, sizeof(text)), "/");
    memset(key, '"', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    assert_true(strlen(faults_pointer(key, text, sizeof(text))) < sizeof(text));
}

static void faults_are_counted_beyond_what_is_kept(void **state)
{
    struct faults faults = {.count = 0};

    (void)state;
    for (int i = 0; i < FAULTS_MAX + 50; i++)
        faults_add(&faults, "/x", "%d", i);
    assert_int_equal(faults.count, FAULTS_MAX + 50);
    buffer_add(&faults.text, "", 1);
    assert_non_null(strstr(faults.text.bytes, "\"99\""));
    assert_null(strstr(faults.text.bytes, "\"100\""));
    faults_fini(&faults);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_port_of_80_or_443_may_be_left_out),
        cmocka_unit_test(an_address_that_stands_for_all_is_no_name),
        cmocka_unit_test(further_hosts_are_names_as_they_stand_there),
        cmocka_unit_test(the_first_fault_of_a_header_counts),
        cmocka_unit_test(a_length_beyond_all_bounds_is_a_length),
        cmocka_unit_test(a_cursor_goes_with_its_filters),
        cmocka_unit_test(a_key_is_over_type_query_and_body_without_how_it_is_answered),
        cmocka_unit_test(every_problem_has_a_code_of_its_own_and_a_status),
        cmocka_unit_test(a_pointer_is_escaped_and_bounded),
        cmocka_unit_test(faults_are_counted_beyond_what_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
