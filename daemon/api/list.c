/* GET /v1/tasks: filters, cursor, page. A page is read from the store piece by piece, so that a
 * large one takes bounded memory; one that has become too large ends early, with `next`. */
#include <stdlib.h>
#include <string.h>

#include "api/answer.h"
#include "api/calls.h"
#include "api/cursor.h"
#include "api/filter.h"
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

/* A list under way: the request's work. */
struct list {
    struct filter filter;
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
    filter_fini(&list->filter);
    buffer_fini(&list->text);
    free(list);
}

/* ---- the query ---- */

/* 0, or answered. */
static int take_page(struct request *request, struct list *list)
{
    const char *limit = request->parameters[PARAMETER_LIMIT];
    const char *view = request->parameters[PARAMETER_VIEW];
    const char *cursor = request->parameters[PARAMETER_CURSOR];
    uint64_t number = LIMIT_DEFAULT;

    if (limit != NULL && (units_unsigned(limit, LIMIT_MAX, &number) < 0 || number == 0))
        return request_bad_query(request, "query parameter limit: must be a number from 1 to %d",
                                 LIMIT_MAX);
    list->limit = (size_t)number;
    if (view != NULL && strcmp(view, "full") != 0)
        return request_bad_query(request, "query parameter view: the only view is full");
    list->is_full = view != NULL;

    cursor_hash(request, list->filter_hash);
    int r = cursor == NULL ? 0 : cursor_parse(cursor, list->filter_hash, &list->before);
    if (r == -ESTALE)
        return request_bad_query(request,
                                 "query parameter cursor: it belongs to a list with other filters");
    if (r < 0)
        return request_bad_query(request,
                                 "query parameter cursor: it is none; take what `next` said");
    return 0;
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
    request->read.list.filter = list->filter.store;
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
    struct list *list = request_work_new(request, sizeof(*list), list_free);

    if (list == NULL)
        return;
    if (filter_query(request, &list->filter) < 0 || filter_limit(request, &list->filter) < 0 ||
        take_page(request, list) < 0)
        return;
    BUFFER_LITERAL(&list->text, "{\"tasks\":[");
    read_piece(request);
}
