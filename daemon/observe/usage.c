/* What this process takes of the machine, from getrusage and /proc/self. */
#include "observe/usage.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

/* The number at *text, which is moved behind it and the space that follows. false: there is none.
 */
static bool take_number(const char **text, uint64_t *ret_number)
{
    const char *at = *text;
    uint64_t number = 0;

    // The kernel's own digits: they are no more than fit.
    for (; *at >= '0' && *at <= '9'; at++)
        number = number * 10 + (uint64_t)(*at - '0');
    if (at == *text)
        return false;
    *text = *at == ' ' ? at + 1 : at;
    *ret_number = number;
    return true;
}

/* /proc/self/statm: size and resident, in pages. */
static void read_memory(struct usage *usage)
{
    char line[128];
    uint64_t pages = 0;
    uint64_t resident_pages = 0;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return;
    const char *at = fgets(line, sizeof(line), file);
    if (at != NULL && take_number(&at, &pages) && take_number(&at, &resident_pages)) {
        usage->has_memory = true;
        usage->virtual_bytes = pages * page_bytes;
        usage->resident_bytes = resident_pages * page_bytes;
    }
    (void)fclose(file);
}

static void count_fds(struct usage *usage)
{
    DIR *folder = opendir("/proc/self/fd");

    if (folder == NULL)
        return;
    usage->has_open_fds = true;
    for (const struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        usage->open_fds += entry->d_name[0] != '.';
    usage->open_fds--; // the folder's own
    (void)closedir(folder);
}

static uint64_t microseconds(struct timeval time)
{
    return (uint64_t)time.tv_sec * 1000000 + (uint64_t)time.tv_usec;
}

void usage_read(struct usage *ret_usage)
{
    struct usage usage = {.max_fds = UINT64_MAX};
    struct rusage used = {.ru_maxrss = 0};
    struct rlimit limit = {.rlim_cur = RLIM_INFINITY};

    if (getrusage(RUSAGE_SELF, &used) == 0)
        usage.cpu_us = microseconds(used.ru_utime) + microseconds(used.ru_stime);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        usage.max_fds = limit.rlim_cur;
    read_memory(&usage);
    count_fds(&usage);
    *ret_usage = usage;
}
