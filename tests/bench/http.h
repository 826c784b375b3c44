/*
 * A small HTTP/1.1 client for the benchmarks: one request at a time on a kept connection to
 * 127.0.0.1, and what they ask runneld.
 */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct http_answer {
    int status;
    bool closes; // the server closes the connection after this answer: it takes so many requests on
                 // one
    char *body;  // within the caller's buffer, not terminated
    size_t body_length;
};

/* Connects to 127.0.0.1:port with TCP_NODELAY and limits of 60 s for each send and recv. */
int http_connect(uint16_t port);

/* Makes a new connection to the same port under the same descriptor. */
void http_reconnect(int fd);

/* The port that fd is connected to: the Host header must name it. */
uint16_t http_port(int fd);

/* Reads the answer at the start of text. Returns its length in bytes, or 0 while it is not all
 * there. */
size_t http_parse(char *text, size_t length, struct http_answer *ret_answer);

/* Sends all of it. */
void http_send(int fd, const char *bytes, size_t length);

/* Waits for the next answer, and connects anew where the server closes behind it. The answer must
 * fit into buffer; it is terminated with a NUL. */
void http_receive(int fd, char *buffer, size_t capacity, struct http_answer *ret_answer);

/* Does POST /v1/queues/{queue}/{action}; dies unless the answer is 200. */
void queue_action(int fd, const char *queue, const char *action);

struct queue_counts {
    uint64_t unfinished; // scheduled, queued, retrying, held, running
    uint64_t succeeded;
    uint64_t failed; // and cancelled
};

void queue_counts(int fd, const char *queue, struct queue_counts *ret_counts);

/*
 * Waits until every task of the queue has ended and its end is recorded; returns now_ns() of that
 * moment, seen at most 2 ms late. Dies when a task failed, or when nothing ended for 30 s.
 */
uint64_t queue_wait_drained(int fd, const char *queue);

/* Waits until retention has brought the succeeded tasks down to the cap; returns now_ns() of that
 * moment. */
uint64_t queue_wait_kept(int fd, const char *queue, uint64_t cap);

/*
 * The end of a run of tasks that began at started_at: waits for the last end, then for retention.
 * Prints rate (tasks a second until the last recorded end), kept (succeeded tasks at that moment)
 * and kept_rate (tasks a second until no more than cap are kept).
 */
void queue_report_run(int fd, const char *queue, uint64_t cap, uint64_t tasks, uint64_t started_at);

#endif
