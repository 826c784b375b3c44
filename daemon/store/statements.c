/* The SQL of the store: one table. Every query over a partial index repeats the index's own
 * condition and names the index, so that a plan without it is an error when the statement is
 * prepared, not a slow daemon. */
#include "store/statements.h"

#define ROW                                                                                        \
    "SELECT id, state, queue, priority, run, attempt, interruptions, flags, created_at, "          \
    "queued_at, due_at, expires_at, started_at, finished_at, cancel_requested_at, worker, kind, "  \
    "timeout, max_attempts, backoff_base, backoff_max, tags, args, result, error_code, "           \
    "error_message, exec, history, traceparent, parent, links FROM tasks "
#define QUEUED "INDEXED BY tasks_queued WHERE state = 1 AND queue = ?1 "
#define DUE "INDEXED BY tasks_due WHERE (state = 0 OR state = 2) "
#define EXPIRY                                                                                     \
    "INDEXED BY tasks_expiry WHERE expires_at > 0 AND run = 0 AND (state < 3 OR state = 7) "
#define HELD "INDEXED BY tasks_parked WHERE (state = 3 OR state = 7) AND state = 7 "

// FLAG_ARGS_LARGE, FLAG_ON_FAILURE: of the task, not of its attempts.
#define FLAGS_KEPT "(flags & 17)"

// What an attempt leaves. A recorded cancel lets it through to `cancelled` alone; a later run
// never.
#define FINISH                                                                                     \
    "UPDATE tasks SET state = ?1, run = ?2, attempt = ?3, started_at = ?4, finished_at = ?5, "     \
    "worker = ?6, flags = " FLAGS_KEPT                                                             \
    " | ?7, result = ?8, error_code = ?9, error_message = ?10, "                                   \
    "exec = ?11, history = ?12"
#define FINISH_WHERE                                                                               \
    " WHERE id = ?13 AND state = ?14 AND run <= ?15 AND "                                          \
    "(cancel_requested_at IS NULL OR ?1 = 6)"

// clang-format off
const struct statement_text statement_texts[SQL_STATEMENT_COUNT] = {
    [SQL_BEGIN] = {SQLITE_WRITER, "BEGIN IMMEDIATE"},
    [SQL_COMMIT] = {SQLITE_WRITER, "COMMIT"},
    [SQL_ROLLBACK] = {SQLITE_WRITER, "ROLLBACK"},

    [SQL_PUT] = {SQLITE_WRITER,
        "INSERT INTO tasks(id, state, queue, priority, run, attempt, interruptions, flags, created_at, queued_at, due_at, expires_at, "
        "kind, timeout, max_attempts, backoff_base, backoff_max, tags, args, traceparent, parent, links) "
        "VALUES(?1, ?2, ?3, ?4, 0, 0, 0, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"},
    [SQL_PUT_ARGS] = {SQLITE_WRITER, "INSERT INTO large_args(id, args) VALUES(?1, ?2)"},
    [SQL_PUT_RESULT] = {SQLITE_WRITER, "INSERT OR REPLACE INTO large_results(id, result) VALUES(?1, ?2)"},

    [SQL_PUT_FAILED] = {SQLITE_WRITER,
        "UPDATE tasks SET state = 5, finished_at = ?2, error_code = ?3, error_message = ?4 WHERE id = ?1"},

    [SQL_START] = {SQLITE_WRITER,
        "UPDATE tasks SET state = 3, run = ?2, attempt = ?3, started_at = ?4, worker = ?5 "
        "WHERE id = ?1 AND state = 1 AND run < ?2 AND cancel_requested_at IS NULL"},
    [SQL_FINISH_END] = {SQLITE_WRITER, FINISH FINISH_WHERE},
    [SQL_FINISH_AGAIN] = {SQLITE_WRITER, FINISH ", due_at = ?16, queued_at = coalesce(?17, queued_at)" FINISH_WHERE},
    [SQL_LOOK] = {SQLITE_WRITER, "SELECT state, run, cancel_requested_at, queue, flags FROM tasks WHERE id = ?1"},
    [SQL_ROW] = {SQLITE_WRITER | SQLITE_READER, ROW "WHERE id = ?1"},
    [SQL_HOLD] = {SQLITE_WRITER, "UPDATE tasks SET state = 7 WHERE id = ?1"},
    [SQL_EDIT] = {SQLITE_WRITER,
        "UPDATE tasks SET state = ?2, queue = ?3, priority = ?4, queued_at = ?5, due_at = ?6, expires_at = ?7, kind = ?8, timeout = ?9, "
        "max_attempts = ?10, backoff_base = ?11, backoff_max = ?12, tags = ?13 WHERE id = ?1"},
    [SQL_CANCEL] = {SQLITE_WRITER,
        "UPDATE tasks SET state = 6, finished_at = ?2, cancel_requested_at = coalesce(?3, cancel_requested_at), "
        "flags = " FLAGS_KEPT ", error_code = ?4, error_message = ?5, started_at = iif(?6 IS NULL, started_at, NULL), "
        "worker = iif(?6 IS NULL, worker, NULL), history = coalesce(?6, history) WHERE id = ?1"},
    [SQL_CANCEL_RECORD] = {SQLITE_WRITER, "UPDATE tasks SET cancel_requested_at = ?2 WHERE id = ?1"},
    [SQL_RETRY] = {SQLITE_WRITER,
        "UPDATE tasks SET state = 1, attempt = 0, interruptions = 0, flags = " FLAGS_KEPT ", queued_at = ?2, expires_at = ?3, "
        "started_at = NULL, finished_at = NULL, cancel_requested_at = NULL, worker = NULL, result = NULL, error_code = NULL, "
        "error_message = NULL, exec = NULL, history = ?4 WHERE id = ?1"},
    [SQL_DELETE] = {SQLITE_WRITER, "DELETE FROM tasks WHERE id = ?1"},
    [SQL_DELETE_ARGS] = {SQLITE_WRITER, "DELETE FROM large_args WHERE id = ?1"},
    [SQL_DELETE_RESULT] = {SQLITE_WRITER, "DELETE FROM large_results WHERE id = ?1"},

    // A row value can't be compared with one direction up and the other down: first the rest of a priority, then those below.
    [SQL_CLAIM_SAME] = {SQLITE_WRITER, ROW QUEUED "AND priority = ?2 AND id > ?3 ORDER BY id LIMIT ?4"},
    [SQL_CLAIM_BELOW] = {SQLITE_WRITER, ROW QUEUED "AND priority < ?2 ORDER BY priority DESC, id LIMIT ?3"},

    [SQL_EXPIRED] = {SQLITE_WRITER, "SELECT id FROM tasks " EXPIRY "AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2"},
    [SQL_DUE] = {SQLITE_WRITER, "SELECT id FROM tasks " DUE "AND due_at <= ?1 ORDER BY due_at LIMIT ?2"},
    [SQL_PROMOTE] = {SQLITE_WRITER, "UPDATE tasks SET state = 1, queued_at = ?2 WHERE id = ?1"},
    [SQL_NEXT_DUE] = {SQLITE_WRITER, "SELECT due_at FROM tasks " DUE "AND due_at > -1 ORDER BY due_at LIMIT 1"},
    [SQL_NEXT_EXPIRY] = {SQLITE_WRITER, "SELECT expires_at FROM tasks " EXPIRY "AND expires_at > ?1 ORDER BY expires_at LIMIT 1"},
    [SQL_OLDEST] = {SQLITE_WRITER,
        "SELECT id, flags FROM tasks INDEXED BY tasks_finished WHERE queue = ?1 AND state = ?2 AND (state = 4 OR state = 5 OR state = 6) "
        "AND finished_at < ?3 ORDER BY finished_at LIMIT ?4"},

    [SQL_KEY] = {SQLITE_WRITER | SQLITE_READER,
        "SELECT is_stream, hash, first_id, last_id, count, created_at FROM keys WHERE key = ?1"},
    [SQL_KEY_PUT] = {SQLITE_WRITER,
        "INSERT INTO keys(key, is_stream, hash, first_id, last_id, count, created_at) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)"},
    [SQL_KEY_EXTEND] = {SQLITE_WRITER, "UPDATE keys SET hash = ?2, first_id = ?3, last_id = ?4, count = ?5 WHERE key = ?1"},
    [SQL_KEYS_OLD] = {SQLITE_WRITER, "SELECT key FROM keys WHERE created_at < ?1 ORDER BY created_at LIMIT ?2"},
    [SQL_KEY_DELETE] = {SQLITE_WRITER, "DELETE FROM keys WHERE key = ?1"},

    [SQL_QUEUE_PUT] = {SQLITE_WRITER, "INSERT INTO queues(number, name) VALUES(?1, ?2)"},
    [SQL_QUEUE_SETTINGS] = {SQLITE_WRITER,
        "UPDATE queues SET workers = ?2, rate = ?3, burst = ?4, paused = ?5, paused_until = ?6 WHERE number = ?1"},
    [SQL_COUNTS] = {SQLITE_WRITER,
        "UPDATE queues SET scheduled = ?2, queued = ?3, retrying = ?4, running = ?5, succeeded = ?6, failed = ?7, cancelled = ?8, "
        "held = ?9 WHERE number = ?1"},
    [SQL_LAST_ID] = {SQLITE_WRITER, "UPDATE meta SET value = ?1 WHERE name = 'last_id'"},

    [SQL_INTERRUPT] = {SQLITE_WRITER,
        "UPDATE tasks SET state = ?2, run = ?3, attempt = ?4, interruptions = ?5, finished_at = ?6, queued_at = coalesce(?7, queued_at), "
        "flags = CASE WHEN ?8 IS NULL THEN flags ELSE " FLAGS_KEPT " END, error_code = coalesce(?8, error_code), "
        "error_message = CASE WHEN ?8 IS NULL THEN error_message ELSE ?9 END WHERE id = ?1"},
    [SQL_RUNNING] = {SQLITE_WRITER,
        "SELECT id FROM tasks INDEXED BY tasks_parked WHERE (state = 3 OR state = 7) AND state = 3 AND kind >= ''"},
    [SQL_HELD_KINDS] = {SQLITE_WRITER, "SELECT kind FROM tasks " HELD "AND kind > ?1 ORDER BY kind LIMIT 1"},
    [SQL_HELD_COUNTS] = {SQLITE_WRITER, "SELECT queue, count(*) FROM tasks " HELD "AND kind = ?1 GROUP BY queue"},
    [SQL_RELEASE] = {SQLITE_WRITER, "UPDATE tasks " "INDEXED BY tasks_parked SET state = 1, queued_at = ?2 "
        "WHERE (state = 3 OR state = 7) AND state = 7 AND kind = ?1"},

    [SQL_HELD] = {SQLITE_WRITER, "SELECT id FROM tasks " HELD "AND kind = ?1 LIMIT ?2"},
    [SQL_FIRST] = {SQLITE_WRITER, "SELECT id, priority FROM tasks " QUEUED "ORDER BY priority DESC, id LIMIT 1"},

    [SQL_SCAN] = {SQLITE_READER, "SELECT id, state, queue, created_at, finished_at, kind, tags, error_code FROM tasks "
        "WHERE id < ?1 ORDER BY id DESC"},
    [SQL_LARGE_ARGS] = {SQLITE_WRITER | SQLITE_READER, "SELECT args FROM large_args WHERE id = ?1"},
    [SQL_LARGE_RESULT] = {SQLITE_READER, "SELECT result FROM large_results WHERE id = ?1"},
    [SQL_CHILDREN] = {SQLITE_READER,
        "SELECT json_group_array(id) FROM (SELECT id FROM tasks INDEXED BY tasks_parent WHERE parent > 0 AND parent = ?1 "
        "ORDER BY id LIMIT ?2)"},
    [SQL_AGE_PRIORITY] = {SQLITE_READER, "SELECT priority FROM tasks " QUEUED "AND priority < ?2 ORDER BY priority DESC LIMIT 1"},
    [SQL_AGE_ROWS] = {SQLITE_READER,
        "SELECT coalesce(queued_at, created_at) FROM tasks " QUEUED "AND priority = ?2 ORDER BY id LIMIT ?3"},
};
// clang-format on
