/* The operation channel. */
#include "store/inbox.h"

#include "store/part.h"
#include "store/writer.h"

void op_list_add(struct op_list *list, struct store_op *op)
{
    op->own.next = NULL;
    if (list->last == NULL)
        list->first = op;
    else
        list->last->own.next = op;
    list->last = op;
}

struct store_op *op_list_pop(struct op_list *list)
{
    struct store_op *op = list->first;
    if (op == NULL)
        return NULL;
    list->first = op->own.next;
    if (list->first == NULL)
        list->last = NULL;
    op->own.next = NULL;
    return op;
}

void op_list_prepend(struct op_list *list, struct op_list *others)
{
    op_list_append(others, list);
    *list = *others;
    *others = (struct op_list){0};
}

void op_list_append(struct op_list *list, struct op_list *others)
{
    if (others->first == NULL)
        return;
    if (list->last == NULL)
        list->first = others->first;
    else
        list->last->own.next = others->first;
    list->last = others->last;
    *others = (struct op_list){0};
}

void inbox_init(struct inbox *inbox)
{
    *inbox = (struct inbox){.count = 0};
    rn_mutex_init(&inbox->mu, 35);
    rn_cond_init(&inbox->work);
    rn_cond_init(&inbox->room);
}

void inbox_fini(struct inbox *inbox)
{
    rn_cond_fini(&inbox->work);
    rn_cond_fini(&inbox->room);
    rn_mutex_fini(&inbox->mu);
}

/* What an operation counts in a group: rows that it writes, bytes that it brings. */
static void weigh(struct store_op *op)
{
    size_t rows = 1;
    size_t bytes = 0;

    switch (op->type) {
    case STORE_PUT:
        rows = op->put.count;
        for (size_t i = 0; i < op->put.count; i++)
            bytes += record_bytes(op->put.records[i]);
        break;
    case STORE_FINISH:
        rows = op->finish.is_followed ? 2 : 1;
        bytes = rows * record_bytes(op->finish.record);
        break;
    case STORE_PROMOTE:
        rows = op->promote.limit;
        break;
    case STORE_SWEEP:
        rows = op->sweep.limit;
        break;
    case STORE_RELEASE:
        rows = op->release.limit;
        break;
    case STORE_MANY:
        rows = op->many.count;
        break;
    case STORE_CLAIM:
    case STORE_BACKUP:
        rows = 0; // it reads, after the commit
        break;
    case STORE_IMPORT:
        rows = GROUP_ROWS_MAX; // alone
        bytes = (size_t)op->import.part->bytes;
        break;
    case STORE_START:
    case STORE_HOLD:
    case STORE_CANCEL:
    case STORE_RETRY:
    case STORE_DELETE:
    case STORE_QUEUE_SET:
    case STORE_EDIT:
        break;
    }
    op->own.next = NULL;
    op->own.rows = rows;
    op->own.bytes = bytes;
    op->own.is_settled = false;
    op->result = 0;
}

static void add_locked(struct inbox *inbox, struct store_op *op) RN_REQUIRES(&inbox->mu);
static void add_locked(struct inbox *inbox, struct store_op *op)
{
    op_list_add(&inbox->list, op);
    inbox->count++;
    (void)rn_cond_signal(&inbox->work); // nothing where the writer is not parked
}

int inbox_put(struct inbox *inbox, struct store_op *op, size_t limit)
{
    int r = 0;
    weigh(op);
    rn_mutex_lock(&inbox->mu);
    if (inbox->closed)
        r = -EPIPE;
    else if (inbox->count >= limit)
        r = -EAGAIN;
    else
        add_locked(inbox, op);
    rn_mutex_unlock(&inbox->mu);
    return r;
}

int inbox_put_wait(rn_context *ctx, struct inbox *inbox, struct store_op *op)
{
    int r = rn_context_err(ctx);
    weigh(op);
    rn_mutex_lock(&inbox->mu);
    inbox->waiting++;
    while (r == 0 && !inbox->closed && inbox->count >= INBOX_CAPACITY)
        r = rn_cond_wait(ctx, &inbox->room, &inbox->mu, RN_NEVER);
    inbox->waiting--;
    if (r == 0 && inbox->closed)
        r = -EPIPE;
    if (r == 0)
        add_locked(inbox, op);
    rn_mutex_unlock(&inbox->mu);
    return r;
}

static void take_locked(struct inbox *inbox, struct op_list *into, struct op_room *room)
    RN_REQUIRES(&inbox->mu);
static void take_locked(struct inbox *inbox, struct op_list *into, struct op_room *room)
{
    while (inbox->list.first != NULL) {
        const struct store_op *first = inbox->list.first;
        bool fits = first->own.rows <= room->rows && first->own.bytes <= room->bytes;
        if (!fits && into->first != NULL) {
            *room = (struct op_room){0}; // nothing passes it: the order stays
            break;
        }
        room->rows -= fits ? first->own.rows : room->rows;
        room->bytes -= fits ? first->own.bytes : room->bytes;
        op_list_add(into, op_list_pop(&inbox->list));
        inbox->count--;
    }
    if (inbox->waiting > 0 && inbox->count < INBOX_CAPACITY)
        rn_cond_broadcast(&inbox->room);
}

bool inbox_take(struct inbox *inbox, rn_time deadline, struct op_list *into, struct op_room *room)
{
    int r = 0;
    rn_mutex_lock(&inbox->mu);
    while (r == 0 && deadline != 0 && inbox->list.first == NULL && !inbox->closed)
        r = rn_cond_wait(NULL, &inbox->work, &inbox->mu, deadline); // else the deadline has passed
    take_locked(inbox, into, room);
    bool is_open = !inbox->closed || into->first != NULL;
    rn_mutex_unlock(&inbox->mu);
    return is_open;
}

void inbox_put_back(struct inbox *inbox, struct op_list *list)
{
    size_t count = 0;
    for (const struct store_op *op = list->first; op != NULL; op = op->own.next)
        count++;
    rn_mutex_lock(&inbox->mu);
    op_list_prepend(&inbox->list, list);
    inbox->count += count;
    rn_mutex_unlock(&inbox->mu);
}

void inbox_close(struct inbox *inbox)
{
    rn_mutex_lock(&inbox->mu);
    inbox->closed = true;
    rn_cond_broadcast(&inbox->work);
    rn_cond_broadcast(&inbox->room);
    rn_mutex_unlock(&inbox->mu);
}

size_t inbox_count(struct inbox *inbox)
{
    rn_mutex_lock(&inbox->mu);
    size_t count = inbox->count;
    rn_mutex_unlock(&inbox->mu);
    return count;
}
