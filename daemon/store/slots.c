/* The running-slot file: a page of head, 1,024 slots of a cache line each, the levels. It is never
 * synced: it has to outlive the process, not the machine. */
#include "store/slots.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <runnel/sync.h>

#include "config/config.h"
#include "store/slots_file.h"

enum { BOOT_ID_BYTES = 40, BOOT_TOLERANCE_S = 5, HEAD_BYTES = 4096, CELL_BYTES = 64 };

static const char magic[8] = {'R', 'N', 'N', 'L', 'S', 'L', 'T', '1'};

struct boot {
    char id[BOOT_ID_BYTES]; // "" where the kernel doesn't show it
    int64_t at_s;           // wall clock of the boot: moves when the clock is set
};

struct head {
    char magic[8];
    char store_id[24];
    struct boot boot;
};

struct cell {
    struct slot slot;
    unsigned char rest[CELL_BYTES - sizeof(struct slot)]; // two workers share no cache line
};

struct level {
    char queue[CONFIG_NAME_MAX + 8];
    double tokens;
    int64_t at_ms; // 0: free
};

struct file {
    union {
        struct head head;
        unsigned char bytes[HEAD_BYTES];
    };
    struct cell cells[SLOTS_COUNT];
    struct level levels[SLOTS_LEVELS];
};
_Static_assert(sizeof(struct cell) == CELL_BYTES, "a slot fills its cell");

struct slots {
    struct file *file; // mapped; set once
    rn_mutex mu;       // rank 35
    unsigned short free[SLOTS_COUNT] RN_GUARDED_BY(mu);
    size_t free_count RN_GUARDED_BY(mu);
    size_t left_count; // set once
    struct slot_left left[SLOTS_COUNT];
};

static struct boot boot_now(void)
{
    struct boot boot = {0};
    struct timespec since_boot = {0};

    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        ssize_t n = read(fd, boot.id, sizeof(boot.id) - 1);
        boot.id[n < 0 ? 0 : n] = '\0';
        (void)close(fd);
    }
    (void)clock_gettime(CLOCK_BOOTTIME,
                        &since_boot); // can't fail: the clock exists since Linux 2.6.39
    boot.at_s = rn_wall_ms() / 1000 - since_boot.tv_sec;
    return boot;
}

static bool same_boot(const struct boot *a, const struct boot *b)
{
    if (a->id[0] != '\0' && b->id[0] != '\0')
        return memcmp(a->id, b->id, sizeof(a->id)) == 0;
    int64_t apart_s = 0; // of numbers that a damaged file may have
    return !__builtin_sub_overflow(a->at_s, b->at_s, &apart_s) && apart_s <= BOOT_TOLERANCE_S &&
           apart_s >= -BOOT_TOLERANCE_S;
}

static int map(const char *path, struct file **ret_file, struct error *reterr)
{
    struct stat status = {0};
    int r = 0;

    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (fd < 0)
        return error_set(reterr, -errno, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(fd, &status) < 0)
        r = -errno;
    // A file of another size is none of ours, or a version that no longer matters.
    if (r == 0 && status.st_size != (off_t)sizeof(struct file) && ftruncate(fd, 0) < 0)
        r = -errno;
    // Blocks, not only a size: a store into a hole of a mapped file on a full disk is SIGBUS.
    if (r == 0)
        r = -posix_fallocate(fd, 0, (off_t)sizeof(struct file));
    void *memory = MAP_FAILED;
    if (r == 0) {
        memory = mmap(NULL, sizeof(struct file), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (memory == MAP_FAILED)
            r = -errno;
    }
    (void)close(fd); // the mapping stays
    if (r < 0)
        return error_set(reterr, r, "cannot map '%s': %s", path, strerror(-r));
    *ret_file = memory;
    return 0;
}

/* Takes over what the file says, of this store and, for processes, of this boot. */
static void take_over(struct slots *slots, const char *store_id)
{
    struct file *file = slots->file;
    struct boot boot = boot_now();

    bool is_ours = memcmp(file->head.magic, magic, sizeof(magic)) == 0 &&
                   strncmp(file->head.store_id, store_id, sizeof(file->head.store_id)) == 0;
    if (!is_ours) {
        memset(file, 0, sizeof(*file));
        memcpy(file->head.store_id, store_id, strnlen(store_id, sizeof(file->head.store_id) - 1));
    }
    bool trusts_pids = is_ours && same_boot(&file->head.boot, &boot);
    for (unsigned i = 0; i < SLOTS_COUNT; i++) {
        struct slot *slot = &file->cells[i].slot;
        // Cleared before the head says this boot: no later daemon takes them for processes of it.
        if (!trusts_pids) {
            atomic_store(&slot->pid, 0);
            atomic_store(&slot->start_time, 0);
        }
        uint64_t task = atomic_load(&slot->task);
        if (task != 0)
            slots->left[slots->left_count++] =
                (struct slot_left){.task = task,
                                   .run = atomic_load(&slot->run),
                                   .pid = atomic_load(&slot->pid),
                                   .start_time = atomic_load(&slot->start_time)};
    }
    // This thread may be killed between any two of its stores: the compiler keeps their order.
    atomic_signal_fence(memory_order_seq_cst);
    file->head.boot = boot;
    memcpy(file->head.magic, magic, sizeof(magic));
}

int slots_open(const char *path, const char *store_id, struct slots **ret_slots,
               struct error *reterr)
{
    struct slots *slots = calloc(1, sizeof(*slots));
    if (slots == NULL)
        return error_set(reterr, -ENOMEM, "no memory for '%s'", path);
    int r = map(path, &slots->file, reterr);
    if (r < 0) {
        free(slots);
        return r;
    }
    rn_mutex_init(&slots->mu, 35);
    take_over(slots, store_id);
    rn_mutex_lock(&slots->mu);
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        slots->free[i] = (unsigned short)(SLOTS_COUNT - 1 - i);
    slots->free_count = SLOTS_COUNT;
    rn_mutex_unlock(&slots->mu);
    *ret_slots = slots;
    return 0;
}

void slots_close(struct slots *slots)
{
    if (slots == NULL)
        return;
    int r = munmap(slots->file, sizeof(struct file));
    RN_ASSERT(r == 0);
    rn_mutex_fini(&slots->mu);
    free(slots);
}

const struct slot_left *slots_left(const struct slots *slots, size_t *ret_count)
{
    *ret_count = slots->left_count;
    return slots->left;
}

void slots_forget(struct slots *slots)
{
    for (unsigned i = 0; i < SLOTS_COUNT; i++)
        slot_clear(&slots->file->cells[i].slot);
    slots->left_count = 0;
}

int slots_take(struct slots *slots, struct slot **ret_slot)
{
    int r = -EAGAIN;
    rn_mutex_lock(&slots->mu);
    if (slots->free_count > 0) {
        *ret_slot = &slots->file->cells[slots->free[--slots->free_count]].slot;
        r = 0;
    }
    rn_mutex_unlock(&slots->mu);
    return r;
}

void slots_give(struct slots *slots, struct slot *slot)
{
    const struct cell *cell = (const struct cell *)(const void *)slot; // its first member
    ptrdiff_t index = cell - slots->file->cells;
    RN_ASSERT(index >= 0 && index < SLOTS_COUNT);

    slot_clear(slot);
    rn_mutex_lock(&slots->mu);
    RN_ASSERT(slots->free_count < SLOTS_COUNT);
    slots->free[slots->free_count++] = (unsigned short)index;
    rn_mutex_unlock(&slots->mu);
}

void slot_set(struct slot *slot, uint64_t task, uint64_t run)
{
    atomic_store_explicit(&slot->run, run, memory_order_relaxed);
    atomic_store_explicit(&slot->pid, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->start_time, 0, memory_order_relaxed);
    atomic_store_explicit(&slot->task, task, memory_order_release);
}

void slot_clear(struct slot *slot)
{
    atomic_store_explicit(&slot->task, 0, memory_order_release);
    atomic_store_explicit(&slot->pid, 0, memory_order_release);
    atomic_store_explicit(&slot->start_time, 0, memory_order_release);
    atomic_store_explicit(&slot->run, 0, memory_order_release);
}

/* The level of a queue; with `make` the one to write it to: a free one, or the one that has not
 * been written for longest. */
static struct level *find_level_locked(struct slots *slots, const char *queue, bool make)
    RN_REQUIRES(&slots->mu);
static struct level *find_level_locked(struct slots *slots, const char *queue, bool make)
{
    struct level *oldest = &slots->file->levels[0];
    for (unsigned i = 0; i < SLOTS_LEVELS; i++) {
        struct level *level = &slots->file->levels[i];
        if (level->at_ms != 0 && strncmp(level->queue, queue, sizeof(level->queue)) == 0)
            return level;
        if (level->at_ms < oldest->at_ms)
            oldest = level;
    }
    return make ? oldest : NULL;
}

void slots_level_set(struct slots *slots, const char *queue, double tokens, int64_t now_ms)
{
    rn_mutex_lock(&slots->mu);
    struct level *level = find_level_locked(slots, queue, true);
    if (strncmp(level->queue, queue, sizeof(level->queue)) != 0) {
        level->at_ms = 0;
        memset(level->queue, 0, sizeof(level->queue));
        memcpy(level->queue, queue, strnlen(queue, CONFIG_NAME_MAX));
    }
    level->tokens = tokens;
    level->at_ms = now_ms;
    rn_mutex_unlock(&slots->mu);
}

int slots_level_get(struct slots *slots, const char *queue, double *ret_tokens, int64_t *ret_at_ms)
{
    int r = -ENOENT;
    rn_mutex_lock(&slots->mu);
    const struct level *level = find_level_locked(slots, queue, false);
    if (level != NULL && isfinite(level->tokens) && level->at_ms > 0) {
        *ret_tokens = level->tokens;
        *ret_at_ms = level->at_ms;
        r = 0;
    }
    rn_mutex_unlock(&slots->mu);
    return r;
}
