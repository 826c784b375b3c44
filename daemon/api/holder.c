/* Who has an address that is in use: the kernel's tables of listening sockets, and the descriptors
 * of the processes that /proc shows. */
#include "api/holder.h"

#include <ctype.h>
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { SOCKET_BYTES = 64 };

/* The n-th word of a line, from 0; cuts the line. NULL: it has fewer. */
static char *word(char *line, unsigned n)
{
    char *rest = line;
    char *part = NULL;

    for (unsigned i = 0; i <= n; i++) {
        part = strtok_r(i == 0 ? line : NULL, " \n", &rest);
        if (part == NULL)
            return NULL;
    }
    return part;
}

/* The target of a link below /proc/PID/fd that is the socket which listens on a port, from one of
 * the kernel's tables. false: none. */
static bool listening_socket(const char *table, uint16_t port, char target[SOCKET_BYTES])
{
    // sl local_address state …: 1: 0100007F:1E35 00000000:0000 0A 00000000:00000000 00:00000000
    // 00000000 0 0 12345 …
    enum { LOCAL_ADDRESS = 1, STATE = 3, INODE = 9 };
    char line[512];
    char copy[512];
    char wanted[8];
    bool found = false;
    FILE *file = fopen(table, "re");
    if (file == NULL)
        return false;

    (void)snprintf(wanted, sizeof(wanted), ":%04X", port);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        memcpy(copy, line, sizeof(copy));
        const char *address = word(copy, LOCAL_ADDRESS);
        const char *colon = address != NULL ? strchr(address, ':') : NULL;
        if (colon == NULL || strcmp(colon, wanted) != 0)
            continue;
        memcpy(copy, line, sizeof(copy));
        const char *state = word(copy, STATE);
        const char *inode = word(line, INODE);
        found = state != NULL && inode != NULL && strcmp(state, "0A") == 0;
        if (found)
            (void)snprintf(target, SOCKET_BYTES, "socket:[%.32s]", inode);
    }
    (void)fclose(file);
    return found;
}

/* Whether a process has the socket open. */
static bool has_socket(const char *pid, const char *wanted)
{
    char path[64];
    char target[SOCKET_BYTES];
    bool found = false;

    (void)snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
    DIR *folder = opendir(path);
    if (folder == NULL)
        return false;
    for (struct dirent *entry = readdir(folder); entry != NULL && !found; entry = readdir(folder)) {
        ssize_t n = readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1);
        if (n < 0)
            continue;
        target[n] = '\0';
        found = strcmp(target, wanted) == 0;
    }
    (void)closedir(folder);
    return found;
}

static void add_name(const char *pid, char *ret_text, size_t size)
{
    char path[64];
    char name[32] = "";

    (void)snprintf(path, sizeof(path), "/proc/%.16s/comm", pid);
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(name, sizeof(name), file) != NULL)
        name[strcspn(name, "\n")] = '\0';
    if (file != NULL)
        (void)fclose(file);
    (void)snprintf(ret_text, size, ": %s (pid %.16s) has it", name[0] != '\0' ? name : "a process",
                   pid);
}

void holder_of_pid(pid_t pid, char *ret_text, size_t size)
{
    char digits[24];

    ret_text[0] = '\0';
    if (pid <= 0)
        return;
    (void)snprintf(digits, sizeof(digits), "%ld", (long)pid);
    add_name(digits, ret_text, size);
}

void holder_of_port(uint16_t port, char *ret_text, size_t size)
{
    char socket_link[SOCKET_BYTES];

    ret_text[0] = '\0';
    if (!listening_socket("/proc/net/tcp", port, socket_link) &&
        !listening_socket("/proc/net/tcp6", port, socket_link))
        return;
    DIR *folder = opendir("/proc");
    if (folder == NULL)
        return;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (!isdigit((unsigned char)entry->d_name[0]) || !has_socket(entry->d_name, socket_link))
            continue;
        add_name(entry->d_name, ret_text, size);
        break;
    }
    (void)closedir(folder);
}
