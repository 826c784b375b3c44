/** \file
 * The operation channel: what was submitted and waits for the writer. A list of the operations
 * themselves (they have the link), so that putting one in allocates nothing and taking a whole
 * group takes the lock once. The writer is woken only when it is parked.
 */
#ifndef STORE_INBOX_H
#define STORE_INBOX_H

#include <runnel/sync.h>

#include "store/store.h"

enum { INBOX_CAPACITY = 8192 };

struct op_list {
    struct store_op *first, *last;
};

/** At the end. */
void op_list_add(struct op_list *list, struct store_op *op);
/** The first; NULL: empty. */
struct store_op *op_list_pop(struct op_list *list);
/** Puts the others, in order, before list's own; others is empty then. */
void op_list_prepend(struct op_list *list, struct op_list *others);
/** The same behind them. */
void op_list_append(struct op_list *list, struct op_list *others);

/** What a group may still take in. */
struct op_room {
    size_t rows, bytes;
};

struct inbox {
    rn_mutex mu;                    // rank 35
    rn_cond work RN_GUARDED_BY(mu); // there is something, or it is closed: the writer waits
    rn_cond room RN_GUARDED_BY(mu); // below the capacity, or closed: store_submit_wait waits
    struct op_list list RN_GUARDED_BY(mu);
    size_t count RN_GUARDED_BY(mu);
    size_t waiting RN_GUARDED_BY(mu); // threads that wait for room
    bool closed RN_GUARDED_BY(mu);
};

void inbox_init(struct inbox *inbox);
void inbox_fini(struct inbox *inbox);
/** -EAGAIN: `limit` or more are in it. -EPIPE: closed. */
int inbox_put(struct inbox *inbox, struct store_op *op, size_t limit) RN_MUST_CHECK;
/** Waits for room. -EPIPE, or as rn_context_err. */
int inbox_put_wait(rn_context *ctx, struct inbox *inbox, struct store_op *op) RN_MUST_CHECK;
/**
 * The writer: moves what fits into the room (the first in any case while `into` is empty) to the
 * end of `into` and makes room less.
 *
 * Blocking: until there is something, the inbox is closed, or the deadline has passed; a deadline
 * of 0 looks and does not wait. Returns false when it is closed and empty.
 */
bool inbox_take(struct inbox *inbox, rn_time deadline, struct op_list *into, struct op_room *room);
/** The writer: puts operations back to the front. */
void inbox_put_back(struct inbox *inbox, struct op_list *list);
void inbox_close(struct inbox *inbox);
size_t inbox_count(struct inbox *inbox);

#endif
