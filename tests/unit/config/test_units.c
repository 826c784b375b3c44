#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "config/units.h"
#include "unit.h"

static void durations_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        rn_duration duration; // below 0: the error
    } rows[] = {
        {"500ms", 500 * RN_MILLISECOND},
        {"30s", 30 * RN_SECOND},
        {"5m", 5 * RN_MINUTE},
        {"1h30m", 90 * RN_MINUTE},
        {"7d", RN_HOUR * 24 * 7},
        {"1d2h3m4s5ms", 26 * RN_HOUR + 3 * RN_MINUTE + 4 * RN_SECOND + 5 * RN_MILLISECOND},
        {"0s", 0},
        {"00012s", 12 * RN_SECOND},
        {"90m", 90 * RN_MINUTE},
        {"36525d", RN_HOUR * 24 * 36525},
        {"36525d0s", RN_HOUR * 24 * 36525},
        {"36526d", -ERANGE},
        {"36525d1ms", -ERANGE},
        {"99999999999999999999999999d", -ERANGE},
        {"18446744073709551617s", -ERANGE},
        {"", -EINVAL},
        {"5", -EINVAL},
        {"s", -EINVAL},
        {"5 s", -EINVAL},
        {" 5s", -EINVAL},
        {"5s ", -EINVAL},
        {"+5s", -EINVAL},
        {"-5s", -EINVAL},
        {"1.5h", -EINVAL},
        {"5S", -EINVAL},
        {"5sec", -EINVAL},
        {"5us", -EINVAL},
        {"5s1m", -EINVAL},
        {"5m5m", -EINVAL},
        {"5ms5s", -EINVAL},
        {"1h30", -EINVAL},
        {"0x5s", -EINVAL},
        {"99999999999999999999999999x", -EINVAL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rn_duration duration = 77;
        int r = units_duration(rows[i].text, &duration);
        rn_duration expected = rows[i].duration;
        if (expected < 0 ? r != expected || duration != 77 : r != 0 || duration != expected)
            fail_msg("\"%s\" gave %d, %" PRId64, rows[i].text, r, duration);
    }
}

static void durations_have_a_shortest_text_that_parses_to_the_same(void **state)
{
    (void)state;
    static const struct {
        rn_duration duration;
        const char *text;
    } rows[] = {
        {0, "0s"},
        {RN_MILLISECOND, "1ms"},
        {1500 * RN_MILLISECOND, "1s500ms"},
        {90 * RN_MINUTE, "1h30m"},
        {24 * RN_HOUR, "1d"},
        {RN_HOUR * 24 * 36525, "36525d"},
        {RN_HOUR * 24 * 36524 + 23 * RN_HOUR + 59 * RN_MINUTE + 59 * RN_SECOND +
             999 * RN_MILLISECOND,
         "36524d23h59m59s999ms"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[48];
        rn_duration again = -1;
        assert_string_equal(units_duration_text(rows[i].duration, text, sizeof(text)),
                            rows[i].text);
        assert_int_equal(units_duration(text, &again), 0);
        assert_int_equal(again, rows[i].duration);
    }
}

static void rates_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double per_s; // 0: -EINVAL
    } rows[] = {
        {"10/s", 10},
        {"90/m", 1.5},
        {"2.5/h", 2.5 / 3600},
        {"0.001/s", 0.001},
        {"1000000/s", 1000000},
        {"3600000000/h", 1000000},
        {"0/s", 0},
        {"0.0/s", 0},
        {"1000001/s", 0},
        {"1000000.1/s", 0},
        {"3600000001/h", 0},
        {"", 0},
        {"10", 0},
        {"/s", 0},
        {"10/", 0},
        {"10/d", 0},
        {"10/ s", 0},
        {" 10/s", 0},
        {"10/s ", 0},
        {"-1/s", 0},
        {"1./s", 0},
        {".5/s", 0},
        {"1e3/s", 0},
        {"1,5/s", 0},
        {"99999999999999999999/s", 0},
        {"1.0000000001/s", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        double per_s = -7;
        int r = units_rate(rows[i].text, &per_s);
        if (rows[i].per_s == 0 ? r != -EINVAL || per_s != -7 : r != 0 || per_s != rows[i].per_s)
            fail_msg("\"%s\" gave %d, %g", rows[i].text, r, per_s);
    }
}

static void sizes_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int result;
        uint64_t bytes;
    } rows[] = {
        {"4096", 0, 4096},
        {"0", 0, 0},
        {"64KiB", 0, 65536},
        {"16MiB", 0, 16 << 20},
        {"1GiB", 0, 1 << 30},
        {"18446744073709551615", 0, UINT64_MAX},
        {"17179869183GiB", 0, UINT64_C(17179869183) << 30},
        {"17179869184GiB", -ERANGE, 0},
        {"18446744073709551616", -ERANGE, 0},
        {"", -EINVAL, 0},
        {"KiB", -EINVAL, 0},
        {"64KB", -EINVAL, 0},
        {"64 KiB", -EINVAL, 0},
        {"64kib", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"1.5MiB", -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t bytes = 77;
        int r = units_bytes(rows[i].text, &bytes);
        if (r != rows[i].result || bytes != (r == 0 ? rows[i].bytes : 77))
            fail_msg("\"%s\" gave %d, %" PRIu64, rows[i].text, r, bytes);
    }
}

static void sizes_have_a_shortest_text_that_parses_to_the_same(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {
        {0, "0"},
        {1023, "1023"},
        {1024, "1KiB"},
        {1536, "1536"},
        {64 << 20, "64MiB"},
        {UINT64_C(3) << 40, "3072GiB"},
        {UINT64_MAX, "18446744073709551615"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[32];
        uint64_t again = 77;
        assert_string_equal(units_bytes_text(rows[i].bytes, text, sizeof(text)), rows[i].text);
        assert_int_equal(units_bytes(text, &again), 0);
        assert_true(again == rows[i].bytes);
    }
}

static void numbers_are_digits_up_to_a_limit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t max;
        int result;
        uint64_t number;
    } rows[] = {
        {"0", 0, 0, 0},
        {"1", 0, -ERANGE, 0},
        {"1000", 1000, 0, 1000},
        {"1001", 1000, -ERANGE, 0},
        {"00000000000000000000000000001", 1000, 0, 1},
        {"18446744073709551615", UINT64_MAX, 0, UINT64_MAX},
        {"18446744073709551616", UINT64_MAX, -ERANGE, 0},
        {"", 10, -EINVAL, 0},
        {"+1", 10, -EINVAL, 0},
        {"-1", 10, -EINVAL, 0},
        {" 1", 10, -EINVAL, 0},
        {"1 ", 10, -EINVAL, 0},
        {"0x1", 10, -EINVAL, 0},
        {"1e1", 10, -EINVAL, 0},
        {"99x", 10, -EINVAL, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t number = 77;
        int r = units_unsigned(rows[i].text, rows[i].max, &number);
        if (r != rows[i].result || number != (r == 0 ? rows[i].number : 77))
            fail_msg("\"%s\" gave %d, %" PRIu64, rows[i].text, r, number);
    }
}

static void instants_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *utc; // NULL: -EINVAL
    } rows[] = {
        {"1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
        {"2026-11-24T22:25:46.123Z", "2026-11-24T22:25:46.123Z"},
        {"2026-11-24T22:25:46.123456789Z", "2026-11-24T22:25:46.123Z"},
        {"2026-11-24T22:25:46.9z", "2026-11-24T22:25:46.900Z"},
        {"2026-11-24t22:25:46Z", "2026-11-24T22:25:46.000Z"},
        {"2026-11-24T23:25:46+01:00", "2026-11-24T22:25:46.000Z"},
        {"2026-12-31T23:59:59-01:30", "2027-01-01T01:29:59.000Z"},
        {"2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z"},
        {"2000-02-29T12:00:00Z", "2000-02-29T12:00:00.000Z"},
        {"2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"},
        {"0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"},
        {"9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"},
        {"1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"},
        {"2023-02-29T00:00:00Z", NULL},
        {"1900-02-29T00:00:00Z", NULL},
        {"2026-13-01T00:00:00Z", NULL},
        {"2026-00-01T00:00:00Z", NULL},
        {"2026-04-31T00:00:00Z", NULL},
        {"2026-04-00T00:00:00Z", NULL},
        {"2026-04-01T24:00:00Z", NULL},
        {"2026-04-01T00:60:00Z", NULL},
        {"2026-04-01T00:00:61Z", NULL},
        {"2026-04-01T00:00:00", NULL},
        {"2026-04-01 00:00:00Z", NULL},
        {"2026-04-01T00:00Z", NULL},
        {"2026-04-01T00:00:00.Z", NULL},
        {"2026-04-01T00:00:00+1:00", NULL},
        {"2026-04-01T00:00:00+0100", NULL},
        {"2026-04-01T00:00:00+24:00", NULL},
        {"2026-04-01T00:00:00Zx", NULL},
        {"26-04-01T00:00:00Z", NULL},
        {"+2026-04-01T00:00:00Z", NULL},
        {"2026-4-1T00:00:00Z", NULL},
        {"", NULL},
        {"now", NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[UNITS_INSTANT_BYTES] = "";
        int64_t ms = 77;
        int r = units_instant(rows[i].text, &ms);
        if (r == 0)
            units_instant_text(ms, text);
        if (rows[i].utc == NULL ? r != -EINVAL || ms != 77
                                : r != 0 || strcmp(text, rows[i].utc) != 0)
            fail_msg("\"%s\" gave %d, %s", rows[i].text, r, text);
    }
}

/* Against the C library's calendar, a prime number of milliseconds at a time over all the years
 * that there are. */
static void instants_agree_with_the_calendar_of_the_c_library(void **state)
{
    (void)state;
    for (int64_t ms = -62167219200000; ms <= 253402300799999; ms += 9999999967) {
        char text[UNITS_INSTANT_BYTES];
        char expected[64];
        struct tm parts;
        int64_t second = (ms >= 0 ? ms : ms - 999) / 1000;
        time_t seconds = (time_t)second;
        assert_non_null(gmtime_r(&seconds, &parts));
        int length = snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                              parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday, parts.tm_hour,
                              parts.tm_min, parts.tm_sec, (int)(ms - second * 1000));

        assert_int_equal(units_instant_text(ms, text), length);
        assert_string_equal(text, expected);
        int64_t again = 0;
        assert_int_equal(units_instant(text, &again), 0);
        assert_int_equal(again, ms);
    }
}

static void instants_beyond_four_digits_of_years_are_held_at_the_end(void **state)
{
    (void)state;
    char text[UNITS_INSTANT_BYTES];

    units_instant_text(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999Z");
    units_instant_text(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000Z");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(durations_are_parsed),
        cmocka_unit_test(durations_have_a_shortest_text_that_parses_to_the_same),
        cmocka_unit_test(rates_are_parsed),
        cmocka_unit_test(sizes_are_parsed),
        cmocka_unit_test(sizes_have_a_shortest_text_that_parses_to_the_same),
        cmocka_unit_test(numbers_are_digits_up_to_a_limit),
        cmocka_unit_test(instants_are_parsed),
        cmocka_unit_test(instants_agree_with_the_calendar_of_the_c_library),
        cmocka_unit_test(instants_beyond_four_digits_of_years_are_held_at_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
