/* The version of the library that is linked. */
#include <runnel/runnel.h>

const char *rn_version(void)
{
    return RN_VERSION;
}
