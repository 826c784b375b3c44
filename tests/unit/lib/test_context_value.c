/* Contexts that carry values, and those that keep the values of others but not their end. */
#include <runnel/context.h>

#include <stdatomic.h>

#include "context.h"
#include "contexts.h"
#include "fault.h"
#include "unit.h"

static void note_call(void *arg)
{
    (*(int *)arg)++;
}

// ---- Values

static const char user_key;
static const char trace_key;

static rn_context *new_valued(rn_context *parent, const void *key, void *value)
{
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_value(parent, key, value, NULL, &ctx), 0);
    return ctx;
}

static void a_value_is_found_from_below(void **state)
{
    (void)state;
    int user = 1;
    int trace = 2;
    rn_context *root = new_child(NULL);
    rn_context *with_user = new_valued(root, &user_key, &user);
    rn_context *with_both = new_valued(with_user, &trace_key, &trace);
    rn_context *leaf = NULL;
    assert_int_equal(rn_context_with_timeout(with_both, RN_HOUR, &leaf), 0);

    assert_ptr_equal(rn_context_value(leaf, &user_key), &user);
    assert_ptr_equal(rn_context_value(leaf, &trace_key), &trace);
    assert_ptr_equal(rn_context_value(with_user, &user_key), &user);
    assert_null(rn_context_value(with_user, &trace_key));
    assert_null(rn_context_value(root, &user_key));
    assert_null(rn_context_value(leaf, &root));
    assert_null(rn_context_value(NULL, &user_key));
    rn_context_cancel(root, 0);
    assert_ptr_equal(rn_context_value(leaf, &user_key), &user); // also of what has ended

    rn_context_unref(root);
    rn_context_unref(with_user);
    rn_context_unref(with_both);
    rn_context_unref(leaf);
}

static void the_nearest_value_counts(void **state)
{
    (void)state;
    int outer = 1;
    int inner = 2;
    rn_context *first = new_valued(NULL, &user_key, &outer);
    rn_context *second = new_valued(first, &user_key, &inner);
    rn_context *hidden = new_valued(second, &user_key, NULL);

    assert_ptr_equal(rn_context_value(first, &user_key), &outer);
    assert_ptr_equal(rn_context_value(second, &user_key), &inner);
    assert_null(rn_context_value(hidden, &user_key));

    rn_context_unref(hidden);
    rn_context_unref(second);
    rn_context_unref(first);
}

static void a_context_with_a_value_ends_as_others_do(void **state)
{
    (void)state;
    rn_context *root = NULL;
    rn_time deadline = rn_after(RN_HOUR);
    assert_int_equal(rn_context_with_deadline(NULL, deadline, &root), 0);
    rn_context *first = new_valued(root, &user_key, NULL);
    rn_context *second = new_valued(first, &user_key, NULL);
    rn_context *third = new_valued(root, &user_key, NULL);
    assert_true(rn_context_deadline(second) == deadline);

    rn_context_cancel(first, 5);
    assert_int_equal(rn_context_cause(second), 5);
    assert_int_equal(rn_context_err(third), 0);
    rn_context_cancel(root, 6);
    assert_int_equal(rn_context_cause(third), 6);
    rn_context *late = new_valued(root, &user_key, NULL);
    assert_int_equal(rn_context_cause(late), 6);

    rn_context_unref(late);
    rn_context_unref(third);
    rn_context_unref(second);
    rn_context_unref(first);
    rn_context_unref(root);
}

static void a_value_is_freed_with_the_last_reference(void **state)
{
    (void)state;
    int freed = 0;
    rn_context *ctx = NULL;
    assert_int_equal(rn_context_with_value(NULL, &user_key, &freed, note_call, &ctx), 0);
    rn_context *child = new_child(ctx);

    rn_context_unref(ctx);
    rn_context_cancel(child, 0);
    assert_int_equal(freed, 0);
    assert_ptr_equal(rn_context_value(child, &user_key), &freed);
    rn_context_unref(child);

    assert_int_equal(freed, 1);
}

static void without_memory_the_value_stays_the_callers(void **state)
{
    (void)state;
    int freed = 0;
    rn_context *ctx = NULL;
    fault_fail_malloc(1);
    assert_int_equal(rn_context_with_value(NULL, &user_key, &freed, note_call, &ctx), -ENOMEM);
    assert_true(fault_reached());
    assert_null(ctx);
    assert_int_equal(freed, 0);
}

// ---- Without the parent's end

static void without_cancel_the_parents_end_does_not_matter(void **state)
{
    (void)state;
    int user = 1;
    rn_context *parent = NULL;
    rn_context *ctx = NULL;
    rn_context *late = NULL;
    assert_int_equal(rn_context_with_timeout(NULL, RN_HOUR, &parent), 0);
    rn_context *valued = new_valued(parent, &user_key, &user);
    assert_int_equal(rn_context_without_cancel(valued, &ctx), 0);
    rn_context *child = new_child(ctx);
    assert_true(rn_context_deadline(ctx) == RN_NEVER);
    assert_true(rn_context_deadline(child) == RN_NEVER);

    rn_context_cancel(parent, 0);
    assert_int_equal(rn_context_without_cancel(valued, &late), 0);

    assert_int_equal(rn_context_err(ctx), 0);
    assert_int_equal(rn_context_cause(ctx), 0);
    assert_int_equal(rn_context_err(child), 0);
    assert_int_equal(rn_context_err(late), 0);
    assert_ptr_equal(rn_context_value(child, &user_key), &user);
    assert_ptr_equal(rn_context_value(late, &user_key), &user);
    rn_context_cancel(ctx, 4); // by whoever has it
    assert_int_equal(rn_context_cause(child), 4);
    assert_int_equal(rn_context_err(late), 0);

    rn_context_unref(late);
    rn_context_unref(child);
    rn_context_unref(ctx);
    rn_context_unref(valued);
    rn_context_unref(parent);
}

static void without_cancel_keeps_the_values_and_no_more(void **state)
{
    (void)state;
    int freed = 0;
    rn_context *ctx = NULL;
    rn_context *bare = NULL;
    rn_context *valued = NULL;
    assert_int_equal(rn_context_with_value(NULL, &user_key, &freed, note_call, &valued), 0);
    rn_context *below = new_child(valued);
    assert_int_equal(rn_context_without_cancel(below, &ctx), 0);
    assert_int_equal(atomic_load(&below->references), 1);

    rn_context_unref(below);
    rn_context_unref(valued);
    assert_ptr_equal(rn_context_value(ctx, &user_key), &freed);
    assert_int_equal(freed, 0);
    rn_context_unref(ctx);
    assert_int_equal(freed, 1);

    assert_int_equal(rn_context_without_cancel(NULL, &bare), 0);
    assert_int_equal(rn_context_err(bare), 0);
    assert_null(rn_context_value(bare, &user_key));
    rn_context_unref(bare);
    fault_fail_malloc(1);
    assert_int_equal(rn_context_without_cancel(NULL, &ctx), -ENOMEM);
    assert_true(fault_reached());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_found_from_below),
        cmocka_unit_test(the_nearest_value_counts),
        cmocka_unit_test(a_context_with_a_value_ends_as_others_do),
        cmocka_unit_test(a_value_is_freed_with_the_last_reference),
        cmocka_unit_test(without_memory_the_value_stays_the_callers),
        cmocka_unit_test(without_cancel_the_parents_end_does_not_matter),
        cmocka_unit_test(without_cancel_keeps_the_values_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
