/* The API's description against the tables that the API is made of: nothing is missing in it, and
 * nothing is too much. What answers look like the integration tests hold against it. */
#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/openapi.h"
#include "api/problem.h"
#include "api/request.h"
#include "api/routes.h"
#include "client.h"
#include "store/state.h"

static json_t *document;

static int load(void **state)
{
    size_t length = 0;
    const char *text = openapi_text(&length);
    json_error_t error;

    (void)state;
    document = json_loadb(text, length, JSON_REJECT_DUPLICATES, &error);
    if (document == NULL)
        print_error("openapi.json, line %d: %s\n", error.line, error.text);
    return document == NULL ? -1 : 0;
}

static int unload(void **state)
{
    (void)state;
    json_decref(document);
    return 0;
}

/* What a reference of the document points to ("#/components/…"), or the node itself. */
static json_t *follow(json_t *node)
{
    const char *reference = json_string_value(json_object_get(node, "$ref"));
    char name[80];

    if (reference == NULL)
        return node;
    node = document;
    while (node != NULL && *reference != '\0') {
        reference += strcspn(reference, "/") + 1;
        size_t length = strcspn(reference, "/");

        assert_true(length < sizeof(name));
        memcpy(name, reference, length);
        name[length] = '\0';
        node = json_object_get(node, name);
        reference += length;
    }
    return node;
}

static json_t *operation_of(const struct route *route)
{
    char method[16] = "";

    for (size_t i = 0; route->method[i] != '\0' && i + 1 < sizeof(method); i++)
        method[i] = (char)tolower((unsigned char)route->method[i]);
    json_t *operation =
        json_object_get(json_object_get(json_object_get(document, "paths"), route->path), method);
    if (operation == NULL)
        fail_msg("openapi.json has no %s %s", route->method, route->path);
    return operation;
}

static bool has_word(json_t *words, const char *word)
{
    size_t i = 0;
    json_t *one = NULL;

    json_array_foreach (words, i, one) {
        if (strcmp(json_string_value(one), word) == 0)
            return true;
    }
    return false;
}

static json_t *words_of(const char *schema)
{
    json_t *components = json_object_get(document, "components");
    json_t *words =
        json_object_get(json_object_get(json_object_get(components, "schemas"), schema), "enum");

    assert_non_null(words);
    return words;
}

/* ---- routes ---- */

static void each_route_is_described_and_no_other(void **state)
{
    size_t count = 0;
    const char *path = NULL;
    json_t *methods = NULL;

    (void)state;
    for (size_t i = 0; i < routes_count(); i++)
        (void)operation_of(routes_at(i));
    json_object_foreach (json_object_get(document, "paths"), path, methods)
        count += json_object_size(methods);
    assert_int_equal(count, routes_count());
}

/* Of `in`: whether the operation has a parameter of this name; how many it has. */
static bool has_parameter(json_t *operation, const char *in, const char *name, size_t *ret_count)
{
    size_t i = 0;
    bool has = false;
    json_t *one = NULL;

    *ret_count = 0;
    json_array_foreach (json_object_get(operation, "parameters"), i, one) {
        json_t *parameter = follow(one);

        assert_non_null(parameter);
        if (strcmp(json_string_value(json_object_get(parameter, "in")), in) != 0)
            continue;
        (*ret_count)++;
        has = has || strcmp(json_string_value(json_object_get(parameter, "name")), name) == 0;
    }
    return has;
}

static void each_route_has_the_parameters_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        json_t *operation = operation_of(route);
        const char *part = strchr(route->path, '{');
        size_t wanted = 0, count = 0;

        for (unsigned p = 0; p < PARAMETER_COUNT; p++) {
            const char *name = parameter_name((enum parameter)p);
            bool takes = (route->parameters & (1U << p)) != 0;

            wanted += takes;
            if (has_parameter(operation, "query", name, &count) != takes)
                fail_msg("%s %s: the parameter %s", route->method, route->path, name);
        }
        (void)has_parameter(operation, "query", "", &count);
        assert_int_equal(count, wanted);
        const char *name = part == NULL ? "" : strncmp(part, "{id}", 4) == 0 ? "id" : "name";
        assert_int_equal(has_parameter(operation, "path", name, &count), part != NULL);
        assert_int_equal(count, part != NULL);
    }
}

static const char *scope_of(enum access_need need)
{
    switch (need) {
    case ACCESS_SUBMIT:
        return "submit";
    case ACCESS_READ:
    case ACCESS_READ_WHOLE:
        return "read";
    case ACCESS_TOKEN:
        return NULL;
    default:
        return "admin";
    }
}

static void each_route_names_the_scope_that_it_needs(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        json_t *security = json_object_get(operation_of(route), "security");
        const char *scope = scope_of(route->access);

        assert_true(json_is_array(security));
        if (route->access == ACCESS_PUBLIC) {
            assert_int_equal(json_array_size(security), 0);
            continue;
        }
        json_t *scopes = json_object_get(json_array_get(security, 0), "bearer");
        assert_int_equal(json_array_size(scopes), scope != NULL);
        if (scope != NULL && !has_word(scopes, scope))
            fail_msg("%s %s: the scope %s", route->method, route->path, scope);
    }
}

/* What the gate answers before a route has its turn. */
static void each_route_has_the_statuses_of_the_gate(void **state)
{
    static const struct {
        const char *status;
        bool of_body, of_token; // only of routes that take one
    } statuses[] = {{"400", false, false}, {"401", false, true},  {"403", false, false},
                    {"408", true, false},  {"413", true, false},  {"414", false, false},
                    {"415", true, false},  {"429", false, true},  {"431", false, false},
                    {"500", false, false}, {"503", false, false}, {"507", true, false}};

    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        json_t *responses = json_object_get(operation_of(route), "responses");

        for (size_t s = 0; s < sizeof(statuses) / sizeof(statuses[0]); s++) {
            bool is_wanted = (!statuses[s].of_body || route->body != ROUTE_NO_BODY) &&
                             (!statuses[s].of_token || route->access != ACCESS_PUBLIC);
            if (is_wanted && json_object_get(responses, statuses[s].status) == NULL)
                fail_msg("%s %s: status %s", route->method, route->path, statuses[s].status);
        }
    }
}

static void each_body_is_described_where_one_is_taken(void **state)
{
    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);
        json_t *body = json_object_get(operation_of(route), "requestBody");
        json_t *content = json_object_get(body, "content");

        assert_int_equal(body != NULL, route->body != ROUTE_NO_BODY);
        assert_int_equal(json_object_get(content, "application/json") != NULL,
                         route->body == ROUTE_SMALL_BODY || route->body == ROUTE_TASKS);
        assert_int_equal(json_object_get(content, "application/x-ndjson") != NULL,
                         route->body == ROUTE_LINES || route->body == ROUTE_TASKS);
    }
}

/* ---- problems ---- */

static void each_problem_is_a_word_and_no_other(void **state)
{
    json_t *words = words_of("Code");

    (void)state;
    assert_int_equal(json_array_size(words), PROBLEM_COUNT);
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_row *row = problem_row((enum problem)i);

        if (!has_word(words, row->code))
            fail_msg("openapi.json does not have the problem %s", row->code);
        assert_true(strlen(row->title) > 0 && strlen(row->page) > 20);
    }
}

/* Notes the codes of a problem's response, of which each has this status in the table. */
static void take_codes(json_t *response, const char *status, bool found[PROBLEM_COUNT])
{
    json_t *media =
        json_object_get(json_object_get(response, "content"), "application/problem+json");
    json_t *narrowed = json_object_get(
        json_array_get(json_object_get(json_object_get(media, "schema"), "allOf"), 1),
        "properties");
    json_t *codes = json_object_get(json_object_get(narrowed, "code"), "enum");
    json_int_t stated =
        json_integer_value(json_object_get(json_object_get(narrowed, "status"), "const"));
    size_t i = 0;
    json_t *code = NULL;

    assert_true(json_array_size(codes) > 0);
    json_array_foreach (codes, i, code) {
        const struct problem_row *row = problem_find(json_string_value(code));
        char text[16];

        assert_non_null(row);
        (void)snprintf(text, sizeof(text), "%u", row->status);
        if (status != NULL)
            assert_string_equal(text, status);
        assert_int_equal(row->status, stated);
        for (unsigned p = 0; p < PROBLEM_COUNT; p++)
            found[p] = found[p] || problem_row((enum problem)p) == row;
    }
}

static void each_problem_stands_where_its_status_does(void **state)
{
    bool found[PROBLEM_COUNT] = {false};
    json_t *responses = json_object_get(json_object_get(document, "components"), "responses");
    const char *name = NULL;
    json_t *one = NULL;

    (void)state;
    json_object_foreach (responses, name, one)
        take_codes(one, NULL, found);
    for (size_t i = 0; i < routes_count(); i++) {
        json_object_foreach (json_object_get(operation_of(routes_at(i)), "responses"), name, one) {
            json_t *response = follow(one);

            assert_non_null(response);
            if (name[0] >= '4')
                take_codes(response, name, found);
        }
    }
    for (unsigned p = 0; p < PROBLEM_COUNT; p++) {
        if (!found[p])
            fail_msg("no response has the problem %s", problem_row((enum problem)p)->code);
    }
}

static void each_problem_has_its_page_and_stands_in_the_list(void **state)
{
    struct rig *rig = *state;
    struct reply list = request(rig, "GET", "/problems", NULL, NULL);
    json_t *problems = json_object_get(list.json, "problems");

    assert_int_equal(list.status, 200);
    assert_int_equal(json_array_size(problems), PROBLEM_COUNT);
    for (unsigned i = 0; i < PROBLEM_COUNT; i++) {
        const struct problem_row *row = problem_row((enum problem)i);
        json_t *problem = json_array_get(problems, i);
        const char *path = json_string_value(json_object_get(problem, "type"));

        assert_string_equal(json_string_value(json_object_get(problem, "code")), row->code);
        assert_string_equal(json_string_value(json_object_get(problem, "title")), row->title);
        assert_int_equal(json_integer_value(json_object_get(problem, "status")), row->status);
        struct reply page = request(rig, "GET", path, NULL, NULL);
        assert_int_equal(page.status, 200);
        assert_non_null(strstr(page.body, row->code));
        assert_non_null(strstr(page.body, row->title));
        assert_non_null(strstr(page.body, row->page));
        reply_fini(&page);
    }
    reply_fini(&list);
}

/* ---- the rest ---- */

static void each_state_is_a_word_and_no_other(void **state)
{
    (void)state;
    assert_int_equal(json_array_size(words_of("State")), TASK_STATE_COUNT);
    for (unsigned i = 0; i < TASK_STATE_COUNT; i++)
        assert_true(has_word(words_of("State"), task_state_name((enum task_state)i)));
}

static bool says_something(json_t *node)
{
    const char *text = json_string_value(json_object_get(node, "description"));

    return json_object_get(node, "$ref") != NULL || (text != NULL && text[0] != '\0');
}

/* Of a schema and all that is in it. */
static void look_for_descriptions(const char *name, json_t *schema)
{
    static const char *const several[] = {"allOf", "anyOf", "oneOf"};
    const char *field = NULL;
    json_t *one = NULL;
    size_t i = 0;

    json_object_foreach (json_object_get(schema, "properties"), field, one) {
        if (!says_something(one))
            fail_msg("openapi.json, %s: the field %s has no description", name, field);
        look_for_descriptions(name, one);
    }
    if (json_object_get(schema, "items") != NULL)
        look_for_descriptions(name, json_object_get(schema, "items"));
    for (size_t s = 0; s < sizeof(several) / sizeof(several[0]); s++) {
        json_array_foreach (json_object_get(schema, several[s]), i, one)
            look_for_descriptions(name, one);
    }
}

static void each_field_parameter_and_status_has_a_description(void **state)
{
    static const char *const sorts[] = {"parameters", "headers", "responses", "schemas"};
    json_t *components = json_object_get(document, "components");
    const char *name = NULL;
    json_t *one = NULL;
    size_t p = 0;

    (void)state;
    for (size_t s = 0; s < sizeof(sorts) / sizeof(sorts[0]); s++) {
        json_object_foreach (json_object_get(components, sorts[s]), name, one) {
            if (!says_something(one))
                fail_msg("openapi.json, %s: %s has no description", sorts[s], name);
            look_for_descriptions(name, one);
        }
    }
    for (size_t i = 0; i < routes_count(); i++) {
        json_t *operation = operation_of(routes_at(i));

        json_array_foreach (json_object_get(operation, "parameters"), p, one)
            assert_true(says_something(one));
        json_object_foreach (json_object_get(operation, "responses"), name, one)
            assert_true(says_something(one));
    }
}

/* Every answer that has a body has a schema and an example of it. */
static void each_answer_has_an_example(void **state)
{
    const char *status = NULL, *media = NULL;
    json_t *one = NULL, *content = NULL;

    (void)state;
    for (size_t i = 0; i < routes_count(); i++) {
        const struct route *route = routes_at(i);

        json_object_foreach (json_object_get(operation_of(route), "responses"), status, one) {
            json_object_foreach (json_object_get(follow(one), "content"), media, content) {
                if (json_object_get(content, "schema") == NULL ||
                    (json_object_get(content, "example") == NULL &&
                     json_object_get(content, "examples") == NULL))
                    fail_msg("%s %s, status %s: no example", route->method, route->path, status);
            }
        }
    }
}

static void it_is_served_as_it_is_and_has_the_daemons_version(void **state)
{
    struct rig *rig = *state;
    size_t length = 0;
    const char *text = openapi_text(&length);
    struct reply served = request(rig, "GET", "/openapi.json", NULL, NULL);
    struct reply root = request(rig, "GET", "/", NULL, NULL);
    json_t *info = json_object_get(document, "info");

    assert_int_equal(served.status, 200);
    assert_int_equal(served.body_bytes, length);
    assert_memory_equal(served.body, text, length);
    char *type = reply_field(&served, "Content-Type");
    assert_string_equal(type, "application/json");
    free(type);
    assert_string_equal(json_string_value(json_object_get(document, "openapi")), "3.1.0");
    assert_string_equal(json_string_value(json_object_get(info, "version")),
                        json_text_at(&root, "version"));
    reply_fini(&served);
    reply_fini(&root);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_route_is_described_and_no_other),
        cmocka_unit_test(each_route_has_the_parameters_of_the_table),
        cmocka_unit_test(each_route_names_the_scope_that_it_needs),
        cmocka_unit_test(each_route_has_the_statuses_of_the_gate),
        cmocka_unit_test(each_body_is_described_where_one_is_taken),
        cmocka_unit_test(each_problem_is_a_word_and_no_other),
        cmocka_unit_test(each_problem_stands_where_its_status_does),
        WITH_SERVER(each_problem_has_its_page_and_stands_in_the_list),
        cmocka_unit_test(each_state_is_a_word_and_no_other),
        cmocka_unit_test(each_field_parameter_and_status_has_a_description),
        cmocka_unit_test(each_answer_has_an_example),
        WITH_SERVER(it_is_served_as_it_is_and_has_the_daemons_version),
    };
    return cmocka_run_group_tests(tests, load, unload);
}
