/* JSON bodies: what is taken is JSON by a strict reading of RFC 8259, of UTF-8, no deeper than
 * allowed; the look at the text before it is parsed has seen at least what is in it; and what is
 * made of the text (args on their own, without white space, indented) means the same. */
#include <stdlib.h>
#include <string.h>

#include "api/body.h"
#include "fuzz.h"
#include "runners/args.h"
#include "store/buffer.h"

enum { DEPTH_MAX = 32, MEMORY_MAX = 8 << 20 };

/* ---- the strict reading ---- */

struct reader {
    const char *at, *end;
};

static bool read_value(struct reader *reader, unsigned depth);

static void skip_space(struct reader *reader)
{
    while (reader->at < reader->end && *reader->at != '\0' &&
           strchr(" \t\n\r", *reader->at) != NULL)
        reader->at++;
}

static bool take(struct reader *reader, char byte)
{
    bool is_there = reader->at < reader->end && *reader->at == byte;
    reader->at += is_there;
    return is_there;
}

static bool read_word(struct reader *reader, const char *word)
{
    for (; *word != '\0'; word++) {
        if (!take(reader, *word))
            return false;
    }
    return true;
}

static bool read_digits(struct reader *reader)
{
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9')
        reader->at++;
    return reader->at > from;
}

static bool read_number(struct reader *reader)
{
    (void)take(reader, '-');
    if (!take(reader, '0') && !read_digits(reader))
        return false;
    if (take(reader, '.') && !read_digits(reader))
        return false;
    if (take(reader, 'e') || take(reader, 'E')) {
        if (!take(reader, '+'))
            (void)take(reader, '-');
        return read_digits(reader);
    }
    return true;
}

static bool read_escape(struct reader *reader)
{
    if (!take(reader, 'u')) {
        bool is_known = reader->at < reader->end && *reader->at != '\0' &&
                        strchr("\"\\/bfnrt", *reader->at) != NULL;
        reader->at += is_known;
        return is_known;
    }
    for (int i = 0; i < 4; i++, reader->at++) {
        if (reader->at == reader->end || *reader->at == '\0' ||
            strchr("0123456789abcdefABCDEF", *reader->at) == NULL)
            return false;
    }
    return true;
}

static bool read_string(struct reader *reader)
{
    if (!take(reader, '"'))
        return false;
    while (reader->at < reader->end && (unsigned char)*reader->at >= ' ') {
        if (take(reader, '"'))
            return true;
        if (!take(reader, '\\'))
            reader->at++;
        else if (!read_escape(reader))
            return false;
    }
    return false;
}

static bool read_members(struct reader *reader, char closing, unsigned depth)
{
    if (depth == DEPTH_MAX)
        return false;
    skip_space(reader);
    if (take(reader, closing))
        return true;
    do {
        skip_space(reader);
        if (closing == '}') {
            if (!read_string(reader))
                return false;
            skip_space(reader);
            if (!take(reader, ':'))
                return false;
        }
        if (!read_value(reader, depth + 1))
            return false;
        skip_space(reader);
    } while (take(reader, ','));
    return take(reader, closing);
}

// As deep as DEPTH_MAX. NOLINTNEXTLINE(misc-no-recursion)
static bool read_value(struct reader *reader, unsigned depth)
{
    skip_space(reader);
    if (take(reader, '{'))
        return read_members(reader, '}', depth);
    if (take(reader, '['))
        return read_members(reader, ']', depth);
    if (reader->at < reader->end && *reader->at == '"')
        return read_string(reader);
    if (reader->at < reader->end && *reader->at == 't')
        return read_word(reader, "true");
    if (reader->at < reader->end && *reader->at == 'f')
        return read_word(reader, "false");
    if (reader->at < reader->end && *reader->at == 'n')
        return read_word(reader, "null");
    return read_number(reader);
}

static bool is_strict(const char *text, size_t length)
{
    struct reader reader = {.at = text, .end = text + length};

    if (!read_value(&reader, 0))
        return false;
    skip_space(&reader);
    return reader.at == reader.end && buffer_is_utf8(text, length);
}

/* ---- what holds of what was taken ---- */

struct counted {
    size_t containers, values;
};

// NOLINTNEXTLINE(misc-no-recursion): as deep as DEPTH_MAX.
static void count(json_t *value, struct counted *counted)
{
    const char *key = NULL;
    json_t *child = NULL;
    size_t index = 0;

    counted->values++;
    counted->containers += json_is_object(value) || json_is_array(value);
    json_object_foreach (value, key, child) {
        counted->values++; // the key
        count(child, counted);
    }
    json_array_foreach (value, index, child)
        count(child, counted);
}

/* A part of the text, parsed on its own, means this. */
static void expect_meaning(const char *text, size_t length, const json_t *wanted)
{
    json_t *value = json_loadb(text, length, JSON_DECODE_ANY, NULL);

    HOLDS(value != NULL);
    HOLDS(json_equal(value, wanted));
    json_decref(value);
}

static void args_are_found(const char *text, const struct scan *scan, json_t *value)
{
    const json_t *args = json_object_get(value, "args");

    if (scan->has_args) {
        HOLDS(scan->begin < scan->args_from && scan->args_from < scan->args_to &&
              scan->args_to < scan->end);
        HOLDS(args != NULL);
        expect_meaning(text + scan->args_from, scan->args_to - scan->args_from, args);
    } else {
        // Only where the key was written with escapes.
        HOLDS(args == NULL || memchr(text, '\\', scan->end) != NULL);
    }
}

static void members_are_found(const char *text, const struct scan *scan, json_t *value)
{
    const char *key = NULL;
    json_t *member = NULL;

    json_object_foreach (value, key, member) {
        const char *found = NULL;
        size_t length = 0;
        char name[CONFIG_NAME_MAX + 1];
        char placeholder[CONFIG_NAME_MAX + 4];
        size_t before = 0;
        if (strlen(key) == 0 || strlen(key) > CONFIG_NAME_MAX)
            continue;
        (void)stpcpy(stpcpy(stpcpy(placeholder, "{"), key), "}");
        if (!config_placeholder(placeholder, &before, name) || strcmp(name, key) != 0)
            continue; // no name that is looked for
        HOLDS(args_member_text(text + scan->begin, scan->end - scan->begin, key, &found, &length));
        expect_meaning(found, length, member);
    }
}

static void other_forms_mean_the_same(const char *text, const struct scan *scan, json_t *value)
{
    size_t length = scan->end - scan->begin;
    char *compact = malloc(length);
    char *again = malloc(length);
    struct buffer indented = {.bytes = NULL};

    HOLDS(compact != NULL && again != NULL);
    size_t compact_length = scan_compact(text + scan->begin, length, compact);
    HOLDS(compact_length <= length);
    expect_meaning(compact, compact_length, value);
    HOLDS(scan_compact(compact, compact_length, again) == compact_length);
    HOLDS(memcmp(compact, again, compact_length) == 0);
    buffer_add(&indented, compact, compact_length);
    buffer_json_indent(&indented);
    HOLDS(!indented.failed);
    expect_meaning(indented.bytes, indented.length, value);
    buffer_fini(&indented);
    free(compact);
    free(again);
}

static void holds_of_taken(const char *text, size_t length, const struct body_value *body)
{
    struct counted counted = {.values = 0};
    const struct scan *scan = &body->scan;

    HOLDS(is_strict(text, length));
    HOLDS(scan_skip_space(text, length, 0) == scan->begin);
    HOLDS(scan_skip_space(text, length, scan->end) == length);
    count(body->value, &counted);
    HOLDS(counted.containers == scan->containers);
    HOLDS(counted.values <= scan->values);
    if (json_is_object(body->value)) {
        args_are_found(text, scan, body->value);
        members_are_found(text, scan, body->value);
    } else {
        HOLDS(!scan->has_args);
    }
    other_forms_mean_the_same(text, scan, body->value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config = {.max_request_memory = MEMORY_MAX, .limits.max_json_depth = DEPTH_MAX};
    struct server server = {.config = &config};
    struct request request = {.server = &server, .config = &config, .limits = config.limits};
    struct body_fault fault = {.offset = 0};
    struct body_value body;
    char *text = fuzz_copy(data, size);
    const struct body_text place = {.text = text, .to = size, .depth_max = DEPTH_MAX};

    int r = body_parse(&request, &place, &body, &fault);
    if (r == 0) {
        holds_of_taken(text, size, &body);
        body_done(&request, &body);
    } else if (r == -EBADMSG) {
        unsigned line = 0;
        unsigned column = 0;
        HOLDS(fault.offset <= size && fault.text[0] != '\0');
        scan_place(text, fault.offset, &line, &column);
        HOLDS(line >= 1 && column >= 1 && line + column <= size + 2);
    } else {
        HOLDS(r == -EMSGSIZE || r == -ENOMEM);
    }
    // What was charged has been given back.
    HOLDS(request.memory == 0 && atomic_load(&server.memory) == 0);
    free(text);
    return 0;
}
