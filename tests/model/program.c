/* Runs the notation of program.h, and checks what came out. */
#include "program.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <runnel/context.h>

enum {
    OPS_MAX = 6,     // of a thread
    CASES_MAX = 3,   // of a select
    RESULTS_MAX = 6, // of a thread
    OUTCOMES_MAX = 4096,
};

/** An operation, or a case of a select. */
struct op {
    char kind; // ! ? # ~ @ K [
    char how;  // c t b - * or 0
    unsigned chan;
    unsigned case_count;
    struct op *cases;
};

/** What is the same in all states. */
static const struct scenario *scenario;
static struct op ops[THREADS_MAX][OPS_MAX];
static struct op cases[THREADS_MAX * OPS_MAX * CASES_MAX];
static unsigned op_counts[THREADS_MAX];
static unsigned thread_count;
static unsigned chan_count;
static unsigned senders[CHANNELS_MAX];   // threads that send to it
static unsigned receivers[CHANNELS_MAX]; // threads that receive from it
static bool has_context;

/** How an operation ended. */
struct result {
    char kind;
    unsigned char chan;
    unsigned char value; // of the element: 16 times its sender and 1, and its number
    signed char status;  // a negative errno
};

/** What the threads share, in world.user. */
struct user {
    rn_chan *chans[CHANNELS_MAX];
    rn_context *ctx;
    int fds[CHANNELS_MAX];
    struct result results[THREADS_MAX][RESULTS_MAX];
    unsigned char result_counts[THREADS_MAX];
    unsigned char sent[THREADS_MAX];      // elements that a thread has begun to send
    unsigned char received[CHANNELS_MAX]; // as received_fn counted
    bool closing[CHANNELS_MAX];           // begun
    bool closed[CHANNELS_MAX];            // over
    bool freed[CHANNELS_MAX];
    bool cancelling;
    bool cancelled;
};

_Static_assert(sizeof(struct user) <= USER_BYTES, "");

static struct user *user(void)
{
    return (struct user *)(void *)world.user;
}

// ---- The notation

static void note_side(unsigned thread, unsigned chan, char kind)
{
    if (kind == '!')
        senders[chan] |= 1U << thread;
    else if (kind == '?' || kind == '@')
        receivers[chan] |= 1U << thread;
}

static bool uses_context(const struct op *op)
{
    return op->how == 'c' || op->how == 'b';
}

static bool has_deadline(const struct op *op)
{
    return op->how == 't' || op->how == 'b';
}

/* Reads one `A!` with what follows it. */
static const char *parse_op(const char *text, unsigned thread, struct op *op)
{
    if (*text == 'K') {
        op->kind = 'K';
        has_context = true;
        return text + 1;
    }
    op->chan = (unsigned)(*text++ - 'A');
    op->kind = *text++;
    if (*text != '\0' && strchr("ctb-*", *text) != NULL)
        op->how = *text++;
    chan_count = op->chan >= chan_count ? op->chan + 1 : chan_count;
    note_side(thread, op->chan, op->kind);
    return text;
}

static const char *parse_select(const char *text, unsigned thread, struct op *op,
                                struct op *first_case)
{
    op->kind = '[';
    op->cases = first_case;
    while (*text != ']') {
        text = parse_op(text, thread, &op->cases[op->case_count++]);
        while (*text == ' ')
            text++;
    }
    text++;
    if (*text != '\0' && strchr("c-", *text) != NULL)
        op->how = *text++;
    return text;
}

static void parse(void)
{
    struct op *next_case = cases;
    unsigned thread = 0;

    memset(ops, 0, sizeof(ops));
    memset(cases, 0, sizeof(cases));
    memset(op_counts, 0, sizeof(op_counts));
    memset(senders, 0, sizeof(senders));
    memset(receivers, 0, sizeof(receivers));
    has_context = false;
    chan_count = 0;
    for (const char *text = scenario->program; *text != '\0';) {
        if (*text == ' ') {
            text++;
            continue;
        }
        if (*text == '|') {
            thread++;
            text++;
            continue;
        }
        struct op *op = &ops[thread][op_counts[thread]++];
        if (*text == '[')
            text = parse_select(text + 1, thread, op, next_case);
        else
            text = parse_op(text, thread, op);
        next_case += op->case_count;
        has_context = has_context || uses_context(op);
    }
    thread_count = thread + 1;
}

// ---- What has been done so far

/* Of how many elements the sending, or the receiving, has succeeded. */
static unsigned done(char kind, unsigned chan)
{
    unsigned count = 0;

    for (unsigned t = 0; t < thread_count; t++) {
        for (unsigned i = 0; i < user()->result_counts[t]; i++) {
            const struct result *result = &user()->results[t][i];
            count += result->kind == kind && result->chan == chan && result->status == 0;
        }
    }
    return count;
}

static void note(unsigned self, char kind, unsigned chan, unsigned value, int status)
{
    unsigned char *count = &user()->result_counts[self];

    if (*count == RESULTS_MAX)
        wrong("too many results");
    else
        user()->results[self][(*count)++] = (struct result){
            kind, (unsigned char)chan, (unsigned char)(status == 0 || kind == '!' ? value : 0),
            (signed char)status};
}

/** What is known before an operation begins. */
struct before {
    bool is_sure;   // it needs no waiting
    bool closed;    // it has to answer -EPIPE, if it sends
    bool cancelled; // it has to answer -ECANCELED, if it looks at the context
};

/* Nobody else sends, or receives, on the same side. */
static bool is_alone(unsigned self, const struct op *op)
{
    return (op->kind == '!' ? senders : receivers)[op->chan] == 1U << self;
}

static struct before look_before(unsigned self, const struct op *op)
{
    struct before before = {.cancelled = user()->cancelled};
    unsigned chan = op->chan;
    unsigned capacity = (unsigned)scenario->capacities[chan];

    if (op->kind == '[')
        return before;
    before.closed = user()->closed[chan];
    if (op->kind == '!')
        before.is_sure = is_alone(self, op) && done('!', chan) < done('?', chan) + capacity;
    else
        before.is_sure = is_alone(self, op) && done('!', chan) > done('?', chan);
    return before;
}

static void check_status(const struct op *op, const struct op *chosen, struct before before,
                         int status)
{
    bool may_be_cancelled = uses_context(op) && user()->cancelling;
    bool waits_not = op->how == '-' || op->kind == '@';

    if (before.cancelled && uses_context(op)) {
        if (status != -ECANCELED)
            wrong("%d with a context that has ended before", status);
        return;
    }
    if (before.closed && chosen->kind == '!' && status != -EPIPE)
        wrong("%d from a send to a closed channel", status);
    if (before.is_sure && status != 0 && !(status == -EPIPE && op->kind == '!') &&
        !(status == -ECANCELED && may_be_cancelled))
        wrong("%d where it could be done at once", status);
    if (status == 0 || (status == -EAGAIN && waits_not && op->kind != '@') ||
        (status == -ETIMEDOUT && has_deadline(op)) || (status == -ECANCELED && may_be_cancelled) ||
        (status == -EPIPE && user()->closing[chosen->chan]))
        return;
    wrong("%c ended with %d", op->kind, status);
}

// ---- The threads

static rn_context *context_of(const struct op *op)
{
    return uses_context(op) ? user()->ctx : NULL;
}

static int send(const struct op *op, const uint64_t *value)
{
    rn_chan *chan = user()->chans[op->chan];

    if (op->how == '-')
        return rn_chan_try_send(chan, value);
    return rn_chan_send(context_of(op), chan, value);
}

static int receive(const struct op *op, uint64_t *ret_value)
{
    rn_chan *chan = user()->chans[op->chan];

    if (op->kind == '@')
        poll_fd(user()->fds[op->chan]);
    if (op->kind == '@' || op->how == '-')
        return rn_chan_try_recv(chan, ret_value);
    if (has_deadline(op))
        return rn_chan_recv_until(context_of(op), chan, 1, ret_value);
    return rn_chan_recv(context_of(op), chan, ret_value);
}

static uint64_t new_value(unsigned self)
{
    return 16 * (self + 1) + user()->sent[self]++;
}

static void expect_value(unsigned chan, uint64_t value, int status)
{
    if (status != 0 && value != 0)
        wrong("an element was written, though nothing was received");
    if (status == 0 && (value < 16 || value > 255))
        wrong("what was received from %c was never sent: %llu", 'A' + (char)chan,
              (unsigned long long)value);
}

/* Sends or receives once. Returns the status. */
static int transfer(unsigned self, const struct op *op)
{
    struct before before = look_before(self, op);
    uint64_t value = op->kind == '!' ? new_value(self) : 0;
    int status = op->kind == '!' ? send(op, &value) : receive(op, &value);

    check_status(op, op, before, status);
    if (op->kind != '!')
        expect_value(op->chan, value, status);
    note(self, op->kind == '!' ? '!' : '?', op->chan, (unsigned)value, status);
    return status;
}

/* The first seed from which select.c's random numbers put `count` cases in an order: which one is
 * drawn of all, then which of those that are left, … */
static uint32_t seed_of(unsigned count, unsigned order)
{
    for (uint32_t seed = 1;; seed++) {
        uint32_t state = seed;
        unsigned found = 0;
        for (unsigned n = count; n > 0; n--) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            found = found * n + (unsigned)((uint64_t)state * n >> 32);
        }
        if (found == order)
            return seed;
    }
}

/* The cases are looked at in any order. */
static void choose_order(unsigned count)
{
    static uint32_t seeds[CASES_MAX + 1][6]; // known once
    unsigned orders = count == 3 ? 6 : count;

    for (unsigned i = 0; i < orders && seeds[count][i] == 0; i++)
        seeds[count][i] = seed_of(count, i);
    random_set(seeds[count][step_before(STEP_CHOOSE, NULL, NULL, orders)]);
}

static void select_one(unsigned self, const struct op *op)
{
    struct before before = look_before(self, op);
    struct rn_case made[CASES_MAX];
    uint64_t values[CASES_MAX] = {0};

    for (unsigned i = 0; i < op->case_count; i++) {
        rn_chan *chan = user()->chans[op->cases[i].chan];
        if (op->cases[i].kind == '!') {
            values[i] = new_value(self);
            made[i] = rn_case_send(chan, &values[i]);
        } else {
            made[i] = rn_case_recv(chan, &values[i]);
        }
    }
    choose_order(op->case_count);
    int chosen = op->how == '-' ? rn_try_select(made, op->case_count)
                                : rn_select(context_of(op), made, op->case_count);
    random_set(0);
    if (chosen >= (int)op->case_count)
        wrong("a case that there is not: %d", chosen);
    const struct op *one = chosen < 0 ? op : &op->cases[chosen];
    int status = chosen < 0 ? chosen : made[chosen].result;
    check_status(op, one, before, status);
    for (unsigned i = 0; i < op->case_count; i++) {
        if (op->cases[i].kind == '?')
            expect_value(op->cases[i].chan, values[i], (int)i == chosen ? status : -EAGAIN);
    }
    note(self, one->kind, one->chan, chosen < 0 ? 0 : (unsigned)values[chosen], status);
}

static void do_other(const struct op *op)
{
    struct user *shared = user();

    switch (op->kind) {
    case '#':
        shared->closing[op->chan] = true;
        rn_chan_close(shared->chans[op->chan]);
        shared->closed[op->chan] = true;
        break;
    case '~':
        rn_chan_free(shared->chans[op->chan]);
        shared->freed[op->chan] = true;
        break;
    default:
        shared->cancelling = true;
        rn_context_cancel(shared->ctx, 0);
        shared->cancelled = true;
    }
}

static void do_op(unsigned self, const struct op *op)
{
    if (op->kind == '[')
        select_one(self, op);
    else if (op->kind == '!' || op->kind == '?' || op->kind == '@')
        while (transfer(self, op) == 0 && op->how == '*')
            ;
    else
        do_other(op);
}

static void run(unsigned self)
{
    for (unsigned i = 0; i < op_counts[self]; i++) {
        waiter_set_looks(scenario->looks);
        do_op(self, &ops[self][i]);
        waiter_set_looks(0);
        order_left((const unsigned char *)__builtin_frame_address(0) - 128);
        (void)step_before(STEP_BETWEEN, NULL, NULL, 1);
    }
}

// ---- Before and after

static void count_received(void *arg)
{
    ++*(unsigned char *)arg;
}

void rni_chan_on_receive(rn_chan *chan, void (*received_fn)(void *arg), void *arg);

static void start(void)
{
    struct user *shared = user();

    locals_reset(scenario->looks);
    for (unsigned i = 0; i < chan_count; i++) {
        if (rn_chan_new(sizeof(uint64_t), (size_t)scenario->capacities[i], &shared->chans[i]) < 0)
            wrong("no channel");
    }
    if (scenario->counts)
        rni_chan_on_receive(shared->chans[0], count_received, &shared->received[0]);
    for (unsigned t = 0; t < thread_count; t++) {
        for (unsigned i = 0; i < op_counts[t]; i++) {
            if (ops[t][i].kind == '@')
                shared->fds[ops[t][i].chan] = rn_chan_fd(shared->chans[ops[t][i].chan]);
        }
    }
    if (has_context && rn_context_with_cancel(NULL, &shared->ctx) < 0)
        wrong("no context");
}

static void check(void)
{
    for (unsigned i = 0; i < chan_count; i++) {
        if (!user()->freed[i] && !world.chunks[i].freed)
            check_chan(user()->chans[i]);
    }
}

/** What became of the elements of a channel, by their values. */
struct ledger {
    unsigned char sent[256];
    unsigned char received[256];
    unsigned char left[256];
};

static void gather(unsigned chan, struct ledger *ledger)
{
    uint64_t value;

    for (unsigned t = 0; t < thread_count; t++) {
        unsigned char last[THREADS_MAX + 1] = {0}; // that this thread received, by sender
        for (unsigned i = 0; i < user()->result_counts[t]; i++) {
            const struct result *result = &user()->results[t][i];
            if (result->chan != chan || result->status != 0)
                continue;
            if (result->kind == '!') {
                ledger->sent[result->value]++;
                continue;
            }
            ledger->received[result->value]++;
            if (result->value <= last[result->value / 16 - 1])
                wrong("elements of a sender are received out of order");
            last[result->value / 16 - 1] = result->value;
        }
    }
    while (!user()->freed[chan] && rn_chan_try_recv(user()->chans[chan], &value) == 0)
        ledger->left[value & 255]++;
}

static void settle(unsigned chan)
{
    struct ledger ledger = {{0}, {0}, {0}};
    bool ended = false; // a receiver was told so
    bool left = false;

    gather(chan, &ledger);
    for (unsigned t = 0; t < thread_count; t++) {
        for (unsigned i = 0; i < user()->result_counts[t]; i++) {
            const struct result *result = &user()->results[t][i];
            ended =
                ended || (result->kind == '?' && result->chan == chan && result->status == -EPIPE);
        }
    }
    for (unsigned value = 0; value < 256; value++) {
        unsigned got = ledger.received[value] + ledger.left[value];
        if (got > ledger.sent[value])
            wrong("element %u was received %u times and sent %u times", value, got,
                  ledger.sent[value]);
        if (got < ledger.sent[value])
            wrong("element %u was sent and not received", value);
        if (value % 16 != 0 && ledger.received[value] > 0 && ledger.left[value - 1] > 0)
            wrong("element %u was left behind a later one", value - 1);
        left = left || ledger.left[value] > 0;
    }
    if (ended && left)
        wrong("a receiver was told -EPIPE, and an element is left");
}

static uint64_t outcomes[OUTCOMES_MAX];
static unsigned outcome_count;

static void note_outcome(void)
{
    const unsigned char *bytes = (const unsigned char *)user()->results;
    uint64_t hash = 0xCBF29CE484222325U;
    unsigned i = 0;

    for (size_t at = 0; at < sizeof(user()->results); at++)
        hash = (hash ^ bytes[at]) * 0x100000001B3U;
    while (i < outcome_count && outcomes[i] != hash)
        i++;
    if (i == outcome_count && outcome_count < OUTCOMES_MAX)
        outcomes[outcome_count++] = hash;
}

static void end(void)
{
    struct user *shared = user();

    note_outcome();
    if (scenario->counts && shared->received[0] != done('?', 0))
        wrong("received_fn was called %u times", shared->received[0]);
    in_library = true;
    for (unsigned i = 0; i < chan_count; i++) {
        settle(i);
        if (!shared->freed[i])
            rn_chan_free(shared->chans[i]);
    }
    rn_context_unref(shared->ctx);
    in_library = false;
}

bool program_explore(const struct scenario *wanted, uint64_t states_max)
{
    struct subject subject = {start, run, check, end, 0, wanted->mishaps};
    struct timespec began;
    struct timespec ended;
    struct found found;

    scenario = wanted;
    outcome_count = 0;
    parse();
    subject.threads = thread_count;
    (void)clock_gettime(CLOCK_MONOTONIC, &began);
    bool is_right = explore(&subject, states_max, &found);
    (void)clock_gettime(CLOCK_MONOTONIC, &ended);
    if (is_right && (seen & scenario->seen) != scenario->seen) {
        (void)printf("wrong: no schedule came to all that is to be seen: %#x of %#x\n", seen,
                     scenario->seen);
        is_right = false;
    }
    if (is_right && scenario->outcomes != 0 && scenario->outcomes != outcome_count) {
        (void)printf("wrong: %u outcomes, not %u\n", outcome_count, scenario->outcomes);
        is_right = false;
    }
    double took =
        (double)(ended.tv_sec - began.tv_sec) + (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    (void)printf("%s  %-58s %9llu states %9llu steps, longest way %3u, %3u outcomes, %5.1f s\n",
                 is_right ? "ok    " : "FAILED", scenario->name, (unsigned long long)found.states,
                 (unsigned long long)found.steps, found.deepest, outcome_count, took);
    return is_right;
}
