/* The event `request`. */
#include "api/request_log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/core.h"
#include "observe/log.h"

enum { ID_BYTES = 48, FIELDS_MAX = 16 };

void request_log_begin(struct request *request, const char *url)
{
    struct request_log *log = &request->log;

    *log = (struct request_log){.is_on = request->config->access_log};
    atomic_store(&request->status, 0);
    if (!log->is_on)
        return;
    log->begun_at = rn_now();
    size_t length = strnlen(url, request->limits.max_url);
    log->url = malloc(length + 1);
    if (log->url == NULL)
        return;
    memcpy(log->url, url, length);
    log->url[length] = '\0';
}

const char *request_log_peer(const struct sockaddr *address, int fd,
                             char text[static REQUEST_LOG_PEER_BYTES])
{
    char host[INET6_ADDRSTRLEN];
    struct sockaddr_in four;
    struct sockaddr_in6 six;
    struct ucred user;
    socklen_t size = sizeof(user);

    switch (address != NULL ? address->sa_family : AF_UNSPEC) {
    case AF_INET:
        memcpy(&four, address, sizeof(four));
        if (inet_ntop(AF_INET, &four.sin_addr, host, sizeof(host)) == NULL)
            return NULL;
        snprintf(text, REQUEST_LOG_PEER_BYTES, "%s:%u", host, ntohs(four.sin_port));
        return text;
    case AF_INET6:
        memcpy(&six, address, sizeof(six));
        if (inet_ntop(AF_INET6, &six.sin6_addr, host, sizeof(host)) == NULL)
            return NULL;
        snprintf(text, REQUEST_LOG_PEER_BYTES, "[%s]:%u", host, ntohs(six.sin6_port));
        return text;
    case AF_UNIX:
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &user, &size) < 0)
            return "unix";
        snprintf(text, REQUEST_LOG_PEER_BYTES, "unix:%u", user.uid);
        return text;
    default:
        return NULL;
    }
}

void request_log_end(struct request *request)
{
    struct request_log *log = &request->log;
    const struct connection *connection = request->connection;
    struct log_field fields[FIELDS_MAX];
    size_t count = 0;
    char peer[REQUEST_LOG_PEER_BYTES];
    char id[ID_BYTES];

    if (!log->is_on)
        return;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info == NULL ? NULL : info->client_addr;
    snprintf(id, sizeof(id), "%llu.%u", (unsigned long long)connection->serial,
             connection->request_count);
    if (request->id != 0)
        fields[count++] = LOG_UINT("task", request->id);
    fields[count++] = LOG_TEXT("request_id", id);
    fields[count++] = LOG_TEXT("peer", request_log_peer(address, connection->fd, peer));
    if (request->token != NULL)
        fields[count++] = LOG_TEXT("token", request->token->name);
    fields[count++] = LOG_TEXT("method", log->method[0] != '\0' ? log->method : NULL);
    fields[count++] = LOG_UINT("status", atomic_load(&request->status));
    fields[count++] = LOG_UINT("bytes_in", log->bytes_in);
    fields[count++] = LOG_UINT("bytes_out", log->bytes_out);
    fields[count++] = LOG_INT("duration_ms", (rn_now() - log->begun_at) / RN_MILLISECOND);
    if (request->is_stream || log->tasks > 0)
        fields[count++] = LOG_UINT("tasks", log->tasks);
    if (!log->is_sent && atomic_load(&connection->is_expired))
        fields[count++] = LOG_BOOL("expired", true);
    else if (!log->is_sent && !atomic_load(&request->server->stopping))
        fields[count++] = LOG_BOOL("left", true);
    // The last one, since it is the client's: what is cut is cut here.
    fields[count++] = LOG_TEXT("url", log->url);
    log_fields(LOG_LEVEL_NOTICE, "request", fields, count);
    log->is_on = false;
    free(RN_TAKE(log->url));
}
