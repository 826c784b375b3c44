/*
 * Contexts that carry a value, and those that keep the values of others but not their end.
 *
 * A value is looked up along `parent`, which every context holds a reference on, so no lock is
 * taken: key and value are set once by new. A context without its parent's end is on nobody's list,
 * and its `parent` is merely the nearest that has a value: what lies between may go.
 */
#include <stdlib.h>

#include "context.h"

/* A context with a value; all is set once by new. */
struct valued {
    rn_context ctx;
    const void *key;
    void *value;
    void (*free_fn)(void *value);
};

static void valued_fini(rn_context *ctx)
{
    struct valued *valued = (struct valued *)ctx;

    if (valued->free_fn != NULL)
        valued->free_fn(valued->value);
}

static const struct rni_context_kind with_value = {NULL, valued_fini};
static const struct rni_context_kind without_cancel = {NULL, NULL};

/* The nearest from ctx up to its root that has a value; NULL: none. */
static rn_context *nearest_valued(rn_context *ctx)
{
    while (ctx != NULL && ctx->kind != &with_value)
        ctx = ctx->parent;
    return ctx;
}

int rn_context_with_value(rn_context *parent, const void *key, void *value,
                          void (*free_fn)(void *value), rn_context **ret_ctx)
{
    RN_ASSERT(key != NULL);
    rn_context *ctx =
        rni_context_new(sizeof(struct valued), &with_value, parent, rn_context_deadline(parent));
    if (ctx == NULL)
        return -ENOMEM;
    struct valued *valued = (struct valued *)ctx;
    valued->key = key;
    valued->value = value;
    valued->free_fn = free_fn;
    rni_context_attach(ctx);
    *ret_ctx = ctx;
    return 0;
}

void *rn_context_value(rn_context *ctx, const void *key)
{
    RN_ASSERT(key != NULL);
    while ((ctx = nearest_valued(ctx)) != NULL) {
        struct valued *valued = (struct valued *)ctx;
        if (valued->key == key)
            return valued->value;
        ctx = ctx->parent;
    }
    return NULL;
}

int rn_context_without_cancel(rn_context *parent, rn_context **ret_ctx)
{
    rn_context *ctx =
        rni_context_new(sizeof(*ctx), &without_cancel, nearest_valued(parent), RN_NEVER);

    if (ctx == NULL)
        return -ENOMEM;
    *ret_ctx = ctx;
    return 0;
}
