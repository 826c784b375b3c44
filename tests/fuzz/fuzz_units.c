/* Numbers, lengths of time, rates, sizes and instants: what is read is in its range, and what is
 * written of it reads back as the same. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "config/config.h"
#include "config/units.h"
#include "fuzz.h"

static const rn_duration century = INT64_C(36525) * 24 * RN_HOUR;

static void a_length_comes_back(const char *text)
{
    char written[48];
    rn_duration length = -1;
    rn_duration again = -1;

    if (units_duration(text, &length) < 0)
        return;
    HOLDS(length >= 0 && length <= century);
    (void)units_duration_text(length, written, sizeof(written));
    HOLDS(units_duration(written, &again) == 0 && again == length);
}

static void a_size_comes_back(const char *text)
{
    char written[32];
    uint64_t bytes = 0;
    uint64_t again = 1;

    if (units_bytes(text, &bytes) < 0)
        return;
    (void)units_bytes_text(bytes, written, sizeof(written));
    HOLDS(units_bytes(written, &again) == 0 && again == bytes);
}

static void an_instant_comes_back(const char *text)
{
    char written[UNITS_INSTANT_BYTES];
    int64_t ms = 0;
    int64_t again = 1;

    if (units_instant(text, &ms) < 0)
        return;
    HOLDS(units_instant_text(ms, written) == strlen(written));
    // What an offset has moved out of the years 0000 to 9999 is written, and not read again.
    if (ms < INT64_C(-62167219200000) || ms >= INT64_C(253402300800000))
        return;
    HOLDS(units_instant(written, &again) == 0 && again == ms);
}

static void a_number_is_within_its_limit(const char *text)
{
    uint64_t number = 0;
    uint64_t larger = 0;

    if (units_unsigned(text, 1000, &number) < 0)
        return;
    HOLDS(number <= 1000);
    HOLDS(strspn(text, "0123456789") == strlen(text));
    HOLDS(units_unsigned(text, UINT64_MAX, &larger) == 0 && larger == number);
}

/* The beginning of a text where a placeholder stands, and its name, are the text. */
static void a_placeholder_is_a_part(const char *text)
{
    char name[CONFIG_NAME_MAX + 1];
    size_t before = 0;

    if (!config_placeholder(text, &before, name))
        return;
    HOLDS(strlen(text) == before + strlen(name) + 2);
    HOLDS(before == 0 || text[before - 1] == '=');
    HOLDS(text[before] == '{' && strncmp(text + before + 1, name, strlen(name)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"default", "mail", "checksum", NULL};
    char *text = fuzz_copy(data, size);
    double per_s = 0;

    a_length_comes_back(text);
    a_size_comes_back(text);
    an_instant_comes_back(text);
    a_number_is_within_its_limit(text);
    a_placeholder_is_a_part(text);
    if (units_rate(text, &per_s) == 0)
        HOLDS(isfinite(per_s) && per_s > 0 && per_s <= 1e6);
    if (config_name_valid(text))
        HOLDS(strlen(text) <= CONFIG_NAME_MAX && text[0] >= 'a' && text[0] <= 'z');
    const char *near = nearest_name(text, names);
    HOLDS(near == NULL || near == names[0] || near == names[1] || near == names[2]);
    free(text);
    return 0;
}
