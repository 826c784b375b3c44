/* Numbers with units, from text and back. Written out by hand, digit by digit: the C library's
 * functions skip blanks, take signs and other bases, follow the locale, and say nothing of what
 * they left unread. */
#include "config/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static const rn_duration longest_duration = RN_HOUR * 24 * 36525; // 100 years

static const struct {
    const char *name;
    rn_duration length;
} duration_units[] = {
    {"d", 24 * RN_HOUR}, {"h", RN_HOUR}, {"m", RN_MINUTE}, {"s", RN_SECOND}, {"ms", RN_MILLISECOND},
};
enum { DURATION_UNIT_COUNT = sizeof(duration_units) / sizeof(duration_units[0]) };

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Reads the digits at *at and moves *at behind them. -EINVAL: there is none; -ERANGE: above max. */
static int read_number(const char **at, uint64_t max, uint64_t *ret_number)
{
    const char *next = *at;
    uint64_t number = 0;

    if (!is_digit(*next))
        return -EINVAL;
    for (; is_digit(*next); next++) {
        unsigned digit = (unsigned)(*next - '0');
        if (digit > max || number > (max - digit) / 10)
            return -ERANGE;
        number = number * 10 + digit;
    }
    *at = next;
    *ret_number = number;
    return 0;
}

int units_unsigned(const char *text, uint64_t max, uint64_t *ret_number)
{
    uint64_t number;

    RN_ASSERT(text != NULL);
    RN_ASSERT(ret_number != NULL);
    // Only digits, before it is said that there are too many of them.
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0')
        return -EINVAL;
    int r = read_number(&text, max, &number);
    if (r < 0)
        return r;
    *ret_number = number;
    return 0;
}

/* The index of the unit at *at, which is moved behind it; below 0: no unit. */
static int read_unit(const char **at)
{
    const char *start = *at;
    size_t length = strspn(start, "dhms");
    for (int i = 0; i < DURATION_UNIT_COUNT; i++) {
        if (strlen(duration_units[i].name) == length &&
            strncmp(start, duration_units[i].name, length) == 0) {
            *at = start + length;
            return i;
        }
    }
    return -1;
}

int units_duration(const char *text, rn_duration *ret_duration)
{
    rn_duration total = 0;
    int last_unit = -1;
    bool too_long = false;

    RN_ASSERT(text != NULL);
    RN_ASSERT(ret_duration != NULL);
    do {
        uint64_t number;
        int r = read_number(&text, (uint64_t)longest_duration, &number);
        if (r == -ERANGE) {
            number = 0;
            too_long = true;
            text += strspn(text, "0123456789");
        } else if (r < 0) {
            return r;
        }
        int unit = read_unit(&text);
        if (unit <= last_unit)
            return -EINVAL; // no unit, or out of order
        last_unit = unit;
        if (number > (uint64_t)((longest_duration - total) / duration_units[unit].length))
            too_long = true;
        else
            total += (rn_duration)number * duration_units[unit].length;
    } while (*text != '\0');

    if (too_long)
        return -ERANGE;
    *ret_duration = total;
    return 0;
}

const char *units_duration_text(rn_duration duration, char *text, size_t size)
{
    RN_ASSERT(text != NULL);
    RN_ASSERT(size >= 48);
    size_t length = 0;
    rn_duration rest = duration > 0 ? duration : 0;

    text[0] = '\0';
    for (int i = 0; i < DURATION_UNIT_COUNT; i++) {
        rn_duration number = rest / duration_units[i].length;
        rest %= duration_units[i].length;
        if (number > 0)
            length += (size_t)snprintf(text + length, size - length, "%lld%s", (long long)number,
                                       duration_units[i].name);
    }
    if (length == 0)
        memcpy(text, "0s", sizeof("0s"));
    return text;
}

int units_rate(const char *text, double *ret_per_s)
{
    enum { FRACTION_DIGITS_MAX = 9 };
    static const uint64_t whole_max =
        UINT64_C(1000000) * 3600; // a million a second, counted by the hour
    uint64_t whole;
    uint64_t fraction = 0;
    double scale = 1;

    RN_ASSERT(text != NULL);
    RN_ASSERT(ret_per_s != NULL);
    if (read_number(&text, whole_max, &whole) < 0)
        return -EINVAL;
    if (*text == '.') {
        text++;
        size_t digits = strspn(text, "0123456789");
        if (digits > FRACTION_DIGITS_MAX || read_number(&text, UINT64_MAX, &fraction) < 0)
            return -EINVAL;
        for (size_t i = 0; i < digits; i++)
            scale *= 10;
    }
    double seconds = strcmp(text, "/s") == 0   ? 1
                     : strcmp(text, "/m") == 0 ? 60
                     : strcmp(text, "/h") == 0 ? 3600
                                               : 0;
    if (seconds == 0)
        return -EINVAL;
    double per_s = ((double)whole + (double)fraction / scale) / seconds;
    if (per_s <= 0 || per_s > 1000000)
        return -EINVAL;
    *ret_per_s = per_s;
    return 0;
}

int units_bytes(const char *text, uint64_t *ret_bytes)
{
    static const struct {
        const char *name;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    uint64_t number;

    RN_ASSERT(text != NULL);
    RN_ASSERT(ret_bytes != NULL);
    const char *unit = text + strspn(text, "0123456789");
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) != 0)
            continue;
        int r = read_number(&text, UINT64_MAX >> units[i].shift, &number);
        if (r < 0)
            return r;
        *ret_bytes = number << units[i].shift;
        return 0;
    }
    return -EINVAL;
}

const char *units_bytes_text(uint64_t bytes, char *text, size_t size)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;

    while (unit < 3 && bytes > 0 && bytes % 1024 == 0) {
        bytes /= 1024;
        unit++;
    }
    snprintf(text, size, "%" PRIu64 "%s", bytes, units[unit]);
    return text;
}

/* Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, in eras
 * of 400 (Howard Hinnant, chrono-compatible low-level date algorithms). */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * 146097 + day_of_era - 719468;
}

struct date {
    int64_t year;
    unsigned month, day;
};

static struct date date_from_days(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t day_of_era = days - era * 146097;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t month_from_march = (5 * day_of_year + 2) / 153;
    unsigned month =
        (unsigned)(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
    return (struct date){
        .year = year_of_era + era * 400 + (month <= 2),
        .month = month,
        .day = (unsigned)(day_of_year - (153 * month_from_march + 2) / 5 + 1),
    };
}

/* Exactly count digits, as a number from least to most. */
static bool read_fixed(const char **at, int count, int least, int most, int *ret_number)
{
    int number = 0;
    for (int i = 0; i < count; i++) {
        if (!is_digit((*at)[i]))
            return false;
        number = number * 10 + ((*at)[i] - '0');
    }
    *at += count;
    *ret_number = number;
    return number >= least && number <= most;
}

static bool read_char(const char **at, const char *either)
{
    if (**at == '\0' || strchr(either, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

/* The milliseconds of ".123456", where there is one. */
static bool read_fraction(const char **at, int *ret_ms)
{
    int ms = 0;
    if (**at == '.') {
        (*at)++;
        if (!is_digit(**at))
            return false;
        for (int i = 0; is_digit(**at); i++, (*at)++)
            if (i < 3)
                ms += (**at - '0') * (i == 0 ? 100 : i == 1 ? 10 : 1);
    }
    *ret_ms = ms;
    return true;
}

/* "Z" or "+01:30", in minutes east of Greenwich. */
static bool read_offset(const char **at, int *ret_minutes)
{
    int hours;
    int minutes;

    if (read_char(at, "Zz")) {
        *ret_minutes = 0;
        return true;
    }
    int sign = **at == '-' ? -1 : 1;
    if (!read_char(at, "+-") || !read_fixed(at, 2, 0, 23, &hours) || !read_char(at, ":") ||
        !read_fixed(at, 2, 0, 59, &minutes))
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return true;
}

int units_instant(const char *text, int64_t *ret_ms)
{
    static const int month_days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int ms;
    int offset;

    RN_ASSERT(text != NULL);
    RN_ASSERT(ret_ms != NULL);
    if (!read_fixed(&text, 4, 0, 9999, &year) || !read_char(&text, "-") ||
        !read_fixed(&text, 2, 1, 12, &month) || !read_char(&text, "-") ||
        !read_fixed(&text, 2, 1, month_days[month - 1], &day) || !read_char(&text, "Tt"))
        return -EINVAL;
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if (month == 2 && day == 29 && !is_leap)
        return -EINVAL;
    // 60 is a leap second (RFC 3339, 5.7): the clock has none, so it is the next minute's first.
    if (!read_fixed(&text, 2, 0, 23, &hour) || !read_char(&text, ":") ||
        !read_fixed(&text, 2, 0, 59, &minute) || !read_char(&text, ":") ||
        !read_fixed(&text, 2, 0, 60, &second) || !read_fraction(&text, &ms) ||
        !read_offset(&text, &offset) || *text != '\0')
        return -EINVAL;

    int64_t hours = days_from_date(year, month, day) * 24 + hour;
    int64_t minutes = hours * 60 + minute - offset;
    *ret_ms = (minutes * 60 + second) * 1000 + ms;
    return 0;
}

static char *put_digits(char *at, unsigned number, int count)
{
    for (int i = count - 1; i >= 0; i--) {
        at[i] = (char)('0' + number % 10);
        number /= 10;
    }
    return at + count;
}

size_t units_instant_text(int64_t ms, char *text)
{
    static const int64_t day_ms = 86400000;
    static const int64_t first = -62167219200000; // 0000-01-01T00:00:00.000Z
    static const int64_t last =
        253402300799999; // 9999-12-31T23:59:59.999Z: RFC 3339 has years of four digits

    RN_ASSERT(text != NULL);
    ms = ms < first ? first : ms > last ? last : ms;
    int64_t days = (ms >= 0 ? ms : ms - (day_ms - 1)) / day_ms;
    unsigned rest = (unsigned)(ms - days * day_ms);
    struct date date = date_from_days(days);

    char *at = put_digits(text, (unsigned)date.year, 4);
    *at++ = '-';
    at = put_digits(at, date.month, 2);
    *at++ = '-';
    at = put_digits(at, date.day, 2);
    *at++ = 'T';
    at = put_digits(at, rest / 3600000, 2);
    *at++ = ':';
    at = put_digits(at, rest / 60000 % 60, 2);
    *at++ = ':';
    at = put_digits(at, rest / 1000 % 60, 2);
    *at++ = '.';
    at = put_digits(at, rest % 1000, 3);
    *at++ = 'Z';
    *at = '\0';
    return (size_t)(at - text);
}
