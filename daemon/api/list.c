/* GET /v1/tasks: filters, cursor, page. A page is read from the store piece by piece, so that a
 * large one takes bounded memory; one that has become too large ends early, with `next`. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/calls.h"
#include "api/cursor.h"
#include "api/request.h"
#include "api/routes.h"
#include "config/units.h"

enum {
    LIMIT_DEFAULT = 100,
    LIMIT_MAX = 1000,
    PAGE_BYTES_MAX = 4 << 20,  // from here on the page ends
    PIECE_ROWS = 100,          // read at once
    PIECE_BYTES_MAX = 8 << 20, // of rows with args and results
    PIECE_ROWS_FULL = 16,      // at most of these
};
_Static_assert((int)CONFIG_TOKEN_NAMES_MAX == (int)STORE_LIST_FILTER_MAX,
               "a list can be limited to a token's names");

/* A list under way: the request's work. */
struct list {
    struct store_list_filter filter;
    char *values[3]; // the filters' texts, cut at their commas; new
    uint64_t before;
    size_t limit, count;
    bool is_full;
    unsigned char filter_hash[CURSOR_HASH_BYTES];
    struct buffer text;
    size_t reserved;      // for a piece
    size_t charged;       // for text so far
    struct record **rows; // of the piece in hand
    size_t row_count;
};

static void free_rows(struct list *list)
{
    records_free(RN_TAKE(list->rows), list->row_count);
    list->row_count = 0;
}

static void list_free(void *work)
{
    struct list *list = work;

    free_rows(list);
    for (size_t i = 0; i < 3; i++)
        free(list->values[i]);
    buffer_fini(&list->text);
    free(list);
}

/* ---- the query ---- */

static int bad(struct request *request, const char *format, ...) RN_PRINTF(2, 3);

static int bad(struct request *request, const char *format, ...)
{
    char detail[400];
    va_list arguments;

    va_start(arguments, format);
    (void)vsnprintf(detail, sizeof(detail), format, arguments);
    va_end(arguments);
    request_problem(request, PROBLEM_INVALID_QUERY, "%s", detail);
    return -EINVAL;
}

/* Cuts a parameter at its commas. 0, or answered. */
static int take_values(struct request *request, enum parameter parameter, char **to,
                       const char **values, size_t *count)
{
    const char *text = request->parameters[parameter];

    if (text == NULL)
        return 0;
    *to = strdup(text);
    if (*to == NULL) {
        request_problem_error(request, -ENOMEM);
        return -ENOMEM;
    }
    for (char *part = *to; part != NULL;) {
        char *comma = strchr(part, ',');
        if (comma != NULL)
            *comma++ = '\0';
        if (part[0] == '\0')
            return bad(request, "query parameter %s: a value is missing",
                       parameter_name(parameter));
        if (*count == STORE_LIST_FILTER_MAX)
            return bad(request, "query parameter %s: at most %d values are allowed",
                       parameter_name(parameter), STORE_LIST_FILTER_MAX);
        values[(*count)++] = part;
        part = comma;
    }
    return 0;
}

static int take_states(struct request *request, struct list *list)
{
    const char *names[STORE_LIST_FILTER_MAX];
    const char *all[TASK_STATE_COUNT + 1];
    char *text = NULL;
    size_t count = 0;

    int r = take_values(request, PARAMETER_STATE, &text, names, &count);
    for (size_t i = 0; i < count && r == 0; i++) {
        enum task_state state = TASK_QUEUED;
        if (task_state_parse(names[i], &state) == 0) {
            list->filter.states |= 1U << state;
            continue;
        }
        for (unsigned s = 0; s < TASK_STATE_COUNT; s++)
            all[s] = task_state_name((enum task_state)s);
        all[TASK_STATE_COUNT] = NULL;
        const char *near = nearest_name(names[i], all);
        if (near != NULL)
            r = bad(request, "query parameter state: there is no state '%.40s': did you mean %s?",
                    names[i], near);
        else
            r = bad(request, "query parameter state: there is no state '%.40s'", names[i]);
    }
    free(text);
    return r;
}

static int take_instant(struct request *request, enum parameter parameter, int64_t *to)
{
    const char *text = request->parameters[parameter];
    char instant[64];

    if (text == NULL)
        return 0;
    // A plus sign in a query means a space.
    (void)snprintf(instant, sizeof(instant), "%s", text);
    char *space = strrchr(instant, ' ');
    if (space != NULL && space - instant > 11)
        *space = '+';
    if (strlen(text) >= sizeof(instant) || units_instant(instant, to) < 0)
        return bad(
            request,
            "query parameter %s: must be an instant as in RFC 3339, such as 2030-01-31T08:00:00Z",
            parameter_name(parameter));
    return 0;
}

static int take_page(struct request *request, struct list *list)
{
    const char *limit = request->parameters[PARAMETER_LIMIT];
    const char *view = request->parameters[PARAMETER_VIEW];
    const char *cursor = request->parameters[PARAMETER_CURSOR];
    uint64_t number = LIMIT_DEFAULT;

    if (limit != NULL && (units_unsigned(limit, LIMIT_MAX, &number) < 0 || number == 0))
        return bad(request, "query parameter limit: must be a number from 1 to %d", LIMIT_MAX);
    list->limit = (size_t)number;
    if (view != NULL && strcmp(view, "full") != 0)
        return bad(request, "query parameter view: the only view is full");
    list->is_full = view != NULL;

    cursor_hash(request, list->filter_hash);
    int r = cursor == NULL ? 0 : cursor_parse(cursor, list->filter_hash, &list->before);
    if (r == -ESTALE)
        return bad(request, "query parameter cursor: it belongs to a list with other filters");
    if (r < 0)
        return bad(request, "query parameter cursor: it is none; take what `next` said");
    return 0;
}

static int not_for(struct request *request, enum parameter parameter, const char *name)
{
    request_problem(request, PROBLEM_FORBIDDEN,
                    "query parameter %s: the token %s is not for '%.64s'",
                    parameter_name(parameter), request->token->name, name);
    return -EACCES;
}

/* A token for some queues and kinds lists those alone: all of them, or what the query names of
 * them. 0, or answered. */
static int limit_to_token(struct request *request, struct store_list_filter *filter)
{
    const struct config_token *token = request->token;

    if (token == NULL)
        return 0;
    for (size_t i = 0; i < filter->queue_count; i++)
        if (!config_token_has_queue(token, filter->queues[i]))
            return not_for(request, PARAMETER_QUEUE, filter->queues[i]);
    for (size_t i = 0; i < filter->kind_count; i++)
        if (!config_token_has_kind(token, filter->kinds[i]))
            return not_for(request, PARAMETER_KIND, filter->kinds[i]);
    if (filter->queue_count == 0) {
        memcpy(filter->queues, token->queues, sizeof(filter->queues));
        filter->queue_count = token->queue_count;
    }
    if (filter->kind_count == 0) {
        memcpy(filter->kinds, token->kinds, sizeof(filter->kinds));
        filter->kind_count = token->kind_count;
    }
    return 0;
}

/* 0, or answered. */
static int take_query(struct request *request, struct list *list)
{
    struct store_list_filter *filter = &list->filter;

    int r = take_states(request, list);
    if (r == 0)
        r = take_values(request, PARAMETER_QUEUE, &list->values[0], filter->queues,
                        &filter->queue_count);
    if (r == 0)
        r = take_values(request, PARAMETER_KIND, &list->values[1], filter->kinds,
                        &filter->kind_count);
    if (r == 0)
        r = limit_to_token(request, filter);
    if (r == 0)
        r = take_values(request, PARAMETER_TAG, &list->values[2], filter->tags, &filter->tag_count);
    if (r == 0)
        r = take_instant(request, PARAMETER_CREATED_AFTER, &filter->created_after_ms);
    if (r == 0)
        r = take_instant(request, PARAMETER_CREATED_BEFORE, &filter->created_before_ms);
    if (r == 0)
        r = take_page(request, list);
    return r;
}

/* ---- the pages ---- */

static request_fn piece_is_read;

/* How many rows with args and results are read at once, and the memory that they may take. */
static size_t full_piece(const struct request *request, size_t *ret_bytes)
{
    const struct config *config = request->config;
    size_t memory = request->server->config->max_request_memory;
    const size_t args = request->limits.max_args;
    size_t row = args;

    for (size_t i = 0; i < config->kind_count; i++) {
        if (args + config->kinds[i].max_output > row)
            row = args + config->kinds[i].max_output;
    }
    size_t rows = PIECE_BYTES_MAX / row;
    rows = rows == 0 ? 1 : rows > PIECE_ROWS_FULL ? PIECE_ROWS_FULL : rows;
    *ret_bytes = rows * row < memory / 2 ? rows * row : memory / 2;
    return rows;
}

static void read_piece(struct request *request)
{
    struct list *list = request->work;
    size_t piece = list->is_full ? full_piece(request, &list->reserved) : PIECE_ROWS;

    if (!request_charge(request, list->reserved)) {
        list->reserved = 0;
        request_problem_error(request, -EAGAIN);
        return;
    }

    request->read.type = STORE_LIST;
    request->read.list.filter = list->filter;
    request->read.list.before = list->before;
    request->read.list.limit =
        list->limit - list->count < piece ? list->limit - list->count : piece;
    request->read.list.with_bodies = list->is_full;
    request->read.list.rows = NULL;
    request->read.list.count = 0;
    request->read.list.next_before = 0;
    request_read(request, piece_is_read);
}

static void answer_page(struct request *request)
{
    struct list *list = request->work;

    BUFFER_LITERAL(&list->text, "],\"next\":");
    if (list->before == 0) {
        BUFFER_LITERAL(&list->text, "null}");
    } else {
        char cursor[CURSOR_BYTES];
        cursor_text(list->before, list->filter_hash, cursor);
        buffer_printf(&list->text, "\"%s\"}", cursor);
    }
    request_discharge(request, list->charged); // request_answer charges the whole
    request_answer_json(request, 200, &list->text);
}

static void piece_is_read(struct request *request)
{
    struct list *list = request->work;

    if (request->read.result < 0) {
        request_problem_error(request, request->read.result);
        return;
    }
    list->rows = RN_TAKE(request->read.list.rows);
    list->row_count = request->read.list.count;
    list->before = request->read.list.next_before;
    for (size_t i = 0; i < list->row_count; i++) {
        if (list->count++ > 0)
            BUFFER_LITERAL(&list->text, ",");
        answer_task(&list->text, request, list->rows[i],
                    list->is_full ? TASK_JSON_FULL : TASK_JSON_LIST);
    }
    // The store reads at most a bounded number of rows for a piece: an empty one need not be the
    // end, but the page ends with it.
    bool is_empty = list->row_count == 0;
    free_rows(list);
    request_discharge(request, list->reserved);
    list->reserved = 0;
    if (!request_charge(request, list->text.capacity - list->charged)) {
        request_problem_error(request, -EAGAIN);
        return;
    }
    list->charged = list->text.capacity;
    bool is_over = is_empty || list->before == 0 || list->count >= list->limit ||
                   list->text.length >= PAGE_BYTES_MAX;
    if (is_over || list->text.failed)
        answer_page(request);
    else
        read_piece(request);
}

void call_list(struct request *request)
{
    struct list *list = calloc(1, sizeof(*list));

    if (list == NULL) {
        request_problem_error(request, -ENOMEM);
        return;
    }
    request->work = list;
    request->work_free_fn = list_free;
    if (take_query(request, list) < 0)
        return;
    BUFFER_LITERAL(&list->text, "{\"tasks\":[");
    read_piece(request);
}
