/** \file A server on a free port with the fake engine, and a client that sends bytes as a test
 * wrote them. */
#ifndef TESTS_CLIENT_H
#define TESTS_CLIENT_H

#include <jansson.h>

#include "api/server.h"
#include "fake_engine.h"

struct rig {
    struct engine *engine;
    struct server *server;
    uint16_t port;
};

/** cmocka's setup and teardown: *state is a struct rig. */
int rig_setup(void **state);
int rig_teardown(void **state);
/** The rig without its server, for a test that changes the configuration first. */
int rig_setup_stopped(void **state);
void rig_start(struct rig *rig);

struct reply {
    int status; // 0: the connection was closed without an answer
    char *head; // with its empty line
    char *body;
    size_t body_bytes;
    json_t *json; // of the body; NULL: it is none
    bool closed;  // Connection: close was announced
};
void reply_fini(struct reply *reply);
/** The value of a header field, new; NULL: it is not there. */
char *reply_field(const struct reply *reply, const char *name);

/** A new connection. */
int client_connect(struct rig *rig);
void client_send(int fd, const char *bytes, size_t length);
void client_text(int fd, const char *text);
/** At most 4 KiB, as printf makes them. */
void client_textf(int fd, const char *format, ...) RN_PRINTF(2, 3);
/** Reads one answer. */
struct reply client_read(int fd, bool is_head);
/** Reads until the other side closes, into text. */
void client_read_all(int fd, char *text, size_t size);
/** Whether the other side has closed, waiting for it. */
bool client_is_closed(int fd);

/** One request with the usual header on a new connection. body NULL: none. fields: further header
 * lines, each with CRLF; NULL: none. */
struct reply request(struct rig *rig, const char *method, const char *path, const char *fields,
                     const char *body);
struct reply request_on(int fd, struct rig *rig, const char *method, const char *path,
                        const char *fields, const char *body);
/** POST /v1/tasks with JSON. */
struct reply post(struct rig *rig, const char *path, const char *body);

/** The status in the first line of an answer. */
int status_of(const char *line);
/** A task whose args are a string of this many bytes, with its quotes. New. */
char *task_with_args(size_t bytes);

const char *json_text_at(const struct reply *reply, const char *key);
json_int_t json_int_at(const struct reply *reply, const char *key);

/** Fails the test unless the answer is the problem of this code; frees it. pointer: of one of its
 * errors; NULL: not looked at. */
void expect_problem(struct reply reply, int status, const char *code, const char *pointer);

/** Bytes that requests take at the moment, by /v1/stats. */
json_int_t rig_memory(struct rig *rig);

#endif
