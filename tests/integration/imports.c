/* What the tests of POST /v1/import share. */
#include "imports.h"

#include <stdlib.h>
#include <string.h>

char *imports_task(unsigned id, const char *state, const char *queue, const char *kind,
                   const char *more)
{
    return text("{'id':%u,'state':'%s','queue':'%s','kind':'%s','priority':0,'run':%d,'attempt':%d,"
                "'interruptions':0,'created_at_ms':1700000000000%s}\n",
                id, state, queue, kind, strcmp(state, "running") == 0,
                strcmp(state, "running") == 0, more);
}

static char *head_of(unsigned last_id, unsigned queues, unsigned tasks, unsigned keys)
{
    return text("{'runnel_export':1,'store_id':'0123456789abcdef','last_id':%u,'queues':%u,"
                "'tasks':%u,'keys':%u}\n",
                last_id, queues, tasks, keys);
}

char *imports_lines(unsigned queues, unsigned tasks, unsigned keys, const char *lines)
{
    return plain_text("%s%s", head_of(99, queues, tasks, keys), quoted(lines));
}

char *imports_waiting(const char *queue, const char *kind, unsigned count, size_t args_bytes)
{
    const char *args =
        args_bytes == 0 ? "" : plain_text(",\"args\":\"%s\"", repeated('a', args_bytes));
    size_t room = 1024 + (size_t)count * (300 + strlen(args));
    char *lines = keep(malloc(room));
    size_t used =
        (size_t)snprintf(lines, room, "%s{\"name\":\"%s\"}\n", head_of(count, 1, count, 0), queue);

    // Not by imports_task: 20,000 texts would be kept.
    for (unsigned i = 1; i <= count; i++)
        used += (size_t)snprintf(lines + used, room - used,
                                 "{\"id\":%u,\"state\":\"queued\",\"queue\":\"%s\",\"kind\":\"%s\","
                                 "\"priority\":0,\"run\":0,\"attempt\":0,\"interruptions\":0,"
                                 "\"created_at_ms\":1700000000000%s}\n",
                                 i, queue, kind, args);
    assert_true(used < room);
    return lines;
}

struct reply *imports_send(struct daemon *daemon, const char *query, const char *key,
                           const char *lines)
{
    const char *headers[] = {key == NULL ? NULL : plain_text("Idempotency-Key: %s", key), NULL};

    return call_request(daemon, &(struct request){.method = "POST",
                                                  .path = plain_text("/v1/import%s", query),
                                                  .body = lines,
                                                  .content_type = "application/x-ndjson",
                                                  .headers = headers,
                                                  .within_ms = 120000});
}

json_t *imports_done(struct daemon *daemon, const char *lines)
{
    return expect_status(imports_send(daemon, "", NULL, lines), 200)->json;
}

struct wire *imports_begin(struct daemon *daemon, size_t body_bytes)
{
    struct wire *wire = wire_open(daemon->port);

    wire_sendf(wire,
               "POST /v1/import HTTP/1.1\r\nHost: localhost:%u\r\nContent-Type: "
               "application/x-ndjson\r\nContent-Length: %zu\r\n\r\n",
               daemon->port, body_bytes);
    return wire;
}
