/** \file What is in a folder; for unit and integration tests. */
#ifndef TESTS_FOLDER_H
#define TESTS_FOLDER_H

/** How many entries the folder has whose names do not begin with a dot. Fails the test where it
 * can't be read. */
unsigned folder_entries(const char *folder);

#endif
