/* The recording: see disk.h. The calls that are recorded stand at the end. */
#include "disk_own.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

struct disk disk = {.mu = PTHREAD_MUTEX_INITIALIZER};

void disk_expect(bool is_so, const char *what)
{
    if (is_so)
        return;
    (void)fprintf(stderr, "the recording of the disk: %s: %s\n", what, strerror(errno));
    abort();
}

void *disk_grown(void *array, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return array;
    *capacity = *capacity == 0 ? 256 : *capacity * 2;
    void *larger = realloc(array, *capacity * size);
    disk_expect(larger != NULL, "no memory");
    return larger;
}

/* ---- names ---- */

size_t disk_find_name(const struct names *names, const char *name)
{
    size_t i = 0;
    while (i < names->count && strcmp(names->each[i].name, name) != 0)
        i++;
    return i;
}

static void set_name(struct names *names, const char *name, unsigned file)
{
    size_t i = disk_find_name(names, name);
    disk_expect(i < NAMES_MAX, "too many names");
    (void)snprintf(names->each[i].name, NAME_MAX_BYTES, "%s", name);
    names->each[i].file = file;
    names->count += i == names->count;
}

static void drop_name(struct names *names, const char *name)
{
    size_t i = disk_find_name(names, name);
    if (i < names->count)
        names->each[i] = names->each[--names->count];
}

void disk_change_names(struct names *names, const struct entry *entry)
{
    if (entry->type == NAMED) {
        set_name(names, entry->name, entry->file);
        return;
    }
    drop_name(names, entry->name);
    if (entry->type == MOVED)
        set_name(names, entry->to, entry->file);
}

/* ---- the recording ---- */

static struct entry *note(enum entry_type type, unsigned file)
{
    disk.entries = disk_grown(disk.entries, disk.count, &disk.capacity, sizeof(disk.entries[0]));
    struct entry *entry = &disk.entries[disk.count++];
    *entry = (struct entry){.type = type, .file = file};
    return entry;
}

static void note_names(enum entry_type type, unsigned file, const char *name, const char *to)
{
    struct entry *entry = note(type, file);
    (void)snprintf(entry->name, sizeof(entry->name), "%s", name);
    (void)snprintf(entry->to, sizeof(entry->to), "%s", to);
    disk_change_names(&disk.names, entry);
}

static void note_write(unsigned file, const void *data, size_t bytes, size_t offset)
{
    struct entry *entry = note(WRITTEN, file);
    entry->data = malloc(bytes + 1);
    disk_expect(entry->data != NULL, "no memory");
    memcpy(entry->data, data, bytes);
    entry->offset = offset;
    entry->bytes = bytes;
}

static unsigned new_file(const char *name)
{
    disk_expect(disk.file_count < FILES_MAX, "too many files");
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
    disk_expect(fd < FDS_MAX, "too many descriptors");
    disk.files_of[fd] = file + 1;
}

static void note_what_is_there(const char *name)
{
    char path[512];
    struct stat status;

    (void)snprintf(path, sizeof(path), "%s/%.200s", disk.folder, name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    disk_expect(fd >= 0 && fstat(fd, &status) == 0, path);
    size_t size = (size_t)status.st_size;
    unsigned char *bytes = malloc(size + 1);
    disk_expect(bytes != NULL && read(fd, bytes, size) == (ssize_t)size, path);
    disk_expect(close(fd) == 0, path);
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
    disk_expect(directory != NULL, folder);
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
    size_t i = disk_find_name(&disk.names, name);
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
    disk_go_back();
    for (size_t i = 0; i < disk.count; i++)
        free(disk.entries[i].data);
    free(disk.entries);
    disk.entries = NULL;
    disk.count = disk.capacity = 0;
    disk.names.count = 0;
    disk.file_count = 0;
    disk.lied_about[0] = '\0';
}

size_t disk_next_sync(size_t from)
{
    for (size_t i = from; i < disk.count; i++)
        if (disk.entries[i].type == SYNCED || disk.entries[i].type == FOLDER_SYNCED)
            return i;
    return SIZE_MAX;
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
    size_t i = disk_find_name(&disk.names, name);
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

RECORDED int open(const char *file, int oflag, ...)
{
    va_list arguments;
    va_start(arguments, oflag);
    mode_t mode = mode_of(oflag, arguments);
    va_end(arguments);
    return opened(file, oflag, mode);
}

RECORDED int open64(const char *file, int oflag, ...)
{
    va_list arguments;
    va_start(arguments, oflag);
    mode_t mode = mode_of(oflag, arguments);
    va_end(arguments);
    return opened(file, oflag, mode);
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

RECORDED ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t offset)
{
    pthread_mutex_lock(&disk.mu);
    ssize_t written = syscall(SYS_pwrite64, fd, buf, n, offset);
    int file = file_of(fd);
    if (written > 0 && file >= 0)
        note_write((unsigned)file, buf, (size_t)written, (size_t)offset);
    pthread_mutex_unlock(&disk.mu);
    return written;
}

RECORDED ssize_t pwrite(int fd, const void *buf, size_t n, off_t offset)
{
    return pwrite64(fd, buf, n, offset);
}

RECORDED ssize_t write(int fd, const void *buf, size_t n)
{
    pthread_mutex_lock(&disk.mu);
    int file = file_of(fd);
    off_t offset = file >= 0 ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t written = syscall(SYS_write, fd, buf, n);
    if (written > 0 && file >= 0)
        note_write((unsigned)file, buf, (size_t)written, (size_t)offset);
    pthread_mutex_unlock(&disk.mu);
    return written;
}

RECORDED int ftruncate64(int fd, off64_t length)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_ftruncate, fd, length);
    int file = file_of(fd);
    if (r == 0 && file >= 0)
        note(RESIZED, (unsigned)file)->offset = (size_t)length;
    pthread_mutex_unlock(&disk.mu);
    return r;
}

RECORDED int ftruncate(int fd, off_t length)
{
    return ftruncate64(fd, length);
}

/* The store reserves blocks of a file that is as long as they are, or empty. */
RECORDED int posix_fallocate(int fd, off_t offset, off_t len)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return errno;
    if (status.st_size < offset + len && ftruncate(fd, offset + len) < 0)
        return errno;
    return 0;
}

static int synced(int fd)
{
    pthread_mutex_lock(&disk.mu);
    int file = file_of(fd);
    if (file == OF_FOLDER)
        (void)note(FOLDER_SYNCED, 0);
    size_t lie = disk_find_name(&disk.names, disk.lied_about);
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

RECORDED int fdatasync(int fildes)
{
    return synced(fildes);
}

RECORDED int unlink(const char *name)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    const char *short_name = name_in_folder(name);
    size_t i = short_name == NULL ? SIZE_MAX : disk_find_name(&disk.names, short_name);
    if (r == 0 && i < disk.names.count)
        note_names(UNNAMED, disk.names.each[i].file, short_name, "");
    pthread_mutex_unlock(&disk.mu);
    return r;
}

RECORDED int rename(const char *old, const char *new)
{
    pthread_mutex_lock(&disk.mu);
    int r = (int)syscall(SYS_renameat2, AT_FDCWD, old, AT_FDCWD, new, 0);
    const char *name = name_in_folder(old);
    const char *new_name = name_in_folder(new);
    size_t i = name == NULL ? SIZE_MAX : disk_find_name(&disk.names, name);
    if (r == 0 && new_name != NULL && i < disk.names.count)
        note_names(MOVED, disk.names.each[i].file, name, new_name);
    pthread_mutex_unlock(&disk.mu);
    return r;
}
