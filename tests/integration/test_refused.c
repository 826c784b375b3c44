/** \file
 * What is refused, row by row: bytes on the wire, the status, the code, what becomes of the
 * connection; and after each that nothing was stored and nothing has run. Rows that are not about
 * tokens hold with a file of tokens (they have a right one) and without.
 *
 * In a row PORT stands for the port, {name} for the token of that name, {long} and the like for
 * what stands in `fillers`.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "tokens.h"

// The kind leaves a file behind where it runs.
static const char config_format[] =
    "%s\n"
    "queue: { default: { workers = 1 }; mail: { workers = 1 }; stopped: { workers = 1 }; };\n"
    "kind: { mark: { command = ['/usr/bin/touch', '%s/ran']; };\n"
    "        noop: { builtin = 'noop' }; sleep: { builtin = 'sleep' }; };\n";

// Their lines in the file of tokens, but for name and hash.
static const struct {
    const char *name, *scope, *option, *value;
} token_kinds[] = {
    {"admin", "admin", NULL, NULL},      {"read", "read", NULL, NULL},
    {"submit", "submit", NULL, NULL},    {"both", "submit,read", NULL, NULL},
    {"work", "work", NULL, NULL},        {"mail", "admin", "--queue", "mail"},
    {"noop", "admin", "--kind", "noop"}, {"slow", "admin", "--rate", "1/h"},
};
enum { TOKEN_COUNT = sizeof(token_kinds) / sizeof(token_kinds[0]) };

enum fate {
    KEPT,   // the next request on the connection is answered
    CLOSED, // it ends, and no second answer comes
};

struct row {
    const char *name, *request;
    int status;       // 0: libmicrohttpd's own refusal, a 4xx or 5xx
    const char *code; // NULL: where it is libmicrohttpd's own
    enum fate fate;
};

#define TOKEN(name) "Authorization: Bearer {" name "}\r\n"
#define ADMIN TOKEN("admin")
#define NAMED "Host: 127.0.0.1:PORT\r\n"
#define HOST NAMED ADMIN
#define JSON "Content-Type: application/json\r\n"
#define NDJSON "Content-Type: application/x-ndjson\r\n"
#define TASK "{\"kind\":\"mark\"}" // 15 bytes
// A submit in disguise: where a server takes it for a request of its own, its task runs.
#define SMUGGLED "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK

// clang-format off
static const struct row framing_rows[] = {
    {"two different lengths", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\nContent-Length: 200\r\n\r\n" TASK SMUGGLED, 400, "framing", CLOSED},
    {"two equal lengths", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\nContent-Length: 15\r\n\r\n" TASK, 400, "framing", CLOSED},
    {"length 0, then another", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Content-Length: 0\r\nContent-Length: 44\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"length and chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"chunked and length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\nContent-Length: 25\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"two hosts", "GET /v1/tasks HTTP/1.1\r\n" HOST HOST "\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"two other hosts", "GET /v1/tasks HTTP/1.1\r\n" HOST "Host: evil.example\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"space before the colon", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length : 15\r\n\r\n" TASK SMUGGLED, 400, "framing", CLOSED},
    {"tab before the colon", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length\t: 15\r\n\r\n" TASK SMUGGLED, 400, "framing", CLOSED},
    {"folded length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length:\r\n 200\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"folded length, optional body", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Content-Length:\r\n 200\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"folded transfer-encoding", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "Transfer-Encoding:\r\n chunked\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"gzip, chunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: gzip, chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 400, "framing", CLOSED},
    {"xchunked", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: xchunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"identity", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: identity\r\nContent-Length: 15\r\n\r\n" TASK, 400, "framing", CLOSED},
    {"chunked twice", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 400, "framing", CLOSED},
    {"chunked, identity", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked, identity\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 400, "framing", CLOSED},
    {"empty transfer-encoding", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding:\r\nContent-Length: 15\r\n\r\n" TASK, 400, "framing", CLOSED},
    {"two content types", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Type: text/plain\r\nContent-Length: 15\r\n\r\n" TASK, 400, "framing", CLOSED},
    {"two authorizations", "GET /v1/tasks HTTP/1.1\r\n" HOST "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400, "framing", CLOSED},
    {"length +15", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: +15\r\n\r\n" TASK, 0, NULL, CLOSED},
    {"length -1", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: -1\r\n\r\n" TASK, 0, NULL, CLOSED},
    {"length 15, 15", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 15, 15\r\n\r\n" TASK SMUGGLED, 0, NULL, CLOSED},
    {"length 0x0f", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 0x0f\r\n\r\n" TASK, 0, NULL, CLOSED},
    {"length overflows", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 18446744073709551631\r\n\r\n" TASK SMUGGLED, 0, NULL, CLOSED},
    {"empty length", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length:\r\n\r\n" TASK, 0, NULL, CLOSED},
    {"length 1 5", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Content-Length: 1 5\r\n\r\n" TASK, 0, NULL, CLOSED},
    {"no host", "GET /v1/tasks HTTP/1.1\r\n\r\n" SMUGGLED, 0, NULL, CLOSED},
    {"bad chunk size", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nzz\r\n" TASK "\r\n0\r\n\r\n", 0, NULL, CLOSED},
    {"chunk size overflows", "POST /v1/tasks HTTP/1.1\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nffffffffffffffff0\r\n" TASK "\r\n0\r\n\r\n" SMUGGLED, 0, NULL, CLOSED},
    {"HTTP/2.0", "GET /v1/tasks HTTP/2.0\r\n" HOST "\r\n", 0, NULL, CLOSED},
    {"HTTP/1.9", "GET /v1/tasks HTTP/1.9\r\n" HOST "\r\n", 0, NULL, CLOSED},
    {"NUL in the path", "GET /v1/tasks%00x HTTP/1.1\r\n" HOST "\r\n", 400, "framing", CLOSED},
    {"a tab in a name", "GET /v1/tasks HTTP/1.1\r\n" HOST "X\tY: z\r\n\r\n", 400, "framing", CLOSED},
    {"a name with spaces", "GET /v1/tasks HTTP/1.1\r\n" HOST "X Y: z\r\n\r\n", 400, "framing", CLOSED},
    {"body on a GET", "GET /v1/tasks HTTP/1.1\r\n" HOST "Content-Length: 15\r\n\r\n" TASK, 400, "framing", CLOSED},
    {"control byte in a value", "GET /v1/tasks HTTP/1.1\r\n" HOST "X: a\001b\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"broken escape", "GET /v1/tasks?queue=%zz HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"raw byte in the URL", "GET /v1/tasks?queue=\xff HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 400, "framing", CLOSED},
    {"chunked in HTTP/1.0", "POST /v1/tasks HTTP/1.0\r\n" HOST JSON "Transfer-Encoding: chunked\r\n\r\nf\r\n" TASK "\r\n0\r\n\r\n", 400, "framing", CLOSED},
    {"chunked body on a DELETE", "DELETE /v1/tasks/1 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" SMUGGLED, 400, "framing", CLOSED},
};

static const struct row caller_rows[] = {
    {"Host: 127.0.0.1", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: localhost", "POST /v1/tasks HTTP/1.1\r\nHost: localhost\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:1", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:1\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT1", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT1\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: localhost:0PORT", "POST /v1/tasks HTTP/1.1\r\nHost: localhost:0PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: localhost:", "POST /v1/tasks HTTP/1.1\r\nHost: localhost:\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host:", "POST /v1/tasks HTTP/1.1\r\nHost: \r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: evil.example", "POST /v1/tasks HTTP/1.1\r\nHost: evil.example\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: evil.example:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: evil.example:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.evil.example:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 127.evil.example:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1.evil.example:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1.evil.example:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: localhost.evil.example:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: localhost.evil.example:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: localhost.:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: localhost.:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: notlocalhost:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: notlocalhost:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 0.0.0.0:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 0.0.0.0:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.2:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.2:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 127.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 2130706433:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 2130706433:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 0x7f.0.0.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 0x7f.0.0.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: [::ffff:127.0.0.1]:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: [::ffff:127.0.0.1]:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: [::]:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: [::]:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: [::1", "POST /v1/tasks HTTP/1.1\r\nHost: [::1\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: user@127.0.0.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: user@127.0.0.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT/evil", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT/evil\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT, evil.example", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT, evil.example\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 169.254.169.254", "POST /v1/tasks HTTP/1.1\r\nHost: 169.254.169.254\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Origin: http://evil.example", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: http://evil.example\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Origin: http://127.0.0.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: http://127.0.0.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Origin: null", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: null\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Origin:", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nOrigin: \r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT origin: https://a.b", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\norigin: https://a.b\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Sec-Fetch-Site: cross-site", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nSec-Fetch-Site: cross-site\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Sec-Fetch-Site: same-site", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nSec-Fetch-Site: same-site\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Sec-Fetch-Site: same-origin", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nSec-Fetch-Site: same-origin\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: 127.0.0.1:PORT Sec-Fetch-Site: none, cross-site", "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:PORT\r\nSec-Fetch-Site: none, cross-site\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: evil.example X-Forwarded-Host: 127.0.0.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: 127.0.0.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"Host: evil.example Forwarded: host=127.0.0.1:PORT", "POST /v1/tasks HTTP/1.1\r\nHost: evil.example\r\nForwarded: host=127.0.0.1:PORT\r\n" ADMIN JSON "Content-Length: 15\r\n\r\n" TASK, 403, "forbidden", CLOSED},
    {"preflight", "OPTIONS /v1/tasks HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\nAccess-Control-Request-Method: POST\r\n"
     "Access-Control-Request-Headers: content-type, authorization\r\n\r\n", 403, "forbidden", CLOSED},
    {"health for a web page", "GET /healthz HTTP/1.1\r\n" HOST "Origin: http://evil.example\r\n\r\n", 403, "forbidden", CLOSED},
};

#define POSTED(headers, length, body) "POST /v1/tasks HTTP/1.1\r\n" HOST headers "Content-Length: " length "\r\n\r\n" body
#define TYPED(type) POSTED("Content-Type: " type "\r\n", "15", TASK)

static const struct row other_rows[] = {
    {"announced too large", POSTED(JSON, "16777217", ""), 413, "too-large", CLOSED},
    {"one task too large", POSTED(JSON, "2097153", "{"), 413, "too-large", CLOSED},
    {"change too large", "PATCH /v1/queues/mail HTTP/1.1\r\n" HOST JSON "Content-Length: 65537\r\n\r\n", 413, "too-large", CLOSED},
    {"announced too large, asked for leave", POSTED(JSON "Expect: 100-continue\r\n", "90000000", ""), 413, "too-large", CLOSED},
    {"args too large", POSTED(JSON, "{args-length}", "{args}"), 413, "too-large", KEPT},
    {"array too long", POSTED(JSON, "{tasks-length}", "{tasks}"), 413, "too-large", KEPT},
    {"line of a stream too large", POSTED(NDJSON, "2097160", "{line}"), 413, "too-large", CLOSED},
    {"URL too long", "GET /v1/tasks?tag={url} HTTP/1.1\r\n" HOST "\r\n" SMUGGLED, 414, "url-too-long", CLOSED},
    {"header too large", "GET /v1/tasks HTTP/1.1\r\n" HOST "X: {header}\r\n\r\n", 431, "headers-too-large", CLOSED},
    {"too many fields", "GET /v1/tasks HTTP/1.1\r\n" HOST "{fields}\r\n", 431, "headers-too-large", CLOSED},
    {"header far too large", "GET /v1/tasks HTTP/1.1\r\n" HOST "X: {header}{header}\r\n\r\n", 0, NULL, CLOSED},
    {"text/plain", TYPED("text/plain"), 415, "unsupported-media-type", CLOSED},
    {"a form", TYPED("application/x-www-form-urlencoded"), 415, "unsupported-media-type", CLOSED},
    {"a form in parts", TYPED("multipart/form-data; boundary=x"), 415, "unsupported-media-type", CLOSED},
    {"JSON in Latin 1", TYPED("application/json; charset=latin1"), 415, "unsupported-media-type", CLOSED},
    {"no type", POSTED("", "15", TASK), 415, "unsupported-media-type", CLOSED},
    {"a stream to cancel", "POST /v1/tasks/1/cancel HTTP/1.1\r\n" HOST NDJSON "Content-Length: 2\r\n\r\n{}", 415, "unsupported-media-type", CLOSED},
    {"PUT", "PUT /v1/tasks HTTP/1.1\r\n" HOST "\r\n", 405, "method-not-allowed", CLOSED},
    {"TRACE", "TRACE /v1/tasks HTTP/1.1\r\n" HOST "\r\n", 405, "method-not-allowed", CLOSED},
    {"a GET that cancels", "GET /v1/tasks/1/cancel HTTP/1.1\r\n" HOST "\r\n", 405, "method-not-allowed", KEPT},
    {"unknown path", "GET /v2/tasks HTTP/1.1\r\n" HOST "\r\n", 404, "not-found", KEPT},
    {"a way up", "GET /v1/tasks/../../etc/passwd HTTP/1.1\r\n" HOST "\r\n", 404, "not-found", KEPT},
    {"no JSON", POSTED(JSON, "15", "{'kind':'mark'}"), 400, "invalid-json", KEPT},
    {"half a JSON", POSTED(JSON, "14", "{\"kind\":\"mark\""), 400, "invalid-json", KEPT},
    {"two values", POSTED(JSON, "30", TASK TASK), 400, "invalid-json", KEPT},
    {"the kind twice", POSTED(JSON, "29", "{\"kind\":\"noop\",\"kind\":\"mark\"}"), 400, "invalid-json", KEPT},
    {"NUL in a string", POSTED(JSON, "21", "{\"kind\":\"mark\\u0000\"}"), 400, "invalid-json", KEPT},
    {"too deep", POSTED(JSON, "{deep-length}", "{deep}"), 400, "invalid-json", KEPT},
    {"invalid UTF-8", POSTED(JSON, "26", "{\"kind\":\"mark\",\"args\":\"\xff\"}"), 400, "invalid-json", KEPT},
    {"unknown kind", POSTED(JSON, "15", "{\"kind\":\"murk\"}"), 422, "invalid-task", KEPT},
    {"unknown field", POSTED(JSON, "25", "{\"kind\":\"mark\",\"args0\":1}"), 422, "invalid-task", KEPT},
    {"one of an array", POSTED(JSON, "33", "[" TASK ",{\"kind\":\"murk\"}]"), 422, "invalid-task", KEPT},
    {"no task", POSTED(JSON, "2", "[]"), 422, "invalid-task", KEPT},
    {"unknown parameter", "POST /v1/tasks?wiat=1s HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK, 400, "invalid-query", CLOSED},
    {"a key of nothing", POSTED(JSON "Idempotency-Key: \"\"\r\n", "15", TASK), 400, "invalid-query", CLOSED},
    {"wait with a stream", "POST /v1/tasks?wait=1s HTTP/1.1\r\n" HOST NDJSON "Content-Length: 15\r\n\r\n" TASK, 400, "invalid-query", CLOSED},
    {"a header and no more", "GET /v1/tasks HTTP/1.1\r\n" HOST, -1, NULL, CLOSED},
    {"too many that wait", "POST /v1/tasks?wait=1s HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK, 503, "busy", CLOSED},
};

// Half a minute each.
static const struct row slow_rows[] = {
    {"half a body", POSTED(JSON, "15", "{\"kind\""), 408, "request-timeout", CLOSED},
};

#define WITH(token, line) line " HTTP/1.1\r\n" NAMED TOKEN(token)
#define CALL(token, line) {line " with " token, WITH(token, line) "\r\n", 403, "forbidden", KEPT}
#define SEND(token, line, body, length) \
    {line " with " token, WITH(token, line) JSON "Content-Length: " length "\r\n\r\n" body, 403, "forbidden", CLOSED}
#define INTO(token, body, length) \
    {body " with " token, WITH(token, "POST /v1/tasks") JSON "Content-Length: " length "\r\n\r\n" body, 403, "forbidden", KEPT}
// A POST without a length ends its connection whatever it is answered.
#define POST(token, line) {line " with " token, WITH(token, line) "Content-Length: 0\r\n\r\n", 403, "forbidden", KEPT}
#define HIDDEN(line) {line " of others", WITH("mail", line) "Content-Length: 0\r\n\r\n", 404, "not-found", KEPT}

static const struct row token_rows[] = {
    {"no token", "POST /v1/tasks HTTP/1.1\r\n" NAMED JSON "Content-Length: 15\r\n\r\n" TASK, 401, "unauthorized", CLOSED},
    {"no token, no body", "GET /v1/tasks HTTP/1.1\r\n" NAMED "\r\n", 401, "unauthorized", KEPT},
    {"empty", "GET /v1/tasks HTTP/1.1\r\n" NAMED "Authorization:\r\n\r\n", 401, "unauthorized", KEPT},
    {"Basic", "POST /v1/tasks HTTP/1.1\r\n" NAMED "Authorization: Basic YWRtaW46YWRtaW4=\r\n" JSON "Content-Length: 15\r\n\r\n" TASK, 401, "unauthorized", CLOSED},
    {"Bearer alone", "GET /v1/tasks HTTP/1.1\r\n" NAMED "Authorization: Bearer\r\n\r\n", 401, "unauthorized", KEPT},
    {"a token and one letter", "GET /v1/tasks HTTP/1.1\r\n" NAMED "Authorization: Bearer {admin}x\r\n\r\n", 401, "unauthorized", KEPT},
    {"a token as Basic", "GET /v1/tasks HTTP/1.1\r\n" NAMED "Authorization: Basic {admin}\r\n\r\n", 401, "unauthorized", KEPT},
    {"a token in the query", "GET /v1/tasks?access_token={admin} HTTP/1.1\r\n" NAMED "\r\n", 401, "unauthorized", KEPT},
    {"unknown path without a token", "GET /v2 HTTP/1.1\r\n" NAMED "\r\n", 401, "unauthorized", KEPT},
    {"wrong method without a token", "PUT /v1/tasks HTTP/1.1\r\n" NAMED "Content-Length: 0\r\n\r\n", 401, "unauthorized", KEPT},
    {"two tokens", "GET /v1/tasks HTTP/1.1\r\n" HOST TOKEN("read") "\r\n", 400, "framing", CLOSED},
    SEND("read", "POST /v1/tasks", TASK, "15"), SEND("work", "POST /v1/tasks", TASK, "15"),
    SEND("read", "POST /v1/tasks?wait=1s", TASK, "15"),
    CALL("submit", "GET /v1/tasks"), CALL("submit", "GET /v1/tasks/1"), CALL("submit", "GET /v1/tasks/1/result"),
    CALL("work", "GET /v1/tasks/1?wait=1s"), CALL("submit", "GET /v1/queues"), CALL("submit", "GET /v1/queues/mail"),
    CALL("submit", "GET /v1/stats"), CALL("submit", "GET /v1/info"), CALL("submit", "GET /metrics"),
    POST("both", "POST /v1/tasks/1/cancel"), POST("both", "POST /v1/tasks/1/retry"), POST("both", "DELETE /v1/tasks/1"),
    SEND("both", "PATCH /v1/queues/mail", "{\"workers\":2}", "13"), POST("both", "POST /v1/queues/mail/pause"),
    POST("both", "POST /v1/queues/mail/resume"),
    INTO("mail", TASK, "15"), INTO("mail", "{\"kind\":\"mark\",\"queue\":\"default\"}", "33"),
    INTO("mail", "[{\"kind\":\"mark\",\"queue\":\"mail\"}," TASK "]", "48"),
    INTO("noop", TASK, "15"), INTO("noop", "[{\"kind\":\"noop\"}," TASK "]", "33"),
    {"another queue by the query", WITH("mail", "POST /v1/tasks?queue=default") JSON "Content-Length: 30\r\n\r\n{\"kind\":\"mark\",\"queue\":\"mail\"}",
     403, "forbidden", KEPT},
    {"a stream into another queue", WITH("mail", "POST /v1/tasks") NDJSON "Content-Length: 16\r\n\r\n" TASK "\n", 403, "forbidden", CLOSED},
    HIDDEN("GET /v1/tasks/1"), HIDDEN("GET /v1/tasks/1?wait=1s"), HIDDEN("GET /v1/tasks/1/result"), HIDDEN("POST /v1/tasks/1/cancel"),
    HIDDEN("POST /v1/tasks/1/retry"), HIDDEN("DELETE /v1/tasks/1"), HIDDEN("GET /v1/queues/default"),
    HIDDEN("POST /v1/queues/default/pause"), HIDDEN("POST /v1/queues/stopped/resume"),
    CALL("mail", "GET /v1/tasks?queue=default"), CALL("mail", "GET /v1/tasks?queue=mail,stopped"), CALL("noop", "GET /v1/tasks?kind=mark"),
    CALL("mail", "GET /v1/stats"), CALL("noop", "GET /metrics"), POST("noop", "POST /v1/queues/mail/pause"),
    {"a rate that is used up", WITH("slow", "POST /v1/tasks") JSON "Content-Length: 15\r\n\r\n" TASK, 429, "rate-limited", CLOSED},
    {"a rate that is used up, no body", WITH("slow", "GET /v1/tasks") "\r\n", 429, "rate-limited", KEPT},
};
// clang-format on

/* ---- what the rows are filled with ---- */

static char *tokens[TOKEN_COUNT]; // of the scenario

static char *args_too_large(void)
{
    return plain_text("{\"kind\":\"mark\",\"args\":\"%s\"}", repeated('a', (1 << 20) - 1));
}

static char *tasks_too_many(void)
{
    static const char task[] = ",{\"kind\":\"mark\"}";
    char *all = repeated(' ', 10001 * (sizeof(task) - 1) + 1);

    for (size_t i = 0; i < 10001; i++)
        memcpy(all + i * (sizeof(task) - 1), task, sizeof(task) - 1);
    all[0] = '[';
    all[10001 * (sizeof(task) - 1)] = ']';
    return all;
}

static char *line_too_large(void)
{
    return plain_text("{\"kind\":\"mark\",\"args\":\"%s", repeated('a', 2 << 20));
}

static char *long_url(void)
{
    return repeated('u', 2049);
}

static char *long_header(void)
{
    return repeated('h', 17000);
}

static char *many_fields(void)
{
    char *all = repeated('\0', 65 * 10);
    char *end = all;

    for (unsigned i = 0; i < 64; i++)
        end += snprintf(end, 10, "X%u: y\r\n", i);
    return all;
}

static char *deep_task(void)
{
    return plain_text("{\"kind\":\"mark\",\"args\":%s%s}", repeated('[', 40), repeated(']', 40));
}

// {name-length} is the number of its bytes.
static const struct {
    const char *name;
    char *(*fn)(void);
} fillers[] = {{"args", args_too_large}, {"tasks", tasks_too_many}, {"line", line_too_large},
               {"url", long_url},        {"header", long_header},   {"fields", many_fields},
               {"deep", deep_task}};

/* What stands for {name}, of so many bytes; NULL: it is no filler, but part of a task. */
static const char *filling(const char *name, size_t length)
{
    static const char ending[] = "-length";
    size_t cut = sizeof(ending) - 1;
    bool wants_length = length > cut && strncmp(name + length - cut, ending, cut) == 0;

    if (wants_length)
        length -= cut;
    for (size_t i = 0; i < TOKEN_COUNT; i++)
        if (strlen(token_kinds[i].name) == length &&
            strncmp(token_kinds[i].name, name, length) == 0)
            return tokens[i];
    for (size_t i = 0; i < sizeof(fillers) / sizeof(fillers[0]); i++) {
        if (strlen(fillers[i].name) != length || strncmp(fillers[i].name, name, length) != 0)
            continue;
        const char *text_of = fillers[i].fn();
        return wants_length ? plain_text("%zu", strlen(text_of)) : text_of;
    }
    return NULL;
}

/* The row's bytes. */
static char *filled(const char *template, uint16_t port)
{
    char *bytes = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&bytes, &size);

    assert_non_null(file);
    for (const char *c = template; *c != '\0';) {
        size_t length = *c == '{' ? strcspn(c, "}") : 0;
        const char *text_of = length > 0 && c[length] == '}' ? filling(c + 1, length - 1) : NULL;
        if (text_of != NULL) {
            (void)fputs(text_of, file);
            c += length + 1;
        } else if (strncmp(c, "PORT", 4) == 0) {
            (void)fprintf(file, "%u", port);
            c += 4;
        } else {
            (void)fputc(*c++, file);
        }
    }
    assert_int_equal(fclose(file), 0);
    return keep(bytes);
}

/* ---- the daemon ---- */

static void make_tokens(const struct daemon *daemon)
{
    const char *lines = "";

    for (size_t i = 0; i < TOKEN_COUNT; i++) {
        struct made_token made = tokens_make(token_kinds[i].name, token_kinds[i].scope,
                                             token_kinds[i].option, token_kinds[i].value);
        tokens[i] = made.token;
        lines = plain_text("%s%s", lines, made.line);
    }
    tokens_write(daemon, lines);
}

/* A daemon with these settings, whose task 1 waits in a queue that is stopped. */
static struct daemon *start(const char *settings)
{
    struct daemon *daemon = daemon_new("");

    daemon_configure(daemon, plain_text(config_format, settings, daemon->folder));
    make_tokens(daemon);
    client_token(daemon->client, tokens[0]);
    daemon_start(daemon);
    expect_status(call(daemon, "POST", "/v1/queues/stopped/pause", NULL), 200);
    assert_int_equal(submit(daemon, "{'kind':'mark','queue':'stopped'}"), 1);
    return daemon;
}

static const char *ran(struct daemon *daemon)
{
    return plain_text("%s/ran", daemon->folder);
}

/* ---- a row ---- */

/* What is wrong with the answer; NULL: nothing. */
static const char *fault_of(const struct reply *reply, const struct row *row)
{
    const char *code = text_at(reply->json, "code");

    if (row->status < 0)
        return reply->status == 0 ? NULL : "no answer was wanted";
    if (row->status == 0)
        return reply->status >= 400 && reply->status < 600 ? NULL : "it is not refused";
    if (reply->status != row->status || code == NULL || strcmp(code, row->code) != 0)
        return "another answer was wanted";
    if (strcasestr(reply->head, "\nAccess-Control-") != NULL)
        return "a web page may read it";
    if (row->status == 401 && reply_header(reply, "WWW-Authenticate") == NULL)
        return "no WWW-Authenticate";
    if ((row->status == 429 || row->status == 503) && reply_header(reply, "Retry-After") == NULL)
        return "no Retry-After";
    return NULL;
}

/* What is wrong with the connection afterwards; NULL: nothing. */
static const char *fault_after(struct daemon *daemon, struct wire *wire, const struct row *row)
{
    if (row->fate == KEPT) {
        wire_sendf(wire, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n\r\n", daemon->port);
        return wire_reply(wire, 10000)->status == 200 ? NULL : "the connection is not kept";
    }
    // Of what libmicrohttpd refuses by itself the header comes twice.
    const char *rest = wire_rest(wire, 10000);
    if (row->status > 0 && rest[0] != '\0')
        return "something follows the answer";
    return strstr(rest, "HTTP/1.1 2") == NULL ? NULL : "a second request was answered";
}

static unsigned check_row(struct daemon *daemon, const struct row *row)
{
    struct wire *wire = wire_open(daemon->port);
    const char *bytes = filled(row->request, daemon->port);

    print_message("row: %s\n", row->name);
    wire_send(wire, bytes, strlen(bytes));
    struct reply *reply = wire_reply(wire, 45000);
    const char *fault = fault_of(reply, row);
    if (fault == NULL)
        fault = fault_after(daemon, wire, row);
    if (count_tasks(daemon, "") != 1 || strcmp(text_at(task(daemon, 1), "state"), "queued") != 0)
        fault = "something was stored or changed";
    json_t *stats = expect_status(get(daemon, "/v1/stats"), 200)->json;
    if (number_at(stats, "since_start.started") != 0 || file_exists(ran(daemon)))
        fault = "something has run";
    wire_close(wire);
    if (fault != NULL)
        print_error("%s: %s (%d %s): %d %.400s\n", row->name, fault, row->status,
                    row->code != NULL ? row->code : "", reply->status,
                    reply->body != NULL ? reply->body : "");
    return fault != NULL;
}

static void check_rows(struct daemon *daemon, const struct row *rows, size_t count)
{
    unsigned faults = 0;

    for (size_t i = 0; i < count; i++)
        faults += check_row(daemon, &rows[i]);
    print_message("%zu rows\n", count);
    assert_int_equal(faults, 0);
}
#define CHECK(daemon, rows) check_rows(daemon, rows, sizeof(rows) / sizeof((rows)[0]))

/* That a task would have run, and left its mark: else the rows show nothing. */
static void expect_that_tasks_run(struct daemon *daemon)
{
    uint64_t id = submit(daemon, "{'kind':'mark'}");
    eventually(strcmp(text_at(task(daemon, id), "state"), "succeeded") == 0, 30000);
    assert_true(file_exists(ran(daemon)));
    daemon_stop(daemon);
}

/* ---- the scenarios ---- */

static void with_tokens_what_is_wrong_is_refused(void)
{
    struct daemon *daemon = start("token_file = 'tokens'; max_waiting = 0;");

    CHECK(daemon, framing_rows);
    CHECK(daemon, caller_rows);
    CHECK(daemon, other_rows);
    if (is_long())
        CHECK(daemon, slow_rows);
    expect_that_tasks_run(daemon);
}

static void without_tokens_what_is_wrong_is_refused_as_well(void)
{
    struct daemon *daemon = start("max_waiting = 0;");

    CHECK(daemon, framing_rows);
    CHECK(daemon, caller_rows);
    CHECK(daemon, other_rows);
    expect_that_tasks_run(daemon);
}

static void a_token_opens_what_it_is_for_and_nothing_else(void)
{
    struct daemon *daemon = start("token_file = 'tokens';");
    struct client *slow_one = client_new(daemon->port);

    client_token(slow_one, tokens[TOKEN_COUNT - 1]);
    struct reply *first =
        client_call(slow_one, &(struct request){.method = "GET", .path = "/v1/tasks"});
    assert_int_equal(first->status, 200); // the one of this hour
    reply_free(first);
    client_free(slow_one);
    CHECK(daemon, token_rows);
    expect_that_tasks_run(daemon);
}

static void beyond_ten_a_second_wrong_tokens_are_not_even_told_so(void)
{
    struct daemon *daemon = start("token_file = 'tokens';");
    unsigned told = 0, limited = 0;
    int64_t began = now_ms();

    for (unsigned i = 0; i < 200 && limited < 50; i++) {
        struct wire *wire = wire_open(daemon->port);
        wire_sendf(
            wire,
            "POST /v1/tasks HTTP/1.1\r\nHost: 127.0.0.1:%u\r\nAuthorization: Bearer x%u\r\n" JSON
            "Content-Length: 15\r\n\r\n" TASK,
            daemon->port, i);
        struct reply *reply = wire_reply(wire, 10000);
        if (reply->status == 429) {
            assert_non_null(
                reply_header(expect_problem(reply, 429, "rate-limited"), "Retry-After"));
            limited++;
        } else {
            expect_problem(reply, 401, "unauthorized");
            told++;
        }
        assert_true(wire_closes(wire, 10000));
        wire_close(wire);
        expect_status(get(daemon, "/v1/tasks/1"), 200); // a right one is served beside them
    }
    int64_t took_ms = now_ms() - began;
    print_message("%u times 401, %u times 429 in %lld ms\n", told, limited, (long long)took_ms);
    assert_in_range(told, 10, 10 + (took_ms + 999) / 100);
    assert_int_equal(count_tasks(daemon, ""), 1);
    expect_that_tasks_run(daemon);
}

static void without_room_tasks_are_refused(void)
{
    // clang-format off
    static const struct row rows[] = {
        {"a task", POSTED(JSON, "15", TASK), 503, "backlog-full", KEPT},
        {"an array", POSTED(JSON, "17", "[" TASK "]"), 503, "backlog-full", KEPT},
        {"a stream", POSTED(NDJSON, "16", TASK "\n"), 503, "backlog-full", KEPT},
        {"a task that is waited for", "POST /v1/tasks?wait=1s HTTP/1.1\r\n" HOST JSON "Content-Length: 15\r\n\r\n" TASK, 503, "backlog-full", KEPT},
    };
    // clang-format on
    struct daemon *daemon = start("token_file = 'tokens'; max_backlog = 1;");

    CHECK(daemon, rows);
    expect_status(call(daemon, "POST", "/v1/tasks/1/cancel", NULL), 200);
    expect_that_tasks_run(daemon);
}

static void while_it_drains_tasks_are_refused(void)
{
    // clang-format off
    static const struct row rows[] = {
        {"a task", POSTED(JSON, "15", TASK), 503, "draining", CLOSED},
        {"an array", POSTED(JSON, "17", "[" TASK "]"), 503, "draining", CLOSED},
        {"a stream", POSTED(NDJSON, "16", TASK "\n"), 503, "draining", CLOSED},
        {"no token", "POST /v1/tasks HTTP/1.1\r\n" NAMED JSON "Content-Length: 15\r\n\r\n" TASK, 401, "unauthorized", CLOSED},
    };
    // clang-format on
    struct daemon *daemon = start("token_file = 'tokens';");
    uint64_t id = submit(daemon, "{'kind':'sleep','args':{'duration':'1h'}}");
    (void)await_state(daemon, id, "running");

    daemon_signal(daemon, SIGTERM);
    eventually(get(daemon, "/readyz")->status == 503, 10000);

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct wire *wire = wire_open(daemon->port);
        const char *bytes = filled(rows[i].request, daemon->port);

        wire_send(wire, bytes, strlen(bytes));
        expect_problem(wire_reply(wire, 10000), rows[i].status, rows[i].code);
        assert_true(wire_closes(wire, 10000));
        assert_int_equal(count_tasks(daemon, ""), 2);
    }
    daemon_signal(daemon, SIGTERM); // straight to the cancelling
    assert_int_equal(daemon_await_end(daemon, 60000), 0);
    assert_false(file_exists(ran(daemon)));
}

HARNESS_MAIN(SCENARIO(with_tokens_what_is_wrong_is_refused),
             SCENARIO(without_tokens_what_is_wrong_is_refused_as_well),
             SCENARIO(a_token_opens_what_it_is_for_and_nothing_else),
             SCENARIO(beyond_ten_a_second_wrong_tokens_are_not_even_told_so),
             SCENARIO(without_room_tasks_are_refused), SCENARIO(while_it_drains_tasks_are_refused))
