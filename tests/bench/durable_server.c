/*
 * The yardstick for durable submits: the bare prototype of runneld's way in, without anything that
 * makes it a job server. libmicrohttpd (epoll, one thread, suspend and resume), jansson, one SQLite
 * writer with group commit; a request is answered after its transaction is committed (WAL,
 * synchronous=FULL).
 *
 *   durable_server FOLDER
 *
 * Prints `port=N`, then serves until SIGTERM. Its database in FOLDER is made anew.
 *
 * Threads: libmicrohttpd's, the writer, and main, which waits for the signal. A request belongs to
 * libmicrohttpd's thread until it is put on the list, to the writer until MHD_resume_connection,
 * and then to libmicrohttpd's thread again.
 */
#include <arpa/inet.h>
#include <jansson.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <unistd.h>

#include "bench.h"
#include "sql.h"

enum {
    BODY_BYTES_MAX = 1 << 20,
    CONNECTIONS_MAX = 1024,
};

#define RUN_AT INT64_C(1764000000000)

struct request {
    struct request *next;
    struct MHD_Connection *connection;
    json_t *task;
    char *args;
    char *body;
    size_t body_length;
    size_t body_capacity;
    sqlite3_int64 id;
    bool stored;
};

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER;
static struct request *head; // under mu: not yet taken by the writer
static struct request **tail = &head;
static bool stopping; // under mu

static void bind_member(sqlite3_stmt *statement, int index, json_t *task, const char *member)
{
    sqlite3_bind_text(statement, index, json_string_value(json_object_get(task, member)), -1,
                      SQLITE_STATIC);
}

static void insert(sqlite3_stmt *statement, struct request *request)
{
    request->args = json_dumps(json_object_get(request->task, "args"), JSON_COMPACT);
    sqlite3_bind_int64(statement, 1,
                       json_integer_value(json_object_get(request->task, "priority")));
    sqlite3_bind_int64(statement, 2, RUN_AT);
    bind_member(statement, 3, request->task, "queue");
    bind_member(statement, 4, request->task, "kind");
    sqlite3_bind_text(statement, 5, request->args, -1, SQLITE_STATIC);
    step(statement);
    request->id = sqlite3_last_insert_rowid(db);
}

/* Waits for requests and takes all there are; NULL at the end. */
static struct request *take_all(void)
{
    pthread_mutex_lock(&mu);
    while (head == NULL && !stopping)
        pthread_cond_wait(&filled, &mu);
    struct request *taken = head;
    head = NULL;
    tail = &head;
    pthread_mutex_unlock(&mu);
    return taken;
}

static void *write_loop(void *arg)
{
    sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE");
    sqlite3_stmt *commit = prepare("COMMIT");
    sqlite3_stmt *put = prepare("INSERT INTO jobs(state,priority,run_at,attempt,queue,kind,payload)"
                                " VALUES(0,?1,?2,0,?3,?4,?5)");
    struct request *taken;

    (void)arg;
    while ((taken = take_all()) != NULL) {
        step(begin);
        for (struct request *request = taken; request != NULL; request = request->next)
            insert(put, request);
        step(commit);
        while (taken != NULL) {
            struct request *next = taken->next; // resumed, it is no longer ours
            taken->stored = true;
            MHD_resume_connection(taken->connection);
            taken = next;
        }
    }
    sqlite3_finalize(begin);
    sqlite3_finalize(commit);
    sqlite3_finalize(put);
    return NULL;
}

static enum MHD_Result append_body(struct request *request, const char *bytes, size_t length)
{
    if (request->body_length + length > BODY_BYTES_MAX)
        return MHD_NO;
    if (request->body_length + length > request->body_capacity) {
        request->body_capacity = (request->body_length + length) * 2;
        request->body = realloc(request->body, request->body_capacity);
        if (request->body == NULL)
            DIE("no memory");
    }
    memcpy(request->body + request->body_length, bytes, length);
    request->body_length += length;
    return MHD_YES;
}

static enum MHD_Result submit(struct request *request, struct MHD_Connection *connection)
{
    request->task = json_loadb(request->body, request->body_length, 0, NULL);
    if (request->task == NULL)
        return MHD_NO;
    request->connection = connection;
    MHD_suspend_connection(connection);
    pthread_mutex_lock(&mu);
    *tail = request;
    tail = &request->next;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&mu);
    return MHD_YES;
}

static enum MHD_Result answer(struct request *request, struct MHD_Connection *connection)
{
    json_t *object = json_pack("{s:I, s:O, s:O, s:s, s:i, s:i, s:I}", "id", (json_int_t)request->id,
                               "queue", json_object_get(request->task, "queue"), "kind",
                               json_object_get(request->task, "kind"), "state", "queued", "attempt",
                               0, "priority", 0, "run_at", (json_int_t)RUN_AT);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL)
        return MHD_NO;

    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    MHD_add_response_header(response, "Content-Type", "application/json");
    enum MHD_Result result = MHD_queue_response(connection, MHD_HTTP_CREATED, response);
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result handle(void *cls, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *upload,
                              size_t *upload_length, void **state)
{
    struct request *request = *state;

    (void)cls;
    (void)url;
    (void)method;
    (void)version;
    if (request == NULL) {
        *state = allocate(sizeof(struct request));
        return MHD_YES;
    }
    if (*upload_length > 0) {
        enum MHD_Result result = append_body(request, upload, *upload_length);
        *upload_length = 0;
        return result;
    }
    return request->stored ? answer(request, connection) : submit(request, connection);
}

static void complete(void *cls, struct MHD_Connection *connection, void **state,
                     enum MHD_RequestTerminationCode code)
{
    struct request *request = *state;

    (void)cls;
    (void)connection;
    (void)code;
    if (request == NULL)
        return;
    json_decref(request->task);
    free(request->args);
    free(request->body);
    free(request);
    *state = NULL;
}

static void open_database(const char *folder)
{
    static const char *const suffixes[] = {"", "-wal", "-shm"};
    char path[4096];

    for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
        snprintf(path, sizeof(path), "%s/durable.db%s", folder, suffixes[i]);
        unlink(path);
    }
    snprintf(path, sizeof(path), "%s/durable.db", folder);
    if (sqlite3_open(path, &db) != SQLITE_OK)
        DIE("cannot open %s", path);
    execute("PRAGMA journal_mode=WAL");
    execute("PRAGMA cache_size=-65536");
    execute("PRAGMA locking_mode=EXCLUSIVE");
    execute("PRAGMA synchronous=FULL");
    execute("CREATE TABLE jobs(id INTEGER PRIMARY KEY, state INT NOT NULL, priority INT NOT NULL,"
            " run_at INT NOT NULL, attempt INT NOT NULL, queue TEXT, kind TEXT, payload TEXT,"
            " result TEXT)");
    execute("CREATE INDEX jobs_ready ON jobs(state, priority, run_at)");
}

static struct MHD_Daemon *start_server(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    struct MHD_Daemon *server = MHD_start_daemon(
        MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, handle, NULL,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&address, MHD_OPTION_NOTIFY_COMPLETED, complete,
        NULL, MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS_MAX, MHD_OPTION_END);
    if (server == NULL)
        DIE("libmicrohttpd does not start");
    printf("port=%u\n", MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port);
    fflush(stdout);
    return server;
}

int main(int argc, char **argv)
{
    sigset_t signals;
    pthread_t writer;
    int received;

    if (argc != 2)
        DIE("usage: durable_server FOLDER");
    open_database(argv[1]);
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&writer, NULL, write_loop, NULL) != 0)
        DIE("no thread");
    struct MHD_Daemon *server = start_server();
    sigwait(&signals, &received);

    // The load generator has had its last answer, so nothing is suspended.
    MHD_stop_daemon(server);
    pthread_mutex_lock(&mu);
    stopping = true;
    pthread_cond_signal(&filled);
    pthread_mutex_unlock(&mu);
    pthread_join(writer, NULL);
    sqlite3_close(db);
    return 0;
}
