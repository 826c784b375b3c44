/** \file STORE_IMPORT: all of a store beside this one is taken into it, in a transaction of its
 * own. On the writer's thread. */
#ifndef STORE_MERGE_H
#define STORE_MERGE_H

#include "store/writer.h"

/** Does the operation, and tells its events; outside of any transaction. op->result is set. */
void merge(struct writer *writer, struct store_op *op);
/** Of group_publish: what the engine has to know of it. */
void merge_tell(struct writer *writer, struct store_op *op);

#endif
