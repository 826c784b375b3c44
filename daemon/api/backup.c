/* POST /v1/backup and POST /v1/export: the store's copy is made on the store's thread while the
 * request is suspended; for an export its lines are then written on a thread of its own. What is
 * sent is a file, which has no name and goes when it is closed.
 *
 * One at a time of them and imports, from the request to the end of its answer: each takes as much
 * of the disk as the store does. An answer that is read so slowly that it would hold this for ever
 * is cut: see connection_pace. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "api/calls.h"
#include "api/connections.h"
#include "api/request.h"

struct backup {
    struct request *request;
    bool is_export;
    struct store_copy *copy; // of an export; NULL: not yet, or not any more
    int fd;                  // of what is sent; -1: not yet
    uint64_t bytes;          // of it
    int result;              // of writing an export's lines
    struct error error;      // the same in words
    uint64_t sent_at;        // what was sent when the answer's deadline was last put off
    char file_name[80];
};

static void backup_free(void *work)
{
    struct backup *backup = work;
    struct request *request = backup->request;

    // Where nobody looked at the operation any more, it still has them.
    if (request->op.backup.fd >= 0)
        (void)close(request->op.backup.fd); // its bytes go with it
    store_copy_free(request->op.backup.copy);
    store_copy_free(backup->copy);
    if (backup->fd >= 0)
        (void)close(backup->fd);
    atomic_store(&request->server->has_exchange, false);
    free(backup);
}

/* libmicrohttpd asks for more when what it had is in the socket. */
static ssize_t read_file(void *cls, uint64_t position, char *bytes, size_t size)
{
    struct request *request = cls;
    struct backup *backup = request->work;

    connection_pace(request->connection, request->limits.answer_timeout, position,
                    &backup->sent_at);
    ssize_t n = pread(backup->fd, bytes, size, (off_t)position);
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR; // the connection is cut: all know it
}

static void name_file(struct request *request, struct backup *backup)
{
    char instant[32] = "";
    time_t now = time(NULL);
    struct tm parts;

    if (gmtime_r(&now, &parts) != NULL)
        (void)strftime(instant, sizeof(instant), "-%Y%m%dT%H%M%SZ", &parts);
    (void)snprintf(
        backup->file_name, sizeof(backup->file_name), "attachment; filename=\"runnel-%s%s.%s\"",
        engine_store_id(request->server->engine), instant, backup->is_export ? "ndjson" : "db");
}

static void refuse(struct request *request, int error)
{
    const struct store_op *op = &request->op;

    if (error == -ENOSPC && op->backup.needed_bytes > op->backup.free_bytes)
        request_problem(request, PROBLEM_STORE_FULL,
                        "the store is copied beside itself first: that needs %llu MiB there, and "
                        "%llu MiB are free",
                        (unsigned long long)(op->backup.needed_bytes >> 20),
                        (unsigned long long)(op->backup.free_bytes >> 20));
    else if (error == -EBUSY)
        request_problem(request, PROBLEM_BUSY,
                        "another backup, export or import is under way: one at a time");
    else // nobody wants it any more: the server stops, or the client has left
        request_problem_error(request, error == -ECANCELED ? -EPIPE : error);
}

static void send_file(struct request *request)
{
    struct backup *backup = request->work;

    name_file(request, backup);
    request_answer(request, &(struct answer){.status = 200,
                                             .type = backup->is_export ? "application/x-ndjson"
                                                                       : "application/vnd.sqlite3",
                                             .read_fn = read_file,
                                             .read_bytes = backup->bytes,
                                             .disposition = backup->file_name});
}

/* ---- the lines of an export ---- */

static int watch(void *arg)
{
    const struct backup *backup = arg;

    return atomic_load(&backup->request->is_abandoned) ? -EPIPE : store_scratch_room(backup->fd, 0);
}

/* On a thread of its own. */
static bool write_lines(struct request *request)
{
    struct backup *backup = request->work;
    struct store_exchange counts = {0};
    struct stat status = {0};

    int r = engine_scratch(request->server->engine, &backup->fd);
    if (r == 0)
        r = store_export_copy(backup->copy, backup->fd, &(struct store_watch){watch, backup},
                              &counts, &backup->error);
    if (r == 0 && fstat(backup->fd, &status) < 0)
        r = -errno;
    backup->bytes = (uint64_t)status.st_size;
    store_copy_free(RN_TAKE(backup->copy)); // its room goes back before the answer is sent
    backup->result = r;
    return false;
}

static void after_lines(struct request *request)
{
    const struct backup *backup = request->work;

    if (backup->result == 0) {
        send_file(request);
        return;
    }
    if (backup->result != -EPIPE)
        log_event(LOG_LEVEL_WARN, "export_failed", LOG_TEXT("error", backup->error.text));
    request_problem_error(request, backup->result);
}

/* ---- both ---- */

static void after_copy(struct request *request)
{
    struct backup *backup = request->work;
    struct store_op *op = &request->op;

    if (op->result < 0) {
        refuse(request, op->result);
        return;
    }
    if (backup->is_export) {
        backup->copy = RN_TAKE(op->backup.copy);
        request_aside(request, write_lines, after_lines);
        return;
    }
    backup->fd = op->backup.fd;
    op->backup.fd = -1;
    backup->bytes = op->backup.bytes;
    send_file(request);
}

static void begin(struct request *request, bool is_export)
{
    struct server *server = request->server;

    request->op = (struct store_op){.type = STORE_BACKUP,
                                    .backup.fd = -1,
                                    .backup.is_read = is_export,
                                    .backup.is_abandoned = &request->is_abandoned};
    if (atomic_exchange(&server->has_exchange, true)) {
        refuse(request, -EBUSY);
        return;
    }
    struct backup *backup = request_work_new(request, sizeof(*backup), backup_free);
    if (backup == NULL) {
        atomic_store(&server->has_exchange, false);
        return;
    }
    *backup = (struct backup){.request = request, .is_export = is_export, .fd = -1};
    // Without the watch a client that leaves goes unnoticed until the copy is whole.
    (void)connection_watch(request->connection);
    request_submit(request, after_copy);
}

void call_backup(struct request *request)
{
    begin(request, false);
}

void call_export(struct request *request)
{
    begin(request, true);
}
