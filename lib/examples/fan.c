/*
 * Fan-out, fan-in: the numbers from 1 to 100 go to 3 processors, which double them and fail at one
 * in ten; the results come back to one place. All are accounted for, also when the time is over
 * before: after 5 seconds, as in the Go program (it takes some 2), and with `fan short` after half
 * a second.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/runnel.h>

enum { NUMBERS = 100, PROCESSORS = 3, LONGEST_MS = 100, TIMEOUT_MS = 5000, SHORT_MS = 500 };

struct errors {
    size_t count;
    struct {
        unsigned processor;
        int number;
    } list[NUMBERS];
};

static int generate(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    int r = 0;

    (void)ctx, (void)arg;
    for (int number = 1; r == 0 && number <= NUMBERS; number++)
        r = rn_emit(emitter, &number);
    return r;
}

static int process(rn_context *ctx, void *arg, unsigned processor, const void *in, void *out)
{
    int r = rn_sleep(ctx, arc4random_uniform(LONGEST_MS) * RN_MILLISECOND);

    (void)arg, (void)processor;
    if (r == 0 && arc4random_uniform(10) == 0)
        r = -EIO;
    *(int *)out = 2 * *(const int *)in;
    return r;
}

/* Gets one result after the other. To return 0 goes on; result->error would stop at the first. */
static int collect(rn_context *ctx, void *arg, const struct rn_fan_result *result)
{
    struct errors *errors = arg;

    (void)ctx;
    if (result->processor != 0 && result->error != 0) {
        errors->list[errors->count].processor = result->processor;
        errors->list[errors->count++].number = *(const int *)result->input;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int timeout_ms = argc > 1 && strcmp(argv[1], "short") == 0 ? SHORT_MS : TIMEOUT_MS;
    struct errors errors = {.count = 0};
    struct rn_fan_options options = {
        .in_size = sizeof(int),
        .out_size = sizeof(int),
        .source_fn = generate,
        .expected = NUMBERS,
        .processors = PROCESSORS,
        .process_fn = process,
        .result_fn = collect,
        .arg = &errors,
    };
    struct rn_fan_counts counts = {0};
    rn_context *ctx;

    int r = rn_context_with_timeout(NULL, timeout_ms * RN_MILLISECOND, &ctx);
    if (r == 0) {
        r = rn_fan_run(ctx, &options, &counts);
        rn_context_unref(ctx);
    }
    if (r < 0 && r != -ETIMEDOUT) {
        fprintf(stderr, "fan: %s\n", rn_strerror(r));
        return 1;
    }

    printf("\nProcessing Summary:\n");
    printf("Successfully processed: %d numbers\n", (int)counts.processed);
    if (counts.not_processed > 0)
        printf("Not processed: %d numbers\n", (int)counts.not_processed);
    printf("Encountered %d errors:\n", (int)counts.failed);
    for (size_t i = 0; i < errors.count; i++)
        printf("- processor %u: error processing %d\n", errors.list[i].processor,
               errors.list[i].number);
    return 0;
}
