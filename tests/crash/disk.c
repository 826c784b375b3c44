/* See disk.h. The calls that are recorded stand at the end. */
#include "disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    NAME_MAX_BYTES = 64,
    NAMES_MAX = 64,
    FILES_MAX = 1024,
    FDS_MAX = 4096,
    SECTOR = 512,
    BLOCK = 4096,
    OF_NOTHING = -1, // what a descriptor is of that is not recorded
    OF_FOLDER = -2,
};

enum entry_type { WRITTEN, RESIZED, SYNCED, LIED, NAMED, UNNAMED, MOVED, FOLDER_SYNCED };

struct entry {
    enum entry_type type;
    unsigned file;
    size_t offset, bytes; // RESIZED: offset is the new size
    unsigned char *data;
    char name[NAME_MAX_BYTES], to[NAME_MAX_BYTES];
};

struct names {
    struct {
        char name[NAME_MAX_BYTES];
        unsigned file;
    } each[NAMES_MAX];
    size_t count;
};

/* A file's bytes, and the entries of which nobody knows whether they are on the disk. */
struct content {
    unsigned char *bytes;
    size_t size, capacity;
    size_t *pending;
    size_t pending_count, pending_capacity;
};

static struct {
    pthread_mutex_t mu;
    bool is_on;
    char folder[256];
    struct entry *entries;
    size_t count, capacity;
    struct names names; // as the program sees them
    unsigned file_count;
    char lied_about[NAME_MAX_BYTES];
    int files_of[FDS_MAX]; // one more than the file, so that 0 is OF_NOTHING
} disk = {.mu = PTHREAD_MUTEX_INITIALIZER};

/* As it is on the disk at a moment. */
static struct {
    size_t moment;
    struct content files[FILES_MAX];
    struct names names;
    size_t pending[NAMES_MAX * 4]; // of names
    size_t pending_count;
} state;

static void expect(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "the recording of the disk: %s: %s\n", what, strerror(errno));
    abort();
}

const char *disk_loss_name(enum disk_loss loss)
{
    static const char *const names[DISK_LOSS_COUNT] = {
        [DISK_NONE] = "none",           [DISK_ALL] = "all",
        [DISK_SECTORS] = "sectors",     [DISK_BLOCKS] = "blocks",
        [DISK_TORN] = "torn",           [DISK_LENGTHS] = "lengths",
        [DISK_REORDERED] = "reordered", [DISK_LEFTOVERS] = "leftovers"};
    return names[loss];
}

uint32_t disk_random(uint32_t *random, uint32_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random % below;
}

static void *grown(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 256 : *capacity * 2;
    void *larger = realloc(array, *capacity * size);
    expect(larger != NULL, "no memory");
    return larger;
}

/* ---- names ---- */

static size_t find_name(const struct names *names, const char *name)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->each[i].name, name) != 0)
        i++;
    return i;
}

static void set_name(struct names *names, const char *name, unsigned file)
{
    size_t i = find_name(names, name);
    expect(i < NAMES_MAX, "too many names");
    (void)snprintf(names->each[i].name, NAME_MAX_BYTES, "%s", name);
    names->each[i].file = file;
    names->count += i == names->count;
}

static void drop_name(struct names *names, const char *name)
{
    size_t i = find_name(names, name);
    if (i < names->count)
        names->each[i] = names->each[--names->count];
}

static void change_names(struct names *names, const struct entry *entry)
{
    if (entry->type == NAMED) {
        set_name(names, entry->name, entry->file);
        return;
    }
    drop_name(names, entry->name);
    if (entry->type == MOVED)
        set_name(names, entry->to, entry->file);
}

/* ---- contents ---- */

static void resize(struct content *content, size_t size)
{
    if (size > content->capacity) {
        size_t capacity = content->capacity == 0 ? 1 << 16 : content->capacity;
        while (capacity < size)
            capacity *= 2;
        content->bytes = realloc(content->bytes, capacity);
        expect(content->bytes != NULL, "no memory");
        content->capacity = capacity;
    }
    if (size > content->size)
        memset(content->bytes + content->size, 0, size - content->size);
    content->size = size;
}

static void put_bytes(struct content *content, size_t offset, const unsigned char *data,
                      size_t bytes)
{
    if (offset + bytes > content->size)
        resize(content, offset + bytes);
    if (bytes > 0)
        memcpy(content->bytes + offset, data, bytes);
}

static void change_content(struct content *content, const struct entry *entry)
{
    if (entry->type == WRITTEN)
        put_bytes(content, entry->offset, entry->data, entry->bytes);
    else
        resize(content, entry->offset);
}

/* Brings the state to a later moment. */
static void go_to(size_t moment)
{
    for (; state.moment < moment; state.moment++) {
        const struct entry *entry = &disk.entries[state.moment];
        struct content *content = &state.files[entry->file];
        switch (entry->type) {
        case WRITTEN:
        case RESIZED:
            content->pending = grown(content->pending, content->pending_count,
                                     &content->pending_capacity, sizeof(content->pending[0]));
            content->pending[content->pending_count++] = state.moment;
            break;
        case SYNCED:
            for (size_t i = 0; i < content->pending_count; i++)
                change_content(content, &disk.entries[content->pending[i]]);
            content->pending_count = 0;
            break;
        case FOLDER_SYNCED:
            for (size_t i = 0; i < state.pending_count; i++)
                change_names(&state.names, &disk.entries[state.pending[i]]);
            state.pending_count = 0;
            break;
        case LIED:
            break;
        default:
            expect(state.pending_count < sizeof(state.pending) / sizeof(state.pending[0]),
                   "too many changes of names");
            state.pending[state.pending_count++] = state.moment;
        }
    }
}

static void go_back(void)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        free(state.files[i].bytes);
        free(state.files[i].pending);
    }
    memset(&state, 0, sizeof(state));
}

/* ---- images ---- */

/* Each sector of a write by itself, or not. */
static void put_some(struct content *content, const struct entry *entry, size_t sector,
                     uint32_t *random)
{
    if (entry->type == RESIZED) {
        if (disk_random(random, 2) == 0)
            resize(content, entry->offset);
        return;
    }
    for (size_t at = 0; at < entry->bytes;) {
        size_t end = at + sector - (entry->offset + at) % sector;
        end = end < entry->bytes ? end : entry->bytes;
        if (disk_random(random, 2) == 0)
            put_bytes(content, entry->offset + at, entry->data + at, end - at);
        at = end;
    }
}

static void put_up_to(struct content *content, const struct entry *entry, size_t index, size_t cut,
                      uint32_t *random)
{
    if (index < cut) {
        change_content(content, entry);
    } else if (index == cut && entry->type == WRITTEN) {
        size_t bytes = disk_random(random, (uint32_t)(entry->bytes / SECTOR) + 1) * SECTOR;
        put_bytes(content, entry->offset, entry->data, bytes);
    }
}

/* What the file grew by without its content: the end of what was there before, or of others. */
static void put_leftovers(struct content *content, size_t from, uint32_t *random)
{
    size_t before = from;
    for (size_t i = before; i < content->size; i += SECTOR) {
        size_t bytes = content->size - i < SECTOR ? content->size - i : SECTOR;
        if (before >= 2 * SECTOR && disk_random(random, 2) == 0) {
            size_t sectors = before / SECTOR;
            size_t source = disk_random(random, (uint32_t)sectors) * (size_t)SECTOR;
            memcpy(content->bytes + i, content->bytes + source, bytes);
        } else {
            memset(content->bytes + i, (int)disk_random(random, 256), bytes);
        }
    }
}

static void shuffle(size_t *indices, size_t count, uint32_t *random)
{
    for (size_t i = count; i > 1; i--) {
        size_t other = disk_random(random, (uint32_t)i);
        size_t kept = indices[i - 1];
        indices[i - 1] = indices[other];
        indices[other] = kept;
    }
}

/* What a file may be after a power cut. */
static void guess(struct content *content, const struct content *synced, enum disk_loss loss,
                  size_t cut, uint32_t *random)
{
    size_t count = synced->pending_count;
    size_t *order = malloc((count + 1) * sizeof(*order));
    expect(order != NULL, "no memory");

    resize(content, synced->size);
    if (synced->size > 0)
        memcpy(content->bytes, synced->bytes, synced->size);
    if (count > 0)
        memcpy(order, synced->pending, count * sizeof(*order));
    if (loss == DISK_REORDERED)
        shuffle(order, count, random);
    if (loss == DISK_LEFTOVERS) {
        for (size_t i = 0; i < count; i++) {
            const struct entry *entry = &disk.entries[order[i]];
            size_t end = entry->offset + entry->bytes;
            if (end > content->size)
                resize(content, end);
        }
        put_leftovers(content, synced->size, random);
    }
    for (size_t i = 0; i < count && loss != DISK_NONE; i++) {
        const struct entry *entry = &disk.entries[order[i]];
        size_t end = entry->offset + entry->bytes;
        if (loss == DISK_ALL)
            change_content(content, entry);
        else if (loss == DISK_TORN)
            put_up_to(content, entry, order[i], cut, random);
        else if (loss != DISK_LENGTHS)
            put_some(content, entry, loss == DISK_BLOCKS ? BLOCK : SECTOR, random);
        else if (entry->type == RESIZED || end > content->size)
            resize(content, end);
    }
    free(order);
}

/* The moment up to which all was written. */
static size_t choose_cut(uint32_t *random)
{
    size_t oldest = state.moment;
    for (unsigned i = 0; i < disk.file_count; i++)
        if (state.files[i].pending_count > 0 && state.files[i].pending[0] < oldest)
            oldest = state.files[i].pending[0];
    if (state.pending_count > 0 && state.pending[0] < oldest)
        oldest = state.pending[0];
    return oldest + disk_random(random, (uint32_t)(state.moment - oldest) + 1);
}

static void choose_names(struct names *names, enum disk_loss loss, size_t cut, uint32_t *random)
{
    size_t count = loss == DISK_NONE  ? 0
                   : loss == DISK_ALL ? state.pending_count
                                      : disk_random(random, (uint32_t)state.pending_count + 1);

    *names = state.names;
    for (size_t i = 0; i < state.pending_count; i++)
        if (loss == DISK_TORN ? state.pending[i] < cut : i < count)
            change_names(names, &disk.entries[state.pending[i]]);
}

void disk_make_image(const char *folder, size_t moment, enum disk_loss loss, uint32_t *random)
{
    struct names names;

    if (moment < state.moment)
        go_back();
    go_to(moment);
    disk_empty(folder);
    size_t cut = choose_cut(random);
    choose_names(&names, loss, cut, random);
    for (size_t i = 0; i < names.count; i++) {
        struct content content = {.bytes = NULL};
        char path[512];
        guess(&content, &state.files[names.each[i].file], loss, cut, random);
        (void)snprintf(path, sizeof(path), "%s/%s", folder, names.each[i].name);
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        expect(fd >= 0, path);
        for (size_t at = 0; at < content.size;) {
            ssize_t n = pwrite(fd, content.bytes + at, content.size - at, (off_t)at);
            expect(n > 0, path);
            at += (size_t)n;
        }
        expect(close(fd) == 0, path);
        free(content.bytes);
    }
}

void disk_empty(const char *folder)
{
    char path[512];
    DIR *directory = opendir(folder);
    expect(directory != NULL, folder);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        (void)snprintf(path, sizeof(path), "%s/%.200s", folder, entry->d_name);
        (void)unlink(path); // "." and ".." can't be
    }
    (void)closedir(directory);
}

size_t disk_next_sync(size_t from)
{
    for (size_t i = from; i < disk.count; i++)
        if (disk.entries[i].type == SYNCED || disk.entries[i].type == FOLDER_SYNCED)
            return i;
    return SIZE_MAX;
}

/* ---- the recording ---- */

static struct entry *note(enum entry_type type, unsigned file)
{
    disk.entries = grown(disk.entries, disk.count, &disk.capacity, sizeof(disk.entries[0]));
    struct entry *entry = &disk.entries[disk.count++];
    *entry = (struct entry){.type = type, .file = file};
    return entry;
}

static void note_names(enum entry_type type, unsigned file, const char *name, const char *to)
{
    struct entry *entry = note(type, file);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    (void)snprintf(entry->to, sizeof(entry->to), "%s", to);
    change_names(&disk.names, entry);
}

static void note_write(unsigned file, const void *data, size_t bytes, size_t offset)
{
    struct entry *entry = note(WRITTEN, file);
    entry->data = malloc(bytes + 1);
    expect(entry->data != NULL, "no memory");
    memcpy(entry->data, data, bytes);
    entry->offset = offset;
    entry->bytes = bytes;
}

static unsigned new_file(const char *name)
{
    expect(disk.file_count < FILES_MAX, "too many files");
    unsigned file = disk.file_count++;
    note_names(NAMED, file, name, "");
    return file;
}

/* The name of a file of the folder; NULL: it is none, or none that is recorded. */
static const char *name_in_folder(const char *path)
{
    size_t length = strlen(disk.folder);

    if (!disk.is_on || strncmp(path, disk.folder, length) != 0 || path[length] != '/')
        return NULL;
    const char *name = path + length + 1;
    size_t bytes = strlen(name);
    bool is_shared_memory = bytes > 4 && strcmp(name + bytes - 4, "-shm") == 0;
    return strchr(name, '/') != NULL || is_shared_memory ? NULL : name;
}

static int file_of(int fd)
{
    return fd < 0 || fd >= FDS_MAX || !disk.is_on ? OF_NOTHING : disk.files_of[fd] - 1;
}

static void set_file_of(int fd, int file)
{
    expect(fd < FDS_MAX, "too many descriptors");
    disk.files_of[fd] = file + 1;
}

static void note_what_is_there(const char *name)
{
    char path[512];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s/%.200s", disk.folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    expect(fd >= 0 && fstat(fd, &status) == 0, path);
    size_t size = (size_t)status.st_size;
    unsigned char *bytes = malloc(size + 1);
    expect(bytes != NULL && read(fd, bytes, size) == (ssize_t)size, path);
    expect(close(fd) == 0, path);
    unsigned file = new_file(name);
    note_write(file, bytes, size, 0);
    (void)note(SYNCED, file);
    free(bytes);
}

void disk_begin(const char *folder)
{
    disk_forget();
    (void)snprintf(disk.folder, sizeof(disk.folder), "%s", folder);
    DIR *directory = opendir(folder);
    expect(directory != NULL, folder);
    for (const struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        if (entry->d_name[0] != '.')
            note_what_is_there(entry->d_name);
    (void)closedir(directory);
    (void)note(FOLDER_SYNCED, 0);
    pthread_mutex_lock(&disk.mu);
    disk.is_on = true;
    pthread_mutex_unlock(&disk.mu);
}

void disk_end(void)
{
    pthread_mutex_lock(&disk.mu);
    disk.is_on = false;
    memset(disk.files_of, 0, sizeof(disk.files_of));
    pthread_mutex_unlock(&disk.mu);
}

size_t disk_now(void)
{
    pthread_mutex_lock(&disk.mu);
    size_t count = disk.count;
    pthread_mutex_unlock(&disk.mu);
    return count;
}

unsigned disk_syncs(const char *name)
{
    unsigned count = 0;

    pthread_mutex_lock(&disk.mu);
    size_t i = find_name(&disk.names, name);
    for (size_t at = 0; at < disk.count && i < disk.names.count; at++) {
        const struct entry *entry = &disk.entries[at];
        bool is_sync = entry->type == SYNCED || entry->type == LIED;
        count += is_sync && entry->file == disk.names.each[i].file;
    }
    pthread_mutex_unlock(&disk.mu);
    return count;
}

void disk_lie_about(const char *name)
{
    pthread_mutex_lock(&disk.mu);
    (void)snprintf(disk.lied_about, sizeof(disk.lied_about), "%s", name == NULL ? "" : name);
    pthread_mutex_unlock(&disk.mu);
}

void disk_forget(void)
{
    disk_end();
    go_back();
    for (size_t i = 0; i < disk.count; i++)
        free(disk.entries[i].data);
    free(disk.entries);
    disk.entries = NULL;
    disk.count = disk.capacity = 0;
    disk.names.count = 0;
    disk.file_count = 0;
    disk.lied_about[0] = '\0';
}

/* ---- the calls ---- */

// Exported, so that SQLite's library finds them before the C library's; and made by syscall(2),
// which needs nothing of those that they stand in for.
#define RECORDED __attribute__((visibility("default")))

static void note_open(int fd, const char *path, int flags)
{
    if (fd >= FDS_MAX || !disk.is_on)
        return;
    set_file_of(fd, strcmp(path, disk.folder) == 0 ? OF_FOLDER : OF_NOTHING);
    const char *name = name_in_folder(path);
    if (name == NULL)
        return;
    size_t i = find_name(&disk.names, name);
    unsigned file = i < disk.names.count ? disk.names.each[i].file : new_file(name);
    set_file_of(fd, (int)file);
    if ((flags & O_TRUNC) != 0)
        (void)note(RESIZED, file);
}

static int opened(const char *path, int flags, mode_t mode)
{
    pthread_mutex_lock(&disk.mu);
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    if (fd >= 0)
        note_open(fd, path, flags);
    pthread_mutex_unlock(&disk.mu);
    return fd;
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

RECORDED int open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return opened(path, flags, mode);
}

RECORDED int open64(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = mode_of(flags, arguments);
    va_end(arguments);
    return opened(path, flags, mode);
}

RECORDED int close(int fd)
{
    pthread_mutex_lock(&disk.mu);
    if (fd >= 0 && fd < FDS_MAX)
        set_file_of(fd, OF_NOTHING);
    int r = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&disk.mu);
    return r;
}

RECORDED ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset)
{
    pthread_mutex_lock(&disk.mu);
    ssize_t n = syscall(SYS_pwrite64, fd, data, bytes, offset);
    int file = file_of(fd);
    if (n > 0 && file >= 0)
        note_write((unsigned)file, data, (size_t)n, (size_t)offset);
    pthread_mutex_unlock(&disk.mu);
    return n;
}

RECORDED ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    return pwrite64(fd, data, bytes, offset);
}

RECORDED ssize_t write(int fd, const void *data, size_t bytes)
{
    pthread_mutex_lock(&disk.mu);
    int file = file_of(fd);
    off_t offset = file >= 0 ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t n = syscall(SYS_write, fd, data, bytes);
    if (n > 0 && file >= 0)
        note_write((unsigned)file, data, (size_t)n, (size_t)offset);
    pthread_mutex_unlock(&disk.mu);
    return n;
}

RECORDED int ftruncate64(int fd, off64_t size)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_ftruncate, fd, size);
    int file = file_of(fd);
    if (r == 0 && file >= 0)
        note(RESIZED, (unsigned)file)->offset = (size_t)size;
    pthread_mutex_unlock(&disk.mu);
    return r;
}

RECORDED int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

/* The store reserves blocks of a file that is as long as they are, or empty. */
RECORDED int posix_fallocate(int fd, off_t offset, off_t bytes)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return errno;
    if (status.st_size < offset + bytes && ftruncate(fd, offset + bytes) < 0)
        return errno;
    return 0;
}

static int synced(int fd)
{
    pthread_mutex_lock(&disk.mu);
    int file = file_of(fd);
    if (file == OF_FOLDER)
        (void)note(FOLDER_SYNCED, 0);
    size_t lie = find_name(&disk.names, disk.lied_about);
    bool is_lie = lie < disk.names.count && disk.names.each[lie].file == (unsigned)file;
    if (file >= 0)
        (void)note(is_lie ? LIED : SYNCED, (unsigned)file);
    pthread_mutex_unlock(&disk.mu);
    return 0;
}

RECORDED int fsync(int fd)
{
    return synced(fd);
}

RECORDED int fdatasync(int fd)
{
    return synced(fd);
}

RECORDED int unlink(const char *path)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    const char *name = name_in_folder(path);
    size_t i = name == NULL ? SIZE_MAX : find_name(&disk.names, name);
    if (r == 0 && i < disk.names.count)
        note_names(UNNAMED, disk.names.each[i].file, name, "");
    pthread_mutex_unlock(&disk.mu);
    return r;
}

RECORDED int rename(const char *from, const char *to)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    const char *name = name_in_folder(from);
    const char *new_name = name_in_folder(to);
    size_t i = name == NULL ? SIZE_MAX : find_name(&disk.names, name);
    if (r == 0 && new_name != NULL && i < disk.names.count)
        note_names(MOVED, disk.names.each[i].file, name, new_name);
    pthread_mutex_unlock(&disk.mu);
    return r;
}
