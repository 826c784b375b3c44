/* A stream of tasks: reads lines as they come, makes records of them, and stores them slice by
 * slice. Memory is bounded: one incomplete line, and two slices. Where a slice is full while the
 * one before it is in flight, the rest of what libmicrohttpd has read stays with it, the request is
 * suspended, and so the client is slowed down.
 *
 * libmicrohttpd calls again after a resume only for bytes that were left with it, so a suspension
 * always leaves at least one. */
#include "api/stream.h"

#include <stdio.h>
#include <string.h>

#include "api/body.h"
#include "api/connections.h"
#include "api/request.h"
#include "api/slice.h"
#include "config/units.h"

/* ---- lines ---- */

static void begin_problem(struct stream *stream, struct buffer *text, enum problem problem,
                          const char *detail)
{
    char sentence[600];

    (void)snprintf(sentence, sizeof(sentence), "line %llu: %s",
                   (unsigned long long)stream->line_number, detail);
    problem_begin(text, problem, sentence);
    buffer_printf(text, ",\"line\":%llu", (unsigned long long)stream->line_number);
}

/* A bad line ends the stream; the lines before it are stored. */
static void bad_line(struct stream *stream, enum problem problem, const char *detail)
{
    struct buffer text = {.bytes = NULL};

    begin_problem(stream, &text, problem, detail);
    stream_fail(stream, problem, &text, false);
}

static void bad_json(struct stream *stream, const char *line, const struct body_fault *fault)
{
    struct buffer text = {.bytes = NULL};
    char detail[400];
    unsigned ignored = 0;
    unsigned column = 0;

    scan_place(line, fault->offset, &ignored, &column);
    (void)snprintf(detail, sizeof(detail), "column %u: %s", column, fault->text);
    begin_problem(stream, &text, PROBLEM_INVALID_JSON, detail);
    buffer_printf(&text, ",\"column\":%u", column);
    stream_fail(stream, PROBLEM_INVALID_JSON, &text, false);
}

static void bad_task(struct stream *stream, struct faults *faults)
{
    struct buffer text = {.bytes = NULL};
    enum problem problem = problem_of_faults(PROBLEM_INVALID_TASK, faults);

    begin_problem(stream, &text, problem, "the task is not valid: see errors");
    BUFFER_LITERAL(&text, ",\"errors\":[");
    buffer_add(&text, faults->text.bytes, faults->text.length);
    BUFFER_LITERAL(&text, "]");
    stream_fail(stream, problem, &text, false);
}

static void add_record(struct stream *stream, struct record *record)
{
    struct slice *slice = stream_filling(stream);
    size_t bytes = record_bytes(record);

    if (!request_charge(stream->request, bytes)) {
        record_free(record);
        bad_line(stream, PROBLEM_BUSY,
                 "requests take all memory that they may take; send the rest again in a moment");
        return;
    }
    if (slice->count == 0)
        slice->started_at = rn_now();
    slice->records[slice->count] = record;
    slice->bytes += bytes;
    if (stream->has_key)
        memcpy(slice->hashes[slice->count], stream->hash, KEY_HASH_BYTES);
    slice->count++;
}

static void read_task(struct stream *stream, const char *line, size_t length)
{
    const struct body_text place = {
        .text = line, .to = length, .depth_max = stream->request->limits.max_json_depth};
    struct faults faults = {.count = 0};
    struct body_fault fault = {.offset = 0};
    struct body_value task;
    struct record *record = NULL;

    int r = body_parse(stream->request, &place, &task, &fault);
    if (r == 0) {
        r = fields_task(&stream->fields, task.value, line, &task.scan, &faults, &record);
        body_done(stream->request, &task);
        if (r == -EBADMSG) {
            fault.offset = task.scan.begin;
            (void)snprintf(fault.text, sizeof(fault.text),
                           "the key args must be written without escapes");
        }
    }
    if (r == 0)
        add_record(stream, record);
    else if (r == -EBADMSG)
        bad_json(stream, line, &fault);
    else if (r == -EINVAL)
        bad_task(stream, &faults);
    else if (r == -EMSGSIZE)
        bad_line(stream, PROBLEM_TOO_LARGE,
                 "the task has more values than max_request_memory allows");
    else
        bad_line(stream, problem_of_error(r),
                 "no memory for it now; send the rest again in a moment");
    faults_fini(&faults);
}

/* A line that is stored under the key already. */
static void skip_task(struct stream *stream)
{
    struct slice *slice = stream_filling(stream);

    // Nothing of a slice is there yet: lines are skipped before any is taken.
    slice->lines_before = stream->task_count;
    memcpy(slice->hash_before, stream->hash, KEY_HASH_BYTES);
    if (stream->task_count < stream->known_count)
        return;
    if (memcmp(stream->hash, stream->known_hash, KEY_HASH_BYTES) != 0)
        stream_fail_plain(
            stream, PROBLEM_KEY_REUSED,
            "the Idempotency-Key was used with other lines; another stream needs a new key", true);
    else
        stream->stored = stream->task_count;
}

static void take_line(struct stream *stream, const char *line, size_t length)
{
    stream->line_number++;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (scan_skip_space(line, length, 0) == length)
        return;
    stream->task_count++;
    if (stream->has_key)
        key_chain(stream->hash, line, length);
    if (stream->task_count <= stream->known_count)
        skip_task(stream);
    else
        read_task(stream, line, length);
}

/* Keeps the beginning of a line. */
static void keep(struct stream *stream, const char *bytes, size_t length)
{
    size_t before = stream->line.capacity;

    buffer_add(&stream->line, bytes, length);
    if (stream->line.failed || !request_charge(stream->request, stream->line.capacity - before)) {
        stream->line_number++;
        bad_line(stream, PROBLEM_BUSY,
                 "requests take all memory that they may take; send the rest again in a moment");
    }
}

/* The bytes up to the end of a line, or to the end of what is there. Returns how many were taken.
 */
static size_t take_bytes(struct stream *stream, const char *data, size_t size)
{
    const char *newline = memchr(data, '\n', size);
    size_t length = newline != NULL ? (size_t)(newline - data) : size;

    const size_t most = stream->request->limits.max_task_body;
    if (stream->line.length + length > most) {
        char size_text[32];
        char detail[80];
        (void)snprintf(detail, sizeof(detail), "a line has at most %s (max_task_body)",
                       units_bytes_text(most, size_text, sizeof(size_text)));
        stream->line_number++;
        bad_line(stream, PROBLEM_TOO_LARGE, detail);
        return 0;
    }
    if (newline == NULL || stream->line.length > 0)
        keep(stream, data, length);
    if (stream->is_ending)
        return 0;
    if (newline == NULL)
        return size;
    if (stream->line.length > 0) {
        take_line(stream, stream->line.bytes, stream->line.length);
        stream->line.length = 0;
    } else {
        take_line(stream, data, length);
    }
    return stream->is_ending ? length : length + 1; // the newline stays, if the end has to wait
}

/* ---- the end ---- */

static void answer_problem(struct stream *stream)
{
    struct buffer text = stream->problem_text;

    stream->problem_text = (struct buffer){.bytes = NULL};
    buffer_printf(&text, ",\"count\":%llu", (unsigned long long)stream->stored);
    request_problem_text(stream->request, stream->problem, &text);
}

static void answer_stored(struct stream *stream)
{
    struct buffer text = {.bytes = NULL};

    buffer_printf(&text, "{\"count\":%llu,", (unsigned long long)stream->stored);
    if (stream->first_id == 0)
        BUFFER_LITERAL(&text, "\"first_id\":null,\"last_id\":null}");
    else
        buffer_printf(&text, "\"first_id\":%llu,\"last_id\":%llu}",
                      (unsigned long long)stream->first_id, (unsigned long long)stream->last_id);
    request_answer(stream->request,
                   &(struct answer){.status = 201,
                                    .text = &text,
                                    .is_replayed = stream->written == 0 && stream->stored > 0});
}

/* What is to be stored is stored first; then the answer. */
static void finish(struct stream *stream)
{
    while (stream_collect(stream)) {
        if (stream_filling(stream)->count > 0 && !stream->drops) {
            (void)stream_send(stream); // nothing is in flight, so it is sent or has failed
            continue;
        }
        if (!stream->is_ending && stream->task_count < stream->known_count)
            stream_fail_plain(stream, PROBLEM_KEY_REUSED,
                              "the Idempotency-Key was used with more lines than these; another "
                              "stream needs a new key",
                              true);
        stream->request->log.tasks = stream->stored;
        if (stream->is_ending)
            answer_problem(stream);
        else
            answer_stored(stream);
        return;
    }
    stream_wait(stream, stream_end);
}

/* ---- the key ---- */

/* What is stored under the key tells where this stream begins. false: it is being read, the request
 * is suspended (or was answered). */
static bool look_up_key(struct stream *stream)
{
    struct request *request = stream->request;
    const struct store_key_state *state = &request->read.key.state;

    if (!stream->has_key || stream->key_is_known)
        return true;
    if (!stream->key_was_asked) {
        stream->key_was_asked = true;
        request->read.type = STORE_KEY;
        memcpy(request->read.key.text, request->key, sizeof(request->read.key.text));
        request->read.key.state = (struct store_key_state){.exists = false};
        request_read(request, stream_end);
        return false;
    }
    stream->key_is_known = true;
    if (request->read.result < 0) {
        stream_fail_plain(stream, problem_of_error(request->read.result),
                          "the key could not be looked up; send the stream again", true);
    } else if (state->exists && !state->is_stream) {
        stream_fail_plain(
            stream, PROBLEM_KEY_REUSED,
            "the Idempotency-Key was used with another request; a stream needs a new key", true);
    } else if (state->exists) {
        stream->known_count = state->count;
        memcpy(stream->known_hash, state->hash, KEY_HASH_BYTES);
        stream->first_id = state->first_id;
        stream->last_id = state->last_id;
    }
    return true;
}

/* ---- the body ---- */

/* A stream that trickles is stored before its slice is full. */
static void send_old(struct stream *stream)
{
    const struct slice *slice = stream_filling(stream);

    if (slice->count > 0 && rn_now() - slice->started_at > SLICE_AGE_MAX)
        (void)stream_send(stream); // if one is in flight: the next time
}

static size_t take_data(struct request *request, const char *data, size_t size)
{
    struct stream *stream = request->work;
    uint64_t line_number = stream->line_number;
    size_t used = 0;

    // Goes on, perhaps after a suspension.
    request_idle(request);
    connection_deadline_again(request->connection, request->limits.body_timeout);
    if (!look_up_key(stream))
        return 0;
    if (atomic_load(&request->server->stopping))
        stream_fail_plain(stream, PROBLEM_DRAINING,
                          "the daemon is stopping; send the rest again when it is back", true);
    stream->fields.now_ms = rn_wall_ms();
    while (used < size && !stream->is_ending) {
        if (slice_is_full(stream_filling(stream)) && !stream_send(stream)) {
            stream_wait(stream, stream_end);
            return used;
        }
        if (!stream->is_ending)
            used += take_bytes(stream, data + used, size - used);
    }
    if (stream->line_number > line_number)
        connection_deadline(request->connection, request->limits.body_timeout);
    if (!stream->is_ending)
        send_old(stream);
    if (stream->is_ending)
        finish(stream);
    return used;
}

void stream_begin(struct request *request)
{
    struct stream *stream = NULL;
    char problem[512];

    int r = stream_new(request, &stream);
    if (r == 0) {
        request->work = stream;
        request->work_free_fn = stream_unref;
        request->data_fn = take_data;
        r = fields_init(&stream->fields, request, problem);
    }
    if (r == -EINVAL || r == -EACCES)
        request_problem(request, r == -EACCES ? PROBLEM_FORBIDDEN : PROBLEM_INVALID_QUERY, "%s",
                        problem);
    else if (r < 0)
        request_problem_error(request, r);
}

void stream_end(struct request *request)
{
    if (request->work == NULL) {
        stream_begin(request); // there is no body at all
        if (request->phase == REQUEST_ANSWERED)
            return;
    }
    struct stream *stream = request->work;
    if (!look_up_key(stream))
        return;
    if (stream->line.length > 0 && !stream->is_ending) {
        // The last line needs no newline.
        size_t length = stream->line.length;
        if (slice_is_full(stream_filling(stream)) && !stream_send(stream)) {
            stream_wait(stream, stream_end);
            return;
        }
        stream->line.length = 0;
        if (!stream->is_ending)
            take_line(stream, stream->line.bytes, length);
    }
    finish(stream);
}
