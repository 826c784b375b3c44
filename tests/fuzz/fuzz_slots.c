/* The file of running slots, with any bytes in it: what is read of it is within its bounds, and
 * what is written into it afterwards is read again. The input stands at the file's beginning; the
 * rest is zero, or, of an input with an odd length, is not there. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"
#include "store/slots_file.h"

enum { FILE_BYTES = 4096 + SLOTS_COUNT * 64 + SLOTS_LEVELS * 96 };
static const char store_id[] = "0123456789abcdef";

static struct slots *open_file(void)
{
    struct slots *slots = NULL;
    struct error error = {.code = 0};

    HOLDS(slots_open(fuzz_path(0, "runnel.db-running"), store_id, &slots, &error) == 0);
    return slots;
}

static void is_within_bounds(const struct slots *slots)
{
    size_t count = 0;
    const struct slot_left *left = slots_left(slots, &count);

    HOLDS(count <= SLOTS_COUNT);
    for (size_t i = 0; i < count; i++)
        HOLDS(left[i].task != 0);
}

static void levels_make_sense(struct slots *slots)
{
    double tokens = NAN;
    int64_t at_ms = 0;

    for (int i = 0; i < 2; i++) {
        int r = slots_level_get(slots, i == 0 ? "default" : "mail", &tokens, &at_ms);
        HOLDS(r == -ENOENT || (r == 0 && isfinite(tokens) && at_ms > 0));
    }
    slots_level_set(slots, "default", 1.5, 1764000000000);
    HOLDS(slots_level_get(slots, "default", &tokens, &at_ms) == 0);
    HOLDS(tokens == 1.5 && at_ms == 1764000000000);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static unsigned char bytes[FILE_BYTES];
    size_t length = size < FILE_BYTES ? size : FILE_BYTES;
    struct slot *slot = NULL;
    size_t count = 0;

    memset(bytes, 0, sizeof(bytes));
    if (length > 0)
        memcpy(bytes, data, length);
    fuzz_write(fuzz_path(0, "runnel.db-running"), bytes, size % 2 == 0 ? FILE_BYTES : length, 0600);
    struct slots *slots = open_file();
    is_within_bounds(slots);
    levels_make_sense(slots);
    slots_forget(slots);
    HOLDS(slots_take(slots, &slot) == 0);
    slot_set(slot, 7, 3);
    slots_close(slots);

    slots = open_file();
    const struct slot_left *left = slots_left(slots, &count);
    HOLDS(count == 1 && left[0].task == 7 && left[0].run == 3 && left[0].pid == 0);
    levels_make_sense(slots);
    slots_close(slots);
    return 0;
}
