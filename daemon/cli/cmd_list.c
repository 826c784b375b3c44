/* ls. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/format.h"
#include "cli/list.h"
#include "cli/show.h"
#include "cli/table.h"

enum { LIMIT_DEFAULT = 20 };

struct listing {
    struct table *table;
    int64_t count;
};

static int add_task(const struct cli *cli, const json_t *task, void *arg)
{
    struct listing *listing = arg;
    char id[ID_BYTES];
    char age[FORMAT_BYTES];
    char took[FORMAT_BYTES] = "";
    char note[256];
    const char *state = member_text(task, "state");

    (void)snprintf(id, sizeof(id), "%" PRId64, member_number(task, "id"));
    if (!member_is_null(task, "duration_ms"))
        (void)format_length(member_number(task, "duration_ms"), took);
    show_note(cli, task, note, sizeof(note));
    listing->count++;
    const struct {
        const char *text;
        enum table_color color;
    } cells[] = {{id, TABLE_PLAIN},
                 {state, show_state_color(state)},
                 {member_text(task, "kind"), TABLE_PLAIN},
                 {member_text(task, "queue"), TABLE_PLAIN},
                 {cli_instant(cli, member_instant(task, "created_at"), age), TABLE_PLAIN},
                 {took, TABLE_PLAIN},
                 {note, TABLE_DIM}};
    for (size_t i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        if (table_add(listing->table, cells[i].text, cells[i].color) < 0)
            return cli_no_memory();
    }
    return 0;
}

/* A task a line. */
static int print_line(const struct cli *cli, const json_t *task, void *arg)
{
    struct listing *listing = arg;

    listing->count++;
    return show_json_line(cli, task);
}

int cmd_ls(struct cli *cli)
{
    static const struct table_column columns[] = {
        {"ID", true, 0, 0},     {"STATE", false, 0, 0},     {"KIND", false, 8, 0},
        {"QUEUE", false, 6, 2}, {"SUBMITTED", false, 0, 3}, {"TOOK", true, 0, 4},
        {"NOTE", false, 8, 5}};
    struct listing listing = {.table = NULL};
    int64_t limit = LIMIT_DEFAULT;
    bool has_more = false;
    int code = 0;

    if (arguments_has(cli->arguments, "limit"))
        code = cli_take_number(cli, "limit", 1, INT64_MAX, &limit);
    if (arguments_has(cli->arguments, "all"))
        limit = INT64_MAX;
    if (code == 0 && table_new(columns, sizeof(columns) / sizeof(columns[0]), &listing.table) < 0)
        code = cli_no_memory();
    if (code != 0)
        return code;
    const struct list_calls calls = {
        .limit = limit, .task_fn = cli->is_json ? print_line : add_task, .arg = &listing};
    code = list_tasks(cli, &calls, &has_more);
    if (code == 0 && !cli->is_json && listing.count > 0)
        table_print(listing.table, stdout, cli->width, cli->has_color);
    table_free(listing.table);
    if (code == 0 && cli->is_terminal && !cli->is_json && listing.count == 0)
        puts("no tasks");
    if (code == 0 && listing.count == 0)
        queues_hint(cli);
    if (code == 0 && cli->is_terminal && !cli->is_json && has_more && listing.count > 0)
        puts("… and more: --limit N or --all");
    return code;
}
