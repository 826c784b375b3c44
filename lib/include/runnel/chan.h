/** \file
 * Channels: elements of one size go from senders to receivers, in order (Go: chan T).
 *
 * A channel with a capacity keeps that many elements; one with capacity 0 hands each over from a
 * sender to a receiver, and the sender waits for that. Closing says that no more comes: what is
 * inside is still received, then receivers see -EPIPE. Unlike in Go, sending on a closed channel
 * and closing twice are no faults, because a race can cause them: they answer -EPIPE and do
 * nothing.
 */
#ifndef RUNNEL_CHAN_H
#define RUNNEL_CHAN_H

#include <stdbool.h>
#include <stddef.h>

#include <runnel/context.h>
#include <runnel/error.h>
#include <runnel/sync.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A channel. */
typedef struct rn_chan rn_chan;

/**
 * Makes a channel.
 *
 * @param elem_size  bytes of an element; with 0 an element is only the fact that it came
 * @param capacity   elements that it keeps; 0: none, every sender meets its receiver
 * @param ret_chan   the new channel
 *
 * **Ownership:** *ret_chan is new: rn_chan_free(). **Blocking:** never. **Threads:** any.
 * **Errors:** -ENOMEM, also when elem_size times capacity is out of range; *ret_chan is untouched.
 */
RN_API RN_MUST_CHECK int rn_chan_new(size_t elem_size, size_t capacity, rn_chan **ret_chan);

/**
 * Frees a channel that nobody waits on, and forgets what is inside. NULL is allowed.
 *
 * **Ownership:** takes chan; elements that point somewhere are the caller's concern.
 * **Blocking:** never. **Threads:** the last that uses it. **Errors:** none.
 */
RN_API void rn_chan_free(rn_chan *chan);

/**
 * Sends a copy of one element, waiting while the channel is full, or, with capacity 0, until a
 * receiver has taken it.
 *
 * @param ctx   ends the wait when it ends; NULL never does
 * @param chan  the channel
 * @param elem  elem_size bytes; copied before the call returns
 *
 * **Ownership:** chan and elem borrowed.
 * **Blocking:** until there is room or a receiver, the channel is closed, or ctx ends. A ctx that
 * has ended already wins.
 * **Threads:** any number of senders and receivers at once.
 * **Errors:** -EPIPE closed; -ECANCELED or -ETIMEDOUT as rn_context_err(ctx). On every error
 * nothing was sent.
 */
RN_API RN_MUST_CHECK int rn_chan_send(rn_context *ctx, rn_chan *chan, const void *elem);

/**
 * Receives one element, waiting until there is one.
 *
 * @param ctx       ends the wait when it ends; NULL never does
 * @param chan      the channel
 * @param ret_elem  elem_size bytes; NULL throws the element away
 *
 * **Ownership:** the element is the caller's.
 * **Blocking:** until an element comes, the channel is closed, or ctx ends. A ctx that has ended
 * already wins, also over elements that are there.
 * **Threads:** any number of senders and receivers at once.
 * **Errors:** -EPIPE closed and empty; -ECANCELED or -ETIMEDOUT as rn_context_err(ctx). On every
 * error nothing was received and *ret_elem is untouched.
 */
RN_API RN_MUST_CHECK int rn_chan_recv(rn_context *ctx, rn_chan *chan, void *ret_elem);

/**
 * As rn_chan_recv(), with a deadline of its own besides that of ctx.
 *
 * **Ownership:** as rn_chan_recv(). **Blocking:** as rn_chan_recv(), and at most until deadline; an
 * element that is there is received even when the deadline has passed.
 * **Threads:** as rn_chan_recv(). **Errors:** as rn_chan_recv(), and -ETIMEDOUT the deadline
 * passed.
 */
RN_API RN_MUST_CHECK int rn_chan_recv_until(rn_context *ctx, rn_chan *chan, rn_time deadline,
                                            void *ret_elem);

/**
 * Sends one element if that needs no waiting.
 *
 * **Ownership:** as rn_chan_send(). **Blocking:** never. **Threads:** as rn_chan_send().
 * **Errors:** -EAGAIN full, or, with capacity 0, no receiver waits; -EPIPE closed.
 */
RN_API RN_MUST_CHECK int rn_chan_try_send(rn_chan *chan, const void *elem);

/**
 * Receives one element if there is one.
 *
 * **Ownership:** as rn_chan_recv(). **Blocking:** never. **Threads:** as rn_chan_recv().
 * **Errors:** -EAGAIN empty, or, with capacity 0, no sender waits; -EPIPE closed and empty.
 */
RN_API RN_MUST_CHECK int rn_chan_try_recv(rn_chan *chan, void *ret_elem);

/**
 * Closes a channel: nothing more can be sent, and who waits to send gets -EPIPE; receivers take
 * what is inside, then get -EPIPE. Closing again does nothing.
 *
 * **Ownership:** none; the channel still has to be freed. **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
RN_API void rn_chan_close(rn_chan *chan);

/**
 * Counts the elements inside, as they are at this moment.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API size_t rn_chan_len(const rn_chan *chan);

/**
 * Gives the capacity, in elements.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API size_t rn_chan_cap(const rn_chan *chan);

/**
 * Gives the size of an element, in bytes.
 *
 * **Ownership:** none. **Blocking:** never. **Threads:** any. **Errors:** none.
 */
RN_API size_t rn_chan_elem_size(const rn_chan *chan);

/**
 * Gives a descriptor for poll(): readable while a receive would not wait, because an element is
 * there, a sender waits, or the channel is closed. Never read, write or close it. From the first
 * call on each operation of the channel takes its lock, and a system call where what it says
 * changes.
 *
 * @return the descriptor (close-on-exec), made by the first call, the same for all
 *
 * **Ownership:** borrowed from the channel; closed when that is freed.
 * **Blocking:** never. **Threads:** any; of several who see it readable one may find nothing left.
 * **Errors:** -EMFILE, -ENFILE, -ENOMEM as eventfd(2).
 */
RN_API RN_MUST_CHECK int rn_chan_fd(rn_chan *chan);

// Of a case that waits for nothing.
#define RN_NO_NODE_                                                                                \
    {                                                                                              \
        NULL, NULL, NULL, NULL, NULL, NULL                                                         \
    }

/** One case of a select: rn_case_send() and rn_case_recv() make it. */
struct rn_case {
    rn_chan *chan;    // NULL: the case is never ready
    bool sends;       // else it receives
    const void *elem; // of a send
    void *ret_elem;   // of a receive; NULL throws the element away
    /** Of the case that was chosen: 0 it was sent or received; -EPIPE the channel is closed. */
    int result;
    // Private: which case is looked at, and which locked, in this place; the place on a list.
    unsigned look_order_;
    unsigned lock_order_;
    struct rn_waiter_node node_;
};

/**
 * Makes a case that sends.
 *
 * @param chan  NULL: it is never ready
 * @param elem  elem_size bytes; copied when the case is chosen
 *
 * **Ownership:** both borrowed until the select returns. **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
static inline struct rn_case rn_case_send(rn_chan *chan, const void *elem)
{
    struct rn_case made = {chan, true, elem, NULL, 0, 0, 0, RN_NO_NODE_};

    return made;
}

/**
 * Makes a case that receives.
 *
 * @param chan      NULL: it is never ready
 * @param ret_elem  elem_size bytes, written when the case is chosen; NULL throws the element away
 *
 * **Ownership:** both borrowed until the select returns. **Blocking:** never. **Threads:** any.
 * **Errors:** none.
 */
static inline struct rn_case rn_case_recv(rn_chan *chan, void *ret_elem)
{
    struct rn_case made = {chan, false, NULL, ret_elem, 0, 0, 0, RN_NO_NODE_};

    return made;
}

/**
 * Waits until one of several sends and receives can be done, and does that one (Go: select). Of
 * several that can be done one is chosen at random, each as likely as the others. A case whose
 * channel is closed can be done: its result is -EPIPE then (of a receive: closed and empty). The
 * same channel may stand in several cases.
 *
 * @param ctx    ends the wait when it ends; NULL never does
 * @param cases  used again as they are by the next select; no two threads at once
 * @param count  how many; 0 waits for the end of ctx
 * @return the index of the case that was done; its `result` says how
 *
 * **Ownership:** all borrowed. Nothing is allocated.
 * **Blocking:** until a case can be done or ctx ends. A ctx that has ended already wins.
 * **Threads:** any number of them on the same channels.
 * **Errors:** -ECANCELED or -ETIMEDOUT as rn_context_err(ctx); nothing was sent or received then.
 */
RN_API RN_MUST_CHECK int rn_select(rn_context *ctx, struct rn_case *cases, size_t count);

/**
 * As rn_select(), if that needs no waiting (Go: select with default).
 *
 * **Ownership:** as rn_select(). **Blocking:** never. **Threads:** as rn_select().
 * **Errors:** -EAGAIN at one moment none of the cases could be done.
 */
RN_API RN_MUST_CHECK int rn_try_select(struct rn_case *cases, size_t count);

#ifdef __cplusplus
}
#endif

// Not every program uses every function of a typed channel.
#define RN_UNUSED_ __attribute__((unused))

/**
 * Defines a channel type of its own for elements of a type, so that the compiler sees what goes in
 * and out: after RN_CHAN_DEFINE(ints, int) there are
 *
 *     int ints_new(size_t capacity, ints **ret_chan);   void ints_free(ints *chan);
 *     int ints_send(rn_context *ctx, ints *chan, int elem);
 *     int ints_recv(rn_context *ctx, ints *chan, int *ret_elem);
 *     int ints_try_send(ints *chan, int elem);          int ints_try_recv(ints *chan, int
 * *ret_elem); void ints_close(ints *chan);                      size_t ints_len(const ints *chan);
 *     size_t ints_cap(const ints *chan);                rn_chan *ints_chan(ints *chan);
 *     struct rn_case ints_case_send(ints *chan, const int *elem);
 *     struct rn_case ints_case_recv(ints *chan, int *ret_elem);
 *
 * which are the functions above. ints_chan() gives the channel for those that are missing here.
 */
// A type and a name stand in no parentheses.
// NOLINTBEGIN(bugprone-macro-parentheses)
#define RN_CHAN_DEFINE(name, type)                                                                 \
    typedef struct name name;                                                                      \
    RN_UNUSED_ RN_MUST_CHECK static inline int name##_new(size_t capacity, name **ret_chan)        \
    {                                                                                              \
        rn_chan *rn_made_;                                                                         \
        int rn_r_ = rn_chan_new(sizeof(type), capacity, &rn_made_);                                \
        if (rn_r_ == 0)                                                                            \
            *ret_chan = (name *)rn_made_;                                                          \
        return rn_r_;                                                                              \
    }                                                                                              \
    RN_UNUSED_ static inline rn_chan *name##_chan(name *chan)                                      \
    {                                                                                              \
        return (rn_chan *)chan;                                                                    \
    }                                                                                              \
    RN_UNUSED_ static inline void name##_free(name *chan)                                          \
    {                                                                                              \
        rn_chan_free((rn_chan *)chan);                                                             \
    }                                                                                              \
    RN_UNUSED_ RN_MUST_CHECK static inline int name##_send(rn_context *ctx, name *chan, type elem) \
    {                                                                                              \
        return rn_chan_send(ctx, (rn_chan *)chan, &elem);                                          \
    }                                                                                              \
    RN_UNUSED_ RN_MUST_CHECK static inline int name##_recv(rn_context *ctx, name *chan,            \
                                                           type *ret_elem)                         \
    {                                                                                              \
        return rn_chan_recv(ctx, (rn_chan *)chan, ret_elem);                                       \
    }                                                                                              \
    RN_UNUSED_ RN_MUST_CHECK static inline int name##_try_send(name *chan, type elem)              \
    {                                                                                              \
        return rn_chan_try_send((rn_chan *)chan, &elem);                                           \
    }                                                                                              \
    RN_UNUSED_ RN_MUST_CHECK static inline int name##_try_recv(name *chan, type *ret_elem)         \
    {                                                                                              \
        return rn_chan_try_recv((rn_chan *)chan, ret_elem);                                        \
    }                                                                                              \
    RN_UNUSED_ static inline void name##_close(name *chan)                                         \
    {                                                                                              \
        rn_chan_close((rn_chan *)chan);                                                            \
    }                                                                                              \
    RN_UNUSED_ static inline size_t name##_len(const name *chan)                                   \
    {                                                                                              \
        return rn_chan_len((const rn_chan *)chan);                                                 \
    }                                                                                              \
    RN_UNUSED_ static inline size_t name##_cap(const name *chan)                                   \
    {                                                                                              \
        return rn_chan_cap((const rn_chan *)chan);                                                 \
    }                                                                                              \
    RN_UNUSED_ static inline struct rn_case name##_case_send(name *chan, const type *elem)         \
    {                                                                                              \
        return rn_case_send((rn_chan *)chan, elem);                                                \
    }                                                                                              \
    RN_UNUSED_ static inline struct rn_case name##_case_recv(name *chan, type *ret_elem)           \
    {                                                                                              \
        return rn_case_recv((rn_chan *)chan, ret_elem);                                            \
    }                                                                                              \
    typedef struct name name
// NOLINTEND(bugprone-macro-parentheses)

#endif
