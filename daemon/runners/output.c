/*
 * What is kept of a command's output. Each buffer belongs to the one worker that runs the command.
 *
 * The buffers are as large as they may become from the start: pages that nothing is written to cost
 * nothing, and running out of memory is then a reason not to start, never one to lose the output of
 * something that has run.
 */
#include "runners/output.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char replacement[] = "\xEF\xBF\xBD"; // U+FFFD

int output_head_init(struct output_head *head, size_t limit)
{
    char *bytes = malloc(limit + 1);
    if (bytes == NULL)
        return -ENOMEM;
    *head = (struct output_head){.bytes = bytes, .limit = limit};
    return 0;
}

void output_head_fini(struct output_head *head)
{
    free(head->bytes);
    *head = (struct output_head){0};
}

int output_tail_init(struct output_tail *tail)
{
    char *bytes = malloc((size_t)2 * OUTPUT_TAIL_BYTES);
    if (bytes == NULL)
        return -ENOMEM;
    *tail = (struct output_tail){.bytes = bytes};
    return 0;
}

void output_tail_fini(struct output_tail *tail)
{
    free(tail->bytes);
    *tail = (struct output_tail){0};
}

long output_head_read(struct output_head *head, int fd)
{
    if (head->over)
        return 0;
    ssize_t n = read(fd, head->bytes + head->length, head->limit + 1 - head->length);
    if (n < 0)
        return -errno;
    head->length += (size_t)n;
    if (head->length > head->limit) {
        head->length = head->limit;
        head->over = true;
    }
    return (long)n;
}

long output_tail_read(struct output_tail *tail, int fd)
{
    const size_t size = (size_t)2 * OUTPUT_TAIL_BYTES;

    ssize_t n = read(fd, tail->bytes + tail->length, size - tail->length);
    if (n < 0)
        return -errno;
    tail->length += (size_t)n;
    if (tail->length == size) {
        memcpy(tail->bytes, tail->bytes + OUTPUT_TAIL_BYTES, OUTPUT_TAIL_BYTES);
        tail->length = OUTPUT_TAIL_BYTES;
        tail->cut = true;
    }
    return (long)n;
}

const char *output_tail_text(const struct output_tail *tail, size_t *ret_length)
{
    size_t from = tail->length > OUTPUT_TAIL_BYTES ? tail->length - OUTPUT_TAIL_BYTES : 0;

    if (from > 0 || tail->cut) {
        for (int i = 0; i < 3 && from < tail->length; i++) {
            if (((unsigned char)tail->bytes[from] & 0xC0) != 0x80)
                break;
            from++;
        }
    }
    *ret_length = tail->length - from;
    return tail->bytes + from;
}

/* The length of the character at bytes, or, with *ret_valid false, of the longest beginning of one.
 */
static size_t character(const unsigned char *bytes, size_t length, bool *ret_valid)
{
    unsigned char first = bytes[0];
    unsigned char low = 0x80;
    unsigned char high = 0xBF;
    size_t wanted = 2;

    *ret_valid = false;
    if (first < 0x80) {
        *ret_valid = first != 0;
        return 1;
    }
    if (first < 0xC2 || first > 0xF4)
        return 1;
    if (first >= 0xF0) {
        wanted = 4;
        low = first == 0xF0 ? 0x90 : 0x80;
        high = first == 0xF4 ? 0x8F : 0xBF;
    } else if (first >= 0xE0) {
        wanted = 3;
        low = first == 0xE0 ? 0xA0 : 0x80;
        high = first == 0xED ? 0x9F : 0xBF; // no surrogates
    }

    size_t i = 1;
    while (i < wanted && i < length && bytes[i] >= low && bytes[i] <= high) {
        low = 0x80;
        high = 0xBF;
        i++;
    }
    *ret_valid = i == wanted;
    return i;
}

bool output_is_utf8(const char *bytes, size_t length)
{
    bool valid = true;

    for (size_t i = 0; i < length && valid;)
        i += character((const unsigned char *)bytes + i, length - i, &valid);
    return valid;
}

int output_utf8(const char *bytes, size_t length, char **ret_text, size_t *ret_length)
{
    const size_t mark_bytes = sizeof(replacement) - 1;
    size_t marks = 0;
    bool valid = false;

    for (size_t i = 0; i < length;) {
        i += character((const unsigned char *)bytes + i, length - i, &valid);
        marks += !valid;
    }
    char *text = malloc(length + marks * mark_bytes + 1);
    if (text == NULL)
        return -ENOMEM;

    size_t used = 0;
    for (size_t i = 0; i < length;) {
        size_t n = character((const unsigned char *)bytes + i, length - i, &valid);
        memcpy(text + used, valid ? bytes + i : replacement, valid ? n : mark_bytes);
        used += valid ? n : mark_bytes;
        i += n;
    }
    text[used] = '\0';
    *ret_text = text;
    *ret_length = used;
    return 0;
}

size_t output_json_depth(const char *json, size_t length)
{
    size_t depth = 0;
    size_t deepest = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        if (in_string && json[i] == '\\')
            i++;
        else if (json[i] == '"')
            in_string = !in_string;
        else if (!in_string && (json[i] == '[' || json[i] == '{'))
            deepest = ++depth > deepest ? depth : deepest;
        else if (!in_string && (json[i] == ']' || json[i] == '}'))
            depth--;
    }
    return deepest;
}

size_t output_json_compact(char *json, size_t length)
{
    size_t used = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        char byte = json[i];
        if (in_string && byte == '\\' && i + 1 < length) {
            json[used++] = byte;
            byte = json[++i];
        } else if (byte == '"') {
            in_string = !in_string;
        } else if (!in_string && (byte == ' ' || byte == '\t' || byte == '\r' || byte == '\n')) {
            continue;
        }
        json[used++] = byte;
    }
    return used;
}
