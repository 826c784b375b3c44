/* After the integration tests: which routes, statuses, headers, media types, parameters, fields,
 * types and words of the API's description no test has seen. RUNNEL_SEEN names the folder where
 * their programs have left what they saw (tests/integration/description.h). What no test can reach
 * stands in unseen.txt, each with its reason. */
#include "unit.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "api/openapi.h"
#include "schema.h"

enum { LINE_BYTES = 1024 };

static json_t *document;
static json_t *claims; // sets: the keys of objects
static json_t *seen;
static json_t *excused; // place: reason

/* ---- what the description claims ---- */

/* false: it was there already. */
static bool claim(const char *format, ...) __attribute__((format(printf, 1, 2)));

static bool claim(const char *format, ...)
{
    char place[LINE_BYTES];
    va_list list;

    va_start(list, format);
    int length = vsnprintf(place, sizeof(place), format, list);
    va_end(list);
    assert_in_range(length, 1, SCHEMA_PLACE_BYTES - 1);
    bool is_new = json_object_get(claims, place) == NULL;
    assert_int_equal(json_object_set_new(claims, place, json_true()), 0);
    return is_new;
}

static const json_t *follow(const json_t *node, char place[SCHEMA_PLACE_BYTES])
{
    const json_t *followed = schema_follow(document, node, place);

    if (followed == NULL)
        fail_msg("%s points to nothing", place);
    return followed;
}

/* The fields of a schema; of an answer's its types and words too. */
static void claim_schema(const json_t *schema, const char *given_place, bool of_answer)
{
    static const char *const several[] = {"allOf", "anyOf", "oneOf"};
    char place[SCHEMA_PLACE_BYTES], inner[SCHEMA_PLACE_BYTES + 128];
    json_t *types = NULL, *one = NULL;
    const char *name = NULL;
    size_t i = 0;

    (void)snprintf(place, sizeof(place), "%s", given_place);
    schema = follow(schema, place);
    types = json_object_get(schema, "type");
    if (json_is_array(types) && of_answer) {
        json_array_foreach (types, i, one)
            (void)claim("%s/type/%s", place, json_string_value(one));
    }
    json_array_foreach (json_object_get(schema, "enum"), i, one) {
        if (of_answer && json_is_string(one))
            (void)claim("%s/enum/%s", place, json_string_value(one));
    }
    json_object_foreach (json_object_get(schema, "properties"), name, one) {
        (void)snprintf(inner, sizeof(inner), "%s/properties/%s", place, name);
        (void)claim("%s", inner);
        claim_schema(one, inner, of_answer);
    }
    if (json_object_get(schema, "items") != NULL) {
        (void)snprintf(inner, sizeof(inner), "%s/items", place);
        claim_schema(json_object_get(schema, "items"), inner, of_answer);
    }
    for (size_t s = 0; s < sizeof(several) / sizeof(several[0]); s++) {
        json_array_foreach (json_object_get(schema, several[s]), i, one) {
            (void)snprintf(inner, sizeof(inner), "%s/%s/%zu", place, several[s], i);
            if (s > 0 && of_answer)
                (void)claim("%s", inner);
            claim_schema(one, inner, of_answer);
        }
    }
}

static void claim_response(const char *operation, const char *status, const json_t *given)
{
    char place[SCHEMA_PLACE_BYTES], inner[SCHEMA_PLACE_BYTES + 128];
    const char *name = NULL;
    json_t *one = NULL;

    (void)snprintf(place, sizeof(place), "%s %s", operation, status);
    const json_t *response = follow(given, place);
    if (!json_is_true(json_object_get(response, "x-shared")))
        (void)claim("%s %s", operation, status);
    (void)claim("%s", place);
    json_object_foreach (json_object_get(response, "headers"), name, one) {
        char header[SCHEMA_PLACE_BYTES];

        (void)snprintf(header, sizeof(header), "%.300s headers %.100s", place, name);
        (void)follow(one, header);
        (void)claim("%s", header);
    }
    json_object_foreach (json_object_get(response, "content"), name, one) {
        (void)snprintf(inner, sizeof(inner), "%s %s", place, name);
        if (claim("%s", inner))
            claim_schema(json_object_get(one, "schema"), inner, true);
    }
}

static void claim_operation(const char *operation, const json_t *described)
{
    char place[SCHEMA_PLACE_BYTES], inner[SCHEMA_PLACE_BYTES];
    const char *name = NULL;
    json_t *one = NULL;
    size_t i = 0;

    json_array_foreach (json_object_get(described, "parameters"), i, one) {
        const json_t *parameter = follow(one, place);
        const char *in = json_string_value(json_object_get(parameter, "in"));

        if (strcmp(in, "path") != 0)
            (void)claim("%s %s %s", operation, in,
                        json_string_value(json_object_get(parameter, "name")));
    }
    json_object_foreach (json_object_get(described, "responses"), name, one)
        claim_response(operation, name, one);
    const json_t *body = json_object_get(described, "requestBody");
    json_object_foreach (json_object_get(body, "content"), name, one) {
        (void)snprintf(inner, sizeof(inner), "%.200s takes %.100s", operation, name);
        (void)claim("%s", inner);
        claim_schema(json_object_get(one, "schema"), inner, false);
    }
}

static void claim_all(void)
{
    const char *path = NULL, *method = NULL;
    json_t *methods = NULL, *described = NULL;

    json_object_foreach (json_object_get(document, "paths"), path, methods) {
        json_object_foreach (methods, method, described) {
            char operation[SCHEMA_PLACE_BYTES];
            int length = snprintf(operation, sizeof(operation), "%s %s", method, path);

            assert_in_range(length, 1, sizeof(operation) - 1);
            for (char *c = operation; *c != ' '; c++)
                *c = (char)(*c & ~0x20);
            claim_operation(operation, described);
        }
    }
    // The one response that goes with no operation.
    json_t *other = json_pack("{s:s}", "$ref", "#/components/responses/MethodNotAllowed");
    assert_non_null(other);
    claim_response("any", "405", other);
    json_decref(other);
}

/* ---- what was seen ---- */

static void read_lines(const char *path, void (*take)(char *line))
{
    FILE *file = fopen(path, "re");
    char line[LINE_BYTES];

    if (file == NULL)
        fail_msg("%s cannot be read", path);
    while (fgets(line, sizeof(line), file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        take(line);
    }
    (void)fclose(file);
}

static void take_seen(char *line)
{
    assert_int_equal(json_object_set_new(seen, line, json_true()), 0);
}

static void take_excuse(char *line)
{
    char *reason = strstr(line, " | ");

    if ((line[0] == '#' && line[1] != '/') || line[0] == '\0')
        return;
    if (reason == NULL)
        fail_msg("unseen.txt: a line without ' | ' and a reason: %s", line);
    *reason = '\0';
    assert_int_equal(json_object_set_new(excused, line, json_string(reason + 3)), 0);
}

static size_t read_folder(const char *folder)
{
    DIR *entries = opendir(folder);
    const struct dirent *entry = NULL;
    size_t count = 0;
    char path[4096];

    if (entries == NULL)
        fail_msg("%s cannot be read", folder);
    while ((entry = readdir(entries)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
        read_lines(path, take_seen);
        count++;
    }
    (void)closedir(entries);
    return count;
}

/* ---- the tests ---- */

/* The excuse for a place: its own, or one of a beginning, which ends with a star. NULL: none. */
static const char *excuse_of(const char *place)
{
    const char *excuse = NULL;
    json_t *reason = NULL;

    json_object_foreach (excused, excuse, reason) {
        size_t length = strlen(excuse);

        if (strcmp(excuse, place) == 0 ||
            (excuse[length - 1] == '*' && strncmp(excuse, place, length - 1) == 0))
            return excuse;
    }
    return NULL;
}

static int setup(void **state)
{
    const char *folder = getenv("RUNNEL_SEEN");
    const char *excuses = getenv("RUNNEL_UNSEEN");
    size_t length = 0;
    const char *text = openapi_text(&length);

    (void)state;
    document = json_loadb(text, length, JSON_REJECT_DUPLICATES, NULL);
    claims = json_object();
    seen = json_object();
    excused = json_object();
    if (document == NULL || claims == NULL || seen == NULL || excused == NULL || folder == NULL ||
        excuses == NULL)
        return -1;
    claim_all();
    read_lines(excuses, take_excuse);
    return read_folder(folder) > 0 ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    json_decref(document);
    json_decref(claims);
    json_decref(seen);
    json_decref(excused);
    return 0;
}

static void all_that_is_described_was_seen(void **state)
{
    const char *place = NULL;
    json_t *ignored = NULL;
    size_t missing = 0;

    (void)state;
    json_object_foreach (claims, place, ignored) {
        if (json_object_get(seen, place) != NULL || excuse_of(place) != NULL)
            continue;
        print_message("never seen: %s\n", place);
        missing++;
    }
    print_message("%zu places are described, %zu were not seen\n", json_object_size(claims),
                  missing);
    if (missing > 0 && json_object_get(seen, "skipped") != NULL) {
        print_message("skipped: some tests were\n");
        skip();
    }
    assert_int_equal(missing, 0);
}

/* An excuse for what is not described (any more) is none. */
static void each_excuse_is_for_something_that_is_described(void **state)
{
    const char *place = NULL, *excuse = NULL;
    json_t *ignored = NULL;
    json_t *used = json_object();

    (void)state;
    json_object_foreach (claims, place, ignored) {
        excuse = excuse_of(place);
        if (excuse == NULL)
            continue;
        assert_int_equal(json_object_set_new(used, excuse, json_true()), 0);
        if (json_object_get(seen, place) != NULL)
            print_message("seen, though unseen.txt says that it can't be: %s\n", place);
    }
    json_object_foreach (excused, excuse, ignored) {
        if (json_object_get(used, excuse) == NULL)
            fail_msg("unseen.txt has a place that openapi.json does not have: %s", excuse);
    }
    json_decref(used);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_is_described_was_seen),
        cmocka_unit_test(each_excuse_is_for_something_that_is_described),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
