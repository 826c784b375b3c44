/* POST /v1/import: the body goes into a file beside the store as it comes; when it is whole, a
 * thread of its own makes a store of it, which the store's thread then takes into the real one, all
 * or nothing.
 *
 * Up to the body's end the client may leave, and nothing has happened; from there on the import
 * goes to its end without it. A drain ends it, as long as the store's thread does not have it. One
 * at a time of imports, exports and backups, from the header to the answer. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <nettle/sha2.h>

#include "api/calls.h"
#include "api/connections.h"
#include "api/key.h"
#include "api/request.h"
#include "config/units.h"

// Twice what a million small tasks take: the store's thread is held up for some ten seconds.
#define IMPORT_BYTES_MAX (UINT64_C(512) << 20)
enum { LOOK_BYTES = 1 << 20 }; // between two looks at the room on the disk

struct import {
    struct request *request;
    int fd; // what has come of the body; -1: there is none
    uint64_t bytes;
    uint64_t looked_at;  // bytes, when the room on the disk was looked at
    uint64_t renewed_at; // bytes, when the deadline was put off
    struct sha256_ctx digest;
    struct store_part *part; // NULL: not yet
    struct store_key key;
    int result;        // of making the part
    uint64_t bad_line; // 0: none is
    struct error error;
};

static void import_free(void *work)
{
    struct import *import = work;

    store_part_free(import->part);
    if (import->fd >= 0)
        (void)close(import->fd); // its bytes go with it
    atomic_store(&import->request->server->has_exchange, false);
    free(import);
}

static void too_large(struct request *request)
{
    char most[32];

    request_problem(request, PROBLEM_TOO_LARGE,
                    "an import has at most %d tasks and %s: what is larger goes into a store that "
                    "no daemon has, by runneld --import",
                    STORE_IMPORT_TASKS_MAX, units_bytes_text(IMPORT_BYTES_MAX, most, sizeof(most)));
}

/* ---- the body ---- */

static int write_all(struct import *import, const char *data, size_t size)
{
    size_t written = 0;

    while (written < size) {
        ssize_t n = write(import->fd, data + written, size - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        written += (size_t)n;
    }
    return 0;
}

static int keep(struct import *import, const char *data, size_t size)
{
    int r = 0;

    // The tasks that come must not be refused for it.
    if (import->bytes + size > import->looked_at + LOOK_BYTES) {
        r = store_scratch_room(import->fd, LOOK_BYTES);
        import->looked_at = import->bytes;
    }
    if (r == 0)
        r = write_all(import, data, size);
    import->bytes += size;
    sha256_update(&import->digest, size, (const uint8_t *)data);
    return r;
}

static size_t take_data(struct request *request, const char *data, size_t size)
{
    struct import *import = request->work;

    if (atomic_load(&request->server->stopping)) {
        request_problem_error(request, -EPIPE);
        return size;
    }
    if (size > IMPORT_BYTES_MAX - import->bytes) {
        too_large(request);
        return size;
    }
    int r = keep(import, data, size);
    if (r < 0)
        request_problem_error(request, r);
    else
        connection_pace(request->connection, request->limits.body_timeout, import->bytes,
                        &import->renewed_at);
    return size;
}

/* What the key stands for, but for the body. */
static void begin_digest(struct import *import)
{
    unsigned char head[KEY_HASH_BYTES];

    key_hash(import->request, NULL, 0, head);
    sha256_init(&import->digest);
    sha256_update(&import->digest, sizeof(head), head);
}

/* Room for the body, and for what is made of it: about as much. */
static int look_for_room(const struct import *import)
{
    const struct head *head = &import->request->head;

    return store_scratch_room(import->fd, head->is_chunked ? 0 : 2 * head->body_bytes);
}

void import_begin(struct request *request)
{
    struct server *server = request->server;

    if (!request->head.is_chunked && request->head.body_bytes > IMPORT_BYTES_MAX) {
        too_large(request);
        return;
    }
    if (atomic_exchange(&server->has_exchange, true)) {
        request_problem(request, PROBLEM_BUSY,
                        "a backup, export or import is under way: one at a time");
        return;
    }
    struct import *import = request_work_new(request, sizeof(*import), import_free);
    if (import == NULL) {
        atomic_store(&server->has_exchange, false);
        return;
    }
    import->request = request;
    import->fd = -1;
    request->data_fn = take_data;
    begin_digest(import);
    int r = engine_scratch(server->engine, &import->fd);
    if (r == 0)
        r = look_for_room(import);
    if (r < 0)
        request_problem_error(request, r);
}

/* ---- the answer ---- */

static void answer(struct request *request)
{
    const struct store_op *op = &request->op;
    struct buffer text = {.bytes = NULL};

    buffer_printf(&text, "{\"queues\":%llu,\"tasks\":%llu,\"keys\":%llu,",
                  (unsigned long long)op->import.counts.queues,
                  (unsigned long long)op->import.counts.tasks,
                  (unsigned long long)op->import.counts.keys);
    if (op->import.first_id == 0)
        BUFFER_LITERAL(&text, "\"first_id\":null,\"last_id\":null,");
    else
        buffer_printf(&text, "\"first_id\":%llu,\"last_id\":%llu,",
                      (unsigned long long)op->import.first_id,
                      (unsigned long long)op->import.last_id);
    buffer_printf(&text, "\"ids_kept\":%s,\"replayed\":%s,\"dry_run\":%s}",
                  op->import.ids_kept ? "true" : "false", op->import.replayed ? "true" : "false",
                  request->is_dry ? "true" : "false");
    request->has_effect = !request->is_dry;
    request_answer(request, &(struct answer){
                                .status = 200, .text = &text, .is_replayed = op->import.replayed});
}

static void after_merge(struct request *request)
{
    const struct store_op *op = &request->op;

    if (op->result == 0)
        answer(request);
    else if (op->result == -ENOTUNIQ)
        request_problem(request, PROBLEM_KEY_TAKEN,
                        "the store has the Idempotency-Key '%s' already", op->import.taken_key);
    else if (op->result == -EOVERFLOW)
        request_problem(request, PROBLEM_TOO_LARGE,
                        "moved up by the store's last id, its ids would be too large");
    else
        request_problem_error(request, op->result == -EBUSY ? -EAGAIN : op->result);
}

static void refuse_lines(struct request *request)
{
    const struct import *import = request->work;
    struct buffer text = {.bytes = NULL};

    problem_begin(&text, PROBLEM_INVALID_EXPORT, import->error.text);
    if (import->bad_line > 0)
        buffer_printf(&text, ",\"line\":%llu", (unsigned long long)import->bad_line);
    request_problem_text(request, PROBLEM_INVALID_EXPORT, &text);
}

static void after_part(struct request *request)
{
    struct import *import = request->work;

    if (import->result == -EBADMSG) {
        refuse_lines(request);
        return;
    }
    if (import->result == -E2BIG) {
        request_problem(request, PROBLEM_TOO_LARGE,
                        "%s; what is larger goes into a store that no "
                        "daemon has, by runneld --import",
                        import->error.text);
        return;
    }
    if (import->result < 0) {
        log_event(LOG_LEVEL_WARN, "import_failed", LOG_TEXT("error", import->error.text));
        request_problem_error(request, import->result);
        return;
    }
    after_merge(request);
}

/* ---- on a thread of its own ---- */

static int watch(void *arg)
{
    const struct import *import = arg;
    struct server *server = import->request->server;

    if (atomic_load(&server->stopping) || engine_phase(server->engine) == ENGINE_DRAINING)
        return -EPIPE;
    return store_scratch_room(import->fd, 0);
}

/* Submits it from there: the client may have left. */
static bool make_part(struct request *request)
{
    struct import *import = request->work;

    import->result =
        engine_part_new(request->server->engine, import->fd, &(struct store_watch){watch, import},
                        &import->part, &import->bad_line, &import->error);
    (void)close(import->fd); // its room goes back before the store's thread needs some
    import->fd = -1;
    request->op = (struct store_op){.type = STORE_IMPORT,
                                    .now_ms = rn_wall_ms(),
                                    .import.part = import->part,
                                    .import.is_dry = request->is_dry};
    if (request->has_key && !request->is_dry) {
        memcpy(import->key.text, request->key, sizeof(import->key.text));
        sha256_digest(&import->digest, sizeof(import->key.hash), import->key.hash);
        request->op.import.key = &import->key;
    }
    return import->result == 0;
}

void call_import(struct request *request)
{
    if (request->work == NULL) {
        import_begin(request); // there is no body at all
        if (request->phase == REQUEST_ANSWERED)
            return;
    }
    request_aside(request, make_part, after_part);
}
