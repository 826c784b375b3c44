/** \file What tests of contexts share. */
#ifndef TESTS_LIB_CONTEXTS_H
#define TESTS_LIB_CONTEXTS_H

#include <runnel/context.h>

/** A context below parent that only a cancel ends. Must be unreferenced. */
rn_context *new_child(rn_context *parent);

#endif
