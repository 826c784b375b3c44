/* What is explored: in the order of what it is about. A look doubles the states, and a mishap is
 * worth five times as many: so not all of them have either. */
#include "program.h"

enum {
    SLEEPS = SEEN_SLEEP | SEEN_WAKE,
    HURRIES = SEEN_TIMEOUT, // its deadline comes
    LOOKS = SEEN_PAUSE,
};

// clang-format off
const struct scenario scenarios[] = {
    // name, program, capacities, looks, seen, outcomes, mishaps, counts

    {"one sends, one receives: unbuffered", "A! A! A! | A? A? A?", {0}, 1, SLEEPS, 1, 1, false},
    {"one sends, one receives: of 1", "A! A! A! | A? A? A?", {1}, 1, SLEEPS | LOOKS, 1, 1, false},
    {"one sends, one receives: of 2", "A! A! A! | A? A? A?", {2}, 1, SLEEPS | LOOKS, 1, 1, false},
    {"one sends, one receives: of 3", "A! A! A! A! | A? A? A? A?", {3}, 0, SLEEPS, 1, 0, false},
    {"two send: unbuffered", "A! A! | A! | A? A? A?", {0}, 1, SLEEPS, 3, 0, false},
    {"two send: of 1", "A! | A! | A? A?", {1}, 1, SLEEPS | LOOKS, 2, 0, false},
    {"two send: of 2", "A! A! | A! | A? A? A?", {2}, 0, SLEEPS | LOOKS, 3, 0, false},
    {"two receive: unbuffered", "A! A! | A? | A?", {0}, 1, SLEEPS, 2, 1, false},
    {"two receive: of 1", "A! A! | A? | A?", {1}, 0, SLEEPS | LOOKS, 2, 0, false},
    {"two receive: of 2", "A! A! | A? | A?", {2}, 0, SLEEPS | LOOKS, 2, 0, false},
    {"two send, two receive: unbuffered", "A! | A! | A? | A?", {0}, 0, SLEEPS, 2, 0, false},

    {"the sender closes: unbuffered", "A! A! A# | A?*", {0}, 1, SLEEPS, 1, 1, false},
    {"the sender closes: of 1", "A! A! A# | A?*", {1}, 1, SLEEPS, 1, 1, false},
    {"the sender closes: of 2", "A! A! A# | A?*", {2}, 1, SLEEPS, 1, 1, false},
    {"another closes: unbuffered", "A! A! | A# | A?*", {0}, 1, SLEEPS, 3, 0, false},
    {"another closes: of 1", "A! | A# | A?*", {1}, 1, SLEEPS | LOOKS, 2, 0, false},
    {"another closes: the sender waits", "A! A! | A# | A?", {1}, 0, SLEEPS, 3, 0, false},
    {"a close ends all senders", "A! A! | A! | A#", {1}, 0, SLEEPS, 3, 0, false},
    {"two close: unbuffered", "A# | A# | A?", {0}, 0, SLEEPS, 1, 0, false},
    {"two close: of 1", "A# | A# | A?", {1}, 0, SLEEPS, 1, 0, false},

    {"cancelled or served: unbuffered", "A!c | A?c | K", {0}, 0, SLEEPS, 2, 0, false},
    {"cancelled or served: of 1", "A!c | A?c | K", {1}, 1, SLEEPS, 3, 0, false},
    {"cancelled or served: a sender that waits", "A! A!c | A?c | K", {1}, 0, SLEEPS, 3, 0, false},
    {"a deadline or served: unbuffered", "A!- | A?t", {0}, 1, SLEEPS | HURRIES, 2, 1, false},
    {"a deadline or served: of 1", "A!- | A?t", {1}, 1, SLEEPS | HURRIES, 2, 1, false},
    {"a deadline or served: of two", "A?t | A?t | A!", {1}, 0, SLEEPS | HURRIES, 3, 0, false},
    {"a deadline, cancelled or served: unbuffered", "A!- | A?b | K", {0}, 1, SLEEPS | HURRIES, 3, 0, false},
    {"a deadline, cancelled or served: of 1", "A!- A!- | A?b A?- | K", {1}, 0, SLEEPS | HURRIES, 9, 0, false},

    {"nobody waits: unbuffered", "A!- A!- | A?- A?-", {0}, 0, 0, 1, 0, false},
    {"nobody waits: of 1", "A!- A!- | A?- A?-", {1}, 0, 0, 6, 1, false},
    {"nobody waits: of 2", "A!- A!- | A?- A?-", {2}, 0, 0, 4, 1, false},
    {"nobody waits: two of three", "A!- | A!- | A?", {1}, 0, SLEEPS, 4, 0, false},

    {"freed after the last element: unbuffered", "A! A! | A? A? A~", {0}, 1, SLEEPS, 1, 0, true},
    {"freed after the last element: of 1", "A! A! | A? A? A~", {1}, 1, SLEEPS, 1, 0, true},
    {"freed after the last element: of 2", "A! A! A! | A? A? A? A~", {2}, 1, SLEEPS, 1, 0, true},
    {"freed after the last element: of two senders", "A! | A! | A? A? A~", {1}, 0, SLEEPS, 2, 0, false},
    {"freed after the last element: of a select", "A! B! [A! B!] | A? A? A~", {1, 1}, 0, SLEEPS, 1, 0, false},
    {"freed after -EPIPE: unbuffered", "A! A# | A?* A~", {0}, 1, SLEEPS, 1, 0, false},
    {"freed after -EPIPE: of 1", "A! A# | A?* A~", {1}, 1, SLEEPS, 1, 0, false},

    {"a descriptor: unbuffered", "A! | A! | A@ A@", {0}, 0, SLEEPS, 2, 0, false},
    {"a descriptor: of 1", "A! | A! | A@ A@", {1}, 0, SLEEPS, 2, 0, false},
    {"a descriptor: of 2", "A! A! | A@ A@", {2}, 0, 0, 1, 0, false},
    {"a descriptor: closed, unbuffered", "A# | A@", {0}, 0, 0, 1, 0, false},
    {"a descriptor: closed, of 1", "A! | A# | A@", {1}, 0, 0, 2, 0, false},

    {"a select receives: unbuffered", "[A? B?] [A? B?] | A! | B!", {0, 0}, 0, SLEEPS, 2, 0, false},
    {"a select receives: of 1", "[A? B?] [A? B?] | A! | B!", {1, 1}, 0, SLEEPS, 2, 0, false},
    {"a select receives: unbuffered and of 1", "[A? B?] [A? B?] | A! | B!", {0, 1}, 0, SLEEPS, 2, 0, false},
    {"a select sends: of 1", "A! B! [A! B!] | A? | B?", {1, 1}, 0, SLEEPS, 2, 0, false},
    {"two selects face each other: unbuffered", "[A? B?] | [B! A!]", {0, 0}, 0, SLEEPS, 2, 1, false},
    {"two selects face each other: of 1", "[A? B?] | [B! A!]", {1, 1}, 0, SLEEPS, 2, 1, false},
    {"two selects face each other: unbuffered and of 1", "[A? B?] | [B! A!]", {0, 1}, 0, SLEEPS, 2, 1, false},
    {"two selects face each other: both ways", "[A! B?] | [A? B!]", {0, 0}, 0, SLEEPS, 2, 1, false},
    {"two selects face each other: often", "A! B! [A! B!] | [B? A?] [A? B?] [B? A?]", {1, 1}, 0, SLEEPS, 6, 0, false},
    {"two selects face each other: in one channel", "[A! A?] | [A! A?]", {0}, 0, SLEEPS, 2, 1, false},
    {"three selects: of 1", "[A? B?] [B? A?] | [A! B!] | [B! A!]", {1, 1}, 0, SLEEPS, 8, 0, false},
    {"a select with a channel twice: receives", "[A? A?] | A!", {1}, 0, SLEEPS, 1, 1, false},
    {"a select with a channel twice: sends", "[A! A!] | A?", {0}, 0, SLEEPS, 2, 1, false},
    {"a select is cancelled or served: unbuffered", "[A? B?]c | A!c | K", {0, 0}, 0, SLEEPS, 2, 0, false},
    {"a select is cancelled or served: of 1", "[A? B?]c | A!c | K", {1, 1}, 0, SLEEPS, 3, 0, false},
    {"a select is closed or served: unbuffered", "[A? B?] | A# | B#", {0, 0}, 0, SLEEPS, 2, 0, false},
    {"a select is closed or served: of 1", "[A? B?] [A? B?] | A# | B!", {1, 1}, 0, SLEEPS, 3, 0, false},
    {"a select is closed or served: it sends", "A! B! [A! B!] | A# | B?", {1, 1}, 0, SLEEPS, 4, 0, false},
    {"a select without waiting: of 1", "[A? B?]- [A? B?]- | A! B!", {1, 1}, 0, 0, 6, 1, false},
    {"a select without waiting: two senders", "[A? B?]- | A! | B!", {1, 1}, 0, 0, 3, 0, false},
};
// clang-format on

const size_t scenario_count = sizeof(scenarios) / sizeof(*scenarios);
