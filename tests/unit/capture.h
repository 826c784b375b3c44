/** \file Standard error, caught in a file while a piece of code runs. */
#ifndef TESTS_CAPTURE_H
#define TESTS_CAPTURE_H

#include <stddef.h>

/** From now on standard error goes into a file without a name. */
void capture_start(void);
/** Standard error is what it was; what came meanwhile, NUL-terminated, freed by the caller. */
char *capture_end(size_t *ret_size);
/** The descriptor of the file, while capturing. */
int capture_fd(void);

#endif
