/** \file What a daemon that died left: the tasks that ran, and held ones whose kind is back. Before
 * anything starts, or as they come by an import. */
#ifndef STORE_RECOVER_H
#define STORE_RECOVER_H

#include "store/slots_file.h"
#include "store/writer.h"

/** store_recover, in one transaction. -ENOSPC: nothing was written. */
int recover(struct writer *writer, const struct slots *slots, store_policy_fn *policy, void *arg,
            struct store_recovery *ret_recovery, struct error *reterr) RN_MUST_CHECK;

/** The same of the tasks of an import that ran when it was made, in the open transaction, whose
 * group has room for three changes each. base: how far their ids were moved up. */
int recover_imported(struct writer *writer, struct store_op *op, uint64_t base) RN_MUST_CHECK;

#endif
