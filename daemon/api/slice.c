/* A stream's slices in the store: submit, result, and a key that another stream has moved on
 * meanwhile. */
#include "api/slice.h"

#include <stdlib.h>
#include <string.h>

#include "api/request.h"

int stream_new(struct request *request, struct stream **ret_stream)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    if (stream == NULL)
        return -ENOMEM;

    atomic_store(&stream->count_refs, 1);
    stream->server = request->server;
    stream->request = request;
    stream->has_key = request->has_key;
    for (size_t i = 0; i < 2; i++) {
        struct slice *slice = &stream->slices[i];
        slice->stream = stream;
        if (!stream->has_key)
            continue;
        memcpy(slice->key.text, request->key, sizeof(slice->key.text));
        slice->key.is_stream = true;
        slice->hashes = calloc(SLICE_LINES_MAX, sizeof(*slice->hashes));
        if (slice->hashes == NULL) {
            stream_unref(stream);
            return -ENOMEM;
        }
    }
    if (stream->has_key) {
        key_hash(request, NULL, 0, stream->hash);
        memcpy(stream->slices[0].hash_before, stream->hash, sizeof(stream->hash));
    }
    *ret_stream = stream;
    return 0;
}

static void free_records(struct slice *slice)
{
    for (size_t i = 0; i < slice->count; i++)
        record_free(slice->records[i]); // NULL where a queue has taken it
    slice->count = 0;
}

void stream_unref(void *arg)
{
    struct stream *stream = arg;

    if (atomic_fetch_sub(&stream->count_refs, 1) > 1)
        return;
    for (size_t i = 0; i < 2; i++) {
        free_records(&stream->slices[i]);
        free(stream->slices[i].hashes);
    }
    fields_fini(&stream->fields);
    buffer_fini(&stream->line);
    buffer_fini(&stream->problem_text);
    free(stream);
}

void stream_fail(struct stream *stream, enum problem problem, struct buffer *text, bool drops)
{
    if (stream->is_ending) {
        buffer_fini(text);
        return;
    }
    stream->is_ending = true;
    stream->drops = drops;
    stream->problem = problem;
    stream->problem_text = *text;
    *text = (struct buffer){.bytes = NULL};
}

void stream_fail_plain(struct stream *stream, enum problem problem, const char *detail, bool drops)
{
    struct buffer text = {.bytes = NULL};

    problem_begin(&text, problem, detail);
    stream_fail(stream, problem, &text, drops);
}

static void fail_error(struct stream *stream, int error)
{
    stream->is_ending = false; // what the store says comes before a bad line behind it
    buffer_fini(&stream->problem_text);
    enum problem problem = problem_of_error(error);
    stream_fail_plain(stream, problem,
                      "the lines after the first `count` are not stored; send the stream again "
                      "with its Idempotency-Key",
                      true);
}

bool slice_is_full(const struct slice *slice)
{
    return slice->count == SLICE_LINES_MAX || slice->bytes >= SLICE_BYTES_MAX;
}

struct slice *stream_filling(struct stream *stream)
{
    return &stream->slices[stream->filling];
}

static void empty(struct slice *slice)
{
    free_records(slice);
    request_discharge(slice->stream->request, slice->bytes);
    slice->bytes = 0;
}

/* ---- to the store and back ---- */

static void slice_done(struct store_op *op, void *arg)
{
    struct slice *slice = arg;
    struct stream *stream = slice->stream;
    struct server *server = stream->server;

    (void)op;
    atomic_store(&slice->done, true);
    if (atomic_exchange(&stream->waiting, false))
        (void)request_resume(stream->request, REQUEST_WAITS_STORE);
    stream_unref(stream);
    server_release(server);
}

static void submit(struct slice *slice)
{
    struct stream *stream = slice->stream;

    slice->op = (struct store_op){
        .type = STORE_PUT, .now_ms = rn_wall_ms(), .done_fn = slice_done, .arg = slice};
    slice->op.put.records = slice->records;
    slice->op.put.count = slice->count;
    if (stream->has_key) {
        slice->key.lines_before = slice->lines_before;
        memcpy(slice->key.hash_before, slice->hash_before, KEY_HASH_BYTES);
        memcpy(slice->key.hash, slice->hashes[slice->count - 1], KEY_HASH_BYTES);
        slice->op.put.key = &slice->key;
    }
    atomic_store(&slice->done, false);
    slice->in_flight = true;
    atomic_fetch_add(&stream->count_refs, 1);
    atomic_fetch_add(&stream->server->busy, 1);
    int r = engine_submit(stream->server->engine, &slice->op);
    if (r == 0)
        return;
    atomic_fetch_sub(&stream->count_refs, 1);
    server_release(stream->server);
    slice->in_flight = false;
    empty(slice);
    fail_error(stream, r);
}

bool stream_send(struct stream *stream)
{
    struct slice *slice = stream_filling(stream);
    struct slice *other = &stream->slices[1 - stream->filling];

    RN_ASSERT(slice->count > 0);
    if (!stream_collect(stream))
        return false;
    if (slice->count == 0 || stream->drops)
        return true; // another stream has stored its lines meanwhile, or the slice before it was
                     // refused
    other->lines_before = slice->lines_before + slice->count;
    if (stream->has_key)
        memcpy(other->hash_before, slice->hashes[slice->count - 1], KEY_HASH_BYTES);
    stream->filling = 1 - stream->filling;
    submit(slice);
    return true;
}

/* Takes the lines that are stored under the key already off a slice. false: they were others. */
static bool trim(struct slice *slice)
{
    struct stream *stream = slice->stream;
    uint64_t over =
        stream->known_count > slice->lines_before ? stream->known_count - slice->lines_before : 0;
    size_t gone = over < slice->count ? (size_t)over : slice->count;

    if (gone == 0)
        return true;
    // Of lines that are still to come the hash is compared when they have been read.
    if (stream->known_count <= slice->lines_before + slice->count &&
        memcmp(slice->hashes[gone - 1], stream->known_hash, KEY_HASH_BYTES) != 0)
        return false;
    for (size_t i = 0; i < gone; i++)
        record_free(slice->records[i]);
    memcpy(slice->hash_before, slice->hashes[gone - 1], KEY_HASH_BYTES);
    memmove(slice->records, slice->records + gone,
            (slice->count - gone) * sizeof(slice->records[0]));
    memmove(slice->hashes, slice->hashes + gone, (slice->count - gone) * sizeof(slice->hashes[0]));
    slice->lines_before += gone;
    slice->count -= gone;
    return true;
}

/* Another stream with this key has stored lines since this one looked. */
static void catch_up(struct slice *slice)
{
    struct stream *stream = slice->stream;
    const struct store_key_state *state = &slice->op.put.key_state;

    if (!state->exists || !state->is_stream || state->count < slice->lines_before) {
        fail_error(stream, -EAGAIN); // the key has run out meanwhile
        return;
    }
    stream->known_count = state->count;
    memcpy(stream->known_hash, state->hash, KEY_HASH_BYTES);
    stream->first_id = state->first_id;
    stream->last_id = state->last_id;
    if (!trim(slice) || !trim(stream_filling(stream))) {
        fail_error(stream, -EEXIST);
        return;
    }
    stream->stored = slice->lines_before;
    if (slice->count > 0)
        submit(slice);
}

static void take_result(struct slice *slice)
{
    struct stream *stream = slice->stream;
    const struct store_op *op = &slice->op;

    slice->in_flight = false;
    if (op->result == -ESTALE && stream->has_key) {
        catch_up(slice);
    } else if (op->result < 0) {
        fail_error(stream, op->result);
    } else {
        if (stream->first_id == 0)
            stream->first_id = op->put.ids_first;
        stream->last_id = op->put.ids_first + slice->count - 1;
        stream->stored = slice->lines_before + slice->count;
        stream->written += slice->count;
        stream->request->log.tasks = stream->stored;
        stream->request->has_effect = true;
    }
    if (!slice->in_flight)
        empty(slice);
}

bool stream_collect(struct stream *stream)
{
    struct slice *slice = &stream->slices[1 - stream->filling];

    if (slice->in_flight && atomic_load(&slice->done))
        take_result(slice);
    return !slice->in_flight;
}

void stream_wait(struct stream *stream, request_fn *next_fn)
{
    struct slice *slice = &stream->slices[1 - stream->filling];

    if (!request_suspend(stream->request, REQUEST_WAITS_STORE, next_fn)) {
        // The server stops: what is in flight may be stored, but is not counted.
        request_problem_error(stream->request, -EPIPE);
        return;
    }
    atomic_store(&stream->waiting, true);
    if (atomic_load(&slice->done) && atomic_exchange(&stream->waiting, false))
        (void)request_resume(stream->request, REQUEST_WAITS_STORE);
}
