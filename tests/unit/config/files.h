/** \file Configuration files for tests: written into a folder of their own, loaded, and looked at.
 */
#ifndef TESTS_CONFIG_FILES_H
#define TESTS_CONFIG_FILES_H

#include "config/config.h"

/** A new folder below TMPDIR; borrowed, valid until the next call. Removed by files_remove. */
const char *files_folder(void);
void files_remove(void);

/** Writes folder/name; returns its path, borrowed, valid until the next call. mode: 0644 and the
 * like. */
const char *files_write(const char *name, const char *text, unsigned mode);

/** What config_load gave. */
struct loaded {
    int result;
    struct config *config;
    struct config_fault *faults;
    size_t fault_count;
};

/** Loads a file with the built-ins of the product. overrides: NULL-terminated, or NULL.
 */
struct loaded files_load(const char *path, const char *const *overrides, bool check_commands);
/** Writes text as test.conf and loads it, without looking for the commands. */
struct loaded files_load_text(const char *text);
void loaded_fini(struct loaded *loaded);

/** For messages: all faults, on standard error. */
void loaded_print(const struct loaded *loaded);

/** The same of a text without a fault: with one the test fails. */
struct loaded files_load_right(const char *text);
/** A configuration whose kind has every setting that kinds have. */
extern const char files_full_kind[];
/** cmocka's tear-down function: files_remove(). */
int files_tear_down(void **state);

#endif
