/** \file
 * What the files of this folder share. Loading is one pass: scan.c looks at the bytes for what
 * libconfig would take without a word, libconfig parses, settings.c and kind.c take each setting by
 * the table in settings.def, and config.c looks at what hangs together. Each of them adds what it
 * finds to the loader's faults and goes on.
 */
#ifndef CONFIG_INTERNAL_H
#define CONFIG_INTERNAL_H

#include <libconfig.h>
#include <limits.h>
#include <sys/types.h>

#include "config/config.h"
#include "config/units.h"

enum { CONFIG_FILE_BYTES_MAX = 1 << 20, CONFIG_KINDS_MAX = 10000 };

enum setting_scope { SCOPE_TOP, SCOPE_QUEUE, SCOPE_KIND, SCOPE_BACKOFF };

enum setting_type {
    TYPE_LISTEN,      // "127.0.0.1:7733", or a list of addresses
    TYPE_MODE,        // "0660"
    TYPE_GROUP,       // of the system, by name
    TYPE_PEM_FILE,    // a path
    TYPE_TOKEN_FILE,  // a path
    TYPE_HOSTS,       // ["runnel.example.org"]
    TYPE_STORE,       // a path
    TYPE_DURATION,    // "30s", or a number of seconds
    TYPE_COUNT,       // a whole number
    TYPE_BYTES,       // "64KiB", or a number of bytes
    TYPE_BOOL,        // true, false
    TYPE_LEVEL,       // of the log
    TYPE_LOG_FORMAT,  // "text", "json"
    TYPE_RATE,        // "2/s"
    TYPE_NAME,        // of a built-in
    TYPE_STRINGS,     // ["/usr/bin/du", "-sk"]
    TYPE_QUEUE_NAME,  // of a queue that the file names
    TYPE_KIND_NAME,   // of a kind that the file names
    TYPE_BACKOFF,     // a group of the settings of SCOPE_BACKOFF
    TYPE_INTERRUPTED, // "retry", "fail"
    TYPE_STDIN,       // "args", "text", "none", "{name}"
    TYPE_OUTPUT,      // "text", "json"
    TYPE_DIRECTORY,   // an absolute path
    TYPE_ENV_NAMES,   // ["HOME", "TZ"]
    TYPE_ENV,         // { TZ = "UTC"; }
    TYPE_ENV_FILE,    // an absolute path
    TYPE_EXIT_CODES,  // [2, 3]
    TYPE_ACCEPT,      // { path = "/srv/.*"; }
};

/** A row of settings.def. */
struct setting {
    enum setting_scope scope;
    const char *name;
    enum setting_type type;
    size_t offset; // of the field in its scope's struct
    size_t size;   // of the field, bytes
    int64_t min;
    int64_t max;
    const char *default_text;
    bool is_reloadable;
    const char *text;
};

/** All of them; ends with a NULL name. */
extern const struct setting setting_table[];

/** The setting of that scope and name, or NULL. */
const struct setting *setting_find(enum setting_scope scope, const char *name);

/** Faults as they are found. At most FAULTS_MAX are kept. */
struct faults {
    struct config_fault *items;
    size_t count;
    size_t lexical; // how many of them, from the first on, scan.c found: nothing more is said about
                    // their lines
};

struct loader {
    const struct config_options *options;
    struct config *config;
    struct faults faults;
    struct faults warnings;
    bool no_memory; // something could not be allocated: the result is -ENOMEM, whatever else is
                    // found
    char folder[PATH_MAX]; // of the file, "" where its path has none; includes and the store lie
                           // below it
    const config_setting_t *listen_at; // the listen that counts; NULL: -o, or the default
    char where[160]; // what stands before a setting's name in messages: "kind.checksum."
};

/** Where a setting's value comes from: the file (setting), -o or a default (text). */
struct value {
    const config_setting_t *setting; // NULL: text counts
    const char *text;
};

/** Adds a fault of a file's line; NULL and 0: of the file as a whole. */
void fault_add(struct loader *loader, const char *file, unsigned line, const char *format, ...)
    RN_PRINTF(4, 5);
/** Adds a fault at a setting of the file. */
void fault_at(struct loader *loader, const config_setting_t *at, const char *format, ...)
    RN_PRINTF(3, 4);
/** Adds a fault of a setting's value; the text begins with the setting's full name. */
void fault_value(struct loader *loader, const struct setting *setting, const struct value *value,
                 const char *format, ...) RN_PRINTF(4, 5);
void warning_at(struct loader *loader, const config_setting_t *at, const char *format, ...)
    RN_PRINTF(3, 4);
/** The same of a file's line. */
void warning_add(struct loader *loader, const char *file, unsigned line, const char *format, ...)
    RN_PRINTF(4, 5);
/** By file and line. */
void faults_sort(struct faults *faults);

/** What the system says of an errno (negative or not), for files. The text is static. */
const char *faults_system_error(int error);

/** strdup that remembers a failure in the loader. */
char *loader_strdup(struct loader *loader, const char *text);
/** calloc that remembers a failure in the loader. */
void *loader_calloc(struct loader *loader, size_t count, size_t size);

/** Reads the file and what it includes, for the traps of libconfig 1.5. false: the file can't be
 * read, there is a fault. */
bool scan_files(struct loader *loader);

/** Takes a setting's value into object, the struct of the setting's scope, or adds faults. */
typedef void setting_set_fn(struct loader *loader, const struct setting *setting,
                            const struct value *value, void *object);

/** The same for any setting, by its type. */
void setting_set(struct loader *loader, const struct setting *setting, const struct value *value,
                 void *object);
/** Takes all settings of a group; unknown ones are faults. */
void settings_load(struct loader *loader, enum setting_scope scope, const config_setting_t *group,
                   void *object);
/** Sets what has a default of its own. */
void settings_default(struct loader *loader, enum setting_scope scope, void *object);
/** The text of a value that has to be one, or NULL with a fault. what: "a text such as …". */
const char *settings_string(struct loader *loader, const struct setting *setting,
                            const struct value *value, const char *what);

/** Makes the absolute path of what a setting says. false: it is too long, or the folder that a
 * relative one lies in is not there. */
typedef bool path_fn(const struct loader *loader, const char *text, char ret_path[static PATH_MAX]);
/** Sets the field to the path of a file; what it had is freed. */
void settings_set_path(struct loader *loader, const struct setting *setting,
                       const struct value *value, path_fn *absolute, char **field);

/** Of the types that say who may call. */
setting_set_fn access_set_token_file, access_set_hosts;
/** Whether what listens is safe from those who reach it. After all other settings, and tokens. */
void access_check(struct loader *loader);

/** Reads config->token_file, where it is set. After queues and kinds. */
void tokens_load(struct loader *loader);
void tokens_fini(struct config *config);

/** The path of a file with secrets: a name without '/' is one of systemd's credentials, if there is
 * one of that name; else a relative path lies below the configuration file's folder. */
path_fn secret_path;
/** Who must not be able to read or write such a file, and how large it may be. */
struct secret_rule {
    mode_t mode;           // bits that must not be set; below systemd's credentials they may be
    const char *mode_text; // what is said then
    size_t bytes_max;
    const char *size_text; // what is said of a larger one
};
/** Reads it into text, which has bytes_max + 1 bytes and gets a NUL. NULL: read; else why not. */
const char *secret_read(const char *path, const struct secret_rule *rule, char *text);

/** Copies what a relative path begins with: the first folder that the variable of the environment
 * ("": none) names, else the configuration file's own, with a slash; nothing for an absolute path.
 * false: too long, or the folder does not exist. */
bool settings_folder(const struct loader *loader, const char *path, const char *variable,
                     char ret_folder[static PATH_MAX]);

/** Of the addresses that are listened on, in listen.c. */
setting_set_fn listen_set, listen_set_mode, listen_set_group;

/** Of TLS, in tls.c: the files, and what is loaded from them once both are known. */
setting_set_fn tls_set_file;
void tls_load(struct loader *loader, const config_setting_t *root);

/** Of the types that only kinds have. */
setting_set_fn kind_set_follow, kind_set_builtin, kind_set_command, kind_set_queue_name,
    kind_set_interrupted, kind_set_stdin, kind_set_output, kind_set_directory, kind_set_exit_codes,
    kind_set_accept;
setting_set_fn environment_set_pass_env, environment_set_variables, environment_set_file;

/** Takes a kind, whose name is valid, from its group; queues and top level are loaded. */
void kind_load(struct loader *loader, const config_setting_t *group, struct config_kind *kind);
void kind_fini(struct config_kind *kind);
/** Whether the follow-up kinds that a group of a queue or kind names are there; all kinds are
 * loaded. where: "kind.mail." */
void kind_check_follow(struct loader *loader, const config_setting_t *group, const char *where);

/** What -T prints of one setting's value, a queue, a kind; config_compare compares it too. */
void print_top_value(FILE *file, const struct setting *setting, const struct config *config);
/** Whether a setting of the top level has a value: some have none by default. */
bool print_top_has(const struct config *config, const struct setting *setting);
void print_queue(FILE *file, const struct config_queue *queue);
void print_kind(FILE *file, const struct config_kind *kind);

/** Appends the variables of the kind's env_file to env. */
void environment_load_file(struct loader *loader, const config_setting_t *at,
                           struct config_kind *kind);

#endif
