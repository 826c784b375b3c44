/* Squares of primes: with channels and select as in Go; `pipeline short`: with pipeline.h. */
#include <stdio.h>

#include <runnel/runnel.h>

#pragma GCC diagnostic ignored "-Wunused-parameter" // of functions that have to be of a type

RN_CHAN_DEFINE(ints, int);
static ints *numbers, *primes, *squares;

static int is_prime(rn_context *ctx, void *arg, const void *in, bool *ret_prime)
{
    int number = *(const int *)in, divisor = 2;
    while (divisor < number && number % divisor != 0)
        divisor++;
    *ret_prime = divisor == number;
    return 0;
}

static int generate_numbers(rn_context *ctx, void *arg)
{
    int i = 2;
    struct rn_case cases[] = {ints_case_send(numbers, &i)}; // ctx is the other case: Go's <-done
    while (i <= 20 && rn_select(ctx, cases, 1) == 0)
        i++;
    ints_close(numbers);
    return 0;
}

// ints_send(ctx, …) is such a select in one call.
static int filter_primes(rn_context *ctx, void *arg)
{
    bool prime;
    for (int n; ints_recv(ctx, numbers, &n) == 0;)
        if (is_prime(ctx, arg, &n, &prime) == 0 && prime && ints_send(ctx, primes, n) < 0)
            break;
    ints_close(primes);
    return 0;
}

static int square_primes(rn_context *ctx, void *arg)
{
    for (int n; ints_recv(ctx, primes, &n) == 0 && ints_send(ctx, squares, n * n) == 0;)
        ;
    ints_close(squares);
    return 0;
}

static int emit_numbers(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    int r = 0;
    for (int i = 2; r == 0 && i <= 20; i++)
        r = rn_emit(emitter, &i);
    return r;
}

static int square(rn_context *ctx, void *arg, const void *in, void *out)
{
    *(int *)out = *(const int *)in * *(const int *)in;
    return 0;
}

static int print(rn_context *ctx, void *arg, const void *in)
{
    return printf("%d ", *(const int *)in) < 0 ? -EIO : 0;
}

int main(int argc, char **argv)
{
    rn_group *group;
    rn_pipeline *pipeline;
    if (ints_new(0, &numbers) < 0 || ints_new(0, &primes) < 0 || ints_new(0, &squares) < 0 ||
        rn_group_new(NULL, &group) < 0 || rn_pipeline_new(&pipeline) < 0)
        return 1;
    puts("Squares of prime numbers between 2 and 20:");
    if (argc > 1) {
        rn_pipeline_source(pipeline, "generate", sizeof(int), emit_numbers, NULL);
        rn_pipeline_filter(pipeline, "primes", is_prime, NULL, NULL);
        rn_pipeline_map(pipeline, "square", sizeof(int), square, NULL, NULL);
        rn_pipeline_sink(pipeline, "print", print, NULL, NULL);
        if (rn_pipeline_run(NULL, pipeline) < 0)
            return 1;
    } else {
        if (rn_group_go(group, "generate", generate_numbers, NULL) < 0 ||
            rn_group_go(group, "filter", filter_primes, NULL) < 0 ||
            rn_group_go(group, "square", square_primes, NULL) < 0)
            return 1;
        for (int n; ints_recv(NULL, squares, &n) == 0;)
            printf("%d ", n);
        rn_group_wait(group);
    }
    puts("");
    rn_pipeline_free(pipeline);
    rn_group_free(group);
    ints_free(numbers);
    ints_free(primes);
    ints_free(squares);
    return 0;
}
