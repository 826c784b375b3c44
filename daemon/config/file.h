/** \file Reading the files of a configuration: itself, secrets, certificates. */
#ifndef CONFIG_FILE_H
#define CONFIG_FILE_H

#include <stddef.h>

#include <runnel/error.h>

/**
 * Reads a file to its end, but at most size bytes.
 *
 * @return 0, or what read() failed with, as a negative errno
 */
int file_read(int fd, void *bytes, size_t size, size_t *ret_count) RN_MUST_CHECK;

/** For RN_AUTO: closes a descriptor that is one. */
void file_close(const int *fd);

#endif
