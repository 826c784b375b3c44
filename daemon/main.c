/* runneld: parse, load, build in order, wait for a signal, drain, exit code. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include <runnel/group.h>

#include "api/server.h"
#include "care.h"
#include "observe/notify.h"
#include "observe/sandbox.h"
#include "options.h"
#include "reload.h"
#include "watch.h"

enum { EXIT_SYSTEM = EX_OSERR, EXIT_LOCKED = EX_CANTCREAT };

/* Every signal but SIGABRT is blocked before the first thread is there, and read from a descriptor.
 */
static int make_signal_fd(void)
{
    sigset_t signals;
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGPIPE, &ignore, NULL);
    (void)sigfillset(&signals);
    (void)sigdelset(&signals, SIGABRT); // systemd's watchdog ends a daemon that hangs with it
    (void)sigprocmask(SIG_SETMASK, &signals, NULL);
    (void)sigemptyset(&signals);
    (void)sigaddset(&signals, SIGTERM);
    (void)sigaddset(&signals, SIGINT);
    (void)sigaddset(&signals, SIGHUP);
    (void)sigaddset(&signals, SIGQUIT);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

/* The next signal that asks for the stop; false: something else came. reload NULL: in a drain,
 * which no configuration changes any more. */
static bool takes_stop_signal(int signal_fd, struct reload *reload)
{
    struct signalfd_siginfo info;

    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return false;
    if (info.ssi_signo == SIGQUIT)
        abort();
    if (info.ssi_signo == SIGHUP && reload != NULL)
        reload_ask(reload);
    else if (info.ssi_signo == SIGHUP)
        reload_ignored();
    if (info.ssi_signo == SIGHUP)
        return false;
    log_event(LOG_LEVEL_NOTICE, "signal",
              LOG_TEXT("name", info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT"));
    return true;
}

/* ---- the drain ---- */

struct drain {
    struct engine *engine;
    rn_context *over; // ends when the drain has
    int result;
};

static int run_drain(rn_context *ctx, void *arg)
{
    struct drain *drain = arg;
    (void)ctx;
    drain->result = engine_drain(drain->engine);
    rn_context_cancel(drain->over, 0);
    return 0;
}

/* All zero without memory for them. */
static struct engine_stats figures(struct engine *engine)
{
    struct engine_stats stats = {0};
    int r = engine_stats(engine, &stats);
    return r < 0 ? (struct engine_stats){0} : stats;
}

/* Until systemd is to be told again. */
static int drain_timeout_ms(const struct watch *watch)
{
    int next_ms = watch->watchdog > 0 ? (int)(watch->watchdog / 4 / RN_MILLISECOND) : 1000;
    return next_ms < 1000 ? next_ms + 1 : 1000;
}

/* Tells systemd every second that the stop goes on, and passes a second signal on. */
static void watch_drain(struct drain *drain, int signal_fd, int over_fd, struct watch *watch)
{
    while (rn_context_err(drain->over) == 0) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = over_fd, .events = POLLIN}};
        notify_stopping(figures(drain->engine).running);
        notify_extend(5 * RN_SECOND);
        watch_turn(watch, false);
        if (poll(fds, 2, drain_timeout_ms(watch)) > 0 && (fds[0].revents & POLLIN) != 0 &&
            takes_stop_signal(signal_fd, NULL))
            engine_hurry(drain->engine);
    }
}

/* Whether every worker has left. */
static bool drain(struct engine *engine, int signal_fd, struct watch *watch)
{
    struct drain drain = {.engine = engine};
    rn_group *group = NULL;

    int r = rn_group_new(NULL, &group);
    if (r == 0)
        r = rn_context_with_cancel(NULL, &drain.over);
    int over_fd = r == 0 ? rn_context_fd(drain.over) : r;
    if (over_fd >= 0)
        r = rn_group_go(group, "drain", run_drain, &drain);
    if (over_fd < 0 ||
        r < 0) // no thread, no memory: a drain all the same, which a second signal can't shorten
        drain.result = engine_drain(engine);
    else
        watch_drain(&drain, signal_fd, over_fd, watch);
    if (group != NULL)
        (void)rn_group_wait(group);
    rn_group_free(group);
    rn_context_unref(drain.over);
    return drain.result == 0;
}

/* ---- start and run ---- */

static void log_ready(struct engine *engine, struct server *server, rn_time begun)
{
    const struct config *config = engine_config_ref(engine);
    char listen[2048];

    server_addresses(server, listen, sizeof(listen));
    log_event(LOG_LEVEL_NOTICE, "ready", LOG_TEXT("listen", listen),
              LOG_TEXT("tls", config->certificate != NULL ? "on" : "off"),
              LOG_TEXT("store", config->store), LOG_UINT("waiting", figures(engine).backlog),
              LOG_UINT("kinds", config->kind_count), LOG_UINT("queues", config->queue_count),
              LOG_INT("took_ms", (rn_now() - begun) / RN_MILLISECOND));
    config_unref(config);
}

static int exit_code(int error)
{
    switch (error) {
    case -EBUSY:
        return EXIT_LOCKED;
    case -EBADMSG:
        return EX_DATAERR;
    case -EIO:
        return EX_IOERR;
    case -ENOMEM:
        return EX_SOFTWARE;
    default:
        return EXIT_SYSTEM;
    }
}

static int failed(const struct error *error)
{
    log_event(LOG_LEVEL_ERR, "start_failed", LOG_TEXT("error", error->text));
    return exit_code(error->code);
}

/* Until a signal asks for the stop. */
static void run(int signal_fd, struct reload *reload, struct watch *watch)
{
    bool stops = false;

    while (!stops) {
        struct pollfd fds[] = {{.fd = signal_fd, .events = POLLIN},
                               {.fd = reload->fd, .events = POLLIN}};
        watch_turn(watch, true);
        if (poll(fds, 2, watch_timeout_ms(watch)) <= 0)
            continue;
        if ((fds[0].revents & POLLIN) != 0)
            stops = takes_stop_signal(signal_fd, reload);
        if (!stops && (fds[1].revents & POLLIN) != 0)
            reload_loaded(reload);
    }
}

static int serve(const struct config *config, const struct config_options *options, rn_time begun)
{
    struct engine *engine = NULL;
    struct server *server = NULL;
    struct server_sockets sockets;
    struct error error = {0};
    struct reload reload;
    struct watch watch;

    if (server_sockets_take(config, &sockets, &error) < 0)
        return failed(&error);
    int signal_fd = make_signal_fd();
    if (signal_fd < 0) {
        (void)error_set(&error, -errno, "cannot read signals: %s", rn_strerror(-errno));
        return failed(&error);
    }
    int r = engine_new(config, &engine, &error);
    if (r == 0)
        r = server_start(engine, &sockets, &server, &error);
    if (r == 0)
        r = engine_start(engine, &error);
    if (r == 0) {
        r = server_ready(server);
        if (r < 0)
            (void)error_set(&error, r, "cannot watch a socket: %s", rn_strerror(r));
    }
    if (r == 0) {
        watch_init(&watch, engine, server);
        r = reload_init(&reload, options, engine, &watch);
        if (r < 0)
            (void)error_set(&error, r, "cannot make a descriptor: %s", rn_strerror(r));
    }
    if (r < 0)
        _exit(failed(&error)); // threads may be there already; what is on disk is as it was
    log_ready(engine, server, begun);
    notify_ready();

    run(signal_fd, &reload, &watch);
    reload_stop(&reload);
    bool all_left = drain(engine, signal_fd, &watch);
    server_stop(server);
    engine_stop(engine);
    log_event(LOG_LEVEL_NOTICE, "stopped", LOG_UINT("waiting", figures(engine).backlog));
    notify_barrier();
    if (!reload_fini(&reload) || !all_left)
        _exit(EX_OK); // a worker is still inside its task, or a file's disk does not answer
    server_free(server);
    engine_free(engine);
    (void)close(signal_fd);
    return EX_OK;
}

/* The token is shown once, and nowhere kept. */
static int new_token(const struct options *options)
{
    char token[CONFIG_TOKEN_BYTES];
    char line[CONFIG_TOKEN_LINE_BYTES];
    struct error error = {0};

    int r = config_token_new(&options->token, token, line, &error);
    if (r < 0) {
        fprintf(stderr, "runneld: --new-token: %s\n", error.text);
        return r == -EINVAL ? EX_USAGE : EX_OSERR;
    }
    fputs("runneld: line 1 is the token, for the client; line 2 belongs into token_file\n", stderr);
    printf("%s\n%s\n", token, line);
    explicit_bzero(token, sizeof(token));
    return fflush(stdout) != 0 ? EX_IOERR : EX_OK;
}

static void report_faults(const struct config_fault *faults, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (faults[i].line > 0)
            fprintf(stderr, "runneld: %s:%u: %s\n", faults[i].file, faults[i].line, faults[i].text);
        else
            fprintf(stderr, "runneld: %s: %s\n", faults[i].file, faults[i].text);
    }
}

/* Looks after the store in place of serving it. */
static int look_after(const struct config *config, const struct options *options)
{
    struct error error = {0};

    int r = care_run(config->store, options, &error);
    if (r >= 0)
        return r;
    fprintf(stderr, "runneld: %s\n", error.text);
    return exit_code(r);
}

int main(int argc, char **argv)
{
    rn_time begun = rn_now();
    struct options options = {0};
    struct config *config = NULL;
    struct config_fault *faults = NULL;
    size_t fault_count = 0;
    int code = EX_OK;

    if (!options_parse(argc, argv, &options))
        return EX_USAGE;
    if (options.mode == OPTIONS_HELP) {
        options_print_help();
        return EX_OK;
    }
    if (options.mode == OPTIONS_VERSION) {
        options_print_version();
        return EX_OK;
    }
    if (options.mode == OPTIONS_NEW_TOKEN)
        return new_token(&options);
    struct config_options config_options = {.path = options.config,
                                            .overrides = options.overrides,
                                            .builtins = runner_builtins(),
                                            .check_commands = true};
    int r = config_load(&config_options, &config, &faults, &fault_count);
    report_faults(faults, fault_count); // warnings too
    free(faults);
    if (r < 0)
        return r == -ENOMEM ? EX_SOFTWARE : EX_CONFIG;

    if (options.mode == OPTIONS_CHECK) {
        care_warn(config->store);
        printf("%s: the configuration is valid\n", options.config);
    } else if (options.mode == OPTIONS_PRINT)
        code = config_print(config, stdout) < 0 ? EX_IOERR : EX_OK;
    else if (options.mode == OPTIONS_CHECK_STORE || options.mode == OPTIONS_COMPACT ||
             options.mode == OPTIONS_EXPORT || options.mode == OPTIONS_IMPORT)
        code = look_after(config, &options);
    else {
        log_init(config->log_level);
        log_format_set(config->log_format);
        sandbox_start();
        code = serve(config, &config_options, begun);
    }
    config_unref(config);
    return code;
}
