/* jansson's lexer makes a failed allocation an invalid token. So its allocations are ours, and each
 * thread remembers whether one of its own has failed. */
#include "store/jsontext.h"

#include <stdbool.h>
#include <stdlib.h>

static _Thread_local bool has_failed;

static void *take(size_t bytes)
{
    void *memory = malloc(bytes);
    if (memory == NULL)
        has_failed = true;
    return memory;
}

/* Before main: jansson asks for it before the first of its objects is made. What it gives out is
 * freed as before. */
__attribute__((constructor)) static void take_over(void)
{
    json_set_alloc_funcs(take, free);
}

json_t *jsontext_read(const char *bytes, size_t length, size_t flags, json_error_t *ret_error)
{
    has_failed = false;
    json_t *json = json_loadb(bytes, length, flags, ret_error);
    if (json == NULL && has_failed)
        ret_error->text[JSON_ERROR_TEXT_LENGTH - 1] = (char)json_error_out_of_memory;
    return json;
}

char *jsontext_write(const json_t *json, size_t flags)
{
    has_failed = false;
    char *text = json_dumps(json, flags);
    if (!has_failed)
        return text;
    free(text);
    return NULL;
}
