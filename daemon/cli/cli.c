/* runnel: options, settings, the command, and what every command uses. */
#include "cli/cli.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <runnel/clock.h>

#include "cli/format.h"
#include "cli/text.h"
#include "config/config.h"
#include "config/units.h"

/* ---- faults ---- */

static void tell(const char *format, va_list values)
{
    char sentence[4096];
    char *safe = NULL;

    (void)vsnprintf(sentence, sizeof(sentence), format, values);
    (void)fflush(stdout); // so that the order is kept where both go to the same place
    int r = text_safe(sentence, strlen(sentence), "", &safe);
    fprintf(stderr, "runnel: %s\n", r < 0 ? "out of memory" : safe);
    free(safe);
}

int cli_fault(int code, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    tell(format, values);
    va_end(values);
    return code;
}

int cli_usage(const struct cli *cli, const char *format, ...)
{
    char sentence[2048];
    va_list values;

    va_start(values, format);
    (void)vsnprintf(sentence, sizeof(sentence), format, values);
    va_end(values);
    const char *command = cli->command_name;
    return cli_fault(CLI_USAGE, "%s; see runnel %s%s--help", sentence,
                     command == NULL ? "" : command, command == NULL ? "" : " ");
}

int cli_no_memory(void)
{
    return cli_fault(CLI_INTERNAL, "out of memory");
}

int cli_no_answer(int error, const struct error *reason)
{
    int code = error == -ECANCELED   ? CLI_INTERRUPTED
               : error == -ETIMEDOUT ? CLI_TIME_OVER
               : error == -ENOMEM    ? CLI_INTERNAL
                                     : CLI_NO_CONNECTION;
    return cli_fault(code, "%s", reason->text);
}

/* "#/args/path" as "args.path". */
static void append_pointer(FILE *out, const char *pointer)
{
    pointer += pointer[0] == '#';
    pointer += pointer[0] == '/';
    for (; *pointer != '\0'; pointer++)
        (void)fputc(*pointer == '/' ? '.' : *pointer, out);
}

int cli_refusal(const struct http_reply *reply, const char *prefix)
{
    int code = reply->status == 404 || reply->status == 410 ? CLI_NOT_FOUND : CLI_REFUSED;
    const json_t *errors = json_object_get(reply->json, "errors");
    const char *detail = member_text(reply->json, "detail");
    char *sentence = NULL;
    size_t length = 0;
    size_t index;
    json_t *error;

    FILE *out = open_memstream(&sentence, &length);
    if (out == NULL)
        return cli_no_memory();
    json_array_foreach (errors, index, error) {
        fputs(index == 0 ? "" : "; ", out);
        const char *pointer = member_text(error, "pointer");
        append_pointer(out, pointer);
        bool is_whole = pointer[strspn(pointer, "#/")] == '\0'; // the body itself
        fprintf(out, "%s%s", is_whole ? "" : ": ", member_text(error, "detail"));
    }
    if (json_array_size(errors) == 0)
        fputs(detail, out);
    if (fclose(out) != 0) {
        free(sentence);
        return cli_no_memory();
    }
    // The daemon speaks of its header, which is not what a user of this program writes.
    const char *hint = reply->status == 401 ? "; see --token-file" : "";
    if (length == 0)
        (void)cli_fault(code, "%sthe answer is %ld, without a reason; is it runneld?", prefix,
                        reply->status);
    else
        (void)cli_fault(code, "%s%s%s", prefix, sentence, hint);
    free(sentence);
    return code;
}

int cli_too_old(const struct cli *cli)
{
    return cli_fault(CLI_NOT_FOUND, "the daemon at %s knows no %s: it is older than this client",
                     http_url(cli->http), cli->command_name);
}

int cli_call(const struct cli *cli, const char *method, const char *path, const char *body,
             struct http_reply *ret_reply)
{
    const struct http_request request = {.method = method, .path = path, .body = body};
    struct error error;

    int r = http_call(cli->http, &request, ret_reply, &error);
    int code = r < 0 ? cli_no_answer(r, &error) : 0;
    if (r == 0 && (ret_reply->status < 200 || ret_reply->status > 299))
        code = cli_refusal(ret_reply, "");
    if (code != 0)
        http_reply_fini(ret_reply);
    return code;
}

const char *cli_reason(int error)
{
    return strerror(-error);
}

/* ---- output ---- */

int cli_put_bytes(const struct cli *cli, FILE *out, const char *bytes, size_t length)
{
    char *safe = NULL;

    if (!cli->is_terminal) {
        (void)fwrite(bytes, 1, length, out);
        return 0;
    }
    if (text_safe(bytes, length, "\n\t", &safe) < 0)
        return cli_no_memory();
    fputs(safe, out);
    free(safe);
    return 0;
}

int cli_print_bytes(const struct cli *cli, const char *bytes, size_t length)
{
    return cli_put_bytes(cli, stdout, bytes, length);
}

int cli_print_json(const struct cli *cli, const struct http_reply *reply)
{
    size_t length = reply->length;

    while (length > 0 && reply->body[length - 1] == '\n')
        length--;
    int code = cli_print_bytes(cli, reply->body == NULL ? "" : reply->body, length);
    (void)putchar('\n');
    return code;
}

const char *cli_instant(const struct cli *cli, int64_t instant_ms, char *text)
{
    if (instant_ms == 0)
        return memcpy(text, "-", sizeof("-"));
    if (cli->is_terminal)
        return format_age(instant_ms, cli->now_ms, text);
    (void)units_instant_text(instant_ms, text);
    return text;
}

/* ---- answers ---- */

const char *member_text(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

int64_t member_number(const json_t *object, const char *name)
{
    const json_t *number = json_object_get(object, name);

    return json_is_real(number) ? (int64_t)json_real_value(number) : json_integer_value(number);
}

bool member_is_null(const json_t *object, const char *name)
{
    const json_t *member = json_object_get(object, name);

    return member == NULL || json_is_null(member);
}

int64_t member_instant(const json_t *object, const char *name)
{
    int64_t ms = 0;

    return units_instant(member_text(object, name), &ms) < 0 ? 0 : ms;
}

const char *cli_counts(const json_t *object, char *text)
{
    static const char *const names[] = {"queues", "tasks", "keys"};
    char count[FORMAT_BYTES];
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int64_t number = member_number(object, names[i]);
        if (json_object_get(object, names[i]) == NULL)
            continue;
        int letters = (int)strlen(names[i]) - (number == 1);
        used +=
            (size_t)snprintf(text + used, CLI_COUNTS_BYTES - used, "%s%s %.*s",
                             used == 0 ? "" : ", ", format_count(number, count), letters, names[i]);
    }
    return text;
}

/* ---- words ---- */

int cli_take_id(const struct cli *cli, const char *word, uint64_t *ret_id)
{
    enum { ID_BITS = 53 };

    if (units_unsigned(word, ((uint64_t)1 << ID_BITS) - 1, ret_id) < 0 || *ret_id == 0)
        return cli_usage(cli, "'%s' is no task's id, which is a number", word);
    return 0;
}

int cli_take_length(const struct cli *cli, const char *option, const char *text,
                    rn_duration *ret_length)
{
    uint64_t seconds = 0;

    if (units_unsigned(text, 3153600000, &seconds) == 0)
        *ret_length = (rn_duration)seconds * RN_SECOND;
    else if (units_duration(text, ret_length) < 0)
        return cli_usage(cli, "--%s: '%s' is no length of time, such as 30s, 10m or 1h30m", option,
                         text);
    return 0;
}

int cli_take_number(const struct cli *cli, const char *option, int64_t least, int64_t most,
                    int64_t *ret_number)
{
    const char *text = arguments_value(cli->arguments, option);
    bool is_negative = text[0] == '-';
    uint64_t number = 0;

    int r = units_unsigned(text + is_negative, (uint64_t)INT64_MAX, &number);
    int64_t value = is_negative ? -(int64_t)number : (int64_t)number;
    if ((r < 0 || value < least) && most == INT64_MAX)
        return cli_usage(cli, "--%s: '%s' is no number from %" PRId64 " on", option, text, least);
    if (r < 0 || value < least || value > most)
        return cli_usage(cli, "--%s: '%s' is no number from %" PRId64 " to %" PRId64, option, text,
                         least, most);
    *ret_number = value;
    return 0;
}

int cli_check_key(const struct cli *cli, const char *key)
{
    enum { KEY_MAX = 255 };
    size_t length = strlen(key);

    for (size_t i = 0; i < length; i++) {
        if (key[i] <= ' ' || key[i] > '~' || key[i] == '"' || key[i] == '\\')
            length = 0;
    }
    if (length == 0 || length > KEY_MAX)
        return cli_usage(cli, "--key takes 1 to %d visible characters, but no \" and no \\",
                         KEY_MAX);
    return 0;
}

bool cli_add_query(char *path, size_t size, const char *name, const char *value)
{
    static const char plain[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~,:";
    size_t used = strlen(path);
    int length =
        snprintf(path + used, size - used, "%c%s=", strchr(path, '?') == NULL ? '?' : '&', name);

    if (length < 0 || (size_t)length >= size - used)
        return false;
    used += (size_t)length;
    for (; *value != '\0'; value++) {
        if (used + sizeof("%00") > size)
            return false;
        if (strchr(plain, *value) != NULL)
            path[used++] = *value;
        else
            used += (size_t)snprintf(path + used, size - used, "%%%02X", (unsigned char)*value);
    }
    path[used] = '\0';
    return true;
}
