/* Built-ins beside the product's: none. The tests' daemon is linked with another definition of this
 * table in place of this file. */
#include "runners/runner.h"

const struct builtin builtin_extra_table[] = {{.name = NULL}};
