/* A look at the bytes of the file and of those that it includes, for what libconfig 1.5 takes
 * without a word, or answers with no more than "syntax error":
 *
 *  - an integer beyond 32 bits without an L at its end wraps; one beyond 64 bits is cut;
 *  - in a list, two strings without a comma between them become one;
 *  - a comment that is not closed swallows the rest of the file; a string that is not closed is
 * told at the file's end;
 *  - "\x00" ends a string, and "\xff" makes it one that is not UTF-8;
 *  - a comma before the closing bracket, a text without quotes, an include with a wildcard or an
 * absolute path: just an error;
 *  - an include of a folder ends the process, from within the scanner's default handler.
 *
 * It knows tokens and brackets, no grammar: that is libconfig's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "config/file.h"
#include "config/internal.h"

enum {
    FILES_MAX = 64,
    DEPTH_MAX = 32,
    TOKEN_SHOWN = 40,
    TREE_BYTES_MIN = 256 << 10, // libconfig's buffers
    TREE_BYTES_A_BYTE = 48,
};

enum token { TOKEN_NONE, TOKEN_STRING, TOKEN_COMMA, TOKEN_OTHER };

/* A file that is included. */
struct include {
    char *name;       // as it stands in the @include
    const char *from; // the file that has the @include, for faults
    unsigned line;
};

/* The files that are still to be scanned: added as an @include is met, each once, so a circle ends.
 */
struct files {
    struct include includes[FILES_MAX];
    size_t count;
    size_t bytes;   // of all that were read
    bool is_unsafe; // something was left out that libconfig would read: it may be an include
};

struct scanner {
    struct loader *loader;
    struct files *files;
    const char *file; // for faults
    const char *at;
    const char *end;
    unsigned line;
    enum token previous;
    char brackets[DEPTH_MAX];
    size_t depth;
};

#define SCAN_FAULT(scanner, line_, ...)                                                            \
    fault_add((scanner)->loader, (scanner)->file, (line_), __VA_ARGS__)

static void advance(struct scanner *scanner, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (*scanner->at++ == '\n')
            scanner->line++;
}

static bool starts_with(const struct scanner *scanner, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(scanner->end - scanner->at) >= length && memcmp(scanner->at, text, length) == 0;
}

static void skip_line(struct scanner *scanner)
{
    while (scanner->at < scanner->end && *scanner->at != '\n')
        scanner->at++;
}

static void scan_comment(struct scanner *scanner)
{
    unsigned start = scanner->line;
    advance(scanner, 2);
    while (scanner->at < scanner->end && !starts_with(scanner, "*/"))
        advance(scanner, 1);
    if (scanner->at == scanner->end) {
        SCAN_FAULT(scanner, start, "the comment that begins here is not closed: */ is missing");
        return;
    }
    advance(scanner, 2);
}

/* The bytes of the character at text, 0 when it is none of UTF-8. */
static size_t character_bytes(const char *text, size_t available)
{
    unsigned char first = (unsigned char)text[0];
    size_t count = first < 0x80   ? 1
                   : first < 0xC2 ? 0
                   : first < 0xE0 ? 2
                   : first < 0xF0 ? 3
                   : first < 0xF5 ? 4
                                  : 0;
    if (count == 0 || count > available)
        return 0;
    for (size_t i = 1; i < count; i++)
        if (((unsigned char)text[i] & 0xC0) != 0x80)
            return 0;
    return count;
}

/* The byte of "\\xHH" at `at`, -1: none stands there. */
static int escaped_byte(const struct scanner *scanner, const char *at)
{
    static const char digits[] = "0123456789abcdef";
    int value = 0;

    if (scanner->end - at < 4 || at[0] != '\\' || (at[1] | 0x20) != 'x')
        return -1;
    for (int i = 2; i < 4; i++) {
        bool is_letter = (at[i] >= 'A' && at[i] <= 'F') || (at[i] >= 'a' && at[i] <= 'f');
        const char *digit = memchr(digits, is_letter ? at[i] | 0x20 : at[i], sizeof(digits) - 1);
        if (digit == NULL)
            return -1;
        value = value * 16 + (int)(digit - digits);
    }
    return value;
}

/* Escaped bytes, which are to be whole characters as those are that stand there by themselves.
 * false: there is none. */
static bool scan_escaped_bytes(struct scanner *scanner)
{
    char bytes[4] = "";
    size_t count = 0;

    for (int byte = 0; count < sizeof(bytes); count++) {
        byte = escaped_byte(scanner, scanner->at + 4 * count);
        if (byte < 0)
            break;
        bytes[count] = (char)byte;
    }
    if (count == 0)
        return false;
    size_t character = character_bytes(bytes, count);
    if (bytes[0] == '\0')
        SCAN_FAULT(scanner, scanner->line, "a text can't contain a NUL");
    else if (character == 0)
        SCAN_FAULT(scanner, scanner->line, "the bytes escaped here are not UTF-8");
    advance(scanner, 4 * (character == 0 ? count : character));
    return true;
}

static void scan_string(struct scanner *scanner)
{
    unsigned start = scanner->line;
    char bracket = scanner->depth > 0 ? scanner->brackets[scanner->depth - 1] : '\0';
    if (scanner->previous == TOKEN_STRING && (bracket == '[' || bracket == '('))
        SCAN_FAULT(scanner, start,
                   "a comma is missing before this text: without it, it becomes one with the text "
                   "before it");

    advance(scanner, 1);
    while (scanner->at < scanner->end && *scanner->at != '"') {
        if (!scan_escaped_bytes(scanner))
            advance(scanner, *scanner->at == '\\' && scanner->end - scanner->at > 1 ? 2 : 1);
    }
    if (scanner->at == scanner->end) {
        SCAN_FAULT(scanner, start, "the text that begins here is not closed: \" is missing");
        return;
    }
    advance(scanner, 1);
    scanner->previous = TOKEN_STRING;
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == '+' || c == '*' || (unsigned char)c >= 0x80;
}

/* Whether the number of length bytes at text, of that base, is above max. Counted by hand: what is
 * too long must not wrap. */
static bool is_above(const char *text, size_t length, unsigned base, uint64_t max)
{
    uint64_t number = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned digit = (unsigned)(text[i] <= '9' ? text[i] - '0' : (text[i] | 0x20) - 'a' + 10);
        if (number > (max - digit) / base)
            return true;
        number = number * base + digit;
    }
    return false;
}

/* A word that begins with a digit, or with a sign before one. */
static void check_number(struct scanner *scanner, const char *word, size_t length)
{
    size_t sign = word[0] == '-' || word[0] == '+' ? 1 : 0;
    bool is_hex = length > sign + 2 && word[sign] == '0' && (word[sign + 1] | 0x20) == 'x';
    const char *digits = word + sign + (is_hex ? 2 : 0);
    size_t left = length - (size_t)(digits - word);
    size_t count = 0;
    const char *of_base = is_hex ? "0123456789abcdefABCDEF" : "0123456789";
    while (count < left && strchr(of_base, digits[count]) != NULL)
        count++;

    bool is_long =
        left - count >= 1 && left - count <= 2 && memcmp(digits + count, "LL", left - count) == 0;
    int shown = (int)(length < TOKEN_SHOWN ? length : TOKEN_SHOWN);
    if (count == left &&
        is_above(digits, count, is_hex ? 16 : 10, (uint64_t)INT32_MAX + (word[0] == '-'))) {
        SCAN_FAULT(
            scanner, scanner->line,
            "%.*s needs an L at its end: it has more than 31 bits and would be another number",
            shown, word);
    } else if (is_long && is_above(digits, count, is_hex ? 16 : 10, INT64_MAX)) {
        SCAN_FAULT(scanner, scanner->line, "%.*s is too large", shown, word);
    } else if (count != left && !is_long) {
        // Neither a whole number nor, below, one with a fraction.
        size_t fraction = strspn(digits, "0123456789.eE+-");
        bool is_real =
            !is_hex && fraction >= left && memchr(digits, '.', left) == memrchr(digits, '.', left);
        if (!is_real)
            SCAN_FAULT(scanner, scanner->line,
                       "%.*s is neither a number nor a text in quotes: \"%.*s\"?", shown, word,
                       shown, word);
    }
}

static void scan_word(struct scanner *scanner)
{
    const char *word = scanner->at;
    while (scanner->at < scanner->end && is_word(*scanner->at))
        scanner->at++;
    size_t length = (size_t)(scanner->at - word);
    bool has_sign = word[0] == '-' || word[0] == '+';
    if (length > has_sign && word[has_sign] >= '0' && word[has_sign] <= '9')
        check_number(scanner, word, length);
    scanner->previous = TOKEN_OTHER;
}

static void scan_bracket(struct scanner *scanner)
{
    char bracket = *scanner->at;
    advance(scanner, 1);
    if (strchr("[({", bracket) != NULL) {
        if (scanner->depth == DEPTH_MAX) {
            SCAN_FAULT(scanner, scanner->line, "brackets are nested more than %d deep", DEPTH_MAX);
            scanner->files->is_unsafe = true;
            scanner->at = scanner->end;
            return;
        }
        scanner->brackets[scanner->depth++] = bracket;
    } else {
        if (scanner->previous == TOKEN_COMMA && bracket != '}')
            SCAN_FAULT(scanner, scanner->line,
                       "nothing stands between the last comma and '%c': the comma is too much",
                       bracket);
        if (scanner->depth > 0)
            scanner->depth--;
    }
    scanner->previous = TOKEN_OTHER;
}

/* false: it is none that may be read. */
static bool add_include(struct scanner *scanner, const char *name, size_t length)
{
    struct files *files = scanner->files;

    if (memchr(name, '*', length) != NULL || memchr(name, '?', length) != NULL) {
        SCAN_FAULT(scanner, scanner->line, "@include takes one file, wildcards are not expanded");
        return false;
    }
    if (length == 0 || name[0] == '/') {
        SCAN_FAULT(scanner, scanner->line,
                   "@include takes a path relative to the folder of the main file");
        return false;
    }
    for (size_t i = 0; i < files->count; i++)
        if (strlen(files->includes[i].name) == length &&
            memcmp(files->includes[i].name, name, length) == 0)
            return true;
    if (files->count == FILES_MAX) {
        SCAN_FAULT(scanner, scanner->line, "more than %d files are included", FILES_MAX);
        return false;
    }
    char *copy = loader_calloc(scanner->loader, length, 1);
    if (copy == NULL)
        return false;
    memcpy(copy, name, length);
    files->includes[files->count++] =
        (struct include){.name = copy, .from = scanner->file, .line = scanner->line};
    return true;
}

/* At a line's start: `@include "name"`. */
static bool scan_include(struct scanner *scanner)
{
    static const char word[] = "@include";
    const char *at = scanner->at;
    while (at < scanner->end && (*at == ' ' || *at == '\t'))
        at++;
    if ((size_t)(scanner->end - at) < sizeof(word) || memcmp(at, word, sizeof(word) - 1) != 0)
        return false;
    at += sizeof(word) - 1;
    while (at < scanner->end && (*at == ' ' || *at == '\t'))
        at++;
    const char *close = at < scanner->end && *at == '"'
                            ? memchr(at + 1, '"', (size_t)(scanner->end - at - 1))
                            : NULL;
    if (close == NULL)
        return false;
    if (!add_include(scanner, at + 1, (size_t)(close - at - 1)))
        scanner->files->is_unsafe = true;
    advance(scanner, (size_t)(close + 1 - scanner->at));
    scanner->previous = TOKEN_OTHER;
    return true;
}

static void scan_token(struct scanner *scanner)
{
    char c = *scanner->at;
    if (c == '#' || starts_with(scanner, "//")) {
        skip_line(scanner);
    } else if (starts_with(scanner, "/*")) {
        scan_comment(scanner);
    } else if (c == '"') {
        scan_string(scanner);
    } else if (strchr("[](){}", c) != NULL && c != '\0') {
        scan_bracket(scanner);
    } else if (c == '\'') {
        SCAN_FAULT(scanner, scanner->line, "texts stand in double quotes");
        skip_line(scanner);
    } else if (is_word(c)) {
        scan_word(scanner);
    } else {
        if (strchr(" \t\r\n", c) == NULL || c == '\0')
            scanner->previous = c == ',' ? TOKEN_COMMA : TOKEN_OTHER;
        advance(scanner, 1);
    }
}

/* Whether the text is one that can be shown and passed on: UTF-8 without NUL. What is said here
 * ends in JSON answers too. */
static bool check_encoding(struct scanner *scanner)
{
    unsigned line = 1;

    if (starts_with(scanner, "\xEF\xBB\xBF")) {
        SCAN_FAULT(scanner, 1,
                   "the file begins with a byte order mark: save it as UTF-8 without one");
        return false;
    }
    for (const char *at = scanner->at; at < scanner->end;) {
        size_t count = character_bytes(at, (size_t)(scanner->end - at));
        if (count == 0 || *at == '\0') {
            SCAN_FAULT(scanner, line, "the file is not UTF-8 text");
            return false;
        }
        line += *at == '\n';
        at += count;
    }
    return true;
}

static void scan_text(struct loader *loader, struct files *files, const char *file,
                      const char *text, size_t size)
{
    struct scanner scanner = {
        .loader = loader, .files = files, .file = file, .at = text, .end = text + size, .line = 1};

    RN_ASSERT(text != NULL);
    if (!check_encoding(&scanner)) {
        files->is_unsafe = true;
        return;
    }
    while (scanner.at < scanner.end) {
        bool at_line_start = scanner.at == text || scanner.at[-1] == '\n';
        if (!at_line_start || !scan_include(&scanner))
            scan_token(&scanner);
    }
}

static void free_text(char **text)
{
    free(*text);
}

/* Reads a file whole, with a NUL after it. 0, or a negative errno: -EISDIR, -EINVAL no regular
 * file, -EFBIG. */
static int read_file(const char *path, char **ret_text, size_t *ret_size)
{
    RN_AUTO(file_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;

    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode))
        return S_ISDIR(status.st_mode) ? -EISDIR : -EINVAL;
    RN_AUTO(free_text) char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    if (text == NULL)
        return -ENOMEM;

    size_t size = 0;
    int r = file_read(fd, text, CONFIG_FILE_BYTES_MAX + 1, &size);
    if (r < 0)
        return r;
    if (size > CONFIG_FILE_BYTES_MAX)
        return -EFBIG;
    text[size] = '\0';
    *ret_text = RN_TAKE(text);
    *ret_size = size;
    return 0;
}

static const char *read_error(int error)
{
    return error == -EINVAL  ? "it is no regular file"
           : error == -EFBIG ? "it has more than 1 MiB"
                             : faults_system_error(error);
}

/* Scans one file; what keeps it from being read is in the result. */
static int scan_file(struct loader *loader, struct files *files, const char *file, const char *path)
{
    RN_AUTO(free_text) char *text = NULL;
    size_t size = 0;

    int r = read_file(path, &text, &size);
    if (r == -ENOMEM)
        loader->no_memory = true;
    if (r == 0) {
        scan_text(loader, files, file, text, size);
        files->bytes += size;
    }
    return r;
}

static int scan_include_file(struct loader *loader, struct files *files,
                             const struct include *include)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s/%s",
                          loader->folder[0] != '\0' ? loader->folder : ".", include->name);
    int r =
        length < (int)sizeof(path) ? scan_file(loader, files, include->name, path) : -ENAMETOOLONG;
    if (r < 0 && r != -ENOMEM)
        fault_add(loader, include->from, include->line,
                  "the included file \"%s\" cannot be read: %s", include->name, read_error(r));
    return r;
}

/* libconfig uses what its allocations gave without a look, so it gets nothing where the memory for
 * all of its tree can't be had. An element of two bytes ("1,") takes 88. */
static bool has_memory(size_t bytes)
{
    void *volatile tree = malloc(TREE_BYTES_MIN + bytes * TREE_BYTES_A_BYTE);
    bool is_there = tree != NULL;

    free(tree);
    return is_there;
}

bool scan_files(struct loader *loader)
{
    const char *path = loader->options->path;
    struct files files = {.count = 0};

    int r = scan_file(loader, &files, path, path);
    if (r < 0 && r != -ENOMEM)
        fault_add(loader, path, 0, "the file cannot be read: %s", read_error(r));
    bool is_readable = r == 0;
    for (size_t i = 0; i < files.count; i++) {
        if (scan_include_file(loader, &files, &files.includes[i]) < 0)
            is_readable = false;
    }
    // What was not looked at may have an include of a folder in it.
    is_readable = is_readable && !files.is_unsafe;
    if (is_readable && !has_memory(files.bytes)) {
        loader->no_memory = true;
        is_readable = false;
    }
    for (size_t i = 0; i < files.count; i++)
        free(files.includes[i].name);
    loader->faults.lexical = loader->faults.count;
    return is_readable;
}
