/* Columns have their widest cell's width. Where that is too much, the widest of those that may be
 * cut gives way, column by column, down to its least; where that is not enough either, whole
 * columns are left out, the most dispensable first. */
#include "cli/table.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "cli/text.h"

enum { GAP = 2, CELLS_FIRST = 64 };

struct cell {
    char *text; // safe
    enum table_color color;
};

struct table {
    const struct table_column *columns;
    size_t column_count;
    struct cell *cells; // row by row
    size_t cell_count, cell_capacity;
};

struct layout {
    size_t widths[TABLE_COLUMNS_MAX];
    bool is_shown[TABLE_COLUMNS_MAX];
};

int table_new(const struct table_column *columns, size_t count, struct table **ret_table)
{
    RN_ASSERT(columns != NULL);
    RN_ASSERT(count >= 1 && count <= TABLE_COLUMNS_MAX);
    struct table *table = calloc(1, sizeof(*table));

    if (table == NULL)
        return -ENOMEM;
    table->columns = columns;
    table->column_count = count;
    *ret_table = table;
    return 0;
}

void table_free(struct table *table)
{
    if (table == NULL)
        return;
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    free(table);
}

int table_add(struct table *table, const char *text, enum table_color color)
{
    RN_ASSERT(table != NULL);
    char *safe = NULL;

    if (table->cell_count == table->cell_capacity) {
        size_t capacity = table->cell_capacity == 0 ? CELLS_FIRST : table->cell_capacity * 2;
        struct cell *cells = capacity > SIZE_MAX / sizeof(*cells)
                                 ? NULL
                                 : realloc(table->cells, capacity * sizeof(*cells));
        if (cells == NULL)
            return -ENOMEM;
        table->cells = cells;
        table->cell_capacity = capacity;
    }
    text = text == NULL ? "" : text;
    int r = text_safe(text, strlen(text), "", &safe);
    if (r < 0)
        return r;
    table->cells[table->cell_count++] = (struct cell){.text = safe, .color = color};
    return 0;
}

static size_t total(const struct table *table, const struct layout *layout)
{
    size_t sum = 0;
    size_t shown = 0;

    for (size_t i = 0; i < table->column_count; i++) {
        if (!layout->is_shown[i])
            continue;
        sum += layout->widths[i];
        shown++;
    }
    return sum + (shown > 0 ? (shown - 1) * GAP : 0);
}

static void natural(const struct table *table, struct layout *layout)
{
    for (size_t i = 0; i < table->column_count; i++) {
        layout->is_shown[i] = true;
        layout->widths[i] = text_width(table->columns[i].title);
    }
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = text_width(table->cells[i].text);
        size_t column = i % table->column_count;
        if (width > layout->widths[column])
            layout->widths[column] = width;
    }
}

/* Cuts the widest that may be cut by one; false: none may. */
static bool cut_one(const struct table *table, struct layout *layout)
{
    size_t widest = TABLE_COLUMNS_MAX;

    for (size_t i = 0; i < table->column_count; i++) {
        if (!layout->is_shown[i] || table->columns[i].least == 0 ||
            layout->widths[i] <= table->columns[i].least)
            continue;
        if (widest == TABLE_COLUMNS_MAX || layout->widths[i] > layout->widths[widest])
            widest = i;
    }
    if (widest == TABLE_COLUMNS_MAX)
        return false;
    layout->widths[widest]--;
    return true;
}

/* Leaves out the most dispensable; false: all that are left stay. */
static bool drop_one(const struct table *table, struct layout *layout)
{
    size_t first = TABLE_COLUMNS_MAX;

    for (size_t i = 0; i < table->column_count; i++) {
        if (!layout->is_shown[i] || table->columns[i].drop == 0)
            continue;
        if (first == TABLE_COLUMNS_MAX || table->columns[i].drop > table->columns[first].drop)
            first = i;
    }
    if (first == TABLE_COLUMNS_MAX)
        return false;
    layout->is_shown[first] = false;
    return true;
}

static void fit(const struct table *table, struct layout *layout, size_t width)
{
    struct layout least;

    natural(table, layout);
    if (width == 0)
        return;
    // What is left out is decided first, so that a column that stays gets the room back.
    least = *layout;
    for (size_t i = 0; i < table->column_count; i++) {
        size_t floor = table->columns[i].least;
        if (floor != 0 && least.widths[i] > floor)
            least.widths[i] = floor;
    }
    while (total(table, &least) > width && drop_one(table, &least))
        ;
    memcpy(layout->is_shown, least.is_shown, sizeof(layout->is_shown));
    while (total(table, layout) > width && cut_one(table, layout))
        ;
}

const char *table_color_begin(enum table_color color)
{
    static const char *const sequences[] = {
        [TABLE_PLAIN] = "",          [TABLE_GREEN] = "\033[32m", [TABLE_RED] = "\033[31m",
        [TABLE_YELLOW] = "\033[33m", [TABLE_BLUE] = "\033[34m",  [TABLE_DIM] = "\033[2m",
        [TABLE_BOLD] = "\033[1m"};
    return sequences[color];
}

/* One row; cells NULL: the titles. */
static void print_row(const struct table *table, const struct layout *layout,
                      const struct cell *cells, FILE *out, bool has_color)
{
    size_t last = 0; // with something in it: no spaces at the end of a line

    for (size_t i = 0; i < table->column_count; i++) {
        if (layout->is_shown[i] && (cells == NULL || cells[i].text[0] != '\0'))
            last = i;
    }
    for (size_t i = 0; i <= last; i++) {
        if (!layout->is_shown[i])
            continue;
        const char *text = cells == NULL ? table->columns[i].title : cells[i].text;
        enum table_color color = cells == NULL ? TABLE_BOLD : cells[i].color;
        bool is_colored = has_color && color != TABLE_PLAIN && text[0] != '\0';
        size_t columns = layout->widths[i];
        if (i == last && !table->columns[i].align_right && text_width(text) < columns)
            columns = text_width(text);
        fputs(is_colored ? table_color_begin(color) : "", out);
        text_put(out, text, columns, table->columns[i].align_right);
        fputs(is_colored ? TABLE_COLOR_END : "", out);
        fputs(i == last ? "\n" : "  ", out);
    }
}

void table_print(const struct table *table, FILE *out, size_t width, bool has_color)
{
    RN_ASSERT(table != NULL);
    RN_ASSERT(table->cell_count % table->column_count == 0);
    struct layout layout;

    fit(table, &layout, width);
    print_row(table, &layout, NULL, out, has_color);
    for (size_t i = 0; i < table->cell_count; i += table->column_count)
        print_row(table, &layout, table->cells + i, out, has_color);
}
