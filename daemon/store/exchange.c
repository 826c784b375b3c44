/* The tables of an export's lines. What is in them is frozen by the exports that exist: a change is
 * a member that may be left out, or a new format. */
#include "store/exchange.h"

#include <string.h>

#include "config/units.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define ID_MAX RECORD_ID_MAX
#define COUNT_MAX RECORD_COUNT_MAX
#define CLOCK_MAX RECORD_CLOCK_MS_MAX
#define INSTANT_MIN RECORD_INSTANT_MS_MIN
#define INSTANT_MAX RECORD_INSTANT_MS_MAX
#define LENGTH_MAX RECORD_LENGTH_MS_MAX
#define BYTES_MAX INT64_MAX
#define LARGE(text) "coalesce(length(CAST(" text " AS BLOB)) > 1024, 0)" // RECORD_ARGS_INLINE

_Static_assert(RECORD_ARGS_INLINE == 1024, "as LARGE says");
_Static_assert(FLAG_ARGS_LARGE == 1 && FLAG_RESULT_LARGE == 2 && FLAG_RESULT_JSON == 4 &&
                   FLAG_RETRYABLE == 8 && FLAG_ON_FAILURE == 16,
               "as the SQL says");
_Static_assert(STORE_KEY_ARRAY_MAX == 100000, "as the SQL says");

// clang-format off
static const struct exchange_member head[] = {
    {"runnel_export", "1", EXCHANGE_NUMBER, 1, true, EXCHANGE_FORMAT, EXCHANGE_FORMAT},
    {"store_id", "(SELECT value FROM meta WHERE name = 'store_id')", EXCHANGE_TEXT, 1, true, 16, 16},
    {"last_id", "max((SELECT value FROM meta WHERE name = 'last_id'), (SELECT coalesce(max(id), 0) FROM tasks))", EXCHANGE_NUMBER, 1, true, 0, ID_MAX},
    {"queues", "(SELECT count(*) FROM queues)", EXCHANGE_NUMBER, 1, true, 0, INT64_MAX},
    {"tasks", "(SELECT count(*) FROM tasks)", EXCHANGE_NUMBER, 1, true, 0, INT64_MAX},
    {"keys", "(SELECT count(*) FROM keys)", EXCHANGE_NUMBER, 1, true, 0, INT64_MAX},
};

static const struct exchange_member queue[] = {
    {"name", "name", EXCHANGE_NAME, 1, true, 0, 0},
    {"workers", "workers", EXCHANGE_NUMBER, 1, false, 1, CONFIG_WORKERS_MAX},
    {"rate", "rate", EXCHANGE_RATE, 1, false, 1, sizeof(((struct store_queue_settings *)0)->rate) - 1},
    {"burst", "burst", EXCHANGE_NUMBER, 1, false, 1, CONFIG_BURST_MAX},
    {"paused", "paused", EXCHANGE_SWITCH, 1, false, 0, 1},
    {"paused_until_ms", "nullif(paused_until, 0)", EXCHANGE_NUMBER, 1, false, INSTANT_MIN, INSTANT_MAX},
};

static const struct exchange_member task[] = {
    {"id", "tasks.id", EXCHANGE_NUMBER, 1, true, 1, ID_MAX},
    {"state", "state", EXCHANGE_STATE, 1, true, 0, 0},
    {"queue", "queues.name", EXCHANGE_NAME, 1, true, 0, 0},
    {"kind", "kind", EXCHANGE_NAME, 1, true, 0, 0},
    {"priority", "priority", EXCHANGE_NUMBER, 1, true, -RECORD_PRIORITY_MAX, RECORD_PRIORITY_MAX},
    {"run", "run", EXCHANGE_NUMBER, 1, true, 0, ID_MAX},
    {"attempt", "attempt", EXCHANGE_NUMBER, 1, true, 0, COUNT_MAX},
    {"interruptions", "interruptions", EXCHANGE_NUMBER, 1, true, 0, COUNT_MAX},
    {"worker", "worker", EXCHANGE_NUMBER, 1, false, 0, COUNT_MAX},
    {"created_at_ms", "created_at", EXCHANGE_NUMBER, 1, true, 0, CLOCK_MAX},
    {"queued_at_ms", "queued_at", EXCHANGE_NUMBER, 1, false, 0, CLOCK_MAX},
    {"due_at_ms", "due_at", EXCHANGE_NUMBER, 1, false, INSTANT_MIN, INSTANT_MAX},
    {"expires_at_ms", "expires_at", EXCHANGE_NUMBER, 1, false, INSTANT_MIN, INSTANT_MAX},
    {"started_at_ms", "started_at", EXCHANGE_NUMBER, 1, false, 0, CLOCK_MAX},
    {"finished_at_ms", "finished_at", EXCHANGE_NUMBER, 1, false, 0, CLOCK_MAX},
    {"cancel_requested_at_ms", "cancel_requested_at", EXCHANGE_NUMBER, 1, false, 0, CLOCK_MAX},
    {"timeout_ms", "timeout", EXCHANGE_NUMBER, 1, false, 0, LENGTH_MAX},
    {"max_attempts", "max_attempts", EXCHANGE_NUMBER, 1, false, 0, COUNT_MAX},
    {"backoff_base_ms", "backoff_base", EXCHANGE_NUMBER, 1, false, 0, LENGTH_MAX},
    {"backoff_max_ms", "backoff_max", EXCHANGE_NUMBER, 1, false, 0, LENGTH_MAX},
    {"parent", "parent", EXCHANGE_NUMBER, 2, false, 1, ID_MAX},
    {"links", "links", EXCHANGE_NUMBER, 2, false, 1, RECORD_LINKS_MAX},
    {"on_failure", "flags & 16", EXCHANGE_SWITCH, 1, false, 0, 1},
    {"traceparent", "traceparent", EXCHANGE_TRACE, 2, false, 0, 0},
    {"tags", "tags", EXCHANGE_ARRAY, 1, false, 0, 0},
    {"args", "CASE WHEN flags & 1 THEN large_args.args ELSE tasks.args END", EXCHANGE_JSON, 1, false, 0, 0},
    {"result", "CASE WHEN flags & 4 THEN CASE WHEN flags & 2 THEN large_results.result ELSE tasks.result END END", EXCHANGE_JSON, 1, false, 0, 0},
    {"result_text", "CASE WHEN NOT flags & 4 THEN CASE WHEN flags & 2 THEN large_results.result ELSE tasks.result END END", EXCHANGE_TEXT, 1, false, 0, BYTES_MAX},
    {"error_code", "error_code", EXCHANGE_TEXT, 1, false, 0, RECORD_CODE_MAX - 1},
    {"error_message", "error_message", EXCHANGE_TEXT, 1, false, 0, BYTES_MAX},
    {"error_retryable", "flags & 8", EXCHANGE_SWITCH, 1, false, 0, 1},
    {"exec", "exec", EXCHANGE_OBJECT, 1, false, 0, 0},
    {"history", "history", EXCHANGE_ARRAY, 1, false, 0, 0},
};

static const struct exchange_member key[] = {
    {"key", "key", EXCHANGE_TEXT, 1, true, 1, 255},
    {"is_stream", "is_stream", EXCHANGE_SWITCH, 1, false, 0, 1},
    {"hash", "hash", EXCHANGE_HASH, 1, true, 0, 0},
    {"first_id", "first_id", EXCHANGE_NUMBER, 1, true, 0, ID_MAX},
    {"last_id", "last_id", EXCHANGE_NUMBER, 1, true, 0, ID_MAX},
    {"count", "count", EXCHANGE_NUMBER, 1, true, 0, ID_MAX},
    {"created_at_ms", "created_at", EXCHANGE_NUMBER, 1, true, 0, CLOCK_MAX},
};

const struct exchange_table exchange_tables[EXCHANGE_LINE_COUNT] = {
    [EXCHANGE_HEAD] = {"head", head, COUNT_OF(head), "", {
        "SELECT CASE WHEN :store_id GLOB '*[^0-9a-f]*' THEN 'store_id is none of 16 hexadecimal digits' END",
        "UPDATE meta SET value = :store_id WHERE name = 'store_id'",
        "UPDATE meta SET value = :last_id WHERE name = 'last_id'"}},
    [EXCHANGE_QUEUE] = {"queue", queue, COUNT_OF(queue), " FROM queues ORDER BY number", {
        "SELECT NULL",
        "INSERT INTO queues(number, name, workers, rate, burst, paused, paused_until) "
        "VALUES((SELECT coalesce(max(number), 0) + 1 FROM queues), :name, :workers, :rate, :burst, coalesce(:paused, 0), coalesce(:paused_until_ms, 0))"}},
    [EXCHANGE_TASK] = {"task", task, COUNT_OF(task),
        " FROM tasks CROSS JOIN queues ON queues.number = tasks.queue LEFT JOIN large_args ON large_args.id = tasks.id "
        "LEFT JOIN large_results ON large_results.id = tasks.id ORDER BY tasks.id", {
        "SELECT CASE "
        "WHEN :id > (SELECT value FROM meta WHERE name = 'last_id') THEN 'its id is above the last_id of the head' "
        "WHEN NOT EXISTS (SELECT 1 FROM queues WHERE name = :queue) THEN 'there is no line before it for its queue' "
        "WHEN :state IN (0, 2) AND :due_at_ms IS NULL THEN 'a task that is scheduled or retrying needs due_at_ms' "
        "WHEN :result IS NOT NULL AND :result_text IS NOT NULL THEN 'result and result_text exclude each other' "
        "WHEN (:parent IS NULL) <> (:links IS NULL) THEN 'parent and links go together' "
        "WHEN :parent >= :id THEN 'its parent has to be an earlier task' "
        "WHEN EXISTS (SELECT 1 FROM json_each(:tags) WHERE type <> 'text') THEN 'tags has what is no string' "
        "WHEN EXISTS (SELECT 1 FROM json_each(:history) WHERE type <> 'object') THEN 'history has what is no object' END",
        "INSERT INTO tasks(id, state, queue, priority, run, attempt, interruptions, flags, created_at, queued_at, due_at, expires_at, "
        "started_at, finished_at, cancel_requested_at, worker, kind, timeout, max_attempts, backoff_base, backoff_max, tags, args, result, "
        "error_code, error_message, exec, history, traceparent, parent, links) "
        "VALUES(:id, :state, (SELECT number FROM queues WHERE name = :queue), :priority, :run, :attempt, :interruptions, "
        LARGE(":args") " | " LARGE("coalesce(:result, :result_text)") " * 2 | (:result IS NOT NULL) * 4 | coalesce(:error_retryable, 0) * 8 | "
        "coalesce(:on_failure, 0) * 16, :created_at_ms, :queued_at_ms, :due_at_ms, :expires_at_ms, :started_at_ms, :finished_at_ms, "
        ":cancel_requested_at_ms, :worker, :kind, :timeout_ms, :max_attempts, :backoff_base_ms, :backoff_max_ms, :tags, "
        "CASE WHEN " LARGE(":args") " THEN NULL ELSE :args END, "
        "CASE WHEN " LARGE("coalesce(:result, :result_text)") " THEN NULL ELSE coalesce(:result, :result_text) END, "
        ":error_code, :error_message, :exec, :history, :traceparent, :parent, :links)",
        "INSERT INTO large_args SELECT :id, :args WHERE " LARGE(":args"),
        "INSERT INTO large_results SELECT :id, coalesce(:result, :result_text) WHERE " LARGE("coalesce(:result, :result_text)")}},
    [EXCHANGE_KEY] = {"key", key, COUNT_OF(key), " FROM keys ORDER BY key", {
        "SELECT CASE WHEN :count > 0 AND (:first_id < 1 OR :last_id - :first_id + 1 < :count) THEN 'its tasks can not be those of its ids' "
        "WHEN :count > 100000 AND NOT coalesce(:is_stream, 0) THEN 'an array has no more than 100,000 tasks' "
        "WHEN :count > 0 AND :last_id > (SELECT value FROM meta WHERE name = 'last_id') THEN 'its last_id is above the last_id of the head' END",
        "INSERT INTO keys(key, is_stream, hash, first_id, last_id, count, created_at) "
        "VALUES(:key, coalesce(:is_stream, 0), :hash, :first_id, :last_id, :count, :created_at_ms)"}},
};
// clang-format on
_Static_assert(COUNT_OF(task) <= EXCHANGE_MEMBERS_MAX, "each has its place");

void exchange_select(const struct exchange_table *table, int version, struct buffer *sql)
{
    for (size_t i = 0; i < table->member_count; i++) {
        const struct exchange_member *member = &table->members[i];
        buffer_text(sql, i == 0 ? "SELECT " : ", ");
        buffer_text(sql, member->since <= version ? member->sql : "NULL");
    }
    buffer_text(sql, table->from);
}

static bool number_fits(const struct exchange_member *member, sqlite3_stmt *row, int column)
{
    int64_t number = sqlite3_column_int64(row, column);
    bool is_state = member->sort == EXCHANGE_STATE;
    bool is_any = member->sort == EXCHANGE_SWITCH;

    return sqlite3_column_type(row, column) == SQLITE_INTEGER &&
           (is_any || (number >= (is_state ? 0 : member->least) &&
                       number <= (is_state ? TASK_STATE_COUNT - 1 : member->most)));
}

bool exchange_text_fits(const struct exchange_member *member, const char *text, size_t length)
{
    bool is_whole = memchr(text, '\0', length) == NULL; // a short one is read up to a NUL
    double rate = 0;

    switch (member->sort) {
    case EXCHANGE_NAME:
        return is_whole && config_name_valid(text);
    case EXCHANGE_RATE:
        return is_whole && (int64_t)length <= member->most && units_rate(text, &rate) == 0;
    case EXCHANGE_TRACE:
        return record_trace_valid(text, length);
    default:
        return (is_whole || member->most == BYTES_MAX) && (int64_t)length >= member->least &&
               (int64_t)length <= member->most;
    }
}

static bool column_fits(const struct exchange_member *member, const char *text, size_t length)
{
    char first = text[0];
    char last = length == 0 ? '\0' : text[length - 1];

    switch (member->sort) {
    case EXCHANGE_ARRAY:
        return length >= 2 && first == '[' && last == ']' && buffer_is_utf8(text, length);
    case EXCHANGE_OBJECT:
        return length >= 2 && first == '{' && last == '}' && buffer_is_utf8(text, length);
    case EXCHANGE_JSON:
        return length > 0 && buffer_is_utf8(text, length);
    default:
        return exchange_text_fits(member, text, length);
    }
}

int exchange_fits(const struct exchange_member *member, sqlite3_stmt *row, int column)
{
    int type = sqlite3_column_type(row, column);

    if (type == SQLITE_NULL)
        return member->is_required ? -EBADMSG : 0;
    switch (member->sort) {
    case EXCHANGE_NUMBER:
    case EXCHANGE_SWITCH:
    case EXCHANGE_STATE:
        return number_fits(member, row, column) ? 0 : -EBADMSG;
    case EXCHANGE_HASH:
        return type == SQLITE_BLOB && sqlite3_column_bytes(row, column) == EXCHANGE_HASH_BYTES
                   ? 0
                   : -EBADMSG;
    default:
        break;
    }
    if (type != SQLITE_TEXT)
        return -EBADMSG;
    const char *text = (const char *)sqlite3_column_text(row, column);
    if (text == NULL)
        return -ENOMEM;
    return column_fits(member, text, (size_t)sqlite3_column_bytes(row, column)) ? 0 : -EBADMSG;
}
