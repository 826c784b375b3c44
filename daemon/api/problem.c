/* The table of problems, and the problem+json that is made from it. */
#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static const struct problem_row rows[PROBLEM_COUNT] = {
#define PROBLEM_ROW(symbol, code, status, retry_after, title, page)                                \
    [PROBLEM_##symbol] = {code, status, retry_after, title, page},
    PROBLEMS(PROBLEM_ROW)
#undef PROBLEM_ROW
};

const struct problem_row *problem_row(enum problem problem)
{
    RN_ASSERT(problem < PROBLEM_COUNT);
    return &rows[problem];
}

const struct problem_row *problem_find(const char *code)
{
    for (size_t i = 0; i < PROBLEM_COUNT; i++) {
        if (strcmp(rows[i].code, code) == 0)
            return &rows[i];
    }
    return NULL;
}

enum problem problem_of_error(int error)
{
    switch (error) {
    case -ENOSPC:
        return PROBLEM_STORE_FULL;
    case -ENOBUFS:
        return PROBLEM_BACKLOG_FULL;
    case -EPIPE:
        return PROBLEM_DRAINING;
    case -EAGAIN:
    case -ENOMEM:
        return PROBLEM_BUSY;
    case -ENOENT:
        return PROBLEM_NOT_FOUND;
    case -ENODATA:
        return PROBLEM_TASK_REMOVED;
    case -ESTALE:
        return PROBLEM_WRONG_STATE;
    case -EEXIST:
        return PROBLEM_KEY_REUSED;
    default:
        return PROBLEM_INTERNAL;
    }
}

enum problem problem_of_faults(enum problem problem, const struct faults *faults)
{
    return faults->forbidden ? PROBLEM_FORBIDDEN : faults->too_large ? PROBLEM_TOO_LARGE : problem;
}

void problem_begin(struct buffer *buffer, enum problem problem, const char *detail)
{
    const struct problem_row *row = problem_row(problem);

    BUFFER_LITERAL(buffer, "{\"type\":\"/problems/");
    buffer_text(buffer, row->code);
    BUFFER_LITERAL(buffer, "\",\"code\":\"");
    buffer_text(buffer, row->code);
    BUFFER_LITERAL(buffer, "\",\"title\":");
    buffer_json_text(buffer, row->title);
    BUFFER_LITERAL(buffer, ",\"status\":");
    buffer_unsigned(buffer, row->status);
    BUFFER_LITERAL(buffer, ",\"detail\":");
    buffer_json_text(buffer, detail);
}

void problem_end(struct buffer *buffer)
{
    BUFFER_LITERAL(buffer, "}");
}

void problem_page(struct buffer *buffer, const struct problem_row *row)
{
    buffer_printf(buffer, "%s (%u)\n\n%s.\n\n%s", row->code, row->status, row->title, row->page);
}

const char *faults_pointer(const char *key, char *text, size_t size)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._!$&'()*+,;=:@?";
    size_t used = 0;

    RN_ASSERT(size >= 8);
    text[used++] = '/';
    for (; *key != '\0' && used + 4 < size; key++) {
        if (*key == '~' || *key == '/')
            used += (size_t)snprintf(text + used, size - used, "~%c", *key == '~' ? '0' : '1');
        else if (strchr(plain, *key) != NULL)
            text[used++] = *key;
        else
            used += (size_t)snprintf(text + used, size - used, "%%%02X", (unsigned char)*key);
    }
    text[used] = '\0';
    return text;
}

void faults_add(struct faults *faults, const char *pointer, const char *format, ...)
{
    char detail[512];
    va_list list;

    faults->count++;
    if (faults->count > FAULTS_MAX)
        return;
    va_start(list, format);
    (void)vsnprintf(detail, sizeof(detail), format, list);
    va_end(list);

    if (faults->count > 1)
        BUFFER_LITERAL(&faults->text, ",");
    BUFFER_LITERAL(&faults->text, "{\"pointer\":\"#");
    buffer_text(&faults->text, faults->prefix);
    buffer_text(&faults->text, pointer);
    BUFFER_LITERAL(&faults->text, "\",\"detail\":");
    buffer_json_text(&faults->text, detail);
    BUFFER_LITERAL(&faults->text, "}");
}

void faults_fini(struct faults *faults)
{
    buffer_fini(&faults->text);
}
