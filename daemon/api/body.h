/** \file JSON bodies, whole ones and single lines: looked at by scan.h, parsed by jansson, with the
 * place of what is wrong. */
#ifndef API_BODY_H
#define API_BODY_H

#include <jansson.h>

#include "api/core.h"
#include "api/scan.h"

/** Where and what is wrong with JSON text. */
struct body_fault {
    size_t offset;
    char text[256];
};

/** A value that was parsed. */
struct body_value {
    struct scan scan; // offsets into the text that it stood in
    json_t *value;
};

/** Where a value stands in a text. */
struct body_text {
    const char *text;
    size_t from, to;
    unsigned depth_max; // of brackets in it
};

/**
 * Parses one JSON value of any sort. The memory of its tree is charged to the request until
 * body_done.
 *
 * **Errors:** -EBADMSG: not JSON, ret_fault says why (its offset is into the text); -ENOMEM: no
 * memory, or no more that requests may take; -EMSGSIZE: its tree alone would take more than that.
 */
int body_parse(struct request *request, const struct body_text *place, struct body_value *ret_value,
               struct body_fault *ret_fault) RN_MUST_CHECK;
/** Fills ret_fault for a value that is nested too deeply; returns -EBADMSG. */
int body_too_deep(const struct request *request, size_t offset, struct body_fault *ret_fault);
/** Frees the value and gives back its charge. */
void body_done(struct request *request, struct body_value *value);

/** The body of a call that takes an object or nothing (then an empty object). NULL: answered. Freed
 * with json_decref. */
json_t *body_object(struct request *request, enum problem problem);

/** Answers invalid-json with line and column. */
void body_problem(struct request *request, const char *text, const struct body_fault *fault);

#endif
