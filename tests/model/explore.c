/*
 * The search: depth first through all states. Of each state on the way the whole is kept, to go on
 * from it in another way; of each that was seen, 126 bits of a hash. A way that comes back to a
 * state of its own is an error too: so each schedule is known to end.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** A state on the way, and the step that is tried from it now. */
struct stage {
    unsigned char *saved;
    size_t bytes;
    size_t slot; // in the table
    unsigned thread;
    unsigned alternative;
    struct step step; // what the thread did
    uint64_t value;
};

enum {
    STAGES_MAX = 4096,
    SAVED_BYTES = 64 << 20,
};

static struct stage stages[STAGES_MAX];
static unsigned depth;
static unsigned char *saved_states; // one behind the other

// ---- Saving a state

static unsigned char *put(unsigned char *to, const void *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return to + bytes;
}

static const unsigned char *get(void *to, const unsigned char *from, size_t bytes)
{
    memcpy(to, from, bytes);
    return from + bytes;
}

static size_t rounded(size_t bytes)
{
    return (bytes + 31) & ~(size_t)31;
}

static size_t world_bytes(void)
{
    return offsetof(struct world, threads) + world.thread_count * sizeof(struct thread);
}

static size_t event_bytes(void)
{
    return order_event_count(order_places) * sizeof(uint64_t);
}

/* Most events are 0: of the others the number and the mask. */
static unsigned char *put_events(unsigned char *to)
{
    size_t count = order_event_count(order_places);

    for (size_t i = 0; i < count; i++) {
        if (order_events[i] == 0)
            continue;
        to = put(to, &i, sizeof(i));
        to = put(to, &order_events[i], sizeof(uint64_t));
    }
    return to;
}

static void get_events(const unsigned char *from, const unsigned char *end)
{
    size_t i;

    memset(order_events, 0, event_bytes());
    while (from < end) {
        from = get(&i, from, sizeof(i));
        from = get(&order_events[i], from, sizeof(uint64_t));
    }
}

/* Only what is in use. */
static size_t save(unsigned char *to)
{
    unsigned char *end = to + sizeof(size_t);

    end = put(end, &world, world_bytes());
    end = put(end, heap, world.heap_used);
    for (unsigned i = 0; i < world.thread_count; i++) {
        const unsigned char *bottom = world.threads[i].bottom;
        end = put(end, bottom, (size_t)(stacks[i] + STACK_BYTES - bottom));
    }
    end = put_events(end);
    size_t bytes = (size_t)(end - to);
    (void)put(to, &bytes, sizeof(bytes));
    memset(end, 0, rounded(bytes) - bytes);
    return rounded(bytes);
}

static void restore(const unsigned char *saved)
{
    size_t bytes;
    const unsigned char *from = get(&bytes, saved, sizeof(bytes));

    from = get(&world, from, world_bytes());
    from = get(heap, from, world.heap_used);
    for (unsigned i = 0; i < world.thread_count; i++) {
        unsigned char *bottom = world.threads[i].bottom;
        memset(stacks[i], 0, (size_t)(bottom - stacks[i]));
        from = get(bottom, from, (size_t)(stacks[i] + STACK_BYTES - bottom));
    }
    get_events(from, saved + bytes);
}

// ---- The states that were seen

struct entry {
    uint64_t low;
    uint64_t high; // its lowest bit: the state is on the way. Both 0: nothing is here.
};

static struct entry *table;
static size_t table_size; // a power of two
static size_t table_used;

static uint64_t rotated(uint64_t value, unsigned by)
{
    return value << by | value >> (64 - by);
}

static uint64_t mixed(uint64_t value)
{
    value ^= value >> 33;
    value *= 0xFF51AFD7ED558CCDU;
    value ^= value >> 33;
    value *= 0xC4CEB9FE1A85EC53U;
    return value ^ value >> 33;
}

/* Four lanes, as xxHash has them. */
static struct entry hash(const unsigned char *data, size_t bytes)
{
    uint64_t lanes[4] = {1, 2, 3, 4};
    uint64_t word;
    struct entry entry = {bytes, ~bytes};

    for (size_t at = 0; at < bytes; at += sizeof(lanes)) {
        for (unsigned i = 0; i < 4; i++) {
            memcpy(&word, data + at + i * sizeof(word), sizeof(word));
            lanes[i] = rotated(lanes[i] + word * 0xC2B2AE3D27D4EB4FU, 31) * 0x9E3779B185EBCA87U;
        }
    }
    for (unsigned i = 0; i < 4; i++) {
        entry.low = mixed(entry.low ^ lanes[i]) * 0x9E3779B185EBCA87U;
        entry.high = mixed(entry.high + rotated(lanes[i], 17 + i)) * 0x165667B19E3779F9U;
    }
    entry.low |= 1;
    entry.high &= ~(uint64_t)1;
    return entry;
}

static size_t slot_of(const struct entry *wanted)
{
    size_t at = (size_t)mixed(wanted->low) & (table_size - 1);

    while (table[at].low != 0 &&
           (table[at].low != wanted->low || (table[at].high & ~(uint64_t)1) != wanted->high))
        at = (at + 1) & (table_size - 1);
    return at;
}

static void grow(void)
{
    struct entry *old = table;
    size_t old_size = table_size;

    table_size = old_size == 0 ? (size_t)1 << 16 : old_size * 2;
    table = calloc(table_size, sizeof(*table));
    if (table == NULL) {
        (void)fprintf(stderr, "no memory for %zu states\n", table_size);
        abort();
    }
    for (size_t i = 0; i < old_size; i++) {
        struct entry entry = {old[i].low, old[i].high & ~(uint64_t)1};
        if (entry.low != 0)
            table[slot_of(&entry)] = old[i];
    }
    for (unsigned i = 0; i < depth && old_size > 0; i++) {
        struct entry entry = {old[stages[i].slot].low, old[stages[i].slot].high & ~(uint64_t)1};
        stages[i].slot = slot_of(&entry);
    }
    free(old);
}

// ---- What is printed when something is wrong

static const char *const kinds[] = {
    [STEP_BEGIN] = "begins",          [STEP_LOAD] = "loads",        [STEP_STORE] = "stores",
    [STEP_CHANGE] = "changes",        [STEP_LOCK] = "locks",        [STEP_UNLOCK] = "unlocks",
    [STEP_FUTEX_WAIT] = "futex wait", [STEP_ASLEEP] = "deadline",   [STEP_AWOKEN] = "is awoken",
    [STEP_WAKE] = "futex wake",       [STEP_PAUSE] = "looks again", [STEP_POLL] = "is readable",
    [STEP_FD] = "descriptor",         [STEP_CHOOSE] = "chooses",    [STEP_FREE] = "frees",
    [STEP_BETWEEN] = "returns",
};

static void print_step(unsigned number, unsigned thread, const struct step *step, uint64_t value)
{
    char name[64];

    // The last word is for addr2line: the code's address, a little before the return address.
    (void)printf("  %3u  T%u %-12s %-22s %#12llx  @%#zx\n", number, thread, kinds[step->kind],
                 name_of(step->address, name, sizeof(name)), (unsigned long long)value,
                 step->code == NULL ? 0 : (size_t)step->code - 1);
}

static void print_way(void)
{
    (void)printf("wrong: %s\n", wrong_text);
    for (unsigned i = 0; i < depth; i++)
        print_step(i, stages[i].thread, &stages[i].step, stages[i].value);
    for (unsigned i = 0; i < world.thread_count; i++) {
        const struct thread *thread = &world.threads[i];
        if (thread->ended)
            continue;
        const char *state = thread->next.kind == STEP_ASLEEP ? "sleeps" : "before";
        (void)printf("  %s:\n", state);
        print_step(depth, i, &thread->next, 0);
    }
}

// ---- The search

/* Comes to a state. Whether it is new. */
static bool arrive(const struct subject *subject)
{
    bool all_ended = true;
    bool can_go_on = false;
    unsigned char *saved =
        depth == 0 ? saved_states : stages[depth - 1].saved + stages[depth - 1].bytes;

    if (depth + 1 == STAGES_MAX || saved - saved_states > SAVED_BYTES - (128 << 10)) {
        wrong("the way is too long");
        return false;
    }
    size_t bytes = save(saved);
    struct entry entry = hash(saved, bytes);
    if (table_used * 2 >= table_size)
        grow();
    size_t slot = slot_of(&entry);
    if (table[slot].low != 0) {
        if ((table[slot].high & 1) != 0)
            wrong("it may go on like this for ever");
        return false;
    }
    table[slot] = entry;
    table_used++;
    subject->check_fn();
    for (unsigned i = 0; i < world.thread_count; i++) {
        all_ended = all_ended && world.threads[i].ended;
        can_go_on = can_go_on || thread_alternatives(&world.threads[i]) > 0;
    }
    if (all_ended)
        subject->end_fn();
    else if (!can_go_on)
        wrong("nobody can go on");
    if (all_ended || wrong_text[0] != '\0')
        return false;
    table[slot].high |= 1;
    stages[depth++] = (struct stage){.saved = saved, .bytes = bytes, .slot = slot};
    return true;
}

/* Finds what to try next from the last state on the way. */
static bool next_try(struct stage *stage)
{
    while (stage->thread < world.thread_count) {
        if (stage->alternative < thread_alternatives(&world.threads[stage->thread]))
            return true;
        stage->thread++;
        stage->alternative = 0;
    }
    return false;
}

static void search(const struct subject *subject, uint64_t states_max, struct found *ret_found)
{
    bool is_restored = true; // the last state on the way is the one that is there

    if (!arrive(subject))
        return;
    while (depth > 0) {
        struct stage *stage = &stages[depth - 1];
        if (!is_restored)
            restore(stage->saved);
        is_restored = true;
        if (!next_try(stage)) {
            table[stage->slot].high &= ~(uint64_t)1;
            depth--;
            is_restored = false;
            continue;
        }
        stage->step = world.threads[stage->thread].next;
        thread_step(stage->thread, stage->alternative);
        stage->value = step_value;
        ret_found->steps++;
        if (wrong_text[0] == '\0') {
            is_restored = arrive(subject);
            ret_found->deepest = depth > ret_found->deepest ? depth : ret_found->deepest;
        }
        if (table_used > states_max)
            wrong("more than %llu states", (unsigned long long)states_max);
        if (wrong_text[0] != '\0')
            return;
        stage->alternative++;
    }
}

bool explore(const struct subject *subject, uint64_t states_max, struct found *ret_found)
{
    *ret_found = (struct found){0};
    saved_states = malloc(SAVED_BYTES);
    if (saved_states == NULL)
        abort();
    depth = 0;
    table_size = 0;
    table_used = 0;
    table = NULL;
    wrong_text[0] = '\0';
    seen = 0;
    grow();
    memset(&world, 0, sizeof(world));
    memset(heap, 0, sizeof(heap));
    order_reset();
    in_library = true;
    subject->start_fn();
    in_library = false;
    threads_start(subject);
    search(subject, states_max, ret_found);
    ret_found->states = table_used;
    if (wrong_text[0] != '\0')
        print_way();
    free(table);
    free(saved_states);
    return wrong_text[0] == '\0';
}
