/* The description's bytes. The assembler reads the file, whose name goes by the folder that make
 * runs in. */
#include "api/openapi.h"

#include <stdint.h>

extern const char openapi_json[];
extern const uint64_t openapi_json_bytes;

__asm__(".pushsection .rodata\n"
        ".hidden openapi_json, openapi_json_bytes\n"
        ".globl openapi_json, openapi_json_bytes\n"
        "openapi_json: .incbin \"daemon/api/openapi.json\"\n"
        "openapi_json_end:\n"
        ".balign 8\n"
        "openapi_json_bytes: .8byte openapi_json_end - openapi_json\n"
        ".popsection\n");

const char *openapi_text(size_t *ret_length)
{
    *ret_length = (size_t)openapi_json_bytes;
    return openapi_json;
}
