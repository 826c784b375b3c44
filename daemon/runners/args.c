/*
 * Members of a task's args as text, and faults of args. Pure functions of their arguments.
 *
 * jansson keeps a number's value but not its spelling: 1.10 comes back as 1.1. A command is to get
 * what the submitter wrote, so the spelling is looked up in the JSON text, which the parser has
 * accepted before.
 */
#include "runners/args.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runners/output.h"

/* A place in JSON text; at == end: nothing is left. */
struct cursor {
    const char *at;
    const char *end;
};

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n';
}

static void skip_space(struct cursor *cursor)
{
    while (cursor->at < cursor->end && is_space(*cursor->at))
        cursor->at++;
}

static bool skip_byte(struct cursor *cursor, char byte)
{
    skip_space(cursor);
    if (cursor->at == cursor->end || *cursor->at != byte)
        return false;
    cursor->at++;
    return true;
}

/* Past a string whose opening quote is next; false: it has no end. */
static bool skip_string(struct cursor *cursor)
{
    cursor->at++;
    while (cursor->at < cursor->end) {
        char byte = *cursor->at++;
        if (byte == '"')
            return true;
        if (byte == '\\' && cursor->at < cursor->end)
            cursor->at++;
    }
    return false;
}

/* Past a value of any sort, by counting brackets: no recursion. */
static bool skip_value(struct cursor *cursor)
{
    size_t depth = 0;

    while (cursor->at < cursor->end) {
        char byte = *cursor->at;
        if (byte == '"') {
            if (!skip_string(cursor))
                return false;
        } else if (byte == '{' || byte == '[') {
            depth++;
            cursor->at++;
        } else if (byte == '}' || byte == ']') {
            if (depth == 0)
                return true; // the end of what the value stands in
            depth--;
            cursor->at++;
        } else if (depth == 0 && (byte == ',' || is_space(byte))) {
            return true;
        } else {
            cursor->at++;
            continue;
        }
        if (depth == 0)
            return true;
    }
    return true;
}

/* The character of `\u00XX` at four hexadecimal digits; -1: another one. */
static int escaped_ascii(const char *digits)
{
    int value = 0;

    for (int i = 0; i < 4; i++) {
        char digit = digits[i];
        int number = digit >= '0' && digit <= '9'   ? digit - '0'
                     : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
                     : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                                    : -1;
        if (number < 0)
            return -1;
        value = value * 16 + number;
    }
    return value < 0x80 ? value : -1;
}

/* Whether the inside of a JSON string spells name. Of the escapes only \u can stand for a character
 * of a name. */
static bool string_is(const char *inside, size_t bytes, const char *name)
{
    size_t i = 0;

    while (i < bytes && *name != '\0') {
        int character = (unsigned char)inside[i];
        if (character != '\\') {
            i++;
        } else {
            if (bytes - i < 6 || inside[i + 1] != 'u')
                return false;
            character = escaped_ascii(inside + i + 2);
            i += 6;
        }
        if (character != (unsigned char)*name++)
            return false;
    }
    return i == bytes && *name == '\0';
}

bool args_member_text(const char *text, size_t bytes, const char *name, const char **ret_value,
                      size_t *ret_length)
{
    struct cursor cursor = {text, text + bytes};
    bool is_found = false;

    if (!skip_byte(&cursor, '{'))
        return false;
    do {
        skip_space(&cursor);
        if (cursor.at == cursor.end || *cursor.at != '"')
            return false;
        const char *key = cursor.at + 1;
        if (!skip_string(&cursor))
            return false;
        size_t key_bytes = (size_t)(cursor.at - 1 - key);
        if (!skip_byte(&cursor, ':'))
            return false;
        skip_space(&cursor);

        const char *value = cursor.at;
        if (!skip_value(&cursor))
            return false;
        if (string_is(key, key_bytes, name)) {
            *ret_value = value;
            *ret_length = (size_t)(cursor.at - value);
            is_found = true;
        }
    } while (skip_byte(&cursor, ','));
    return is_found;
}

/* A number in the shortest of the forms that read back as the same one. */
static void spell_number(const json_t *number, struct args_value *value)
{
    if (json_is_integer(number)) {
        (void)snprintf(value->number, sizeof(value->number), "%" JSON_INTEGER_FORMAT,
                       json_integer_value(number));
    } else {
        for (int digits = 15; digits <= 17; digits++) {
            (void)snprintf(value->number, sizeof(value->number), "%.*g", digits,
                           json_real_value(number));
            if (strtod(value->number, NULL) == json_real_value(number))
                break;
        }
    }
    value->bytes = value->number;
    value->length = strlen(value->number);
}

void args_value_get(const struct args *args, const char *name, struct args_value *ret_value)
{
    const json_t *member = json_object_get(args->json, name);

    *ret_value = (struct args_value){.type = ARGS_SCALAR};
    if (member == NULL || json_is_null(member)) {
        ret_value->type = ARGS_MISSING;
    } else if (json_is_string(member)) {
        ret_value->bytes = json_string_value(member);
        ret_value->length = json_string_length(member);
    } else if (json_is_boolean(member)) {
        ret_value->bytes = json_is_true(member) ? "true" : "false";
        ret_value->length = strlen(ret_value->bytes);
    } else if (json_is_number(member)) {
        if (args->text == NULL ||
            !args_member_text(args->text, args->bytes, name, &ret_value->bytes, &ret_value->length))
            spell_number(member, ret_value);
    } else {
        ret_value->type = ARGS_OTHER;
    }
}

/* Takes a character that was cut in two off the end. */
static void trim_cut_character(char *text)
{
    size_t length = strlen(text);
    size_t start = length;

    while (start > 0 && ((unsigned char)text[start - 1] & 0xC0) == 0x80)
        start--;
    if (start > 0 && (unsigned char)text[start - 1] >= 0xC0)
        start--;
    if (start < length && !output_is_utf8(text + start, length - start))
        text[start] = '\0';
}

void args_faults_add(struct args_faults *list, const char *name, const char *format, ...)
{
    struct args_fault fault;
    va_list arguments;

    (void)snprintf(fault.pointer, sizeof(fault.pointer), "#/args%s%s", name != NULL ? "/" : "",
                   name != NULL ? name : "");
    va_start(arguments, format);
    int length = vsnprintf(fault.detail, sizeof(fault.detail), format, arguments);
    va_end(arguments);
    if (length >= (int)sizeof(fault.detail))
        trim_cut_character(fault.detail);
    if (list->count < list->max)
        list->faults[list->count] = fault;
    list->count++;
}

bool args_are_object(const json_t *args, struct args_faults *list)
{
    if (args == NULL || json_is_null(args) || json_is_object(args))
        return true;
    args_faults_add(list, NULL, "must be an object");
    return false;
}

/* name as a reference token of a JSON pointer in a URI fragment (RFC 6901, 3 and 6), cut at size:
 * whatever is in it, it can stand in a JSON string as it is. */
static void pointer_token(const char *name, char *token, size_t size)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._!$&'()*+,;=:@?";
    size_t length = 0;

    for (; *name != '\0' && length + 3 < size; name++) {
        if (*name == '~' || *name == '/') {
            token[length++] = '~';
            token[length++] = *name == '~' ? '0' : '1';
        } else if (strchr(plain, *name) != NULL) {
            token[length++] = *name;
        } else {
            length += (size_t)snprintf(token + length, size - length, "%%%02X",
                                       (unsigned)(unsigned char)*name);
        }
    }
    token[length] = '\0';
}

void args_refuse_unknown(const json_t *args, const char *const *names, struct args_faults *list)
{
    char token[128];

    // The iterator takes no const, but changes nothing.
    for (void *at = json_object_iter((json_t *)(uintptr_t)args); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)args, at)) {
        const char *key = json_object_iter_key(at);
        bool known = false;
        for (size_t i = 0; names[i] != NULL && !known; i++)
            known = strcmp(key, names[i]) == 0;
        if (known)
            continue;
        pointer_token(key, token, sizeof(token));
        const char *nearest = nearest_name(key, names);
        if (nearest != NULL)
            args_faults_add(list, token, "is no field here; did you mean '%s'?", nearest);
        else
            args_faults_add(list, token, "is no field here");
    }
}
