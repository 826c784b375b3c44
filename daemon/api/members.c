/* Members of the JSON objects that calls take. */
#include "api/members.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "config/config.h"
#include "config/units.h"

static const int64_t seconds_max = INT64_C(36500) * 24 * 3600;

void members_unknown(json_t *object, const char *base, const char *const *names,
                     struct faults *faults)
{
    const char *key = NULL;
    json_t *member = NULL;
    char pointer[200];

    json_object_foreach (object, key, member) {
        const char *const *name = names;
        while (*name != NULL && strcmp(*name, key) != 0)
            name++;
        if (*name != NULL)
            continue;
        size_t used = (size_t)snprintf(pointer, sizeof(pointer), "%s", base);
        (void)faults_pointer(key, pointer + used, sizeof(pointer) - used);
        const char *near = nearest_name(key, names);
        if (near != NULL)
            faults_add(faults, pointer, "unknown field: did you mean '%s'?", near);
        else
            faults_add(faults, pointer, "unknown field");
    }
}

int members_duration(json_t *value, int64_t *ret_ms)
{
    rn_duration length = 0;

    if (json_is_string(value)) {
        // A NUL can't be in it: jansson refuses it.
        if (units_duration(json_string_value(value), &length) < 0)
            return -EINVAL;
    } else if (json_is_integer(value)) {
        json_int_t seconds = json_integer_value(value);
        if (seconds < 0 || seconds > seconds_max)
            return -EINVAL;
        length = seconds * RN_SECOND;
    } else if (json_is_real(value)) {
        double seconds = json_real_value(value);
        if (!(seconds >= 0 && seconds <= (double)seconds_max))
            return -EINVAL;
        length = (rn_duration)llround(seconds * 1e6) * RN_MICROSECOND;
    } else {
        return -EINVAL;
    }
    // Rounded up: what is above 0 stays above 0.
    *ret_ms = (length + RN_MILLISECOND - 1) / RN_MILLISECOND;
    return 0;
}
