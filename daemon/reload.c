/* A reload, from the signal to what is told of it. */
#include "reload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "observe/log.h"
#include "observe/notify.h"

enum { FAULTS_LOGGED_MAX = 100 };
#define NOTE_LENGTH (1 * RN_MINUTE) // how long a reload that was taken stands in the status

/* What was changed, as the log and the status name it. */
static const char *const change_names[CONFIG_CHANGE_COUNT] = {
    [CONFIG_KINDS_ADDED] = "kinds_added",       [CONFIG_KINDS_REMOVED] = "kinds_removed",
    [CONFIG_KINDS_CHANGED] = "kinds_changed",   [CONFIG_QUEUES_ADDED] = "queues_added",
    [CONFIG_QUEUES_REMOVED] = "queues_removed", [CONFIG_QUEUES_CHANGED] = "queues_changed",
    [CONFIG_SETTINGS_CHANGED] = "settings",
};

int reload_init(struct reload *reload, const struct config_options *options, struct engine *engine,
                struct watch *watch)
{
    *reload = (struct reload){.options = options, .engine = engine, .watch = watch};
    reload->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return reload->fd < 0 ? -errno : 0;
}

/* ---- what is told ---- */

static void refused(struct reload *reload, const char *why, size_t faults)
{
    char note[WATCH_NOTE_MAX];

    log_event(LOG_LEVEL_ERR, "reload_refused", LOG_TEXT("file", reload->options->path),
              LOG_UINT("faults", faults), LOG_TEXT("error", why));
    (void)snprintf(note, sizeof(note), "reload refused: %s", why);
    watch_note(reload->watch, note, RN_NEVER);
}

static void log_fault(enum log_level level, const char *event, const struct config_fault *fault)
{
    log_event(level, event, LOG_TEXT("file", fault->file), LOG_UINT("line", fault->line),
              LOG_TEXT("error", fault->text));
}

/* Of a file that was refused, its faults; of one that was taken, its warnings. */
static void log_faults(const struct reload *reload, enum log_level level, const char *event)
{
    for (size_t i = 0; i < reload->fault_count && i < FAULTS_LOGGED_MAX; i++)
        log_fault(level, event, &reload->faults[i]);
}

static void refuse_faults(struct reload *reload)
{
    const struct config_fault *first = reload->faults;
    char why[sizeof(((struct engine_configuration *)NULL)->last_error)];
    char more[40] = "";

    if (reload->fault_count == 0) {
        (void)snprintf(why, sizeof(why), "%s: %s", reload->options->path,
                       rn_strerror(reload->result));
    } else {
        if (reload->fault_count > 1)
            (void)snprintf(more, sizeof(more), " (and %zu more)", reload->fault_count - 1);
        int length = first->line > 0
                         ? snprintf(why, sizeof(why), "%s:%u: ", first->file, first->line)
                         : snprintf(why, sizeof(why), "%s: ", first->file);
        size_t used = length > 0 ? (size_t)length : 0;
        int room = (int)(sizeof(why) - used - sizeof(more)); // a file's name is shorter than half
        (void)snprintf(why + used, sizeof(why) - used, "%.*s%s", room, first->text, more);
    }
    log_faults(reload, LOG_LEVEL_ERR, "configuration_fault");
    engine_reload_refused(reload->engine, why);
    refused(reload, why, reload->fault_count);
}

static void join_names(const char *const *names, size_t count, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s", i > 0 ? ", " : "", names[i]);
}

static void taken(struct reload *reload, const struct config_changes *changes)
{
    struct log_field fields[CONFIG_CHANGE_COUNT + 2];
    char values[CONFIG_CHANGE_COUNT][sizeof(changes->of[0].names) + 16];
    char restart[256];
    char note[WATCH_NOTE_MAX] = "reloaded";
    size_t count = 0;
    size_t used = strlen(note);

    fields[count++] = LOG_TEXT("file", reload->options->path);
    for (size_t i = 0; i < CONFIG_CHANGE_COUNT; i++) {
        if (changes->of[i].count == 0)
            continue;
        (void)snprintf(values[i], sizeof(values[i]), "%u: %s", changes->of[i].count,
                       changes->of[i].names);
        fields[count++] = LOG_TEXT(change_names[i], values[i]);
        if (used < sizeof(note))
            used += (size_t)snprintf(note + used, sizeof(note) - used, ", %s %s", change_names[i],
                                     values[i]);
    }
    join_names(changes->restart_needed, changes->restart_count, restart, sizeof(restart));
    if (changes->restart_count > 0) {
        fields[count++] = LOG_TEXT("restart_needed", restart);
        if (used < sizeof(note))
            (void)snprintf(note + used, sizeof(note) - used, ", restart needed for %s", restart);
    } else if (count == 1) {
        fields[count++] = LOG_TEXT("changed", "nothing");
    }
    log_faults(reload, LOG_LEVEL_WARN, "configuration_warning");
    log_fields(changes->restart_count > 0 ? LOG_LEVEL_WARN : LOG_LEVEL_NOTICE, "reloaded", fields,
               count);
    watch_note(reload->watch, note, NOTE_LENGTH);
}

/* ---- load ---- */

static int load(rn_context *ctx, void *arg)
{
    struct reload *reload = arg;

    (void)ctx;
    reload->result =
        config_load(reload->options, &reload->config, &reload->faults, &reload->fault_count);
    (void)!eventfd_write(reload->fd, 1); // once a load: it does not overflow
    return 0;
}

static void begin(struct reload *reload)
{
    reload->config = NULL;
    reload->faults = NULL;
    reload->fault_count = 0;
    notify_reloading();
    int r = rn_group_new(NULL, &reload->group);
    if (r == 0)
        r = rn_group_go(reload->group, "reload", load, reload);
    if (r == 0) {
        reload->is_loading = true;
        return;
    }
    rn_group_free(RN_TAKE(reload->group));
    engine_reload_refused(reload->engine, "there was no thread to load the configuration");
    refused(reload, rn_strerror(r), 0);
    notify_ready();
}

void reload_ask(struct reload *reload)
{
    if (reload->is_loading)
        reload->is_asked_again = true;
    else
        begin(reload);
}

/* Joins the thread, which has written to fd and does nothing more. */
static void end(struct reload *reload)
{
    eventfd_t value = 0;

    (void)!eventfd_read(reload->fd, &value);
    (void)rn_group_wait(reload->group);
    rn_group_free(RN_TAKE(reload->group));
    reload->is_loading = false;
}

void reload_loaded(struct reload *reload)
{
    struct config_changes changes;
    struct error error = {0};

    end(reload);
    if (reload->result < 0)
        refuse_faults(reload);
    else if (server_reload(reload->watch->server, reload->config, &changes, &error) < 0)
        refused(reload, error.text, 0);
    else
        taken(reload, &changes);
    notify_ready();
    free(RN_TAKE(reload->faults));
    config_unref(RN_TAKE(reload->config));
    if (reload->is_asked_again) {
        reload->is_asked_again = false;
        begin(reload);
    }
}

void reload_ignored(void)
{
    log_event(LOG_LEVEL_NOTICE, "reload_ignored", LOG_TEXT("error", "the daemon is stopping"));
}

void reload_stop(struct reload *reload)
{
    if (reload->is_loading)
        reload_ignored();
    reload->is_asked_again = false;
}

bool reload_fini(struct reload *reload)
{
    eventfd_t value = 0;

    if (reload->is_loading && eventfd_read(reload->fd, &value) < 0)
        return false;
    if (reload->is_loading) {
        end(reload);
        free(RN_TAKE(reload->faults));
        config_unref(RN_TAKE(reload->config));
    }
    (void)close(reload->fd);
    return true;
}
