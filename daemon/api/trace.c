/* The caller's place in a trace. */
#include "api/trace.h"

#include <microhttpd.h>
#include <string.h>
#include <strings.h>

enum {
    TRACE_LENGTH = RECORD_TRACE_BYTES - 1,
    VERSION_DIGITS = 2,
    ID_AT = 3,
    ID_DIGITS = 32,
    PARENT_AT = 36,
    PARENT_DIGITS = 16,
    FLAGS_AT = 53,
    FLAGS_DIGITS = 2,
};

/* Lower case alone, as the specification has it. */
static bool is_hex(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_digit = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
        if (!is_digit)
            return false;
    }
    return true;
}

static bool is_zero(const char *text, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (text[i] != '0')
            return false;
    }
    return true;
}

int trace_parse(const char *value, size_t length, char ret_traceparent[RECORD_TRACE_BYTES])
{
    ret_traceparent[0] = '\0';
    if (length < TRACE_LENGTH || !is_hex(value, VERSION_DIGITS) || memcmp(value, "ff", 2) == 0)
        return -EINVAL;
    bool is_known = memcmp(value, "00", 2) == 0;
    if (length > TRACE_LENGTH && (is_known || value[TRACE_LENGTH] != '-'))
        return -EINVAL;
    if (value[ID_AT - 1] != '-' || !is_hex(value + ID_AT, ID_DIGITS) ||
        is_zero(value + ID_AT, ID_DIGITS))
        return -EINVAL;
    if (value[PARENT_AT - 1] != '-' || !is_hex(value + PARENT_AT, PARENT_DIGITS) ||
        is_zero(value + PARENT_AT, PARENT_DIGITS))
        return -EINVAL;
    if (value[FLAGS_AT - 1] != '-' || !is_hex(value + FLAGS_AT, FLAGS_DIGITS))
        return -EINVAL;
    memcpy(ret_traceparent, value, TRACE_LENGTH);
    ret_traceparent[TRACE_LENGTH] = '\0';
    if (!is_known)
        memcpy(ret_traceparent, "00", 2);
    return 0;
}

struct found {
    const char *value; // of the first
    size_t length;
    unsigned count;
};

static enum MHD_Result look(void *arg, enum MHD_ValueKind kind, const char *name,
                            size_t name_length, const char *value, size_t length)
{
    static const char wanted[] = "traceparent";
    struct found *found = arg;

    (void)kind;
    if (name_length != sizeof(wanted) - 1 || strncasecmp(name, wanted, name_length) != 0)
        return MHD_YES;
    if (found->count++ == 0) {
        found->value = value;
        found->length = value == NULL ? 0 : length;
    }
    return MHD_YES;
}

void trace_of_request(const struct request *request, char ret_traceparent[RECORD_TRACE_BYTES])
{
    struct found found = {.count = 0};

    ret_traceparent[0] = '\0';
    (void)MHD_get_connection_values_n(request->mhd, MHD_HEADER_KIND, look, &found);
    if (found.count != 1 || found.value == NULL)
        return;
    while (found.length > 0 && strchr(" \t", found.value[found.length - 1]) != NULL)
        found.length--; // white space behind a value is not of it
    (void)!trace_parse(found.value, found.length, ret_traceparent); // "" then
}
