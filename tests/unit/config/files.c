#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char folder[PATH_MAX - 256];

const char *files_folder(void)
{
    if (folder[0] == '\0') {
        const char *parent = getenv("TMPDIR");
        snprintf(folder, sizeof(folder), "%s/config-XXXXXX", parent != NULL ? parent : "/tmp");
        assert_non_null(mkdtemp(folder));
    }
    return folder;
}

static int remove_one(const char *path, const struct stat *status, int flag, struct FTW *ftw)
{
    (void)status;
    (void)flag;
    (void)ftw;
    return remove(path);
}

void files_remove(void)
{
    if (folder[0] != '\0')
        assert_int_equal(nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    folder[0] = '\0';
}

const char *files_write(const char *name, const char *text, unsigned mode)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", files_folder(), name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(close(fd), 0);
    return path;
}

static const char *const builtins[] = {"echo", "noop", "sleep", "fail", "primes", "double", NULL};

struct loaded files_load(const char *path, const char *const *overrides, bool check_commands)
{
    struct loaded loaded = {.result = 1};
    const struct config_options options = {
        .path = path,
        .overrides = overrides,
        .builtins = builtins,
        .check_commands = check_commands,
    };
    loaded.result = config_load(&options, &loaded.config, &loaded.faults, &loaded.fault_count);
    return loaded;
}

struct loaded files_load_text(const char *text)
{
    return files_load(files_write("test.conf", text, 0644), NULL, false);
}

void loaded_fini(struct loaded *loaded)
{
    config_unref(loaded->config);
    free(loaded->faults);
    *loaded = (struct loaded){.result = 0};
}

void loaded_print(const struct loaded *loaded)
{
    fprintf(stderr, "config_load gave %d and %zu faults\n", loaded->result, loaded->fault_count);
    for (size_t i = 0; i < loaded->fault_count; i++)
        fprintf(stderr, "  %s:%u: %s\n", loaded->faults[i].file, loaded->faults[i].line,
                loaded->faults[i].text);
}

const char files_full_kind[] =
    "queue: { mail: { workers = 2; }; };\n"
    "kind: {\n"
    "  full: {\n"
    "    command = [\"/bin/echo\", \"--in={path}\", \"--\", \"{text}\", \"\", \"a \\\"b\\\" "
    "\\\\c\"];\n"
    "    queue = \"mail\"; timeout = \"1m30s\"; max_attempts = 5;\n"
    "    backoff = { base = \"1s\"; max = \"2s\"; };\n"
    "    if_interrupted = \"fail\"; max_interruptions = 0; kill_grace = \"2s\";\n"
    "    stdin = \"{body}\"; output = \"json\"; max_output = \"1KiB\"; directory = \"/\";\n"
    "    pass_env = [\"TZ\", \"HOME\"];\n"
    "    env = { A = \"1\"; B = \"x=y z\"; };\n"
    "    retry_exit = [2, 3];\n"
    "    accept = { path = \"/srv/.*|/tmp/[a-z]+\"; body = \"x*\"; };\n"
    "  };\n"
    "};\n";

struct loaded files_load_right(const char *text)
{
    struct loaded loaded = files_load_text(text);
    if (loaded.result != 0 || loaded.fault_count != 0) {
        loaded_print(&loaded);
        fail_msg("expected no fault in:\n%s", text);
    }
    return loaded;
}

int files_tear_down(void **state)
{
    (void)state;
    files_remove();
    return 0;
}
