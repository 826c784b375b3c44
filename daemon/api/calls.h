/** \file The functions of the routes, one for each call of the API. On the HTTP thread, once the
 * body is complete. */
#ifndef API_CALLS_H
#define API_CALLS_H

#include "api/core.h"

request_fn call_submit;                                                  // submit.c
request_fn call_task, call_result, call_cancel, call_retry, call_delete; // tasks.c
request_fn call_list;                                                    // list.c
request_fn call_actions, call_queue_purge;                               // actions.c
request_fn call_edit;                                                    // edit.c
request_fn call_queues, call_queue, call_queue_change, call_queue_pause,
    call_queue_resume;               // queues.c
request_fn queue_not_found;          // 404 with the nearest name; queues.c
request_fn call_backup, call_export; // backup.c
request_fn call_import;              // import.c
request_fn import_begin;             // its header is there, the body comes
request_fn call_metrics;             // metrics.c
request_fn call_stats, call_info, call_root, call_health, call_ready, call_problem, call_problems,
    call_openapi; // info.c

#endif
