/** \file JSON Schema, as much of it as the API's description uses: type, enum, const, minimum,
 * maximum, required, properties, additionalProperties false, items, allOf, oneOf, anyOf and $ref.
 */
#ifndef INTEGRATION_SCHEMA_H
#define INTEGRATION_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>

#include <jansson.h>

enum { SCHEMA_PLACE_BYTES = 512 };

/** One value that is held against one schema. */
struct schema_check {
    const json_t *document; // that $ref points into
    /** Called for each place of the schema that the value has shown to be used: a property, a word
     * of an enum, one of several types. NULL: nobody wants to know. */
    void (*seen_fn)(const char *place, void *arg);
    void *arg;
    char fault[1200]; // what is wrong, as a sentence; set where it does not fit
};

/** What a JSON pointer in a URI fragment ("#/components/…") points to; NULL: nothing. */
const json_t *schema_resolve(const json_t *document, const char *reference);
/** Goes on to where $ref points, if there is one, and says where that is. NULL: nowhere. */
const json_t *schema_follow(const json_t *document, const json_t *node,
                            char place[SCHEMA_PLACE_BYTES]);
/** Whether the value fits; place: how the schema is called. */
bool schema_fits(struct schema_check *check, const json_t *schema, const char *place,
                 const json_t *value);
/** Whether the schema has a type of this name: "string". */
bool schema_has_type(const json_t *schema, const char *type);

#endif
