/* What is forbidden here: /proc/self tells of privileges, mounts, users and limits; what a filter
 * of system calls refuses is tried, with calls that change nothing. A filter may answer by killing,
 * so each trial is made in a process of its own. */
#include "observe/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <runnel/error.h>

#include "observe/log.h"

enum { TRIAL_BYTES = 4096 };

/* What the map of users says. */
struct users {
    unsigned lines;
    bool many; // a line has more than one user
};

static char forbids[2048]; // set before any thread is started

static RN_PRINTF(1, 2) void add(const char *format, ...)
{
    va_list arguments;
    size_t length = strlen(forbids);

    // All that can be found has room.
    length +=
        (size_t)snprintf(forbids + length, sizeof(forbids) - length, "%s", length > 0 ? ", " : "");
    va_start(arguments, format);
    (void)vsnprintf(forbids + length, sizeof(forbids) - length, format, arguments);
    va_end(arguments);
}

/* ---- The files of /proc. ---- */

/* Calls fn with each line of <root>/proc/self/<name>, without its newline. */
static void each_line(const char *root, const char *name, void (*fn)(char *line, void *arg),
                      void *arg)
{
    char path[512];
    char *line = NULL;
    size_t room = 0;

    int length = snprintf(path, sizeof(path), "%s/proc/self/%s", root, name);
    FILE *file = length < (int)sizeof(path) ? fopen(path, "re") : NULL;
    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        fn(line, arg);
    }
    free(line);
    (void)fclose(file);
}

/* What stands behind the name at the line's beginning and the white space after it; NULL: another
 * line. */
static char *value_of(char *line, const char *name)
{
    size_t length = strlen(name);

    if (strncmp(line, name, length) != 0)
        return NULL;
    return line + length + strspn(line + length, " \t");
}

static void read_status(char *line, void *arg)
{
    bool *filtered = arg;
    const char *value = NULL;

    if ((value = value_of(line, "NoNewPrivs:")) != NULL && *value == '1')
        add("new privileges (sudo)");
    else if ((value = value_of(line, "CapBnd:")) != NULL && value[strspn(value, "0")] == '\0')
        add("all capabilities");
    else if ((value = value_of(line, "Seccomp:")) != NULL && *value == '2')
        *filtered = true;
}

/* user_namespaces(7): the third number of a line says how many users it maps. A service's own name
 * space has lines of one user, its own and root. */
static void read_users(char *line, void *arg)
{
    struct users *users = arg;
    const char *count = strrchr(line, ' ');

    users->lines++;
    if (count == NULL || strcmp(count, " 1") != 0)
        users->many = true;
}

static void read_limit(char *line, void *arg)
{
    static const struct {
        const char *name;
        const char *words;
    } limits[] = {
        {"Max cpu time", "s of processor time"},
        {"Max file size", "bytes in a file"},
        {"Max data size", "bytes of data"},
        {"Max address space", "bytes of memory"},
    };

    (void)arg;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        const char *value = value_of(line, limits[i].name);
        int digits = value != NULL ? (int)strspn(value, "0123456789") : 0;
        if (digits > 0)
            add("more than %.*s %s", digits, value, limits[i].words);
    }
}

/* ---- Mounts. ---- */

static const char *const places[] = {"/usr", "/etc",  "/var", "/srv",    "/opt",
                                     "/mnt", "/home", "/tmp", "/var/tmp"};
enum { PLACE_COUNT = sizeof(places) / sizeof(places[0]) };

/* How a place stands, by the mount that it is in. */
struct view {
    size_t depth; // of the mount point's path
    bool read_only;
    bool hidden;  // something empty that nobody may enter lies over it
    bool private; // it is a folder of this service's own
};

struct mounts {
    struct view views[PLACE_COUNT];
    bool no_devices;
    bool no_processes;
    bool processes_only; // in /proc
};

static bool has_option(const char *options, const char *option)
{
    size_t length = strlen(option);

    for (const char *at = options; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, option, length) == 0 && (at[length] == '\0' || at[length] == ','))
            return true;
    }
    return false;
}

/* A mount, as proc_pid_mountinfo(5) has it. All point into the line. */
struct mount {
    const char *root;    // the folder of its file system that is mounted
    const char *point;   // where
    const char *options; // of the mount
    const char *type;    // of the file system
    const char *super;   // options of the file system
};

/* id, parent, device, root, mount point, options, further ones, "-", type, source, options. */
static bool parse_mount(char *line, struct mount *ret_mount)
{
    char *behind = strstr(line, " - ");

    if (behind == NULL)
        return false;
    *behind = '\0';
    behind += 3;
    for (int i = 0; i < 3; i++)
        (void)strsep(&line, " ");
    ret_mount->root = strsep(&line, " ");
    ret_mount->point = strsep(&line, " ");
    ret_mount->options = strsep(&line, " ");
    ret_mount->type = strsep(&behind, " ");
    (void)strsep(&behind, " ");
    ret_mount->super = behind;
    return ret_mount->options != NULL && ret_mount->super != NULL;
}

/* Of two mounts of one place the later one lies above. */
static void place_mount(struct mounts *mounts, const struct mount *mount)
{
    struct view view = {.depth = strcmp(mount->point, "/") == 0 ? 0 : strlen(mount->point),
                        .read_only =
                            has_option(mount->options, "ro") || has_option(mount->super, "ro"),
                        .hidden = strstr(mount->root, "systemd/inaccessible/") != NULL,
                        .private = strstr(mount->root, "/systemd-private-") != NULL};

    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (view.depth >= mounts->views[i].depth &&
            strncmp(places[i], mount->point, view.depth) == 0 &&
            (places[i][view.depth] == '\0' || places[i][view.depth] == '/'))
            mounts->views[i] = view;
    }
    if (strcmp(mount->point, "/dev") == 0)
        mounts->no_devices = view.read_only && strcmp(mount->type, "tmpfs") == 0;
}

static void read_mount(char *line, void *arg)
{
    struct mounts *mounts = arg;
    struct mount mount = {.root = NULL};

    if (!parse_mount(line, &mount))
        return;
    place_mount(mounts, &mount);
    if (strcmp(mount.point, "/proc") == 0) {
        mounts->no_processes =
            has_option(mount.super, "hidepid=invisible") ||
            has_option(mount.super, "hidepid=noaccess") ||
            has_option(mount.super, "hidepid=ptraceable") || has_option(mount.super, "hidepid=1") ||
            has_option(mount.super, "hidepid=2") || has_option(mount.super, "hidepid=4");
        mounts->processes_only = has_option(mount.super, "subset=pid");
    }
}

/* The places with that property as one entry: "writing to /usr, /etc". */
static void add_places(const struct mounts *mounts, const char *words,
                       bool (*has)(const struct view *view))
{
    bool first = true;

    for (size_t i = 0; i < PLACE_COUNT; i++) {
        if (!has(&mounts->views[i]))
            continue;
        add("%s%s", first ? words : "", places[i]);
        first = false;
    }
}

static bool is_read_only(const struct view *view)
{
    return view->read_only && !view->hidden;
}

static bool is_hidden(const struct view *view)
{
    return view->hidden;
}

static bool is_private(const struct view *view)
{
    return view->private;
}

static void look_at_mounts(const char *root)
{
    struct mounts mounts = {.no_devices = false};

    each_line(root, "mountinfo", read_mount, &mounts);
    add_places(&mounts, "writing to ", is_read_only);
    add_places(&mounts, "looking into ", is_hidden);
    add_places(&mounts, "the machine's own ", is_private);
    if (mounts.no_devices)
        add("devices");
    if (mounts.no_processes)
        add("other users' processes");
    if (mounts.processes_only)
        add("what of /proc is no process");
}

/* ---- Trials. Each returns 0 or negative errno, and is made in a child. ---- */

static int outcome(long result)
{
    return result >= 0 ? 0 : -errno;
}

static int try_executable_memory(void)
{
    void *memory =
        mmap(NULL, TRIAL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        return 0; // tells nothing
    return outcome(mprotect(memory, TRIAL_BYTES, PROT_READ | PROT_EXEC));
}

static int try_priority(void)
{
    return outcome(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0)));
}

static int try_owner(void)
{
    return outcome(fchown(-1, (uid_t)-1, (gid_t)-1));
}

static int try_mode(void)
{
    return outcome(fchmod(-1, S_ISUID));
}

static int try_name_space(void)
{
    return outcome(setns(-1, CLONE_NEWUSER));
}

static int try_tracing(void)
{
    return outcome(ptrace(PTRACE_PEEKDATA, 0, NULL, NULL));
}

static int try_netlink(void)
{
    return outcome(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static const struct trial {
    int (*run)(void);
    const char *words;
} trials[] = {
    {try_executable_memory, "making writable memory executable (just-in-time compilers)"},
    {try_priority, "priorities and processors (nice, taskset)"},
    {try_owner, "changing owners (chown)"},
    {try_mode, "set-user-ID bits"},
    {try_name_space, "name spaces (unshare)"},
    {try_tracing, "tracing (strace)"},
    {try_netlink, "netlink sockets"},
};

/* Whether a filter stands in the way of the trial. Without memory for a process: not known. */
static bool is_refused(const struct trial *trial)
{
    int status = 0;

    pid_t pid = fork();
    if (pid < 0)
        return false;
    if (pid == 0)
        _exit(-trial->run());
    if (waitpid(pid, &status, 0) != pid)
        return false;
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGSYS;
    // The filters' answers: without them the calls succeed, or fail for their arguments.
    int error = WEXITSTATUS(status);
    return error == EPERM || error == EACCES || error == EAFNOSUPPORT || error == ENOSYS;
}

/* ---- All of it. ---- */

void sandbox_look(const char *root)
{
    bool filtered = false;
    struct users users = {0};

    forbids[0] = '\0';
    each_line(root, "status", read_status, &filtered);
    if (filtered)
        add("system calls that a filter does not know");
    for (size_t i = 0; filtered && i < sizeof(trials) / sizeof(trials[0]); i++) {
        if (is_refused(&trials[i]))
            add("%s", trials[i].words);
    }
    look_at_mounts(root);
    each_line(root, "uid_map", read_users, &users);
    if (users.lines > 0 && !users.many)
        add("other users (their files' owner is nobody)");
    each_line(root, "limits", read_limit, NULL);
}

void sandbox_start(void)
{
    struct rlimit core;

    // prctl cannot fail with these arguments.
    if (getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0)
        (void)prctl(PR_SET_DUMPABLE, 0);
    sandbox_look("");
    if (forbids[0] != '\0')
        log_event(LOG_LEVEL_NOTICE, "sandbox", LOG_TEXT("forbids", forbids));
}

const char *sandbox_forbids(void)
{
    return forbids;
}
