/** \file
 * A request: from its first line over gate, query and body to its answer; suspended and resumed at
 * most once at a time.
 */
#ifndef API_REQUEST_H
#define API_REQUEST_H

#include "api/core.h"

/* ---- libmicrohttpd's callbacks; cls is the listener ---- */

void *request_line(void *cls, const char *uri, struct MHD_Connection *mhd);
enum MHD_Result request_handle(void *cls, struct MHD_Connection *mhd, const char *url,
                               const char *method, const char *version, const char *data,
                               size_t *size, void **context);
void request_completed(void *cls, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode code);

/** Ends a request that libmicrohttpd did not complete. */
void request_fini(struct request *request);

/* ---- memory: bodies, parsed tasks and operations together ---- */

/** false: max_request_memory would be passed. */
bool request_charge(struct request *request, size_t bytes) RN_MUST_CHECK;
void request_discharge(struct request *request, size_t bytes);

/** Frees the body and gives back its charge, once it is not needed any more. */
void request_drop_body(struct request *request);

/** The route's own, zeroed: request->work, which free_fn gets when the request ends. NULL: there is
 * no memory, and that is answered. */
void *request_work_new(struct request *request, size_t bytes, void (*free_fn)(void *work))
    RN_MUST_CHECK;

/* ---- suspension; on the request's HTTP thread unless said ---- */

/** Suspends until request_resume with the same `waits`, then next_fn is called. false: the server
 * stops, nothing was done. */
bool request_suspend(struct request *request, enum request_waits waits, request_fn *next_fn)
    RN_MUST_CHECK;
/** Resumes it if it waits for that; returns whether it was this call. Threads: any; the request
 * must be known to be alive. */
bool request_resume(struct request *request, enum request_waits waits);
/** Suspends and submits request->op; next_fn then finds the result there. Answers by itself when
 * the server stops. */
void request_submit(struct request *request, request_fn *next_fn);
/** The same with request->read. */
void request_read(struct request *request, request_fn *next_fn);
/** Suspends and runs aside_fn on a thread of its own, so that it may take long: it touches only
 * what is the request's own. Where it says so, request->op is submitted from there, whether the
 * client is still there or not. Then next_fn is called. Answers by itself where there is no thread,
 * and when the server stops. */
void request_aside(struct request *request, request_aside_fn *aside_fn, request_fn *next_fn);
/** After a suspension of a request that now goes on reading its body: server_stop need not wait for
 * it. */
void request_idle(struct request *request);
/** Lets others be served before next_fn goes on with long work. */
void request_yield(struct request *request, request_fn *next_fn);

/* ---- answers ---- */

struct answer {
    unsigned status;
    const char *type;                  // NULL: application/json
    struct buffer *text;               // taken; NULL: no body, or that of read_fn
    MHD_ContentReaderCallback read_fn; // gives a body of read_bytes; its cls is the request
    uint64_t read_bytes;
    const char *disposition; // Content-Disposition; NULL: none
    bool is_verbatim;        // no newline is added, and ?pretty means nothing
    const char *location;    // NULL: none
    const char *allow;
    unsigned retry_after_s; // 0: none
    bool is_replayed;
};
/** Gives the answer. On its HTTP thread, once a request. */
void request_answer(struct request *request, const struct answer *answer);
/** 200 or another status with JSON. */
void request_answer_json(struct request *request, unsigned status, struct buffer *text);
void request_problem(struct request *request, enum problem problem, const char *format, ...)
    RN_PRINTF(3, 4);
/** A problem whose object problem_begin has begun and that may have got more members. */
void request_problem_text(struct request *request, enum problem problem, struct buffer *text);
/** invalid-query. Returns -EINVAL. */
int request_bad_query(struct request *request, const char *format, ...) RN_PRINTF(2, 3);
/** The problem that an error of the store or engine is, with a sentence of its own. */
void request_problem_error(struct request *request, int error);
/** invalid-task or invalid-queue with all faults; too-large where one of them is that. */
void request_problem_faults(struct request *request, enum problem problem, struct faults *faults);

#endif
