/** \file The texts of JSONTestSuite (README.md), and what becomes of each as a task's args. */
#ifndef TESTS_JSON_SUITE_H
#define TESTS_JSON_SUITE_H

#include <stddef.h>

enum { JSON_SUITE_COUNT = 318 };

enum json_suite_end { JSON_TAKEN, JSON_REFUSED, JSON_EITHER };

struct json_case {
    char *name; // y_…, n_… or i_…
    char *text;
    size_t length;
    enum json_suite_end end;
};

/** Reads RUNNEL_SOURCE/tests/json/parsing.txt. Returns how many there are; 0: it can't be read. */
size_t json_suite_read(struct json_case cases[JSON_SUITE_COUNT]);
void json_suite_free(struct json_case cases[JSON_SUITE_COUNT]);

#endif
