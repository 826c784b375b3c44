/* POST /v1/backup: the store's copy is made on the store's thread while the request is suspended,
 * then sent from its file, which has no name and goes when it is closed.
 *
 * One at a time, from the request to the end of its answer: each takes as much of the disk as the
 * store does. An answer that is read so slowly that it would hold this for ever is cut: from one
 * answer_timeout to the next at least MIN_RATE bytes a second must have gone. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "api/calls.h"
#include "api/connections.h"
#include "api/request.h"

enum { MIN_RATE = 64 << 10 };

struct backup {
    struct request *request; // its operation has the copy, once that is whole
    uint64_t sent_bytes;
    uint64_t renewed_at; // what was sent when the answer's deadline was last put off
    char file_name[80];
};

static void backup_free(void *work)
{
    struct backup *backup = work;
    struct request *request = backup->request;

    if (request->op.backup.fd >= 0)
        (void)close(request->op.backup.fd); // its bytes go with it
    atomic_store(&request->server->has_backup, false);
    free(backup);
}

/* Puts the deadline off where enough has gone since it was last put off. */
static void renew_deadline(struct request *request, struct backup *backup)
{
    rn_duration length = request->limits.answer_timeout;
    uint64_t least = (uint64_t)length / (uint64_t)RN_MILLISECOND * MIN_RATE / 1000;

    if (backup->sent_bytes - backup->renewed_at < least)
        return;
    backup->renewed_at = backup->sent_bytes;
    connection_deadline(request->connection, length);
}

/* libmicrohttpd asks for more when what it had is in the socket. */
static ssize_t read_copy(void *cls, uint64_t position, char *bytes, size_t size)
{
    struct request *request = cls;
    struct backup *backup = request->work;

    backup->sent_bytes = position;
    renew_deadline(request, backup);
    ssize_t n = pread(request->op.backup.fd, bytes, size, (off_t)position);
    return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR; // the connection is cut: all know it
}

static void name_file(struct request *request, struct backup *backup)
{
    char instant[32] = "";
    time_t now = time(NULL);
    struct tm parts;

    if (gmtime_r(&now, &parts) != NULL)
        (void)strftime(instant, sizeof(instant), "-%Y%m%dT%H%M%SZ", &parts);
    (void)snprintf(backup->file_name, sizeof(backup->file_name),
                   "attachment; filename=\"runnel-%s%s.db\"",
                   engine_store_id(request->server->engine), instant);
}

static void refuse(struct request *request, int error)
{
    const struct store_op *op = &request->op;

    if (error == -ENOSPC && op->backup.needed_bytes > op->backup.free_bytes)
        request_problem(request, PROBLEM_STORE_FULL,
                        "a backup is copied beside the store first: it needs %llu MiB there, and "
                        "%llu MiB are free",
                        (unsigned long long)(op->backup.needed_bytes >> 20),
                        (unsigned long long)(op->backup.free_bytes >> 20));
    else if (error == -EBUSY)
        request_problem(request, PROBLEM_BUSY,
                        "another backup is being made or sent: one at a time");
    else // nobody wants it any more: the server stops, or the client has left
        request_problem_error(request, error == -ECANCELED ? -EPIPE : error);
}

static void after_copy(struct request *request)
{
    struct backup *backup = request->work;
    const struct store_op *op = &request->op;

    if (op->result < 0) {
        refuse(request, op->result);
        return;
    }
    name_file(request, backup);
    request_answer(request, &(struct answer){.status = 200,
                                             .type = "application/vnd.sqlite3",
                                             .read_fn = read_copy,
                                             .read_bytes = op->backup.bytes,
                                             .disposition = backup->file_name});
}

void call_backup(struct request *request)
{
    struct server *server = request->server;

    request->op = (struct store_op){
        .type = STORE_BACKUP, .backup.fd = -1, .backup.is_abandoned = &request->is_abandoned};
    if (atomic_exchange(&server->has_backup, true)) {
        refuse(request, -EBUSY);
        return;
    }
    struct backup *backup = malloc(sizeof(*backup));
    if (backup == NULL) {
        atomic_store(&server->has_backup, false);
        request_problem_error(request, -ENOMEM);
        return;
    }
    *backup = (struct backup){.request = request};
    request->work = backup;
    request->work_free_fn = backup_free;
    // Without the watch a client that leaves goes unnoticed until the copy is whole.
    (void)connection_watch(request->connection);
    request_submit(request, after_copy);
}
