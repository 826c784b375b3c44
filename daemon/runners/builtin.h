/** \file The built-ins that stand in files of their own, and what they share. The table is in
 * builtin.c. */
#ifndef RUNNERS_BUILTIN_H
#define RUNNERS_BUILTIN_H

#include "runners/args.h"

/** A member of args that is an integer and may be missing. */
struct builtin_integer {
    const char *name;
    json_int_t min;
    json_int_t max;
    json_int_t otherwise; // where it is missing or null
};

/** Its value; where it is none, a fault in list, and `otherwise`. */
json_int_t builtin_integer_get(const struct builtin_integer *integer, const json_t *args,
                               struct args_faults *list);

/** primes: see struct builtin in runner.h. */
size_t primes_check(const json_t *args, struct args_fault *ret_faults, size_t max);
void primes_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                struct outcome *outcome);

/** double: see struct builtin in runner.h. */
size_t double_check(const json_t *args, struct args_fault *ret_faults, size_t max);
void double_run(rn_context *ctx, const struct attempt *attempt, const json_t *args,
                struct outcome *outcome);

#endif
