/** \file
 * A stream's slices: up to 1,000 lines each, one in flight in the store while the other one is
 * filled.
 *
 * **Ownership.** The stream is counted: its request holds one, each slice in flight one, since the
 * client may leave while the store has the slice. **Threads.** All of it belongs to the HTTP thread
 * but `count_refs`, `waiting` and a slice's `done`; the store's thread reads request only when it
 * has taken `waiting`: then the request is suspended, and alive.
 */
#ifndef API_SLICE_H
#define API_SLICE_H

#include "api/core.h"
#include "api/fields.h"
#include "api/key.h"

enum { SLICE_LINES_MAX = 1000, SLICE_BYTES_MAX = 1 << 20 };
#define SLICE_AGE_MAX (200 * RN_MILLISECOND)

struct stream;

struct slice {
    struct stream *stream;
    struct store_op op;
    struct store_key key;
    struct record *records[SLICE_LINES_MAX];
    unsigned char (*hashes)[KEY_HASH_BYTES]; // with a key: the running hash behind each line
    unsigned char hash_before[KEY_HASH_BYTES];
    uint64_t lines_before; // tasks of the stream before this slice
    size_t count;
    size_t bytes; // charged
    rn_time started_at;
    bool in_flight;
    _Atomic bool done; // by the store
};

struct stream {
    _Atomic unsigned count_refs;
    _Atomic bool waiting; // the request is suspended until a slice is done
    struct server *server;
    struct request *request;
    struct fields fields;
    struct slice slices[2];
    unsigned filling; // index of the slice that takes lines; the other one may be in flight

    struct buffer line;   // an incomplete one
    uint64_t line_number; // complete ones, blank ones too
    uint64_t task_count;  // of them tasks
    uint64_t stored; // the first ones of them, which are stored: by this request or, under its key,
                     // by one before
    uint64_t written; // of them by this request
    uint64_t first_id, last_id;

    bool has_key, key_was_asked, key_is_known;
    uint64_t known_count; // tasks stored under the key
    unsigned char known_hash[KEY_HASH_BYTES];
    unsigned char hash[KEY_HASH_BYTES]; // running

    bool is_ending; // with problem
    bool drops;     // what was not submitted is not to be stored
    enum problem problem;
    struct buffer problem_text; // begun
};

int stream_new(struct request *request, struct stream **ret_stream) RN_MUST_CHECK;
void stream_unref(void *arg);

/** Ends the stream with a problem that problem_begin has begun; takes text. The first one counts.
 */
void stream_fail(struct stream *stream, enum problem problem, struct buffer *text, bool drops);
void stream_fail_plain(struct stream *stream, enum problem problem, const char *detail, bool drops);

bool slice_is_full(const struct slice *slice);
struct slice *stream_filling(struct stream *stream);
/** Submits the slice that is being filled; the other one takes its place. false: one is in flight.
 */
bool stream_send(struct stream *stream);
/** Takes in the result of the slice in flight, if it is there. Returns whether none is in flight
 * now. */
bool stream_collect(struct stream *stream);
/** Suspends the request until the slice in flight is done. */
void stream_wait(struct stream *stream, request_fn *next_fn);

#endif
