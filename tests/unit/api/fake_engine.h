/** \file
 * An engine for the tests of the API: it keeps tasks in memory and runs none of them. Operations
 * and reads are done by one thread, so that requests are suspended and resumed as in the daemon; a
 * test can hold that thread, and say what operations are to be refused with.
 */
#ifndef TESTS_FAKE_ENGINE_H
#define TESTS_FAKE_ENGINE_H

#include "engine/engine.h"

/** With kinds echo (built-in, in `default`), `copy` (a command with {path}, in `mail`), queues
 * default and mail. */
int fake_new(struct engine **ret_engine);
/** Ends the thread and frees it. */
void fake_free(struct engine *engine);

/** The configuration, to be changed before the server starts. */
struct config *fake_config(struct engine *engine);
void fake_phase(struct engine *engine, enum engine_phase phase);
/** What engine_submit returns from now on for puts; 0: takes them. */
void fake_refuse_submit(struct engine *engine, int error);
/** What operations result in from now on; 0: they are done. */
void fake_refuse_op(struct engine *engine, int error);
/** Operations and reads stay where they are until released. */
void fake_hold(struct engine *engine);
void fake_release(struct engine *engine);
/** Waits until that many operations are held. */
void fake_wait_held(struct engine *engine, unsigned count);
/** Waits until that many requests wait for ends. */
void fake_wait_waiting(struct engine *engine, unsigned count);

unsigned fake_task_count(struct engine *engine);
unsigned fake_put_count(struct engine *engine); // puts that stored something
unsigned fake_largest_put(struct engine *engine);
unsigned fake_read_count(struct engine *engine); // reads done
/** The task, borrowed; the engine must not be changing it. */
struct record *fake_task(struct engine *engine, uint64_t id);
/** Sets a task's state, and answers who waits for its end where that is final. */
void fake_set(struct engine *engine, uint64_t id, enum task_state state, const char *result,
              bool result_is_json);
/** Puts lines under a stream's key as another client's stream would: count and running hash. */
void fake_move_key(struct engine *engine, const char *key, uint64_t count,
                   const unsigned char hash[32]);

#endif
