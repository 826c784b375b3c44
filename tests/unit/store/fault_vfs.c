/* See fault_vfs.h. */
#include "fault_vfs.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "support.h"

struct fault_vfs fault_vfs = {.room = -1};
static sqlite3_vfs shim;
static sqlite3_vfs *real_vfs;

struct shim_file {
    sqlite3_file base;
    sqlite3_file *real; // behind this struct
};

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct shim_file *)(void *)file)->real;
}

/* Whether this call is the one that fails. */
static bool strikes(_Atomic int *nth)
{
    int left = atomic_load(nth);
    while (left > 0)
        if (atomic_compare_exchange_weak(nth, &left, left - 1))
            return left == 1;
    return false;
}

static int shim_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *buffer, int amount, sqlite3_int64 offset)
{
    if (strikes(&fault_vfs.damage))
        return SQLITE_CORRUPT;
    return real_of(file)->pMethods->xRead(real_of(file), buffer, amount, offset);
}

static int shim_write(sqlite3_file *file, const void *buffer, int amount, sqlite3_int64 offset)
{
    sqlite3_int64 size = 0;
    if (strikes(&fault_vfs.fail_write))
        return SQLITE_IOERR_WRITE;
    if (atomic_load(&fault_vfs.room) >= 0) {
        int r = real_of(file)->pMethods->xFileSize(real_of(file), &size);
        if (r != SQLITE_OK)
            return r;
        int64_t growth = offset + amount - size;
        if (growth > atomic_load(&fault_vfs.room))
            return SQLITE_FULL;
        if (growth > 0)
            (void)atomic_fetch_sub(&fault_vfs.room, growth);
    }
    return real_of(file)->pMethods->xWrite(real_of(file), buffer, amount, offset);
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

static int shim_sync(sqlite3_file *file, int flags)
{
    (void)atomic_fetch_add(&fault_vfs.syncs, 1);
    if (strikes(&fault_vfs.fail_sync))
        return SQLITE_IOERR_FSYNC;
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int shim_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int shim_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int shim_reserved(sqlite3_file *file, int *result)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int shim_control(sqlite3_file *file, int op, void *arg)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), op, arg);
}

static int shim_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **memory)
{
    if (strikes(&fault_vfs.fail_shared_memory)) {
        errno = ENOSPC;
        return SQLITE_IOERR_SHMSIZE;
    }
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, memory);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int n, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, n, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int delete)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), delete);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_reserved,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *result)
{
    struct shim_file *shim_file = (struct shim_file *)(void *)file;
    (void)vfs;
    shim_file->real = (sqlite3_file *)(void *)(shim_file + 1);
    int r = real_vfs->xOpen(real_vfs, name, shim_file->real, flags, result);
    shim_file->base.pMethods = shim_file->real->pMethods == NULL ? NULL : &shim_methods;
    return r;
}

void fault_vfs_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    assert_non_null(real_vfs);
    shim = *real_vfs;
    shim.zName = "fault";
    shim.szOsFile = (int)sizeof(struct shim_file) + real_vfs->szOsFile;
    shim.xOpen = shim_open;
    assert_int_equal(sqlite3_vfs_register(&shim, 1), SQLITE_OK);
    fault_vfs_reset();
}

void fault_vfs_reset(void)
{
    atomic_store(&fault_vfs.room, -1);
    atomic_store(&fault_vfs.fail_sync, 0);
    atomic_store(&fault_vfs.fail_write, 0);
    atomic_store(&fault_vfs.fail_shared_memory, 0);
    atomic_store(&fault_vfs.damage, 0);
}

static sqlite3_mem_methods real_memory;
static _Atomic int memory_nth;
static _Atomic bool memory_for_good;
static _Atomic int memory_failures;

static bool memory_fails(void)
{
    int left = atomic_load(&memory_nth);
    if (left == 0)
        return false;
    if (left == 1 && atomic_load(&memory_for_good)) {
        (void)atomic_fetch_add(&memory_failures, 1);
        return true;
    }
    if (!strikes(&memory_nth))
        return false;
    (void)atomic_fetch_add(&memory_failures, 1);
    return true;
}

static void *failing_malloc(int size)
{
    return memory_fails() ? NULL : real_memory.xMalloc(size);
}

static void *failing_realloc(void *memory, int size)
{
    return memory_fails() ? NULL : real_memory.xRealloc(memory, size);
}

void fault_memory_install(void)
{
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_GETMALLOC, &real_memory), SQLITE_OK);
    sqlite3_mem_methods methods = real_memory;
    methods.xMalloc = failing_malloc;
    methods.xRealloc = failing_realloc;
    assert_int_equal(sqlite3_config(SQLITE_CONFIG_MALLOC, &methods), SQLITE_OK);
}

void fault_memory_fail(int nth)
{
    atomic_store(&memory_failures, 0);
    atomic_store(&memory_for_good, false);
    atomic_store(&memory_nth, nth);
}

void fault_memory_fail_from(int nth)
{
    atomic_store(&memory_failures, 0);
    atomic_store(&memory_for_good, true);
    atomic_store(&memory_nth, nth);
}

int fault_memory_reset(void)
{
    atomic_store(&memory_nth, 0);
    return atomic_load(&memory_failures);
}

int fault_memory_failed(void)
{
    return atomic_load(&memory_failures);
}

void fault_heap_fail(enum fault_heap heap, int nth)
{
    if (heap == HEAP_OURS)
        fault_fail_malloc(nth);
    else
        fault_memory_fail(nth);
}

bool fault_heap_reached(enum fault_heap heap)
{
    return heap == HEAP_OURS ? fault_reached() : fault_memory_reset() > 0;
}

int fault_teardown(void **state)
{
    fault_vfs_reset();
    (void)fault_memory_reset();
    fault_reset();
    return store_teardown(state);
}
