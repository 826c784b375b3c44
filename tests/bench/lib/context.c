/*
 * Rows on contexts.
 */
#include <runnel/context.h>

#include "rows.h"

enum { CHILDREN_MAX = 10000, CANCEL_ROUNDS = 9 };

static rn_context *child_of(rn_context *parent)
{
    rn_context *made;
    must(rn_context_with_cancel(parent, &made));
    return made;
}

static void check_end(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++)
        must(rn_context_err(part->shared));
}

/* All threads look whether one context has ended. */
static uint64_t check(const struct row *row, uint64_t ops)
{
    rn_context *ctx = child_of(NULL);

    (void)row;
    uint64_t ns = in_threads(processors, check_end, ctx, ops);
    rn_context_unref(ctx);
    return ns;
}

static void make_and_cancel(struct part *part)
{
    for (uint64_t i = 0; i < part->ops; i++) {
        rn_context *ctx = child_of(part->shared);
        rn_context_cancel(ctx, 0);
        rn_context_unref(ctx);
    }
}

/* All threads make children of one context, and cancel them. */
static uint64_t create(const struct row *row, uint64_t ops)
{
    rn_context *parent = child_of(NULL);

    (void)row;
    uint64_t ns = in_threads(processors, make_and_cancel, parent, ops);
    rn_context_unref(parent);
    return ns;
}

static rn_context *children[CHILDREN_MAX];

/* A context with so many children, made, cancelled from the parent and freed. */
static uint64_t tree(const struct row *row, uint64_t ops)
{
    uint64_t started_at = now_ns();

    for (uint64_t i = 0; i < ops; i++) {
        rn_context *parent = child_of(NULL);
        for (unsigned j = 0; j < row->threads; j++)
            children[j] = child_of(parent);
        rn_context_cancel(parent, 0);
        for (unsigned j = 0; j < row->threads; j++)
            rn_context_unref(children[j]);
        rn_context_unref(parent);
    }
    return now_ns() - started_at;
}

/* The same with each the child of the one before. */
static uint64_t chain(const struct row *row, uint64_t ops)
{
    uint64_t started_at = now_ns();

    for (uint64_t i = 0; i < ops; i++) {
        rn_context *root = child_of(NULL);
        for (unsigned j = 0; j < row->threads; j++)
            children[j] = child_of(j == 0 ? root : children[j - 1]);
        rn_context_cancel(root, 0);
        for (unsigned j = 0; j < row->threads; j++)
            rn_context_unref(children[j]);
        rn_context_unref(root);
    }
    return now_ns() - started_at;
}

/* The cancelling alone, of so many contexts that each have a channel on which one may wait. */
static double cancel(const struct row *row)
{
    uint64_t rounds[CANCEL_ROUNDS];

    for (size_t i = 0; i < CANCEL_ROUNDS; i++) {
        rn_context *parent = child_of(NULL);
        for (unsigned j = 0; j < row->threads; j++) {
            rn_chan *done;
            children[j] = child_of(parent);
            must(rn_context_done(children[j], &done));
        }
        uint64_t started_at = now_ns();
        rn_context_cancel(parent, 0);
        rounds[i] = now_ns() - started_at;
        for (unsigned j = 0; j < row->threads; j++)
            rn_context_unref(children[j]);
        rn_context_unref(parent);
    }
    return median_of(rounds, CANCEL_ROUNDS);
}

const struct row context_rows[] = {
    {.name = "context/check", .run = check},
    {.name = "context/create", .run = create},
    {.name = "context/tree-1", .run = tree, .threads = 1},
    {.name = "context/tree-100", .run = tree, .threads = 100},
    {.name = "context/tree-10000", .run = tree, .threads = 10000},
    {.name = "context/chain-100", .run = chain, .threads = 100},
    {.name = "context/cancel-10000", .figure = cancel, .threads = 10000},
    {.name = NULL},
};
