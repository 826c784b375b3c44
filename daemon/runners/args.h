/** \file What a runner reads from a task's args: one member as text, and the list of what is wrong
 * with them. */
#ifndef RUNNERS_ARGS_H
#define RUNNERS_ARGS_H

#include "runners/runner.h"

enum {
    ARGS_VALUE_MAX = 4096
}; // bytes of a value that becomes part of argv, or that a pattern is matched against

/** A task's args: the value, and where it is at hand the JSON text that it was parsed from. */
struct args {
    const json_t *json; // NULL: null
    const char *text;   // NULL: not at hand
    size_t bytes;
};

enum args_type { ARGS_MISSING, ARGS_SCALAR, ARGS_OTHER };

/** A member as text. bytes is borrowed from args or lies in number; not NUL-terminated. */
struct args_value {
    enum args_type type; // missing or null; string, number or boolean; array or object
    const char *bytes;
    size_t length;
    char number[40];
};

/** The member of that name. Numbers are spelled as in args->text where that is at hand. */
void args_value_get(const struct args *args, const char *name, struct args_value *ret_value);

/**
 * Where the value of a top-level member stands in the JSON text of an object: of two of the name,
 * which only an import brings, the last one, as jansson has it.
 *
 * @param text  valid JSON; anything else yields false or a part of it, never a read beyond bytes
 * @param name  letters, digits, '_' and '-' only
 * @return whether there is one
 */
bool args_member_text(const char *text, size_t bytes, const char *name, const char **ret_value,
                      size_t *ret_length);

/** Faults found so far: count goes on where no more fit. */
struct args_faults {
    struct args_fault *faults;
    size_t max;
    size_t count;
};

/** One more. name NULL: of args as a whole. */
void args_faults_add(struct args_faults *list, const char *name, const char *format, ...)
    RN_PRINTF(3, 4);

/** Whether args are an object or null; else that is a fault. */
bool args_are_object(const json_t *args, struct args_faults *list);

/** A fault for each member that is not in names (NULL-terminated), with the one that may have been
 * meant. */
void args_refuse_unknown(const json_t *args, const char *const *names, struct args_faults *list);

#endif
