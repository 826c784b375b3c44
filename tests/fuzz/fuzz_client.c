/* What the client reads from the daemon and prints to a terminal: no text has a command to the
 * terminal left in it, tables keep to the width, and members are found in an answer as they stand
 * there. Two parts: a text, and JSON. */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <jansson.h>

#include "cli/format.h"
#include "cli/http.h"
#include "cli/raw.h"
#include "cli/table.h"
#include "cli/text.h"
#include "cli/values.h"
#include "fuzz.h"

enum { WIDTH_MAX = 100 };

/* By the C library's own decoder: valid UTF-8, and nothing that a terminal does something at. */
static void is_harmless(const char *text, size_t length)
{
    mbstate_t state = {0};

    for (size_t i = 0; i < length;) {
        wchar_t wide = 0;
        size_t count = mbrtowc(&wide, text + i, length - i, &state);
        HOLDS(count != (size_t)-1 && count != (size_t)-2);
        HOLDS(count > 0); // no NUL
        HOLDS(wide >= ' ' && (wide < 0x7f || wide >= 0xa0));
        HOLDS(wide < 0x202a || wide > 0x202e);
        HOLDS(wide < 0x2066 || wide > 0x2069);
        i += count;
    }
}

static void a_safe_text_is_safe(const char *text, size_t length)
{
    char *safe = NULL;
    char *again = NULL;
    char *put = NULL;
    size_t put_length = 0;

    HOLDS(text_safe(text, length, "", &safe) == 0);
    is_harmless(safe, strlen(safe));
    HOLDS(text_safe(safe, strlen(safe), "", &again) == 0);
    HOLDS(strcmp(safe, again) == 0);
    for (size_t columns = 0; columns < 20; columns += 3) {
        HOLDS(text_fit(safe, columns) <= strlen(safe));
        FILE *out = open_memstream(&put, &put_length);
        HOLDS(out != NULL);
        text_put(out, safe, columns, length % 2 == 0);
        HOLDS(fclose(out) == 0);
        is_harmless(put, put_length);
        HOLDS(text_width(put) == columns);
        free(put);
    }
    free(safe);
    free(again);
}

/* The text's lines as cells. */
static void a_table_keeps_to_its_width(char *text, size_t length)
{
    static const struct table_column columns[] = {
        {"ID", true, 0, 0}, {"KIND", false, 5, 0}, {"NOTE", false, 6, 2}};
    struct table *table = NULL;
    char *printed = NULL;
    size_t printed_length = 0;
    size_t width = length % WIDTH_MAX;

    HOLDS(table_new(columns, 3, &table) == 0);
    for (char *rest = text; rest != NULL;) {
        char *cell = strsep(&rest, "\n");
        HOLDS(table_add(table, "1", TABLE_PLAIN) == 0);
        HOLDS(table_add(table, cell, TABLE_RED) == 0);
        HOLDS(table_add(table, cell, TABLE_PLAIN) == 0);
    }
    FILE *out = open_memstream(&printed, &printed_length);
    HOLDS(out != NULL);
    table_print(table, out, width, false);
    HOLDS(fclose(out) == 0);
    for (char *rest = printed; *rest != '\0';) {
        char *line = strsep(&rest, "\n");
        is_harmless(line, strlen(line));
        // The least that the columns need: two of the id, five of the kind, two between.
        if (width >= 9)
            HOLDS(text_width(line) <= width);
    }
    free(printed);
    table_free(table);
}

static void members_stand_as_they_are(const char *text, size_t length)
{
    const char *key = NULL;
    json_t *member = NULL;
    // The daemon writes no member twice.
    json_t *once = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    json_t *json = once != NULL ? json_from(text, length) : NULL;

    json_decref(once);
    json_object_foreach (json, key, member) {
        size_t found_length = 0;
        char *spelled = NULL;
        HOLDS(values_text(key, &spelled) == 0);
        // A key with an escape in it is none that the client looks for.
        bool is_plain = strlen(spelled) == strlen(key) + 2 && memchr(text, '\\', length) == NULL;
        free(spelled);
        const char *found = raw_member(text, length, key, &found_length);
        if (!is_plain)
            continue;
        HOLDS(found != NULL);
        HOLDS(found >= text && found + found_length <= text + length);
        json_t *alone = json_from(found, found_length);
        HOLDS(alone != NULL);
        HOLDS(json_equal(alone, member));
        json_decref(alone);
    }
    json_decref(json);
}

/* The lines are words behind a kind: name=value and name:=value. */
static void words_become_an_object(char *text)
{
    char *words[64];
    size_t count = 0;
    char *json = NULL;
    struct error error = {.code = 0};

    for (char *rest = text; rest != NULL && count < sizeof(words) / sizeof(words[0]);)
        words[count++] = strsep(&rest, "\n");
    int r = values_object(words, count, &json, &error);
    if (r < 0) {
        HOLDS(r == -EINVAL && error.text[0] != '\0');
        return;
    }
    json_t *object = json_from(json, strlen(json));
    HOLDS(json_is_object(object));
    HOLDS(json_object_size(object) == count);
    json_decref(object);
    free(json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_parts parts = fuzz_parts(data, size);
    size_t length = 0;
    static bool is_ready;

    if (!is_ready)
        HOLDS(setlocale(LC_CTYPE, "C.UTF-8") != NULL);
    is_ready = true;
    char *text = fuzz_next(&parts, &length);
    a_safe_text_is_safe(text, length);
    a_table_keeps_to_its_width(text, length);
    free(text);
    text = fuzz_next(&parts, &length);
    members_stand_as_they_are(text, length);
    words_become_an_object(text);
    free(text);
    return 0;
}
