/* What tests of contexts share. */
#include "contexts.h"

#include "unit.h"

rn_context *new_child(rn_context *parent)
{
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_cancel(parent, &ctx), 0);
    return ctx;
}
