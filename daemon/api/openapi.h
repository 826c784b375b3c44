/** \file The API's description (OpenAPI 3.1), as GET /openapi.json answers it: openapi.json of this
 * folder, which is edited by hand, put into the program byte by byte. */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include <stddef.h>

/** The description; not ended by a NUL. Lives as long as the program. */
const char *openapi_text(size_t *ret_length);

#endif
