/* A look at JSON text before jansson parses it. No recursion: brackets are counted. */
#include "api/scan.h"

#include <string.h>

static bool is_space(char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

size_t scan_skip_space(const char *text, size_t length, size_t from)
{
    while (from < length && is_space(text[from]))
        from++;
    return from;
}

/* Behind the string whose opening quote is at `at`; length: it has no end. */
static size_t skip_string(const char *text, size_t length, size_t at)
{
    for (at++; at < length; at++) {
        if (text[at] == '"')
            return at + 1;
        if (text[at] == '\\')
            at++;
    }
    return length;
}

/* What scan_value keeps while it goes on. */
struct progress {
    unsigned depth;
    bool in_object; // the outermost value is an object
    bool key_next;  // at depth 1 of an object: the next string is a key
    bool is_args;   // the last key at depth 1 was `args`
};

/* A member of the outermost object has ended before `at`. */
static void end_member(const char *text, size_t at, struct progress *progress, struct scan *scan)
{
    if (!progress->is_args)
        return;
    while (at > scan->args_from && is_space(text[at - 1]))
        at--;
    scan->args_to = at;
    scan->has_args = at > scan->args_from;
    progress->is_args = false;
}

/* A string at depth 1 of the outermost object, where a key is expected. */
static void take_key(const char *text, size_t from, size_t to, struct progress *progress)
{
    progress->key_next = false;
    progress->is_args = to - from == 6 && memcmp(text + from, "\"args\"", 6) == 0;
}

/* One byte outside strings that has a meaning. -EMSGSIZE; 1: the value has ended behind it. */
static int take_byte(const char *text, size_t at, unsigned depth_max, struct progress *progress,
                     struct scan *scan)
{
    switch (text[at]) {
    case '{':
    case '[':
        if (progress->depth == depth_max)
            return -EMSGSIZE;
        if (progress->depth == 0) {
            progress->in_object = text[at] == '{';
            progress->key_next = progress->in_object;
        }
        progress->depth++;
        scan->containers++;
        scan->values++;
        return 0;
    case '}':
    case ']':
        if (progress->depth == 1 && progress->in_object)
            end_member(text, at, progress, scan);
        if (progress->depth > 0)
            progress->depth--;
        return progress->depth == 0;
    case ',':
        scan->values++;
        if (progress->depth == 1 && progress->in_object) {
            end_member(text, at, progress, scan);
            progress->key_next = true;
        }
        return 0;
    case ':':
        scan->values++;
        if (progress->depth == 1 && progress->is_args)
            scan->args_from = at + 1;
        return 0;
    default:
        return 0;
    }
}

int scan_value(const char *text, size_t length, size_t from, unsigned depth_max,
               struct scan *ret_scan)
{
    struct progress progress = {.depth = 0};
    size_t at = scan_skip_space(text, length, from);

    *ret_scan = (struct scan){.begin = at, .values = 1};
    while (at < length) {
        char byte = text[at];
        if (byte == '"') {
            size_t end = skip_string(text, length, at);
            if (progress.depth == 1 && progress.key_next)
                take_key(text, at, end, &progress);
            at = end;
            if (progress.depth == 0)
                break;
            continue;
        }
        if (progress.depth == 0 && byte != '{' && byte != '[') {
            // A number or a word ends where the surrounding array goes on.
            if (byte == ',' || byte == ']' || byte == '}' || is_space(byte))
                break;
            at++;
            continue;
        }
        int r = take_byte(text, at, depth_max, &progress, ret_scan);
        if (r < 0) {
            ret_scan->end = at;
            return r;
        }
        at++;
        if (r == 1)
            break;
    }
    if (ret_scan->has_args)
        ret_scan->args_from = scan_skip_space(text, ret_scan->args_to, ret_scan->args_from);
    ret_scan->end = at;
    return 0;
}

size_t scan_tree_bytes(const struct scan *scan)
{
    // jansson 2.14 on 64 bits: an empty object is about 250 bytes with its hash table, a member or
    // element 50 to 100.
    return scan->containers * 256 + scan->values * 96 + (scan->end - scan->begin);
}

void scan_place(const char *text, size_t offset, unsigned *ret_line, unsigned *ret_column)
{
    unsigned line = 1;
    unsigned column = 1;

    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    *ret_line = line;
    *ret_column = column;
}

size_t scan_compact(const char *text, size_t length, char *to)
{
    size_t used = 0;
    size_t at = 0;

    while (at < length) {
        if (text[at] == '"') {
            size_t end = skip_string(text, length, at);
            memcpy(to + used, text + at, end - at);
            used += end - at;
            at = end;
            continue;
        }
        if (!is_space(text[at]))
            to[used++] = text[at];
        at++;
    }
    return used;
}
