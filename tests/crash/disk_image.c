/* The folder as a power cut may have left it, made of what disk.c has recorded. */
#include "disk_own.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SECTOR = 512, BLOCK = 4096 };

/* A file's bytes, and the entries of which nobody knows whether they are on the disk. */
struct content {
    unsigned char *bytes;
    size_t size, capacity;
    size_t *pending;
    size_t pending_count, pending_capacity;
};

/* As it is on the disk at a moment. */
static struct {
    size_t moment;
    struct content files[FILES_MAX];
    struct names names;
    size_t pending[NAMES_MAX * 4]; // of names
    size_t pending_count;
} state;

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

/* ---- contents ---- */

static void resize(struct content *content, size_t size)
{
    if (size > content->capacity) {
        size_t capacity = content->capacity == 0 ? 1 << 16 : content->capacity;
        while (capacity < size)
            capacity *= 2;
        content->bytes = realloc(content->bytes, capacity);
        disk_expect(content->bytes != NULL, "no memory");
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
            content->pending = disk_grown(content->pending, content->pending_count,
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
                disk_change_names(&state.names, &disk.entries[state.pending[i]]);
            state.pending_count = 0;
            break;
        case LIED:
            break;
        default:
            disk_expect(state.pending_count < sizeof(state.pending) / sizeof(state.pending[0]),
                        "too many changes of names");
            state.pending[state.pending_count++] = state.moment;
        }
    }
}

void disk_go_back(void)
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
    disk_expect(order != NULL, "no memory");

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
            disk_change_names(names, &disk.entries[state.pending[i]]);
}

void disk_make_image(const char *folder, size_t moment, enum disk_loss loss, uint32_t *random)
{
    struct names names;

    if (moment < state.moment)
        disk_go_back();
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
        disk_expect(fd >= 0, path);
        for (size_t at = 0; at < content.size;) {
            ssize_t n = pwrite(fd, content.bytes + at, content.size - at, (off_t)at);
            disk_expect(n > 0, path);
            at += (size_t)n;
        }
        disk_expect(close(fd) == 0, path);
        free(content.bytes);
    }
}

void disk_empty(const char *folder)
{
    char path[512];
    DIR *directory = opendir(folder);
    disk_expect(directory != NULL, folder);
    for (const struct dirent *entry = readdir(directory); entry != NULL;
         entry = readdir(directory)) {
        (void)snprintf(path, sizeof(path), "%s/%.200s", folder, entry->d_name);
        (void)unlink(path); // "." and ".." can't be
    }
    (void)closedir(directory);
}
