/* Values against schemas. */
#include "schema.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WHERE_BYTES = 200 };

/* Where a look stands: in the schema, and in the value. */
struct spot {
    char place[SCHEMA_PLACE_BYTES];
    char where[WHERE_BYTES];
};

static bool fits(struct schema_check *check, const json_t *schema, const struct spot *spot,
                 const json_t *value);

/* ---- pointers ---- */

const json_t *schema_resolve(const json_t *document, const char *reference)
{
    const json_t *here = document;
    char name[128];

    if (strncmp(reference, "#/", 2) != 0)
        return NULL;
    reference += 2;
    while (here != NULL && *reference != '\0') {
        size_t length = 0;

        for (; *reference != '\0' && *reference != '/'; reference++) {
            char c = *reference;

            if (c == '~' && reference[1] != '\0')
                c = *++reference == '1' ? '/' : '~';
            if (length + 1 < sizeof(name))
                name[length++] = c;
        }
        name[length] = '\0';
        reference += *reference == '/';
        here = json_is_array(here) ? json_array_get(here, strtoul(name, NULL, 10))
                                   : json_object_get(here, name);
    }
    return here;
}

const json_t *schema_follow(const json_t *document, const json_t *node,
                            char place[SCHEMA_PLACE_BYTES])
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));

    if (reference == NULL)
        return node;
    (void)snprintf(place, SCHEMA_PLACE_BYTES, "%s", reference);
    return schema_resolve(document, reference);
}

static void append(char *text, size_t size, const char *a, const char *b)
{
    size_t length = strlen(text);

    (void)snprintf(text + length, size - length, "%s%s", a, b);
}

/* ---- what is told ---- */

static void tell(const struct schema_check *check, const struct spot *spot, const char *sort,
                 const char *name)
{
    char place[SCHEMA_PLACE_BYTES];

    if (check->seen_fn == NULL)
        return;
    memcpy(place, spot->place, strlen(spot->place) + 1);
    append(place, sizeof(place), sort, name);
    check->seen_fn(place, check->arg);
}

static bool wrong(struct schema_check *check, const struct spot *spot, const char *what,
                  const char *name)
{
    (void)snprintf(check->fault, sizeof(check->fault), "%s%s %.100s%.300s (%s)",
                   spot->where[0] == '\0' ? "the whole" : "", spot->where, what, name, spot->place);
    return false;
}

/* ---- the keywords ---- */

static bool is_of(const json_t *value, const char *type)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
        return strcmp(type, "null") == 0;
    case JSON_TRUE:
    case JSON_FALSE:
        return strcmp(type, "boolean") == 0;
    case JSON_INTEGER:
        return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        return strcmp(type, "number") == 0;
    case JSON_STRING:
        return strcmp(type, "string") == 0;
    case JSON_ARRAY:
        return strcmp(type, "array") == 0;
    default:
        return strcmp(type, "object") == 0;
    }
}

static bool check_type(struct schema_check *check, const json_t *types, const struct spot *spot,
                       const json_t *value)
{
    const json_t *type = NULL;
    size_t i = 0;

    if (json_is_string(types))
        return is_of(value, json_string_value(types)) ||
               wrong(check, spot, "is not of type ", json_string_value(types));
    json_array_foreach (types, i, type) {
        if (is_of(value, json_string_value(type))) {
            tell(check, spot, "/type/", json_string_value(type));
            return true;
        }
    }
    return wrong(check, spot, "is of none of its types", "");
}

bool schema_has_type(const json_t *schema, const char *type)
{
    const json_t *types = json_object_get(schema, "type");
    const json_t *one = NULL;
    size_t i = 0;

    if (json_is_string(types))
        return strcmp(json_string_value(types), type) == 0;
    json_array_foreach (types, i, one) {
        if (strcmp(json_string_value(one), type) == 0)
            return true;
    }
    return false;
}

static bool check_words(struct schema_check *check, const json_t *words, const struct spot *spot,
                        const json_t *value)
{
    const json_t *word = NULL;
    size_t i = 0;

    json_array_foreach (words, i, word) {
        if (!json_equal(word, value))
            continue;
        if (json_is_string(word))
            tell(check, spot, "/enum/", json_string_value(word));
        return true;
    }
    return wrong(check, spot, "is none of the words of its enum: ",
                 json_is_string(value) ? json_string_value(value) : "no text");
}

static bool check_number(struct schema_check *check, const json_t *schema, const struct spot *spot,
                         const json_t *value)
{
    const json_t *least = json_object_get(schema, "minimum");
    const json_t *most = json_object_get(schema, "maximum");

    if (!json_is_number(value))
        return true;
    if (least != NULL && json_number_value(value) < json_number_value(least))
        return wrong(check, spot, "is below its minimum", "");
    if (most != NULL && json_number_value(value) > json_number_value(most))
        return wrong(check, spot, "is above its maximum", "");
    return true;
}

static bool check_object(struct schema_check *check, const json_t *schema, const struct spot *spot,
                         json_t *value)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *name = NULL;
    const char *key = NULL;
    json_t *member = NULL;
    size_t i = 0;

    if (!json_is_object(value))
        return true;
    json_array_foreach (json_object_get(schema, "required"), i, name) {
        if (json_object_get(value, json_string_value(name)) == NULL)
            return wrong(check, spot, "lacks ", json_string_value(name));
    }
    json_object_foreach (value, key, member) {
        const json_t *property = json_object_get(properties, key);
        struct spot inner = *spot;

        if (property == NULL && json_is_false(json_object_get(schema, "additionalProperties")))
            return wrong(check, spot, "has a member that the description does not have: ", key);
        if (property == NULL)
            continue;
        append(inner.place, sizeof(inner.place), "/properties/", key);
        append(inner.where, sizeof(inner.where), "/", key);
        tell(check, &inner, "", "");
        if (!fits(check, property, &inner, member))
            return false;
    }
    return true;
}

static bool check_array(struct schema_check *check, const json_t *items, const struct spot *spot,
                        const json_t *value)
{
    const json_t *element = NULL;
    size_t i = 0;

    json_array_foreach (value, i, element) {
        struct spot inner = *spot;
        char number[32];

        (void)snprintf(number, sizeof(number), "/%zu", i);
        append(inner.place, sizeof(inner.place), "/items", "");
        append(inner.where, sizeof(inner.where), number, "");
        if (!fits(check, items, &inner, element))
            return false;
    }
    return true;
}

/* allOf: each; anyOf and oneOf: the first that fits, and of oneOf no other. Only what fits is told.
 */
static bool check_several(struct schema_check *check, const json_t *schema, const char *keyword,
                          const struct spot *spot, const json_t *value)
{
    struct schema_check quiet = {.document = check->document}, first = quiet;
    const bool all = strcmp(keyword, "allOf") == 0;
    const json_t *one = NULL;
    size_t i = 0, fitting = 0;

    json_array_foreach (json_object_get(schema, keyword), i, one) {
        struct spot inner = *spot;
        char number[32];

        (void)snprintf(number, sizeof(number), "/%zu", i);
        append(inner.place, sizeof(inner.place), "/", keyword);
        append(inner.place, sizeof(inner.place), number, "");
        if (all && !fits(check, one, &inner, value))
            return false;
        if (all || !fits(i == 0 ? &first : &quiet, one, &inner, value))
            continue;
        if (fitting++ == 0) {
            tell(check, &inner, "", "");
            (void)fits(check, one, &inner, value);
        }
    }
    if (all)
        return true;
    if (fitting == 0)
        return wrong(check, spot, "fits none of several, not the first since ", first.fault);
    if (fitting > 1 && strcmp(keyword, "oneOf") == 0)
        return wrong(check, spot, "fits more than one of a oneOf", "");
    return true;
}

/* A keyword that is not looked at here would be one that nothing checks. */
static bool is_known(const char *keyword)
{
    static const char *const known[] = {
        "type",        "enum",
        "const",       "minimum",
        "maximum",     "required",
        "properties",  "items",
        "allOf",       "oneOf",
        "anyOf",       "format",
        "minItems",    "additionalProperties",
        "description", "title",
        "examples",    "maxItems",
        "default",
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcmp(keyword, known[i]) == 0)
            return true;
    }
    return false;
}

// The recursion is as deep as the description, whose schemas do not hold themselves.
static bool fits(struct schema_check *check, const json_t *schema, const struct spot *spot,
                 const json_t *value)
{
    static const char *const several[] = {"allOf", "anyOf", "oneOf"};
    struct spot here = *spot;
    const char *keyword = NULL;
    json_t *unused = NULL;

    schema = schema_follow(check->document, schema, here.place);
    if (schema == NULL)
        return wrong(check, &here, "has a $ref to nothing", "");
    json_t *object = (json_t *)(uintptr_t)schema;
    json_object_foreach (object, keyword, unused) {
        if (!is_known(keyword))
            return wrong(check, &here,
                         "has a schema with a keyword that the tests do not know: ", keyword);
    }
    const json_t *types = json_object_get(schema, "type");
    const json_t *words = json_object_get(schema, "enum");
    const json_t *constant = json_object_get(schema, "const");
    const json_t *items = json_object_get(schema, "items");

    if (types != NULL && !check_type(check, types, &here, value))
        return false;
    if (words != NULL && !check_words(check, words, &here, value))
        return false;
    if (constant != NULL && !json_equal(constant, value))
        return wrong(check, &here, "is not its const", "");
    if (!check_number(check, schema, &here, value) ||
        !check_object(check, schema, &here, (json_t *)(uintptr_t)value))
        return false;
    if (items != NULL && json_is_array(value) && !check_array(check, items, &here, value))
        return false;
    for (size_t i = 0; i < sizeof(several) / sizeof(several[0]); i++) {
        if (json_object_get(schema, several[i]) != NULL &&
            !check_several(check, schema, several[i], &here, value))
            return false;
    }
    return true;
}

bool schema_fits(struct schema_check *check, const json_t *schema, const char *place,
                 const json_t *value)
{
    struct spot spot = {.where = ""};

    (void)snprintf(spot.place, sizeof(spot.place), "%s", place);
    check->fault[0] = '\0';
    return fits(check, schema, &spot, value);
}
