/* top: looks at the daemon again and again and draws what it sees, by ncurses. A daemon that is
 * away is said in the first line, and looked for on. */
#include <curses.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <runnel/clock.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/top_view.h"

enum { LOOK_MS = 5000, INTERVAL_LEAST_MS = 100, INTERVAL_MOST_MS = 3600000, RED = 1 };

struct screen {
    struct cli *cli;
    struct top_view view;
    struct error error;
};

/* ---- looking ---- */

static int look_at(struct screen *screen, const char *path, json_t **ret_json)
{
    const struct http_request request = {.method = "GET", .path = path, .timeout_ms = LOOK_MS};
    struct http_reply reply;

    int r = http_call(screen->cli->http, &request, &reply, &screen->error);
    if (r == 0 && (reply.status != 200 || !json_is_object(reply.json))) {
        const char *detail = member_text(reply.json, "detail");
        r = error_set(&screen->error, detail[0] == '\0' ? -EPROTO : -EPERM, "%s",
                      detail[0] == '\0' ? "what answers is no runneld" : detail);
    }
    if (r == 0)
        *ret_json = json_incref(reply.json);
    http_reply_fini(&reply);
    return r;
}

/* Another look; where it fails, the last one stays on the screen. */
static int look(struct screen *screen)
{
    struct top_view *view = &screen->view;
    struct top_sample sample = {.at = rn_now()};

    int r = look_at(screen, "/v1/stats", &sample.stats);
    if (r == 0)
        r = look_at(screen, "/v1/queues", &sample.queues);
    if (r == 0)
        r = look_at(screen, "/v1/tasks?state=running&limit=50", &sample.running);
    if (r == 0)
        r = look_at(screen, "/v1/tasks?state=failed&limit=50", &sample.failed);
    screen->cli->now_ms = rn_wall_ms();
    if (r < 0) {
        view->fault = screen->error.text;
        view->faults++;
        top_sample_fini(&sample);
        return r;
    }
    view->fault = NULL;
    view->faults = 0;
    top_sample_fini(&view->before);
    view->before = view->now;
    view->now = sample;
    return 0;
}

/* ---- drawing ---- */

static int draw(const struct screen *screen)
{
    char *text = NULL;
    int height = 0;
    int width = 0;

    getmaxyx(stdscr, height, width);
    int r = top_view_text(screen->cli, &screen->view, (size_t)width, (size_t)height, &text);
    if (r < 0)
        return r;
    erase();
    const char *line = text;
    for (int y = 0; y < height && *line != '\0'; y++) {
        bool is_fault = line[0] == TOP_FAULT;
        bool is_red = is_fault && screen->cli->has_color;
        attr_t marks = line[0] == TOP_TITLE ? A_BOLD : is_fault && !is_red ? A_REVERSE : A_NORMAL;
        line += line[0] == TOP_TITLE || line[0] == TOP_FAULT;
        int length = (int)strcspn(line, "\n");
        (void)attr_set(marks, is_red ? RED : 0, NULL);
        mvaddnstr(y, 0, line, length);
        line += length;
        line += line[0] == '\n';
    }
    free(text);
    refresh();
    return 0;
}

static int watch(struct screen *screen, int64_t interval_ms)
{
    rn_time next = rn_now();
    int r = 0;

    while (r == 0 && !interrupt_seen()) {
        if (rn_now() >= next) {
            (void)look(screen); // the first line says it
            next = rn_after(interval_ms * RN_MILLISECOND);
        }
        r = draw(screen);
        int64_t left_ms = (next - rn_now()) / RN_MILLISECOND + 1;
        timeout(left_ms < 0 ? 0 : (int)left_ms);
        int key = getch(); // a KEY_RESIZE draws again in the new size
        if (key == 'q' || key == 'Q')
            break;
    }
    return r;
}

static int take_interval(const struct cli *cli, int64_t *ret_ms)
{
    const char *text = arguments_value(cli->arguments, "interval");
    rn_duration length = RN_SECOND;
    int code = text == NULL ? 0 : cli_take_length(cli, "interval", text, &length);

    *ret_ms = length / RN_MILLISECOND;
    if (code == 0 && (*ret_ms < INTERVAL_LEAST_MS || *ret_ms > INTERVAL_MOST_MS))
        code = cli_usage(cli, "--interval is from 100ms to 1h");
    return code;
}

int cmd_top(struct cli *cli)
{
    struct screen screen = {.cli = cli, .view = {.url = http_url(cli->http)}};
    int64_t interval_ms = 0;

    int code = take_interval(cli, &interval_ms);
    if (code != 0)
        return code;
    if (!cli->is_terminal || isatty(STDIN_FILENO) != 1)
        return cli_usage(cli, "top is for a terminal; for scripts there are stats, queues and ls "
                              "with --json");
    interrupt_catch(); // before ncurses, which would take the signals for itself
    int r = look(&screen);
    if (r < 0)
        return r == -EPERM ? cli_fault(CLI_REFUSED, "%s", screen.error.text)
                           : cli_no_answer(r, &screen.error);
    SCREEN *terminal = newterm(NULL, stdout, stdin);
    if (terminal == NULL) {
        top_sample_fini(&screen.view.now);
        return cli_fault(CLI_USAGE, "this terminal (TERM) is not known");
    }
    (void)cbreak();
    (void)noecho();
    (void)keypad(stdscr, TRUE);
    (void)curs_set(0);
    if (cli->has_color && start_color() == OK && use_default_colors() == OK)
        (void)init_pair(RED, COLOR_RED, -1);
    r = watch(&screen, interval_ms);
    (void)endwin();
    delscreen(terminal);
    top_sample_fini(&screen.view.now);
    top_sample_fini(&screen.view.before);
    return r < 0 ? cli_no_memory() : 0;
}
