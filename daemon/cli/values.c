/* JSON goes through as it was typed: a number keeps all its digits. */
#include "cli/values.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "cli/http.h"
#include "config/units.h"

bool values_is_json(const char *text, size_t length)
{
    // Whether an integer is too large for the daemon is for the daemon to say. One that no real can
    // hold either would keep what stands behind it from being looked at.
    json_t *json = json_from(text, length);
    bool is_json = json != NULL;

    json_decref(json);
    return is_json;
}

int values_text(const char *text, char **ret_json)
{
    json_t *string = json_string(text);

    if (string == NULL)
        return -EINVAL;
    char *json = json_dumps(string, JSON_ENCODE_ANY);
    json_decref(string);
    if (json == NULL)
        return -ENOMEM;
    *ret_json = json;
    return 0;
}

static int put_text(FILE *out, const char *text, struct error *reterr)
{
    char *json = NULL;
    int r = values_text(text, &json);

    if (r == -EINVAL)
        return error_set(reterr, r, "a value is not UTF-8");
    if (r < 0)
        return error_set(reterr, r, "out of memory");
    fputs(json, out);
    free(json);
    return 0;
}

/* How long the name at the front of a word is; 0: it has none. */
static size_t name_length(const char *word)
{
    size_t length = strcspn(word, "=");

    if (word[length] == '\0')
        return 0;
    return length > 0 && word[length - 1] == ':' ? length - 1 : length;
}

static int put_member(FILE *out, const char *word, struct error *reterr)
{
    size_t length = name_length(word);
    bool is_json = word[length] == ':';
    const char *value = word + length + 1 + is_json;

    char *name = strndup(word, length);
    if (name == NULL)
        return error_set(reterr, -ENOMEM, "out of memory");
    int r = put_text(out, name, reterr);
    free(name);
    if (r < 0)
        return r;
    (void)fputc(':', out);
    if (!is_json)
        return put_text(out, value, reterr);
    if (!values_is_json(value, strlen(value)))
        return error_set(reterr, -EINVAL, "'%s': what stands after := is no JSON; use = for a text",
                         word);
    fputs(value, out);
    return 0;
}

static int check_name(char *const *words, size_t index, struct error *reterr)
{
    size_t length = name_length(words[index]);

    if (length == 0)
        return error_set(reterr, -EINVAL,
                         "'%s' is no name=value (a text) and no name:=value (JSON)", words[index]);
    for (size_t i = 0; i < index; i++) {
        if (name_length(words[i]) == length && strncmp(words[i], words[index], length) == 0)
            return error_set(reterr, -EINVAL, "%.*s is there twice", (int)length, words[index]);
    }
    return 0;
}

int values_object(char *const *words, size_t count, char **ret_json, struct error *reterr)
{
    RN_ASSERT(words != NULL || count == 0);
    char *json = NULL;
    size_t length = 0;
    int r = 0;

    FILE *out = open_memstream(&json, &length);
    if (out == NULL)
        return error_set(reterr, -ENOMEM, "out of memory");
    (void)fputc('{', out);
    for (size_t i = 0; r == 0 && i < count; i++) {
        (void)fputs(i > 0 ? "," : "", out);
        r = check_name(words, i, reterr);
        if (r == 0)
            r = put_member(out, words[i], reterr);
    }
    (void)fputc('}', out);
    if (fclose(out) != 0 && r == 0)
        r = error_set(reterr, -ENOMEM, "out of memory");
    if (r < 0) {
        free(json);
        return r;
    }
    *ret_json = json;
    return 0;
}

int values_instant(const char *word, int64_t now_ms, char *text)
{
    enum { TOMORROW = 1 };
    time_t now_s = (time_t)(now_ms / 1000);
    struct tm broken;
    int64_t ms = 0;

    if (units_instant(word, &ms) == 0) {
        (void)units_instant_text(ms, text);
        return 0;
    }
    if (localtime_r(&now_s, &broken) == NULL)
        return -EINVAL;
    broken.tm_sec = 0;
    broken.tm_isdst = -1;
    struct tm today = broken;
    const char *end = strptime(word, "%Y-%m-%d %H:%M", &broken);
    bool is_time_alone = end == NULL;
    if (is_time_alone) {
        broken = today; // what the first try has filled is gone
        end = strptime(word, "%H:%M", &broken);
    }
    if (end != NULL && end[0] == ':')
        end = strptime(end, ":%S", &broken);
    if (end == NULL || end[0] != '\0')
        return -EINVAL;
    struct tm next = broken;
    time_t instant_s = mktime(&broken);
    if (is_time_alone && instant_s <= now_s) {
        next.tm_mday += TOMORROW;
        instant_s = mktime(&next);
    }
    if (instant_s == (time_t)-1)
        return -EINVAL;
    (void)units_instant_text((int64_t)instant_s * 1000, text);
    return 0;
}
