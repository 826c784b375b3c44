/* traceparent: what is taken is what a strict reading of W3C's Trace Context, 3.2, takes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/trace.h"
#include "fuzz.h"

/* `count` hexadecimal digits of lower case, and a hyphen or the end behind them. */
static bool is_part(const char **at, const char *end, size_t count, bool may_be_zero)
{
    bool has_other = may_be_zero;

    if ((size_t)(end - *at) < count)
        return false;
    for (size_t i = 0; i < count; i++, (*at)++) {
        if (**at == '\0' || strchr("0123456789abcdef", **at) == NULL)
            return false;
        has_other = has_other || **at != '0';
    }
    return has_other;
}

static bool is_hyphen(const char **at, const char *end)
{
    return *at < end && *(*at)++ == '-';
}

static bool is_strict(const char *value, size_t length)
{
    const char *end = value + length;
    const char *at = value;

    if (!is_part(&at, end, 2, true) || !is_hyphen(&at, end) || !is_part(&at, end, 32, false) ||
        !is_hyphen(&at, end) || !is_part(&at, end, 16, false) || !is_hyphen(&at, end) ||
        !is_part(&at, end, 2, true) || strncmp(value, "ff", 2) == 0)
        return false;
    return at == end || (*at == '-' && strncmp(value, "00", 2) != 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *value = fuzz_copy(data, size);
    char kept[RECORD_TRACE_BYTES];
    char again[RECORD_TRACE_BYTES];

    int r = trace_parse(value, size, kept);
    HOLDS(r == (is_strict(value, size) ? 0 : -EINVAL));
    if (r == 0) {
        HOLDS(strlen(kept) == RECORD_TRACE_BYTES - 1);
        HOLDS(memcmp(kept + 2, value + 2, RECORD_TRACE_BYTES - 3) == 0);
        HOLDS(trace_parse(kept, strlen(kept), again) == 0 && strcmp(kept, again) == 0);
    } else {
        HOLDS(kept[0] == '\0');
    }
    free(value);
    return 0;
}
