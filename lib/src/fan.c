/*
 * Fans, and the merging of channels.
 *
 * A fan is a pipeline of three stages: the source numbers the inputs, the processors make a result
 * out of each, whether it failed or not, and the sink, on the caller's thread, hands it over. What
 * the pipeline drops when it ends early is handed over in the same way: what stood before the
 * processors was not processed, what stood before the sink is a result.
 *
 * 1. An input that was taken in is in one place at a time, as is every element of a pipeline, or it
 *    is the one that the source could not put into it (`unsent`). So it is handed over once.
 * 2. Everything is handed over on the caller's thread, by the sink while the others run or when
 *    they have left; the counts and result_fn have no other.
 */
#include <runnel/fan.h>

#include <stdlib.h>
#include <string.h>

#include "pipeline.h"

/* An element of the pipeline: an input, and behind the processors its value too. */
struct item {
    uint64_t index;
    int error;
    unsigned processor; // 0: was not processed
    _Alignas(max_align_t) unsigned char input[];
};

struct fan {
    rn_emitter emitter; // first: what source_fn emits to comes back as its address
    rn_context *ctx;    // of the caller
    const struct rn_fan_options *options;
    struct rn_fan_counts counts;
    size_t value_at; // bytes from an item's input to its value
    // The source's, and the caller's before and after it:
    rn_emitter *to; // of the pipeline
    uint64_t taken;
    bool began;
    bool unsent; // item could not go on
    struct item *item;
};

// ---- The three stages

static int emit_item(struct fan *fan)
{
    fan->item->index = fan->taken;
    int r = rn_emit(fan->to, fan->item);
    if (r == 0)
        fan->taken++;
    return r;
}

static int emit_input(rn_emitter *emitter, const void *elem)
{
    struct fan *fan = (struct fan *)emitter;

    memcpy(fan->item->input, elem, fan->options->in_size);
    return emit_item(fan);
}

static int take_inputs(rn_context *ctx, void *arg, rn_emitter *emitter)
{
    struct fan *fan = arg;
    const struct rn_fan_options *options = fan->options;
    int r;

    fan->to = emitter;
    fan->began = true;
    if (options->inputs == NULL)
        return options->source_fn(ctx, options->arg, &fan->emitter);
    while ((r = rn_chan_recv(ctx, options->inputs, fan->item->input)) == 0) {
        r = emit_item(fan);
        fan->unsent = r < 0;
        if (r < 0)
            return r;
    }
    return r == -EPIPE ? 0 : r;
}

static int process(rn_context *ctx, void *arg, unsigned worker, const void *in, void *out)
{
    struct fan *fan = arg;
    const struct rn_fan_options *options = fan->options;
    struct item *item = out;

    memcpy(item, in, sizeof(*item) + options->in_size);
    item->error = rn_context_err(ctx);
    if (item->error != 0)
        return 0;
    item->error =
        options->process_fn(ctx, options->arg, worker, item->input, item->input + fan->value_at);
    // An error behind the end follows from it.
    if (item->error == 0 || rn_context_err(ctx) == 0)
        item->processor = worker;
    return 0;
}

/* Counts an item and hands it over. */
static int hand_over(struct fan *fan, const struct item *item)
{
    const struct rn_fan_options *options = fan->options;
    struct rn_fan_result result = {
        .index = item->index,
        .input = item->input,
        .error = item->error,
        .processor = item->processor,
    };

    if (item->processor == 0)
        fan->counts.not_processed++;
    else if (item->error != 0)
        fan->counts.failed++;
    else
        fan->counts.processed++;
    if (item->error == 0)
        result.value = item->input + fan->value_at;
    return options->result_fn != NULL ? options->result_fn(fan->ctx, options->arg, &result) : 0;
}

static int collect(rn_context *ctx, void *arg, const void *in)
{
    (void)ctx;
    return hand_over(arg, in);
}

// ---- What is left when it ends early

static void drop_result(void *arg, void *elem)
{
    (void)hand_over(arg, elem);
}

static void drop_input(void *arg, void *elem)
{
    struct fan *fan = arg;
    struct item *item = elem;
    int error = rn_context_err(fan->ctx);

    item->error = error != 0 ? error : -ECANCELED;
    (void)hand_over(fan, item);
}

/* The input that the source held, and those that are in the caller's channel now. */
static void drop_rest(struct fan *fan)
{
    rn_chan *inputs = fan->options->inputs;

    if (fan->unsent) {
        drop_input(fan, fan->item);
        fan->taken++;
    }
    // Not until it is empty: somebody may go on sending.
    for (size_t left = inputs != NULL ? rn_chan_len(inputs) : 0; left > 0; left--) {
        if (rn_chan_try_recv(inputs, fan->item->input) != 0)
            return;
        fan->item->index = fan->taken++;
        drop_input(fan, fan->item);
    }
}

// ---- The fan

/* The sizes of the items; false: out of range. */
static bool find_sizes(struct fan *fan, size_t *ret_input_bytes, size_t *ret_result_bytes)
{
    const size_t alignment = _Alignof(max_align_t);
    const struct rn_fan_options *options = fan->options;

    if (__builtin_add_overflow(options->in_size, alignment - 1, &fan->value_at))
        return false;
    fan->value_at -= fan->value_at % alignment;
    return !__builtin_add_overflow(options->in_size, sizeof(struct item), ret_input_bytes) &&
           !__builtin_add_overflow(fan->value_at, sizeof(struct item), ret_result_bytes) &&
           !__builtin_add_overflow(*ret_result_bytes, options->out_size, ret_result_bytes);
}

static int run_pipeline(struct fan *fan)
{
    size_t input_bytes;
    size_t result_bytes;
    rn_pipeline *pipeline;
    const struct rn_stage_options processors = {
        .width = fan->options->processors,
        .unordered = !fan->options->ordered,
        .drop_fn = drop_input,
    };
    const struct rn_stage_options results = {.drop_fn = drop_result};

    if (!find_sizes(fan, &input_bytes, &result_bytes))
        return -ENOMEM;
    fan->item = calloc(1, input_bytes);
    if (fan->item == NULL)
        return -ENOMEM;
    int r = rn_pipeline_new(&pipeline);
    if (r < 0)
        return r;
    rn_pipeline_source(pipeline, "fan-source", input_bytes, take_inputs, fan);
    rni_pipeline_map_numbered(pipeline, "fan-processor", result_bytes, process, fan, &processors);
    rn_pipeline_sink(pipeline, "fan-results", collect, fan, &results);
    r = rn_pipeline_run(fan->ctx, pipeline);
    rn_pipeline_free(pipeline);
    if (r != 0 && (fan->began || rn_context_err(fan->ctx) != 0))
        drop_rest(fan);
    return r;
}

int rn_fan_run(rn_context *ctx, const struct rn_fan_options *options, struct rn_fan_counts *counts)
{
    struct fan fan = {.emitter = {emit_input}, .ctx = ctx, .options = options};

    RN_ASSERT(options->process_fn != NULL);
    RN_ASSERT((options->inputs == NULL) != (options->source_fn == NULL));
    RN_ASSERT(options->inputs == NULL || rn_chan_elem_size(options->inputs) == options->in_size);
    int r = run_pipeline(&fan);
    free(fan.item);

    uint64_t told = fan.counts.processed + fan.counts.failed + fan.counts.not_processed;
    if (told < options->expected)
        fan.counts.not_processed += options->expected - told;
    if (counts != NULL)
        *counts = fan.counts;
    return r;
}

// ---- Merging

/* Receives from those that are open and sends on; cases are count receives into elem. */
static int merge(rn_context *ctx, struct rn_case *cases, size_t count, void *elem, rn_chan *out)
{
    while (count > 0) {
        int chosen = rn_select(ctx, cases, count);
        if (chosen < 0)
            return chosen;
        if (cases[chosen].result == -EPIPE) {
            cases[chosen] = cases[--count];
            continue;
        }
        int r = rn_chan_try_send(out, elem);
        if (r == -EAGAIN)
            r = rn_chan_send(ctx, out, elem);
        if (r < 0)
            return r;
    }
    return 0;
}

int rn_merge(rn_context *ctx, rn_chan *const *chans, size_t count, rn_chan *out)
{
    size_t elem_size = rn_chan_elem_size(out);
    size_t open = 0;
    int r = rn_context_err(ctx);

    if (r < 0)
        return r;
    struct rn_case *cases = calloc(count > 0 ? count : 1, sizeof(*cases));
    void *elem = malloc(elem_size > 0 ? elem_size : 1);
    r = -ENOMEM;
    if (cases != NULL && elem != NULL) {
        for (size_t i = 0; i < count; i++) {
            if (chans[i] == NULL)
                continue;
            RN_ASSERT(rn_chan_elem_size(chans[i]) == elem_size);
            cases[open++] = rn_case_recv(chans[i], elem);
        }
        r = merge(ctx, cases, open, elem, out);
    }
    free(elem);
    free(cases);
    return r;
}
